"""segment --cluster: one result a film, whatever is killed, from and to any storage."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fsspec import AbstractFileSystem

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.masks.read import read_mask
from tests.support.cluster import archive, cluster, masks, rows
from tests.support.s3 import Server, s3_server

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.cluster.archive import Progress, segment_archive
from boneseg.cluster.row import Row
from boneseg.cluster.worker import Job
from boneseg.errors import BonesegError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """What S3 is in this process, and in those that it starts."""
    with s3_server() as server, pytest.MonkeyPatch.context() as changed:
        for name, value in server.environment.items():
            changed.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def address(server: Server) -> Iterator[str]:
    with cluster() as address:
        yield address


def job(out: Path | str, **settings: object) -> Job:
    model = load_bundle(bundled()).card.card_sha256
    chosen = {"formats": ("mask",), "cores": 1, "every_bone": True} | settings
    return Job(out=str(out), model=model, **chosen)  # type: ignore[arg-type]


def boneseg(*words: object, here: Path | None = None) -> subprocess.Popen[str]:
    call = [str(Path(sys.executable).with_name("boneseg")), *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(call, stdout=pipe, stderr=pipe, text=True, cwd=here)


def test_a_manifest_gives_one_row_a_film_and_the_masks_of_segment(
    address: str, tmp_path: Path
) -> None:
    films = archive(tmp_path / "films", 6)
    shutil.copy(films[0], tmp_path / "films" / "copy.png")
    (tmp_path / "films" / "bad.png").write_text("not a picture")
    names = [*(film.name for film in films), "copy.png", "bad.png", films[1].name, "none.png", ""]
    text = "\n".join(["id,film", *(f"{n},{name}" for n, name in enumerate(names))])
    (tmp_path / "films" / "list.csv").write_text(text)
    words = [tmp_path / "films" / "list.csv", "--cluster", address, "--worker-cores", 1]
    words += ["--out", tmp_path / "out", "--format", "mask,coco,nrrd"]
    first = boneseg("segment", *words)
    _, told = first.communicate(timeout=500)
    assert first.returncode == 1, told
    assert "7 films, 3 failed, 0 done before, 1 repeated" in told
    found = {Path(str(row["source"])).name: row for row in rows(tmp_path / "out")}
    assert len(found) == len(rows(tmp_path / "out")) == 10
    assert {name for name, row in found.items() if row["error"]} == {
        "bad.png", "none.png", "list.csv, row 11"}  # fmt: skip
    assert "there is no such file" in str(found["none.png"]["error"])
    assert "list.csv, row 11: the row names no film" in told
    assert "Traceback" not in told
    assert found["copy.png"]["digest"] == found[films[0].name]["digest"]
    segment_files(films, tmp_path / "alone", Engine(), formats=["mask"])
    for name, mask in masks(tmp_path / "out").items():
        if name != "copy.png":
            alone = read_mask(tmp_path / "alone" / f"{Path(name).stem}_mask.png")
            assert np.array_equal(mask > 0, alone)
    assert all(len(dict(found[film.name]["outputs"])) == 3 for film in films)  # type: ignore[call-overload]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "masks").rglob("*.*")}
    shutil.move(films[2], films[2].with_name("moved.png"))  # what was done is known by its content
    words[0].write_text(text.replace(films[2].name, "moved.png"))
    again = boneseg("segment", *words)
    _, told = again.communicate(timeout=500)
    assert "1 film, 3 failed, 6 done before, 1 repeated" in told
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(rows(tmp_path / "out")) == 11


def test_a_killed_worker_costs_no_film_and_repeats_none(address: str, tmp_path: Path) -> None:
    archive(tmp_path / "films", 24)
    killed: list[int] = []

    def kill(progress: Progress, row: Row | None) -> None:
        if progress.done >= 6 and not killed:
            killed.append(_worker())
            os.kill(killed[0], signal.SIGKILL)

    done = segment_archive(
        [str(tmp_path / "films")], job(tmp_path / "out"), load_bundle(bundled()), address,
        report=kill)  # fmt: skip
    assert killed and done.failed == 0
    sources = [row["source"] for row in rows(tmp_path / "out")]
    assert len(sources) == len({*sources}) == 24


def _worker() -> int:
    """The process of a worker."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::Worker"):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError("there is no worker")


def test_a_job_whose_driver_is_killed_goes_on_where_it_was(address: str, tmp_path: Path) -> None:
    archive(tmp_path / "films", 16)
    words = ["segment", tmp_path / "films", "--cluster", address, "--worker-cores", 1]
    words += ["--out", tmp_path / "out", "--format", "mask"]
    first = boneseg(*words)
    until = time.monotonic() + 300
    while len(list((tmp_path / "out").rglob("journal/*/*.json"))) < 5:
        assert time.monotonic() < until and first.poll() is None
        time.sleep(0.02)
    first.kill()
    first.communicate(timeout=500)
    journals = (tmp_path / "out").rglob("journal/*/*.json")
    kept = [row["outputs"]["mask"] for path in journals for row in json.loads(path.read_text())]
    done = {tmp_path / "out" / name: (tmp_path / "out" / name).stat().st_mtime_ns for name in kept}
    second = boneseg(*words)
    _, told = second.communicate(timeout=500)
    assert second.returncode == 0, told
    sources = [row["source"] for row in rows(tmp_path / "out")]
    assert len(sources) == len({*sources}) == 16
    assert len(done) >= 5 and {path: path.stat().st_mtime_ns for path in done} == done
    assert not list((tmp_path / "out").rglob("journal/*/*.json"))


def test_films_and_results_may_lie_in_a_bucket_which_fills_in_the_middle_of_a_job(
    address: str, server: Server, tmp_path: Path
) -> None:
    import s3fs

    archive(tmp_path / "films", 8)
    bucket = s3fs.S3FileSystem(endpoint_url=server.url)
    bucket.mkdir("hospital")
    bucket.put(str(tmp_path / "films"), "hospital/films", recursive=True)
    words = ["segment", "s3://hospital/films", "--worker-cores", 1, "--format", "mask"]
    missing = boneseg(*words, "--cluster", address, "--out", "s3://other/out")
    _, refused = missing.communicate(timeout=500)
    assert missing.returncode == 1
    assert "s3://other/out/job" in refused and len(refused.splitlines()) == 1
    words += ["--out", "s3://hospital/out"]
    server.room(8)
    first = boneseg(*words, "--cluster", address)
    _, filled = first.communicate(timeout=500)
    server.room(None)
    errors = [line for line in filled.splitlines() if not line.startswith("segmenting")]
    assert first.returncode == 1 and len(errors) == 1, filled
    assert "s3://hospital/out/" in errors[0]
    assert "cannot be written (the bucket is full, or its quota is used up)" in errors[0]
    kept = versions(bucket)
    (tmp_path / "films" / "boneseg.py").write_text("raise SystemExit('of somebody else')")
    second = boneseg(*words, "--cluster", "local", here=tmp_path / "films")
    _, told = second.communicate(timeout=500)
    assert second.returncode == 0, told
    before = int(re.findall(r"(\d+) done before", told)[0])
    assert before >= 2 and f"{8 - before} films, 0 failed" in told
    unchanged = [mask for mask, version in versions(bucket).items() if kept.get(mask) == version]
    assert len(unchanged) >= before
    bucket.get("hospital/out", str(tmp_path / "out"), recursive=True)
    assert "secret-of-the-test" not in refused + filled + told
    assert len(rows(tmp_path / "out")) == len(masks(tmp_path / "out")) == 8
    assert all(
        str(row["source"]).startswith("s3://hospital/films/") for row in rows(tmp_path / "out")
    )
    assert not list((tmp_path / "out").rglob("journal/*/*.json"))


def versions(bucket: AbstractFileSystem) -> dict[str, object]:
    """When each mask in the bucket was written."""
    bucket.invalidate_cache()
    places = bucket.find("hospital/out/masks", detail=True)
    return {name: facts["LastModified"] for name, facts in places.items()}


def test_too_many_failures_end_a_job_and_keep_its_rows(address: str, tmp_path: Path) -> None:
    archive(tmp_path / "films", 2)
    for number in range(9):
        (tmp_path / "films" / f"bad_{number}.png").write_text("not a picture")
    with pytest.raises(BonesegError, match="more than --max-failures 2"):
        segment_archive(
            [str(tmp_path / "films")], job(tmp_path / "out"), load_bundle(bundled()), address,
            max_failures=2)  # fmt: skip
    assert sum(row["error"] is not None for row in rows(tmp_path / "out")) == 3
