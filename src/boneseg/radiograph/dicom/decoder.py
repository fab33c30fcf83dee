"""Decode one compressed frame in a child process (`_util/disposable.py`): both sides.

    pixels = decoded(codestream, Shape(2500, 2048, 1, 16), seconds=8)

For each syntax the decoder under continuous fuzzing (OSS-Fuzz) is used: libjpeg-turbo for 8- and
12-bit and lossless JPEG, OpenJPEG for JPEG 2000 and HTJ2K, CharLS for JPEG-LS. They come with
imagecodecs, whose own code reads RLE. GDCM, if installed, reads lossy 16-bit JPEG, which only GDCM
writes. The two sides exchange JSON and bytes, never pickles.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from boneseg._util import runtime
from boneseg._util.disposable import DiedError, Disposable, answer_with
from boneseg.radiograph.dicom.codestream import Codestream, Shape

Pixels = NDArray[np.integer]

_OVERHEAD = 192 * 2**20  # bytes that a decoder may use for any frame
_WORKING = 8  # further bytes that it may use per byte of pixels
_RLE_PADDING = 15  # bytes after a segment; a wrong size differs by MIN_SIDE or more
_WALL = 4.0  # multiple of the CPU time, for busy machines
_DONE, _FAILED, _FULL, _OTHER, _LACKING = b"\0", b"\1", b"\2", b"\3", b"\4"
_REASONS = {
    _FAILED: "cannot be decoded",
    _FULL: "needs too much memory for its size",
    _OTHER: "is not of the size that its header says",
    _LACKING: "is lossy 16-bit JPEG, which is non-standard and needs boneseg[gdcm]",
}


class DecodingError(Exception):
    """A frame could not be decoded. The message is a phrase that gives the fault."""


class EndedError(DecodingError):
    """The child process died or was stopped while decoding."""


def decoded(codestream: Codestream, shape: Shape, seconds: float) -> Pixels:
    """Decode a frame: rows x columns, or rows x columns x samples, uint8, uint16 or uint32.

    shape: the required shape, with the bits allocated per sample (8, 16 or 32). Samples with fewer
    bits are returned in the smallest of the three types. seconds: limit of CPU time. Raises
    DecodingError.
    """
    size = shape.rows * shape.columns * shape.samples * max(shape.bits // 8, 1)
    memory = _OVERHEAD + _WORKING * size
    header = {"kind": codestream.kind, "shape": shape, "seconds": seconds, "memory": memory}
    request = [json.dumps(header).encode() + b"\n", codestream.data]
    try:
        child = _taken()
        reply = child.ask(request, _WALL * seconds, most=4 * size + 64)
    except DiedError as error:
        if error.late:
            raise EndedError(f"takes more than {seconds:.1f} s to decode") from None
        raise EndedError(f"cannot be decoded: it {error}") from None
    _give_back(child)
    state, content = bytes(reply[:1]), memoryview(reply)[1:]
    if state != _DONE:
        raise DecodingError(_REASONS.get(state, _REASONS[_FAILED]))
    count = shape.rows * shape.columns * shape.samples
    width, rest = divmod(len(content), count)
    if rest or width not in (1, 2, 4):
        raise DecodingError("cannot be decoded")
    full = (shape.rows, shape.columns, shape.samples)
    return np.frombuffer(content, f"u{width}").reshape(full if shape.samples > 1 else full[:2])


# -- idle child processes -------------------------------------------------------------------------

_idle: list[Disposable] = []
_lock = Lock()


@cache
def _register_clean_up() -> None:
    """End the children with this process, and leave them to it if it forks."""
    atexit.register(_end_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_all)


def _taken() -> Disposable:
    """An idle child process, or a new one. Each decoding thread has its own."""
    _register_clean_up()
    while True:
        with _lock:
            child = _idle.pop() if _idle else None
        if child is None:
            return Disposable(
                "boneseg.radiograph.dicom.decoder:serve",
                quiet=True,
                environment={"OPENBLAS_NUM_THREADS": "1"},
            )
        if child.is_alive():
            return child
        child.end()


def _give_back(child: Disposable) -> None:
    with _lock:
        _idle.append(child)


def _end_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().end()


def _forget_all() -> None:
    """After a fork, drop the children, which belong to the parent process."""
    global _lock
    _lock = Lock()
    while _idle:
        _idle.pop().forget()


# -- in the child ---------------------------------------------------------------------------------


class _SizeError(Exception):
    """A frame decodes to a size other than required."""


def serve() -> None:
    """Decode frames from the parent process until it exits."""
    import imagecodecs

    for name in ("jpeg8", "jpeg2k", "jpegls", "packbits"):
        getattr(imagecodecs, f"{name}_decode")  # imported before the memory limit applies
    answer_with(_answer)


def _answer(request: bytearray) -> Iterator[bytes | memoryview]:
    end = request.index(b"\n")
    header = json.loads(request[:end])
    shape, data = Shape(*header["shape"]), bytes(memoryview(request)[end + 1 :])
    runtime.bound_memory(header["memory"])
    runtime.bound_cpu(header["seconds"])
    try:
        pixels = _DECODERS[header["kind"]](data, shape)
        expected = (shape.rows, shape.columns, shape.samples)
        if pixels.shape != (expected if shape.samples > 1 else expected[:2]):
            raise _SizeError
        content = np.ascontiguousarray(pixels).data.cast("B")
    except MemoryError:
        yield _FULL
    except ImportError:
        yield _LACKING
    except _SizeError:
        yield _OTHER
    except Exception:  # each codec has its own error class, without useful messages
        yield _FAILED
    else:
        yield from (_DONE, content)


def _jpeg(data: bytes, shape: Shape) -> Pixels:
    import imagecodecs

    # Keep the coded colour space: pydicom converts YBR according to the header. libjpeg does not
    # convert if both names are equal.
    space = {1: "GRAYSCALE", 3: "RGB", 4: "CMYK"}[shape.samples]
    pixels: Pixels = imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space)
    return pixels


def _jpeg_2000(data: bytes, shape: Shape) -> Pixels:
    import imagecodecs

    pixels: Pixels = imagecodecs.jpeg2k_decode(data)
    return pixels


def _jpeg_ls(data: bytes, shape: Shape) -> Pixels:
    import imagecodecs

    pixels: Pixels = imagecodecs.jpegls_decode(data)
    return pixels


def _rle(data: bytes, shape: Shape) -> Pixels:
    """Merge the RLE segments, one for each byte of a sample, high byte first (PS3.5 G.2)."""
    import imagecodecs

    width, pixels = shape.bits // 8, shape.rows * shape.columns
    starts = [*np.frombuffer(data[4:64], "<u4")[: shape.samples * width].tolist(), len(data)]
    values = np.empty((pixels, shape.samples, width), np.uint8)
    for place, (start, end) in enumerate(pairwise(starts)):
        try:
            unpacked = imagecodecs.packbits_decode(data[start:end], out=pixels + _RLE_PADDING)
        except Exception as error:  # ImcdError, which has no public name
            raise (_SizeError if "OUTPUT_TOO_SMALL" in str(error) else ValueError) from None
        if len(unpacked) < pixels:
            raise _SizeError
        sample, byte = divmod(place, width)
        values[:, sample, width - 1 - byte] = np.frombuffer(unpacked, np.uint8, pixels)
    full = (shape.rows, shape.columns, shape.samples)
    return values.view(f"<u{width}").reshape(full if shape.samples > 1 else full[:2])


def _jpeg_16(data: bytes, shape: Shape) -> Pixels:
    import gdcm

    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(data)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((shape.columns, shape.rows, 1))
    image.SetDataElement(element)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 16, 15, 0))
    decoded = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(decoded, "<u2").reshape(shape.rows, shape.columns)


_DECODERS: dict[str, Callable[[bytes, Shape], Pixels]] = {
    "jpeg": _jpeg,
    "jpeg-16": _jpeg_16,
    "jpeg-2000": _jpeg_2000,
    "jpeg-ls": _jpeg_ls,
    "rle": _rle,
}
