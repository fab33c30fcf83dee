"""Beside a PACS: every film has one segmentation, whatever goes away in the meantime."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import films
import orthanc
from boneseg.errors import OutputError, ServiceError, UsageError
from boneseg.pacs.dicomweb import DicomWeb, Instance, Study, _first_part
from boneseg.pacs.watch import Watch
from boneseg.radiograph import read_radiograph
from boneseg.writers.dicom_seg import segmentation_uid

BONESEG = (sys.executable, "-c", "from boneseg.cli import main; main()")


@orthanc.needs_orthanc
def test_a_study_gets_a_segmentation_a_film_and_each_once(tmp_path, server, engine):
    paths = orthanc.study(tmp_path / "films", 3, PatientName="Quux^Mark")
    for path in paths:
        server.put(path)
    uid = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    with DicomWeb(server.web, netrc=server.netrc) as web:
        outcomes = Watch(web, engine).study(uid)
        assert [outcome.state for outcome in outcomes] == ["stored"] * 3
        assert [outcome.state for outcome in Watch(web, engine).study(uid)] == ["there"] * 3
    stored = {str(found.SOPInstanceUID): found for found in server.segmentations()}
    assert len(stored) == 3
    for path in paths:
        film = pydicom.dcmread(path)
        found = stored[segmentation_uid(str(film.SOPInstanceUID), engine.bundle.card)]
        mask = engine.segment(read_radiograph(path))
        np.testing.assert_array_equal(found.pixel_array.reshape(mask.shape).astype(bool), mask)
        assert found.StudyInstanceUID == uid and found.PatientName == "Quux^Mark"


@orthanc.needs_orthanc
def test_twenty_films_and_a_server_that_is_killed_midway(tmp_path, server, engine):
    paths = orthanc.study(tmp_path / "films", 20)
    for path in paths:
        server.put(path)
    uid = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    stored, lines, killer = [], [], []

    def report(outcome):
        stored.append(outcome.state)
        if len(stored) == 7:  # and the eighth finds nobody there
            server.kill(signal.SIGKILL)
            killer.append(threading.Timer(1.5, server.start))
            killer[0].start()

    with DicomWeb(server.web, netrc=server.netrc, tell=lines.append) as web:
        Watch(web, engine, report=report).study(uid)
    killer[0].join()
    assert stored == ["stored"] * 20
    assert any("cannot be reached; trying again in 1 s" in line for line in lines)
    films_there = [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]
    found = sorted(str(found.SOPInstanceUID) for found in server.segmentations())
    assert found == sorted(segmentation_uid(film, engine.bundle.card) for film in films_there)


@orthanc.needs_orthanc
def test_watch_finds_what_is_new_and_asks_little_when_nothing_is(tmp_path, server, engine):
    server.put(orthanc.study(tmp_path / "a", 1)[0])
    server.put(orthanc.study(tmp_path / "b", 1, Modality="CT")[0])  # none of ours
    with DicomWeb(server.web, netrc=server.netrc) as web:
        watch = Watch(web, engine)
        assert [outcome.state for outcome in watch.round()] == ["stored"]
        assert [outcome.state for outcome in watch.round()] == ["there"]  # it has one more now
        assert watch.round() == []  # nothing has changed: no study is looked into
        server.put(orthanc.study(tmp_path / "c", 1, StudyDate="20200101")[0])
        assert watch.round(since="20210101") == []
        assert [outcome.state for outcome in watch.round(since="20200101")] == ["stored"]


@orthanc.needs_orthanc
def test_films_that_cannot_be_segmented_are_named_and_the_rest_is_done(tmp_path, server, engine):
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
        watch = Watch(web, engine)
        outcomes = watch.study(str(study.StudyInstanceUID))
        again = watch.study(str(study.StudyInstanceUID))
    assert sorted(outcome.state for outcome in outcomes) == ["failed", "stored"]
    error = next(outcome.error for outcome in outcomes if outcome.error)
    assert "holds 2 frames" in error and words["SOPInstanceUID"] in error and "\n" not in error
    assert [outcome.state for outcome in again] == ["there"]  # the other is not fetched again


@orthanc.needs_orthanc
def test_who_is_not_let_in_is_told_so_at_once(tmp_path, server, engine):
    wrong = tmp_path / "netrc"
    wrong.write_text("machine 127.0.0.1 login radiology password wrong\n")
    for path in (wrong, Path("/dev/null")):
        with (
            DicomWeb(server.web, netrc=path) as web,
            pytest.raises(ServiceError, match="does not let us in; check the --netrc"),
        ):
            Watch(web, engine).round()


def test_a_server_that_is_not_there_is_given_up_after_a_while(engine):
    pauses = []
    url = f"http://127.0.0.1:{orthanc.free_port()}/dicom-web"
    with (
        DicomWeb(url, patience=20, sleep=pauses.append) as web,
        pytest.raises(ServiceError, match="cannot be reached; see that it runs") as refusal,
    ):
        web.patience = 0.5
        Watch(web, engine).study("1.2.3")
    assert str(refusal.value).startswith(url) and pauses == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"url": "pacs.example"}, "must be that of a DICOMweb service"),
        ({"url": "https://user:secret@pacs.example/dicom-web"}, "leave the password out"),
        ({"url": "https://pacs.example", "netrc": Path("/none")}, "is no netrc file"),
        ({"url": "https://pacs.example", "token": Path("/none")}, "holds no token"),
    ],
)
def test_wrong_words_are_told_before_anybody_is_asked(words, message):
    with pytest.raises(UsageError, match=message) as refusal:
        DicomWeb(**words)
    assert "secret" not in str(refusal.value)


class Fake(httpx.BaseTransport):
    """A server of which each path has a list of answers; the last one is given again."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def handle_request(self, request):
        kind = request.url.path.rsplit("/", 1)[-1]
        self.asked.append((kind, dict(request.url.params)))
        answers = self.answers[kind]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def row(**elements):
    return {tag.strip("t"): {"vr": "UI", "Value": [value]} for tag, value in elements.items()}


def fake(*, pauses=None, **answers):
    transport = Fake(**answers)
    sleep = (pauses if pauses is not None else []).append
    return transport, DicomWeb("https://pacs.example/rs", transport=transport, sleep=sleep)


def test_a_busy_server_is_asked_again_and_again_later_each_time():
    pauses, lines = [], []
    busy = [httpx.Response(503), httpx.Response(429), httpx.Response(502)]
    _, web = fake(pauses=pauses, studies=[*busy, [row(t0020000D="1.2")]])
    assert [study.uid for study in web.studies()] == ["1.2"]
    assert pauses == [1, 2, 4] and not lines


def test_long_lists_come_in_pages_and_odd_rows_are_passed_over():
    rows = [row(t0020000D=f"1.{n}", t00201208=n) for n in range(450)]
    odd = [row(t0020000D="../../1.2"), {"0020000D": {"vr": "UI"}}, {"0020000D": 5}, {}]
    transport, web = fake(studies=[rows[:200], rows[200:400], [*rows[400:], *odd]])
    studies = list(web.studies("20260101"))
    assert [study.count for study in studies] == list(range(450))
    assert [words["offset"] for _, words in transport.asked] == ["0", "200", "400", "454"]
    assert transport.asked[0][1]["00080020"] == "20260101-"


@pytest.mark.parametrize("cap", [1, 100, 200, 1000])
def test_a_server_that_gives_fewer_rows_than_asked_for_is_asked_on(cap):
    rows = [row(t0020000D=f"1.{n}") for n in range(450)]

    def answer(request):
        start = int(request.url.params["offset"])
        return httpx.Response(200, json=rows[start : start + cap])

    with DicomWeb("https://pacs.example", transport=httpx.MockTransport(answer)) as web:
        assert [study.uid for study in web.studies()] == [f"1.{n}" for n in range(450)]


def test_a_server_that_knows_no_offset_is_asked_twice():
    transport, web = fake(studies=[[row(t0020000D=f"1.{n}") for n in range(450)]])
    assert len(list(web.studies())) == 450
    assert len(transport.asked) == 2


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_study_that_is_refused_holds_up_no_other_and_is_tried_five_times(monkeypatch, status):
    monkeypatch.setattr("boneseg.pacs.dicomweb._BROKEN_PATIENCE", 0)
    asked, count = [], 1

    def answer(request):
        asked.append(request.url.path)
        if request.url.path == "/studies":
            studies = [row(t0020000D=uid, t00201208=count) for uid in ("1.2.3", "1.2.4")]
            return httpx.Response(200, json=studies)
        return httpx.Response(status) if "1.2.3" in request.url.path else httpx.Response(204)

    told = []
    with DicomWeb("https://pacs.example", transport=httpx.MockTransport(answer)) as web:
        watch = Watch(web, None, report=told.append)
        for _ in range(7):
            assert [outcome.state for outcome in watch.round()] in (["failed"], [])
        assert asked.count("/studies/1.2.3/series") == len(told) == 5
        assert asked.count("/studies/1.2.4/series") == 1
        count = 2  # something was added to it: another chance
        assert len(watch.round()) == 1
    assert told[0].error.startswith("study ") and "1.2.3" not in told[0].error


def test_a_full_disk_is_no_fault_of_the_film(tmp_path, engine, monkeypatch):
    class OneFilm:
        def studies(self, since):
            return [Study("1.2.3", 1)]

        def instances(self, study):
            return [Instance(study, "1.2.3.4", "1.2.3.4.5", "CR")]

        def fetch(self, film, path):
            raise OutputError(f"{path}: cannot be written (No space left on device); free some")

    watch = Watch(OneFilm(), engine)
    for _ in range(7):
        assert [outcome.state for outcome in watch.round()] == ["failed"]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert "free space there" in watch.round()[0].error


def test_a_watch_ends_where_the_server_does_not_let_it_in():
    studies = [row(t0020000D="1.2.3")]
    _, web = fake(studies=[studies], series=[httpx.Response(401)])
    with pytest.raises(ServiceError, match="does not let us in"):
        Watch(web, None).round()


class Unknown(httpx.BaseTransport):
    """A server for whose certificate nobody vouches, as httpx tells of it."""

    def handle_request(self, request):
        raise httpx.ConnectError("no") from ssl.SSLCertVerificationError(1, "no")


def test_a_server_that_nobody_vouches_for_is_not_waited_for(engine):
    web = DicomWeb("https://pacs.example/rs", transport=Unknown(), patience=0)
    with pytest.raises(ServiceError, match="has a certificate that is not trusted"):
        Watch(web, engine).round()


def test_a_server_that_has_moved_is_told_as_such():
    _, web = fake(studies=[httpx.Response(301, headers={"Location": "https://other.example"})])
    with pytest.raises(ServiceError, match="sends us to another address"):
        list(web.studies())


@pytest.mark.parametrize("answer", [{"a": 1}, ["text"], httpx.Response(200, text="<html>")])
def test_what_is_no_dicomweb_is_said_to_be_none(answer):
    _, web = fake(studies=[answer])
    with pytest.raises(ServiceError, match="does not answer as DICOMweb; check the URL"):
        list(web.studies())


@pytest.mark.parametrize("answer", [[], httpx.Response(204), httpx.Response(200)])
def test_nothing_found_is_no_error(answer):
    _, web = fake(studies=[answer])
    assert list(web.studies()) == []


@pytest.mark.parametrize("refusal", [httpx.Response(409), {"00081198": {"Value": [{}]}}])
def test_stored_is_what_the_server_says_it_has(tmp_path, refusal):
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", films.bone(), StudyInstanceUID="1.2"))
    there = row(t00080018=str(dataset.SOPInstanceUID))
    _, web = fake(**{"1.2": [refusal], "instances": [[there]]})
    web.store(dataset)  # it was there before
    _, web = fake(**{"1.2": [refusal], "instances": [[]]})
    with pytest.raises(ServiceError, match="does not take the segmentation"):
        web.store(dataset)


@given(st.binary(max_size=300), st.sampled_from(["abc", "--", "=_x"]))
def test_the_first_part_of_an_answer_is_the_object(content, boundary):
    mark = f"\r\n--{boundary}".encode()
    assume(mark not in content)
    body = b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b%b--" % (
        boundary.encode(),
        content,
        mark,
    )
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    answer = httpx.Response(200, headers={"Content-Type": kind}, content=body)
    assert _first_part(answer) == content
    assert _first_part(httpx.Response(200, content=content)) == content


def test_what_is_not_encrypted_is_told():
    lines = []
    with DicomWeb("http://pacs.example/dicom-web", tell=lines.append):
        assert "is not encrypted" in lines[0]
    with DicomWeb("https://pacs.example/dicom-web", tell=lines.append):
        assert len(lines) == 1


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
def test_wrong_words_end_with_status_2(tmp_path, words):
    done = subprocess.run(
        [*BONESEG, "pacs", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@orthanc.needs_orthanc
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
    assert "2 stored, 0 there before, 1 failed" in done.stdout
    assert "error: film 1.2.3.9: a film of 4 pixels" in done.stderr
    assert len(server.segmentations()) == 2
    again = subprocess.run(words, capture_output=True, timeout=300, cwd=tmp_path, text=True)
    assert again.returncode == 1 and "0 stored, 2 there before, 1 failed" in again.stdout
    said = done.stdout + done.stderr + again.stdout + again.stderr
    for marker in (*markers, orthanc.PASSWORD.encode()):
        assert marker not in said.encode()


@orthanc.needs_orthanc
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
    assert watching.returncode == 130 and said.rstrip().endswith("stopped")
    assert "Traceback" not in said
