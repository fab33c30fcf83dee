"""DICOM JSON as servers send it, the standard's and otherwise."""

from __future__ import annotations

import json

import httpx
import pytest

from boneseg.pacs.dicomweb.client import Instance, Series, Study
from tests.support.dicomweb import NOTHING, fake, row

PADDED = ["{}", "{}\0", " {} ", "{} ", "\t{}\r\n"]


@pytest.mark.parametrize("pad", PADDED)
def test_padding_is_removed_from_values(pad):
    studies = [row(t0020000D=pad.format("1.2"), t00201208=pad.format("7"))]
    series = [row(t0020000E=pad.format("1.2.3"), t00080060=pad.format("cr"))]
    held = [row(t00080018=pad.format("1.2.3.4"))]
    _, web = fake(studies=[studies], series=[series], instances=[held])
    assert list(web.studies()) == [Study("1.2", 7)]
    assert list(web.series("1.2")) == [Series("1.2.3", "CR")]
    found = list(web.instances("1.2", Series("1.2.3", "CR")))
    assert found == [Instance("1.2", "1.2.3", "1.2.3.4", "CR")]
    assert web.has("1.2", "1.2.3.4")


VALUES = [  # of Study Instance UID and of Number of Study Related Instances
    ({"vr": "UI", "Value": ["1.2"]}, {"vr": "IS", "Value": [3]}),
    ({"vr": "UI", "Value": "1.2"}, {"vr": "IS", "Value": 3}),
    ({"vr": "UI", "value": ["1.2"]}, {"vr": "IS", "Value": ["3"]}),
    ({"Value": [None, "1.2"]}, {"Value": [3.0]}),
    ("1.2", 3),
    (["1.2"], "3"),
    ({"vr": "UI", "Value": ["1.2", "1.3"]}, ["3.0"]),
]


NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]


@pytest.mark.parametrize(("uid", "count"), VALUES)
def test_values_of_every_json_type_are_read(uid, count):
    found = {"0020000D": uid, "00201208": count}
    for rows in ([found], found, [None, found], [{k.lower(): v for k, v in found.items()}]):
        _, web = fake(studies=[rows])
        assert list(web.studies()) == [Study("1.2", 3)]


def test_text_that_is_not_utf_8_does_not_affect_uids():
    name = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "M\xfcller"}]}}
    body = json.dumps([row(t0020000D="1.2") | name], ensure_ascii=False)
    for encoded in (body.encode("latin-1"), b"\xef\xbb\xbf" + body.encode(), body.encode() + b"\0"):
        _, web = fake(studies=[httpx.Response(200, content=encoded)])
        assert list(web.studies()) == [Study("1.2", None)]


@pytest.mark.parametrize("value", [*NOTHING, "x", -1, 1e300, float("inf"), "9" * 5000])
def test_an_empty_value_is_skipped(value):
    body = json.dumps([{"0020000D": {"Value": ["1.2"]}, "00201208": value}]).encode()
    _, web = fake(studies=[httpx.Response(200, content=body)])
    assert list(web.studies()) == [Study("1.2", None)]
    _, web = fake(studies=[[{"0020000D": value}] if value != float("inf") else []])
    assert list(web.studies()) == []
