"""Radiographs: any file to a film in memory, as it is meant to be displayed."""
