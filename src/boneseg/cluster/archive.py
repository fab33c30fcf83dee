"""Segment an archive on a cluster: exactly one result a film, however often it is started again.

    segment_archive(["s3://hospital/films"], job, engine.bundle, "10.0.0.1:6379")

    OUT/results/model=KEY/*.parquet     a row a film: see `results.py`
    OUT/masks/KEY/                      see `worker.py`
    OUT/journal/KEY/                    rows of the last seconds: see `journal.py`
    OUT/job-KEY.json                    the settings of the job

The driver, which this module is, lists the films, gives workers batches of them and writes rows.
It holds no film, and its memory does not depend on their number.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace

import ray
from ray.exceptions import RayError, RayTaskError

from boneseg._util.files import read_json
from boneseg._util.lock import sole_writer
from boneseg._util.text import counted
from boneseg.bundle.store import Bundle
from boneseg.cluster.connection import cause, connected
from boneseg.cluster.crew import Batch, Crew, Member
from boneseg.cluster.journal import Journal
from boneseg.cluster.ledger import Known, Ledger, ledger
from boneseg.cluster.manifest import list_films
from boneseg.cluster.results import Results
from boneseg.cluster.row import Copy, Row
from boneseg.cluster.storage import Storage, public_url
from boneseg.cluster.worker import Job
from boneseg.errors import BonesegError

LARGEST = 32  # films of a batch
DEATHS = 3  # workers that a film may cost


@dataclass
class Progress:
    """How far a job is.

    total: films to do. there: films that had their result before. repeated: rows of a manifest
    that name a film again. began: when the first worker was ready.
    """

    total: int = 0
    there: int = 0
    repeated: int = 0
    done: int = 0
    failed: int = 0
    workers: int = 0
    engine: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Films a second."""
        return self.done / max(1e-9, time.monotonic() - self.began)

    @property
    def left(self) -> float:
        """Seconds that the rest will take."""
        return (self.total - self.done) / self.rate if self.done else float("inf")


Answers = ray.ObjectRef[list[Row | Copy]]
Report = Callable[[Progress, Row | None], None]


def segment_archive(
    inputs: Sequence[str],
    job: Job,
    bundle: Bundle,
    address: str,
    *,
    max_failures: int | None = None,
    workers: int | None = None,
    report: Report | None = None,
) -> Progress:
    """Segment all films of `inputs` (see `list_films`) that have no result in `job.out` yet.

    Films that failed before are tried again, and so are those that lack one of the formats; formats
    of earlier jobs are written as well, so that all rows have the same. workers: at most so many
    (default: as many as the cluster has cores for). The rows that are known are written in any
    case, also where it is interrupted. Raises UsageError and DatasetError for inputs, OutputError
    where a result cannot be written, ServiceError for the cluster, and BonesegError above
    `max_failures`.
    """
    out = Storage(job.out)
    guard: AbstractContextManager[None] = sole_writer(out.local) if out.local else nullcontext()
    with guard, ledger() as films:
        job = _with_formats_before(job, out)
        results, progress = Results(out, job.results, Journal(out, job.key)), Progress()
        _list(inputs, job.formats, films, results, progress, report)
        settings = asdict(job) | {"out": public_url(job.out)}
        out.write(job.settings_file, json.dumps(settings, indent=2).encode())
        if not progress.total:
            results.save()
            return progress
        with connected(address, workers * job.cores if workers and address == "local" else None):
            model = {file.name: file.read_bytes() for file in bundle.path.iterdir()}
            crew = Crew(job, model, films.digests(), workers)
            run = _Run(crew, films, results, progress, max_failures, report)
            try:
                run.run()
            finally:
                results.save()
    return progress


def _with_formats_before(job: Job, out: Storage) -> Job:
    """The job with the formats of earlier ones as well."""
    before: list[str] = []
    with suppress(ValueError, LookupError, TypeError):  # another's file is replaced
        before = [str(kind) for kind in read_json(out.read(job.settings_file) or b"")["formats"]]
    return replace(job, formats=tuple(dict.fromkeys([*before, *job.formats])))


def _list(
    inputs: Sequence[str],
    formats: Sequence[str],
    films: Ledger,
    results: Results,
    progress: Progress,
    report: Report | None = None,
) -> None:
    """Fill the ledger with the films that have no result yet; bad rows of manifests have one."""
    for source, digest in results.resume(formats):
        films.done(source)
        films.found_in(results.shard, digest)
    for row in results.unsaved(formats):
        if row.digest and films.done(row.source):
            films.found_in(results.shard, row.digest)
            results.add(row)
    for entry in list_films(inputs, results.out.url):
        name = public_url(entry.source)
        if entry.error is not None:
            row = Row(name, error=entry.error)
            results.add(row)
            progress.failed += 1
            progress.done += 1
            if report:
                report(progress, row)
            continue
        known = films.add(name, entry.source)
        progress.there += known is Known.DONE
        progress.repeated += known is Known.ADDED
    progress.total = films.count + progress.failed


@dataclass
class _Run:
    """A job while it runs."""

    crew: Crew
    films: Ledger
    results: Results
    progress: Progress
    max_failures: int | None
    report: Report | None
    pending: dict[ray.ObjectRef[list[Row | Copy]], tuple[Member, Batch]] = field(
        default_factory=dict
    )
    again: deque[Batch] = field(default_factory=deque)  # of workers that died

    def run(self) -> None:
        self._check_failures()  # of the manifest
        fresh = self._batches()
        following = next(fresh, None)
        while self.pending or self.again or following:
            self.crew.fill()
            while batch := (self.again[0] if self.again else following):
                if not self._give(batch):
                    break
                if self.again:
                    self.again.popleft()
                else:
                    following = next(fresh, None)
            self._wait()
        self.crew.dismiss()

    def _batches(self) -> Iterator[Batch]:
        """The films in batches; of few films, small ones, so that all workers have some."""
        size = max(1, min(LARGEST, self.films.count // 64))
        sources: list[str] = []
        for source in self.films.waiting():
            sources.append(source)
            if len(sources) == size:
                yield Batch(tuple(sources))
                sources = []
        if sources:
            yield Batch(tuple(sources))

    def _give(self, batch: Batch) -> bool:
        """Give a batch to a worker; returns whether one has room for it."""
        member = self.crew.free(batch)
        if member is None:
            return False
        member.batches.append(batch)
        self.pending[member.actor.segment.remote(batch.sources)] = member, batch
        return True

    def _wait(self) -> None:
        """Take what is finished, after a second at most."""
        refs = [*self.pending, *self.crew.refs]
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0.05) if refs else ([], [])
        if refs and not ready:
            ready, _ = ray.wait(refs, num_returns=1, timeout=1.0)
        for ref in ready:
            if ref in self.pending:
                self._take(ref, *self.pending.pop(ref))
            else:
                self.crew.answered(ref)
        if self.crew.size and not self.progress.engine:
            self.progress.engine, self.progress.began = self.crew.engine, time.monotonic()
        self.progress.workers = self.crew.size
        if self.report:
            self.report(self.progress, None)

    def _take(self, ref: Answers, member: Member, batch: Batch) -> None:
        member.batches.remove(batch)
        try:
            answers = ray.get(ref)
        except RayTaskError as error:
            raise cause(error) from None
        except RayError:  # the worker died, or its machine
            self.crew.lost(member)
            self._lost(batch)
            return
        for source, answer in zip(batch.sources, answers, strict=True):
            self._add(source, answer)
        if any(isinstance(answer, Row) and answer.error is None for answer in answers):
            self.results.added(batch.sources)

    def _lost(self, batch: Batch) -> None:
        deaths = batch.deaths + 1
        if len(batch.sources) > 1 and deaths >= 2:  # find the film that kills workers
            self.again.extend(Batch((source,), deaths) for source in batch.sources)
        elif deaths > DEATHS:
            why = "workers die over this film, perhaps for lack of memory; reduce it"
            self._add(batch.sources[0], Row(public_url(batch.sources[0]), error=why))
        else:
            self.again.append(Batch(batch.sources, deaths))

    def _add(self, source: str, answer: Row | Copy) -> None:
        """Add a row, unless its film has one: of a name that is hidden, it shows only now."""
        self.progress.done += 1
        if answer.source != public_url(source) and not self.films.done(answer.source):
            return
        row = answer if isinstance(answer, Row) else self._copied(answer)
        self.results.add(row)
        self.progress.failed += row.error is not None
        if self.report:
            self.report(self.progress, row)
        self._check_failures()

    def _check_failures(self) -> None:
        """Raise BonesegError if more films failed than may."""
        most = self.max_failures
        if most is not None and self.progress.failed > most:
            failed = counted(self.progress.failed, "film")
            raise BonesegError(
                f"{failed} failed, more than --max-failures {most}; see the column error of "
                f"{self.results.place}"
            )

    def _copied(self, copy: Copy) -> Row:
        return self.results.copied(copy, self.films.shard_of(copy.digest))
