"""Datasets of films with masks: open, pair, split, audit and convert them."""
