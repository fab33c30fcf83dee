"""Lenient parsing of DICOM JSON (PS3.18 annex F).

The standard: an array of objects; tags in upper case; {"vr": "UI", "Value": ["1.2.3"]}. Servers
also send one object without its array, null or nothing for no results, tags in lower case, a value
without its array, numbers as text, text as numbers, and the padding of DICOM files (NUL, blanks).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from boneseg._util.files import read_json
from boneseg.errors import ServiceError

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
MODALITY, CLASS, COUNT, DATE = "00080060", "00080016", "00201208", "00080020"
FAILED = "00081198"  # Failed SOP Sequence

DicomObject = Mapping[str, object]  # by tag; the values are whatever the server sends


class InvalidJsonError(ServiceError):
    """A response that starts as JSON but is invalid."""


def objects(body: bytes, name: str) -> list[DicomObject]:
    """The objects of a response; `name` is the server in errors.

    Raises InvalidJsonError for invalid JSON and ServiceError for anything else than DICOM JSON.
    """
    found = parsed(body, name)
    if found is None:
        return []
    if isinstance(found, dict) and (not found or any(_is_tag(key) for key in found)):
        return [found] if found else []
    if not isinstance(found, list) or not all(isinstance(item, dict | None) for item in found):
        raise ServiceError(f"{name}: is not a DICOMweb service; check the URL")
    return [item or {} for item in found]


def parsed(body: bytes, name: str) -> object:
    """The JSON document of a response, None where it is empty. Raises as `objects` does."""
    text = body.decode("utf-8-sig", errors="replace").strip(" \t\r\n\0")
    if not text:
        return None
    try:
        document: object = read_json(text)
    except ValueError:
        pass
    else:
        return document
    if text[0] in "[{":
        raise InvalidJsonError(f"{name}: sends invalid JSON; see the server's log")
    raise ServiceError(f"{name}: is not a DICOMweb service; check the URL")


def first_value(found: DicomObject, tag: str) -> str:
    """The first value of an element without its padding, or "" where there is none."""
    all_values = values(found, tag)
    return _text(all_values[0]) if all_values else ""


def values(found: DicomObject, tag: str) -> list[object]:
    """All values of an element."""
    content = found.get(tag, found.get(tag.lower()))
    if isinstance(content, dict):
        content = next((item for key, item in content.items() if key.lower() == "value"), None)
    if isinstance(content, list):
        return [item for item in content if item is not None]
    return [] if content is None else [content]


def instance_count(study: DicomObject) -> int | None:
    """Number of Study Related Instances, None where it is missing."""
    text = first_value(study, COUNT)
    return int(float(text)) if re.fullmatch(r"\d{1,12}(\.0*)?", text, re.ASCII) else None


def _text(item: object) -> str:
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        return ""
    return str(item).strip(" \t\r\n\0")


def _is_tag(key: str) -> bool:
    return re.fullmatch(r"[0-9A-Fa-f]{8}", key) is not None
