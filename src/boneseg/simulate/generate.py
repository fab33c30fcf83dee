"""A folder of simulated films and their masks, ready for `boneseg train`.

simulate(Path("films"), 1000, source=SkeletonSource(Path("meshes"), (Path("model.osim"),)))
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import sweep, whole_file, write_table
from boneseg._util.lock import exclusive
from boneseg._util.processes import workers
from boneseg.errors import OutputError, UsageError
from boneseg.simulate.atlas_bones import with_atlas_bones
from boneseg.simulate.ct import CtBody, ct_film, read_ct
from boneseg.simulate.film import Film, check_size
from boneseg.simulate.organs import read_organs
from boneseg.simulate.phantom import phantom_film
from boneseg.simulate.scene import ANCHORS, skeleton_film
from boneseg.simulate.skeleton import Skeleton, read_skeleton
from boneseg.simulate.tissue import Atlas

UNFINISHED, FINISHED = "unfinished.csv", "simulated.csv"  # films made so far; the settings
VIEW_COLUMNS = (
    "name", "part", "projection", "side", "rotation_deg", "mm_per_px", "kvp", "photons", "scatter",
    "gamma", "bone_share", "hidden_share",
)  # fmt: skip


class Source(Protocol):
    """The source of films; small and picklable, as it is sent to worker processes."""

    @property
    def kind(self) -> str:
        """The prefix of the films' names."""

    def check(self) -> None:
        """Raise UsageError where the source cannot be used."""

    def film(self, seed: int, size: tuple[int, int]) -> Film:
        """The film of this seed, as large as fits into `size` (height, width)."""


@dataclass(frozen=True)
class PhantomSource:
    """Procedural limbs, without any patient data."""

    kind: str = "phantom"

    def check(self) -> None:
        """Phantoms are always available."""

    def film(self, seed: int, size: tuple[int, int]) -> Film:
        """See `phantom_film`."""
        return phantom_film(seed, size)


@dataclass(frozen=True)
class SkeletonSource:
    """Bone meshes, posed by OpenSim models where given; of one region or all."""

    meshes: Path
    models: tuple[Path, ...] = ()
    region: str | None = None
    organs: Path | None = None  # meshes of the soft tissue, see `organs.read_organs`
    each: bool = False  # films have the mask of each bone
    kind: str = "skeleton"

    @property
    def skeletons(self) -> tuple[Skeleton, ...]:
        """The skeletons, read once per process."""
        return tuple(_skeleton(self.meshes, model) for model in self.models or (None,))

    @property
    def atlases(self) -> tuple[tuple[Atlas, ...], ...]:
        """The atlases of each skeleton that has a trunk, read once per process."""
        if self.organs is None:
            return ()
        return tuple(_atlases(self.meshes, model, self.organs) for model in self.models or (None,))

    @property
    def others(self) -> tuple[tuple[Skeleton, ...], ...]:
        """Each skeleton with bones of the bodies among the organs, read once per process."""
        if self.organs is None:
            return ()
        return tuple(_others(self.meshes, model, self.organs) for model in self.models or (None,))

    def check(self) -> None:
        """Raise UsageError for meshes, models and organs that cannot be read or used."""
        if self.organs is not None and not any(self.atlases):
            raise UsageError(
                f"{self.organs}: no model has the bodies {' and '.join(ANCHORS)} that organs "
                "require; add a model that has them, or omit --organs"
            )
        self.film(0, (64, 64))

    def film(self, seed: int, size: tuple[int, int]) -> Film:
        """See `skeleton_film`."""
        return skeleton_film(
            seed, size, self.skeletons, self.region, self.atlases, self.each, self.others
        )


@dataclass(frozen=True)
class CtSource:
    """A CT volume and its labels (NIfTI); `bones` are the labels of bone (default: all but 0)."""

    ct: Path
    labels: Path
    bones: tuple[int, ...] | None = None
    kind: str = "ct"

    def check(self) -> None:
        """Raise UsageError for volumes that cannot be read or contain no bone."""
        _ct(self.ct, self.labels, self.bones)

    def film(self, seed: int, size: tuple[int, int]) -> Film:
        """See `ct_film`."""
        return ct_film(seed, size, _ct(self.ct, self.labels, self.bones))


@cache
def _ct(ct: Path, labels: Path, bones: tuple[int, ...] | None) -> CtBody:
    return read_ct(ct, labels, bones)


@cache
def _atlases(meshes: Path, model: Path | None, organs: Path) -> tuple[Atlas, ...]:
    skeleton = _skeleton(meshes, model)
    bodies = {bone.body for bone in skeleton.bones}
    return read_organs(organs, skeleton) if bodies.issuperset(ANCHORS) else ()


@cache
def _others(meshes: Path, model: Path | None, organs: Path) -> tuple[Skeleton, ...]:
    return with_atlas_bones(organs, _skeleton(meshes, model))


@cache
def _skeleton(meshes: Path, model: Path | None) -> Skeleton:
    return read_skeleton(meshes, model)


@exclusive
def simulate(
    out: Path,
    count: int,
    *,
    source: Source | None = None,
    seed: int = 0,
    size: tuple[int, int] = (256, 256),
    bits: int = 8,
    parallel: int = 1,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `count` films to `out`, of phantoms unless another `source` is given.

    images/NAME.png (grey, 8 or 16 `bits`), masks/NAME.png (uint8, 0/255), parts.csv (name, part,
    projection) and views.csv (`VIEW_COLUMNS`); hidden/NAME.png, the bone in the mask that the film
    does not show (`visibility`), except for phantoms; and for a source with `each`, bones/NAME.npz,
    the mask of each bone on the film: `names` (N) and `masks` (bool, N x H x W). Film i has the
    seed `seed + i`, whatever the number of processes (`parallel`). Tables are written last, then
    simulated.csv with the settings. With `resume` an interrupted set is continued, and a finished
    one is left unchanged. `progress` is called with the number of finished films and the total.

    Raises UsageError for an invalid count, size, seed, depth or source, or one that differs from
    that of the set to resume; and OutputError for a folder that cannot be written or already
    contains other images.
    """
    source = source or PhantomSource()
    _check(count, seed, bits, parallel)
    check_size(size)
    source.check()
    out = Path(out)
    task = _Task(source, out, size, bits)
    asked = f"{count} of {source}, seed {seed}, {size[0]} x {size[1]}, {bits} bit"
    done = _Done(out / UNFINISHED, out / FINISHED, asked)
    if resume and done.is_finished():
        if progress is not None:
            progress(count, count)
        return
    try:
        views = done.rows() if resume and done.path.exists() else done.begin()
        for view in task.all(range(seed + len(views), seed + count), parallel):
            done.add(view)
            views.append(view)
            if progress is not None:
                progress(len(views), count)
        write_table(out / "parts.csv", VIEW_COLUMNS[:3], [row[:3] for row in views])
        write_table(out / "views.csv", VIEW_COLUMNS, views)
        done.finish()
    except OSError as error:
        raise OutputError(
            f"cannot write to {out} ({error.strerror or error}): choose a folder for --out that "
            "can be written"
        ) from error


def _check(count: int, seed: int, bits: int, parallel: int) -> None:
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("parallel", parallel, 1)):
        if value < least:
            raise UsageError(f"simulate: {name} is {value}; give {least} or more")
    if bits not in (8, 16):
        raise UsageError(f"simulate: {bits} bits per pixel are not supported; give 8 or 16")


@dataclass(frozen=True)
class _Done:
    """The rows of the finished films, kept beside them until all are finished."""

    path: Path
    finished: Path  # replaces it when all films are finished
    asked: str  # the settings of the set

    def begin(self) -> list[list[str]]:
        """Start with no rows. Raises OutputError where there are films already."""
        sweep(self.path.parent)
        for folder in (self.path.parent / "images", self.path.parent / "masks"):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
            if any(folder.iterdir()):
                advice = "add --resume, or " if self.path.exists() else ""
                raise OutputError(
                    f"{folder} already contains files: {advice}choose another folder for --out"
                )
        with whole_file(self.path) as temporary:
            self._write("w", [self.asked], temporary)
        return []

    def rows(self) -> list[list[str]]:
        """Read the rows of finished films. Raises UsageError where the settings differ."""
        for folder in ("", "images", "masks", "hidden", "bones"):
            sweep(self.path.parent / folder)
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # an interruption can leave half a line
        first, *rows = _cells(whole) or [[]]
        if first != [self.asked]:
            raise UsageError(
                f"{self.path.parent}: was started with other options, listed in the first line "
                f"of its {self.path.name}; give the same options or choose another folder for --out"
            )
        os.truncate(self.path, len(whole))
        return rows

    def is_finished(self) -> bool:
        """Return whether all films are finished. Raises UsageError where the settings differ."""
        if self.path.exists() or not self.finished.exists():
            return False
        if _cells(self.finished.read_bytes()) != [[self.asked]]:
            raise UsageError(
                f"{self.path.parent}: contains a set made with other options, listed in its "
                f"{self.finished.name}; give the same options, or choose another folder"
            )
        return True

    def finish(self) -> None:
        """Record that all films are finished."""
        with whole_file(self.finished) as temporary:
            self._write("w", [self.asked], temporary)
        self.path.unlink()

    def add(self, row: Sequence[str]) -> None:
        """Record a finished film."""
        self._write("a", row)

    def _write(self, mode: str, row: Sequence[str], path: Path | None = None) -> None:
        with (path or self.path).open(mode, newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row)


def _cells(content: bytes) -> list[list[str]]:
    """The rows of a CSV file; none where it is damaged."""
    try:
        return list(csv.reader(StringIO(content.decode("utf-8", errors="replace"))))
    except csv.Error:
        return []


@dataclass(frozen=True)
class _Task:
    """Makes and writes films, in this process or in workers."""

    source: Source
    out: Path
    size: tuple[int, int]
    bits: int

    def all(self, seeds: range, parallel: int) -> Iterator[list[str]]:
        """Yield a row of views.csv for each film, in order."""
        if parallel == 1:
            yield from map(self.one, seeds)
            return
        with workers(parallel, self.out) as pool:
            yield from pool.map(self.one, seeds, chunksize=4)

    def one(self, seed: int) -> list[str]:
        """Make and write the film of a seed; return its row."""
        name, film = f"{self.source.kind}_{seed:06d}", self.source.film(seed, self.size)
        top = 2**self.bits - 1
        grey = np.rint(film.pixels * top).astype(np.uint8 if self.bits == 8 else np.uint16)
        _save_png(self.out / "images" / f"{name}.png", grey)
        _save_png(self.out / "masks" / f"{name}.png", film.mask.astype(np.uint8) * 255)
        if film.hidden is not None:
            (self.out / "hidden").mkdir(exist_ok=True)
            _save_png(self.out / "hidden" / f"{name}.png", film.hidden.astype(np.uint8) * 255)
        if film.bones:
            (self.out / "bones").mkdir(exist_ok=True)
            with whole_file(self.out / "bones" / f"{name}.npz") as path, path.open("wb") as file:
                names, masks = np.array(list(film.bones)), np.stack(list(film.bones.values()))
                np.savez_compressed(file, names=names, masks=masks)
        return _view_row(name, film)


def _view_row(name: str, film: Film) -> list[str]:
    view, exposure = film.view, film.view.exposure
    return [
        name, film.part, view.projection, view.side,
        f"{view.rotation_deg:.2f}", f"{view.mm_per_px:.4f}",
        f"{exposure.kvp:.1f}", f"{exposure.photons:.0f}", f"{exposure.scatter:.3f}",
        f"{exposure.gamma:.3f}", f"{film.mask.mean():.4f}",
        "" if film.hidden is None else f"{film.hidden.mean():.4f}",
    ]  # fmt: skip


def _save_png(path: Path, grey: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    from PIL import Image

    with whole_file(path) as temporary:
        Image.fromarray(grey).save(temporary, format="PNG", compress_level=4)
