"""DICOM lookup tables (Modality LUT, VOI LUT: PS3.3 C.11.1.1 and C.11.2.1.1).

table = lookup_table(item)            # None if the item has no readable table
entries = table.map(values)           # uint16, 0 to table.top
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from boneseg.radiograph.dicom.header import is_little_endian, items_of, numbers_of, value_of
from boneseg.radiograph.greyscale import DEPTHS, Values, blocks


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A table of a LUT sequence.

    entries: uint16, at least one.
    first: the first mapped value as in the file: 16 bits, signed or unsigned.
    top: the full scale of the entries, 2^bits - 1.
    """

    entries: NDArray[np.uint16]
    first: int
    top: int

    def map(self, values: Values) -> NDArray[np.uint16]:
        """Map values (any numeric type and shape); values beyond the table get its end entries."""
        first, last = self._start(values), len(self.entries) - 1
        mapped = np.empty(values.shape, np.uint16)
        for rows in blocks(values):
            places = np.rint(values[rows].astype(np.float64)) - first
            mapped[rows] = self.entries[np.clip(places, 0, last, out=places).astype(np.int32)]
        return mapped

    def _start(self, values: Values) -> int:
        """The first mapped value, read as signed or unsigned like the values, whatever its VR.

        The other reading is used if this one puts the whole table outside the values.
        """
        low, high = float(values.min()), float(values.max())
        unsigned = self.first & 0xFFFF
        signed = unsigned - 0x10000 if unsigned & 0x8000 else unsigned
        starts = (signed, unsigned) if low < 0 else (unsigned, signed)
        met = (start for start in starts if start <= high and low < start + len(self.entries))
        return next(met, starts[0])


def first_table(dataset: Dataset, keyword: str) -> LookupTable | None:
    """The first usable table of a LUT sequence, or None."""
    tables = (lookup_table(item, dataset) for item in items_of(dataset, keyword))
    return next((table for table in tables if table is not None), None)


def palette_colours(indices: NDArray[np.integer], dataset: Dataset) -> NDArray[np.integer] | None:
    """Map palette indices to RGB (height x width x 3, uint8 or uint16); None if unreadable."""
    names = [f"{band}PaletteColorLookupTable" for band in ("Red", "Green", "Blue")]
    tables = [lookup_table(dataset, dataset, name) for name in names]
    if None not in tables:
        known = [table for table in tables if table is not None]
        dtype = np.uint8 if all(table.top <= 0xFF for table in known) else np.uint16
        return np.stack([table.map(indices).astype(dtype) for table in known], -1)
    if f"Segmented{names[0]}Data" in dataset:
        with suppress(Exception):  # pydicom expands segmented tables (C.7.9.2)
            colours: NDArray[np.integer] = apply_color_lut(indices, dataset)[..., :3]
            return colours
    return None


def lookup_table(item: Dataset, dataset: Dataset, name: str = "LUT") -> LookupTable | None:
    """Read the table of a LUT sequence item, or of a palette channel (`name`: keyword prefix).

    `dataset` provides the byte order of the file.

    The number of bits in the descriptor determines how the data are read. A table shorter than
    the descriptor says is accepted; a longer one is cut. Descriptors often claim 16 bits whatever
    the entries have: then, and if entries exceed the claimed depth, the full scale is that of the
    smallest usual depth that fits the entries.
    """
    descriptor = numbers_of(item, f"{name}Descriptor")
    if len(descriptor) != 3:
        return None
    count, first, bits = (int(number) for number in descriptor)
    count = (count & 0xFFFF) or 0x10000  # 0 means 65,536 (C.11.1.1)
    entries = _entries(value_of(item, f"{name}Data"), count, bits, is_little_endian(dataset))
    if entries.size == 0:
        return None
    largest = int(entries.max())
    fits = 8 <= bits < 16 and largest < 1 << bits
    depth = bits if fits else next(depth for depth in DEPTHS if largest < 1 << depth)
    return LookupTable(entries, first, (1 << depth) - 1)


def _entries(data: object, count: int, bits: int, little: bool) -> NDArray[np.uint16]:
    """The entries of a table: 16-bit words, or bytes packed two to a word, low byte first."""
    if isinstance(data, bytes):
        data += bytes(len(data) % 2)
        words = np.frombuffer(data, "<u2" if little else ">u2").astype(np.uint16)
    else:
        try:
            words = np.atleast_1d(np.asarray(data, np.int64)).astype(np.uint16)
        except (TypeError, ValueError, OverflowError):  # text, or nothing
            return np.zeros(0, np.uint16)
    if bits <= 8 and len(words) < 0.75 * count and (words > 0xFF).any():
        words = words.astype("<u2").view(np.uint8).astype(np.uint16)
    return words[:count]
