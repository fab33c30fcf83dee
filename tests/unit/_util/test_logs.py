"""The log of the services: time and level on each line, and nothing quoted from a file."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from datetime import datetime

import pytest

from boneseg._util import logs


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    yield
    for name in ("boneseg", "a.library"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        for handler in logger.handlers[:]:
            if not isinstance(handler, logging.NullHandler):
                logger.removeHandler(handler)


def test_a_line_of_text_has_time_and_level(capsys):
    logs.start()
    logs.log.info("film %s: stored", "3f2a")
    logs.log.warning("two\nlines")
    logs.error("the disk is full")
    first, second, third = capsys.readouterr().err.splitlines()
    time, rest = first.split(" ", 1)
    assert abs((datetime.now().astimezone() - datetime.fromisoformat(time)).total_seconds()) < 60
    assert rest == "INFO film 3f2a: stored"
    assert second.endswith(r"WARNING two\x0alines") and third.endswith("ERROR the disk is full")


def test_a_line_of_json_is_one_document(capsys):
    logs.start("json")
    logs.log.error('é " \n \x1b[31m')
    line = capsys.readouterr().err
    record = json.loads(line)
    assert line.count("\n") == 1 and line.isascii()
    assert record["level"] == "ERROR" and record["message"] == 'é " \n \x1b[31m'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", record["time"])


@pytest.mark.parametrize("form", ["text", "json"])
def test_of_an_exception_its_type_is_logged_and_not_what_it_quotes(capsys, form):
    logs.start(form)
    try:
        raise ValueError("Beeblebrox^Zaphod")
    except ValueError:
        logs.log.exception("a request failed")
    said = capsys.readouterr().err
    assert "a request failed (ValueError)" in said
    assert "Beeblebrox" not in said and "Traceback" not in said


def test_of_a_traceback_of_a_library_its_type_is_logged(capsys):
    logs.start(others=("a.library",))
    try:
        raise ValueError("Beeblebrox^Zaphod: 42")
    except ValueError:
        logging.getLogger("a.library").error(traceback.format_exc())
    assert capsys.readouterr().err.endswith(" ERROR ValueError\n")


def test_started_twice_each_record_is_one_line(capsys):
    logs.start("text", ["a.library"])
    logs.start("json", ["a.library"])
    logs.log.info("ours")
    logging.getLogger("a.library").info("chatter")
    logging.getLogger("a.library").warning("theirs")
    said = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert said == ["ours", "theirs"]


def test_of_what_ends_a_thread_its_type_is_logged(capsys):
    logs.start()
    thread = threading.Thread(target=int, args=("Beeblebrox",))
    thread.start()
    thread.join()
    said = capsys.readouterr().err
    assert said.endswith("ERROR ValueError in a thread\n") and said.count("\n") == 1


def test_a_stderr_that_is_closed_stops_no_work(monkeypatch):
    logs.start()
    monkeypatch.setattr(sys, "stderr", None)
    logs.log.error("nobody reads this")


def test_without_a_log_an_error_is_a_plain_line(capsys):
    logs.error("the disk is full")
    assert capsys.readouterr().err == "error: the disk is full\n"
