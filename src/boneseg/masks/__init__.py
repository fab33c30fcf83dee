"""Masks: reading, polygons and the formats they are exchanged in."""
