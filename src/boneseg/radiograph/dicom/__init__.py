"""DICOM films: header, pixels, display."""
