from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.cluster.archive import (
    Progress,
    _list,
    _Run,
    _with_formats_before,
    segment_archive,
)
from boneseg.cluster.crew import Batch
from boneseg.cluster.journal import Journal
from boneseg.cluster.ledger import Ledger
from boneseg.cluster.results import Results
from boneseg.cluster.row import Copy, Row
from boneseg.cluster.storage import Storage
from boneseg.cluster.worker import Job
from boneseg.errors import BonesegError, UsageError
from tests.support.cluster import rows


def run(tmp_path: Path, max_failures: int | None = None) -> _Run:
    """A job without workers."""
    out = Storage(str(tmp_path / "out"))
    results = Results(out, "results/model=m", Journal(out, "m"))
    return _Run(None, Ledger(), results, Progress(), max_failures, None)  # type: ignore[arg-type]


def test_films_with_a_result_repeated_rows_and_bad_rows_are_told_apart(tmp_path: Path) -> None:
    first = run(tmp_path)
    first.results.add(Row(f"{tmp_path}/a.png", "0a" * 32))
    first.results.add(Row(f"{tmp_path}/b.png", error="bad"))
    first.results.save()
    (tmp_path / "list.csv").write_text('film\na.png\nb.png\nb.png\n""\n')
    again, named = run(tmp_path, max_failures=0), []
    _list([str(tmp_path / "list.csv")], (), again.films, again.results, again.progress,
          lambda _, row: named.append(row and row.source))  # fmt: skip
    found = again.progress
    assert named == [f"{tmp_path}/list.csv, row 4"]
    with pytest.raises(BonesegError, match="1 film failed, more than --max-failures 0"):
        again.run()
    assert (found.total, found.there, found.repeated, found.failed) == (2, 1, 1, 1)
    assert list(again.films.waiting()) == [f"{tmp_path}/b.png"]


def test_a_batch_that_kills_workers_is_split_and_only_the_guilty_film_fails(
    tmp_path: Path,
) -> None:
    job = run(tmp_path)
    job._lost(Batch(("a", "b")))
    assert [batch.sources for batch in job.again] == [("a", "b")]
    job._lost(job.again.popleft())
    assert [batch.sources for batch in job.again] == [("a",), ("b",)]
    assert all(batch.is_suspect for batch in job.again)
    guilty = job.again.popleft()
    for _ in range(2):
        job._lost(guilty)
        if job.again[-1].sources == ("a",):
            guilty = job.again.pop()
    assert (job.progress.failed, job.progress.done) == (1, 1)


def test_a_film_with_a_hidden_name_has_one_row(tmp_path: Path) -> None:
    job = run(tmp_path)
    job.films.done("film-1.dcm")
    job._add("Doe.dcm", Row("film-1.dcm"))
    job._add("Doe_2.dcm", Row("film-2.dcm"))
    job.results.save()
    assert [source for source, _ in run(tmp_path).results.resume(())] == ["film-2.dcm"]


def test_a_copy_of_a_film_that_was_done_has_its_row(tmp_path: Path) -> None:
    first = run(tmp_path)
    row = Row("a.png", "0a" * 32, area_px=7, outputs={"mask": "m.png"}, skipped={"coco": "no"})
    first.results.add(row)
    first.results.save()
    (tmp_path / "list.csv").write_text("film\nb.png\n")
    again = run(tmp_path)
    _list([str(tmp_path / "list.csv")], ("mask", "coco"), again.films, again.results, Progress())
    again._add("b.png", Copy("b.png", "0a" * 32))
    again.results.save()
    assert rows(tmp_path / "out")[1] == rows(tmp_path / "out")[0] | {"source": "b.png"}


def test_rows_that_a_killed_job_did_not_write_are_in_its_journal(tmp_path: Path) -> None:
    journal = Journal(Storage(str(tmp_path / "out")), "m")
    journal.write(["a.png"], [Row(f"{tmp_path}/a.png", "0a" * 32), Row("bad", error="bad")])
    (tmp_path / "list.csv").write_text("film\na.png\nb.png\n")
    job = run(tmp_path)
    _list([str(tmp_path / "list.csv")], (), job.films, job.results, job.progress)
    job.results.save()
    assert (job.progress.total, job.progress.there) == (1, 1)
    assert [row["source"] for row in rows(tmp_path / "out")] == [f"{tmp_path}/a.png"]
    assert list(journal.read()) == []


def test_a_job_of_other_formats_writes_those_of_earlier_ones_too(tmp_path: Path) -> None:
    out = Storage(str(tmp_path))
    first, second = (Job("out", "m", (kind,)) for kind in ("mask", "coco"))
    assert _with_formats_before(second, out) == second
    out.write(first.settings_file, json.dumps(asdict(first)).encode())
    assert _with_formats_before(second, out).formats == ("mask", "coco")


def test_failures_beyond_the_limit_are_an_error(tmp_path: Path) -> None:
    job = run(tmp_path, max_failures=1)
    job._add("a", Row("a", error="bad"))
    with pytest.raises(BonesegError, match="2 films failed, more than --max-failures 1"):
        job._add("b", Row("b", error="bad"))


def test_inputs_that_cannot_be_listed_leave_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="there is no such file"):
        segment_archive(
            [str(tmp_path / "none.csv")], Job(str(out), "m", ("mask",)), load_bundle(bundled()),
            "local")  # fmt: skip
    assert not out.exists()
