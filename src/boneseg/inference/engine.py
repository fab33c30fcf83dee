"""Run a bundle on a film."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from boneseg.bundle.card import NAMES_ONNX, ONNX, OUTLINE_ONNX
from boneseg.bundle.shipped import is_shipped
from boneseg.bundle.store import Bundle, load_bundle, without_names
from boneseg.errors import BonesegError, BundleError
from boneseg.inference.backends import open_backend
from boneseg.inference.backends.base import Backend
from boneseg.inference.finding import Finding
from boneseg.inference.outline import REACH, Outline
from boneseg.inference.plausibility import SIDE
from boneseg.inference.restoring import restored_mask
from boneseg.inference.scales import Pass, Seen, averaged, bone_width
from boneseg.inference.temperature import scaled
from boneseg.inference.tiles import magnified, merged, tiled
from boneseg.inference.verdict.evidence import predictions
from boneseg.preprocessing import (
    Floats,
    Placement,
    Preparation,
    Stretched,
    in_squares,
    locally_normalised,
    resized,
)
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.grey import Grey

if TYPE_CHECKING:
    from boneseg.inference.verdict.network import Answer
    from boneseg.masks.segmentation import Segmentation

Mask = NDArray[np.bool_]
Number = TypeVar("Number", int, float)
_Seen = tuple[Floats, Placement, Floats]  # a film on a grid, where it is there, the network's views

FINER = 1.3  # times the pixels of the finest grid: fewer do not repay a pass along the outline
MOST = 4  # films processed concurrently: each is in memory with its results


class Engine:
    """A model ready for inference: a bundle or run folder (default: the bundled model).

    >>> engine = Engine("runs/knees")
    >>> mask = engine.segment(film)

    Films are a `Radiograph`, or an array (float32 H x W in [0, 1], bone bright) with square pixels.
    Results are on the film's own grid. `backend` is one of `inference.backends.BACKENDS` (default:
    the best one for this machine). With `full_resolution`, films larger than the working grid get
    a second pass in tiles, at up to `inference.tiles.MAGNIFIED` times the scale. The engine is
    thread-safe; `at_once` is the number of threads that will use it, limited to MOST. `threads`
    limits those that OpenVINO and ONNX Runtime start (0: one a core). The verdict on a mask expects
    every bone in it if `every_bone` (default: of the bundled model only). Raises BundleError if the
    bundle cannot be read or run, UsageError for a backend that is not installed.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str = "bundled",
        *,
        backend: str | None = None,
        full_resolution: bool = False,
        at_once: int = 1,
        threads: int = 0,
        every_bone: bool | None = None,
    ) -> None:
        self.bundle = bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self.at_once = max(1, min(at_once, MOST, os.cpu_count() or 1))
        self._open = partial(
            open_backend,
            bundle,
            backend,
            self.at_once,
            threads=threads,
        )
        self._network, self._naming = self._open(), Lock()
        self._outlines = self._open(file=OUTLINE_ONNX) if bundle.card.outlines else None
        # Films are resized one at a time: threads in steps as short as these would hand Python's
        # lock back and forth a thousand times a film.
        self._resizing = Lock()
        self._names: Backend | None = None  # opened when bones are first named
        self._width = 0.0  # px, of the bone of the film before; most films are of ribs or fingers
        self._full_resolution = full_resolution
        self._every = is_shipped(bundle.path) if every_bone is None else every_bone
        self._views = 2 if bundle.card.flips else 1  # of a film, on each grid
        if not bundle.card.fitted:  # report a bundle that cannot run before the first film
            self._prepare(self._first_pass((1, 1)))

    @property
    def name(self) -> str:
        """The backend, its precision and device."""
        return self._network.name

    def passes(self, film: tuple[int, int]) -> list[Pass]:
        """The passes that a film of (height, width) square pixels is likely to get.

        The first is on the working grid; which others suit the bone is only known after it. Films
        of a folder are alike, so those of the film before.
        """
        further = self.bundle.further(film, self._width)
        passes = [self._first_pass(film), *(Pass(one, self._views) for one in further)]
        outline = self._outline(film, passes)
        return passes if outline is None else [*passes, outline]

    def _first_pass(self, film: tuple[int, int]) -> Pass:
        """The pass on the working grid."""
        return Pass(self.bundle.preparation(film), self._views)

    def _outline(self, film: tuple[int, int], passes: Sequence[Pass]) -> Pass | None:
        """The pass along the outline that follows these, if its grid is finer than theirs."""
        grid = self.bundle.outline(film)
        finest = max(one.grid.height * one.grid.width for one in passes)
        if grid is None or grid.height * grid.width < FINER * finest:
            return None
        return Pass(grid, 1, outline=True)

    def load(self) -> None:
        """Load the network that finds bone beside what comes next.

        Loading one that was compiled before holds no lock of Python's: imports can go on meanwhile.
        Errors are left to `find`.
        """
        beside = ThreadPoolExecutor(1)
        card = self.bundle.card
        beside.submit(self._prepare, self._first_pass((card.height, card.width)))
        beside.shutdown(wait=False)

    def _prepare(self, one: Pass) -> None:
        """Load the network for a pass. Raises BundleError."""
        self._network_of(one).prepare(one.shape)

    def _network_of(self, one: Pass) -> Backend:
        """The network of a pass."""
        return self._outlines if one.outline and self._outlines else self._network

    def find(self, film: Radiograph | Floats) -> Finding:
        """Segment a film.

        Raises BonesegError if the network returns non-finite values.
        """
        pixels, aspect = (film.grey, film.aspect) if isinstance(film, Radiograph) else (film, 1.0)
        seen, outline, answer, thumbnail = self._over_grids(pixels, aspect)
        grid, place, _ = seen[0]
        mean, at = averaged([(views.mean(axis=0), where) for _, where, views in seen])
        if self._full_resolution:
            mean, at = self._refined(mean, at, seen[0], pixels, aspect)
        card = self.bundle.card
        probability = scaled(mean, card.temperature, _of_part(card.biases, answer, 0.0))
        if outline is not None:
            probability, at = self._finer((probability, at), *outline, answer)
        with self._resizing:
            mask = restored_mask(probability, at, card.threshold)
        scores = partial(Preparation(*grid.shape).restore, probability, at)
        naming = partial(self._bones, (grid, place), (probability, at), answer, mask)
        return Finding(scores, mask, pixels, answer, self._every, thumbnail, naming)

    def _finer(self, coarse: Seen, one: Pass, film: Seen, answer: Callable[[], Answer]) -> Seen:
        """A probability with that of the network that finds outlines, which is shown the former."""
        (laid, place), network, card = film, self._network_of(one), self.bundle.card
        assert card.outlines is not None
        outline = Outline.of(coarse, place, card.threshold)
        window = outline.window(laid.shape)
        if window is None:
            return coarse
        if not network.any_size:
            window = slice(None), slice(None)
        part = np.ascontiguousarray(outline.view(laid)[:, :, *window])
        found = np.zeros_like(laid)
        found[window] = self._answer(network, part, 1, one.file)[0, 0]
        fine = scaled(found, 1.0, _of_part(card.outlines.biases, answer, 0.0))
        return outline.refined(fine, _of_part(card.outlines.reaches, answer, REACH)), place

    def _refined(
        self, mean: Floats, at: Placement, first: _Seen, film: Grey | Floats, aspect: float
    ) -> Seen:
        """A probability with that of tiles at a higher resolution, if the film has one."""
        grid, place, _ = first
        preparation = Preparation(*grid.shape)
        large = magnified(preparation, place)
        if large is None:
            return mean, at
        close, finer = large.film(film, aspect)
        tiles = tiled(
            lambda tile: self._predicted(self._films(tile, self._views)).mean(axis=0),
            close,
            preparation,
        )
        return merged(mean, at, tiles, finer), finer

    def _over_grids(
        self, film: Grey | Floats, aspect: float
    ) -> tuple[list[_Seen], tuple[Pass, Seen] | None, Callable[[], Answer], Floats]:
        """What the network finds on each grid, and the film on that of the outline.

        Then the verdict network's answer, and the thumbnail.
        """
        shape = (film.shape[0], film.shape[1])
        size = in_squares(shape, aspect)
        likely = self.passes(size)
        with ThreadPoolExecutor(len(likely)) as beside:  # loads networks while films are prepared
            loading = [beside.submit(self._prepare, one) for one in likely]
            places = [one.grid.place(shape, aspect) for one in likely]
            with self._resizing:
                sizes = [(SIDE, SIDE), *(place.size for place in places)]
                thumbnail, *small = resized(film, sizes)
            ready = dict(zip(likely, zip(places, small, loading, strict=True), strict=True))

            def laid_in(one: Pass) -> Seen:
                if one not in ready:  # takes another pass over the film
                    place = one.grid.place(shape, aspect)
                    loaded = beside.submit(self._prepare, one)
                    with self._resizing:
                        ready[one] = place, resized(film, [place.size])[0], loaded
                place, small, loaded = ready[one]
                laid = one.grid.laid(small, place)
                loaded.result()
                return laid, place

            def seen_in(one: Pass) -> _Seen:
                laid, place = laid_in(one)
                return laid, place, self._predicted(self._films(laid, one.views))

            passes = likely[:1]
            seen = [seen_in(passes[0])]
            answer = cache(partial(self._judged, *seen[0]))  # not every call needs it
            card = self.bundle.card
            if card.biases or (card.outlines and (card.outlines.biases or card.outlines.reaches)):
                beside.submit(answer)  # while the network is on the next grid
            mean = places[0].window(seen[0][2].mean(axis=0))
            width = self._width = bone_width(mean >= card.threshold)
            # Other threads may set the width of their films meanwhile.
            passes += [Pass(one, self._views) for one in self.bundle.further(size, width)]
            seen += [seen_in(one) for one in passes[1:]]
            last = self._outline(size, passes)
            return seen, (last, laid_in(last)) if last else None, answer, thumbnail

    def segmentation(
        self,
        film: Radiograph,
        finding: Finding,
        name: Path | str,
        title: str = "",
        *,
        bones: bool = False,
    ) -> Segmentation:
        """A finding with its film and model, as the writers of masks take it.

        name: of the film in outputs. title: its name in a document of several films. bones: whether
        the bones have their names.
        """
        from boneseg.masks.segmentation import Segmentation  # after the first network is loaded

        return Segmentation(
            film,
            finding.mask,
            lambda: finding.probability,
            self.bundle.card.model,
            Path(name),
            called=title,
            judged=lambda: finding.verdict,
            named=(lambda: finding.bones) if bones else None,
        )

    def check_names(self) -> None:
        """Raise UsageError if the bundle does not name bones, and BundleError if it cannot."""
        self._namer()

    def _namer(self) -> Backend:
        """The network that names bones, which few calls need."""
        if self.bundle.card.bones is None:
            raise without_names(self.bundle)
        with self._naming:
            if self._names is None:
                self._names = self._open(file=NAMES_ONNX)
            return self._names

    def _bones(
        self, film: Seen, probability: Seen, answer: Callable[[], Answer], mask: Mask
    ) -> dict[str, Mask]:
        """The mask of each bone by its name: of the film on its first working grid."""
        from boneseg.inference.bones import named_masks, namer_views  # few calls need them
        from boneseg.inference.verdict.judge import part_probabilities

        network, bones = self._namer(), self.bundle.card.bones
        assert bones is not None
        parts = part_probabilities(answer(), bones.parts)
        grid, levels = Stretched(bones.height, bones.width), self.bundle.card.levels
        views, place = namer_views(film, probability, parts, grid, levels=levels)
        found = self._answer(network, views, len(bones.names), NAMES_ONNX)
        return named_masks((found[0] + found[1, :, :, ::-1]) / 2, place, mask, bones.names)

    def _judged(self, grid: Floats, place: Placement, views: Floats) -> Answer:
        """What the verdict network says of the first grid."""
        from boneseg.inference.verdict.judge import answered

        card = self.bundle.card
        calibrated = scaled(views, card.temperature)
        seen = predictions(grid, place, calibrated, card.threshold)
        return answered(seen.evidence(place.width / place.height), every=self._every)

    def _films(self, grid: Floats, views: int) -> Floats:
        """The network's input, views x 1 x height x width: a film, and of 2 its mirror image."""
        if views == 1:
            return np.ascontiguousarray(grid[None, None])
        second = locally_normalised(grid) if self.bundle.card.levels else grid
        return np.stack([grid, second[:, ::-1]])[:, None]

    def _predicted(self, films: Floats) -> Floats:
        """The probability of each member and view, float32 K x height x width."""
        found = self._answer(self._network, films, self.bundle.card.members, ONNX)
        if len(found) == 2:
            found = np.stack([found[0], found[1, :, :, ::-1]])  # the mirror image
        return found.reshape(-1, *found.shape[-2:])

    def _answer(self, network: Backend, films: Floats, channels: int, file: str) -> Floats:
        """The output of a network, float32 N x channels x height x width."""
        found = network(films)
        if found.shape != (len(films), channels, *films.shape[2:]):
            raise BundleError(
                f"{self.bundle.path}: the output size of its {file} does not match its card"
            )
        if not np.isfinite(found).all():
            raise BonesegError(f"{self.bundle.path}: the model returns non-finite values")
        return found

    def probability(self, film: Radiograph | Floats) -> Floats:
        """The probability of bone on a film: float32 H x W."""
        return self.find(film).probability

    def segment(self, film: Radiograph | Floats) -> NDArray[np.bool_]:
        """The mask of a film: bool H x W, True where there is bone."""
        return self.find(film).mask


def _of_part(values: Mapping[str, Number], answer: Callable[[], Answer], usual: Number) -> Number:
    """The value for the body part that a film most likely shows."""
    from boneseg.inference.verdict.judge import likely_part  # not every bundle asks

    return values.get(likely_part(answer()), usual) if values else usual
