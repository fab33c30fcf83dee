"""The DICOM Segmentation of a film received over the network."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydicom.dataset import Dataset

from boneseg.errors import BonesegError, RadiographError
from boneseg.inference.engine import Engine
from boneseg.masks.formats.dicom_seg.write import dicom_seg, read_source
from boneseg.radiograph.privacy import gives_away
from boneseg.radiograph.read import read_radiograph


def answer(path: Path, engine: Engine, name: str) -> Dataset:
    """The DICOM Segmentation of a single-frame film; `name` identifies it in errors.

    Raises BonesegError where the file is not a radiograph or cannot be segmented.
    """
    try:
        film = read_radiograph(path, keep_names=True)
        found = engine.segmentation(film, engine.find(film), name)
        return dicom_seg(read_source(path), found)
    except MemoryError:
        raise RadiographError(f"{name}: does not fit into memory; reduce it") from None
    except BonesegError as error:
        error.args = (str(error).replace(str(path), name),)
        raise
    except Exception as error:  # a film must not stop the service, whatever a library raises
        raise RadiographError(
            f"{name}: segmentation failed ({type(error).__name__}); try boneseg segment on the file"
        ) from None


def is_uid(text: str) -> bool:
    """Whether a text is a valid UID, and so safe as part of a URL."""
    return re.fullmatch(r"(?=.{1,64}$)\d+(\.\d+)+", text, re.ASCII) is not None


def public_uid(uid: str, path: Path) -> str | None:
    """A film's UID, None where it is invalid or contains patient data from the file."""
    return uid if is_uid(uid) and not gives_away(uid, path) else None


def label(name: str, uid: str | None) -> str:
    """A film's name in messages, with its UID where that may be shown."""
    return f"{name} ({uid})" if uid else name


def hashed(kind: str, uid: str) -> str:
    """The name of an object in logs and JSON: its kind and a hash of its UID."""
    return f"{kind} {digest(uid)}"


def digest(uid: str) -> str:
    """A hash of a UID, which may itself identify the patient."""
    return hashlib.sha256(uid.encode()).hexdigest()[:12]
