"""Searching and storing over DICOMweb."""

from __future__ import annotations

import httpx
import pydicom
import pytest

from boneseg.errors import ServiceError
from boneseg.pacs.dicomweb.client import DicomWeb, Series
from tests.support import films
from tests.support.dicomweb import NOTHING, fake, row


def test_long_lists_are_read_in_pages_and_odd_rows_skipped():
    rows = [row(t0020000D=f"1.{n}", t00201208=n) for n in range(450)]
    odd = [row(t0020000D="../../1.2"), {"0020000D": {"vr": "UI"}}, {"0020000D": 5}, {}]
    transport, web = fake(studies=[rows[:200], rows[200:400], [*rows[400:], *odd]])
    studies = list(web.studies("20260101"))
    assert [study.count for study in studies] == list(range(450))
    assert [words["offset"] for _, words in transport.asked] == ["0", "200", "400", "454"]
    assert transport.asked[0][1]["00080020"] == "20260101-"


@pytest.mark.parametrize("cap", [1, 100, 200, 1000])
def test_short_pages_are_not_the_last(cap):
    rows = [row(t0020000D=f"1.{n}") for n in range(450)]

    def answer(request):
        start = int(request.url.params["offset"])
        return httpx.Response(200, json=rows[start : start + cap])

    with DicomWeb("https://pacs.example", transport=httpx.MockTransport(answer)) as web:
        assert [study.uid for study in web.studies()] == [f"1.{n}" for n in range(450)]


def test_a_server_that_ignores_the_offset_is_asked_twice():
    transport, web = fake(studies=[[row(t0020000D=f"1.{n}") for n in range(450)]])
    assert len(list(web.studies())) == 450
    assert len(transport.asked) == 2


@pytest.mark.parametrize(
    "answer", [[], {}, None, [None], [{}], httpx.Response(204), httpx.Response(200)]
)
def test_an_empty_result_is_not_an_error(answer):
    _, web = fake(studies=[answer])
    assert list(web.studies()) == []


@pytest.mark.parametrize("refusal", [httpx.Response(409), {"00081198": {"Value": [{}]}}])
def test_an_object_is_stored_once_the_server_confirms_it(tmp_path, refusal):
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", films.bone(), StudyInstanceUID="1.2"))
    there = row(t00080018=str(dataset.SOPInstanceUID))
    _, web = fake(**{"1.2": [refusal], "instances": [[there]]})
    web.store(dataset)  # it was there before
    _, web = fake(**{"1.2": [refusal], "instances": [[]]})
    with pytest.raises(ServiceError, match="rejected the segmentation"):
        web.store(dataset)


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
def test_the_modality_is_taken_from_series_instance_or_class(series, instance, modality):
    _, web = fake(instances=[[row(t00080018="1.2.3.4") | instance]])
    assert next(web.instances("1.2", Series("1.2.3", series))).modality == modality


NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]


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
def test_every_confirmation_of_storage_is_understood(tmp_path, answer, held, stored):
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", films.bone(), StudyInstanceUID="1.2"))
    there = [row(t00080018=str(dataset.SOPInstanceUID) + "\0")] if held else []
    _, web = fake(**{"1.2": [answer], "instances": [there], "series": [[]]})
    if stored:
        web.store(dataset)
    else:
        with pytest.raises(ServiceError):
            web.store(dataset)
