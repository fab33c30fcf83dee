"""Labelled radiographs without patients: phantoms, their physics, and a data set of them."""

from boneseg.simulate.phantom import PARTS, Film, View, phantom_film, simulate

__all__ = ["PARTS", "Film", "View", "phantom_film", "simulate"]
