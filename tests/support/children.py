"""Functions for child processes of the tests."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from boneseg._util.disposable import Room, answer_with
from boneseg._util.runtime import bound_cpu, bound_memory


def serve() -> None:
    answer_with(_obey)


def hang() -> None:
    answer_with(_sleep)


def _sleep(_: memoryview, room: Room) -> Iterable[bytes]:
    time.sleep(60)
    return []


def _obey(request: memoryview, room: Room) -> Iterable[bytes]:
    word = bytes(request[:5]).decode("latin-1")
    if word == "abort":
        print("noise on standard output", flush=True)
        os.abort()
    if word == "sleep":
        time.sleep(60)
    if word == "burn!":
        bound_cpu(0)
        while True:
            pass
    if word == "fill!":
        bound_memory(50_000_000)
        try:
            return [b"filled", bytes(len(bytearray(10**9)) // 10**9)]
        except MemoryError:
            return [b"full"]
    if word == "write":
        room(3)[:] = b"put"
        return [b" in place"]
    if word == "claim":
        return [bytes(1000)]
    print("noise on standard output", flush=True)
    return [b"echo ", bytes(request)]
