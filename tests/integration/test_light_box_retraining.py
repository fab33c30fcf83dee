"""Retraining from the page of the light box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boneseg.server.retraining.records import Run
from boneseg.server.retraining.runs import Runs
from boneseg.simulate import simulate
from tests.support.light_box_page import READY, Page
from tests.support.lightbox import fill, served
from tests.support.requirements import needs_browser

pytestmark = needs_browser


@pytest.mark.slow
def test_retraining_on_12_films_offers_a_model_to_switch_to(browser: Any, tmp_path: Path) -> None:
    simulate(tmp_path / "films", 12, seed=5, size=(96, 96))
    with served("--data", tmp_path / "films") as address:
        page = Page(browser, address)
        page.ready()
        model = page.tab.locator("#model").inner_text()
        assert model == "model: bundled"
        page.tab.click("#train-open")
        page.wait("document.getElementById('train').open")
        assert "12 accepted films" in page.tab.locator("[data-part=accepted]").inner_text()
        page.tab.fill("[data-part=minutes]", "0.1")
        page.tab.click("[data-part=start]")
        page.wait("document.querySelector('[data-part=stop]').hidden === false")
        page.wait("document.querySelector('[data-part=offer]').hidden === false", 240)
        assert page.tab.locator("[data-part=stage]").inner_text() == "Finished"
        assert page.tab.locator("[data-part=figures]").is_hidden()  # two films say nothing
        verdict = page.tab.locator("[data-part=verdict]").inner_text()
        assert verdict.startswith("No figure: 2 films with a corrected or independently drawn mask")
        default = page.tab.locator("#train .primary:visible")
        assert default.all_inner_texts() == ["Start", "Keep today's model"]
        assert page.tab.locator("#model").inner_text() == model  # offered, and not swapped in
        page.tab.screenshot(path=tmp_path / "retrain.png")
        page.tab.click("[data-part=use]")
        page.wait(lambda: page.tab.locator("#model").inner_text() == "model: retraining 1")
        page.tab.click("#train [value=close]")
        words = (page.tab.get_attribute("#model", "title") or "").split()
        again = f"lightbox.editor.row.model === '{words[-1]}'"
        page.wait(f"{READY} && {again}")  # the open film is looked at again
        page.close()
    assert (tmp_path / "films" / ".boneseg" / "runs" / "0001" / "bundle" / "model.json").is_file()
    with served("--data", tmp_path / "films") as address:  # what was chosen is kept
        page = Page(browser, address)
        page.ready()
        assert page.tab.locator("#model").inner_text() == "model: retraining 1"
        page.tab.click("#train-open")  # and so is what was made
        page.wait("document.querySelector('[data-part=offer]').hidden === false")
        assert page.tab.locator("[data-part=use]").inner_text() == "In use"
        page.close()


def test_a_training_can_be_stopped(browser: Any, tmp_path: Path) -> None:
    simulate(tmp_path / "films", 6, seed=6, size=(96, 96))
    with served("--data", tmp_path / "films") as address:
        page = Page(browser, address)
        page.ready()
        page.tab.click("#train-open")
        page.tab.click("[data-part=start]")
        page.tab.click("[data-part=stop]")
        page.wait(lambda: page.tab.locator("[data-part=stage]").inner_text().startswith("Stopped"))
        assert not page.tab.locator("[data-part=start]").is_disabled()
        page.close()


def test_an_interrupted_training_is_reported(browser: Any, tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    runs, run = Runs(folder / ".boneseg" / "runs"), Run(number=1, films=4, minutes=1)
    runs.folder(run).mkdir(parents=True)
    runs.save(run)  # as it stands when the server is killed
    with served("--data", folder) as address:
        page = Page(browser, address)
        page.wait(lambda: "Training was interrupted" in page.notifications())
        page.tab.click("#train-open")
        page.wait(lambda: "Interrupted" in page.tab.locator("[data-part=stage]").inner_text())
        page.close()
