"""Every error of boneseg has its HTTP status."""

from __future__ import annotations

import inspect
import pickle
import re
from http import HTTPStatus

import pytest

from boneseg import errors as all_errors
from boneseg.errors import BonesegError, OutputError, RadiographError, UsageError
from boneseg.server import errors
from boneseg.server.app import STATIC
from boneseg.server.errors import BusyError, NotFoundError, ServerError, page_message, status_of


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for module in (errors, all_errors)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BonesegError) and kind is not BusyError
    ],
)
def test_a_status_is_an_error_of_http(kind: type[BonesegError]) -> None:
    assert HTTPStatus(status_of(kind("knee: is damaged"))).value >= 400


def test_faults_of_the_request_are_4xx_and_others_5xx() -> None:
    assert status_of(UsageError("x")) == 400
    assert status_of(NotFoundError("x")) == 404
    assert status_of(RadiographError("x")) == 422
    assert status_of(OutputError("x")) == 507
    assert status_of(ServerError("x")) == status_of(BonesegError("x")) == 500


def test_a_busy_server_says_when_to_come_again_in_any_process() -> None:
    error = pickle.loads(pickle.dumps(BusyError("the queue is full", 7)))
    assert (str(error), error.seconds, status_of(error)) == ("the queue is full", 7, 503)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "a.dcm: holds 2 frames; choose one with segment --frame N, 1 to 2",
            "a.dcm: holds 2 frames",
        ),
        ("a.png: is not DICOM; omit dicom-seg, or give the DICOM file", "a.png: is not DICOM"),
        ("a.png: is damaged; export it again", "a.png: is damaged; export it again"),
        ("many masks; boneseg convert DATA --to png makes images", "many masks"),
    ],
)
def test_advice_for_the_command_line_is_not_shown_on_the_page(message: str, shown: str) -> None:
    assert page_message(RadiographError(message)) == page_message(message) == shown


def test_the_page_itself_does_not_speak_of_the_command_line() -> None:
    words = re.compile(r"[\"'`][^\"'`]*(boneseg serve|pip install|--data)")
    for file in sorted(STATIC.glob("*.js")) + sorted(STATIC.glob("*.html")):
        assert not words.search(file.read_text()), file.name
