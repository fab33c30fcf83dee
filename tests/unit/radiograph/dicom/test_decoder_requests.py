"""What a decoding process is asked, and what it replies: run in this process."""

from __future__ import annotations

import contextlib
import io
import json
import signal

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEGExtended12Bit

from boneseg._util.children import Children
from boneseg._util.disposable import DiedError
from boneseg.radiograph.dicom import decoder
from boneseg.radiograph.dicom.codestream import Codestream, Shape, open_codestream
from boneseg.radiograph.dicom.decoder import DecodingError, EndedError
from tests.support import films
from tests.support.codestreams import frame_of

# -- what a child replies --------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The limits that a child would set itself, which this process must not have."""
    found: list[tuple[str, float]] = []
    for name in ("bound_memory", "bound_cpu"):
        monkeypatch.setattr(decoder.runtime, name, lambda value, n=name: found.append((n, value)))
    return found


def answered(kind: str, data: bytes, like: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The state that ends the reply to a frame, and the pixels before it."""
    header = {"kind": kind, "shape": like.shape, "type": like.dtype.str}
    header |= {"seconds": 2.5, "memory": 1_000_000}
    memory = bytearray()

    def room(size: int) -> memoryview:
        memory.extend(bytes(size))
        return memoryview(memory)

    request = memoryview(json.dumps(header).encode() + b"\n" + data)
    state = b"".join(decoder._answer(request, room))
    return state, np.frombuffer(memory, like.dtype).reshape(like.shape)


def rle(*segments: bytes) -> bytes:
    """Segments with a header (PS3.5 G.5)."""
    places = [64 + sum(map(len, segments[:index])) for index in range(len(segments))]
    head = np.array([len(segments), *places] + [0] * (15 - len(segments)), "<u4")
    return head.tobytes() + b"".join(segments)


def packed_as_rle(pixels: np.ndarray) -> bytes:
    """Each byte of each sample, the high one first (PS3.5 G.2)."""
    planes = np.moveaxis(np.atleast_3d(pixels), -1, 0)
    octets = [plane.astype(plane.dtype.newbyteorder(">")).tobytes() for plane in planes]
    width = pixels.dtype.itemsize
    return rle(
        *(imagecodecs.packbits_encode(one[n::width]) for one in octets for n in range(width))
    )


GREY = films.bone(51, 67)
LIGHT = films.bone(51, 67, top=255).astype(np.uint8)
COLOUR = np.stack([LIGHT, LIGHT[::-1], 255 - LIGHT], axis=-1)
AS_RGB = {"lossless": True, "colorspace": "RGB", "outcolorspace": "RGB"}
AS_CMYK = {"lossless": True, "colorspace": "CMYK", "outcolorspace": "CMYK"}
FRAMES = {
    "jpeg of 8 bits": ("jpeg", LIGHT, imagecodecs.jpeg8_encode, {"lossless": True}),
    "jpeg of 12 bits": (
        *("jpeg", GREY, imagecodecs.jpeg8_encode),
        {"lossless": True, "bitspersample": 12},
    ),
    "jpeg in colour": ("jpeg", COLOUR, imagecodecs.jpeg8_encode, AS_RGB),
    "jpeg of four samples": (
        *("jpeg", np.dstack([COLOUR, LIGHT]), imagecodecs.jpeg8_encode),
        AS_CMYK,
    ),
    "jpeg 2000": ("jpeg-2000", GREY, imagecodecs.jpeg2k_encode, {"reversible": True}),
    "jpeg 2000 in colour": (
        *("jpeg-2000", COLOUR, imagecodecs.jpeg2k_encode),
        {"reversible": True, "mct": False},
    ),
    "jpeg-ls": ("jpeg-ls", GREY, imagecodecs.jpegls_encode, {}),
    "jpeg-ls in colour": ("jpeg-ls", COLOUR, imagecodecs.jpegls_encode, {}),
    "rle of 8 bits": ("rle", LIGHT, packed_as_rle, {}),
    "rle of 16 bits": ("rle", GREY * 13, packed_as_rle, {}),
    "rle of 32 bits": ("rle", GREY.astype(np.uint32) * 1_000_003, packed_as_rle, {}),
    "rle in colour": ("rle", COLOUR, packed_as_rle, {}),
    "rle in colour of 16 bits": ("rle", COLOUR.astype(np.uint16) * 251, packed_as_rle, {}),
}


@pytest.mark.parametrize(("kind", "pixels", "encode", "options"), FRAMES.values(), ids=FRAMES)
def test_a_child_replies_with_the_very_pixels(kind, pixels, encode, options, limits, monkeypatch):
    """Also of a frame larger than the part that is merged at once."""
    frame = encode(pixels, **options)
    for block in (decoder._BLOCK, 1000):
        monkeypatch.setattr(decoder, "_BLOCK", block)
        state, found = answered(kind, bytes(frame), pixels)
        assert state == decoder._DONE
        np.testing.assert_array_equal(found, pixels)
        assert limits[-2:] == [("bound_memory", 1_000_000), ("bound_cpu", 2.5)]


def test_a_child_keeps_the_colours_of_a_jpeg_as_they_are_coded(limits):
    """The header of the film says what they are."""
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, "JPEG", quality=98, subsampling=0)
    state, found = answered("jpeg", file.getvalue(), COLOUR)
    assert state == decoder._DONE
    coded = np.asarray(Image.fromarray(COLOUR).convert("YCbCr"))
    assert np.abs(found.astype(int) - coded).max() < 8 < np.abs(coded.astype(int) - COLOUR).max()


def test_a_child_reads_lossy_jpeg_of_16_bits(tmp_path, limits):
    """Which GDCM alone writes; black with noise does not become white."""
    grey = films.bone()
    grey[::3] = 0
    grey[::9, ::5] = 4095
    frame = frame_of(films.dicom(tmp_path / "a.dcm", grey, JPEGExtended12Bit))
    assert open_codestream(frame, JPEGExtended12Bit).kind == "jpeg-16"
    state, found = answered("jpeg-16", frame, grey)
    assert state == decoder._DONE
    assert np.abs(found.astype(int) - grey).max() < 5


ROWS = imagecodecs.packbits_encode(LIGHT.tobytes())
PADDED = imagecodecs.packbits_encode(LIGHT.tobytes() + bytes(15))


@pytest.mark.parametrize(
    ("kind", "data", "state"),
    [
        ("rle", rle(ROWS), decoder._DONE),
        ("rle", rle(PADDED), decoder._DONE),
        ("rle", rle(PADDED + b"\0\0"), decoder._OTHER),  # a byte more
        ("rle", rle(ROWS[:-2]), decoder._OTHER),
        ("rle", rle(b"\x05ab"), decoder._FAILED),
        ("jpeg-ls", imagecodecs.jpegls_encode(LIGHT[:-1]), decoder._OTHER),
        (
            "jpeg-2000",
            imagecodecs.jpeg2k_encode(LIGHT[8:]),
            decoder._OTHER,
        ),
        ("jpeg", imagecodecs.jpeg8_encode(LIGHT[:8]), decoder._OTHER),
        *((kind, b"\xff\xd8 no frame", decoder._FAILED) for kind in ("jpeg", "jpeg-ls", "rle")),
        ("jpeg-2000", b"\xff\x4f\xff\x51 no frame", decoder._FAILED),
        ("no kind", b"", decoder._FAILED),
    ],
)
def test_a_child_replies_what_is_wrong_with_a_frame(kind, data, state, limits):
    assert answered(kind, bytes(data), LIGHT)[0] == state


@pytest.mark.parametrize(
    ("error", "state"), [(MemoryError, decoder._FULL), (ImportError, decoder._LACKING)]
)
def test_a_child_replies_what_it_lacks(error, state, limits, monkeypatch):
    def fails(*_):
        raise error

    monkeypatch.setitem(decoder._DECODERS, "jpeg", fails)
    assert answered("jpeg", b"", GREY)[0] == state


def test_a_child_imports_each_codec_before_its_memory_is_limited(monkeypatch):
    imported, used = [], []
    monkeypatch.setattr(decoder, "_codec", imported.append)
    monkeypatch.setattr(decoder, "answer_with", lambda answer: used.append(answer))
    decoder.serve()
    assert used == [decoder._answer]
    names = []
    monkeypatch.setattr(
        decoder, "_codec", lambda name: names.append(name) or (lambda *_, **__: b"")
    )
    for kind in decoder._DECODERS.keys() - {"jpeg-16"}:
        with contextlib.suppress(decoder._SizeError):
            decoder._DECODERS[kind](memoryview(rle(b"")), GREY.copy())
    assert set(imported) == set(names)


# -- what a child is asked ------------------------------------------------------------------------


class Child:
    """Notes what it is asked, and replies."""

    def __init__(self, reply: bytes | DiedError) -> None:
        self.reply = reply
        self.asked: list[object] = []
        self.trimmed, self.alive = False, True

    def ask(self, request, seconds, most):
        self.asked = [json.loads(request[0]), request[1], seconds, most]
        assert request[0].endswith(b"\n")
        if isinstance(self.reply, DiedError):
            self.alive = False
            raise self.reply
        return memoryview(self.reply)

    def is_alive(self):
        return self.alive

    def end(self):
        self.alive = False

    def trim(self):
        self.trimmed = True


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    child = Child(b"")
    children = Children("no:entry")
    children.idle.append(child)
    monkeypatch.setattr(decoder, "_children", children)
    return child


@pytest.mark.parametrize(
    ("shape", "own", "signed", "name", "size", "memory"),
    [
        (Shape(4, 6, 1, 16), 12, False, "<u2", (4, 6), 24 * 2),
        (Shape(4, 6, 1, 16), 16, True, "<i2", (4, 6), 24 * 2),
        (Shape(4, 6, 3, 8), 8, False, "|u1", (4, 6, 3), 72),
        (Shape(4, 6, 1, 16), 8, True, "|i1", (4, 6), 24 * 2),
        (Shape(4, 6, 1, 16), 9, False, "<u2", (4, 6), 24 * 2),
        (Shape(4, 6, 1, 32), 17, False, "<u4", (4, 6), 24 * 4),
        (Shape(4, 6, 1, 32), 0, False, "<u4", (4, 6), 24 * 4),  # RLE
        (Shape(4, 6, 1, 1), 1, False, "|u1", (4, 6), 24),
    ],
)
def test_a_child_is_asked_for_the_smallest_type_within_limits(
    child, shape, own, signed, name, size, memory
):
    count, dtype = int(np.prod(size)), np.dtype(name)
    values = np.arange(count).astype(dtype)
    child.reply = values.tobytes() + decoder._DONE
    stream = Codestream("kind", Shape(4, 6, shape.samples, own), b"data", 2, signed)
    with decoder.decoded(stream, shape, 1.5) as pixels:
        assert decoder._children.idle == []
        assert pixels.dtype == f"u{dtype.itemsize}"  # signs are for the header to say
        np.testing.assert_array_equal(pixels.view(dtype), values.reshape(size))
        del pixels
    header, data, seconds, most = child.asked
    assert header == {
        "kind": "kind",
        "shape": list(size),
        "type": name,
        "seconds": 1.5,
        "memory": 192 * 2**20 + 8 * memory,
    }
    assert (data, seconds, most) == (b"data", 6.0, len(child.reply))
    assert decoder._children.idle == [child] and child.trimmed


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"\1", DecodingError, "cannot be decoded"),
        (b"\2", DecodingError, "needs too much memory for its size"),
        (b"\3", DecodingError, "is not of the size that its header says"),
        (
            *(b"12\4", DecodingError),
            "is lossy 16-bit JPEG, which is non-standard and needs boneseg[gdcm]",
        ),
        (b"\x09", DecodingError, "cannot be decoded"),
        (b"", DecodingError, "cannot be decoded"),
        (DiedError(-9, 6.0), EndedError, "takes more than 1.5 s to decode"),
        (DiedError(-signal.SIGXCPU, None), EndedError, "takes more than 1.5 s to decode"),
        (
            *(DiedError(-11, None), EndedError),
            "cannot be decoded: it ended the process that read it (SIGSEGV)",
        ),
    ],
)
def test_why_a_frame_cannot_be_decoded_is_a_phrase(child, reply, kind, words):
    child.reply = reply
    stream = Codestream("jpeg", Shape(4, 6, 1, 8), b"", 2)
    with pytest.raises(DecodingError) as caught, decoder.decoded(stream, stream.shape, 1.5):
        pass
    assert (type(caught.value), str(caught.value)) == (kind, words)
    assert decoder._children.idle == ([] if kind is EndedError else [child])
