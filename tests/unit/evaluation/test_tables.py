"""Tables of scores, for a terminal, a page and a spreadsheet program."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from boneseg.errors import OutputError
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.evaluation.scores import Summary
from boneseg.evaluation.tables import (
    films_text,
    metrics_table,
    metrics_text,
    summaries_table,
    write_cases_csv,
    write_metrics_csv,
)


def square(row: int) -> NDArray[np.bool_]:
    """A square of 8 x 8 pixels; two of them that are 4 rows apart have a Dice of 0.5."""
    mask = np.zeros((24, 20), np.bool_)
    mask[row : row + 8, 5:13] = True
    return mask


def summary(*rows: int, spacing: tuple[float, float] | None = None) -> Summary:
    """Squares at these rows, scored against one at row 5."""
    return evaluate_predictions((f"film {row}", square(row), square(5), spacing) for row in rows)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_films_without_scores_are_counted_by_their_reason() -> None:
    assert films_text(12, 12, 0) == "12 of 12 films"
    assert films_text(1, 1, 0) == "1 of 1 film"
    assert films_text(10, 12, 0) == "10 of 12 films; 2 failed"
    assert films_text(9, 12, 2, "names") == "9 of 12 films; 1 failed; 2 without names"


def test_a_terminal_shows_mean_deviation_and_interval_of_each_metric() -> None:
    lines = metrics_text(summary(5, 5, 9, 9)).splitlines()
    assert lines[0].split(maxsplit=3) == ["metric", "mean", "std", "95 % interval of the mean"]
    assert lines[1].split() == ["Dice", "0.7500", "0.2887", "0.5000", "to", "1.0000"]
    assert [line.split()[1] for line in lines if line.startswith("HD95, px")] == ["px"]
    assert not any("mm" in line for line in lines)
    assert any(
        "HD95, mm" in line for line in metrics_text(summary(5, 9, spacing=(1, 1))).split("\n")
    )


def test_films_without_a_spacing_are_named_where_mm_are_left_out_for_them() -> None:
    def scored(*spacings: float | None) -> Summary:
        return evaluate_predictions(
            (f"<{index}>", square(5), square(5), None if mm is None else (mm, mm))
            for index, mm in enumerate(spacings)
        )

    found = scored(0.2, None, 0.2)
    assert metrics_text(found).splitlines()[-1] == "mm left out: <1> has no pixel spacing"
    assert metrics_table(found).endswith("<p>mm left out: &lt;1&gt; has no pixel spacing</p>")
    several = metrics_text(scored(0.2, *[None] * 7)).splitlines()[-1]
    assert several == "mm left out: <1>, <2>, <3>, <4>, <5> and 2 more have no pixel spacing"
    for complete in (scored(0.2, 0.3), scored(None, None)):
        assert "left out" not in metrics_text(complete) + metrics_table(complete)


def test_one_film_has_neither_deviation_nor_interval() -> None:
    assert metrics_text(summary(9)).splitlines()[1].split()[1:] == ["0.5000", "–", "one", "film"]


def test_a_page_shows_what_a_terminal_does() -> None:
    found = summary(5, 9)
    page = metrics_table(found)
    for line in metrics_text(found).splitlines()[1:]:
        mean = line.split(",")[-1].split()[-5]
        assert f"<td>{mean}</td>" in page


def test_a_row_of_a_page_names_its_summary_without_markup() -> None:
    assert "&lt;b&gt;hand" in summaries_table([("<b>hand", summary(5))])


def test_a_spreadsheet_has_a_row_a_metric(tmp_path: Path) -> None:
    found = summary(5, 5, 9, 9)
    write_metrics_csv(found, tmp_path / "metrics.csv")
    rows = {row["metric"]: row for row in rows_of(tmp_path / "metrics.csv")}
    assert list(rows) == list(found.mean)
    assert float(rows["dice"]["mean"]) == 0.75
    assert float(rows["hd_px"]["std"]) == found.std["hd_px"]
    ends = float(rows["iou"]["ci95_low"]), float(rows["iou"]["ci95_high"])
    assert ends == found.ci95["iou"]
    assert {row["films"] for row in rows.values()} == {"4"}


def test_a_spreadsheet_has_a_row_a_case(tmp_path: Path) -> None:
    pairs = [("Knie, links", square(5), square(5), None), ("b", square(9), square(5), (1.0, 1.0))]
    path = tmp_path / "cases.csv"
    write_cases_csv(evaluate_predictions(pairs), path)
    rows = rows_of(path)
    assert [row["name"] for row in rows] == ["Knie, links", "b"]
    assert [float(row["dice"]) for row in rows] == [1.0, 0.5]
    assert [row["hd_mm"] for row in rows] == ["", "4.0"]
    assert list(tmp_path.iterdir()) == [path]  # nothing half written beside it


@pytest.mark.parametrize("write", [write_cases_csv, write_metrics_csv])
@pytest.mark.parametrize("place", ["nowhere/cases.csv", "file/cases.csv", "folder"])
def test_a_table_that_cannot_be_written_is_one_line(
    tmp_path: Path, place: str, write: Callable[[Summary, Path], None]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write(summary(5), tmp_path / place)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
