from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.bundle.shipped import bundled
from boneseg.cluster.storage import Storage
from boneseg.cluster.worker import Job, Worker
from boneseg.errors import OutputError
from tests.support.cluster import archive
from tests.support.films import bone, dicom


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    worker = Worker.__new__(Worker)  # without the settings of a process of its own
    job = Job(str(tmp_path_factory.mktemp("out")), "m", ("mask", "measurements"), cores=1)
    worker.start(job, {file.name: file.read_bytes() for file in bundled().iterdir()})
    return worker


def test_the_key_of_a_job_is_that_of_its_masks() -> None:
    job = Job("out", "m", ("mask",))
    assert job.key == replace(job, out="other", formats=("coco",), cores=4).key
    assert len({job.key, replace(job, model="n").key, replace(job, invert=True).key}) == 3


def test_each_film_has_its_files_by_digest_and_its_record(worker: Worker, tmp_path: Path) -> None:
    (film,) = archive(tmp_path, 1)
    (row,) = worker.segment([str(film)])
    out = Path(worker._out.url)
    assert (row.width, row.height, row.error) == (90, 120, None)
    assert row.outputs["mask"].endswith(f"{row.digest}_mask.png")
    assert all((out / name).is_file() for name in row.outputs.values())
    times = [(out / name).stat().st_mtime_ns for name in row.outputs.values()]
    assert worker.segment([str(film)]) == [row]
    assert times == [(out / name).stat().st_mtime_ns for name in row.outputs.values()]


def test_a_bad_film_is_a_row_with_its_reason(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("text")
    (tmp_path / "empty.png").touch()
    bad, empty, none = worker.segment(
        [str(tmp_path / name) for name in ("bad.png", "empty.png", "none.png")]
    )
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
    assert row.source == f"film-{str(row.digest)[:12]}.dcm"
    assert "Doe" not in repr(row)
