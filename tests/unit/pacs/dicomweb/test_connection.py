"""Requests to a server: retried where that may help, and refused where it cannot."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from boneseg.errors import ServiceError, UsageError
from boneseg.pacs.dicomweb.client import DicomWeb
from boneseg.pacs.dicomweb.watch import Watch
from tests.support.dicomweb import NOTHING, fake, row


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"url": "pacs.example"}, "give that of a DICOMweb service"),
        (
            {"url": "https://user:secret@pacs.example/dicom-web"},
            "do not put the password into the URL",
        ),
        ({"url": "https://pacs.example", "netrc": Path("/none")}, "is not a netrc file"),
        ({"url": "https://pacs.example", "token": Path("/none")}, "holds no token"),
    ],
)
def test_invalid_options_are_refused_before_any_request(words, message):
    with pytest.raises(UsageError, match=message) as refusal:
        DicomWeb(**words)
    assert "secret" not in str(refusal.value)


def test_a_busy_server_is_retried_with_growing_pauses():
    pauses, lines = [], []
    busy = [httpx.Response(503), httpx.Response(429), httpx.Response(502)]
    _, web = fake(pauses=pauses, studies=[*busy, [row(t0020000D="1.2")]])
    assert [study.uid for study in web.studies()] == ["1.2"]
    assert pauses == [1, 2, 4] and not lines


class Unknown(httpx.BaseTransport):
    """A server with an untrusted certificate, as httpx reports it."""

    def handle_request(self, request):
        raise httpx.ConnectError("no") from ssl.SSLCertVerificationError(1, "no")


def test_an_untrusted_certificate_is_not_retried(engine, room):
    web = DicomWeb("https://pacs.example/rs", transport=Unknown(), patience=0)
    with pytest.raises(ServiceError, match="its certificate is not trusted"):
        Watch(web, engine, room).round()


def test_a_redirect_is_reported():
    _, web = fake(studies=[httpx.Response(301, headers={"Location": "https://other.example"})])
    with pytest.raises(ServiceError, match="redirects to another address"):
        list(web.studies())


@pytest.mark.parametrize(
    "answer", [{"a": 1}, ["text"], 5, "text", True, httpx.Response(200, text="<html>")]
)
def test_a_server_that_is_not_dicomweb_is_reported(answer):
    _, web = fake(studies=[answer])
    with pytest.raises(ServiceError, match="is not a DICOMweb service; check the URL"):
        list(web.studies())


def test_an_unencrypted_connection_is_logged(lines):
    with DicomWeb("http://pacs.example/dicom-web"):
        assert "is not encrypted" in lines[0]
    with DicomWeb("https://pacs.example/dicom-web"):
        assert len(lines) == 1


NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]
