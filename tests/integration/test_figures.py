"""Figures of the documentation have their command beside them: `make figures` compares them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import figures
from scripts.figures import SETTINGS, Expected, Measured

PAGES = figures.pages()
EXPLANATIONS = [page for page in PAGES if page.parent.name == "explanation"]
# Dice and other shares, durations, memory, rates and ratios.
MEASURED = re.compile(
    r"\b0\.\d{2,}|\d\s?(?:s|ms|MB|GB|TB|films/s|films per|times|weights|core-hours)\b|\d ?%"
)
FACTS = "python -m benchmarks.facts"
NOT_MEASURED = {"Confidence intervals and p-values"}  # their definition


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_comment_says_is_on_its_page(page: Path) -> None:
    for one in figures.measured(page):
        assert one.commands == (SETTINGS,) or all(
            command.startswith("python ") for command in one.commands
        )
        assert len(one.commands) == 1 or not one.expected
        for figure in one.expected:
            assert figure.stated in one.text, f"{one.place}: {figure.stated}"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name == "explanation"],
    ids=lambda page: page.stem,
)
def test_every_section_with_figures_has_their_command(page: Path) -> None:
    known = {one.section for one in figures.measured(page)}
    with_figures = {title for title, text in figures.sections(page) if MEASURED.search(text)}
    assert with_figures - known - NOT_MEASURED == set()


def test_the_facts_are_those_that_the_pages_state() -> None:
    stated = [one for page in PAGES for one in figures.measured(page) if FACTS in one.commands]
    assert len(stated) >= 4
    assert [line for one in stated for line in figures.differences(one)] == []


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Measured:
    monkeypatch.setattr(figures, "output_of", lambda _: "| legs | 3 | 0.962 (0.9 to 1)\nMB: 11.5\n")
    legs, size = Expected("| legs | 3 |", "0.96", 0.002), Expected("MB", "11.5", 0)
    page = figures.ROOT / "README.md"
    return Measured(page, "Accuracy", "0.96 and 11.5 MB", ("python -m it",), (legs, size))


def test_a_figure_within_its_tolerance_is_right(one: Measured) -> None:
    assert list(figures.differences(one)) == []


def test_a_figure_that_differs_is_named_with_its_page(one: Measured) -> None:
    (legs, _) = one.expected
    wrong = replace(one, text="0.95", expected=(replace(legs, stated="0.95"),))
    (line,) = figures.differences(wrong)
    assert line.startswith("README.md, Accuracy: | legs | 3 |: the page states 0.95")
    assert "finds 0.962" in line


def test_a_figure_that_is_not_on_the_page_or_not_printed_is_named(one: Measured) -> None:
    (line,) = figures.differences(replace(one, text="0.96"))
    assert "does not state 11.5" in line
    other = replace(one, expected=(Expected("knees", "0.96", 1),))
    (line,) = figures.differences(other)
    assert "prints nothing about “knees”" in line


def test_a_comment_of_another_form_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n<!-- figures: python -m it\nlegs are 0.9\n-->\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md, A: not a figure: legs are 0\.9"):
        figures.measured(page)
