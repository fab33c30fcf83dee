"""A DICOMweb client (PS3.18): QIDO-RS to find films, WADO-RS to fetch, STOW-RS to store.

    with DicomWeb("https://pacs/dicom-web", netrc=Path("~/.netrc")) as web:
        for series in web.series(study):
            for instance in web.instances(study, series):
                web.fetch(instance, Path("film.dcm"))

Failed requests are retried with exponential backoff. Where one request keeps failing while the
server responds to others, only that request is given up (ServiceError). An object counts as stored
once the server confirms that it holds it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
from pydicom.dataset import Dataset

from boneseg._util.files import unwritable, whole_file
from boneseg.errors import RadiographError, ServiceError
from boneseg.pacs.dicomweb.bounded_http import TooLongError
from boneseg.pacs.dicomweb.connection import DICOM_JSON, MAX_JSON, Connection
from boneseg.pacs.dicomweb.dicom_json import (
    CLASS,
    COUNT,
    DATE,
    FAILED,
    INSTANCE,
    MODALITY,
    SERIES,
    STUDY,
    DicomObject,
    first_value,
    instance_count,
    objects,
    parsed,
    values,
)
from boneseg.pacs.dicomweb.multipart import IncompleteError, extract
from boneseg.pacs.identifiers import is_uid
from boneseg.radiograph.dicom.file import read_file
from boneseg.radiograph.film import MAX_BYTES
from boneseg.radiograph.sniff import has_dicom_mark

PAGE = 200  # rows per search request
_CHECKS = (0.0, 1.0, 2.0)  # seconds before each check for a stored object
MODALITY_OF = {  # by SOP Class, for series listed without a modality
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.2": "MG",
    "1.2.840.10008.5.1.4.1.1.1.2.1": "MG",
    "1.2.840.10008.5.1.4.1.1.1.3": "IO",
    "1.2.840.10008.5.1.4.1.1.1.3.1": "IO",
    "1.2.840.10008.5.1.4.1.1.12.1": "XA",
    "1.2.840.10008.5.1.4.1.1.12.2": "RF",
}


@dataclass(frozen=True)
class Study:
    """A study as QIDO-RS lists it. `count`: number of its instances, None where it is missing."""

    uid: str
    count: int | None


@dataclass(frozen=True)
class Series:
    """A series of a study; `modality` is "" where the server does not send it."""

    uid: str
    modality: str


@dataclass(frozen=True)
class Instance:
    """One object of a series; `modality` is "" where the server does not send it."""

    study: str
    series: str
    uid: str
    modality: str


class DicomWeb(Connection):
    """A client that retries for up to `patience` seconds while the server does not respond.

    netrc: a netrc file; token: a file that holds a bearer token. Each retry is logged. Raises
    UsageError for an invalid URL or credentials file, and from every method ServiceError:
    UnreachableError, AccessError, or one that concerns only this request.
    """

    def studies(self, since: str | None = None) -> Iterator[Study]:
        """All studies, or those from a date (YYYYMMDD) on."""
        params = {"includefield": COUNT} | ({DATE: f"{since}-"} if since else {})
        for row in self._search("studies", params):
            uid = first_value(row, STUDY)
            if is_uid(uid):
                yield Study(uid, instance_count(row))

    def series(self, study: str) -> Iterator[Series]:
        """The series of a study."""
        for row in self._search(f"studies/{study}/series", {}):
            uid = first_value(row, SERIES)
            if is_uid(uid):
                yield Series(uid, first_value(row, MODALITY).upper())

    def instances(self, study: str, series: Series) -> Iterator[Instance]:
        """The objects of a series, without duplicates."""
        for row in self._search(f"studies/{study}/series/{series.uid}/instances", {}):
            uid = first_value(row, INSTANCE)
            if is_uid(uid):
                modality = series.modality or first_value(row, MODALITY).upper()
                modality = modality or MODALITY_OF.get(first_value(row, CLASS), "")
                yield Instance(study, series.uid, uid, modality)

    def has(self, study: str, uid: str) -> bool:
        """Whether the server holds an object with this SOP Instance UID."""
        rows = self._search(f"studies/{study}/instances", {INSTANCE: uid})
        return any(first_value(row, INSTANCE) == uid for row in rows)

    def fetch(self, instance: Instance, path: Path) -> None:
        """Write an object as a DICOM file.

        Raises RadiographError where it is too large, ServiceError where the server does not
        deliver it, and OutputError.
        """
        where = f"studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"
        headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
        body = path.with_suffix(".response")
        try:
            with open(body, "w+b", opener=_private) as file:
                response = self.request("GET", where, headers=headers, into=file, limit=MAX_BYTES)
            with whole_file(path) as temporary:
                extract(body, response.headers.get("content-type", ""), temporary)
        except IncompleteError as error:
            raise ServiceError(f"{self.name}: the response for this film {error}") from None
        except TooLongError:
            size = MAX_BYTES >> 20
            raise RadiographError(
                f"the film is larger than {size} MiB and was not fetched"
            ) from None
        except OSError as error:
            raise unwritable(path, error) from None
        finally:
            with suppress(OSError):
                body.unlink()
        delivered = _uid_of(path)
        if delivered is None:
            raise ServiceError(f"{self.name}: did not send a DICOM object for this film")
        if delivered not in ("", instance.uid):
            raise ServiceError(f"{self.name}: sent another object than the one requested")

    def store(self, dataset: Dataset) -> None:
        """Store an object. An object that the server already has is not an error."""
        study, uid = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
        encoded, boundary = BytesIO(), secrets.token_hex(16)
        dataset.save_as(encoded, enforce_file_format=True)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + encoded.getvalue() + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = DICOM_JSON | {"Content-Type": kind}
        try:
            where = f"studies/{study}"
            response = self.request("POST", where, headers=headers, content=body, also=409)
        except TooLongError:
            response = httpx.Response(202)
        stored = _was_stored(response)
        if stored:
            return
        for pause in _CHECKS if stored is None else _CHECKS[:1]:  # 202: perhaps still in progress
            if pause:
                self._sleep(pause)
            if self.has(study, uid):
                return
        raise ServiceError(f"{self.name}: rejected the segmentation; see the server's log")

    def _search(self, where: str, params: dict[str, str]) -> Iterator[DicomObject]:
        """The rows of a QIDO-RS search without duplicates, over all pages.

        A short page need not be the last, since servers have limits of their own. A page without
        new rows is the last: some servers ignore `offset` and repeat the first page for ever.
        """
        seen, known = 0, set[tuple[str, ...]]()
        while True:
            page = {"limit": str(PAGE), "offset": str(seen)}
            try:
                response = self.request("GET", where, headers=DICOM_JSON, params=params | page)
            except TooLongError:
                raise ServiceError(
                    f"{self.name}: sends more than {MAX_JSON >> 20} MiB for a search; narrow it "
                    "down with --since"
                ) from None
            rows = objects(response.content, self.name)  # 204: nothing found
            new = {uids: row for row in rows if (uids := _uids(row)) not in known}
            if not new:
                return
            yield from new.values()
            known |= new.keys()
            seen += len(rows)


def _was_stored(response: httpx.Response) -> bool | None:
    """Whether an object was stored (PS3.18 10.5.3), None where only a search can tell.

    Status 200 is sufficient: servers send no document with it, or null, {}, or XML.
    """
    if response.status_code == 409:
        return False
    try:
        document = parsed(response.content, "")
    except ServiceError:
        is_xml = b"DicomModel" in response.content and FAILED.encode() not in response.content
        return True if is_xml and response.status_code == 200 else None
    for item in document if isinstance(document, list) else [document]:
        if item is None:
            continue
        if not isinstance(item, dict):
            return None
        if values(item, FAILED):  # only one object was sent
            return False
    return True if response.status_code != 202 else None


def _uid_of(path: Path) -> str | None:
    """The SOP Instance UID of a file, "" where it has none; None where it is not DICOM."""
    try:
        if not has_dicom_mark(path):
            return None
        return str(read_file(path, pixels=False).get("SOPInstanceUID", "")).strip(" \0")
    except Exception:  # a damaged header: reported when the film is read
        return ""


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _uids(row: DicomObject) -> tuple[str, ...]:
    """The identity of a row: the UIDs of study, series and instance."""
    return tuple(first_value(row, tag) for tag in (STUDY, SERIES, INSTANCE))
