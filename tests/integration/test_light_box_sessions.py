"""The light box in a browser: several tabs, other programs, and a server that comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.light_box_page import Page, on_disk
from tests.support.lightbox import fill, served, turn
from tests.support.requirements import needs_browser

pytestmark = needs_browser


def test_a_conflict_between_two_tabs_is_resolved_by_the_user(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    one, two = opened(), opened()
    for page in (one, two):
        page.ready()
        page.tab.click(".film >> text=hand")
        page.ready("hand")
    two.drag((50, 120), (90, 120))  # before the other saves, or it would take over what is saved
    mine = two.mask()
    one.drag((50, 50), (90, 50))
    one.tab.click("#save")
    one.wait("!lightbox.editor.dirty")
    first = on_disk(tmp_path, "hand")
    two.tab.click("#save")
    two.wait("document.getElementById('conflict').open")
    assert "saved elsewhere" in two.tab.locator("#conflict").inner_text()
    assert np.array_equal(on_disk(tmp_path, "hand"), first)
    two.tab.click("#conflict [value=mine]")
    two.wait("!lightbox.editor.dirty")
    assert np.array_equal(on_disk(tmp_path, "hand"), mine)
    kept = (tmp_path / "films" / ".boneseg" / "history" / "hand").glob("*.png")
    assert any(np.array_equal(np.asarray(Image.open(path)), first) for path in kept)


def test_a_mask_removed_by_another_program_can_be_saved_again(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    name = page.tab.evaluate("lightbox.editor.row.name")
    page.drag((50, 50), (90, 50))
    page.tab.keyboard.press("s")
    page.wait("!lightbox.editor.dirty")
    page.drag((50, 120), (90, 120))
    mine = page.mask()
    (tmp_path / "films" / "masks" / f"{name}.png").unlink()
    page.tab.keyboard.press("s")
    page.wait("document.getElementById('conflict').open")
    page.tab.click("#conflict [value=mine]")
    page.wait("!lightbox.editor.dirty")
    assert np.array_equal(on_disk(tmp_path, name), mine)


def test_a_mask_rewritten_by_another_program_is_shown(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    name = page.tab.evaluate("lightbox.editor.row.name")
    page.tab.keyboard.press("s")
    page.wait("lightbox.editor.row.state === 'corrected'")
    time.sleep(2)  # the page looks at its own save
    height, width = page.mask().shape
    path = tmp_path / "films" / "masks" / f"{name}.png"
    Image.new("L", (width, height), 255).save(path)
    page.wait(lambda: bool(page.mask().all()), 10)


def test_changes_are_sent_once_the_server_is_reachable_again(browser: Any, tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand", "knee")
    mask = folder / "masks" / "hand.png"
    mask.parent.mkdir()
    Image.new("L", Image.open(folder / "images" / "hand.png").size, 255).save(mask)
    with served("--data", folder) as address:  # looks at both films
        page = Page(browser, address)
        page.ready()
        page.wait("lightbox.list.rows.every((row) => row.trust !== null)")
        page.close()
    with served("--data", folder) as address:
        page = Page(browser, address)
        page.ready("knee")
        page.wait("lightbox.list.rows.length === 2")
        time.sleep(2)
    page.drag((50, 50), (90, 50))
    page.wait(lambda: "The draft was not saved" in page.notifications())
    mask.rename(mask.with_name("knee.png"))
    with served("--data", folder, "--port", address.rpartition(":")[2].strip("/")):
        page.wait("lightbox.editor.kept")
        page.wait("lightbox.list.rows.find(({ name }) => name === 'hand').state === 'suggested'")
    page.close()


def test_a_draft_is_kept_when_another_tab_saves(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    one, two, three = opened(), opened(), opened()
    for page in (one, two, three):
        page.ready()
        page.tab.click(".film >> text=hand")
        page.ready("hand")
    two.drag((50, 120), (90, 120))
    drawn = two.mask()
    two.wait("lightbox.editor.dirty && lightbox.editor.kept")
    one.drag((50, 50), (90, 50))
    one.tab.click("#save")
    one.wait("!lightbox.editor.dirty")
    two.wait(lambda: "was saved elsewhere" in two.notifications())
    two.wait("lightbox.editor.kept")
    three.wait(lambda: np.array_equal(three.mask(), one.mask()))  # nobody was drawing here
    two.tab.reload()
    two.ready("hand")
    assert np.array_equal(two.mask(), drawn)
    theirs = on_disk(tmp_path, "hand")
    two.tab.click("#save")  # the draft is based on the mask from before
    two.wait("document.getElementById('conflict').open")
    assert np.array_equal(on_disk(tmp_path, "hand"), theirs)
    two.tab.click("#conflict [value=mine]")
    two.wait("!lightbox.editor.dirty")
    assert np.array_equal(on_disk(tmp_path, "hand"), drawn)


def test_a_draft_is_not_restored_on_a_film_of_another_size(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    name = page.tab.evaluate("lightbox.editor.row.name")
    page.drag((50, 50), (90, 50))
    page.wait("lightbox.editor.dirty && lightbox.editor.kept")
    path = tmp_path / "films" / "images" / f"{name}.png"
    before = path.read_bytes()
    turn(path)
    page.tab.reload()
    page.ready(name)
    page.wait(lambda: "its unsaved changes were drawn on" in page.notifications())
    assert not page.tab.evaluate("lightbox.editor.dirty")
    path.write_bytes(before)  # turned back
    page.tab.reload()
    page.ready(name)
    page.wait("lightbox.editor.dirty")
    assert "The film's file has changed since they were drawn" in page.notifications()


def test_changes_are_restored_after_a_crash_of_the_tab(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    page.drag((50, 50), (90, 50))
    drawn = page.mask()
    page.wait("lightbox.editor.kept")
    page.tab.close()
    again = page.tab = page.context.new_page()
    again.goto(page.asked[0])
    page.ready()
    assert np.array_equal(page.mask(), drawn)
    assert "unsaved changes were restored" in page.notifications()


def test_an_undone_change_is_not_a_correction(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened()
    page.ready()
    name = page.tab.evaluate("lightbox.editor.row.name")
    suggested = page.mask()
    page.drag((50, 50), (90, 50))
    page.wait("lightbox.editor.dirty && lightbox.editor.kept")  # as a draft
    page.tab.keyboard.press("z")
    page.wait("!lightbox.editor.dirty && lightbox.editor.kept")
    page.tab.reload()
    page.ready(name)
    assert np.array_equal(page.mask(), suggested)
    assert not page.tab.evaluate("lightbox.editor.dirty")
    other = {"hand": "knee", "knee": "hand"}[name]
    page.tab.click(f".film >> text={other}")
    page.ready(other)
    assert page.tab.evaluate("lightbox.list.rows.every((row) => row.state === 'suggested')")
    assert not (tmp_path / "films" / "masks" / f"{name}.png").exists()


def test_holding_a_key_accepts_one_film(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    page.wait("lightbox.list.rows.every((row) => row.state === 'suggested')")
    for _ in range(20):  # all but the first are repeats
        page.tab.keyboard.down("a")
        time.sleep(0.05)
    page.tab.keyboard.up("a")
    page.ready()
    assert page.tab.evaluate("lightbox.list.rows.map((row) => row.state).sort()") == [
        "accepted",
        "suggested",
    ]


def test_saving_twice_in_a_row_is_not_a_conflict(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    page.tab.click(".film >> text=hand")
    page.ready("hand")
    for y in (40, 80, 120):
        page.drag((50, y), (90, y))
        page.tab.keyboard.press("s")
        page.tab.keyboard.press("s")
    page.tab.click(".film >> text=knee")  # what the last S did not take goes with the film
    page.ready("knee")
    assert not page.tab.evaluate("document.getElementById('conflict').open")
    saved = on_disk(tmp_path, "hand")
    assert all(saved[y, 52:88].all() for y in (40, 80, 120))


def test_changes_made_while_another_film_loads_are_saved(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    page.tab.click(".film >> text=hand")
    page.ready("hand")
    page.tab.evaluate(
        """() => {
            const ask = window.fetch;
            const late = async (...words) => {
                await new Promise((done) => (window.arrive = done));
                return ask(...words);
            };
            window.fetch = (path, ...how) =>
                (path.endsWith("/pixels") ? late : ask)(path, ...how);
        }"""
    )
    page.tab.click(".film >> text=knee")
    page.wait("Boolean(window.arrive)")
    page.drag((50, 40), (90, 40))
    page.tab.mouse.move(*page.screen(50, 80))
    page.tab.mouse.down()  # and this one is not finished yet
    page.tab.mouse.move(*page.screen(90, 80), steps=4)
    page.tab.evaluate("window.arrive()")
    page.ready("knee")
    page.tab.mouse.move(*page.screen(90, 120), steps=4)
    page.tab.mouse.up()
    assert not page.tab.evaluate("lightbox.editor.dirty")
    saved = on_disk(tmp_path, "hand")
    assert saved[40, 52:88].all() and saved[80, 52:88].all()


def test_a_removed_film_can_be_left(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened()
    page.ready()
    page.tab.click(".film >> text=hand")
    page.ready("hand")
    page.drag((50, 50), (90, 50))
    (tmp_path / "films" / "images" / "hand.png").unlink()
    page.wait(lambda: "hand: the film was removed" in page.notifications())
    page.tab.click(".film >> text=knee")  # the question is answered with yes: see Page
    page.ready("knee")
