"""Films are received whole or not at all."""

from __future__ import annotations

import pydicom
from pynetdicom import AE

from boneseg.pacs.node.node import Node
from boneseg.pacs.node.spool import Spool
from tests.support import films
from tests.support.node import nobody, send, until
from tests.support.requirements import needs_dcmtk


@needs_dcmtk
def test_a_full_spool_and_an_oversized_film_are_refused(tmp_path, engine, lines):
    small, large = films_of_two_sizes(tmp_path)
    spool = Spool(tmp_path / "spool", 1)
    spool.put("answers", "1.2.3", [b"waits"])
    node = Node(spool, engine, nobody(), max_bytes=100_000)
    with node.running("127.0.0.1", 0) as port:
        assert send(port, small) != 0
        assert any("the spool is full (1 films)" in line for line in lines)
        spool.done(spool.next("answers"))
        assert send(port, large) != 0
        assert send(port, small) == 0
    assert any("film rejected" in line for line in lines)


def offer(port, path):
    """Send a film; the status that is answered, None where the association is ended."""
    film = pydicom.dcmread(path)
    entity = AE("MODALITY")
    entity.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
    link = entity.associate("127.0.0.1", port, ae_title="BONESEG")
    assert link.is_established
    status = link.send_c_store(film).get("Status")
    link.release()
    return status


def test_an_incomplete_film_leaves_nothing(tmp_path, engine, lines):
    small, large = films_of_two_sizes(tmp_path)
    spool = Spool(tmp_path / "spool", 9)
    coming = spool.coming
    node = Node(spool, engine, nobody(), max_bytes=100_000)
    with node.running("127.0.0.1", 0) as port:
        assert offer(port, large) is None
        until(lambda: not list(coming.iterdir()))
        assert offer(port, small) == 0


def test_a_film_without_disk_space_is_rejected_and_the_next_accepted(
    tmp_path, engine, lines, monkeypatch
):
    _, film = films_of_two_sizes(tmp_path)
    spool = Spool(tmp_path / "spool", 9)
    coming = spool.coming
    node = Node(spool, engine, nobody())
    with node.running("127.0.0.1", 0) as port:
        with monkeypatch.context() as full:
            full.setattr("boneseg.pacs.node.receiver.LEAST_FREE", 1 << 62)
            assert offer(port, film) is None
        until(lambda: not list(coming.iterdir()))
        assert f"film rejected: no space left in {coming}; free space there" in lines
        assert offer(port, film) == 0


def test_a_partial_film_of_a_killed_node_is_removed_at_the_next_start(
    tmp_path, engine, monkeypatch
):
    small, _ = films_of_two_sizes(tmp_path)
    spool, left = Spool(tmp_path / "spool", 9), []
    node = Node(spool, engine, nobody())
    monkeypatch.setattr(node._receiver, "store", lambda event: left.append(event.dataset_path) or 0)
    monkeypatch.setattr("os.unlink", lambda *_, **__: None)  # pynetdicom's last step: it is killed
    with node.running("127.0.0.1", 0) as port:
        assert offer(port, small) == 0
    monkeypatch.undo()
    assert left[0].parent == spool.coming and left[0].exists()
    Spool(tmp_path / "spool", 9)
    assert not left[0].exists()


def films_of_two_sizes(folder):
    small = films.dicom(folder / "small.dcm", films.bone(64, 64))
    large = films.dicom(folder / "large.dcm", films.bone(400, 400))
    return small, large
