"""Inference: apply a model to films."""
