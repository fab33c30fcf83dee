"""What a DICOMweb server sends."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from boneseg.pacs.dicomweb.dicom_json import first_value, instance_count, objects, values
from boneseg.pacs.dicomweb.multipart import IncompleteError, extract
from targets.settings import these
from targets.target import Target

FOUND = (
    b'[{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}, "00201208": {"vr": "IS", "Value": [4]}},'
    b' {"0020000d": "1.2", "00080060": {"value": "CR"}}]'
)
KIND = 'multipart/related; type="application/dicom"; boundary=x'
PARTS = (
    b"--x\r\nContent-Type: application/dicom\r\nContent-Length: 5\r\n\r\nfilm!\r\n--x--\r\n",
    b"--x\r\nContent-Type: application/dicom\r\n\r\nfilm!\r\n--x\r\nA: b\r\n\r\nother\r\n--x--",
)


def _read_json(path: Path) -> None:
    for found in objects(path.read_bytes(), "the server"):
        for tag in ("0020000D", "00201208", "00080060"):
            first_value(found, tag), values(found, tag)
        instance_count(found)


def _read_parts(path: Path) -> None:
    response = path.with_name("response")
    shutil.copy(path, response)
    with suppress(IncompleteError):
        extract(response, KIND, path.with_name("film.dcm"))


def targets() -> dict[str, Target]:
    return {
        "dicomweb-json": Target("studies.json", _read_json, these(FOUND, b"", b"{}")),
        "dicomweb-parts": Target("parts.bin", _read_parts, these(*PARTS)),
    }
