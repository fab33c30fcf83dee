"""The soft tissue of the trunk as a volume, varied for each subject and projected.

tissue = atlas.vary(rng)                              # of one person; see `organs.read_organs`
ways = tissue.project("torso", place, scale, ...)     # mm of body, muscle and fat at each pixel
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.breasts import draw_breasts
from boneseg.simulate.head import Head
from boneseg.simulate.projector import Array
from boneseg.simulate.vessels import grow_vessels
from boneseg.simulate.volume import Tissue, smooth_noise

Rng = np.random.Generator
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

VOXEL = 4.0  # mm
STOMACH = "stomach"
BOWEL = ("colon", "small-intestine")
HOLLOW = (*BOWEL, STOMACH)
BLADDER = "urinary-bladder"
OPAQUE = 0.05  # share of subjects with contrast medium in an organ


@dataclass(frozen=True)
class Atlas:
    """Voxels of `VOXEL` mm over the skeleton at rest; axes to the front, up, and to the right.

    `first` is the middle of the first voxel in the ground frame (mm). `depth` is the distance to
    the skin, positive inside (mm, float32); `organ` the index in `names` + 1, or 0 (uint8);
    `lung` how deep a voxel lies within the pleural space, negative outside (mm, float32); `wall`
    the distance to bone (mm, float32); `airways` the windpipe and its branches;
    `share` the weight of each level: the thighs fade out, as those of the femora's flesh begin,
    and the neck, as the voxels of `head` begin.
    """

    first: Floats
    names: tuple[str, ...]
    organ: NDArray[np.uint8]
    depth: Array
    lung: Array
    wall: Array
    airways: Mask
    share: Array
    rest: Mapping[str, Floats]  # places of the skeleton's bodies at rest
    head: Head

    def vary(self, rng: Rng) -> Tissue:
        """Draw the tissue of one subject.

        Thin to obese, with breasts or without, in- or expiration, empty or full bowel.
        """
        from scipy.ndimage import gaussian_filter

        shape = self.organ.shape

        def noise(mm: float) -> Array:
            return smooth_noise(rng, shape, mm / VOXEL)

        fatness = float(np.clip(rng.gamma(2.0, 9.0) - 8, -6, 55))  # mm beyond the skin of the atlas
        depth = self.depth + np.float32(fatness) + np.float32(abs(fatness) * 0.3 + 2) * noise(120)
        depth = np.maximum(depth, 12 - self.wall)  # skin covers all bones
        outer, gland, breasts = depth, np.zeros(shape, np.bool_), draw_breasts(rng)
        if breasts is not None:
            outer, gland = breasts.on(depth, self.first, self.rest["torso"][:3, 3], VOXEL)
        body = np.asarray(np.clip(outer / VOXEL + 0.5, 0, 1) * self.share[:, None], np.float32)
        layer = max(3.0, 8 + 0.8 * fatness) + 3 * noise(90)  # subcutaneous fat

        lean = np.full(shape, np.float32(rng.uniform(0.15, 0.6)))  # share of muscle, else fat
        lean += np.float32(0.12) * noise(25)
        lean[(depth < layer + 16) | (self.wall < 14)] = np.float32(rng.uniform(0.88, 1.0))
        lean[depth < layer] = np.float32(rng.uniform(0.0, 0.12))
        if gland.any():
            lean[gland] = np.clip(rng.uniform(0.1, 0.7) + 0.2 * noise(20)[gland], 0, 1)
        density = np.ones(shape, np.float32)
        for index, name in enumerate(self.names, start=1):
            here = self.organ == index
            lean[here] = 1
            density[here] = float(rng.normal(1.0, 0.03))
            if name in HOLLOW:
                density[here] *= self._bowel(rng, here)
            elif name == BLADDER and rng.random() < OPAQUE:
                density[here] *= float(rng.uniform(1.1, 2.0))
        lung = self.lung > float(rng.uniform(0, 18))
        lean[lung] = 1
        breath = float(np.exp(rng.uniform(np.log(0.13), np.log(0.45))))
        airy = breath * (1 + 0.25 * noise(14) + 0.15 * noise(60))
        if rng.random() < 0.25:  # pneumonia, fluid, masses
            airy += float(rng.uniform(0.2, 0.9)) * np.clip(noise(float(rng.uniform(25, 90))), 0, 1)
        density[lung] = np.clip(airy, 0.05, 1)[lung]
        density[self.airways] = float(rng.uniform(0, 0.3))
        lean[self.airways] = 1
        muscle = gaussian_filter(body * lean * density, 0.6)
        fat = gaussian_filter(body * (1 - lean), 0.6)
        muscle, fat = np.maximum(muscle, 0), np.maximum(fat, 0)
        vessels = grow_vessels(rng, np.where(lung, self.lung, -1), self.first, VOXEL)
        return Tissue(self.first, self.rest, VOXEL, body, muscle, fat, vessels)

    def _bowel(self, rng: Rng, here: Mask) -> Array:
        """The density of a hollow organ's content (fluid, gas, stool, contrast); of muscle: 1."""
        blobs = smooth_noise(rng, here.shape, float(rng.uniform(12, 30)) / VOXEL)[here]
        gas = 1 / (1 + np.exp(-8 * (blobs - float(rng.normal(0.6, 0.8)))))
        if rng.random() < 0.5:  # stool
            fine = smooth_noise(rng, here.shape, float(rng.uniform(5, 9)) / VOXEL)[here]
            gas = gas / (1 + np.exp(-4 * fine))
        solid = float(rng.uniform(1.1, 1.8)) if rng.random() < OPAQUE else 1.0
        return np.asarray(solid * (1 - gas), np.float32)
