"""Radiographs: read any supported file into an array of display values."""
