"""A model applied to films."""
