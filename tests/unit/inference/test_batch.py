"""Many films: each has its result, and none stops the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from boneseg.errors import OutputError, UsageError
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.masks.read import read_mask
from boneseg.radiograph.read import read_radiograph
from tests.support.readings import picture


def test_results_come_in_the_order_of_the_films(tmp_path: Path, engine: Engine) -> None:
    films = [picture(tmp_path / f"{name}.png", 64, 80) for name in ("c", "a", "b")]
    seen = []
    results = segment_files(films, tmp_path / "out", engine, report=seen.append)
    assert results == seen
    assert [result.to_entry().facts["input"] for result in results] == [str(f) for f in films]
    for film, result in zip(films, results, strict=True):
        mask = read_mask(tmp_path / "out" / result.to_entry().outputs["mask"])
        assert np.array_equal(mask, engine.segment(read_radiograph(film)))


def test_a_bad_film_has_a_result_with_the_reason(tmp_path: Path, engine: Engine) -> None:
    good, bad = picture(tmp_path / "good.png", 64, 80), tmp_path / "bad.png"
    bad.write_bytes(b"not a film")
    segment_files([bad, good], tmp_path / "out", engine)
    failed, done = json.loads((tmp_path / "out" / "segment.json").read_text())
    assert failed["outputs"] == {} and failed["error"].startswith(f"{bad}: ")
    assert done["error"] is None and set(done["outputs"]) == {"mask", "overlay"}


def test_wrong_frames_are_refused_before_any_film_is_read(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(UsageError, match="frames are counted from 1"):
        segment_files([tmp_path / "missing.png"], tmp_path / "out", engine, frame=0)
    assert not (tmp_path / "out").exists()


def test_a_result_that_cannot_be_written_ends_the_call(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError("out: cannot be written (No space left on device); free space")

    monkeypatch.setattr("boneseg.inference.batch.write_outputs", full)
    films = [picture(tmp_path / f"{number}.png", 64, 80) for number in range(3)]
    with pytest.raises(OutputError, match="No space left"):
        segment_files(films, tmp_path / "out", engine)
    assert "No space left" in (tmp_path / "out" / "segment.json").read_text()
