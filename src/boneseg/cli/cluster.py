"""The option --cluster: archives of segment; folds and trials of crossval, compare and tune."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg._util.console import say
from boneseg._util.text import counted
from boneseg.cli.common import check_without_cluster, print_json
from boneseg.cli.progress import Progress as Bar
from boneseg.errors import UsageError

if TYPE_CHECKING:
    from boneseg._util.pools import Pool
    from boneseg.cluster.archive import Progress
    from boneseg.cluster.row import Row

CORES = 2  # of a worker


def segment_on_cluster(
    inputs: Sequence[str],
    out: str,
    address: str,
    *,
    model: Path | None,
    formats: Sequence[str],
    cores: int | None,
    invert: bool,
    frame: int | None,
    spacing: float | None,
    full_resolution: bool,
    backend: str | None,
    keep_names: bool,
    overlay_side: int | None,
    max_failures: int | None,
    as_json: bool,
) -> int:
    """Segment an archive, and report progress; returns the exit status."""
    from boneseg.bundle.shipped import bundled, is_shipped
    from boneseg.bundle.store import load_bundle
    from boneseg.cluster.archive import segment_archive
    from boneseg.cluster.storage import public_url
    from boneseg.cluster.worker import Job

    bundle = load_bundle(model or bundled())
    job = Job(
        out=out,
        model=bundle.card.card_sha256,
        formats=tuple(formats),
        cores=cores or CORES,
        invert=invert,
        frame=frame,
        spacing=spacing,
        full_resolution=full_resolution,
        every_bone=is_shipped(bundle.path),
        backend=backend,
        keep_names=keep_names,
        overlay_side=overlay_side,
    )
    with Bar("segmenting") as bar:

        def report(progress: Progress, row: Row | None) -> None:
            if row is not None and row.error:
                bar.say(f"error: {row.source}: {row.error}")
            if progress.total:  # 0 while films are listed
                bar.at(progress.done / progress.total, _words(progress))

        done = segment_archive(
            inputs, job, bundle, address, max_failures=max_failures, report=report
        )
    words = [counted(done.done - done.failed, "film"), f"{done.failed} failed"]
    words += [f"{done.there} done before", f"{done.repeated} repeated"]
    say(f"{', '.join(words)}; results: {public_url(out)}/{job.results}")
    if as_json:
        counts = ("done", "failed", "there", "repeated")
        print_json({name: getattr(done, name) for name in counts} | {"results": job.results})
    return 1 if done.failed else 0


@contextmanager
def task_pool(
    address: str | None, parallel: int, cores: int | None, checkpoints: str | None
) -> Iterator[Pool]:
    """Where folds or trials run: on a cluster, or `parallel` at once on this machine."""
    if address is None:
        from boneseg._util.pools import local_pool

        check_without_cluster({"--checkpoints": checkpoints, "--worker-cores": cores})
        yield local_pool(parallel)
        return
    if parallel != 1:
        raise UsageError("--parallel: is for one machine; omit it with --cluster")
    from boneseg.cluster.tasks import cluster_pool

    with cluster_pool(address, cores or CORES, checkpoints) as pool:
        yield pool


def _words(progress: Progress) -> str:
    rate = f"{progress.done} of {progress.total}, {progress.failed} failed"
    if not progress.workers:
        return f"{rate}; starting workers"
    left = f"{progress.left / 3600:.1f} h" if progress.left > 3600 else f"{progress.left:.0f} s"
    return (
        f"{rate}; {counted(progress.workers, 'worker')}, {progress.rate:.2f} films/s, {left} left"
    )
