"""Senders and archives for a DICOM node."""

from __future__ import annotations

import subprocess
import sys
import time

from boneseg.pacs.node.peer import Peer
from tests.support import orthanc
from tests.support.requirements import ECHOSCU, STORESCU

BONESEG = (sys.executable, "-c", "from boneseg.cli import main; main()")


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
