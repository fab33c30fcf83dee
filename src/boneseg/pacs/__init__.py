"""PACS integration: a DICOMweb client (`dicomweb.py`) and a DICOM node (`node.py`).

watch.py      segments the films of a DICOMweb server that have no segmentation yet
dicomweb.py   QIDO-RS, WADO-RS, STOW-RS (PS3.18), with retries
node.py       C-STORE in, C-STORE out, C-ECHO (PS3.4, PS3.7, PS3.8)
spool.py      the node's queue on disk
answer.py     makes a film's DICOM Segmentation, for both
"""
