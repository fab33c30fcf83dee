"""The dataset behind the light box: changes by other programs are noticed, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.errors import DatasetError, OutputError, UsageError
from boneseg.masks.measures.geometry import Measure
from boneseg.radiograph.calibration import Calibration
from boneseg.server.light_box import LightBox
from boneseg.server.storage.entry import Entry
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from tests.support.lightbox import BITS, FOOT, drop, empty, fill


def test_changes_by_other_programs_are_noticed(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand", "knee"))
    seen = [library.version]
    for change in (
        (library.images / "knee.png").unlink,
        lambda: (library.images / "foot.png").write_bytes(FOOT.read_bytes()),
        lambda: Image.new("L", (8, 8)).save(library.masks / "foot.png"),
    ):
        time.sleep(0.02)  # a folder's time has a grain
        change()
        library.entries()
        seen.append(library.version)
    assert seen == sorted(set(seen))
    assert [entry.name for entry in library.entries()] == ["foot", "hand"]
    assert library.version == seen[-1]


@pytest.mark.parametrize("where", [".", "images", ".boneseg/inbox"])
def test_a_table_of_calibrations_rewritten_in_place_is_noticed(tmp_path: Path, where: str) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    table = library.root / where / "calibration.csv"
    table.write_text("name,mm_per_pixel,how\nhand,0.2,\n")
    library.notice()
    before = library.version
    table.write_text("name,mm_per_pixel,how\nhand,0.25,\n")
    library.notice()
    assert library.version > before
    library.notice()
    assert library.version == before + 1


@pytest.mark.parametrize(
    ("film", "mask", "dropped"),
    [
        ("hand", "knee", "knee"),  # the mask waits for its film
        ("hand", "knee_mask", "knee"),
        ("hand", "Knee", "knee_image"),
        ("knee_image", "knee", "knee"),  # the mask is another film's
        ("knee", "knee_mask", "knee_mask"),
        ("knee", "knee_mask", "KNEE_MASK"),
        ("knee_mask_image", "knee_mask", "knee"),
    ],
)
def test_an_uploaded_film_does_not_take_the_mask_of_another(
    tmp_path: Path, film: str, mask: str, dropped: str
) -> None:
    library = Library(tmp_path / "films")
    shutil.copy(FOOT, library.images / f"{film}.png")
    theirs = library.masks / f"{mask}.png"
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(theirs)
    content, before = theirs.read_bytes(), library.entries()
    saved = drop_and_save(library, f"{dropped}.png")
    assert saved.name == f"{dropped}-2"
    assert theirs.read_bytes() == content
    assert set(library.entries()) == {saved, *before}


@pytest.mark.parametrize("kept", ["NFC", "NFD"])
@pytest.mark.parametrize("sent", ["NFC", "NFD"])
@pytest.mark.parametrize("folder", ["images", "masks"])
def test_uploaded_names_are_compared_regardless_of_unicode_form(
    tmp_path: Path, folder: str, kept: Literal["NFC", "NFD"], sent: Literal["NFC", "NFD"]
) -> None:
    library = Library(tmp_path / "films")
    name = "schädel.png"
    theirs = tmp_path / "films" / folder / unicodedata.normalize(kept, name)
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(theirs)
    saved = drop_and_save(library, unicodedata.normalize(sent, name))
    assert saved.name == unicodedata.normalize("NFC", "schädel-2")
    assert saved in library.entries()


@pytest.mark.parametrize("name", ["हड्डी", "กระดูก", "q̃1"])
def test_an_uploaded_film_keeps_its_name_in_any_script(tmp_path: Path, name: str) -> None:
    assert drop_and_save(Library(tmp_path / "films"), f"{name}.png").name == name


def test_a_mask_with_the_name_of_an_uploaded_film_is_kept(tmp_path: Path) -> None:
    library = Library(tmp_path / "films")
    theirs = library.masks / "knee.png"

    def meanwhile() -> None:
        Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(theirs)

    saved = drop_and_save(library, "knee.png", meanwhile)
    assert saved.mask == theirs
    oldest = library.history.of(saved.name)[-1]
    assert np.array_equal(np.asarray(Image.open(oldest.path)), np.eye(64) * 255)


def drop_and_save(
    library: Library, name: str, meanwhile: Callable[[], None] = lambda: None
) -> Entry:
    upload = library.hidden / "upload.png"
    shutil.copy(FOOT, upload)
    dropped = library.add(name, upload)
    meanwhile()
    return library.save(dropped.id, np.zeros((64, 64), bool), "accepted", NO_MASK)[0]


def test_a_full_disk_is_reported_and_existing_files_stay(disk: Path) -> None:
    library = Library(fill(disk / "films", "hand"))
    film = library.entries()[0]
    mask = np.random.default_rng(0).random((300, 300)) < 0.5
    film, first = library.save(film.id, mask, "accepted", NO_MASK)
    before = film.mask.read_bytes()
    (disk / "ballast").write_bytes(b"\0" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    with pytest.raises(OutputError, match="No space left"):
        library.save(film.id, ~mask, "corrected", first)
    film = library.entries()[0]
    assert film.mask.read_bytes() == before
    assert library.state(film) == "accepted"
    (disk / "ballast").unlink()
    film, second = library.save(film.id, ~mask, "corrected", first)
    assert {v.revision for v in library.history.of(film.name)} == {first, second}


def test_annotation_files_are_refused_rather_than_duplicated(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    (folder / "masks").mkdir()
    drawn = {"version": "5.5.0", "shapes": [], "imagePath": "hand.png", "imageData": None}
    drawn |= {"imageHeight": 300, "imageWidth": 241, "flags": {}}
    (folder / "masks" / "hand.json").write_text(json.dumps(drawn))
    with pytest.raises(UsageError, match=r"hand\.json: annotation files are not supported here"):
        Library(folder)
    (folder / "masks" / "hand.json").rename(folder / "masks" / "README.txt")
    assert len(Library(folder).entries()) == 1


def test_a_film_removed_on_the_page_leaves_nothing(client: TestClient, box: LightBox) -> None:
    library = box.library
    row = drop(client, "Beeblebrox.png")
    film = row["id"]
    assert client.put(f"/api/films/{film}/draft", content=empty(row), headers=BITS).is_success
    library.calibrate(library.entry(film), Calibration(0.5))
    library.measures.write(film, [Measure("length", ((1, 2), (3, 4)))])
    library.history.add("Beeblebrox", "0" * 16, b"", ".png")  # of a save that failed midway
    library._states.set(film, "0" * 16, "corrected")
    (library.cache.folder(film) / ".0123456789abcdef.new").write_bytes(b"pixels")
    assert client.delete(f"/api/films/{film}").status_code == 204
    left = [path for path in library.root.rglob("*") if film in path.name or "Bee" in path.name]
    assert not left
    assert film not in (library.hidden / "states.json").read_text()
    assert "Bee" not in (library.root / "calibration.csv").read_text()
    assert film not in box.failures
    for what in ("", "/thumbnail", "/pixels", "/draft", "/history", "/suggestion"):
        assert client.get(f"/api/films/{film}{what}").status_code == 404
    answer = client.put(f"/api/films/{film}/draft", content=empty(row), headers=BITS)
    assert answer.status_code == 404
    assert not list(library.drafts.root.iterdir())


def test_a_film_removed_from_the_folder_leaves_no_cached_image(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand", "knee"))
    for entry in library.entries():
        folder = library.cache.folder(entry.id)
        folder.mkdir(parents=True)
        (folder / "thumbnail.png").write_bytes(b"picture")
        library.save(entry.id, np.eye(300, dtype=bool), "accepted", NO_MASK)
        library.keep_draft(entry.id, np.eye(300, dtype=bool))
    hand, knee = library.entries()
    hand.image.unlink()
    library.notice()
    assert [folder.name for folder in library.cache.root.iterdir()] == [knee.id]
    assert len(library.history.of("hand")) == 1  # drawn work is kept, in case it comes back
    assert library.drafts.of(hand.id) is not None


def test_unfinished_files_of_a_killed_server_are_removed(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    places = (
        library.hidden,
        library.masks,
        library.drafts.root,
        library.hidden / "history" / "hand",
    )
    left = [place / ".0123456789abcdef.new" for place in places]
    left.append(library.cache.root / "0" / ".fedcba9876543210.old")
    others = [library.masks / ".keep.new", library.images / "film.new"]
    for path in (*left, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    Library(library.root).begin()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


# -- masks that are in the way ---------------------------------------------------------------------


def test_a_mask_that_cannot_be_removed_fails_one_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "films", "hand", "knee")
    (folder / "masks").mkdir()
    theirs = folder / "masks" / "hand_mask.tif"
    Image.fromarray(np.eye(300, dtype=np.uint8) * 255).save(theirs)
    library = Library(folder)
    hand = library.entries()[0]
    unlink = Path.unlink

    def forbidden(path: Path, missing_ok: bool = False) -> None:
        if path == theirs:  # as of an immutable file: root may remove what rights forbid
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", forbidden)
    content, drawn = theirs.read_bytes(), np.zeros((300, 300), bool)
    with pytest.raises(OutputError, match=r"hand_mask\.tif: the previous mask cannot be removed"):
        library.save(hand.id, drawn, "accepted", library.revision(hand))
    assert [path.name for path in library.masks.iterdir()] == ["hand_mask.tif"]
    assert theirs.read_bytes() == content
    assert library.entries() == [hand, library.entries()[1]]
    assert len(library.history.of("hand")) == 2  # what was drawn is there, too
    monkeypatch.undo()
    saved, _ = library.save(hand.id, drawn, "accepted", library.revision(hand))
    assert [path.name for path in library.masks.iterdir()] == ["hand.png"]
    assert library.entries()[0] == saved


def test_two_masks_of_one_film_do_not_affect_other_films(client: TestClient, box: LightBox) -> None:
    library = box.library
    for name in ("odd", "even"):
        shutil.copy(FOOT, library.images / f"{name}.png")
    for name in ("odd.png", "odd_mask.tif"):
        Image.new("L", Image.open(FOOT).size).save(library.masks / name)
    shutil.copy(FOOT, library.images / "even.tif")  # and two films of one name
    try:
        listed = client.get("/api/films")
        assert listed.status_code == 200
        rows = {row["name"]: row for row in listed.json()["films"]}
        assert rows["hand"]["error"] is None and rows["hand"]["clear"]
        assert not rows["odd"]["clear"]
        told = {name: rows[name]["error"] for name in ("odd", "even")}
        assert told["odd"] == "odd.png: odd.png and odd_mask.tif both match it; keep one mask"
        assert told["even"] == "even.tif: has the same name as even.png; rename one of the two"
        assert client.get(f"/api/films/{rows['hand']['id']}").status_code == 200
        for name in ("odd", "even"):
            film = f"/api/films/{rows[name]['id']}"
            assert client.get(f"{film}/thumbnail").status_code == 200
            row = client.get(film).json()
            answer = client.put(f"{film}/mask", content=empty(row), headers=BITS)
            assert (answer.status_code, answer.json()["error"]) == (409, told[name])
        assert client.get(f"/api/films/{rows['odd']['id']}/mask").status_code == 409
        with pytest.raises(DatasetError, match="both match it"):
            library.save(rows["odd"]["id"], np.zeros((2, 2), bool), "accepted", NO_MASK)
    finally:
        for name in ("odd.png", "even.png", "even.tif"):
            (library.images / name).unlink()
        for name in ("odd.png", "odd_mask.tif"):
            (library.masks / name).unlink()
