"""Responses are limited in size and duration."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest

from boneseg.errors import UsageError
from boneseg.pacs.dicomweb import bounded_http
from boneseg.pacs.dicomweb.bounded_http import BoundedHttp, TooLongError
from tests.support import webpacs


def client(response: httpx.Response) -> BoundedHttp:
    transport = httpx.MockTransport(lambda request: response)
    return BoundedHttp("http://127.0.0.1/root", auth=None, headers={}, transport=transport)


def test_a_body_goes_into_memory_or_into_a_file() -> None:
    response = httpx.Response(200, content=b"film", headers={"content-type": "application/dicom"})
    assert client(response).request("GET", "studies", None, 4).content == b"film"
    file = io.BytesIO(b"what an earlier attempt left")
    found = client(httpx.Response(200, content=b"film")).request("GET", "studies", file, 4)
    assert file.getvalue() == b"film" and found.status_code == 200


def test_a_body_over_the_limit_is_cut_off() -> None:
    with pytest.raises(TooLongError):
        client(httpx.Response(200, content=b"films")).request("GET", "studies", None, 4)


@pytest.mark.parametrize(("status", "content"), [(404, b""), (500, b""), (409, b"reason")])
def test_of_errors_only_a_conflict_has_a_body(status: int, content: bytes) -> None:
    found = client(httpx.Response(status, content=b"reason")).request("POST", "studies", None, 99)
    assert (found.status_code, found.content) == (status, content)


def test_a_body_that_arrives_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10_000, 100))
    monkeypatch.setattr(bounded_http.time, "monotonic", lambda: float(next(now)))
    with pytest.raises(httpx.ReadTimeout, match="too slow"):
        client(httpx.Response(200, content=b"film")).request("GET", "studies", None, 99)


def test_a_proxy_of_the_environment_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Password and films go to the server that was named, and to no other."""
    monkeypatch.delenv("no_proxy", raising=False)
    films = {"1.2": b"film"}
    with webpacs.serving(films) as pacs, webpacs.serving(films) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        direct = BoundedHttp(pacs.url, auth=None, headers={}, transport=None)
        direct.request("GET", "instances/1.2", None, 10**6)
        direct.close()
        assert (pacs.asked, proxy.asked) == (["1.2"], [])


def test_certificates_that_cannot_be_read_are_a_wrong_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "hospital.pem"))
    for content in (None, "no certificate"):
        if content:
            (tmp_path / "hospital.pem").write_text(content)
        with pytest.raises(UsageError, match=r"^SSL_CERT_FILE=.*hospital\.pem: cannot be read"):
            client(httpx.Response(200))


def test_an_encoded_body_is_decoded_once() -> None:
    import gzip

    headers = {"content-encoding": "gzip", "content-length": "24"}
    sent = httpx.Response(200, content=gzip.compress(b"film"), headers=headers)
    found = client(sent).request("GET", "studies", None, 99)
    assert found.content == b"film" and "content-encoding" not in found.headers
