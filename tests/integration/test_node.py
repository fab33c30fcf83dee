"""A node between a modality and an archive: nothing is lost."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager

import pydicom
import pytest

from boneseg.masks.formats.dicom_seg.write import segmentation_uid
from boneseg.pacs.node.node import Node
from boneseg.pacs.node.peer import Peer
from boneseg.pacs.node.spool import Spool
from tests.support import orthanc
from tests.support.node import BONESEG, echo, send, until
from tests.support.requirements import needs_dcmtk, needs_orthanc


def archive(server) -> Peer:
    return Peer("ORTHANC", "127.0.0.1", server.dicom_port)


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
    return sum(": segmented" in line for line in lines)


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


@pytest.mark.slow
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
