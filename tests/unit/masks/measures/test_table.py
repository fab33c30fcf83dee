"""The table of measures: a row for each value, with its unit."""

from __future__ import annotations

import csv
from pathlib import Path

from boneseg.masks.measures.geometry import Measure
from boneseg.masks.measures.table import COLUMNS, MeasuredFilm, write_measures


def test_a_value_is_a_row_with_its_unit(tmp_path: Path) -> None:
    drawn = [
        Measure("length", ((0, 0), (30, 40)), "=plate"),
        Measure("alignment", ((0, 0), (0, 50), (0, 100)), suggested=True),
    ]
    films = [
        MeasuredFilm("knee.dcm", drawn, (0.2, 0.2), "detector"),
        MeasuredFilm("hip.png", drawn[:1], None, "unknown"),
    ]
    write_measures(tmp_path / "measures.csv", films)
    with (tmp_path / "measures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    first, last = rows[0], rows[-1]
    assert [first[name] for name in ("film", "measure", "kind", "value", "number", "unit")] == [
        *("knee.dcm", "1", "length", "length", "10.0", "mm")
    ]
    assert first["name"] == "'=plate"  # not a formula
    assert (first["points"], first["suggested"]) == ("0.00 0.00; 30.00 40.00", "no")
    assert [(row["value"], row["number"]) for row in rows[1:4]] == [
        ("hip-knee-ankle angle", "180.0"),
        ("varus or valgus", "0.0"),
        ("mechanical axis deviation", "0.0"),
    ]
    assert rows[1]["suggested"] == "yes"
    assert (last["film"], last["number"], last["unit"]) == ("hip.png", "50.0", "px")
