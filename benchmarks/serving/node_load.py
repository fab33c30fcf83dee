"""Good, bad, slow and aborted clients of a DICOM node, and the archive that it sends to.

    with archive() as kept, node(folder, kept.port) as (port, process):
        threads = [GoodSender(port, tally), BadSender(port, tally, seed=0)]

Used by `soak.py`. Only loopback and the folder given are touched.
"""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    generate_uid,
)
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode
from pynetdicom.events import Event

from benchmarks.serving.hostile_load import compressed
from boneseg.bundle.shipped import sample_films

NODE = [sys.executable, "-c", "from boneseg.cli import main; main()", "node", "--port", "0"]
SYNTAXES = (ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless)
SIDE = 300  # px of a good film
QUEUED = 10  # films on their way, above which a modality waits
HELD = 10  # connections that a slow client holds
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
MIB = 2**20


@dataclass
class NodeTally:
    """What happened so far; shared by the threads."""

    accepted: set[str] = field(default_factory=set)  # UIDs of good films
    answered: set[str] = field(default_factory=set)  # UIDs of the films of segmentations
    busy: int = 0  # good films that were told to come again
    attacks: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def archive(tally: NodeTally, rng: random.Random) -> Iterator[int]:
    """The port of a node that keeps nothing, and is sometimes slow or out of resources."""

    def store(event: Event) -> int:
        found = event.dataset
        if rng.random() < 0.05:
            time.sleep(2)
        if rng.random() < 0.02:
            return 0xA700
        with tally.lock:
            for series in found.ReferencedSeriesSequence:
                for instance in series.ReferencedInstanceSequence:
                    tally.answered.add(str(instance.ReferencedSOPInstanceUID))
        return 0

    entity = AE("ARCHIVE")
    entity.add_supported_context(SEGMENTATION)
    handlers = [(evt.EVT_C_STORE, store)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


@contextmanager
def node(
    folder: Path, to: int, env: dict[str, str]
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port of a node on a folder, and its process; its log goes to a file there."""
    folder.mkdir(parents=True)
    log = folder / "log.txt"
    words = [*NODE, "--to", f"ARCHIVE@127.0.0.1:{to}", "--spool", str(folder / "spool")]
    with log.open("wb") as lines:
        running = subprocess.Popen(words, stderr=lines, env=env)
    try:
        while "listens on" not in log.read_text():
            if running.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        address = log.read_text().partition("listens on ")[2].split(";")[0]
        yield int(address.rpartition(":")[2]), running
    finally:
        running.terminate()
        running.wait(90)


class GoodSender:
    """A modality that sends a film every few seconds, and again where it is told to."""

    def __init__(self, port: int, tally: NodeTally, seed: int, pause: float = 3.0) -> None:
        self.port, self.tally, self.pause = port, tally, pause
        self.random, self.stop = random.Random(seed), threading.Event()
        films = [Image.open(sample_films() / f"{name}.png") for name in ("hand", "knee")]
        for film in films:
            film.thumbnail((SIDE, SIDE))
        self.films = [np.asarray(film.convert("L")) for film in films]

    def run(self) -> None:
        while not self.stop.wait(self.pause):
            if len(self.tally.accepted - self.tally.answered) > QUEUED:
                continue
            film = good_film(self.random.choice(self.films), self.random.choice(SYNTAXES))
            try:
                self._send(film)
            except Exception as error:
                self.tally.failed.append(f"good sender: {type(error).__name__}: {error}")

    def _send(self, film: Dataset) -> None:
        entity = AE("MODALITY")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 90
        entity.add_requested_context(
            DigitalXRayImageStorageForPresentation, film.file_meta.TransferSyntaxUID
        )
        uid = str(film.SOPInstanceUID)
        for _ in range(20):
            link = entity.associate("127.0.0.1", self.port, ae_title="BONESEG")
            if link.is_established:
                status = link.send_c_store(film)
                link.release()
                if getattr(status, "Status", None) == 0:
                    self.tally.accepted.add(uid)
                    return
                if getattr(status, "Status", None) != 0xA700:
                    raise RuntimeError(f"C-STORE ended with {status or 'no status'}")
            self.tally.busy += 1
            if self.stop.wait(2):
                return
        raise RuntimeError("refused twenty times")


class BadSender:
    """One thread's share of what a node must withstand."""

    def __init__(self, port: int, tally: NodeTally, seed: int, pause: float = 0.5) -> None:
        self.port, self.tally, self.pause = port, tally, pause
        self.random, self.stop = random.Random(seed), threading.Event()
        self.request = association_request()
        self.attacks: list[Callable[[], None]] = [
            self.noise,
            self.huge_pdu,
            self.slow_request,
            self.silent,
            self.bad_film,
            self.bad_film,
            self.half_a_film,
            self.half_a_film,
            self.idle_association,
            self.unknown_pdu,
            self.endless_command,
        ]

    def run(self) -> None:
        while not self.stop.wait(self.random.uniform(0, 2 * self.pause)):
            attack = self.random.choice(self.attacks)
            with suppress(OSError):  # refused, reset, or closed: as it should be
                attack()
            with self.tally.lock:
                self.tally.attacks[attack.__name__] += 1

    def connect(self) -> socket.socket:
        line = socket.create_connection(("127.0.0.1", self.port), 30)
        line.settimeout(10)
        return line

    def associated(self) -> socket.socket:
        """A connection with an association."""
        line = self.connect()
        line.sendall(self.request)
        if line.recv(65536)[:1] != b"\x02":  # A-ASSOCIATE-AC
            line.close()
            raise OSError("rejected")
        return line

    def end(self, line: socket.socket) -> None:
        """Close in one of three ways: A-ABORT, FIN or RST."""
        how = self.random.randrange(3)
        with suppress(OSError):
            if how == 0:
                line.sendall(b"\x07\0\0\0\0\x04\0\0\0\0")
            elif how == 1:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()

    def noise(self) -> None:
        with closing(self.connect()) as line:
            line.sendall(
                self.random.choice((self.random.randbytes(2000), b"GET / HTTP/1.1\r\n\r\n"))
            )
            line.recv(100)

    def huge_pdu(self) -> None:
        with closing(self.connect()) as line:
            line.sendall(struct.pack(">BBI", 1, 0, self.random.choice((2**20, 2**31, 2**32 - 1))))
            line.sendall(bytes(100_000))
            line.recv(100)

    def slow_request(self) -> None:
        lines = [self.connect() for _ in range(HELD)]
        try:
            for byte in self.request[:20]:
                for line in lines:
                    with suppress(OSError):
                        line.send(bytes([byte]))
                if self.stop.wait(0.5):
                    break
        finally:
            for line in lines:
                self.end(line)

    def silent(self) -> None:
        lines = [self.connect() for _ in range(HELD)]
        self.stop.wait(self.random.uniform(0, 8))
        for line in lines:
            self.end(line)

    def bad_film(self) -> None:
        """A film whose header or compressed image is damaged, sent as it should be."""
        film = compressed(self.random.randbytes(3000), self.random)
        if self.random.random() < 0.5:
            film = film[:132] + film[132 : self.random.randrange(300, len(film))]
        with closing(self.associated()) as line:
            line.sendall(store_command(generate_uid()) + presentation(film[132:], last=True))
            line.recv(1000)
            self.end(line)

    def half_a_film(self) -> None:
        line = self.associated()
        line.sendall(store_command(generate_uid()))
        for _ in range(self.random.randrange(200)):
            line.sendall(presentation(bytes(16_000), last=False))
        self.end(line)

    def idle_association(self) -> None:
        line = self.associated()
        self.stop.wait(self.random.uniform(0, 40))
        self.end(line)

    def unknown_pdu(self) -> None:
        with closing(self.associated()) as line:
            line.sendall(struct.pack(">BBI", self.random.randrange(8, 256), 0, 50) + bytes(50))
            line.recv(100)

    def endless_command(self) -> None:
        with closing(self.associated()) as line:
            part = presentation(bytes(16_000), last=False, command=True)
            for _ in range(500):
                line.sendall(part)


def good_film(pixels: np.ndarray, syntax: str) -> Dataset:
    """A film of 8 bits with a UID of its own."""
    film = Dataset()
    film.SOPClassUID, film.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    film.StudyInstanceUID, film.SeriesInstanceUID = generate_uid(), generate_uid()
    film.PatientName, film.PatientID, film.Modality = "Test^Soak", "1", "DX"
    film.PhotometricInterpretation, film.PresentationLUTShape = "MONOCHROME2", "IDENTITY"
    film.PixelIntensityRelationshipSign, film.SamplesPerPixel = 1, 1
    film.Rows, film.Columns = pixels.shape
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 8, 8, 7, 0
    film.PixelData = pixels.tobytes()
    if syntax == JPEG2000Lossless:
        film.PixelData = encapsulate([imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True)])
    elif syntax == JPEGLSLossless:
        film.PixelData = encapsulate([imagecodecs.jpegls_encode(pixels)])
    film["PixelData"].VR = "OB"
    film["PixelData"].is_undefined_length = syntax != ExplicitVRLittleEndian
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = syntax
    written = io.BytesIO()
    film.save_as(written, enforce_file_format=True)
    return film


def association_request() -> bytes:
    """The A-ASSOCIATE-RQ of a modality (PS3.8 9.3.2), as pynetdicom sends it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        entity = AE("MODALITY")
        entity.acse_timeout = 5
        entity.add_requested_context(DigitalXRayImageStorageForPresentation, JPEG2000Lossless)
        port = listener.getsockname()[1]
        asking = threading.Thread(
            target=lambda: entity.associate("127.0.0.1", port, ae_title="BONESEG")
        )
        asking.start()
        line, _ = listener.accept()
        request = line.recv(65536)
        line.close()
        asking.join()
    return request


def store_command(uid: str) -> bytes:
    """The command of a C-STORE-RQ on the first presentation context (PS3.7 9.3.1)."""
    command = Dataset()
    command.AffectedSOPClassUID = DigitalXRayImageStorageForPresentation
    command.CommandField, command.MessageID, command.Priority = 1, 1, 2
    command.CommandDataSetType, command.AffectedSOPInstanceUID = 1, uid
    length = encode(command, True, True)
    command.CommandGroupLength = len(length or b"")
    return presentation(encode(command, True, True) or b"", last=True, command=True)


def presentation(content: bytes, *, last: bool, command: bool = False) -> bytes:
    """A P-DATA-TF of one value (PS3.8 9.3.5), on the first presentation context."""
    control = (1 if command else 0) | (2 if last else 0)
    value = struct.pack(">IBB", len(content) + 2, 1, control) + content
    return struct.pack(">BBI", 4, 0, len(value)) + value


def spooled(folder: Path) -> list[str]:
    """The files in a node's folder that are neither its log, its lock, nor set aside."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("log.txt", "lock") and path.parent.name != "failed"
    ]


def environment(temporary: Path) -> dict[str, str]:
    """The variables of a service whose temporary files are counted."""
    temporary.mkdir(parents=True, exist_ok=True)
    return {**os.environ, "TMPDIR": str(temporary)}
