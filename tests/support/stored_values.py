"""Films whose stored values a test gives one by one."""

from __future__ import annotations

import numpy as np
from pydicom.uid import (
    ExplicitVRLittleEndian,
)

from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.films import FULL

BONE = films.bone() / np.float32(4095)


SQUARE = [round(4095 * (k / 4095) ** 2) for k in range(4096)]


def pixels(path, stored=None, syntax=ExplicitVRLittleEndian, **elements):
    stored = films.bone() if stored is None else stored
    return read_radiograph(films.dicom(path / "a.dcm", stored, syntax, **elements)).pixels


def looked_up(entries, stored=None, first=0, top=4095):
    """What a table gives of stored values, its ends held beyond it."""
    stored = films.bone().astype(int) if stored is None else stored.astype(int)
    return np.asarray(entries)[np.clip(stored - first, 0, len(entries) - 1)] / top


def pixels_with(path, **more):
    return read_radiograph(films.dicom(path / "a.dcm", films.bone(), **(FULL | more))).pixels
