"""Decode one compressed frame in a child process (`_util/children.py`): both sides.

    with decoded(codestream, Shape(2500, 2048, 1, 16), seconds=8) as pixels:
        stored = pixels.copy()

For each syntax the decoder under continuous fuzzing (OSS-Fuzz) is used: libjpeg-turbo for 8- and
12-bit and lossless JPEG, OpenJPEG for JPEG 2000 and HTJ2K, CharLS for JPEG-LS. They come with
imagecodecs, whose own code reads RLE. GDCM, if installed, reads lossy 16-bit JPEG, which only GDCM
writes. The two sides exchange JSON and bytes, never pickles.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from boneseg._util import runtime
from boneseg._util.children import Children, NotStartedError
from boneseg._util.cores import available_cores
from boneseg._util.disposable import DiedError, Room, answer_with
from boneseg.radiograph.dicom.codestream import Codestream, Shape

Pixels = NDArray[np.integer]

_OVERHEAD = 192 * 2**20  # bytes that a decoder may use for any frame
_WORKING = 8  # further bytes that it may use per byte of pixels
_RLE_PADDING = 15  # bytes after a segment; a wrong size differs by MIN_SIDE or more
_LEVEL = 2**15  # GDCM shifts 16-bit values by it when decoding (T.81 A.3.1), and not when encoding
_BLOCK = 2**18  # pixels that stay in a processor's cache
_LINE = 1024  # bytes; the header of a request is shorter
_WALL = 4.0  # multiple of the CPU time, for busy machines
_DONE, _FAILED, _FULL, _OTHER, _LACKING = b"\0", b"\1", b"\2", b"\3", b"\4"
_REASONS = {
    _FAILED: "cannot be decoded",
    _FULL: "needs too much memory for its size",
    _OTHER: "is not of the size that its header says",
    _LACKING: "is lossy 16-bit JPEG, which is non-standard and needs boneseg[gdcm]",
}


_children = Children(
    "boneseg.radiograph.dicom.decoder:serve", environment={"OPENBLAS_NUM_THREADS": "1"}
)


class DecodingError(Exception):
    """A frame could not be decoded. The message is a phrase that gives the fault."""


class EndedError(DecodingError):
    """The child process died or was stopped while decoding."""


class StartError(DecodingError):
    """The system could not start a child process, which is no fault of the film."""


@contextmanager
def decoded(codestream: Codestream, shape: Shape, seconds: float) -> Iterator[Pixels]:
    """Decode a frame: rows x columns, or rows x columns x samples, uint8, uint16 or uint32.

    The pixels are in memory shared with the decoder, which the next frame overwrites: copy them
    within the block.

    shape: the required shape, with the bits allocated per sample (8, 16 or 32). Samples with fewer
    bits are returned in the smallest of the three types. seconds: limit of CPU time. Raises
    DecodingError.
    """
    dtype = _type_of(codestream, shape)
    size = shape.rows * shape.columns * shape.samples
    header = {
        "kind": codestream.kind,
        "shape": _size_of(shape),
        "type": dtype.str,
        "seconds": seconds,
        "memory": _OVERHEAD + _WORKING * size * max(shape.bits // 8, 1),
    }
    request = [json.dumps(header).encode() + b"\n", codestream.data]
    most = size * dtype.itemsize + len(_DONE)
    try:
        with _children.one() as child:
            reply = child.ask(request, _WALL * seconds, most)
            state = bytes(reply[-len(_DONE) :])
            if state != _DONE:
                raise DecodingError(_REASONS.get(state, _REASONS[_FAILED]))
            unsigned = np.dtype(f"u{dtype.itemsize}")
            yield np.frombuffer(reply, unsigned, size).reshape(_size_of(shape))
    except NotStartedError as error:
        raise StartError(f"has no decoder: {error}") from None
    except DiedError as error:
        if error.late:
            raise EndedError(f"takes more than {seconds:.1f} s to decode") from None
        raise EndedError(f"cannot be decoded: it {error}") from None


def _type_of(codestream: Codestream, shape: Shape) -> np.dtype[np.integer]:
    """The type that samples are decoded to: the smallest."""
    bits = codestream.shape.bits or shape.bits
    width = 1 if bits <= 8 else 2 if bits <= 16 else 4
    return np.dtype(f"{'i' if codestream.signed else 'u'}{width}")


def _size_of(shape: Shape) -> tuple[int, ...]:
    return shape[:3] if shape.samples > 1 else shape[:2]


# -- in the child ---------------------------------------------------------------------------------


class _SizeError(Exception):
    """A frame decodes to a size other than required."""


def serve() -> None:
    """Decode frames from the parent process until it exits."""
    for name in ("jpeg8", "jpeg2k", "jpegls", "packbits"):
        _codec(name)  # imported before the memory limit applies
    answer_with(_answer)


def _answer(request: memoryview, room: Room) -> Iterator[bytes]:
    line, _, _ = bytes(request[:_LINE]).partition(b"\n")
    header, data = json.loads(line), request[len(line) + 1 :]
    runtime.bound_memory(header["memory"])
    runtime.bound_cpu(header["seconds"])
    try:
        dtype, size = np.dtype(header["type"]), math.prod(header["shape"])
        memory = room(size * dtype.itemsize)
        _DECODERS[header["kind"]](data, np.frombuffer(memory, dtype).reshape(header["shape"]))
    except MemoryError:
        yield _FULL
    except ImportError:
        yield _LACKING
    except _SizeError:
        yield _OTHER
    except Exception as error:  # each codec has its own error class, without useful messages
        yield _OTHER if str(error).startswith("invalid out") else _FAILED
    else:
        yield _DONE


def _codec(name: str) -> Callable[..., NDArray[np.uint8]]:
    """A decoder of imagecodecs, whose annotations leave out memoryview."""
    import imagecodecs

    found: Callable[..., NDArray[np.uint8]] = getattr(imagecodecs, f"{name}_decode")
    return found


def _jpeg(data: memoryview, out: Pixels) -> None:
    # Keep the coded colour space: pydicom converts YBR according to the header. libjpeg does not
    # convert if both names are equal.
    space = {1: "GRAYSCALE", 3: "RGB", 4: "CMYK"}[out.shape[2] if out.ndim > 2 else 1]
    _codec("jpeg8")(data, colorspace=space, outcolorspace=space, out=out)


def _jpeg_2000(data: memoryview, out: Pixels) -> None:
    _codec("jpeg2k")(data, numthreads=available_cores(), out=out)


def _jpeg_ls(data: memoryview, out: Pixels) -> None:
    _codec("jpegls")(data, out=out)


def _rle(data: memoryview, out: Pixels) -> None:
    """Merge the RLE segments, one for each byte of a sample, high byte first (PS3.5 G.2)."""
    width, pixels = out.itemsize, out.shape[0] * out.shape[1]
    values = out.reshape(pixels, -1)
    starts = np.frombuffer(data[4:64], "<u4")[: values.shape[1] * width].tolist()
    scratch = np.empty(pixels + _RLE_PADDING, np.uint8)
    for place, (start, end) in enumerate(pairwise([*starts, len(data)])):
        try:
            unpacked = _codec("packbits")(data[start:end], out=scratch)
        except Exception as error:  # ImcdError, which has no public name
            raise (_SizeError if "OUTPUT_TOO_SMALL" in str(error) else ValueError) from None
        if len(unpacked) < pixels:
            raise _SizeError
        sample, byte = divmod(place, width)
        if byte == 0:
            values[:, sample] = unpacked[:pixels]
            continue
        for start in range(0, pixels, _BLOCK):
            part = values[start : start + _BLOCK, sample]
            part <<= 8
            part |= unpacked[start : start + len(part)]


def _jpeg_16(data: memoryview, out: Pixels) -> None:
    import gdcm

    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(bytes(data))
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((out.shape[1], out.shape[0], 1))
    image.SetDataElement(element)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 16, 15, 0))
    decoded = image.GetBuffer().encode("utf-8", "surrogateescape")
    values = np.frombuffer(decoded, "<u2").reshape(out.shape)
    np.subtract(np.maximum(values, _LEVEL), _LEVEL, out=out)


_DECODERS: dict[str, Callable[[memoryview, Pixels], object]] = {
    "jpeg": _jpeg,
    "jpeg-16": _jpeg_16,
    "jpeg-2000": _jpeg_2000,
    "jpeg-ls": _jpeg_ls,
    "rle": _rle,
}
