"""The services as processes: their exit, and the files that they leave."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from boneseg._util.children import Children
from boneseg._util.scratch import scratch
from boneseg.pacs.dicomweb import bounded_http
from boneseg.pacs.dicomweb.client import DicomWeb
from boneseg.pacs.dicomweb.watch import Watch
from boneseg.pacs.identifiers import digest, public_uid
from boneseg.pacs.node.node import Node
from boneseg.pacs.node.peer import Peer
from boneseg.pacs.node.spool import Spool
from boneseg.radiograph.dicom import decoder
from boneseg.radiograph.dicom import pixels as pixel_data
from tests.support import films, webpacs

BONESEG = (sys.executable, "-c", "from boneseg.cli import main; main()")
# A shell without job control has what it starts in the background ignore SIGINT.
IN_BACKGROUND = ("sh", "-c", '"$@" & echo $!; wait $!; echo $?', "sh", *BONESEG)


def two_films(tmp_path):
    held = {}
    for number in range(2):
        path = films.dicom(
            tmp_path / f"{number}.dcm",
            films.bone(64, 64),
            StudyInstanceUID=webpacs.STUDY,
            SeriesInstanceUID=webpacs.SERIES,
        )
        held[str(pydicom.dcmread(path).SOPInstanceUID)] = path.read_bytes()
    return held


def until(true, seconds=60):
    for _ in range(20 * seconds):
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


@contextmanager
def in_background(tmp_path, *words):
    """A service that a script starts with `&`: the shell, and the service's process ID."""
    environment = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir(exist_ok=True)
    with subprocess.Popen(
        [*IN_BACKGROUND, *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("w"),
        text=True,
    ) as shell:
        pid = int(shell.stdout.readline())
        try:
            yield shell, pid
        finally:
            if shell.poll() is None:
                os.kill(pid, signal.SIGKILL)


def status(shell):
    return int(shell.communicate(timeout=60)[0])


def in_hand(tmp_path):
    return list((tmp_path / "tmp").rglob("*.response"))


@pytest.fixture(autouse=True)
def in_order():
    """A watch takes films in the order in which the server lists them."""
    with pytest.MonkeyPatch.context() as own:  # tests undo the fixture's
        own.setattr("boneseg.pacs.dicomweb.watch.random.shuffle", lambda films: None)
        yield


@pytest.mark.parametrize(
    "fault",
    [
        *("cut", "long", "no end", "drip", "other", "html", "empty", "gzip", "head"),
        *("kind", "headers", "1xx", "chunk"),
        *("404", "500", "503", "504", "401", "403", "301", "204"),
    ],
)
def test_a_film_that_is_not_delivered_affects_no_other(tmp_path, engine, room, monkeypatch, fault):
    monkeypatch.setattr(bounded_http, "GRACE", 0.5)
    monkeypatch.setattr(bounded_http, "TIMEOUT", 0.5)
    monkeypatch.setattr(bounded_http, "HEADERS", 0.5)
    monkeypatch.setattr(bounded_http, "LONGEST", 0.5)
    held, told = two_films(tmp_path), []
    now = [0.0]
    with (
        webpacs.serving(held, fault) as pacs,
        DicomWeb(pacs.url, netrc=Path(os.devnull), sleep=lambda pause: None) as web,
    ):
        watch = Watch(web, engine, room, report=told.append, clock=lambda: now[0])
        assert [outcome.state for outcome in watch.round()] == ["failed", "stored"]
        assert pacs.stored == 1 and watch.round() == []
        pacs.fault = ""
        now[0] = 11.0  # seconds later, and the server responds correctly
        watch.round()
        assert [outcome.state for outcome in told] == ["failed", "stored", "stored", "there"]
        assert pacs.stored == 2  # though the server lists none of them
    assert told[0].film == told[2].film and pacs.url in told[0].error


def test_a_watch_in_the_background_stops_on_sigterm_and_keeps_nothing(tmp_path):
    with webpacs.serving(two_films(tmp_path), "drip") as pacs:
        words = ["pacs", pacs.url, "--watch", "--log-format", "json", "--netrc", os.devnull]
        with in_background(tmp_path, *words) as (shell, pid):
            film = until(lambda: in_hand(tmp_path))[0]
            place = film.parent
            while place != tmp_path / "tmp":
                assert stat.S_IMODE(place.stat().st_mode) == 0o700
                place = place.parent
            assert stat.S_IMODE(film.stat().st_mode) == 0o600
            os.kill(pid, signal.SIGTERM)
            assert status(shell) == 0
    assert not [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {*lines[0]} == {"time", "level", "message"} and lines[-1]["message"] == "stopped"


def test_a_film_of_a_killed_process_is_removed_at_the_next_start(tmp_path):
    held = two_films(tmp_path)
    words = ["--watch", "--netrc", os.devnull]
    with webpacs.serving(held, "drip") as pacs:
        with in_background(tmp_path, "pacs", pacs.url, *words) as (shell, pid):
            film = until(lambda: in_hand(tmp_path))[0]
            os.kill(pid, signal.SIGKILL)
            assert status(shell) == 128 + signal.SIGKILL
        assert film.exists()
        with in_background(tmp_path, "pacs", pacs.url, *words) as (shell, pid):
            until(lambda: in_hand(tmp_path) not in ([], [film]))
            assert not film.exists()
            os.kill(pid, signal.SIGTERM)
            assert status(shell) == 0


def test_a_node_in_the_background_stops_on_sigterm(tmp_path):
    words = ["node", "--port", "0", "--to", "ARCHIVE@127.0.0.1:9"]
    with in_background(tmp_path, *words) as (shell, pid):
        until(lambda: "listens on" in (tmp_path / "log").read_text())
        os.kill(pid, signal.SIGTERM)
        assert status(shell) == 0
    log = (tmp_path / "log").read_text()
    assert log.rstrip().endswith("INFO stopped; 0 queued in spool for the next start")
    for folder in ("coming", "films", "answers", "failed"):
        assert stat.S_IMODE((tmp_path / "spool" / folder).stat().st_mode) == 0o700


def test_the_log_and_the_json_use_one_name(tmp_path):
    held = two_films(tmp_path)
    with webpacs.serving(held, "404") as pacs:
        words = ["pacs", pacs.url, "--study", webpacs.STUDY, "--json", "--netrc", os.devnull]
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        done = subprocess.run(
            [*BONESEG, *words], capture_output=True, text=True, timeout=120, env=environment
        )
    assert done.returncode == 1
    failed, stored = json.loads(done.stdout)
    assert failed["state"] == "failed" and stored["state"] == "stored"
    assert stored["uid"] == list(held)[1] and failed["uid"] is None
    assert f"INFO {stored['film']} ({stored['uid']}): stored;" in done.stderr
    assert f"ERROR {failed['film']}: {failed['error']}\n" in done.stderr


def test_a_film_that_crashed_the_program_twice_is_skipped(tmp_path, engine):
    held = two_films(tmp_path)
    first = next(iter(held))
    with (
        webpacs.serving(held) as pacs,
        DicomWeb(pacs.url, netrc=Path(os.devnull)) as web,
        scratch(tmp_path / "scratch") as room,
    ):
        watch = Watch(web, engine, room)
        record = room.record(digest(first))
        record.write_bytes(b"..")
        outcomes = watch.study(webpacs.STUDY)
        assert [outcome.state for outcome in outcomes] == ["failed", "stored"]
        assert "crashed 2 times" in outcomes[0].error and str(record) in outcomes[0].error
        assert pacs.asked == [list(held)[1]]
        record.unlink()
        assert Watch(web, engine, room).study(webpacs.STUDY)[0].state == "stored"


@pytest.fixture
def hasty(monkeypatch):
    """Decoders that never answer, and are not waited for long."""
    decoder._children.end_all()
    monkeypatch.setattr(decoder, "_children", Children("tests.support.children:hang"))
    monkeypatch.setattr(pixel_data, "_SECONDS", 0.1)
    return monkeypatch


def compressed(tmp_path):
    path = films.dicom(
        tmp_path / "compressed.dcm",
        films.bone(64, 64),
        pydicom.uid.JPEGLosslessSV1,
        StudyInstanceUID=webpacs.STUDY,
        SeriesInstanceUID=webpacs.SERIES,
    )
    return {str(pydicom.dcmread(path).SOPInstanceUID): path.read_bytes()}


@pytest.mark.parametrize("recovers", [False, True])
def test_pacs_retries_a_film_that_crashed_the_decoder_once(tmp_path, engine, room, hasty, recovers):
    now = [0.0]
    with (
        webpacs.serving(compressed(tmp_path) | two_films(tmp_path)) as pacs,
        DicomWeb(pacs.url, netrc=Path(os.devnull)) as web,
    ):
        watch = Watch(web, engine, room, clock=lambda: now[0])
        outcomes = watch.round()
        assert [outcome.state for outcome in outcomes] == ["failed", "stored", "stored"]
        assert "to decode" in outcomes[0].error
        if recovers:
            hasty.undo()
        for now[0] in (11.0, 40.0, 4000.0):
            states = [outcome.state for outcome in watch.round()][:1]
            if now[0] == 11.0:
                assert states == (["stored"] if recovers else ["failed"])
        assert pacs.asked.count(next(iter(pacs.films))) == 2


def test_the_node_sets_aside_a_film_that_crashed_the_decoder_twice(tmp_path, engine, hasty, lines):
    spool = Spool(tmp_path / "spool", 9)
    for uid, content in (compressed(tmp_path) | two_films(tmp_path)).items():
        spool.put("films", uid, [content])
    with Node(spool, engine, Peer("NOBODY", "127.0.0.1", 9)).running("127.0.0.1", 0):
        until(lambda: spool.next("films") is None)
    told = [line for line in lines if line.startswith("film ")]
    assert "retrying once" in told[0] and "moved to " in told[3]
    assert [": segmented" in line for line in told] == [False, True, True, False]
    kept = {path.parent.name for path in spool.folder.rglob("*.dcm")}
    assert kept == {"failed", "answers"} and not list(spool.folder.rglob("*.begun"))
    for path in spool.folder.rglob("*.dcm"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("uid", "told"),
    [("1.2.3", True), ("SIGMOID", False), ("1.2.19520511.3", False), ("", False), ("1.2 3", False)],
)
def test_a_uid_is_shown_if_valid_and_without_patient_data(tmp_path, uid, told):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), PatientBirthDate="19520511")
    assert public_uid(uid, path) == (uid if told else None)
