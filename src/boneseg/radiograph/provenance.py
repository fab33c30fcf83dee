"""Files that boneseg wrote: results, which are no films wherever they lie.

A folder of films often holds the results of earlier calls. They are known by any of these:

- the report in their folder (`segment.json`, `convert.json`) lists them;
- a PNG's "Software" text says that boneseg wrote it (https://www.w3.org/TR/png-3/#11keywords);
- a DICOM file's Media Storage SOP Class (PS3.10 7.1) is a segmentation, by whomever.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

from boneseg._util.files import read_json

REPORTS = ("segment.json", "convert.json")
SOFTWARE = "boneseg"

_PNG, _TEXT = b"\x89PNG", f"tEXtSoftware\0{SOFTWARE}".encode()
_HEAD = 1024  # bytes, in which both marks lie
_SOP_CLASS = b"\x02\x00\x02\x00UI"
_SEGMENTATIONS = (b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.5.1.4.1.1.66.7")


def listed_results(folder: Path) -> frozenset[str]:
    """The names of the files that the reports in a folder list."""
    return frozenset(
        name
        for report in REPORTS
        for entry in read_report(folder / report) or ()
        for name in entry["outputs"].values()
    )


def read_report(path: Path) -> list[dict[str, Any]] | None:
    """The entries of a report, each with its "outputs" by format; none where there is no file.

    None where the file is no report.
    """
    try:
        entries = read_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        return None
    return entries if isinstance(entries, list) and all(map(_is_entry, entries)) else None


def _is_entry(entry: object) -> bool:
    outputs = entry.get("outputs") if isinstance(entry, dict) else None
    return isinstance(outputs, dict) and all(isinstance(name, str) for name in outputs.values())


def is_result(path: Path, listed: Container[str] = ()) -> bool:
    """Whether boneseg wrote a file, or it is a segmentation. Raises OSError.

    listed: `listed_results` of its folder.
    """
    if path.name in listed:
        return True
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_PNG):
        return _TEXT in head
    return head[128:132] == b"DICM" and _sop_class(head) in _SEGMENTATIONS


def _sop_class(head: bytes) -> bytes:
    start = head.find(_SOP_CLASS, 132)
    if start < 0:
        return b""
    length = int.from_bytes(head[start + 6 : start + 8], "little")
    return head[start + 8 : start + 8 + length].rstrip(b"\0 ")
