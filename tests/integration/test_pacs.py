"""Beside a PACS: every film has one segmentation, even if a process or server is killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

from boneseg._util.scratch import scratch
from boneseg.errors import ServiceError
from boneseg.masks.formats.dicom_seg.write import segmentation_uid
from boneseg.pacs.dicomweb.client import DicomWeb
from boneseg.pacs.dicomweb.watch import Watch
from boneseg.radiograph.read import read_radiograph
from tests.support import films, orthanc
from tests.support.dicomweb import BONESEG, NOTHING
from tests.support.requirements import needs_orthanc


@needs_orthanc
def test_each_film_of_a_study_gets_one_segmentation(tmp_path, server, engine, room):
    paths = orthanc.study(tmp_path / "films", 3, PatientName="Quux^Mark")
    for path in paths:
        server.put(path)
    uid = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    with DicomWeb(server.web, netrc=server.netrc) as web:
        outcomes = Watch(web, engine, room).study(uid)
        assert [outcome.state for outcome in outcomes] == ["stored"] * 3
        assert [outcome.state for outcome in Watch(web, engine, room).study(uid)] == ["there"] * 3
    stored = {str(found.SOPInstanceUID): found for found in server.segmentations()}
    assert len(stored) == 3
    for path in paths:
        film = pydicom.dcmread(path)
        found = stored[segmentation_uid(str(film.SOPInstanceUID), engine.bundle.card.model)]
        mask = engine.segment(read_radiograph(path))
        np.testing.assert_array_equal(found.pixel_array.reshape(mask.shape).astype(bool), mask)
        assert found.StudyInstanceUID == uid and found.PatientName == "Quux^Mark"


@needs_orthanc
@pytest.mark.slow
def test_twenty_films_are_segmented_once_though_the_server_is_killed(
    tmp_path, server, engine, room, lines
):
    paths = orthanc.study(tmp_path / "films", 20)
    for path in paths:
        server.put(path)
    uid = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    stored, killer = [], []

    def report(outcome):
        stored.append(outcome.state)
        if len(stored) == 7:  # the server is gone for the eighth
            server.kill(signal.SIGKILL)
            killer.append(threading.Timer(1.5, server.start))
            killer[0].start()

    with DicomWeb(server.web, netrc=server.netrc) as web:
        Watch(web, engine, room, report=report).study(uid)
    killer[0].join()
    assert stored == ["stored"] * 20
    assert any("cannot be reached; trying again in 1 s" in line for line in lines)
    assert any("responds again" in line for line in lines)
    films_there = [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]
    found = sorted(str(found.SOPInstanceUID) for found in server.segmentations())
    assert found == sorted(segmentation_uid(film, engine.bundle.card.model) for film in films_there)


@needs_orthanc
def test_watch_finds_new_films_with_few_requests(tmp_path, server, engine, room):
    server.put(orthanc.study(tmp_path / "a", 1)[0])
    server.put(orthanc.study(tmp_path / "b", 1, Modality="CT")[0])  # none of ours
    with DicomWeb(server.web, netrc=server.netrc) as web:
        watch = Watch(web, engine, room)
        assert [outcome.state for outcome in watch.round()] == ["stored"]
        assert [outcome.state for outcome in watch.round()] == ["there"]  # it has one more now
        assert watch.round() == []  # nothing has changed: no study is looked into
        server.put(orthanc.study(tmp_path / "c", 1, StudyDate="20200101")[0])
        assert watch.round(since="20210101") == []
        assert [outcome.state for outcome in watch.round(since="20200101")] == ["stored"]


@needs_orthanc
def test_copies_leave_one_segmentation_a_film_though_one_is_killed(
    tmp_path, server, engine, monkeypatch
):
    """Two at once, one of which ends over its second film; and neither trusts an old list."""
    monkeypatch.setattr("boneseg.pacs.dicomweb.watch.FRESH", 0.0)
    paths = [path for name in "abc" for path in orthanc.study(tmp_path / name, 2)]
    for path in paths:
        server.put(path)
    killed, outcomes = threading.Event(), []

    def ends(outcome):
        killed.set()
        raise SystemExit

    def copy(report):
        with (
            DicomWeb(server.web, netrc=server.netrc) as web,
            scratch(tmp_path / "scratch") as room,
            contextlib.suppress(SystemExit),
        ):
            Watch(web, engine, room, report=report).round()

    copies = [threading.Thread(target=copy, args=(one,)) for one in (ends, outcomes.append)]
    for thread in copies:
        thread.start()
    for thread in copies:
        thread.join()
    assert killed.is_set()
    assert {outcome.state for outcome in outcomes} <= {"stored", "there"}
    films_there = [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]
    found = sorted(str(found.SOPInstanceUID) for found in server.segmentations())
    assert found == sorted(segmentation_uid(film, engine.bundle.card.model) for film in films_there)


@needs_orthanc
def test_unsuitable_films_are_named_and_the_others_segmented(tmp_path, server, engine, room):
    good = orthanc.study(tmp_path / "good", 1)[0]
    study = pydicom.dcmread(good)
    words = {
        "Modality": "CR",
        "StudyInstanceUID": study.StudyInstanceUID,
        "SeriesInstanceUID": study.SeriesInstanceUID,
        "SOPInstanceUID": pydicom.uid.generate_uid(),
        "PatientID": study.PatientID,
    }
    server.put(good)
    server.put(films.dicom(tmp_path / "a.dcm", np.stack([films.bone()] * 2), **words))
    with DicomWeb(server.web, netrc=server.netrc) as web:
        watch = Watch(web, engine, room)
        outcomes = watch.study(str(study.StudyInstanceUID))
        again = watch.study(str(study.StudyInstanceUID))
    assert sorted(outcome.state for outcome in outcomes) == ["failed", "stored"]
    failed = next(outcome for outcome in outcomes if outcome.error)
    assert "holds 2 frames" in failed.error and failed.uid == words["SOPInstanceUID"]
    assert str(failed).startswith(f"{failed.film} ({failed.uid}): ") and "\n" not in str(failed)
    assert [outcome.state for outcome in again] == ["there"]  # the other is not fetched again


@needs_orthanc
def test_failed_authentication_is_reported_at_once(tmp_path, server, engine, room):
    wrong = tmp_path / "netrc"
    wrong.write_text("machine 127.0.0.1 login radiology password wrong\n")
    wrong.chmod(0o600)
    for path in (wrong, Path("/dev/null")):
        with (
            DicomWeb(server.web, netrc=path) as web,
            pytest.raises(ServiceError, match=r"authentication failed .401.; check the --netrc"),
        ):
            Watch(web, engine, room).round()


def test_an_unreachable_server_is_given_up_after_the_timeout(engine, room):
    pauses = []
    url = f"http://127.0.0.1:{orthanc.free_port()}/dicom-web"
    with (
        DicomWeb(url, patience=20, sleep=pauses.append) as web,
        pytest.raises(ServiceError, match="cannot be reached; check that it is running") as refusal,
    ):
        web.patience = 0.5
        Watch(web, engine, room).study("1.2.3")
    assert str(refusal.value).startswith(url) and pauses == []


@pytest.mark.parametrize(
    "words",
    [
        ["https://pacs.example"],
        ["https://pacs.example", "--watch", "--study", "1.2.3"],
        ["https://pacs.example", "--study", "../../1.2"],
        ["https://pacs.example", "--study", "..."],
        ["https://pacs.example", "--watch", "--since", "yesterday"],
        ["https://127.0.0.1:1", "--watch", "--every", "inf"],
        ["https://127.0.0.1:1", "--watch", "--modality", ","],
        ["pacs.example", "--watch"],
    ],
)
def test_invalid_options_end_with_status_2(tmp_path, words):
    done = subprocess.run(
        [*BONESEG, "pacs", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@needs_orthanc
def test_the_command_stores_a_study_and_names_no_patient(tmp_path, server):
    markers = []
    for number in range(2):
        path = tmp_path / f"{number}.dcm"
        uids = {"SOPInstanceUID": f"1.2.3.{number}", "Modality": "DX"}
        markers = films.marked(path, **uids)
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        dataset.save_as(path)
        server.put(path)
    server.put(
        films.dicom(
            tmp_path / "bad.dcm",
            films.bone(4, 4),
            SOPInstanceUID="1.2.3.9",
            **{k: dataset[k].value for k in ("StudyInstanceUID", "SeriesInstanceUID", "PatientID")},
        )
    )
    uid = str(dataset.StudyInstanceUID)
    words = [*BONESEG, "pacs", server.web, "--study", uid, "--netrc", str(server.netrc)]
    done = subprocess.run(words, capture_output=True, timeout=300, cwd=tmp_path, text=True)
    assert done.returncode == 1, done.stderr  # for the one that is too small
    assert "2 stored, 0 already present, 1 failed" in done.stdout
    assert "(1.2.3.9): 4 x 4 pixels is too small" in done.stderr
    assert len(server.segmentations()) == 2
    again = subprocess.run(words, capture_output=True, timeout=300, cwd=tmp_path, text=True)
    assert again.returncode == 1 and "0 stored, 2 already present, 1 failed" in again.stdout
    said = done.stdout + done.stderr + again.stdout + again.stderr
    for marker in (*markers, orthanc.PASSWORD.encode()):
        assert marker not in said.encode()


@needs_orthanc
def test_the_command_watches_until_it_is_stopped(tmp_path, server):
    words = [*BONESEG, "pacs", server.web, "--watch", "--netrc", str(server.netrc), "--every", "1"]
    watching = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        server.put(orthanc.study(tmp_path / "films", 1)[0])
        for _ in range(600):
            if server.segmentations():
                break
            time.sleep(0.1)
        assert len(server.segmentations()) == 1
    finally:
        watching.send_signal(signal.SIGINT)
        said = watching.communicate(timeout=60)[1]
    assert watching.returncode == 130 and said.rstrip().endswith("INFO stopped")
    assert "Traceback" not in said


NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]
