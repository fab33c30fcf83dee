"""The list of the light box in a real browser: its order, its filters, accepting and exporting."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.light_box_page import Page
from tests.support.lightbox import fill, served
from tests.support.requirements import needs_browser

pytestmark = needs_browser


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Any:
    """A light box on three films, all segmented, in the order of their names."""
    with served("--data", fill(tmp_path / "films", "foot", "hand", "knee")) as address:
        page = Page(browser, address, reader=None)
        page.ready()
        page.wait("lightbox.list.rows.every((row) => row.verdict !== null)")
        page.tab.select_option("#order", "name")
        yield page
        page.close()


def names(page: Page) -> list[str]:
    return page.tab.eval_on_selector_all(".film .name", "all => all.map((one) => one.textContent)")


def test_accepting_follows_the_list_is_signed_and_leaves_the_film_in_its_place(page: Page) -> None:
    page.tab.click(".film >> text=hand")
    page.ready("hand")
    page.tab.select_option("#order", "worst")  # accepted films come last here
    before = names(page)
    following = [*before, *before][before.index("hand") + 1]
    page.tab.keyboard.press("a")
    page.tab.fill("#reader input", "Ann")
    page.tab.keyboard.press("Enter")
    page.ready(following)
    assert names(page) == before
    page.tab.keyboard.press("a")  # the name is not asked again
    page.wait("lightbox.list.rows.filter((row) => row.state === 'accepted').length === 2")
    page.ready(next(name for name in before if name not in ("hand", following)))
    page.tab.click(".film >> text=hand")
    page.ready("hand")
    page.wait("document.getElementById('history').options.length > 1")
    assert "accepted by Ann" in page.tab.inner_text("#history")
    view = page.tab.evaluate("lightbox.view.zoom(3), [lightbox.view.scale, lightbox.view.left]")
    page.drag((150, 150), (160, 150))
    page.tab.keyboard.press("s")
    page.wait("!lightbox.editor.dirty")
    assert page.tab.evaluate("[lightbox.view.scale, lightbox.view.left]") == view
    assert names(page) == before
    with page.tab.expect_download() as download:
        page.tab.select_option("#export", "mask")
    assert download.value.suggested_filename == "accepted-mask.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        accepted = sorted(["hand", following])
        assert sorted(archive.namelist()) == [f"{name}_mask.png" for name in accepted]


def test_films_are_found_by_name_part_and_verdict(page: Page) -> None:
    assert names(page) == ["foot", "hand", "knee"]
    page.tab.fill("#search", "AN")
    assert names(page) == ["hand"]
    page.tab.fill("#search", "")
    rows = page.tab.evaluate("lightbox.list.rows.map((row) => [row.name, row.part, row.verdict])")
    for place, field in ((1, "part"), (2, "verdict")):
        wanted = rows[0][place]
        page.tab.select_option(f"#{field}", wanted)
        assert names(page) == sorted(row[0] for row in rows if row[place] == wanted)
        page.tab.select_option(f"#{field}", "all")
    page.tab.select_option("#filter", "accepted")
    assert names(page) == [] and "0 shown" in page.tab.inner_text("#count")


def test_undoing_a_threshold_moves_its_slider(page: Page) -> None:
    shown = "document.getElementById('level').value"
    state = f"[lightbox.editor.level, {shown}, lightbox.editor.mask.area()]"
    before = page.tab.evaluate(state)
    for _ in range(5):
        page.tab.keyboard.press(".")
    changed = page.tab.evaluate(state)
    assert changed[0] == before[0] + 15 and changed[2] < before[2]
    for _ in range(5):
        page.tab.keyboard.press("z")
    assert page.tab.evaluate(state) == before
    for _ in range(5):
        page.tab.keyboard.press("y")
    assert page.tab.evaluate(state) == changed
