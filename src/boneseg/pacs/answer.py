"""A film that came over the network, and the DICOM Segmentation that goes back."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydicom.dataset import Dataset

from boneseg.engine import Engine
from boneseg.errors import BonesegError, RadiographError
from boneseg.patients import gives_away
from boneseg.radiograph import read_radiograph
from boneseg.writers.dicom_seg import dicom_seg, read_source


def answer(path: Path, engine: Engine, name: str) -> Dataset:
    """The DICOM Segmentation of a film of one frame; `name` is what errors call it.

    Raises BonesegError where the file is no radiograph, or cannot be segmented.
    """
    try:
        film = read_radiograph(path, keep_names=True)
        finding = engine.find(film)
        return dicom_seg(read_source(path), finding, engine.bundle.card, name=name)
    except MemoryError:
        raise RadiographError(f"{name}: is too large for the memory; reduce it") from None
    except BonesegError as error:
        error.args = (str(error).replace(str(path), name),)
        raise
    except Exception as error:  # a service lives on, whatever a film does to a library
        raise RadiographError(
            f"{name}: no segmentation can be made of it ({type(error).__name__}); try boneseg "
            "segment on it"
        ) from None


def called(uid: str, path: Path) -> str:
    """What messages call a film: its UID, or a hash of it where that tells whose film it is."""
    return hashed("film", uid) if gives_away(uid, path) else f"film {uid}"


def hashed(kind: str, uid: str) -> str:
    """What messages call an object whose UID may tell whose it is."""
    return f"{kind} {hashlib.sha256(uid.encode()).hexdigest()[:12]}"
