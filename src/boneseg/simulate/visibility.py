"""Which bone a film does not show: its signal is below the film's noise and structure.

    pixels, hidden = film_of(paths, exposure, rng)

A rib behind the liver is in the exact mask although it is invisible. To decide, the film is
rendered without noise twice, with its bone and with muscle in its place. Their difference is the
bone's own signal. It is masked by the noise (the film less its noiseless version, blurred over
`_GRAIN`, as an eye averages it) and the structure of everything else (the boneless film less its
blur over `_DETAIL`). Each is a root mean square in a Gaussian window of `_WINDOW`. Bone is hidden
where the signal is less than `CONTRAST` times noise and structure together, or less than `_LEAST`
of the grey scale, which includes bone in saturated regions. All three widths are fractions of the
film's shorter side.
"""

from __future__ import annotations

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


def film_of(paths: Paths, exposure: Exposure, rng: np.random.Generator) -> tuple[Array, Mask]:
    """The film of `projector.expose`, and the bone that it does not show: bool (H, W)."""
    clean = detect(paths, exposure)
    signal = with_noise(clean, exposure, rng)
    display = Display.of(signal, paths.lead == 0, exposure)
    film = display(signal)
    without = display(detect(paths.without_bone(), exposure))
    hidden = hidden_bone(film, display(clean), without, paths.mask)
    return film, hidden


def hidden_bone(film: Array, clean: Array, without: Array, mask: Mask) -> Mask:
    """The part of `mask` that is hidden: bool (H, W).

    All are (H, W): the film, its noiseless version, and that without bone, float32 in [0, 1].
    """
    from scipy.ndimage import gaussian_filter

    side = float(min(film.shape))

    def power(image: Array) -> Array:
        return np.asarray(gaussian_filter(np.square(image), _WINDOW * side), np.float32)

    noise = gaussian_filter(film - clean, _GRAIN * side)
    structure = without - gaussian_filter(without, _DETAIL * side)
    signal = np.sqrt(power(clean - without))
    clutter = np.sqrt(power(noise) + power(structure))
    return np.asarray(mask & (signal < np.maximum(CONTRAST * clutter, _LEAST)), bool)
