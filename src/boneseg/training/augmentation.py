"""Training augmentation of a whole batch at a time, in torch, each film by a seed of its own.

Geometric transforms are combined into one sampling grid per film, so that film and mask are
resampled together and only once; intensity transforms follow, on the film only. Masks stay binary.
A film is augmented in the same way in any batch, so that a batch may be divided among devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from string import ascii_uppercase

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torch.nn import functional

from boneseg.recipes.settings import AugmentSettings
from boneseg.training.tensors import PreparedFilms


def film_seeds(count: int, generator: Generator) -> Tensor:
    """Draw a seed for the augmentation of each of `count` films: int64 N."""
    return torch.randint(2**62, (count,), generator=generator)


class Augmenter:
    """Random augmentation of a batch.

    >>> augment = Augmenter(AugmentSettings())
    >>> seeds = film_seeds(len(films), torch.Generator().manual_seed(7))
    >>> films, masks = augment(films, masks, seeds)

    Films are float32 N x 1 x H x W of mean 0 and standard deviation 1; masks are float32 of the
    same shape, 0 or 1, on the same device. Seeds are int64 N on the CPU, where the draws are made,
    so that they do not depend on the device. Both are padded with 0 beyond the film's edge.
    """

    def __init__(self, settings: AugmentSettings) -> None:
        self.settings = settings

    def __call__(self, films: Tensor, masks: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        draws = _Draws(seeds)
        films, masks = self._geometry(films, masks, draws)
        films = self._grey_values(films, draws)
        films = self._sharpness(films, draws)
        films = self._artefacts(films, draws)
        return films, masks

    def _geometry(self, films: Tensor, masks: Tensor, draws: _Draws) -> tuple[Tensor, Tensor]:
        s, (height, width) = self.settings, films.shape[-2:]
        moved, deformed = draws.events(s.geometry), draws.events(s.elastic)
        mirrored, flipped = draws.events(s.flip_horizontal), draws.events(s.flip_vertical)
        angle = draws.uniform(-s.rotation, s.rotation) * moved * (math.pi / 180)
        scale = torch.exp(draws.uniform(-1, 1) * moved * math.log1p(s.zoom))
        shift_x = draws.uniform(-2 * s.shift, 2 * s.shift) * moved
        shift_y = draws.uniform(-2 * s.shift, 2 * s.shift) * moved
        changed = moved | deformed | mirrored | flipped
        if not changed.any():
            return films, masks

        sine, cosine = angle.sin() * scale, angle.cos() * scale
        left_right, up_down = 1 - 2 * mirrored.float(), 1 - 2 * flipped.float()
        # In grid_sample's coordinates every side has length 2: rotation needs the aspect ratio.
        rows = [cosine * left_right, -sine * height / width * up_down, shift_x]
        columns = [sine * width / height * left_right, cosine * up_down, shift_y]
        affine = torch.stack([*rows, *columns], 1).view(-1, 2, 3).to(films.device)
        grid = functional.affine_grid(affine, list(films.shape), align_corners=False)
        if deformed.any():
            grid = grid + self._displacement(films, deformed, draws)
        both = functional.grid_sample(
            torch.cat([films, masks], 1), grid, mode="bilinear", align_corners=False
        )
        # Sampling blurs by rounding errors: a film that stays has its own values in any batch.
        here = _each(changed).to(films.device)
        films = torch.where(here, both[:, :1], films)
        return films, torch.where(here, (both[:, 1:] >= 0.5).to(masks.dtype), masks)

    def _displacement(self, films: Tensor, deformed: Tensor, draws: _Draws) -> Tensor:
        """Smooth random displacement: a coarse grid of vectors, interpolated bicubically."""
        count, _, height, width = films.shape
        cell = min(height, width) / 4
        coarse = (2, max(2, round(height / cell)) + 1, max(2, round(width / cell)) + 1)
        vectors = torch.zeros(count, *coarse)
        for index, generator in draws.chosen(deformed):
            vectors[index] = torch.randn(coarse, generator=generator)
        field = functional.interpolate(
            vectors.to(films.device), (height, width), mode="bicubic", align_corners=True
        )
        reach = 2 * self.settings.elastic_size * min(height, width)
        sides = torch.tensor([1 / width, 1 / height]).view(1, 2, 1, 1)
        return (field * (reach * sides).to(films.device)).permute(0, 2, 3, 1)

    def _grey_values(self, films: Tensor, draws: _Draws) -> Tensor:
        s = self.settings
        contrast = torch.where(draws.events(s.contrast), draws.uniform(0.7, 1.4), 1.0)
        brightness = torch.where(draws.events(s.contrast), draws.uniform(-0.4, 0.4), 0.0)
        sign = 1 - 2 * draws.events(s.invert).float()
        curved, exponent = draws.events(s.gamma), torch.exp(draws.uniform(-0.5, 0.5))
        if curved.any():
            films = films.clone()
            for index, _ in draws.chosen(curved):
                films[index] = _gamma(films[index], float(exponent[index]))
        return films * _each(contrast * sign).to(films.device) + _each(brightness).to(films.device)

    def _sharpness(self, films: Tensor, draws: _Draws) -> Tensor:
        chosen = draws.events(self.settings.blur)
        sigma, amount = draws.uniform(0.5, 1.6), draws.uniform(-1.0, 1.0)
        if not chosen.any():
            return films
        films = films.clone()
        for index, _ in draws.chosen(chosen):
            smooth = _blur(films[index], float(sigma[index]))
            # amount 1 gives the blurred film; below 0 is unsharp masking.
            films[index] += abs(float(amount[index])) ** 0.5 * (
                smooth - films[index] if amount[index] > 0 else films[index] - smooth
            )
        return films

    def _artefacts(self, films: Tensor, draws: _Draws) -> Tensor:
        """Draws on films that are not the caller's, since `_grey_values` has made new ones."""
        s = self.settings
        noisy, strength = draws.events(s.noise), draws.uniform(0.02, 0.25)
        for index, generator in draws.chosen(noisy):
            films[index] += float(strength[index]) * _noise(films[index], generator)
        for index, generator in draws.chosen(draws.events(s.dropout)):
            _draw_rectangles(films[index, 0], generator)
        for index, generator in draws.chosen(draws.events(s.letter)):
            _draw_letter(films[index, 0], generator)
        return films


def with_views(prepared: PreparedFilms, settings: AugmentSettings, seed: int) -> PreparedFilms:
    """Return the films followed by `settings.views` fixed augmented copies of each.

    This is offline augmentation, as in the original.
    """
    augment, generator = Augmenter(settings), Generator().manual_seed(seed)
    films, masks = [prepared.films], [prepared.masks]
    for _ in range(settings.views):
        seeds = film_seeds(len(prepared), generator)
        view, mask = augment(prepared.films, prepared.masks.float(), seeds)
        films.append(view)
        masks.append(mask > 0)
    return PreparedFilms(torch.cat(films), torch.cat(masks), prepared.places * (settings.views + 1))


class _Draws:
    """Random draws for each film of a batch, always in the same order and number."""

    NUMBERS = 22  # `events` and `uniform` of an augmentation

    def __init__(self, seeds: Tensor) -> None:
        self.generators = [Generator().manual_seed(seed) for seed in seeds.tolist()]
        numbers = [torch.rand(self.NUMBERS, generator=each) for each in self.generators]
        self._columns: Iterator[Tensor] = iter(
            torch.stack(numbers, 1) if numbers else torch.empty(self.NUMBERS, 0)
        )

    def events(self, probability: float) -> Tensor:
        return next(self._columns) < probability

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * next(self._columns)

    def chosen(self, events: Tensor) -> Iterator[tuple[int, Generator]]:
        """The films to which an event happens, with the generators of what else they need."""
        for index in events.nonzero().flatten().tolist():
            yield index, self.generators[index]


def _noise(film: Tensor, generator: Generator) -> Tensor:
    """Normal noise of a film's shape, drawn on its device: faster than on the CPU."""
    if film.device.type == "cpu":
        return torch.randn(film.shape, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    there = Generator(film.device).manual_seed(seed)
    return torch.randn(film.shape, generator=there, device=film.device)


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _gamma(film: Tensor, exponent: float) -> Tensor:
    low, high = film.amin(), film.amax()
    return ((film - low) / (high - low).clamp_min(1e-6)) ** exponent * (high - low) + low


def _blur(film: Tensor, sigma: float) -> Tensor:
    """A separable Gaussian over 1 x H x W."""
    reach = max(1, math.ceil(2.5 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(film.device)
    x = functional.pad(film[None], (reach, reach, reach, reach), mode="replicate")
    x = functional.conv2d(x, kernel.view(1, 1, 1, -1))
    return functional.conv2d(x, kernel.view(1, 1, -1, 1))[0]


def _draw_rectangles(film: Tensor, generator: Generator) -> None:
    """Draw one to three rectangles of uniform grey: collimators, labels, metal."""
    height, width = film.shape
    for _ in range(int(torch.randint(1, 4, (), generator=generator))):
        share = torch.rand(5, generator=generator).tolist()
        tall = max(1, int(height * (0.05 + 0.15 * share[0])))
        wide = max(1, int(width * (0.05 + 0.15 * share[1])))
        top, left = int(share[2] * (height - tall)), int(share[3] * (width - wide))
        film[top : top + tall, left : left + wide] = 6 * share[4] - 3


def _draw_letter(film: Tensor, generator: Generator) -> None:
    """Draw a bright burned-in letter, like a lead marker."""
    height, width = film.shape
    share = torch.rand(4, generator=generator).tolist()
    size = min(height, width, max(8, int(min(height, width) * (0.06 + 0.12 * share[0]))))
    glyph = _glyphs()[int(share[1] * 25.999)].to(film.device)
    mark = functional.interpolate(glyph[None, None], (size, size), mode="bilinear")[0, 0]
    top, left = int(share[2] * (height - size)), int(share[3] * (width - size))
    window = film[top : top + size, left : left + size]
    window.lerp_(torch.full_like(window, 2.5), mark)


@lru_cache(maxsize=1)
def _glyphs() -> Tensor:
    """The capital letters as float32 26 x 32 x 32 in [0, 1]."""
    font = ImageFont.load_default(28)
    tiles = []
    for letter in ascii_uppercase:
        tile = Image.new("L", (32, 32))
        ImageDraw.Draw(tile).text((16, 16), letter, fill=255, font=font, anchor="mm")
        tiles.append(np.array(tile, dtype=np.float32) / 255)
    return torch.from_numpy(np.stack(tiles))
