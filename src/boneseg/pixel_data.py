"""The pixel data of a DICOM film as numbers, whatever they are packed in (PS3.5, section 8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGExtended12Bit

from boneseg.errors import RadiographError


def decode(dataset: FileDataset, index: int, source: Path, path: Path) -> NDArray[Any]:
    """The stored values of one frame: height x width, or height x width x 3 (RGB).

    source: where its bytes are; path: what the film is called. Raises RadiographError.
    """
    try:
        if dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit and dataset.BitsStored > 8:
            return _decode_extended(dataset, index, source)
        stored = _left_justified(dataset, index)
        if stored is None:
            stored = pixel_array(dataset, index=index)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            stored = apply_color_lut(stored, dataset)[..., :3]
        return stored
    except MemoryError:
        raise
    except Exception:
        syntax = dataset.file_meta.TransferSyntaxUID
        name = syntax.name if syntax.is_transfer_syntax else "unknown transfer syntax"
        raise RadiographError(
            f"{path}: its image cannot be decoded ({name}), or is cut short; export it again, "
            "uncompressed"
        ) from None


def _left_justified(dataset: Dataset, index: int) -> NDArray[Any] | None:
    """The stored values where they fill their words from the top (High Bit), else None.

    pydicom takes the low bits whatever High Bit says. Some files say so and mean it not: their low
    bits are not empty.
    """
    bits, top = int(dataset.BitsStored), int(dataset.get("HighBit") or 0) + 1
    if not bits < top <= int(dataset.BitsAllocated):
        return None
    dataset.BitsStored = top
    try:
        filled = pixel_array(dataset, index=index)
    finally:
        dataset.BitsStored = bits
    below = top - bits
    return None if (filled & ((1 << below) - 1)).any() else filled >> below


def _decode_extended(dataset: Dataset, index: int, path: Path) -> NDArray[Any]:
    """JPEG of 12 bits: GDCM can, but pydicom does not let it (pydicom 3.0)."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise ValueError
    decoded = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    dtype = np.int16 if dataset.PixelRepresentation else np.uint16
    frames = np.frombuffer(decoded, dtype).reshape(-1, dataset.Rows, dataset.Columns)
    return np.asarray(frames[index])
