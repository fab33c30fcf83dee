"""The report of a run is one page that needs nothing else, and believes no name."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from boneseg.bundle.card import Card
from boneseg.dataset.fingerprint import digest
from boneseg.errors import OutputError
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.evaluation.scores import Summary
from boneseg.recipes.builtin import BUILT_IN
from boneseg.training.history import Check
from boneseg.training.report import write_report
from boneseg.training.run import TrainedRun
from tests.support.reports import film

Mask = NDArray[np.bool_]


def moved(mask: Mask, by: int) -> Mask:
    return np.roll(mask, by, axis=1)


def check(attempt: int, seconds: float, dice: float, note: str = "", loss: float = 0.5) -> Check:
    return Check(attempt, seconds, int(seconds), seconds, seconds / 300, 1e-3, loss, dice, note)


def made(
    names: list[str], history: list[Check], group: str | None = None
) -> tuple[TrainedRun, Card, Summary, list[Mask]]:
    recipe = BUILT_IN["default"].with_settings(["prepare.height=64", "prepare.width=32"])
    films = tuple(film(name, group) for name in names)
    masks = [moved(one.mask, index) for index, one in enumerate(films)]
    run = TrainedRun(
        network=nn.Conv2d(1, 1, 3),
        recipe=recipe.with_settings(["network.levels=3", "run.batch=4"]).settle([(64, 32)]),
        fingerprint="ab" * 32,
        best_dice=max((row.dice for row in history), default=-1.0),
        restarts=history[-1].attempt if history else 0,
        depths={},
        history=tuple(history),
        training=(film("t1", group), film("t2", group)),
        validation=films,
    )
    summary = evaluate_predictions(
        ((one.case.name, mask, one.mask, None) for one, mask in zip(films, masks, strict=True)),
        [one.case.group for one in films],
    )
    card = Card(
        architecture=run.recipe.network.model_dump(mode="json"),
        height=64,
        width=32,
        threshold=0.45,
        metrics=summary.mean,
        restarts=run.restarts,
        recipe=run.recipe.model_dump(mode="json"),
        versions={"boneseg": "0.1.0", "torch": "2.9"},
    )
    return run, card, summary, masks


SMOOTH = [check(0, 10, 0.4), check(0, 150, 0.8), check(0, 300, 0.9)]


class Page(HTMLParser):
    """What a browser would make of it: the tags in balance, the words, the addresses."""

    EMPTY = frozenset(("meta", "img", "path", "rect", "circle", "polyline"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words, self.links, self.tags = "", list[str](), list[str]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "srcset")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def page(tmp_path: Path, names: list[str], history: list[Check], group: str | None = None) -> Page:
    write_report(tmp_path / "report.html", *made(names, history, group))
    parsed = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not parsed.open
    return parsed


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    parsed = page(tmp_path, ["knee"], SMOOTH)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", text, re.IGNORECASE)
    assert parsed.links and all(link.startswith("data:image/") for link in parsed.links)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_the_figures_are_there(tmp_path: Path) -> None:
    run, card, summary, masks = made(["a", "b", "c"], SMOOTH)
    write_report(tmp_path / "report.html", run, card, summary, masks)
    words = Page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    low, high = summary.ci95["dice"]
    assert f"{summary.mean['dice']:.4f}" in words and f"{low:.4f} to {high:.4f}" in words
    for said in ("2 + 3", "5.0 min", "0.45", "torch 2.9", run.fingerprint, "learning_rate = "):
        assert said in words
    assert f"HD95{summary.mean['hd95_px']:.2f} px" in words


def test_every_film_is_named_and_the_ten_worst_are_shown_worst_first(tmp_path: Path) -> None:
    names = [f"film-{index:02d}" for index in range(12)]  # each a pixel farther off than the last
    parsed = page(tmp_path, names, SMOOTH)
    shown, table = parsed.words.split("All films, worst first")
    assert re.findall(r"film-\d\d", table) == names[::-1]
    assert re.findall(r"film-\d\d", shown) == names[:1:-1]
    assert parsed.tags.count("img") == 40


@pytest.mark.parametrize("name", ["<b>x", '"><img src=y onerror=z>', "a&lt;b", "</style><script>"])
def test_a_name_is_escaped_and_never_markup(tmp_path: Path, name: str) -> None:
    parsed, plain = page(tmp_path, [name, "other"], SMOOTH), page(tmp_path, ["x", "other"], SMOOTH)
    assert name in parsed.words
    assert parsed.tags == plain.tags


def test_an_undecodable_name_does_not_prevent_the_report(tmp_path: Path) -> None:
    assert "knee-?" in page(tmp_path, ["knee-\udcff"], SMOOTH).words


def test_a_restart_is_reported_and_drawn(tmp_path: Path) -> None:
    collapsed = [check(0, 100, 0.4), check(0, 140, 0.0, "collapsed: all background")]
    parsed = page(tmp_path, ["a"], [*collapsed, check(1, 200, 0.7), check(1, 300, 0.9)])
    assert parsed.words.count("restart 1") == 3  # one a curve
    assert "Restart after 140 s: collapsed: all background." in parsed.words
    assert "restart 1" not in page(tmp_path, ["a"], SMOOTH).words


def test_the_page_states_the_limits_of_its_figures(tmp_path: Path) -> None:
    one = page(tmp_path, ["a"], SMOOTH).words
    assert "the figures are optimistic" in one and "no groups.csv" in one
    assert "one film: no interval" in one and "wider than stated" not in one
    assert "With only 2 films, the true 95 %" in page(tmp_path, ["a", "b"], SMOOTH).words
    same = page(tmp_path, ["a", "b"], SMOOTH, group="patient").words
    assert "no groups.csv" not in same
    assert "one patient: no interval" in same and "wider than stated" not in same


def test_the_report_says_that_the_initial_model_had_seen_the_films(tmp_path: Path) -> None:
    run, *rest = made(["a", "b"], SMOOTH)
    begun = replace(run, seen_before=frozenset([digest(run.validation[0].radiograph)]))
    write_report(tmp_path / "report.html", begun, *rest)
    told = "The warm-start model was trained or selected on 2 of these"  # their pixels are the same
    assert told in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "warm-start" not in page(tmp_path, ["a", "b"], SMOOTH).words


@pytest.mark.parametrize("loss", [math.nan, math.inf, 0.0, 1e9])
def test_a_strange_history_still_gives_a_page(tmp_path: Path, loss: float) -> None:
    for history in ([], [check(0, 0, 0)], [check(2, 5, 1.0, loss=loss), *SMOOTH[:0]]):
        page(tmp_path, ["a"], history)
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert not re.search(r'="[^"]*\b(nan|inf)\b', text)


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written") as caught:
        write_report(tmp_path / "missing" / "report.html", *made(["a"], SMOOTH))
    assert "\n" not in str(caught.value)


def test_an_old_report_outlives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OutputError, match="full"):
        write_report(tmp_path / "report.html", *made(["a"], SMOOTH))
    assert [(e.name, e.read_text()) for e in tmp_path.iterdir()] == [("report.html", "old")]


def test_masks_of_other_films_are_refused(tmp_path: Path) -> None:
    run, card, summary, masks = made(["a", "b"], SMOOTH)
    with pytest.raises(ValueError):
        write_report(tmp_path / "r.html", replace(run, validation=()), card, summary, masks)
