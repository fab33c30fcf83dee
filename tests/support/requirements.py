"""Requirements of tests on the machine; tests/conftest.py skips those for which it is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
ORTHANC_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
STORESCU, ECHOSCU = shutil.which("storescu"), shutil.which("echoscu")
POSTGRES = next((path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)

needs_browser = pytest.mark.browser
needs_gpu = pytest.mark.gpu
needs_orthanc = pytest.mark.pacs("orthanc")
needs_dcmtk = pytest.mark.pacs("dcmtk")
needs_postgres = pytest.mark.skipif(POSTGRES is None, reason="needs Debian's postgresql")


def missing(mark: pytest.Mark) -> str | None:
    """What this machine lacks for a test with this mark; None where it lacks nothing."""
    if mark.name == "browser" and CHROMIUM is None:
        return "needs Debian's chromium"
    if mark.name == "gpu" and not _has_cuda():
        return "needs a CUDA GPU"
    if mark.name == "pacs" and "orthanc" in mark.args and not (ORTHANC and ORTHANC_PLUGIN.exists()):
        return "needs Debian's orthanc and orthanc-dicomweb"
    if mark.name == "pacs" and "dcmtk" in mark.args and not (STORESCU and ECHOSCU):
        return "needs Debian's dcmtk"
    return None


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
