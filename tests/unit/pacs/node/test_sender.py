"""Segmentations are sent until the archive has them."""

from __future__ import annotations

import pydicom
import pytest
from pynetdicom import AE, evt

from boneseg.pacs.identifiers import film_name
from boneseg.pacs.node.node import Node
from boneseg.pacs.node.peer import Peer
from boneseg.pacs.node.spool import Spool
from tests.support import films
from tests.support.node import until


@pytest.mark.parametrize(
    ("statuses", "words", "left"),
    [
        ([0x0000], "has accepted its segmentation", []),
        ([0xB000], "has accepted its segmentation", []),  # a warning: it is stored
        ([0xA700, 0x0000], "is out of resources; trying again in 1 s", []),
        ([0xC000], "rejected its segmentation (C000H)", ["failed"]),
    ],
)
def test_every_response_of_an_archive_is_handled(tmp_path, engine, lines, statuses, words, left):
    answers = iter(statuses)
    entity = AE("ARCHIVE")
    entity.add_supported_context(pydicom.uid.SegmentationStorage)
    handlers = [(evt.EVT_C_STORE, lambda event: next(answers))]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    to = Peer("ARCHIVE", "127.0.0.1", server.server_address[1])
    film = films.dicom(
        tmp_path / "a.dcm", films.bone(), StudyInstanceUID="1.2", SeriesInstanceUID="1.2.3"
    )
    spool = Spool(tmp_path / "spool", 9)
    spool.put("films", "1.2.3.4", [film.read_bytes()])
    try:
        with Node(spool, engine, to).running("127.0.0.1", 0):
            until(lambda: spool.count() == 0)
    finally:
        server.shutdown()
    assert next(answers, None) is None
    assert any(words in line for line in lines)
    sent = film_name(str(pydicom.dcmread(film).SOPInstanceUID))
    assert any(sent in line and "its segmentation" in line for line in lines)
    kept = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert [path.parent.name for path in kept] == left
