"""Calls every verb of the command line on tiny inputs; only loopback is needed.

    python -m tests.support.every_verb FOLDER

Prints the verbs that were called. Services are processes of their own, and are asked to segment a
film; their peers are in this process. Ends with an error at the first verb that fails.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import httpx
import pydicom
from pydicom.uid import SegmentationStorage
from pynetdicom import AE, evt

from boneseg._util import runtime
from boneseg.bundle.shipped import sample_films
from boneseg.cli import call
from boneseg.cli.verbs import VERBS
from tests.support import exporter, films, lightbox, orthanc, webpacs

TINY = (
    *("prepare.height=32", "prepare.width=32", "network.widths=[2, 4]", "network.stem=1"),
    *("run.epochs=1", "run.batch=2"),
)
IFF_UP, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x1, 0x8913, 0x8914  # of Linux: netdevice(7)


def set_loopback_up() -> None:
    """In a network namespace of one's own loopback is down at first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(struct.pack("16sH22x", b"lo", 0))
        fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("H", request, 16)
        struct.pack_into("H", request, 16, flags | IFF_UP)
        with suppress(PermissionError):  # in the namespace of the machine it is up
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


def calls(folder: Path) -> Iterator[list[str]]:
    """The words of a call of each verb that ends by itself."""
    data = folder / "data"
    settings = [word for setting in TINY for word in ("--set", setting)]
    folds = ["--folds", "2"]
    yield ["simulate", "--out", data, "--count", "6", "--size", "64"]
    yield ["check", data]
    yield ["recipes"]
    yield ["train", data, "--out", folder / "train", *settings]
    yield ["segment", sample_films() / "hand.png", "--out", folder / "masks"]
    yield ["evaluate", data, "--model", folder / "train"]
    yield ["convert", data, "--to", "coco", "--out", folder / "coco"]
    yield ["crossval", data, "--out", folder / "crossval", *settings, *folds]
    yield ["compare", data, "fast", "default", "--out", folder / "compare", *settings, *folds]
    yield ["tune", data, "--out", folder / "tune", *settings, "--trials", "1"]
    yield ["demo", "--out", folder / "demo", "--minutes", "0.001"]


def segment_beside_pacs(folder: Path) -> None:
    """`pacs` segments the film of a DICOMweb server."""
    film = film_file(folder / "pacs.dcm")
    uid = str(pydicom.dcmread(film).SOPInstanceUID)
    with webpacs.serving({uid: film.read_bytes()}) as pacs:
        words = ["pacs", pacs.url, "--study", webpacs.STUDY]
        subprocess.run([*lightbox.COMMAND, *words], check=True)
        assert pacs.stored == 1


def serve(folder: Path) -> None:
    """The light box segments a film."""
    (folder / "box").mkdir()
    with lightbox.served("--data", folder / "box") as address:
        assert httpx.get(f"{address}livez").status_code == 200
        sent = {"file": ("foot.png", lightbox.FOOT.read_bytes())}
        answer = httpx.post(f"{address}api/segment", files=sent, timeout=60)
        assert answer.status_code == 200, answer.text


def run_node(folder: Path) -> None:
    """`node` receives a film from a modality and sends its segmentation to an archive."""
    film, port = film_file(folder / "node.dcm"), orthanc.free_port()
    with archive() as (there, stored):
        words = ["node", "--port", str(port), "--to", f"ARCHIVE@127.0.0.1:{there}"]
        words += ["--spool", str(folder / "spool")]
        call = [*lightbox.COMMAND, *words]
        with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as node:
            assert node.stderr is not None
            try:
                next(line for line in node.stderr if str(port) in line)
                threading.Thread(target=node.stderr.read, daemon=True).start()
                send(film, port)
                assert stored.wait(60)
            finally:
                node.terminate()
                node.wait(30)


@contextmanager
def archive() -> Iterator[tuple[int, threading.Event]]:
    """The port of an archive, and what is set when it has stored a segmentation."""
    stored = threading.Event()

    def store(_: evt.Event) -> int:
        stored.set()
        return 0

    entity = AE("ARCHIVE")
    entity.add_supported_context(SegmentationStorage)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    try:
        yield server.server_address[1], stored
    finally:
        server.shutdown()


def send(film: Path, port: int) -> None:
    dataset = pydicom.dcmread(film)
    entity = AE("MODALITY")
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title="BONESEG")
    assert association.is_established
    assert association.send_c_store(dataset).Status == 0
    association.release()


def film_file(path: Path) -> Path:
    study = {"StudyInstanceUID": webpacs.STUDY, "SeriesInstanceUID": webpacs.SERIES}
    return films.dicom(path, films.bone(), **study)


SERVICES = {"serve": serve, "pacs": segment_beside_pacs, "node": run_node}


def main() -> None:
    folder = Path(sys.argv[1])
    set_loopback_up()
    runtime.start()
    exporter.make_quicker()
    called = []
    for words in calls(folder):
        small = patch.multiple("boneseg.cli.demo", EVALUATED=3, TRAINED=4)
        with redirect_stdout(StringIO()), small:
            assert call([*map(str, words)]) == 0, words
        called.append(words[0])
    for verb, run in SERVICES.items():
        run(folder)
        called.append(verb)
    assert set(called) == set(VERBS)
    print(*called)


if __name__ == "__main__":
    main()
