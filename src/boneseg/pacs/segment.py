"""The DICOM Segmentation of a film received over the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from boneseg.errors import BonesegError, RadiographError
from boneseg.inference.engine import Engine
from boneseg.masks.formats.dicom_seg.source import read_source
from boneseg.masks.formats.dicom_seg.write import dicom_seg
from boneseg.masks.verdict import Verdict
from boneseg.radiograph.read import read_radiograph


@dataclass(frozen=True)
class Segmented:
    """The DICOM Segmentation of a film, and the verdict on it."""

    dataset: Dataset
    verdict: Verdict


def segment(path: Path, engine: Engine, name: str) -> Segmented:
    """The DICOM Segmentation of a single-frame film; `name` identifies it in errors.

    Raises BonesegError where the file is not a radiograph or cannot be segmented.
    """
    try:
        film = read_radiograph(path, keep_names=True)
        finding = engine.find(film)
        found = engine.segmentation(film, finding, name)
        return Segmented(dicom_seg(read_source(path), found), finding.verdict)
    except MemoryError:
        raise RadiographError(f"{name}: does not fit into memory; reduce it") from None
    except BonesegError as error:
        error.args = (str(error).replace(str(path), name),)
        raise
    except Exception as error:  # a film must not stop the service, whatever a library raises
        raise RadiographError(
            f"{name}: segmentation failed ({type(error).__name__}); try boneseg segment on the file"
        ) from None
