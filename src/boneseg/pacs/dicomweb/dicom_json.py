"""Lenient parsing of DICOM JSON (PS3.18 annex F).

The standard: an array of objects; tags in upper case; {"vr": "UI", "Value": ["1.2.3"]}. Servers
also send one object without its array, null or nothing for no results, tags in lower case, a value
without its array, numbers as text, text as numbers, and the padding of DICOM files (NUL, blanks).
"""

from __future__ import annotations

import re
from typing import Any

from boneseg._util.files import read_json
from boneseg.errors import ServiceError

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
MODALITY, CLASS, COUNT, DATE = "00080060", "00080016", "00201208", "00080020"
FAILED = "00081198"  # Failed SOP Sequence

Row = dict[str, Any]


class GarbledError(ServiceError):
    """A response that starts as JSON but is invalid."""


def rows(body: bytes, name: str) -> list[Row]:
    """The objects of a response; `name` is the server in errors.

    Raises GarbledError for invalid JSON and ServiceError for anything else than DICOM JSON.
    """
    found = parsed(body, name)
    if found is None:
        return []
    if isinstance(found, dict) and (not found or any(_is_tag(key) for key in found)):
        return [found] if found else []
    if not isinstance(found, list) or not all(isinstance(row, dict | None) for row in found):
        raise ServiceError(f"{name}: is not a DICOMweb service; check the URL")
    return [row or {} for row in found]


def parsed(body: bytes, name: str) -> Any:
    """The JSON document of a response, None where it is empty. Raises as `rows` does."""
    text = body.decode("utf-8-sig", errors="replace").strip(" \t\r\n\0")
    if not text:
        return None
    try:
        return read_json(text)
    except ValueError:
        pass
    if text[0] in "[{":
        raise GarbledError(f"{name}: sends invalid JSON; see the server's log")
    raise ServiceError(f"{name}: is not a DICOMweb service; check the URL")


def value(row: Row, tag: str) -> str:
    """The first value of an element without its padding, or "" where there is none."""
    found = element(row, tag)
    return _text(found[0]) if found else ""


def element(row: Row, tag: str) -> list[Any]:
    """All values of an element."""
    found = row.get(tag, row.get(tag.lower()))
    if isinstance(found, dict):
        found = next((item for key, item in found.items() if key.lower() == "value"), None)
    if found is None:
        return []
    return [item for item in found if item is not None] if isinstance(found, list) else [found]


def count(row: Row) -> int | None:
    """Number of Study Related Instances, None where it is missing."""
    text = value(row, COUNT)
    return int(float(text)) if re.fullmatch(r"\d{1,12}(\.0*)?", text, re.ASCII) else None


def _text(item: Any) -> str:
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        return ""
    return str(item).strip(" \t\r\n\0")


def _is_tag(key: str) -> bool:
    return re.fullmatch(r"[0-9A-Fa-f]{8}", key) is not None
