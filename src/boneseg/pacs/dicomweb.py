"""A DICOMweb server (PS3.18): films are found by QIDO-RS, fetched by WADO-RS, stored by STOW-RS.

    with DicomWeb("https://pacs/dicom-web", netrc=Path("~/.netrc")) as web:
        for instance in web.instances(study):
            web.fetch(instance, Path("film.dcm"))

A server that goes away is waited for, a little longer each time. What it refuses is an error at
once. Nothing is believed to be stored but what the server says it has.
"""

from __future__ import annotations

import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydicom.dataset import Dataset

from boneseg.errors import RadiographError, ServiceError, UsageError
from boneseg.files import whole_file

PAGE = 200  # rows that are asked for at once
MAX_BYTES = 1 << 30  # of one film
TIMEOUT = httpx.Timeout(60, connect=10)  # seconds without a sign of life
LONGEST_PAUSE = 60.0  # seconds between two tries
_BUSY = frozenset((408, 425, 429, 502, 503, 504))  # another time it may be well
_SHUT_OUT = (401, 403)
_BROKEN = 500  # perhaps by this one request, so that waiting for long would hold up the rest
_BROKEN_PATIENCE = 60.0  # seconds

_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_MODALITY, _COUNT, _DATE = "00080060", "00201208", "00080020"
_FAILED = "00081198"  # Failed SOP Sequence


@dataclass(frozen=True)
class Study:
    """A study as QIDO-RS tells of it. `count`: of its instances, None where it is not told."""

    uid: str
    count: int | None


@dataclass(frozen=True)
class Instance:
    """One object of a study."""

    study: str
    series: str
    uid: str
    modality: str


class GoneError(ServiceError):
    """The server did not answer for as long as we were told to wait."""


class ShutOutError(ServiceError):
    """The server does not know us, or gives us no right; or we do not know it."""


class DicomWeb(AbstractContextManager["DicomWeb"]):
    """A client that waits up to `patience` seconds for a server that does not answer.

    netrc: a file of machine, login and password; token: a file that holds a bearer token. `tell`
    is called with a line each time it has to wait. Raises UsageError where URL or files are wrong,
    and ServiceError from every method where the server refuses, or patience is at its end.
    """

    def __init__(
        self,
        url: str,
        *,
        netrc: Path | None = None,
        token: Path | None = None,
        patience: float = 300,
        tell: Callable[[str], None] = lambda line: None,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.patience, self._tell, self._sleep = patience, tell, sleep
        try:
            place = httpx.URL(url)
        except httpx.InvalidURL:
            place = httpx.URL()
        if place.scheme not in ("http", "https") or not place.host:
            raise UsageError("pacs: the URL must be that of a DICOMweb service, https://HOST/ROOT")
        if place.userinfo:  # it would be seen in the list of processes
            raise UsageError("pacs: leave the password out of the URL, and give --netrc FILE")
        self.name = str(place.copy_with(query=None, fragment=None))
        headers = {"Authorization": f"Bearer {_token(token)}"} if token is not None else {}
        auth = None if token is not None else _netrc(netrc)
        if place.scheme == "http" and place.host not in ("127.0.0.1", "::1", "localhost"):
            tell(
                f"{self.name}: is not encrypted; whoever is on the way can read films and password"
            )
        base = self.name.rstrip("/") + "/"
        self._http = httpx.Client(
            base_url=base, auth=auth, headers=headers, timeout=TIMEOUT, transport=transport
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def studies(self, since: str | None = None) -> Iterator[Study]:
        """All studies, or those of a date (YYYYMMDD) and later."""
        words = {"includefield": _COUNT} | ({_DATE: f"{since}-"} if since else {})
        for row in self._search("studies", words):
            count, uid = _value(row, _COUNT), _value(row, _STUDY)
            if _is_uid(uid):
                yield Study(uid, int(count) if count.isdecimal() else None)

    def instances(self, study: str) -> Iterator[Instance]:
        """Everything that a study holds, each once."""
        told: set[str] = set()  # a study of two patients, by a slip, may be listed twice
        for row in self._search(f"studies/{study}/series", {}):
            series, modality = _value(row, _SERIES), _value(row, _MODALITY)
            if not _is_uid(series):
                continue
            for item in self._search(f"studies/{study}/series/{series}/instances", {}):
                uid = _value(item, _INSTANCE)
                if _is_uid(uid) and uid not in told:
                    told.add(uid)
                    yield Instance(study, series, uid, modality)

    def has(self, study: str, uid: str) -> bool:
        """Whether the server holds an object of that SOP Instance UID."""
        rows = self._search(f"studies/{study}/instances", {_INSTANCE: uid})
        return any(_value(row, _INSTANCE) == uid for row in rows)

    def fetch(self, instance: Instance, path: Path) -> None:
        """Write an object as a DICOM file. Raises RadiographError where it is too large."""
        where = f"studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        answer = self._ask("GET", where, headers={"Accept": accept}, limit=MAX_BYTES)
        with whole_file(path) as temporary:
            temporary.write_bytes(_first_part(answer))

    def store(self, dataset: Dataset) -> None:
        """Store an object. What the server has already is no error."""
        study, uid = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
        packed, boundary = BytesIO(), secrets.token_hex(16)
        dataset.save_as(packed, enforce_file_format=True)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + packed.getvalue() + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        answer = self._ask("POST", f"studies/{study}", headers=headers, content=body, allow=(409,))
        refused = answer.status_code == 409 or _FAILED in _json(answer, {})
        if refused and not self.has(study, uid):
            raise ServiceError(f"{self.name}: does not take the segmentation; see its own log")

    def _search(self, where: str, words: dict[str, str]) -> Iterator[dict[str, Any]]:
        """The rows of a QIDO-RS search, each once, page after page.

        A short page need not be the last, for servers have a limit of their own; and one that
        brings nothing new is, for some know no offset and give the first page for ever.
        """
        headers, seen = {"Accept": "application/dicom+json"}, 0
        known: set[tuple[str, ...]] = set()
        while True:
            page = {"limit": str(PAGE), "offset": str(seen)}
            answer = self._ask("GET", where, headers=headers, params=words | page)
            rows = _json(answer, None) if answer.content else []  # 204: nothing found
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ServiceError(f"{self.name}: does not answer as DICOMweb; check the URL")
            new = {uids: row for row in rows if (uids := _uids(row)) not in known}
            if not new:
                return
            yield from new.values()
            known |= new.keys()
            seen += len(rows)

    def _ask(
        self,
        method: str,
        where: str,
        *,
        allow: tuple[int, ...] = (),
        limit: int = MAX_BYTES,
        **words: Any,
    ) -> httpx.Response:
        """One answer, however often it takes to get it."""
        started, pause = time.monotonic(), 1.0
        while True:
            try:
                answer = self._answer(method, where, limit, **words)
                if answer.status_code < 300 or answer.status_code in allow:
                    return answer
                waited = time.monotonic() - started + pause
                tired = answer.status_code == _BROKEN and waited > _BROKEN_PATIENCE
                if tired or answer.status_code not in (*_BUSY, _BROKEN):
                    kind = ShutOutError if answer.status_code in _SHUT_OUT else ServiceError
                    raise kind(f"{self.name}: {_refusal(answer.status_code)}")
                reason = f"answers {answer.status_code}"
            except httpx.TransportError as error:
                if _is_untrusted(error):  # and waiting would not change that
                    raise ShutOutError(
                        f"{self.name}: has a certificate that is not trusted here; name the file "
                        "of its authority in SSL_CERT_FILE"
                    ) from None
                reason = "cannot be reached" if _is_away(error) else "stopped answering"
            if time.monotonic() - started + pause > self.patience:
                raise GoneError(
                    f"{self.name}: {reason}; see that it runs, and run this again: what is stored "
                    "is not made twice"
                )
            self._tell(f"{self.name}: {reason}; trying again in {pause:.0f} s")
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _answer(self, method: str, where: str, limit: int, **words: Any) -> httpx.Response:
        """An answer with its body, which is given up where it is longer than `limit` bytes."""
        with self._http.stream(method, where, **words) as answer:
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > limit:
                    raise RadiographError(f"a film of more than {limit >> 20} MiB is not fetched")
            headers = {k: v for k, v in answer.headers.items() if k != "content-encoding"}
            return httpx.Response(answer.status_code, headers=headers, content=bytes(body))


def _netrc(path: Path | None) -> httpx.Auth | None:
    """Who asks, by a netrc file: the one named, or that of the user where there is one."""
    from netrc import NetrcParseError

    chosen = path if path is not None else Path.home() / ".netrc"
    if path is None and not chosen.is_file():
        return None
    try:
        return httpx.NetRCAuth(str(chosen))
    except (OSError, NetrcParseError, UnicodeDecodeError):
        raise UsageError(
            f"{chosen}: is no netrc file; write: machine HOST login USER password PASSWORD"
        ) from None


def _token(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token or any(letter.isspace() for letter in token):
        raise UsageError(f"{path}: holds no token; write the token alone into it")
    return token


def _refusal(status: int) -> str:
    if status in _SHUT_OUT:
        return "does not let us in; check the --netrc or --token file"
    if status < 400:
        return f"sends us to another address ({status}); give that one"
    if status == 404:
        return "has no such DICOMweb service or study; check the URL and the UID"
    return f"refuses what it was asked ({status}); see its own log"


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether this, or what it came of, is that nobody vouches for a server's certificate."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _is_away(error: httpx.TransportError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)


def _json(answer: httpx.Response, none: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        return none


def _value(row: dict[str, Any], tag: str) -> str:
    """The first value of an element in DICOM JSON (PS3.18 F.2), or "" where there is none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""


def _uids(row: dict[str, Any]) -> tuple[str, ...]:
    """What tells a row from others: the UIDs of study, series and instance."""
    return tuple(_value(row, tag) for tag in (_STUDY, _SERIES, _INSTANCE))


def _is_uid(text: str) -> bool:
    """Whether a server's word is a UID: it becomes a part of what it is asked next."""
    return re.fullmatch(r"[0-9.]{1,64}", text) is not None and ".." not in text


def _first_part(answer: httpx.Response) -> bytes:
    """The first object of a multipart answer (RFC 2387); all of it where it is not multipart."""
    body, kind = answer.content, answer.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/"):
        return body
    words = dict(part.strip().partition("=")[::2] for part in kind.split(";")[1:])
    boundary = next((v.strip('"') for k, v in words.items() if k.lower() == "boundary"), "")
    mark = f"--{boundary}".encode()
    start = body.find(b"\r\n\r\n", body.find(mark)) + 4
    end = body.find(b"\r\n" + mark, start)
    return body[start:end] if end >= 0 else body[start:]
