"""Pixel data: bit for bit what was stored, in every encoding."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import convert_color_space, get_decoder
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from boneseg.errors import BonesegError, DecoderDiedError, OutputError, RadiographError
from boneseg.radiograph.dicom import pixels
from boneseg.radiograph.dicom.codestream import Codestream, Shape
from boneseg.radiograph.dicom.decoder import (
    _DECODERS,
    DecodingError,
    EndedError,
    StartError,
    _size_of,
    _type_of,
)
from boneseg.radiograph.dicom.pixels import (
    _compare,
    _offsets,
    _unused_bits_are_empty,
    decode,
)
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.films import EXACT, FULL, LOSSY, named


@named(EXACT)
def test_every_lossless_encoding_gives_the_very_pixels(tmp_path, syntax):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), syntax, **FULL)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


@named(LOSSY[1:])
def test_every_lossy_encoding_keeps_twelve_bits_nearly(tmp_path, syntax):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), syntax, **FULL)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    wrong = np.abs(read_radiograph(path).pixels - films.bone() / 4095)
    assert 0 < wrong.max() < 0.01  # lossy for certain, and finer than 8 bits could be everywhere
    assert wrong.mean() < 0.002


@named([JPEGBaseline8Bit, RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_eight_bit_encodings(tmp_path, syntax):
    truth = films.bone(top=255).astype(np.uint8)
    path = films.dicom(tmp_path / "a.dcm", truth, syntax)
    np.testing.assert_allclose(read_radiograph(path).pixels, truth / 255, atol=0.02)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_words_filled_from_the_top_are_read_as_such(tmp_path, syntax):
    plain = read_radiograph(films.dicom(tmp_path / "plain", films.bone()))
    path = films.dicom(tmp_path / "left", films.bone() << 4, syntax, BitsStored=12, HighBit=15)
    assert np.allclose(read_radiograph(path).pixels, plain.pixels, atol=1e-3)


def test_a_high_bit_that_contradicts_the_values_is_ignored(tmp_path):
    plain = read_radiograph(films.dicom(tmp_path / "plain", films.bone()))
    path = films.dicom(tmp_path / "high", films.bone(), BitsStored=12, HighBit=15)
    assert np.array_equal(read_radiograph(path).pixels, plain.pixels)


@named([ExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1, JPEG2000Lossless])
def test_signed_pixels(tmp_path, syntax):
    stored = films.bone().astype(np.int16) - 2048
    path = films.dicom(
        tmp_path / "a.dcm",
        stored,
        syntax,
        BitsStored=12,
        RescaleSlope=1,
        RescaleIntercept=2048,
        **FULL,
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


def test_overlays_in_unused_bits_are_ignored(tmp_path):
    stored = films.bone() | np.uint16(0x8000)
    path = films.dicom(tmp_path / "a.dcm", stored, BitsStored=12, **FULL)
    np.testing.assert_allclose(read_radiograph(path).pixels, films.bone() / 4095, atol=1e-6)


def test_frames_must_be_chosen(tmp_path):
    frames = np.stack([films.bone(), films.bone()[::-1]])
    path = films.dicom(tmp_path / "a.dcm", frames, RLELossless, **FULL)
    with pytest.raises(RadiographError, match="holds 2 frames; choose one with segment --frame N"):
        read_radiograph(path)
    second = read_radiograph(path, frame=2)
    np.testing.assert_allclose(second.pixels, frames[1] / 4095, atol=1e-6)
    assert second.frame == 2
    with pytest.raises(RadiographError, match="no frame 3"):
        read_radiograph(path, frame=3)


@pytest.mark.parametrize("low", [-2048, -2049, -4000])
def test_the_bits_above_those_stored_are_no_part_of_signed_values(tmp_path, low):
    words = films.bone().astype(np.int16) - 2048
    path = films.dicom(tmp_path / "a.dcm", words.astype(np.uint16), PixelRepresentation=1)
    dataset = pydicom.dcmread(path)
    clean = (words & 0xFFF) ^ 0x800
    odd = words.copy()
    odd[0, 0] = low
    clean[0, 0] = (low & 0xFFF) ^ 0x800
    dataset.PixelData = odd.astype("<i2").tobytes()
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.WindowCenter, dataset.WindowWidth = 0, 4096
    dataset.save_as(path)
    np.testing.assert_allclose(read_radiograph(path).pixels, clean / 4095, atol=1e-3)


# -- function by function -------------------------------------------------------------------------


def stored(values: object, syntax: str = ExplicitVRLittleEndian, **more: object) -> FileDataset:
    """A film of one row, in memory."""
    pixels = np.atleast_2d(values)
    dataset = FileDataset("a", {}, file_meta=FileMetaDataset())
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.set_original_encoding(False, True)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = pixels.shape[2] if pixels.ndim > 2 else 1
    dataset.PhotometricInterpretation = "RGB" if pixels.ndim > 2 else "MONOCHROME2"
    if pixels.ndim > 2:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.add_new("PixelData", "OW", pixels.tobytes() + b"\0" * (pixels.nbytes % 2))
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("values", "stored_bits", "top", "found"),
    [
        ([0x0120, 0xFFF0], 12, 15, [0x012, 0xFFF]),
        ([0x0120, 0xFFF1], 12, 15, [0x120, 0xFF1]),  # a low bit is not empty
        ([0x0240, 0x7FE0], 10, 14, [0x012, 0x3FF]),  # not filled to the top
        ([0x0002, 0x0FFE], 11, 11, [0x001, 0x7FF]),
        ([0x0120, 0x0FFE], 12, 11, [0x120, 0xFFE]),
        ([0x0120, 0x0FFE], 12, None, [0x120, 0xFFE]),
        ([0x0120, 0x0FF0], 12, 16, [0x120, 0xFF0]),  # beyond the word
        ([0x0120, 0x0FF0], 12, 0, [0x120, 0xFF0]),
    ],
)
def test_values_are_in_the_bits_that_high_bit_says_if_those_below_are_empty(
    values, stored_bits, top, found
):
    film = stored(np.array(values, np.uint16), BitsStored=stored_bits, HighBit=top)
    pixels = decode(film, 0, Path("a.dcm"))
    assert pixels.tolist() == [found]
    assert film.BitsStored == stored_bits


@pytest.mark.parametrize(
    ("values", "empty"),
    [
        (np.array([0, 4095], np.uint16), True),
        (np.array([0, 4096], np.uint16), False),
        (np.array([-2048, 2047], np.int16), True),
        (np.array([-2049, 2047], np.int16), False),
        (np.array([-2048, 2048], np.int16), False),
    ],
)
def test_unused_bits_are_empty_up_to_the_limits_of_those_stored(values, empty):
    film = stored(values, BitsStored=12)
    words = values.view(np.uint16)
    assert _unused_bits_are_empty(words, film) == empty
    found = decode(film, 0, Path("a.dcm"))[0]
    assert (found.tolist() == values.tolist()) == empty
    bits = (found.astype(int) & 0xFFF).tolist()
    assert bits == (words & 0xFFF).tolist()


@pytest.mark.parametrize(
    ("offsets", "lengths", "found"),
    [
        (b"12345678", b"abcdefgh", (b"12345678", b"abcdefgh")),
        *((b"12345678", other, None) for other in (b"abcd", b"", None)),
        *((b"", b"", None), (None, b"abcdefgh", None)),
    ],
)
def test_extended_offsets_are_used_where_each_has_a_length(offsets, lengths, found):
    film = Dataset()
    film.ExtendedOffsetTable, film.ExtendedOffsetTableLengths = offsets, lengths
    assert _offsets(film) == found


def codestream(kind: str = "jpeg", **shape: int) -> Codestream:
    return Codestream(kind, Shape(**{**HEADER._asdict(), **shape}), b"", 2)


HEADER = Shape(rows=4, columns=6, samples=3, bits=16)


@pytest.mark.parametrize(
    "own",
    [
        *(codestream(), codestream(bits=12), codestream(bits=0), codestream("rle", samples=6)),
        codestream("rle", samples=6, rows=0, columns=0, bits=0),
    ],
)
def test_a_frame_of_the_size_of_the_header_may_have_fewer_bits(own):
    _compare(own, HEADER)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (codestream(rows=5), "is 5 x 6 pixels, but the header says 4 x 6"),
        (codestream(columns=5), "is 4 x 5 pixels, but the header says 4 x 6"),
        (codestream(samples=1), "has 1 samples per pixel, but the header says 3"),
        (codestream(bits=17), "has 17 bits per sample, but the header says 16"),
        (codestream("rle", samples=3), "has 3 bytes per pixel, but the header says 6"),
    ],
)
def test_a_frame_of_another_size_is_refused_in_words(own, words):
    with pytest.raises(DecodingError) as caught:
        _compare(own, HEADER)
    assert str(caught.value) == words


def test_bytes_per_pixel_that_are_not_whole_are_said_so():
    with pytest.raises(DecodingError, match=r"^has 1 bytes per pixel, but the header says 1\.5$"):
        _compare(codestream("rle", samples=1), Shape(4, 6, 1, 12))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            *(StartError("has no decoder: full"), OutputError),
            "a.dcm: has no decoder: full; close other programs, or raise the limits on open files "
            "and processes",
        ),
        (
            *(EndedError("takes long"), DecoderDiedError),
            "a.dcm: its image takes long (JPEG-LS Lossless Image Compression); export it again, "
            "uncompressed",
        ),
        (
            *(DecodingError("is truncated"), RadiographError),
            "a.dcm: its image is truncated (JPEG-LS Lossless Image Compression); export it again, "
            "uncompressed",
        ),
        (
            *(KeyError("secret"), RadiographError),
            "a.dcm: its image cannot be decoded (JPEG-LS Lossless Image Compression) or is "
            "truncated; export it again, uncompressed",
        ),
    ],
)
def test_a_failure_is_one_line_with_the_syntax_of_the_film(error, kind, words, monkeypatch):
    def fails(*_):
        raise error

    monkeypatch.setattr(pixels, "_stored", fails)
    with pytest.raises(BonesegError) as caught:
        decode(stored(films.bone(), JPEGLSLossless), 0, Path("a.dcm"))
    assert (type(caught.value), str(caught.value)) == (kind, words)
    with pytest.raises(BonesegError) as caught:
        decode(stored(films.bone(), "1.2.840.10008.1.1"), 0, Path("a.dcm"))
    if kind is not OutputError:
        assert "(unknown transfer syntax)" in str(caught.value)


def test_a_lack_of_memory_is_left_to_the_caller(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(pixels, "_stored", full)
    with pytest.raises(MemoryError):
        decode(stored(films.bone()), 0, Path("a.dcm"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Codestream, Shape, float]]:
    """What the decoder is asked, which is called in this process."""
    found: list[tuple[Codestream, Shape, float]] = []

    @contextmanager
    def decoded(stream, shape, seconds):
        found.append((stream, shape, seconds))
        out = np.zeros(_size_of(shape), _type_of(stream, shape))
        _DECODERS[stream.kind](memoryview(stream.data), out)
        yield out.view(f"u{out.itemsize}")

    monkeypatch.setattr(pixels, "decoded", decoded)
    return found


GREY = films.bone()
SIGNED = GREY.astype(np.int16) - 2048
COLOUR = np.stack([GREY >> 4, GREY[::-1] >> 4, 255 - (GREY >> 4)], axis=-1).astype(np.uint8)


def compressed(values, syntax, encode, **more):
    film = stored(values, syntax, **more)
    film.PixelData = encapsulate([encode(values)])
    return film


def jpeg_lossless(values):
    return imagecodecs.jpeg8_encode(values, lossless=True, predictor=1)


def jpeg_2000(values, **options):
    return imagecodecs.jpeg2k_encode(values, reversible=True, codecformat="j2k", **options)


@pytest.mark.parametrize(
    ("film", "truth"),
    [
        (compressed(GREY, JPEG2000Lossless, jpeg_2000), GREY),
        (compressed(GREY, JPEGLSLossless, imagecodecs.jpegls_encode), GREY),
        (compressed(SIGNED, JPEG2000Lossless, jpeg_2000), SIGNED),
        (compressed(SIGNED, JPEG2000Lossless, jpeg_2000, BitsStored=12), SIGNED),
        # of values beyond the bits stored, as much as these hold; JPEG 2000 has bits of its own
        (compressed(GREY, JPEGLosslessSV1, jpeg_lossless, BitsStored=11), GREY & 0x7FF),
        (compressed(GREY, JPEG2000Lossless, jpeg_2000, BitsStored=11), GREY),
        # in fewer bits than the header has room for
        (
            compressed(
                *(GREY.astype(np.uint8), JPEG2000Lossless, jpeg_2000),
                BitsAllocated=16,
                BitsStored=8,
            ),
            GREY.astype(np.uint8),
        ),
        (compressed(COLOUR, JPEG2000Lossless, lambda v: jpeg_2000(v, mct=False)), COLOUR),
        (
            compressed(
                *(COLOUR, JPEG2000Lossless, lambda v: jpeg_2000(v, mct=True)),
                PhotometricInterpretation="YBR_RCT",
            ),
            COLOUR,
        ),
        (compressed(COLOUR, JPEGLSLossless, imagecodecs.jpegls_encode), COLOUR),
        # the order of the samples in a compressed frame is that of its syntax
        (
            compressed(COLOUR, JPEGLSLossless, imagecodecs.jpegls_encode, PlanarConfiguration=1),
            COLOUR,
        ),
        (
            compressed(
                *(COLOUR, JPEGLSLossless, imagecodecs.jpegls_encode),
                PhotometricInterpretation="YBR_FULL",
            ),
            convert_color_space(COLOUR, "YBR_FULL", "RGB"),
        ),
    ],
)
def test_a_decompressed_frame_has_the_signs_bits_and_colours_of_its_header(film, truth, asked):
    found = decode(film, 0, Path("a.dcm"))
    np.testing.assert_array_equal(found, truth)
    assert found.dtype.kind == truth.dtype.kind
    ((stream, shape, seconds),) = asked
    samples = truth.shape[2] if truth.ndim > 2 else 1
    assert shape == (*truth.shape[:2], samples, film.BitsAllocated)
    count = truth.size
    assert seconds == pytest.approx(5 + 1e-7 * count + 1.5e-6 * len(stream.data), abs=1e-9)


def test_the_limit_of_a_frame_is_in_bytes_uncompressed(asked, monkeypatch):
    film = compressed(COLOUR, JPEGLSLossless, imagecodecs.jpegls_encode)
    monkeypatch.setattr(pixels, "FRAME_BYTES", COLOUR.nbytes)
    decode(film, 0, Path("a.dcm"))
    monkeypatch.setattr(pixels, "FRAME_BYTES", COLOUR.nbytes - 1)
    words = r"^a\.dcm: its image takes more than 0 MB uncompressed \(JPEG-LS .*\); export it again"
    with pytest.raises(RadiographError, match=words):
        decode(film, 0, Path("a.dcm"))
    film.BitsAllocated = 12  # two bytes each
    monkeypatch.setattr(pixels, "FRAME_BYTES", 2 * COLOUR.nbytes - 1)
    with pytest.raises(RadiographError, match="takes more than 0 MB uncompressed"):
        decode(film, 0, Path("a.dcm"))


def test_a_frame_is_found_among_others(asked):
    frames = [imagecodecs.jpegls_encode(GREY // number) for number in (1, 2, 3)]
    film = stored(GREY, JPEGLSLossless, NumberOfFrames=3)
    for bot in (True, False):
        film.PixelData = encapsulate(frames, has_bot=bot)
        for index in range(3):
            found = decode(film, index, Path("a.dcm"))
            np.testing.assert_array_equal(found, GREY // (index + 1))
    data, offsets, lengths = encapsulate_extended(frames)
    film.PixelData, film.ExtendedOffsetTable, film.ExtendedOffsetTableLengths = (
        data,
        offsets,
        lengths,
    )
    np.testing.assert_array_equal(decode(film, 2, Path("a.dcm")), GREY // 3)


def test_a_damaged_frame_is_refused_with_the_fault_of_its_header(asked):
    film = stored(GREY, JPEGLSLossless)
    film.PixelData = encapsulate([b"\xff\xd8\0\0"])
    with pytest.raises(RadiographError, match=r"^a\.dcm: its image is damaged \(JPEG-LS"):
        decode(film, 0, Path("a.dcm"))
    assert asked == []


def test_pydicom_has_our_decoder_in_these_films_alone():
    assert pixels.is_available(JPEGLSLossless) and not pixels.is_available(ExplicitVRLittleEndian)
    ours = pixels._decoder(JPEGLSLossless)
    assert ours.available_plugins == ("boneseg",)
    assert "boneseg" not in get_decoder(JPEGLSLossless).available_plugins
