"""A worker of an archive: an actor with an engine, which takes films from their URL to their masks.

Films pass reading, finding and writing in threads of the worker: as many find at once as it has
cores, and a few more read or write meanwhile, so that there are never more films in memory than
threads. The files of a film are named by the digest of its content and that of the job; content
that had its result at the start of the job is not segmented again. In a bucket a film costs a GET,
and a PUT for each file; a batch, one more for its journal.

    OUT/masks/KEY/ab/DIGEST_mask.png
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Semaphore

import numpy as np

from boneseg._util import runtime
from boneseg.bundle.store import load_bundle
from boneseg.cluster.journal import Journal
from boneseg.cluster.ledger import Digests, holds
from boneseg.cluster.row import Copy, Row
from boneseg.cluster.storage import Storage, is_url, public_url, read_film
from boneseg.errors import BonesegError, OutputError, unexpected
from boneseg.inference.engine import Engine
from boneseg.masks.formats import DOCUMENT_FORMATS
from boneseg.masks.output import files_of, write_outputs
from boneseg.masks.segmentation import Segmentation
from boneseg.radiograph.privacy import gives_away
from boneseg.radiograph.read import read_radiograph
from boneseg.radiograph.sniff import is_dicom

AHEAD = 2  # films read or written by a worker while others are segmented


@dataclass(frozen=True)
class Job:
    """What is done with every film of an archive.

    out: URL of the results. model: SHA-256 of the model's card. cores: of a worker. The others are
    those of `segment`.
    """

    out: str
    model: str
    formats: tuple[str, ...]
    cores: int = 2
    invert: bool = False
    frame: int | None = None
    spacing: float | None = None
    full_resolution: bool = False
    every_bone: bool = False
    backend: str | None = None
    keep_names: bool = False
    overlay_side: int | None = None

    @cached_property
    def key(self) -> str:
        """A digest of the model and of what else changes a mask."""
        flags = self.invert, self.full_resolution, self.every_bone
        chosen = (self.model, self.frame, self.spacing, *flags)
        return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]

    @property
    def results(self) -> str:
        """The folder of the rows, below OUT."""
        return f"results/model={self.key}"

    @property
    def settings_file(self) -> str:
        """The name of the file with these settings, below OUT."""
        return f"job-{self.key}.json"


class Worker:
    """An engine and its threads."""

    def __init__(self) -> None:
        runtime.start()
        runtime.ignore_interrupts()

    def version(self) -> str:
        return version("boneseg")

    def start(self, job: Job, model: Mapping[str, bytes], known: Digests) -> str:
        """Open the engine on a model, given by the content of its files; returns its name.

        known: the contents that have their result already.
        """
        self._job, self._out, self._known = job, Storage(job.out), known
        self._journal = Journal(self._out, job.key)
        self._folder = tempfile.TemporaryDirectory(prefix="boneseg-")
        bundle = Path(self._folder.name) / "bundle"
        bundle.mkdir()
        for name, content in model.items():
            (bundle / name).write_bytes(content)
        self._engine = Engine(
            load_bundle(bundle),
            backend=job.backend,
            full_resolution=job.full_resolution,
            at_once=job.cores,
            threads=job.cores,
            every_bone=job.every_bone,
        )
        self._finding = Semaphore(self._engine.at_once)
        self._films = ThreadPoolExecutor(self._engine.at_once + AHEAD)
        return self._engine.name

    def segment(self, sources: Sequence[str]) -> list[Row | Copy]:
        """The row of each film. Raises OutputError if a result cannot be written."""
        answers = list(self._films.map(self._row, sources))
        self._journal.write(sources, (row for row in answers if isinstance(row, Row)))
        return answers

    def _row(self, source: str) -> Row | Copy:
        name = public_url(source)
        try:
            with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
                return self._segmented(source, name, Path(folder))
        except OutputError:
            raise
        except BonesegError as error:
            return Row(name, error=str(error).removeprefix(f"{name}: "))
        except Exception as error:  # from a library: its message could quote the file
            return Row(name, error=unexpected("film", error).removeprefix("film: "))

    def _segmented(self, source: str, name: str, folder: Path) -> Row | Copy:
        content = read_film(source)
        digest = hashlib.sha256(content).hexdigest()
        film, size = Path(source), len(content)
        if is_url(source):
            film = folder / f"film-{digest[:12]}"
            film.write_bytes(content)
        del content
        if not self._job.keep_names and is_dicom(film) and gives_away(source, film):
            name = f"film-{digest[:12]}.dcm"
        if holds(self._known, digest):
            return Copy(name, digest)
        before = Row(name, digest, size)
        try:
            return self._found(film, before, folder)
        except BonesegError as error:
            if isinstance(error, OutputError):
                raise
            words = str(error).removeprefix(f"{film}: ").removeprefix(f"{name}: ")
            return replace(before, error=words.replace(str(film), name))

    def _found(self, path: Path, row: Row, folder: Path) -> Row:
        """Segment a film and write its files. Raises BonesegError."""
        job = self._job
        film = read_radiograph(
            path, invert=job.invert, frame=job.frame, keep_names=True, spacing=job.spacing
        )
        with self._finding:
            started = time.perf_counter()
            finding = self._engine.find(film)
            seconds = time.perf_counter() - started
            verdict = finding.verdict
        found = self._engine.segmentation(film, finding, row.source)
        found = replace(found, overlay_side=job.overlay_side)
        outputs, skipped = self._written(found, str(row.digest), folder)
        del found
        height, width = film.shape
        area = int(np.count_nonzero(finding.mask))
        judged = verdict.rounded()
        return replace(
            row,
            width=width,
            height=height,
            part=judged.part,
            part_confidence=judged.part_confidence,
            projection=judged.projection,
            verdict=judged.verdict,
            reason=judged.reason,
            trust=judged.trust,
            area_px=area,
            area_mm2=film.area_mm2(area),
            spacing=film.spacing_kind,
            seconds=round(seconds, 4),
            outputs=outputs,
            skipped=skipped,
        )

    def _written(
        self, found: Segmentation, digest: str, folder: Path
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Write the files of a film; returns them, and the skipped formats, by format."""
        made = folder / "out"
        made.mkdir()
        _, entries, skipped = write_outputs(found, made / digest, self._job.formats)
        for kind, entry in entries.items():  # a document for each film
            form = DOCUMENT_FORMATS[kind]
            form.write_document(made / f"{digest}_{form.document}", [entry])
        names = files_of(digest, self._job.formats) | {
            kind: f"{digest}_{DOCUMENT_FORMATS[kind].document}" for kind in entries
        }
        place = f"masks/{self._job.key}/{digest[:2]}"
        outputs = {kind: f"{place}/{name}" for kind, name in names.items() if kind not in skipped}
        for kind, where in outputs.items():
            self._out.put(made / names[kind], where)
        return outputs, skipped
