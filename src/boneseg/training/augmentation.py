"""Training augmentation of a whole batch at a time, in torch, from one seeded generator.

Geometric transforms are combined into one sampling grid per film, so that film and mask are
resampled together and only once; intensity transforms follow, on the film only. Masks stay binary.
"""

from __future__ import annotations

import math
from functools import lru_cache
from string import ascii_uppercase

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torch.nn import functional

from boneseg.recipes.settings import AugmentSettings
from boneseg.training.tensors import PreparedFilms


class Augmenter:
    """Random augmentation of a batch.

    >>> augment = Augmenter(AugmentSettings())
    >>> films, masks = augment(films, masks, torch.Generator().manual_seed(7))

    Films are float32 N x 1 x H x W of mean 0 and standard deviation 1; masks are float32 of the
    same shape, 0 or 1, on the same device. The generator is on the CPU, so that the draws do not
    depend on the device. Both are padded with 0 beyond the film's edge.
    """

    def __init__(self, settings: AugmentSettings) -> None:
        self.settings = settings

    def __call__(self, films: Tensor, masks: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        draws = _Draws(generator, films.shape[0])
        films, masks = self._geometry(films, masks, draws)
        films = self._grey_values(films, draws)
        films = self._sharpness(films, draws)
        films = self._artefacts(films, draws)
        return films, masks

    def _geometry(self, films: Tensor, masks: Tensor, draws: _Draws) -> tuple[Tensor, Tensor]:
        s, (height, width) = self.settings, films.shape[-2:]
        moved, deformed = draws.events(s.geometry), draws.events(s.elastic)
        mirrored, flipped = draws.events(s.flip_horizontal), draws.events(s.flip_vertical)
        if not (moved | deformed | mirrored | flipped).any():
            return films, masks

        angle = draws.uniform(-s.rotation, s.rotation) * moved * (math.pi / 180)
        scale = torch.exp(draws.uniform(-1, 1) * moved * math.log1p(s.zoom))
        shift_x = draws.uniform(-2 * s.shift, 2 * s.shift) * moved
        shift_y = draws.uniform(-2 * s.shift, 2 * s.shift) * moved
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
        return both[:, :1], (both[:, 1:] >= 0.5).to(masks.dtype)

    def _displacement(self, films: Tensor, deformed: Tensor, draws: _Draws) -> Tensor:
        """Smooth random displacement: a coarse grid of vectors, interpolated bicubically."""
        count, _, height, width = films.shape
        cell = min(height, width) / 4
        coarse = (count, 2, max(2, round(height / cell)) + 1, max(2, round(width / cell)) + 1)
        vectors = torch.randn(coarse, generator=draws.generator).to(films.device)
        field = functional.interpolate(vectors, (height, width), mode="bicubic", align_corners=True)
        reach = 2 * self.settings.elastic_size * min(height, width)
        sides = torch.tensor([1 / width, 1 / height]).view(1, 2, 1, 1)
        amount = (reach * sides * _each(deformed)).to(films.device)
        return (field * amount).permute(0, 2, 3, 1)

    def _grey_values(self, films: Tensor, draws: _Draws) -> Tensor:
        s = self.settings
        contrast = torch.where(draws.events(s.contrast), draws.uniform(0.7, 1.4), 1.0)
        brightness = torch.where(draws.events(s.contrast), draws.uniform(-0.4, 0.4), 0.0)
        sign = 1 - 2 * draws.events(s.invert).float()
        curved = draws.events(s.gamma)
        if curved.any():
            films = films.clone()
            exponent = torch.exp(draws.uniform(-0.5, 0.5))
            for index in curved.nonzero().flatten().tolist():
                films[index] = _gamma(films[index], float(exponent[index]))
        return films * _each(contrast * sign).to(films.device) + _each(brightness).to(films.device)

    def _sharpness(self, films: Tensor, draws: _Draws) -> Tensor:
        chosen = draws.events(self.settings.blur)
        sigma, amount = draws.uniform(0.5, 1.6), draws.uniform(-1.0, 1.0)
        if not chosen.any():
            return films
        films = films.clone()
        for index in chosen.nonzero().flatten().tolist():
            smooth = _blur(films[index], float(sigma[index]))
            # amount 1 gives the blurred film; below 0 is unsharp masking.
            films[index] += abs(float(amount[index])) ** 0.5 * (
                smooth - films[index] if amount[index] > 0 else films[index] - smooth
            )
        return films

    def _artefacts(self, films: Tensor, draws: _Draws) -> Tensor:
        s = self.settings
        noisy = draws.events(s.noise).float() * draws.uniform(0.02, 0.25)
        if noisy.any():
            films = films + draws.noise(films) * _each(noisy).to(films.device)
        for index in draws.events(s.dropout).nonzero().flatten().tolist():
            _draw_rectangles(films[index, 0], draws.generator)
        for index in draws.events(s.letter).nonzero().flatten().tolist():
            _draw_letter(films[index, 0], draws.generator)
        return films


def with_views(prepared: PreparedFilms, settings: AugmentSettings, seed: int) -> PreparedFilms:
    """Return the films followed by `settings.views` fixed augmented copies of each.

    This is offline augmentation, as in the original.
    """
    augment, generator = Augmenter(settings), torch.Generator().manual_seed(seed)
    films, masks = [prepared.films], [prepared.masks]
    for _ in range(settings.views):
        view, mask = augment(prepared.films, prepared.masks.float(), generator)
        films.append(view)
        masks.append(mask > 0)
    return PreparedFilms(torch.cat(films), torch.cat(masks), prepared.places * (settings.views + 1))


class _Draws:
    """Random draws for each film of a batch, always in the same order and number."""

    def __init__(self, generator: Generator, count: int) -> None:
        self.generator = generator
        self.count = count

    def events(self, probability: float) -> Tensor:
        return torch.rand(self.count, generator=self.generator) < probability

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self.count, generator=self.generator)

    def noise(self, films: Tensor) -> Tensor:
        """Normal noise of the films' shape, drawn on their device: faster than on the CPU."""
        if films.device.type == "cpu":
            return torch.randn(films.shape, generator=self.generator)
        seed = int(torch.randint(2**62, (), generator=self.generator))
        there = Generator(films.device).manual_seed(seed)
        return torch.randn(films.shape, generator=there, device=films.device)


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
