"""Measures in the data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.masks.measures.geometry import Measure
from boneseg.server.errors import ServerError
from boneseg.server.storage.measures import DrawnMeasure, MeasureFiles

LINE = Measure("length", ((1.5, 2.0), (3.0, 4.0)), "plate")
LEG = Measure("alignment", ((1, 2), (3, 4), (5, 6)), suggested=True)
VERSIONS = [([LINE], None), ([LINE], (4, 5)), ([LINE, LEG], (4, 5)), ([LEG, LINE], (4, 5))]


def test_measures_are_read_as_they_were_written(tmp_path: Path) -> None:
    files = MeasureFiles(tmp_path)
    assert files.of("a" * 12) == []
    files.write("a" * 12, [LINE, LEG])
    assert files.of("a" * 12) == [LINE, LEG]
    files.write("a" * 12, [])
    assert list(tmp_path.iterdir()) == []
    files.delete("a" * 12)


@pytest.mark.parametrize(
    "content", ["{", '{"version": 1, "measures": [{"kind": "cobb", "points": [[1, 2], [3, 4]]}]}']
)
def test_a_damaged_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(ServerError, match=r"b\.json: is damaged"):
        MeasureFiles(tmp_path).of("b")


def test_a_revision_is_of_measures_and_film(tmp_path: Path) -> None:
    files = MeasureFiles(tmp_path)
    assert files.record("a").revision == "none"
    written = [files.write("a", measures, shape) for measures, shape in VERSIONS]
    assert len({one.revision for one in written}) == len(VERSIONS)
    assert files.record("a") == written[-1]
    assert files.write("a", [], (4, 5)).revision == "none"


def test_a_file_of_an_earlier_version_has_no_shape(tmp_path: Path) -> None:
    line = '{"kind": "length", "points": [[1, 2], [3, 4]]}'
    (tmp_path / "a.json").write_text(f'{{"version": 1, "measures": [{line}]}}')
    assert MeasureFiles(tmp_path).record("a").shape is None


def test_a_measure_needs_its_points() -> None:
    with pytest.raises(ValueError, match="cobb takes 4 points"):
        DrawnMeasure(kind="cobb", points=[(0, 0), (1, 1)])
