"""A DICOM node, which segments the films that it receives."""
