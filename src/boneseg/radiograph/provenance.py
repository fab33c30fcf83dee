"""Recognise files written by boneseg, so that results are not taken for films.

A folder of films often contains results of earlier runs. A file is a result if any of these holds:

- the report in its folder (`segment.json`, `convert.json`) lists it;
- its PNG "Software" text is boneseg (https://www.w3.org/TR/png-3/#11keywords);
- its DICOM Media Storage SOP Class (PS3.10 7.1) is a segmentation, from any software.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import LARGEST_REPORT, read_bytes, read_json, real_path

REPORTS = ("segment.json", "convert.json")
SOFTWARE = "boneseg"

_PNG, _TEXT = b"\x89PNG", f"tEXtSoftware\0{SOFTWARE}".encode()
_HEAD = 1024  # bytes that contain both marks
_SOP_CLASS = b"\x02\x00\x02\x00UI"
_SEGMENTATIONS = (b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True)
class ReportEntry:
    """What a report says of one film.

    outputs: the names of its files, by format. facts: all of its values, as JSON.
    """

    outputs: dict[str, str]
    facts: dict[str, object]

    @classmethod
    def of(cls, value: object) -> ReportEntry | None:
        """An entry of a report as JSON; None where it is not one."""
        outputs = value.get("outputs") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(outputs, dict):
            return None
        named = {kind: name for kind, name in outputs.items() if isinstance(name, str)}
        return cls(named, value) if len(named) == len(outputs) else None

    @property
    def title(self) -> str:
        """What documents call the film."""
        name = Path(str(self.facts.get("input", ""))).name
        return str(self.facts.get("title") or name)

    @property
    def digests(self) -> dict[str, str]:
        """The digests of its files as they were written, by format; older entries have none."""
        found = self.facts.get("digests")
        known = found.items() if isinstance(found, dict) else ()
        return {kind: value for kind, value in known if isinstance(value, str)}

    @property
    def key(self) -> str:
        """What identifies the film among those of its folder; older entries have the name alone."""
        return str(self.facts.get("key") or name_key(self.facts.get("input")))


def film_key(film: Path, name: Path, folder: Path, frame: int | None) -> str:
    """The key of a film in the report of a folder: a hash of its path, or of its name if hidden.

    name: in outputs (`radiograph.privacy.public_path`). The path is relative to the folder, so that
    both can be moved together.
    """
    place = os.path.relpath(real_path(film), real_path(folder))
    seen = str(name) if name != film else place
    return hashlib.sha256(os.fsencode(f"{seen}\0{frame or ''}")).hexdigest()[:16]


def name_key(name: object) -> str:
    """The key of an entry that has only a name."""
    return f"name {name}"


def listed_results(folder: Path) -> frozenset[str]:
    """The file names listed in the reports of a folder."""
    return frozenset(
        name
        for report in REPORTS
        for entry in read_report(folder / report) or ()
        for name in entry.outputs.values()
    )


def read_report(path: Path) -> list[ReportEntry] | None:
    """The entries of a report; empty if there is no file.

    None if the file is not a report.
    """
    try:
        document = read_json(read_bytes(path, LARGEST_REPORT))
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        return None
    if not isinstance(document, list):
        return None
    found = [entry for value in document if (entry := ReportEntry.of(value)) is not None]
    return found if len(found) == len(document) else None


def is_result(path: Path, listed: Container[str] = ()) -> bool:
    """Whether a file was written by boneseg or is a segmentation. Raises OSError.

    listed: the `listed_results` of its folder.
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
