"""Decode the pixel data of a DICOM film, compressed or not (PS3.5, section 8).

Uncompressed pixels are read here. A compressed frame is first compared with the header
(`radiograph/dicom/codestream.py`), then decoded in a disposable child process
(`radiograph/dicom/decoder.py`). A decompressed frame takes at most FRAME_BYTES, and its decoder
192 MiB plus eight times the bytes of the frame.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import Decoder, DecodeRunner
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, JPEG2000TransferSyntaxes

from boneseg.errors import BonesegError, DecoderDiedError, OutputError, RadiographError
from boneseg.radiograph.dicom.codestream import (
    KINDS,
    Codestream,
    Shape,
    check_fragments,
    open_codestream,
)
from boneseg.radiograph.dicom.decoder import DecodingError, EndedError, StartError, decoded
from boneseg.radiograph.grey import extremes

FRAME_BYTES = 600_000_000  # of a decompressed frame: 100 million pixels of three 16-bit samples

_SECONDS = 5.0  # of CPU time to decode a frame, plus, by its decompressed and compressed size:
_SECONDS_PER_SAMPLE = 0.1e-6
_SECONDS_PER_BYTE = 1.5e-6  # ten times what JPEG 2000, the slowest, takes


def decode(dataset: FileDataset, index: int, path: Path) -> NDArray[np.integer]:
    """The stored values of one frame: height x width, or height x width x 3 (RGB).

    path: the name of the film in messages. Raises RadiographError, and OutputError
    where the system cannot start a decoder.
    """
    try:
        stored = _left_justified(dataset, index)
        if stored is None:
            stored = _stored(dataset, index)
        return stored
    except MemoryError:
        raise
    except Exception as error:
        raise _failure(dataset, path, error) from None


def _failure(dataset: Dataset, path: Path, error: Exception) -> BonesegError:
    if isinstance(error, StartError):
        advice = "close other programs, or raise the limits on open files and processes"
        return OutputError(f"{path}: {error}; {advice}")
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    name = syntax.name if syntax.is_transfer_syntax else "unknown transfer syntax"
    if isinstance(error, DecodingError):
        kind = DecoderDiedError if isinstance(error, EndedError) else RadiographError
        return kind(f"{path}: its image {error} ({name}); export it again, uncompressed")
    return RadiographError(
        f"{path}: its image cannot be decoded ({name}) or is truncated; export it again, "
        "uncompressed"
    )


def _left_justified(dataset: Dataset, index: int) -> NDArray[np.integer] | None:
    """The stored values if they are left-justified in their words (High Bit), else None.

    pydicom takes the low bits whatever High Bit is. Some files have a wrong High Bit: their low
    bits are not empty.
    """
    bits, top = int(dataset.BitsStored), int(dataset.get("HighBit") or 0) + 1
    if not bits < top <= int(dataset.BitsAllocated):
        return None
    dataset.BitsStored = top
    try:
        filled = _stored(dataset, index)
    finally:
        dataset.BitsStored = bits
    below = top - bits
    return None if (filled & ((1 << below) - 1)).any() else filled >> below


def _stored(dataset: Dataset, index: int) -> NDArray[np.integer]:
    """Raises DecodingError, and almost any error if the file is damaged."""
    if dataset.file_meta.TransferSyntaxUID not in KINDS:
        stored = pixel_array(dataset, index=index, view_only=True, correct_unused_bits=False)
        if _unused_bits_are_empty(stored, dataset):
            return stored
        return pixel_array(dataset, index=index)
    check_fragments(dataset.PixelData)
    frame = get_frame(
        dataset.PixelData,
        index,
        number_of_frames=int(dataset.get("NumberOfFrames") or 1),
        extended_offsets=_offsets(dataset),
    )
    return _decompressed(dataset, frame)


def _unused_bits_are_empty(stored: NDArray[np.integer], dataset: Dataset) -> bool:
    """Whether values need no correction by pydicom, which takes three passes: nearly all films.

    Above the sign of signed values these bits repeat it.
    """
    bits = int(dataset.BitsStored)
    if not dataset.PixelRepresentation:
        return int(stored.max()) < 1 << bits
    low, high = extremes(stored.view(stored.dtype.str.replace("u", "i")))
    return -(1 << bits - 1) <= low and high < 1 << bits - 1


def _offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    offsets, lengths = (dataset.get(f"ExtendedOffsetTable{name}") for name in ("", "Lengths"))
    return (offsets, lengths) if offsets and lengths and len(offsets) == len(lengths) else None


# -- compressed frames ----------------------------------------------------------------------------


def _decompressed(dataset: Dataset, frame: bytes) -> NDArray[np.integer]:
    """Raises DecodingError, and almost any error if the header is damaged."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    header = _shape(dataset)
    if _frame_bytes(dataset) > FRAME_BYTES:
        raise DecodingError(f"takes more than {FRAME_BYTES // 10**6} MB uncompressed")
    try:
        codestream = open_codestream(frame, syntax)
    except ValueError as error:
        raise DecodingError(str(error)) from None
    _compare(codestream, header)
    samples = header.rows * header.columns * header.samples
    size = _SECONDS_PER_SAMPLE * samples + _SECONDS_PER_BYTE * len(codestream.data)
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": header.samples,
        "bits_allocated": header.bits,
        "bits_stored": int(dataset.BitsStored),
        "photometric_interpretation": str(dataset.PhotometricInterpretation),
        "pixel_representation": int(dataset.PixelRepresentation),
        "planar_configuration": int(dataset.get("PlanarConfiguration") or 0),
        "pixel_keyword": "PixelData",
        "number_of_frames": 1,
    }
    with decoded(codestream, header, _SECONDS + size) as unpacked:
        options["unpacked"] = unpacked
        if _unused_bits_are_empty(unpacked, dataset):
            options["correct_unused_bits"] = False
        pixels, _ = _decoder(syntax).as_array(  # a copy
            encapsulate([codestream.data[: codestream.head]]),  # the rest is decoded
            decoding_plugin="boneseg",
            **options,
        )
    return pixels


def _shape(dataset: Dataset) -> Shape:
    words = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated)
    return Shape(*map(int, words))


def _frame_bytes(dataset: Dataset) -> int:
    rows, columns, samples, bits = _shape(dataset)
    return rows * columns * samples * -(-bits // 8)


def _compare(codestream: Codestream, header: Shape) -> None:
    """Reject a frame that does not match the header's size. Raises DecodingError."""
    own = codestream.shape
    if codestream.kind == "rle":
        if own.samples * 8 != header.samples * header.bits:
            raise DecodingError(
                f"has {own.samples} bytes per pixel, but the header says "
                f"{header.samples * header.bits / 8:g}"
            )
        return
    if own[:2] != header[:2]:
        raise DecodingError(
            f"is {own.rows} x {own.columns} pixels, but the header says "
            f"{header.rows} x {header.columns}"
        )
    if own.samples != header.samples:
        raise DecodingError(
            f"has {own.samples} samples per pixel, but the header says {header.samples}"
        )
    if own.bits > header.bits:
        raise DecodingError(f"has {own.bits} bits per sample, but the header says {header.bits}")


@cache
def _decoder(syntax: UID) -> Decoder:
    """A pydicom decoder with ours as its only plugin; the global decoders stay unchanged."""
    decoder = Decoder(syntax)
    decoder.add_plugin("boneseg", (__name__, "hand_over"))
    return decoder


def is_available(syntax: str) -> bool:
    """Whether the plugin supports a syntax; called by pydicom."""
    return syntax in KINDS


def hand_over(frame: bytes, runner: DecodeRunner) -> memoryview:
    """Return the decompressed frame; pydicom then handles signs, unused bits and colours."""
    pixels: NDArray[np.integer] = runner.get_option("unpacked")
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    if runner.transfer_syntax in JPEG2000TransferSyntaxes and (
        runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT")
    ):
        runner.set_option("photometric_interpretation", "RGB")  # OpenJPEG has converted it
    return pixels.data.cast("B")
