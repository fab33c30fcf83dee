"""The soft tissue of trunk and head as a volume, varied for each subject and projected.

tissue = atlas.vary(rng)                              # of one person; see `organs.read_organs`
ways = tissue.project("torso", place, scale, ...)     # mm of body, muscle and fat at each pixel
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import Array
from boneseg.simulate.volume import project_volume, smooth_noise

Rng = np.random.Generator
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

VOXEL = 4.0  # mm
STOMACH = "stomach"
BOWEL = ("colon", "small-intestine")
HOLLOW = (*BOWEL, STOMACH)


@dataclass(frozen=True)
class Atlas:
    """Voxels of `VOXEL` mm over the skeleton at rest; axes to the front, up, and to the right.

    `first` is the middle of the first voxel in the ground frame (mm). `depth` is the distance to
    the skin, positive inside (mm, float32); `organ` the index in `names` + 1, or 0 (uint8);
    `lung` how deep a voxel lies within the pleural space, negative outside (mm, float32); `wall`
    the distance to bone (mm, float32); `airways` the air spaces of head, throat and windpipe;
    `share` the weight of each level: the thighs fade out, as those of the femora's flesh begin;
    `face` the front and the base of the skull, and its size relative to an adult's (mm, mm, 1).
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
    face: tuple[float, float, float]

    def vary(self, rng: Rng) -> Tissue:
        """Draw the tissue of one subject: thin to obese, in- or expiration, empty or full bowel."""
        from scipy.ndimage import gaussian_filter

        shape = self.organ.shape

        def noise(mm: float) -> Array:
            return smooth_noise(rng, shape, mm / VOXEL)

        fatness = float(np.clip(rng.gamma(2.0, 9.0) - 8, -6, 55))  # mm beyond the skin of the atlas
        depth = self.depth + np.float32(fatness) + np.float32(abs(fatness) * 0.3 + 2) * noise(120)
        depth = np.maximum(depth, 12 - self.wall)  # skin covers all bones
        features = self._features(rng)
        depth = np.maximum(depth, features)
        body = np.asarray(np.clip(depth / VOXEL + 0.5, 0, 1) * self.share[:, None], np.float32)
        layer = max(3.0, 8 + 0.8 * fatness) + 3 * noise(90)  # subcutaneous fat

        lean = np.full(shape, np.float32(rng.uniform(0.15, 0.6)))  # share of muscle, else fat
        lean += np.float32(0.12) * noise(25)
        lean[(depth < layer + 16) | (self.wall < 14)] = np.float32(rng.uniform(0.88, 1.0))
        lean[depth < layer] = np.float32(rng.uniform(0.0, 0.12))
        lean[features > 0] = 1
        density = np.ones(shape, np.float32)
        for index, name in enumerate(self.names, start=1):
            here = self.organ == index
            lean[here] = 1
            density[here] = float(rng.normal(1.0, 0.03))
            if name in HOLLOW:
                density[here] *= self._bowel(rng, here)
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
        return Tissue(self, body, np.maximum(muscle, 0), np.maximum(fat, 0))

    def _features(self, rng: Rng) -> Array:
        """How deep (mm) each voxel lies in nose, lips, chin and ears; negative outside them."""
        deep = np.full(self.organ.shape, -99, np.float32)
        front, base, size = self.face
        first = max(0, int((base - 60 * size - self.first[1]) / VOXEL))
        x, y, z = (
            (self.first[axis] + VOXEL * np.arange(start, self.organ.shape[axis])).reshape(
                [-1 if i == axis else 1 for i in range(3)]
            )
            for axis, start in ((0, 0), (1, first), (2, 0))
        )
        nose, flap = rng.uniform(0.6, 1.4, 2)
        for (ahead, up, right), half in (
            ((-4 + 4 * nose, 58, 0), (12 * nose, 24, 8)),
            ((2 + 10 * nose, 42, 0), (13 * nose, 11, 14)),
            ((3, float(rng.uniform(10, 22)), 0), (12, float(rng.uniform(8, 14)), 22)),
            ((-4, float(rng.uniform(-30, -12)), 0), (14, 14, 20)),
            ((-98, 42, 68 + 8 * flap), (15 * flap, 30 * flap, 9)),
            ((-98, 42, -68 - 8 * flap), (15 * flap, 30 * flap, 9)),
        ):
            centre = (front + size * ahead, base + size * up, size * right)
            ratios = [
                np.square((axis - at) / (size * one))
                for axis, at, one in zip((x, y, z), centre, half, strict=True)
            ]
            inside = size * min(half) * (1 - np.sqrt(ratios[0] + ratios[1] + ratios[2]))
            deep[:, first:] = np.maximum(deep[:, first:], inside)
        return deep

    def _bowel(self, rng: Rng, here: Mask) -> Array:
        """The density of a hollow organ's content (fluid, gas, stool, contrast); of muscle: 1."""
        blobs = smooth_noise(rng, here.shape, float(rng.uniform(12, 30)) / VOXEL)[here]
        gas = 1 / (1 + np.exp(-8 * (blobs - float(rng.normal(0.6, 0.8)))))
        if rng.random() < 0.5:  # stool
            fine = smooth_noise(rng, here.shape, float(rng.uniform(5, 9)) / VOXEL)[here]
            gas = gas / (1 + np.exp(-4 * fine))
        solid = float(rng.uniform(1.1, 1.8)) if rng.random() < 0.05 else 1.0
        return np.asarray(solid * (1 - gas), np.float32)


@dataclass(frozen=True)
class Tissue:
    """The fractions of each voxel that are body, muscle (or as dense) and fat; float32."""

    atlas: Atlas
    body: Array
    muscle: Array
    fat: Array

    def project(
        self,
        anchor: str,
        place: Floats,
        scale: Floats,
        frame: Floats,
        aim: Floats,
        shape: tuple[int, int],
        pitch: float,
        distance: float,
    ) -> tuple[Array, Array, Array]:
        """Millimetres of body, muscle and fat at each pixel of `shape`, seen along `frame`.

        The volume moves with the body `anchor` of the skeleton: `place` is its placement (4 x 4),
        `scale` its scale. The rows of `frame` are image right, image down and away from the source,
        in the ground frame; `aim` is the point at the centre of the film, `distance` (mm) its
        distance from the source, `pitch` mm per pixel there.
        """
        rest = self.atlas.rest[anchor]
        inward = rest[:3, :3] @ np.diag(1 / scale) @ place[:3, :3].T  # ground to the volume's axes
        turns = frame @ inward.T
        middle = inward @ (aim - place[:3, 3]) + rest[:3, 3] - self.atlas.first
        return tuple(  # type: ignore[return-value]
            project_volume(one, turns, middle, shape, pitch, distance, VOXEL, slabs=10)
            for one in (self.body, self.muscle, self.fat)
        )
