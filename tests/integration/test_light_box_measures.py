"""Measures and calibration in a real browser: drawn, moved, named, kept, exported."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from boneseg.masks.measures.geometry import POINTS, Kind, Measure, Side, values
from tests.support.films import bone, dicom
from tests.support.light_box_page import Page
from tests.support.lightbox import fill, served, turn
from tests.support.requirements import needs_browser
from tests.unit.masks.measures.test_alignment import ANKLE, HIP, KNEE, leg

pytestmark = needs_browser


def words(page: Page) -> list[str]:
    return list(page.tab.locator("#measures li output").all_inner_texts())


def click(page: Page, *places: tuple[float, float]) -> None:
    for place in places:
        page.tab.mouse.click(*page.screen(*place))


def downloaded(page: Page, part: str) -> list[dict[str, str]]:
    """The rows of the table that a button gives."""
    with page.tab.expect_download() as download:
        page.tab.click(f"#measures [data-part={part}]")
    with download.value.path().open() as file:
        return list(csv.DictReader(file))


def kept(folder: Path) -> list[dict[str, Any]]:
    """The measures in the data folder."""
    files = list((folder / ".boneseg" / "measures").glob("*.json"))
    return [one for file in files for one in json.loads(file.read_text())["measures"]]


def test_measures_are_drawn_edited_kept_and_exported(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    kind = page.tab.locator("#measures [data-part=kind]")
    page.tab.keyboard.press("m")
    page.drag((50, 60), (80, 100))
    assert abs(float(words(page)[0].split(" px")[0]) - 50) < 1.5
    page.drag((80, 100), (-30, 100))  # past the edge of the film: it ends there
    assert page.tab.evaluate("lightbox.measures.all[0].points[1][0]") == 0
    page.drag((0, 100), (80, 100))
    kind.select_option("cobb")
    page.drag((20, 40), (120, 40))
    page.drag((20, 100), (120, 120))
    kind.select_option("angle")
    click(page, (100, 150), (30, 150), (30, 200))
    found = words(page)
    assert abs(float(found[1].rstrip("°")) - 11.3) < 0.8
    assert abs(float(found[2].rstrip("°")) - 90) < 1.5
    page.drag((80, 100), (50, 160))  # the end of the first
    assert abs(float(words(page)[0].split(" px")[0]) - 100) < 1.5
    name = page.tab.locator("#measures li input").first
    name.fill("humerus")
    name.press("Enter")
    folder = tmp_path / "films"
    page.wait(lambda: [one["name"] for one in kept(folder)] == ["humerus", "", ""])
    page.tab.locator("#measures li button").nth(2).click()
    page.wait(lambda: len(kept(folder)) == 2)
    page.tab.keyboard.press("z")  # the angle is back, and gone again
    page.wait(lambda: len(kept(folder)) == 3)
    page.tab.keyboard.press("y")
    page.wait(lambda: len(kept(folder)) == 2)
    page.tab.keyboard.press("b")  # undo is that of the mask again
    assert page.tab.is_disabled("#undo")
    page.tab.reload()
    page.ready()
    page.wait("lightbox.measures.all.length === 2")
    assert words(page) == [words(page)[0], found[1]]
    rows, everything = (downloaded(page, part) for part in ("csv", "all"))
    assert rows == everything  # no other film has measures
    assert [(row["name"], row["kind"], row["unit"]) for row in rows] == [
        ("humerus", "length", "px"),
        ("", "cobb", "deg"),
    ]


def test_the_page_and_the_tables_compute_the_same_values(opened: Callable[..., Page]) -> None:
    page = opened()
    page.ready()
    rng = np.random.default_rng(0)
    sides: tuple[Side | None, ...] = (None, "left", "right")
    cases: list[tuple[Kind, list[list[float]], tuple[float, float] | None, Side | None]] = [
        (kind, rng.uniform(0, 400, (POINTS[kind], 2)).round(2).tolist(), spacing, side)
        for kind in get_args(Kind)
        for spacing in (None, (0.14, 0.14), (0.2, 0.1))
        for side in (sides if kind == "alignment" else sides[:1])
        for _ in range(20)
    ]
    cases.append(("alignment", [[5, 5], [9, 9], [5, 5]], None, "left"))  # no axis
    found = page.tab.evaluate(
        """async (cases) => {
            const { valuesOf } = await import("/static/geometry.js");
            return cases.map((one) => Object.entries(valuesOf(...one)));
        }""",
        cases,
    )
    for (kind, points, spacing, side), shown in zip(cases, found, strict=True):
        drawn = Measure(kind, tuple((x, y) for x, y in points), medial=side)
        wanted = values(drawn, spacing).items()
        for (what, value), (name, words) in zip(wanted, shown, strict=False):  # without the leg
            assert ("valgus" in what, "varus" in what) == ("valgus" in name, "varus" in name)
            number, unit = re.fullmatch(r"([\d.]+) ?(\D+)", words).groups()  # type: ignore[union-attr]
            assert abs(float(number) - value.number) <= 0.0501
            assert unit == {"deg": "°"}.get(value.unit, value.unit)


def test_measures_that_could_not_be_saved_stay_with_their_film(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    page.wait("lightbox.measures.sheet.loaded")
    first = page.tab.evaluate("lightbox.measures.film")

    def fail(route: Any) -> None:
        route.abort() if route.request.method == "PUT" else route.continue_()

    page.tab.route("**/measures", fail)
    page.tab.keyboard.press("m")
    page.drag((50, 60), (80, 100))
    page.tab.keyboard.press("PageDown")
    page.wait(f"lightbox.measures.film !== '{first}' && lightbox.measures.sheet.loaded")
    assert words(page) == [] and not page.tab.evaluate("lightbox.measures.kept")
    page.tab.unroute("**/measures")
    page.tab.evaluate("lightbox.measures.save()")
    folder = tmp_path / "films"
    page.wait(lambda: len(kept(folder)) == 1)
    (file,) = (folder / ".boneseg" / "measures").glob("*.json")
    assert file.stem == first


def test_measures_belong_to_the_film_that_is_shown(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    """Also while those of the film before it are being saved."""
    page = opened()
    page.ready()
    page.wait("lightbox.measures.sheet.loaded")
    waiting: list[Any] = []

    def hold(route: Any) -> None:
        is_first = route.request.method == "PUT" and not waiting
        waiting.append(route) if is_first else route.continue_()

    page.tab.route("**/measures", hold)
    first = page.tab.evaluate("lightbox.measures.film")
    page.tab.keyboard.press("m")
    page.drag((50, 60), (80, 100))
    page.wait(lambda: page.tab.title() and len(waiting) == 1)  # routes are served during calls
    page.tab.keyboard.press("PageDown")
    page.wait(f"lightbox.editor.row.id !== '{first}'")
    page.drag((50, 160), (80, 200))
    waiting[0].continue_()
    folder = tmp_path / "films"
    page.wait(lambda: page.tab.title() and len(kept(folder)) == 2)
    assert len(list((folder / ".boneseg" / "measures").glob("*.json"))) == 2
    assert len(words(page)) == 1


def test_an_answer_that_was_lost_doubles_no_measure(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    page.wait("lightbox.measures.sheet.loaded")

    def lose(route: Any) -> None:
        if route.request.method == "PUT":
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.tab.route("**/measures", lose)
    page.tab.keyboard.press("m")
    page.drag((50, 60), (80, 100))
    page.wait(lambda: "The measures were not saved" in page.notifications())
    assert len(kept(tmp_path / "films")) == 1
    page.tab.unroute("**/measures")
    page.drag((80, 100), (50, 160))  # the end of the same
    page.wait("lightbox.measures.kept")
    page.wait(lambda: abs(kept(tmp_path / "films")[0]["points"][1][1] - 160) < 2)
    assert len(words(page)) == len(kept(tmp_path / "films")) == 1


def test_two_tabs_keep_one_another_s_measures(opened: Callable[..., Page], tmp_path: Path) -> None:
    one, two = opened(), opened()
    folder = tmp_path / "films"
    for page in (one, two):
        page.ready()
        page.tab.click(".film >> text=hand")
        page.ready("hand")
        page.wait("lightbox.measures.sheet.loaded")
        page.tab.keyboard.press("m")
    one.drag((50, 60), (80, 100))
    one.wait("lightbox.measures.kept")
    one.wait(lambda: len(kept(folder)) == 1)
    two.drag((50, 160), (80, 200))
    two.wait(lambda: "The measures were also changed elsewhere" in two.notifications())
    assert len(kept(folder)) == len(words(two)) == 2
    one.tab.evaluate("lightbox.measures.remove(lightbox.measures.all[0])")
    one.wait(lambda: "The measures were also changed elsewhere" in one.notifications())
    assert len(words(one)) == 1  # what was drawn in the other tab
    (left,) = kept(folder)
    assert left["points"] == two.tab.evaluate("lightbox.measures.all[1].points")


def test_measures_drawn_on_a_film_of_another_size_are_to_be_checked(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    name = page.tab.evaluate("lightbox.editor.row.name")
    page.tab.keyboard.press("m")
    page.drag((50, 60), (80, 100))
    page.wait(lambda: len(kept(tmp_path / "films")) == 1)
    turn(tmp_path / "films" / "images" / f"{name}.png")
    page.tab.reload()
    page.ready(name)
    page.wait(lambda: "The measures were drawn on" in page.notifications())
    assert len(words(page)) == 1


def test_two_clicks_on_a_known_size_calibrate_the_film(
    opened: Callable[..., Page], tmp_path: Path
) -> None:
    page = opened()
    page.ready()
    page.tab.keyboard.press("m")
    page.drag((50, 60), (80, 100))
    page.tab.locator("#measures [data-part=kind]").select_option("calibrate")
    click(page, (50, 60), (80, 100))  # along the length, whose ends stay
    page.tab.fill("#calibrate [name=size]", "25")
    page.tab.fill("#calibrate [name=what]", "steel ball")
    page.tab.click("#calibrate .primary")
    page.wait("lightbox.editor.row.spacing_kind === 'user'")
    assert abs(float(words(page)[0].split(" mm")[0]) - 25) < 1.5
    facts = page.tab.inner_text("#facts")
    assert "mm²" in facts and "cm²" not in facts and "as calibrated" in facts
    assert "steel ball of 25 mm over" in page.tab.inner_text("#measures")
    table = tmp_path / "films" / "calibration.csv"
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert abs(float(row["mm_per_pixel"]) - 0.5) < 0.02
    table.write_text(table.read_text().replace(row["mm_per_pixel"], "0.25"))  # by hand
    page.wait("lightbox.editor.row.spacing_mm[0] === 0.25")
    assert abs(float(words(page)[0].split(" mm")[0]) - 12.5) < 0.8
    assert "its calibration has changed" in page.tab.inner_text("#notifications")
    content = table.read_text()
    table.write_text(content.replace("0.25", "wide"))
    page.wait("lightbox.editor.row.spacing_mm === null")
    assert "'wide' is not the width of a pixel" in page.tab.inner_text("#measures")
    table.write_text(content)
    page.wait("lightbox.editor.row.spacing_mm !== null")
    page.tab.click("#measures [data-part=uncalibrate]")
    page.wait("lightbox.editor.row.spacing_mm === null")
    assert words(page)[0].endswith("px")


def test_the_alignment_of_a_leg_is_suggested_and_corrected(browser: Any, tmp_path: Path) -> None:
    mask = leg(pelvis=True)
    folder = fill(tmp_path / "films")
    dicom(folder / "images" / "leg.dcm", np.where(mask, 3000, 300) + bone(*mask.shape, top=1))
    (folder / "masks").mkdir(exist_ok=True)
    Image.fromarray(mask).save(folder / "masks" / "leg.png")
    with served("--data", folder) as address:
        page = Page(browser, address)
        page.ready("leg")
        page.tab.click("#measures [data-part=suggest]")
        page.wait("lightbox.measures.all.length === 1")
        points = np.array(page.tab.evaluate("lightbox.measures.all[0].points"))
        assert np.abs(points - (HIP, KNEE, ANKLE)).max() < 8
        assert "suggested, check hip, knee, ankle" in words(page)[0]
        assert "varus" in words(page)[0] and "valgus" not in words(page)[0]
        page.drag(tuple(points[0]), HIP)  # the measure tool is chosen
        moved = np.array(page.tab.evaluate("lightbox.measures.all[0].points[0]"))
        assert np.abs(moved - HIP).max() < 1.5
        assert "suggested" not in words(page)[0] and "HKA" in words(page)[0]
        page.wait(lambda: [one["suggested"] for one in kept(folder)] == [False])
        page.tab.locator("#measures li button").click()
        page.tab.locator("#measures [data-part=kind]").select_option("alignment")
        click(page, HIP, KNEE, ANKLE)  # by hand: the mask tells which side is medial
        side = page.tab.locator("#measures li select")
        page.wait(lambda: side.input_value() == "right" and "varus" in words(page)[0])
        angle = float(words(page)[0].split("°")[0][4:])
        assert angle < 180
        side.select_option("left")
        page.wait(lambda: [one["medial"] for one in kept(folder)] == ["left"])
        mirrored = words(page)[0]
        assert "valgus" in mirrored and abs(float(mirrored.split("°")[0][4:]) + angle - 360) < 0.11
        other_side = (70, HIP[1])  # of the shaft, as the hip of the other leg is
        page.drag(HIP, other_side)  # the chosen side stays
        page.wait("lightbox.measures.following.then(() => true)")
        assert side.input_value() == "left"
        page.drag(other_side, HIP)
        side.select_option("right")  # as the mask shows it: the side follows
        page.drag(HIP, other_side)
        page.wait(lambda: side.input_value() == "left")
        page.wait(lambda: [one["medial"] for one in kept(folder)] == ["left"])
        page.close()
