"""Reading DICOM films: header, pixel data, display transformations."""
