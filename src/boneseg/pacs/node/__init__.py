"""A DICOM node, which segments the films that it receives.

node.py      the node: threads, start and stop
receiver.py  films from other nodes to the spool
segmenter.py  films on the spool to segmentations
sender.py    segmentations to another node; peer.py: its address
listener.py  associations, with limits for hostile clients
spool.py     the queue on disk
"""
