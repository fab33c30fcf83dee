"""Which bone a film does not show: its signal is below the film's noise and structure.

    views = views_of(paths, exposure, rng)
    hidden = hidden_bone(views, paths.mask)

A rib behind the liver is in the exact mask although it is invisible. To decide, the film is
rendered without noise twice, with its bone and with muscle in its place, and all three are
stitched, windowed and shuttered alike (`acquisition`). The difference of the two noiseless ones is
the bone's own signal. It is masked by the noise (the film less its noiseless version, blurred over
`_GRAIN`, as an eye averages it) and the structure of everything else (the boneless film less its
blur over `_DETAIL`). Each is a root mean square in a Gaussian window of `_WINDOW`. Bone is hidden
where the signal is less than `CONTRAST` times noise and structure together, or less than `_LEAST`
of the grey scale, which includes bone in saturated regions. All three widths are fractions of the
film's shorter side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import (
    Array,
    Display,
    Exposure,
    Paths,
    detect,
    with_noise,
)

Mask = NDArray[np.bool_]

CONTRAST = 0.5  # signal over noise and structure below which bone is hidden
_LEAST = 0.012  # of the grey scale: three levels of an 8-bit film
_GRAIN, _DETAIL, _WINDOW = 0.005, 0.03, 0.015


@dataclass(frozen=True)
class Views:
    """A film, its noiseless version, and that without bone: (H, W), float32 in [0, 1]."""

    film: Array
    clean: Array
    boneless: Array


def views_of(paths: Paths, exposure: Exposure, rng: np.random.Generator) -> Views:
    """The film of `projector.expose`, with what shows which bone can be seen on it."""
    clean = detect(paths, exposure)
    signal = with_noise(clean, exposure, rng)
    display = Display.of(signal, paths.lead == 0, exposure)
    boneless = detect(paths.without_bone(), exposure)
    return Views(display(signal), display(clean), display(boneless))


def hidden_bone(views: Views, mask: Mask) -> Mask:
    """The part of `mask` that is hidden: bool (H, W)."""
    from scipy.ndimage import gaussian_filter

    side = float(min(mask.shape))

    def power(image: Array) -> Array:
        return np.asarray(gaussian_filter(np.square(image), _WINDOW * side), np.float32)

    noise = gaussian_filter(views.film - views.clean, _GRAIN * side)
    structure = views.boneless - gaussian_filter(views.boneless, _DETAIL * side)
    signal = np.sqrt(power(views.clean - views.boneless))
    clutter = np.sqrt(power(noise) + power(structure))
    return np.asarray(mask & (signal < np.maximum(CONTRAST * clutter, _LEAST)), bool)
