"""A DICOM node: what it has accepted is answered, whoever goes away in the meantime."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pydicom
import pytest
from pynetdicom import AE, evt

from boneseg.errors import ServiceError, UsageError
from boneseg.masks.formats.dicom_seg.write import segmentation_uid
from boneseg.pacs.node.node import Node
from boneseg.pacs.node.peer import Peer, parse_peer, parse_title
from boneseg.pacs.node.spool import Spool
from tests.support import films, orthanc
from tests.support.requirements import ECHOSCU, STORESCU, needs_dcmtk, needs_orthanc

BONESEG = (sys.executable, "-c", "from boneseg.cli import main; main()")


def archive(server) -> Peer:
    return Peer("ORTHANC", "127.0.0.1", server.dicom_port)


def nobody() -> Peer:
    return Peer("NOBODY", "127.0.0.1", orthanc.free_port())


def send(port, *paths, calling="MODALITY", called="BONESEG"):
    """DCMTK's storescu; its exit status."""
    words = [STORESCU, "-aet", calling, "-aec", called]
    done = subprocess.run(
        [*words, "127.0.0.1", str(port), *map(str, paths)], capture_output=True, timeout=120
    )
    return done.returncode


def echo(port, calling="MODALITY", called="BONESEG"):
    words = [ECHOSCU, "-aet", calling, "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(words, capture_output=True, timeout=60).returncode


def until(true, seconds=60):
    for _ in range(10 * seconds):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def plain_study(folder, count, **more):
    """A study without compression, as storescu proposes by itself."""
    paths = orthanc.study(folder, count, **more)
    for path in paths:
        dataset = pydicom.dcmread(path)
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress(generate_instance_uid=False)
            dataset.save_as(path, enforce_file_format=True)
    return paths


def segmented(lines):
    return sum(line.endswith(": segmented") for line in lines)


def rename(path, uid):
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.save_as(path)


@needs_orthanc
@needs_dcmtk
def test_received_films_are_segmented_and_sent_to_the_archive(tmp_path, server, engine, lines):
    person = {"PatientName": "Quux^Mark", "PatientID": "ZQ77X", "AccessionNumber": "ZQ78X"}
    paths = plain_study(tmp_path / "films", 4, **person, PatientBirthDate="19321127")
    rename(paths[0], "1.2.19321127.4")  # a UID that tells, as those of some archives do
    node = Node(Spool(tmp_path / "spool", 9), engine, archive(server))
    with node.running("127.0.0.1", 0) as port:
        assert echo(port) == 0
        assert send(port, *paths) == 0
        until(lambda: len(server.segmentations()) == 4)
        until(lambda: node.spool.count() == 0)
        assert send(port, paths[0]) == 0  # sent twice, it is still one
        until(lambda: segmented(lines) == 5 and node.spool.count() == 0)
    wanted = {
        segmentation_uid(str(pydicom.dcmread(path).SOPInstanceUID), engine.bundle.card.model)
        for path in paths
    }
    found = server.segmentations()
    assert {str(one.SOPInstanceUID) for one in found} == wanted and len(found) == 4
    assert all(one.PatientName == "Quux^Mark" for one in found)
    assert not any(m in line for line in lines for m in ("Quux", "ZQ77X", "ZQ78X", "19321127"))
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]


@needs_dcmtk
def test_only_known_senders_are_accepted(tmp_path, engine):
    node = Node(Spool(tmp_path, 9), engine, nobody(), title="BONES", allow=["CT1", "MODALITY"])
    with node.running("127.0.0.1", 0) as port:
        assert echo(port, called="BONES") == 0
        assert echo(port, calling="STRANGER", called="BONES") != 0
        assert echo(port, called="OTHERS") != 0


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
        "is damaged, or is not a DICOM file" in line for line in lines
    )


@contextmanager
def command(tmp_path, server, port):
    words = [*BONESEG, "node", "--port", str(port), "--to", str(archive(server))]
    running = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: echo(port) == 0)
        yield running
    finally:
        running.kill()
        running.communicate()


@needs_orthanc
@needs_dcmtk
def test_nothing_is_lost_when_archive_and_node_are_killed(tmp_path, server, engine):
    paths = plain_study(tmp_path / "films", 6)
    port = orthanc.free_port()
    server.kill()
    with command(tmp_path, server, port) as node:
        assert send(port, *paths) == 0
        until(lambda: any((tmp_path / "spool" / "answers").glob("*.dcm")))
        node.send_signal(signal.SIGKILL)
        node.wait()
    server.start()
    with command(tmp_path, server, port) as node:
        until(lambda: len(server.segmentations()) == 6)
        node.send_signal(signal.SIGTERM)
        said = node.communicate(timeout=60)[1]
        assert node.returncode == 0
    assert "stopped; 0 queued in spool" in said and "Traceback" not in said
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in paths]
    found = sorted(str(one.SOPInstanceUID) for one in server.segmentations())
    assert found == sorted(segmentation_uid(uid, engine.bundle.card.model) for uid in uids)


def test_a_second_node_on_one_spool_is_refused_and_disturbs_nothing(tmp_path):
    words = [*BONESEG, "node", "--port", "0", "--to", "ARCHIVE@127.0.0.1:9"]
    coming = tmp_path / "spool" / "coming" / "film"
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as first:
        first.stderr.readline()  # it answers
        coming.write_bytes(b"half a film")
        second = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert coming.exists()
        first.send_signal(signal.SIGKILL)
    assert second.returncode == 1
    assert " ERROR " in second.stderr and second.stderr.endswith(
        "spool: is used by another node (BONESEG on 127.0.0.1:0); give another --spool\n"
    )
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as third:
        assert "listens on" in third.stderr.readline()  # a kill frees it
        third.kill()
    assert not coming.exists()


@pytest.mark.parametrize(
    ("statuses", "words", "left"),
    [
        ([0x0000], None, []),
        ([0xB000], None, []),  # a warning: it is stored
        ([0xA700, 0x0000], "is out of resources; trying again in 1 s", []),
        ([0xC000], "rejected a segmentation (C000H)", ["failed"]),
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
    assert words is None or any(words in line for line in lines)
    kept = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert [path.parent.name for path in kept] == left


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
        pytest.raises(ServiceError, match="cannot listen"),
        other.running("127.0.0.1", port),
    ):
        pass


def test_senders_must_be_named_if_other_machines_can_connect(tmp_path):
    words = [*BONESEG, "node", "--host", "0.0.0.0", "--to", "PACS@10.0.0.5:104"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--from AET" in done.stderr and not any(tmp_path.iterdir())
