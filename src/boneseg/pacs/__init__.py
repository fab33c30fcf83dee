"""PACS integration: films in, DICOM Segmentations out.

dicomweb/       a client that watches a DICOMweb server (PS3.18)
node/           a DICOM node: C-STORE in, C-STORE out, C-ECHO (PS3.4, PS3.7, PS3.8)
segment.py      the DICOM Segmentation of a film, for both
identifiers.py  names of films and studies in messages, without patient data
"""
