"""A PACS for tests: Orthanc with its DICOMweb plugin on loopback, and studies to put into it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pydicom
from pydicom.uid import ComputedRadiographyImageStorage, generate_uid

from boneseg.bundle.shipped import sample_films
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.requirements import ORTHANC, ORTHANC_PLUGIN

USER, PASSWORD = "radiology", "a-password-of-tests"


class Orthanc:
    """One Orthanc, which can be killed and started again with what it holds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.dicom_port = folder, free_port(), free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.web = f"{self.root}/dicom-web"
        self.netrc = folder / "netrc"
        self.netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
        self.netrc.chmod(0o600)
        self.process: subprocess.Popen[bytes] | None = None
        settings = {
            "Name": "TEST",
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "Plugins": [str(ORTHANC_PLUGIN)],
            "HttpPort": self.port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        words = [str(ORTHANC), str(self.folder / "orthanc.json")]
        self.process = subprocess.Popen(words, stdout=log, stderr=log)
        for _ in range(600):
            with suppress(httpx.TransportError):
                if self.get("/system").status_code == 200:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)
        raise AssertionError("Orthanc does not answer")

    def kill(self, how: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
        self.process = None

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.root + path, auth=(USER, PASSWORD), timeout=30)

    def put(self, path: Path) -> None:
        body = path.read_bytes()
        answer = httpx.post(f"{self.root}/instances", content=body, auth=(USER, PASSWORD))
        assert answer.status_code == 200

    def segmentations(self) -> list[pydicom.Dataset]:
        """Every DICOM Segmentation that it holds."""
        found = []
        for name in self.get("/instances").json():
            if self.get(f"/instances/{name}/metadata/SopClassUid").text.startswith(
                "1.2.840.10008.5.1.4.1.1.66.4"
            ):
                body = self.get(f"/instances/{name}/file").content
                found.append(pydicom.dcmread(pydicom.filebase.DicomBytesIO(body)))
        return found


@contextmanager
def running(folder: Path) -> Iterator[Orthanc]:
    server = Orthanc(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def study(folder: Path, count: int, **more: object) -> list[Path]:
    """A study of so many films: real ones where the data is there, else the samples that ship."""
    folder.mkdir(parents=True, exist_ok=True)
    uid, series, paths = generate_uid(), generate_uid(), []
    real = sorted((films.DATA / "dicom").glob("*.dcm"))
    samples = sorted(sample_films().glob("*.png"))
    for number in range(count):
        path = folder / f"{number:02}.dcm"
        if real:
            dataset = pydicom.dcmread(real[number % len(real)])
        else:
            pixels = read_radiograph(samples[number % len(samples)]).pixels
            dataset = pydicom.dcmread(films.dicom(path, np.rint(pixels * 255).astype(np.uint8)))
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = (
            ComputedRadiographyImageStorage
        )
        dataset.Modality, dataset.InstanceNumber = "CR", number + 1
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, series
        dataset.SOPInstanceUID = generate_uid()
        dataset.PatientID, dataset.PatientName = "TEST", "Test"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword, value in more.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
