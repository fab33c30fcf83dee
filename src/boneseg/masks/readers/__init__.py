"""Readers of masks, one module a format."""
