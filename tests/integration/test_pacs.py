"""Beside a PACS: every film has one segmentation, whatever goes away in the meantime."""

from __future__ import annotations

import json
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

from boneseg.errors import OutputError, RadiographError, ServiceError, UsageError
from boneseg.masks.formats.dicom_seg.write import segmentation_uid
from boneseg.pacs.dicomweb.client import DicomWeb, Instance, Series, Study
from boneseg.pacs.dicomweb.multipart import CutError, extract
from boneseg.pacs.dicomweb.retries import Retries
from boneseg.pacs.dicomweb.watch import Watch
from boneseg.radiograph.read import read_radiograph
from tests.support import films, orthanc

BONESEG = (sys.executable, "-c", "from boneseg.cli import main; main()")


@orthanc.needs_orthanc
def test_a_study_gets_a_segmentation_a_film_and_each_once(tmp_path, server, engine, room):
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


@orthanc.needs_orthanc
def test_twenty_films_and_a_server_that_is_killed_midway(tmp_path, server, engine, room, lines):
    paths = orthanc.study(tmp_path / "films", 20)
    for path in paths:
        server.put(path)
    uid = str(pydicom.dcmread(paths[0]).StudyInstanceUID)
    stored, killer = [], []

    def report(outcome):
        stored.append(outcome.state)
        if len(stored) == 7:  # and the eighth finds nobody there
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


@orthanc.needs_orthanc
def test_watch_finds_what_is_new_and_asks_little_when_nothing_is(tmp_path, server, engine, room):
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


@orthanc.needs_orthanc
def test_films_that_cannot_be_segmented_are_named_and_the_rest_done(tmp_path, server, engine, room):
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


@orthanc.needs_orthanc
def test_who_is_not_let_in_is_told_so_at_once(tmp_path, server, engine, room):
    wrong = tmp_path / "netrc"
    wrong.write_text("machine 127.0.0.1 login radiology password wrong\n")
    wrong.chmod(0o600)
    for path in (wrong, Path("/dev/null")):
        with (
            DicomWeb(server.web, netrc=path) as web,
            pytest.raises(ServiceError, match=r"authentication failed .401.; check the --netrc"),
        ):
            Watch(web, engine, room).round()


def test_a_server_that_is_not_there_is_given_up_after_a_while(engine, room):
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
    ("words", "message"),
    [
        ({"url": "pacs.example"}, "give that of a DICOMweb service"),
        (
            {"url": "https://user:secret@pacs.example/dicom-web"},
            "do not put the password into the URL",
        ),
        ({"url": "https://pacs.example", "netrc": Path("/none")}, "is not a netrc file"),
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


class Clock:
    """A clock that goes on by itself only where somebody sleeps."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_study_that_is_refused_holds_up_no_other_and_is_tried_later(room, status):
    asked, count, told, clock = [], 1, [], Clock()

    def answer(request):
        if "limit=1&" not in f"{request.url.query.decode()}&":  # else the client looks who is well
            asked.append(request.url.path)
        if request.url.path == "/studies":
            studies = [row(t0020000D=uid, t00201208=count) for uid in ("1.2.3", "1.2.4")]
            return httpx.Response(200, json=studies)
        return httpx.Response(status) if "1.2.3" in request.url.path else httpx.Response(204)

    web = DicomWeb(
        "https://pacs.example", transport=httpx.MockTransport(answer), sleep=lambda pause: None
    )
    tries = 3 if status == 500 else 1
    watch = Watch(web, None, room, report=told.append, clock=clock)
    for second, times in ((0, 1), (5, 1), (11, 2), (20, 2), (32, 3)):
        clock.time = second
        watch.round()
        assert asked.count("/studies/1.2.3/series") == times * tries and len(told) == times
        assert asked.count("/studies/1.2.4/series") == 1
    count = 2  # something was added to it
    assert [outcome.state for outcome in watch.round()] == ["failed"]
    assert told[0].film.startswith("study ") and "1.2.3" not in str(told[0])


def test_what_fails_is_tried_again_at_least_once_an_hour():
    clock = Clock()
    retries, pauses = Retries(clock), []
    for _ in range(12):
        retries.failed("film 1")
        pauses.append(retries.when("film 1") - clock())
        assert not retries.is_due("film 1") and retries.is_due("film 2")
        clock.time = retries.when("film 1")
        assert retries.is_due("film 1")
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
    retries.done("film 1")
    retries.give_up("film 2")
    clock.time = 1e9
    assert retries.is_due("film 1") and not retries.is_due("film 2")


class OneFilm:
    """A server with one film, and what happens where it is fetched."""

    def __init__(self, fetch):
        self.fetch = fetch

    def studies(self, since):
        return [Study("1.2.3", 1)]

    def series(self, study):
        return [Series("1.2.3.4", "CR")]

    def instances(self, study, series):
        return [Instance(study, series.uid, "1.2.3.4.5", series.modality)]


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (OutputError("a folder: cannot be written (No space left on device); free some"), 6),
        (ServiceError("https://pacs: responds with 504, for this request only"), 6),
        (KeyError("a bug"), 6),
        (MemoryError(), 6),
        (RadiographError("is a film of 4 frames"), 1),
    ],
)
def test_only_a_fault_of_the_film_itself_is_final(room, engine, error, tries):
    asked, clock = [], Clock()

    def fetch(film, path):
        asked.append(film)
        raise error

    watch = Watch(OneFilm(fetch), engine, room, clock=clock)
    for _ in range(6):
        watch.round()
        clock.time += 4000
    assert len(asked) == tries


def test_a_watch_ends_where_the_server_does_not_let_it_in(room):
    _, web = fake(studies=[httpx.Response(401)])
    with pytest.raises(ServiceError, match="authentication failed"):
        Watch(web, None, room).forever()


class Unknown(httpx.BaseTransport):
    """A server for whose certificate nobody vouches, as httpx tells of it."""

    def handle_request(self, request):
        raise httpx.ConnectError("no") from ssl.SSLCertVerificationError(1, "no")


def test_a_server_that_nobody_vouches_for_is_not_waited_for(engine, room):
    web = DicomWeb("https://pacs.example/rs", transport=Unknown(), patience=0)
    with pytest.raises(ServiceError, match="its certificate is not trusted"):
        Watch(web, engine, room).round()


def test_a_server_that_has_moved_is_told_as_such():
    _, web = fake(studies=[httpx.Response(301, headers={"Location": "https://other.example"})])
    with pytest.raises(ServiceError, match="redirects to another address"):
        list(web.studies())


@pytest.mark.parametrize(
    "answer", [{"a": 1}, ["text"], 5, "text", True, httpx.Response(200, text="<html>")]
)
def test_what_is_no_dicomweb_is_said_to_be_none(answer):
    _, web = fake(studies=[answer])
    with pytest.raises(ServiceError, match="is not a DICOMweb service; check the URL"):
        list(web.studies())


@pytest.mark.parametrize(
    "answer", [[], {}, None, [None], [{}], httpx.Response(204), httpx.Response(200)]
)
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
    with pytest.raises(ServiceError, match="rejected the segmentation"):
        web.store(dataset)


def test_what_is_not_encrypted_is_told(lines):
    with DicomWeb("http://pacs.example/dicom-web"):
        assert "is not encrypted" in lines[0]
    with DicomWeb("https://pacs.example/dicom-web"):
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
    assert "2 stored, 0 already present, 1 failed" in done.stdout
    assert "(1.2.3.9): 4 x 4 pixels is too small" in done.stderr
    assert len(server.segmentations()) == 2
    again = subprocess.run(words, capture_output=True, timeout=300, cwd=tmp_path, text=True)
    assert again.returncode == 1 and "0 stored, 2 already present, 1 failed" in again.stdout
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
    assert watching.returncode == 130 and said.rstrip().endswith("INFO stopped")
    assert "Traceback" not in said


def extracted(tmp_path, body, kind='multipart/related; type="application/dicom"; boundary=B'):
    (tmp_path / "answer").write_bytes(body)
    extract(tmp_path / "answer", kind, tmp_path / "object")
    return (tmp_path / "object").read_bytes()


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["abc", "--", "=_x", "a;b"]))
def test_the_first_part_of_an_answer_is_the_object(tmp_path_factory, content, boundary):
    mark = f"\r\n--{boundary}".encode()
    assume(mark not in content)
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    folder = tmp_path_factory.mktemp("answer")
    for headers in (b"Content-Type: application/dicom", b"content-length: %d" % len(content)):
        body = mark[2:] + b"\r\n" + headers + b"\r\n\r\n" + content + mark
        assert extracted(folder, body + b"--", kind) == content
        assert extracted(folder, b"preamble\r\n" + body + b"\r\n\r\nsecond", kind) == content
    assert extracted(folder, content, "application/dicom") == content
    assert extracted(folder, content, "") == content


def test_a_part_may_hold_the_boundary_where_its_length_is_told(tmp_path):
    content = b"a\r\n--B\r\nb"
    body = b"--B\r\nContent-Length: 9\r\n\r\n" + content + b"\r\n--B--"
    assert extracted(tmp_path, body) == content


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b"--B\r\n\r\n\r\n--B--", "is empty"),
        (b"--B--", "has no part"),
        (b"--C\r\n\r\nabc\r\n--C--", "has no part"),
        (b"--B\r\n\r\nabc", "is truncated"),
        (b"--B\r\nContent-Length: 9\r\n\r\nabc", "is truncated"),
        (b"--B\r\nContent-Length: 9\r\n\r\nabc\r\n--B--", "is shorter than"),
    ],
)
def test_an_answer_that_is_not_whole_is_told_as_such(tmp_path, body, words):
    with pytest.raises(CutError, match=words):
        extracted(tmp_path, body)


PADDED = ["{}", "{}\0", " {} ", "{} ", "\t{}\r\n"]


@pytest.mark.parametrize("pad", PADDED)
def test_the_padding_of_dicom_files_is_no_part_of_a_value(pad):
    studies = [row(t0020000D=pad.format("1.2"), t00201208=pad.format("7"))]
    series = [row(t0020000E=pad.format("1.2.3"), t00080060=pad.format("cr"))]
    held = [row(t00080018=pad.format("1.2.3.4"))]
    _, web = fake(studies=[studies], series=[series], instances=[held])
    assert list(web.studies()) == [Study("1.2", 7)]
    assert list(web.series("1.2")) == [Series("1.2.3", "CR")]
    found = list(web.instances("1.2", Series("1.2.3", "CR")))
    assert found == [Instance("1.2", "1.2.3", "1.2.3.4", "CR")]
    assert web.has("1.2", "1.2.3.4")


@pytest.mark.parametrize(
    ("series", "instance", "modality"),
    [
        ("DX", {}, "DX"),
        ("", {"00080060": {"vr": "CS", "Value": ["DX "]}}, "DX"),
        ("", {"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.1\0"]}}, "CR"),
        ("", {"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}}, ""),
        ("", {}, ""),
    ],
)
def test_a_modality_is_taken_from_where_it_is_told(series, instance, modality):
    _, web = fake(instances=[[row(t00080018="1.2.3.4") | instance]])
    assert next(web.instances("1.2", Series("1.2.3", series))).modality == modality


VALUES = [  # of Study Instance UID and of Number of Study Related Instances
    ({"vr": "UI", "Value": ["1.2"]}, {"vr": "IS", "Value": [3]}),
    ({"vr": "UI", "Value": "1.2"}, {"vr": "IS", "Value": 3}),
    ({"vr": "UI", "value": ["1.2"]}, {"vr": "IS", "Value": ["3"]}),
    ({"Value": [None, "1.2"]}, {"Value": [3.0]}),
    ("1.2", 3),
    (["1.2"], "3"),
    ({"vr": "UI", "Value": ["1.2", "1.3"]}, ["3.0"]),
]
NOTHING = [None, {}, [], "", True, {"vr": "UI"}, {"vr": "UI", "Value": None}, {"Value": []}]
NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]


@pytest.mark.parametrize(("uid", "count"), VALUES)
def test_values_of_every_json_type_are_read(uid, count):
    found = {"0020000D": uid, "00201208": count}
    for rows in ([found], found, [None, found], [{k.lower(): v for k, v in found.items()}]):
        _, web = fake(studies=[rows])
        assert list(web.studies()) == [Study("1.2", 3)]


def test_text_that_is_no_utf_8_spoils_no_uid():
    name = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "M\xfcller"}]}}
    body = json.dumps([row(t0020000D="1.2") | name], ensure_ascii=False)
    for encoded in (body.encode("latin-1"), b"\xef\xbb\xbf" + body.encode(), body.encode() + b"\0"):
        _, web = fake(studies=[httpx.Response(200, content=encoded)])
        assert list(web.studies()) == [Study("1.2", None)]


@pytest.mark.parametrize("value", [*NOTHING, "x", -1, 1e300, float("inf"), "9" * 5000])
def test_a_value_that_is_none_is_passed_over(value):
    body = json.dumps([{"0020000D": {"Value": ["1.2"]}, "00201208": value}]).encode()
    _, web = fake(studies=[httpx.Response(200, content=body)])
    assert list(web.studies()) == [Study("1.2", None)]
    _, web = fake(studies=[[{"0020000D": value}] if value != float("inf") else []])
    assert list(web.studies()) == []


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"0020000D":', b'[{"a": 1e}]', b"[NaN,"]
)
def test_json_that_cannot_be_read_ends_no_watch(room, lines, body):
    good = [row(t0020000D="1.2.3", t00201208=1)]
    answers = [httpx.Response(200, content=body), good]
    _, web = fake(studies=answers, series=[httpx.Response(204)])
    pauses = []

    def sleep(pause):
        pauses.append(pause)
        if len(pauses) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Watch(web, None, room).forever(every=10, sleep=sleep)
    assert pauses == [20, 10, 10]
    assert any("sends invalid JSON" in line and "trying again in 20 s" in line for line in lines)


def test_a_watch_that_has_begun_survives_every_answer(room):
    _, web = fake(studies=[[], httpx.Response(404), httpx.Response(200, text="<p>"), []])
    pauses = []

    def sleep(pause):
        pauses.append(pause)
        if len(pauses) == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Watch(web, None, room).forever(every=10, sleep=sleep)
    assert pauses == [10, 20, 40, 10]


FAILED_ONE = {"00081198": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1"]}}]}}
XML = '<NativeDicomModel><DicomAttribute tag="00081199"/></NativeDicomModel>'


@pytest.mark.parametrize(
    ("answer", "held", "stored"),
    [
        (httpx.Response(200, content=b"null"), False, True),
        (httpx.Response(200, content=b""), False, True),
        (httpx.Response(204), False, True),
        (httpx.Response(200, json=[]), False, True),
        (httpx.Response(200, json={}), False, True),
        (httpx.Response(200, json=[None]), False, True),
        (httpx.Response(200, json={"00081198": {"vr": "SQ"}}), False, True),
        (httpx.Response(200, json={"00081198": {"vr": "SQ", "Value": []}}), False, True),
        (httpx.Response(200, text=XML), False, True),
        (httpx.Response(200, text=XML.replace("81199", "81198")), False, False),
        (httpx.Response(200, text=XML.replace("81199", "81198")), True, True),
        (httpx.Response(200, text="<html>sign in"), False, False),
        (httpx.Response(200, json="stored"), False, False),
        (httpx.Response(200, json=[1]), True, True),
        (httpx.Response(200, content=b"[" * 100_000), False, False),
        (httpx.Response(200, json=FAILED_ONE), False, False),
        (httpx.Response(200, json=[FAILED_ONE]), False, False),
        (httpx.Response(202, json=FAILED_ONE), False, False),
        (httpx.Response(202, json=FAILED_ONE), True, True),
        (httpx.Response(202, json={}), False, False),
        (httpx.Response(202, content=b""), True, True),
        (httpx.Response(409, json=FAILED_ONE), True, True),
        (httpx.Response(409, content=b""), False, False),
        (httpx.Response(400), False, False),
        (httpx.Response(500), False, False),
        (httpx.Response(503), False, False),
    ],
)
def test_an_object_is_stored_where_the_server_says_so(tmp_path, answer, held, stored):
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", films.bone(), StudyInstanceUID="1.2"))
    there = [row(t00080018=str(dataset.SOPInstanceUID) + "\0")] if held else []
    _, web = fake(**{"1.2": [answer], "instances": [there], "series": [[]]})
    if stored:
        web.store(dataset)
    else:
        with pytest.raises(ServiceError):
            web.store(dataset)


def test_a_user_without_a_home_has_no_credentials(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", nobody)
    DicomWeb("https://pacs.example")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
@pytest.mark.parametrize("kind", ["netrc", "token"])
def test_credentials_that_others_can_read_are_refused(tmp_path, mode, kind):
    path = tmp_path / "secret"
    path.write_text("machine pacs.example login u password p" if kind == "netrc" else "eyJh")
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"chmod 600 {path}"):
        DicomWeb("https://pacs.example", **{kind: path})
    path.chmod(0o600)
    DicomWeb("https://pacs.example", **{kind: path})
