"""Beside a PACS: `dicomweb.py` speaks to one over HTTP, `node.py` is a DICOM node of its own.

watch.py      which films of a DICOMweb server have no segmentation yet; makes and stores them
dicomweb.py   QIDO-RS, WADO-RS, STOW-RS (PS3.18), with patience for a server that goes away
node.py       C-STORE in, C-STORE out, C-ECHO (PS3.4, PS3.7, PS3.8)
spool.py      what the node has received and not yet answered, on disk
answer.py     a film's file to its DICOM Segmentation: the one thing that both do
"""
