"""Fixtures that these tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boneseg.bundle.store import save_bundle
from boneseg.cli import main
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from tests.support.bad_input import SETTINGS, SIDE, Answer, Call, without_progress
from tests.support.light_box_page import QUIET, Page
from tests.support.lightbox import fill, served
from tests.support.made_once import made_once
from tests.support.readings import card
from tests.support.requirements import CHROMIUM


@pytest.fixture
def boneseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process."""

    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["boneseg", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return Answer(int(stopped.value.code or 0), printed.out, without_progress(printed.err))

    return call


# ---------------------------------------------------------------- made once


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad_input")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve good films with their masks."""
    return made_once(
        tmp_path_factory, "data", lambda folder: simulate(folder, 12, seed=0, size=(SIDE, SIDE))
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned nothing: what it finds does not matter here."""

    def save(folder: Path) -> None:
        from boneseg.networks import build

        small = load_recipe("fast").with_settings(SETTINGS).settle([(SIDE, SIDE)])
        facts = {"height": SIDE, "width": SIDE, "recipe": small.model_dump(mode="json")}
        blank = card(architecture=small.network.model_dump(mode="json"), **facts)
        save_bundle(folder, build(small.network), blank)

    return made_once(tmp_path_factory, "bundle", save)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright, of boneseg[dev]"
    )
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens tabs on one light box over hand and knee."""
    folder, pages = fill(tmp_path / "films", "hand", "knee"), []
    with served("--data", folder) as address:

        def open_page(**how: Any) -> Page:
            pages.append(Page(browser, address, **how))
            return pages[-1]

        yield open_page
        for page in pages:
            page.close()
