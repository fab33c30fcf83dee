"""Mutations of inputs: of bytes, and of the values in a JSON document or the cells of a table."""

from __future__ import annotations

import json
import random
import struct
import zlib
from copy import deepcopy
from typing import Any

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WORDS = (
    *(b"", b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"null", b"[]", b"{}", b"true", b'"'),
    *(b"9" * 30, b"0.5", b"[" * 2000, b"\\u0000", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"&amp;"),
    *(b"\r", b"\0", b"..", b"/etc/passwd", b"9" * 5000, b"1e308", b"-0", b"\\ud800", b"%00"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 1e-308, float("nan"), float("inf")),
    *(2**31, 2**63, -(2**63), 2**64, 10**40, 10**400, "", "x", "\0", "\n", "\ud800", "../x", "1"),
    *([], {}, [[]], [None], [0, 0], [1e9, -1e9], {"": 0}, "x" * 1000, [0] * 1000, "\u202e", "é"),
)
_MARK = b"\x89PNG\r\n\x1a\n"


def mutate(rng: random.Random, seeds: list[bytes], first: float = 0.0) -> bytes:
    """A mutation of one of the seeds, of the first with a probability of at least `first`."""
    seed = seeds[0] if rng.random() < first else rng.choice(seeds)
    if seed[:1] in (b"{", b"[") and rng.random() < 0.7:
        try:
            return _document(rng, json.loads(seed))
        except (ValueError, RecursionError):
            pass
    return _bytes(rng, seed, seeds)


def _document(rng: random.Random, document: Any) -> bytes:
    """A JSON document with some of its values replaced, removed, moved or repeated."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        places: list[tuple[Any, Any]] = []
        stack = [document] if isinstance(document, dict | list) else []
        while stack and len(places) < 5000:
            one = stack.pop()
            for key in one.keys() if isinstance(one, dict) else range(len(one)):
                places.append((one, key))
                if isinstance(one[key], dict | list):
                    stack.append(one[key])
        if not places:
            document = deepcopy(rng.choice(VALUES))
            continue
        holder, key = rng.choice(places)
        other = rng.choice(places)
        action = rng.randrange(6)
        if action <= 2:
            holder[key] = deepcopy(rng.choice(VALUES))  # a later step can change it
        elif action == 3:
            del holder[key]
        elif action == 4:
            holder[key] = json.loads(json.dumps(other[0][other[1]]))
        elif isinstance(holder, list):
            holder[key:key] = json.loads(json.dumps([holder[key]])) * rng.choice((1, 2, 50))
        else:
            holder[rng.choice(("", "x", "version", "name", "\0", str(key).upper()))] = holder[key]
    return json.dumps(document).encode()


def _bytes(rng: random.Random, seed: bytes, seeds: list[bytes]) -> bytes:
    """A seed with some bytes set, numbers put in, parts cut, doubled or taken from another."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if not data:
            break
        reach = rng.choice((64, 512, len(data)))  # headers are at the front
        at = rng.randrange(min(reach, len(data)))
        length = rng.choice((1, 2, 4, 8, rng.randrange(1, 1 + max(1, len(data) // 4))))
        action = rng.randrange(8)
        if action == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            data[at] = rng.randrange(256)
        elif action == 2:
            size, order = rng.choice((1, 2, 4)), rng.choice(("little", "big"))
            number = rng.choice(NUMBERS) & (256**size - 1)
            data[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
        elif action == 3:
            del data[at : at + length]
        elif action == 4:
            data[at:at] = data[at : at + length] * rng.choice((1, 1, 2, 50))
        elif action == 5:
            other = rng.choice(seeds) or b"\0"
            start = rng.randrange(len(other))
            data[at : at + length] = other[start : start + length]
        elif action == 6:
            data[at : at + rng.choice((0, length))] = rng.choice(WORDS)
        else:
            del data[rng.randrange(len(data)) :]
    return bytes(data)


def png_checked(data: bytes) -> bytes:
    """The same PNG with the check sum of each chunk corrected, so that readers go on."""
    if not data.startswith(_MARK):
        return data
    fixed, at = bytearray(data), len(_MARK)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(fixed)
