"""Simulated labelled radiographs: phantoms, skeletons, CT, and the physics of projection."""

from boneseg.simulate.film import Film, View
from boneseg.simulate.generate import CtSource, PhantomSource, SkeletonSource, Source, simulate
from boneseg.simulate.phantom import PARTS, phantom_film
from boneseg.simulate.regions import REGIONS
from boneseg.simulate.scene import skeleton_film

__all__ = [
    "PARTS",
    "REGIONS",
    "CtSource",
    "Film",
    "PhantomSource",
    "SkeletonSource",
    "Source",
    "View",
    "phantom_film",
    "simulate",
    "skeleton_film",
]
