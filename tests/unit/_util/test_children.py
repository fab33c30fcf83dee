"""Child processes that are kept for the next request; test_disposable.py is about one of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from boneseg._util.children import Children, NotStartedError
from boneseg._util.disposable import DiedError, Disposable

ENTRY = "tests.support.children:serve"


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    made = Children(ENTRY)
    yield made
    made.end_all()


def echo(child: Disposable) -> bytes:
    return bytes(child.ask([b"word"], 30, 100))


def test_a_child_is_kept_for_the_next_request(children: Children) -> None:
    with children.one() as first:
        assert echo(first) == b"echo word"
        assert children.idle == []
    with children.one() as second:
        assert second is first and echo(second) == b"echo word"
    assert children.idle == [first]


def test_one_that_died_is_replaced(children: Children) -> None:
    with pytest.raises(DiedError), children.one() as child:
        child.ask([b"abort"], 30, 100)
    assert child not in children.idle
    with children.one() as other:
        assert echo(other) == b"echo word"


def test_an_error_of_the_caller_costs_no_child(children: Children) -> None:
    with pytest.raises(KeyError), children.one() as child:
        raise KeyError
    assert children.idle == [child] and child.is_alive()


def test_one_that_is_idle_for_long_is_ended() -> None:
    children = Children(ENTRY, seconds=0.1)
    for _ in range(2):
        with children.one() as child:
            assert echo(child) == b"echo word"
            time.sleep(0.2)  # the time is that of the idle
            assert child.is_alive()
    child._process.wait(30)
    assert children.idle == []


def test_a_time_that_began_before_a_request_does_not_end_the_child_after_it() -> None:
    children = Children(ENTRY, seconds=60)
    for _ in range(3):
        with children.one() as child:
            assert echo(child) == b"echo word"
    waiting = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    assert [one for one in waiting if one.args == (child,) and not one.finished.is_set()] == [
        children._timers[child]
    ]
    children.end_all()
    assert not children._timers


def test_the_reason_of_the_system_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr("boneseg._util.children.Disposable", full)
    with pytest.raises(NotStartedError, match=r"^Too many open files$"), Children(ENTRY).one():
        pass


def test_they_are_ended_with_this_process_and_left_alone_by_a_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_exit, at_fork, children = [], {}, Children(ENTRY)
    monkeypatch.setattr("atexit.register", at_exit.append)
    monkeypatch.setattr("os.register_at_fork", lambda **words: at_fork.update(words), raising=False)
    for _ in range(2):
        with children.one():
            pass
    assert at_exit == [children.end_all]
    assert at_fork == {"after_in_child": children._forget_all}
    children.end_all()
