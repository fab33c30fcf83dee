from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.bundle.shipped import bundled
from boneseg.cluster.journal import Journal
from boneseg.cluster.ledger import ledger
from boneseg.cluster.row import Copy, Row
from boneseg.cluster.storage import Storage
from boneseg.cluster.worker import Job, Worker
from boneseg.errors import OutputError
from tests.support.cluster import archive
from tests.support.films import bone, dicom

NONE = np.zeros((2, 0), np.uint64)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """Which knows no film."""
    worker = Worker.__new__(Worker)  # without the settings of a process of its own
    job = Job(str(tmp_path_factory.mktemp("out")), "m", ("mask", "measurements"), cores=1)
    worker.start(job, {file.name: file.read_bytes() for file in bundled().iterdir()}, NONE)
    return worker


def test_the_key_of_a_job_is_that_of_its_masks() -> None:
    job = Job("out", "m", ("mask",))
    assert job.key == replace(job, out="other", formats=("coco",), cores=4).key
    assert len({job.key, replace(job, model="n").key, replace(job, invert=True).key}) == 3


def test_each_film_has_its_files_by_digest_and_its_batch_a_journal(
    worker: Worker, tmp_path: Path
) -> None:
    (film,) = archive(tmp_path, 1)
    (row,) = worker.segment([str(film)])
    assert isinstance(row, Row)
    out = Path(worker._out.url)
    assert (row.width, row.height, row.error) == (90, 120, None)
    assert row.outputs["mask"].endswith(f"{row.digest}_mask.png")
    assert all((out / name).is_file() for name in row.outputs.values())
    assert (Journal.name([str(film)]), [row]) in worker._journal.read()


def test_content_that_has_its_result_is_not_segmented_again(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (film,) = archive(tmp_path, 1, first=3)
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    with ledger() as films:
        films.found_in(0, digest)
        monkeypatch.setattr(worker, "_known", films.digests())
    assert worker.segment([str(film)]) == [Copy(str(film), digest)]


def test_a_bad_film_is_a_row_with_its_reason(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("text")
    (tmp_path / "empty.png").touch()
    bad, empty, none = worker.segment(
        [str(tmp_path / name) for name in ("bad.png", "empty.png", "none.png")]
    )
    assert isinstance(bad, Row) and isinstance(empty, Row) and isinstance(none, Row)
    assert bad.digest and bad.error and str(tmp_path) not in bad.error
    assert empty.error and "empty" in empty.error
    assert none.error and "no such file" in none.error


def test_a_result_that_cannot_be_written_is_raised(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (film,) = archive(tmp_path, 1, first=7)
    (tmp_path / "full").write_text("")
    monkeypatch.setattr(worker, "_out", Storage(str(tmp_path / "full")))
    with pytest.raises(OutputError):
        worker.segment([str(film)])


def test_a_path_that_identifies_the_patient_is_replaced_by_a_hash(
    worker: Worker, tmp_path: Path
) -> None:
    film = dicom(tmp_path / "Doe_John.dcm", bone(), PatientName="Doe^John")
    (row,) = worker.segment([str(film)])
    assert isinstance(row, Row)
    assert row.source == f"film-{str(row.digest)[:12]}.dcm"
    assert "Doe" not in repr(row)
