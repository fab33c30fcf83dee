"""Typed settings of a training run."""
