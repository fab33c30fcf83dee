"""What the light box keeps, who can read it, and what a kill or a removal leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.bundle.shipped import bundled, sample_films
from boneseg.errors import DatasetError, OutputError
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from boneseg.server.retraining.records import Request, Run
from boneseg.server.retraining.runs import MOST_RESUMED, Runs
from boneseg.server.retraining.supervisor import Retraining
from boneseg.server.storage import history, retention
from boneseg.server.storage.cache import Cache
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from boneseg.server.storage.results import FILM, StoredFacts
from boneseg.simulate import simulate
from tests.support.lightbox import COMMAND, address_of, fill, served

HERE = "http://127.0.0.1"
FOOT = sample_films() / "foot.png"
BITS = {"content-type": "application/octet-stream", "if-match": '"none"'}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightBox]:
    before = os.umask(0o022)  # the common one
    opened = LightBox(Library(fill(tmp_path_factory.mktemp("box") / "films", "hand")), bundled())
    yield opened
    opened.close()
    os.umask(before)


@pytest.fixture(scope="module")
def client(box: LightBox) -> TestClient:
    return TestClient(create_app(box), base_url=HERE, raise_server_exceptions=False)


def drop(client: TestClient, name: str = "foot.png") -> dict:
    answer = client.post("/api/films", files={"file": (name, FOOT.read_bytes())})
    assert answer.status_code == 201, answer.text
    return answer.json()


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def empty(row: dict) -> bytes:
    return bytes((row["height"] * row["width"] + 7) // 8)


def test_what_the_server_keeps_is_private(client: TestClient, box: LightBox) -> None:
    row = drop(client)
    library = box.library
    assert client.put(f"/api/films/{row['id']}/draft", content=empty(row), headers=BITS).is_success
    assert rights(library.inbox / "foot.png") == 0o600
    assert rights(library.hidden) == 0o700  # which guards all below
    for folder in ("inbox", "drafts", "cache", "spool"):
        assert rights(library.hidden / folder) == 0o700
    assert client.put(f"/api/films/{row['id']}/mask", content=empty(row), headers=BITS).is_success
    assert rights(library.images / "foot.png") == 0o600


def test_a_folder_of_an_earlier_version_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "films" / ".boneseg" / "inbox").mkdir(parents=True, mode=0o755)
    images = tmp_path / "films" / "images"
    images.mkdir(mode=0o755)
    library = Library(tmp_path / "films")
    assert rights(library.hidden) == rights(library.inbox) == 0o700
    assert rights(images) == 0o755  # the user's own


def test_a_film_that_is_removed_leaves_nothing(client: TestClient, box: LightBox) -> None:
    library = box.library
    row = drop(client, "Beeblebrox.png")
    film = row["id"]
    assert client.put(f"/api/films/{film}/draft", content=empty(row), headers=BITS).is_success
    library.history.add("Beeblebrox", "0" * 16, b"", ".png")  # of a save that failed midway
    library._states.set(film, "0" * 16, "corrected")
    (library.cache.folder(film) / ".0123456789abcdef.new").write_bytes(b"pixels")
    assert client.delete(f"/api/films/{film}").status_code == 204
    left = [path for path in library.root.rglob("*") if film in path.name or "Bee" in path.name]
    assert not left
    assert film not in (library.hidden / "states.json").read_text()
    assert film not in box.failures
    for what in ("", "/thumbnail", "/pixels", "/draft", "/history", "/suggestion"):
        assert client.get(f"/api/films/{film}{what}").status_code == 404
    answer = client.put(f"/api/films/{film}/draft", content=empty(row), headers=BITS)
    assert answer.status_code == 404
    assert not list(library.drafts.root.iterdir())


def test_a_film_that_its_owner_removes_leaves_no_picture(tmp_path: Path) -> None:
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


def test_what_was_drawn_outlives_its_film_by_thirty_days(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand", "knee"))
    for entry in library.entries():
        library.save(entry.id, np.eye(300, dtype=bool), "accepted", NO_MASK)
        library.keep_draft(entry.id, np.eye(300, dtype=bool))
    hand, knee = library.entries()
    film = hand.image.read_bytes()

    def start(days: float) -> Library:
        record = library.hidden / "gone.json"
        if record.exists():
            since = json.loads(record.read_text())
            since["since"] = {film: at - days * 86400 for film, at in since["since"].items()}
            record.write_text(json.dumps(since))
        again = Library(library.root)
        again.begin()
        return again

    hand.image.unlink()
    assert start(0).history.films() == ["hand", "knee"]
    assert start(retention.DAYS - 1).history.films() == ["hand", "knee"]
    hand.image.write_bytes(film)  # it is back, and the days count anew
    start(0)
    hand.image.unlink()
    start(0)
    assert start(retention.DAYS - 1).history.films() == ["hand", "knee"]
    last = start(2)
    assert last.history.films() == ["knee"]
    assert last.drafts.of(hand.id) is None and last.drafts.of(knee.id) is not None
    assert hand.id not in (library.hidden / "states.json").read_text()
    (library.hidden / "gone.json").write_text("{damaged")
    Library(library.root).begin()
    assert library.history.films() == ["knee"]


def test_unfinished_files_of_a_kill_are_swept(tmp_path: Path) -> None:
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


def test_a_mask_that_cannot_be_removed_costs_one_save(
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


def test_two_masks_of_one_film_cost_no_other_film(client: TestClient, box: LightBox) -> None:
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


# -- the clock -------------------------------------------------------------------------------------


def test_versions_stay_in_order_where_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        moment = datetime(2030, 1, 1, tzinfo=UTC)

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return cls.moment

    monkeypatch.setattr(history, "datetime", Clock)
    library = Library(fill(tmp_path / "films", "hand"))
    film, seen, saved = library.entries()[0], NO_MASK, []
    for number in range(4):
        film, seen = library.save(film.id, np.eye(9, k=number, dtype=bool), "corrected", seen)
        saved.append(seen)
        Clock.moment -= timedelta(days=400)
    versions = library.history.of("hand")
    assert [version.revision for version in versions] == saved[::-1]
    assert all(version.saved.startswith("2030-01-01T00:00:00") for version in versions)


def test_the_cache_makes_room_in_order_where_the_clock_is_set_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=250)
    facts = StoredFacts(
        height=1,
        width=1,
        spacing_mm=None,
        spacing_kind="",
        threshold=0.5,
        area_px=0,
        area_mm2=None,
        confidence=1.0,
        trust=None,
        seconds=0.1,
        model="",
        stamp="",
    )
    for number, film in enumerate("abcd"):  # each a day before the one that was looked at last
        cache.folder(film).mkdir()
        path = cache.file(film, FILM)
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - number * 86400,) * 2)
        cache.add(film, facts)
    assert [film for film in "abcd" if cache.file(film, FILM).exists()] == ["b", "c", "d"]
    cache.add("b", facts)
    cache.add("d", facts)
    cache.most_bytes = 100
    cache.add("d", facts)
    assert [film for film in "abcd" if cache.file(film, FILM).exists()] == ["b", "d"]


# -- the end ---------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path, **how: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server on a folder, and its process."""
    call = [*COMMAND, "serve", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, **how) as server:
        try:
            yield address_of(server), server
        finally:
            server.terminate()


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_server_started_in_the_background_ends_on_sigterm_with_status_0(tmp_path: Path) -> None:
    """A script's `&` has it ignore SIGINT; a save under way at the end is finished."""
    folder = fill(tmp_path / "films", "hand")
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with serving(folder, **ignoring) as (address, server):
        with httpx.Client(base_url=address, timeout=60) as client:
            row = client.get("/api/films").json()["films"][0]
            row = client.get(f"/api/films/{row['id']}").json()

            def slowly() -> Iterator[bytes]:
                content = empty(row)
                yield content[:100]
                server.send_signal(signal.SIGTERM)
                time.sleep(1)
                yield content[100:]

            mask = f"/api/films/{row['id']}/mask"
            saved = client.put(mask, content=slowly(), headers=BITS)
            assert saved.status_code == 200
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    assert re.fullmatch(r"\S+ INFO stopped\n", said), said
    assert (folder / "masks" / "hand.png").is_file()
    assert not (folder / ".boneseg" / "spool").exists()


def test_a_killed_server_leaves_no_upload_behind(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    with serving(folder) as (_, server):
        server.kill()
        server.communicate(timeout=30)
    upload = folder / ".boneseg" / "spool" / ".film.dcm"
    upload.write_bytes(b"film")
    half = folder / "masks" / ".0123456789abcdef.new"
    half.write_bytes(b"half a mask")
    with served("--data", folder):
        assert not upload.exists() and not half.exists()


def test_a_training_goes_on_after_the_server_was_ended(tmp_path: Path) -> None:
    simulate(tmp_path / "films", 6, seed=6, size=(96, 96))
    folder = tmp_path / "films" / ".boneseg" / "runs" / "0001"
    with serving(tmp_path / "films") as (address, server):
        asked = httpx.post(f"{address}api/train", json={"minutes": 1}, timeout=60)
        assert asked.status_code == 202, asked.text
        wait_for(lambda: (folder / "checkpoint.safetensors").is_file())
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0
    told = json.loads((folder / "outcome.json").read_text())
    assert (told["state"], told["error"]) == ("interrupted", None)
    assert told["checks"] and told["checks"][-1]["done"] < 1
    assert (folder / "films").is_dir()
    with serving(tmp_path / "films") as (address, server):

        def run() -> dict[str, Any]:
            return httpx.get(f"{address}api/train", timeout=60).json()["run"]

        assert (run()["state"], run()["resumed"]) == ("running", 1)
        wait_for(lambda: len(run()["checks"]) > len(told["checks"]))
        done = [check["done"] for check in run()["checks"]]
        assert done == sorted(done)  # it went on from where it stood
        assert httpx.post(f"{address}api/train/stop", timeout=60).json()["state"] == "stopped"
        server.terminate()
        server.communicate(timeout=30)
    assert not (folder / "films").exists()
    assert not (folder / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(("resumed", "films"), [(MOST_RESUMED, True), (0, False)])
def test_a_training_that_cannot_go_on_is_told_and_tidied(
    tmp_path: Path, resumed: int, films: bool
) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    runs, run = Runs(library.hidden / "runs"), Run(number=1, films=4, minutes=1, resumed=resumed)
    runs.prepare(run, library.root, [], Request(model="bundled"))
    runs.save(run)
    folder = runs.folder(run)
    (folder / "checkpoint.safetensors").write_bytes(b"weights")
    if not films:
        shutil.rmtree(folder / "films")
    again = Retraining(library)
    assert again.resume() is None
    assert again.run is not None and again.run.state == "interrupted"
    assert sorted(path.name for path in folder.iterdir()) == ["outcome.json", "wish.json"]


def test_a_temporary_folder_of_a_killed_server_is_removed_at_the_next_start(tmp_path: Path) -> None:
    env = os.environ | {"TMPDIR": str(tmp_path)}
    call = [*COMMAND, "serve", "--port", "0"]
    how = {"stderr": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen(call, **how) as killed, subprocess.Popen(call, **how) as running:
        address_of(killed)
        address_of(running)
        before = set(tmp_path.glob("boneseg-*"))
        assert len(before) == 2 and {rights(folder) for folder in before} == {0o700}
        killed.kill()
        killed.wait(30)
        with subprocess.Popen(call, **how) as third:
            address_of(third)
            left = before & set(tmp_path.glob("boneseg-*"))
            third.terminate()
        running.terminate()
    assert len(left) == 1  # of the one that still ran
    assert not list(tmp_path.glob("boneseg-*"))
