"""A DICOM node: every accepted film is segmented and sent, even if a process is killed."""

from __future__ import annotations

import hashlib
import subprocess

import pydicom
import pytest

from boneseg.errors import ServiceError, UsageError
from boneseg.pacs.node.node import Node
from boneseg.pacs.node.peer import Peer, parse_peer, parse_title
from boneseg.pacs.node.spool import Spool
from tests.support import films
from tests.support.node import BONESEG, echo, nobody, send, until
from tests.support.requirements import needs_dcmtk


@needs_dcmtk
def test_only_known_senders_are_accepted(tmp_path, engine):
    node = Node(Spool(tmp_path, 9), engine, nobody(), title="BONES", allow=["CT1", "MODALITY"])
    with node.running("127.0.0.1", 0) as port:
        assert echo(port, called="BONES") == 0
        assert echo(port, calling="STRANGER", called="BONES") != 0
        assert echo(port, called="OTHERS") != 0


@needs_dcmtk
def test_an_object_that_is_not_a_film_is_set_aside(tmp_path, engine, lines):
    bad = films.dicom(tmp_path / "bad.dcm", films.bone(), Modality="CT")
    spool = Spool(tmp_path / "spool", 9)
    node = Node(spool, engine, nobody())
    uid = str(pydicom.dcmread(bad).SOPInstanceUID)
    with node.running("127.0.0.1", 0) as port:
        assert send(port, bad) == 0
        until(lambda: spool.next("failed") is not None)
        spool.put("films", "1.2", [b"no DICOM at all"])
        until(lambda: len(list((tmp_path / "spool" / "failed").iterdir())) == 2)
    name = f"film {hashlib.sha256(uid.encode()).hexdigest()[:12]} ({uid}): is a CT slice"
    assert any(name in line for line in lines) and any(
        "is damaged or truncated, or is not a DICOM file" in line for line in lines
    )


@needs_dcmtk
def test_a_film_that_crashed_the_program_twice_is_set_aside(tmp_path, engine, lines):
    film, spool = films.dicom(tmp_path / "a.dcm", films.bone()), Spool(tmp_path / "spool", 9)
    path = spool.put("films", "1.2.3", [film.read_bytes()])
    assert [spool.begin(path) for _ in range(3)] == [1, 2, 3]
    with Node(spool, engine, nobody()).running("127.0.0.1", 0):
        until(lambda: spool.next("failed") is not None)
    assert any("crashed the program 2 times" in line for line in lines)
    assert [p.name for p in (tmp_path / "spool").rglob("*") if p.is_file()] == [path.name]


def test_addresses_and_titles_are_parsed():
    assert parse_peer("PACS@10.0.0.5:104") == Peer("PACS", "10.0.0.5", 104)
    assert parse_peer("MY PACS@[::1]:104") == Peer("MY PACS", "::1", 104)
    for wrong in ("PACS", "PACS@host", "PACS@host:0", "PACS@host:70000", "@host:104"):
        with pytest.raises(UsageError, match="AET@HOST:PORT"):
            parse_peer(wrong)
    for wrong in ("", " ", "LONGER THAN SIXTEEN", "A\\B"):
        with pytest.raises(UsageError, match="not an AE title"):
            parse_title(wrong)


def test_an_address_in_use_is_reported(tmp_path, engine):
    node = Node(Spool(tmp_path, 1), engine, nobody())
    other = Node(Spool(tmp_path, 1), engine, nobody())
    with (
        node.running("127.0.0.1", 0) as port,
        pytest.raises(ServiceError, match=r"cannot listen .* choose another --port"),
        other.running("127.0.0.1", port),
    ):
        pass


def test_senders_must_be_named_if_other_machines_can_connect(tmp_path):
    words = [*BONESEG, "node", "--host", "0.0.0.0", "--to", "PACS@10.0.0.5:104"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--from AET" in done.stderr and not any(tmp_path.iterdir())
