"""Hostile connections to a DICOM node, byte by byte (PS3.8 9.3)."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from pydicom.uid import UID

APPLICATION = b"1.2.840.10008.3.1.1.1"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def pdu(kind: int, body: bytes, claimed: int | None = None) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body) if claimed is None else claimed) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def request(
    called: bytes = b"BONESEG",
    calling: bytes = b"MODALITY",
    abstract: str = "1.2.840.10008.5.1.4.1.1.1",
    more: bytes = b"",
) -> bytes:
    """An A-ASSOCIATE-RQ for one presentation context."""
    syntaxes = item(0x40, b"1.2.840.10008.1.2.1")
    context = bytes((1, 0, 0, 0)) + item(0x30, UID(abstract).encode()) + syntaxes
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3")
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16), calling.ljust(16))
    items = item(0x10, APPLICATION) + item(0x20, context) + item(0x50, user) + more
    return pdu(1, body + items)


def fragment(control: int, data: bytes) -> bytes:
    """A P-DATA-TF of one fragment: 1 is of a command, 0 of a data set, and 2 ends it."""
    return pdu(4, struct.pack(">LBB", len(data) + 2, 1, control) + data)


def resident(pid: int | None = None) -> int:
    """The bytes of memory that a process has."""
    pages = Path(f"/proc/{pid or os.getpid()}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
