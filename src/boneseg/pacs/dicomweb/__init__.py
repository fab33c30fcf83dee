"""A DICOMweb client, which segments the films of a server that have no segmentation yet."""
