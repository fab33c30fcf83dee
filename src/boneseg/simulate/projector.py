"""The physics of a simulated radiograph: path lengths in, film out.

A body is a list of tubes. A tube has an elliptic section at every point of its axis, so the path of
a ray through it is an analytic chord and no volume is needed:

    paths = trace(bones, flesh, x, y, ...)     millimetres of bone, muscle and fat at each pixel
    film  = expose(paths, exposure, rng)       detector and display

Attenuation is that of ICRU-44 cortical bone, muscle and adipose tissue at 40, 60 and 80 keV
(NIST XAAMDI tables): several energies, so thick parts harden the beam as they do in a clinic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Bump = tuple[float, float, float]  # height in mm, centre and width as shares of the half-width

# Linear attenuation per mm at 40, 60, 80 keV: mass attenuation x density (1.92, 1.05, 0.95 g/cm3).
MU_BONE = (0.1278, 0.0604, 0.0428)
MU_MUSCLE = (0.0282, 0.0215, 0.0191)
MU_FAT = (0.0228, 0.0188, 0.0171)

# An elliptic chord rises like a square root from its edge, so a 1 mm path lies within about
# 0.05 mm of the true outline even on a finger, yet dims the beam by some 5 %: visible, and exact.
MASK_PATH_MM = 1.0


def elliptic_chord(offset: Array, half_width: Array, half_depth: Array) -> Array:
    """Path of a ray through an ellipse of these semi-axes, `offset` from its centre; 0 outside.

    All in one unit of length, broadcast together: 2 b sqrt(1 - (u / a)^2).
    """
    inside = 1.0 - np.square(offset / np.maximum(half_width, 1e-6))
    return np.asarray(2.0 * half_depth * np.sqrt(np.maximum(inside, 0.0)), np.float32)


@dataclass(frozen=True)
class Tube:
    """One smooth body: a shell (cortex, or fat) around a core (spongiosa, or muscle).

    `rows` is (N, 6) float32, evenly spaced along the axis: centre offset, outer half-width,
    outer half-depth, inner half-width, inner half-depth (mm), and the core's density (0-1).
    `near` and `far` shape the end faces: positive bumps stand out, negative ones are notches.
    """

    start: tuple[float, float]
    angle: float  # radians from +y towards +x
    length: float
    rows: Array
    near: tuple[Bump, ...] = ()
    far: tuple[Bump, ...] = ()
    reach: float = 12.0  # mm from an end over which its bumps fade


@dataclass(frozen=True)
class Chords:
    """A tube's chords at the pixels it touches (`where`: flat indices); all float32, mm."""

    where: NDArray[np.intp]
    outer: Array
    inner: Array
    density: Array
    along: Array
    across: Array


def chords(tube: Tube, x: Array, y: Array) -> Chords:
    """Chords of the rays at `x`, `y` (any equal shapes, mm) through `tube`."""
    sin, cos = np.float32(np.sin(tube.angle)), np.float32(np.cos(tube.angle))
    dx, dy = (x - np.float32(tube.start[0])).ravel(), (y - np.float32(tube.start[1])).ravel()
    across, along = dx * cos - dy * sin, dx * sin + dy * cos
    offset, width = tube.rows[:, 0], tube.rows[:, 1]
    beyond = max((abs(h) for h, _, _ in tube.near + tube.far), default=0.0)
    near = (along > -beyond) & (along < tube.length + beyond)
    near &= (across > (offset - width).min()) & (across < (offset + width).max())
    where = np.flatnonzero(near)
    along, across = along[where], across[where]

    bent = along
    for bumps, sign, depth in (
        (tube.near, 1.0, along),
        (tube.far, -1.0, np.float32(tube.length) - along),
    ):
        if bumps:
            edge = tube.rows[: len(tube.rows) // 6] if sign > 0 else tube.rows[-len(width) // 6 :]
            share = across / np.float32(edge[:, 1].max())
            fade = np.exp(-np.square(np.maximum(depth, 0.0) / np.float32(tube.reach)))
            for height, centre, spread in bumps:
                bump = np.exp(-np.square((share - np.float32(centre)) / np.float32(spread)))
                bent = bent + np.float32(sign * height) * bump * fade

    steps = len(tube.rows) - 1
    place = bent * np.float32(steps / tube.length)
    inside = (place > 0) & (place < steps)
    where, place, along, across = where[inside], place[inside], bent[inside], across[inside]
    index = place.astype(np.intp)
    part = (place - index)[:, None].astype(np.float32)
    row = tube.rows[index] * (1 - part) + tube.rows[index + 1] * part
    across = across - row[:, 0]
    outer = elliptic_chord(across, row[:, 1], row[:, 2])
    inner = np.minimum(elliptic_chord(across, row[:, 3], row[:, 4]), outer)
    return Chords(where, outer, inner, row[:, 5], along, across)


@lru_cache(maxsize=4)
def noise_tile(stretch: float, size: int = 256) -> Array:
    """A (size, size) float32 band of noise that tiles, unit variance, drawn out along axis 0."""
    from scipy.ndimage import gaussian_filter

    # Always the same tile, since filtering is slow; each film uses its own offset.
    white = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    fine = gaussian_filter(white, (2.0 * stretch, 2.0), mode="wrap")
    band = fine - gaussian_filter(fine, (4.0 * stretch, 5.0), mode="wrap")
    return np.asarray(band / band.std(), np.float32)


def _look_up(tile: Array, along: Array, across: Array, cell: float) -> Array:
    n = len(tile)
    rows = (along / np.float32(cell)).astype(np.intp) % n
    columns = (across / np.float32(cell)).astype(np.intp) % n
    return np.asarray(tile[rows, columns], np.float32)


@dataclass(frozen=True)
class Paths:
    """Path lengths in mm at each pixel, (H, W) float32.

    `envelope` is through bones including marrow (it gives the mask); `bone` is through bone
    mineral, as compact bone; `muscle` and `fat` are the rest; `lead` is the side marker.
    """

    envelope: Array
    bone: Array
    muscle: Array
    fat: Array
    lead: Array

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Bone: more than `MASK_PATH_MM` of it on the ray."""
        return self.envelope > MASK_PATH_MM

    def without_bone(self) -> Paths:
        """The same body with muscle in place of bone mineral."""
        return replace(self, bone=np.zeros_like(self.bone), muscle=self.muscle + self.bone)

    def where(self, chosen: NDArray[np.bool_]) -> Paths:
        """The paths of some pixels, one-dimensional."""
        return Paths(
            *(way[chosen] for way in (self.envelope, self.bone, self.muscle, self.fat, self.lead))
        )


def trace(
    bones: Sequence[Sequence[Tube]],
    flesh: Sequence[Tube],
    x: Array,
    y: Array,
    *,
    pitch: float,
    scale: float,
    rng: np.random.Generator,
) -> Paths:
    """Path lengths at the points `x`, `y` (H, W; mm of a standard body, `pitch` mm a pixel).

    A bone is one or more tubes that are one solid: they join by the longest chord. Bones add.
    Flesh joins smoothly, as skin does. `scale` is the body's size against the standard one.
    """
    size = x.size
    spongy, fibres = noise_tile(2.2), noise_tile(4.0)
    cell = max(0.16, 0.4 * pitch)  # trabeculae are 0.2-1 mm apart, limited by the pixel size
    envelope, mineral = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for bone in bones:
        outer, inner, core = (np.zeros(size, np.float32) for _ in range(3))
        for tube in bone:
            c = chords(tube, x, y)
            shift, drift = rng.uniform(0, 100, 2).astype(np.float32)
            along, across = c.along + shift, c.across + drift
            grain = 1.0 + np.float32(0.18) * _look_up(spongy, along, across, cell)
            grain += np.float32(0.1) * _look_up(spongy, across, along, 1.7 * cell)
            outer[c.where] = np.maximum(outer[c.where], c.outer)
            inner[c.where] = np.maximum(inner[c.where], c.inner)
            core[c.where] = np.maximum(core[c.where], c.density * np.maximum(grain, 0.1))
        envelope += outer
        mineral += (outer - inner) + inner * core

    skin, lean = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for tube in flesh:
        c = chords(tube, x, y)
        shift = np.float32(rng.uniform(0, 400))
        strands = _look_up(fibres, c.along + shift, c.across, 1.3)
        strands += _look_up(fibres, c.along, c.across + shift, 3.0)
        muscle = c.inner * (1.0 + np.float32(0.02) * strands)
        skin[c.where] += np.square(np.square(c.outer))
        lean[c.where] += np.square(np.square(np.maximum(muscle, 0)))
    skin, lean = np.sqrt(np.sqrt(skin)), np.sqrt(np.sqrt(lean))
    lean = np.minimum(lean, skin)
    fat = skin - lean
    lean = np.maximum(lean - mineral, 0.0)

    def shaped(path: Array) -> Array:
        return np.asarray(path.reshape(x.shape) * np.float32(scale), np.float32)

    nothing = np.zeros(x.shape, np.float32)
    return Paths(shaped(envelope), shaped(mineral), shaped(lean), shaped(fat), nothing)


@dataclass(frozen=True)
class Exposure:
    """Acquisition and display parameters of a film."""

    kvp: float = 60.0
    photons: float = 4000.0  # at a pixel in air
    scatter: float = 0.3  # scattered : primary
    heel: float = 0.1  # loss of intensity across the film
    heel_angle: float = 0.0  # radians
    blur_px: float = 0.6  # focal spot and detector
    electronic: float = 0.002  # of the signal in air
    black: float = 0.1  # share of the range below flesh that is shown
    white: float = 1.05  # top of the shown range, of the densest ray
    gamma: float = 1.0
    steepness: float = 3.0  # of the sigmoid display curve
    detail: float = 0.5  # edge enhancement, as film processors do
    level: float = 0.0  # share of the low-frequency contrast removed

    @staticmethod
    def draw(rng: np.random.Generator) -> Exposure:
        """Draw random, clinically plausible parameters."""
        return Exposure(
            kvp=float(rng.uniform(48, 78)),
            photons=float(np.exp(rng.uniform(np.log(1200), np.log(20000)))),
            scatter=float(rng.uniform(0.08, 0.5)),
            heel=float(rng.uniform(0.02, 0.25)),
            heel_angle=float(rng.uniform(0, 2 * np.pi)),
            blur_px=float(rng.uniform(0.4, 0.85)),
            electronic=float(rng.uniform(0.0005, 0.003)),
            black=float(rng.uniform(-0.12, 0.3)),
            white=float(rng.uniform(1.02, 1.4)),
            gamma=float(rng.uniform(0.75, 1.35)),
            steepness=float(rng.uniform(1.0, 5.0)),
            detail=float(rng.uniform(0.1, 1.1)),
        )


def enlarged(coarse: Array, shape: tuple[int, ...]) -> Array:
    """Resize a coarse image (float32 h x w) to (height, width) by cubic interpolation."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(coarse, np.float32))
    return np.array(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def _veil(image: Array, sigma_px: float) -> Array:
    """A wide blur, computed on a coarse grid."""
    from scipy.ndimage import gaussian_filter

    step = max(1, int(sigma_px / 3))
    coarse = gaussian_filter(image[::step, ::step], sigma_px / step, mode="nearest")
    return enlarged(coarse, image.shape)


def transmit(paths: Paths, kvp: float) -> Array:
    """Transmitted fraction of the beam's energy (Beer-Lambert, summed over energies)."""
    hard = float(np.clip((kvp - 45.0) / 40.0, 0.0, 1.0))
    weights = (0.6 - 0.35 * hard, 0.35 + 0.1 * hard, 0.05 + 0.25 * hard)
    total = np.zeros(paths.bone.shape, np.float32)
    for weight, bone, muscle, fat in zip(weights, MU_BONE, MU_MUSCLE, MU_FAT, strict=True):
        depth = paths.bone * np.float32(bone) + paths.muscle * np.float32(muscle)
        depth += paths.fat * np.float32(fat) + paths.lead * np.float32(1.5)
        total += np.float32(weight) * np.exp(-depth)
    return total


def expose(paths: Paths, exposure: Exposure, rng: np.random.Generator) -> Array:
    """The film: (H, W) float32 in [0, 1], bone bright.

    Primary beam, scatter veil, heel effect, focal blur, quantum and electronic noise; then the
    logarithm, edge enhancement, a window and a sigmoid, as a digital radiograph is shown.
    """
    signal = with_noise(detect(paths, exposure), exposure, rng)
    return Display.of(signal, paths.lead == 0, exposure)(signal)


def detect(paths: Paths, exposure: Exposure) -> Array:
    """The signal at the detector without noise, as a fraction of that in air: float32 (H, W)."""
    from scipy.ndimage import gaussian_filter

    height, width = paths.bone.shape
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    right = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    slope = down * np.cos(exposure.heel_angle) + right * np.sin(exposure.heel_angle)
    lamp = (1.0 + np.float32(exposure.heel) * slope).astype(np.float32)
    signal = gaussian_filter(transmit(paths, exposure.kvp) * lamp, exposure.blur_px)
    veil = np.minimum(_veil(signal, min(height, width) / 10), 0.4)
    return np.asarray(signal + np.float32(exposure.scatter) * veil, np.float32)


def with_noise(signal: Array, exposure: Exposure, rng: np.random.Generator) -> Array:
    """A signal of `detect` with quantum and electronic noise."""
    count = signal * np.float32(exposure.photons)
    count += np.sqrt(count) * rng.standard_normal(count.shape, dtype=np.float32)
    signal = count / np.float32(exposure.photons)
    signal += np.float32(exposure.electronic) * rng.standard_normal(count.shape, dtype=np.float32)
    return signal


@dataclass(frozen=True)
class Display:
    """The processing that one signal determines, and that maps it, and others, to grey values."""

    exposure: Exposure
    floor: float  # of the signal: below it no differences are shown
    low: float  # of the processed density: shown as 0
    span: float  # from there to the value shown as 1

    @staticmethod
    def of(signal: Array, bare: NDArray[np.bool_], exposure: Exposure) -> Display:
        """The processing for a signal; `bare` are the pixels that no metal covers."""
        # Less than a third of what passes the thickest part.
        floor = float(np.clip(0.3 * np.percentile(signal[::4, ::4], 1), 1e-5, 2e-3))
        density = _density(signal, floor, exposure)
        body = density[bare]
        body = body if body.size else density.ravel()  # all of it behind a shield
        air, top = np.percentile(body[:: max(1, body.size // 20000)], (1.0, 99.6))
        low = air + exposure.black * (top - air)
        return Display(exposure, floor, low, max(float(exposure.white * (top - low)), 1e-3))

    def __call__(self, signal: Array) -> Array:
        """The film of a signal: float32 (H, W) in [0, 1]."""
        density = _density(signal, self.floor, self.exposure)
        shown = np.clip((density - self.low) / self.span, 0.0, 1.0)
        shown = shown ** np.float32(self.exposure.gamma)
        steep = np.float32(self.exposure.steepness)
        edge = np.tanh(steep / 4)
        return np.asarray(0.5 + 0.5 * np.tanh(steep / 2 * (shown - 0.5)) / edge, np.float32)


def _density(signal: Array, floor: float, exposure: Exposure) -> Array:
    """The logarithm of a signal, with edges enhanced and wide differences reduced."""
    from scipy.ndimage import gaussian_filter

    span = float(min(signal.shape))
    density = gaussian_filter(-np.log(np.maximum(signal, np.float32(floor))), 0.45)
    density += np.float32(exposure.detail) * (density - _veil(density, span / 25))
    if exposure.level:
        density -= np.float32(exposure.level) * _veil(density, span / 7)
    return np.asarray(density, np.float32)
