"""Every suffix, format, modality and photometric word that is listed, tried one by one."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.header import COLOUR, GREY
from boneseg.radiograph.dicom.read import PROJECTIONS
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.picture import FORMATS
from boneseg.radiograph.read import read_radiograph
from boneseg.radiograph.sniff import SUFFIXES
from tests.support import films

GRAY = films.bone(top=255).astype(np.uint8)
UNIT = GRAY / 255
DEEP = films.bone(top=65535)
FULL = {"WindowCenter": 2048, "WindowWidth": 4096}
PILLOW = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
PILLOW |= {".bmp": "BMP", ".webp": "WEBP"}


def near(path: Path, expected, tolerance: float = 1e-6) -> None:
    pixels = read_radiograph(path).pixels
    assert pixels.shape == expected.shape
    np.testing.assert_allclose(pixels, expected, atol=tolerance)


def picture(path: Path, mode: str = "L", **options) -> Path:
    """The film in a mode of Pillow."""
    image = Image.fromarray(GRAY)
    if mode == "1":
        image = Image.fromarray(GRAY > 99)
    elif mode == "I;16":
        image = Image.fromarray(DEEP)
    elif mode == "I;16B":
        image = Image.fromarray(DEEP.astype(">u2"))
    elif mode == "I":
        image = Image.fromarray(DEEP.astype(np.int32))
    elif mode == "F":
        image = Image.fromarray(UNIT.astype(np.float32))
    elif mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image.convert("RGB"), *profiles, outputMode="LAB")
    elif mode != "L":
        image = image.convert(mode)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_is_found_and_read(tmp_path, suffix, upper):
    name = tmp_path / f"film{suffix.upper() if upper else suffix}"
    if suffix in PILLOW:
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98}}.get(PILLOW[suffix], {})
        picture(name, format=PILLOW[suffix], **options)
    else:
        films.dicom(name, GRAY)
    assert find_radiographs([tmp_path]) == [name]
    near(name, UNIT, 0.02 if PILLOW.get(suffix) == "JPEG" else 1e-6)


def test_every_format_has_a_suffix():
    assert set(PILLOW.values()) == set(FORMATS)
    assert set(PILLOW) == {suffix for suffix in SUFFIXES if not suffix.startswith(".d")}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")),
        *(("TIFF", mode) for mode in ("LAB", "I;16", "I;16B", "I", "F")),
        *(("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    ],
)
def test_every_mode_of_every_format(tmp_path, kind, mode):
    options = {"JPEG": {"quality": 97}, "WEBP": {"lossless": True}}.get(kind, {})
    path = picture(tmp_path / "a", mode, format=kind, **options)
    near(path, (GRAY > 99).astype(float) if mode == "1" else UNIT, 0.02)


@pytest.mark.parametrize(
    "packing",
    [None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd", "jpeg"],
)
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_every_packing_of_a_tiff(tmp_path, packing, mode):
    if packing == "jpeg" and mode == "I;16":
        return  # which has no 16 bits
    near(picture(tmp_path / "a.tif", mode, compression=packing), UNIT, 0.03)


@pytest.mark.parametrize("packing", ["group3", "group4", "tiff_ccitt", "packbits"])
def test_every_packing_of_single_bits(tmp_path, packing):
    near(picture(tmp_path / "a.tif", "1", compression=packing), (GRAY > 99).astype(float))


@pytest.mark.parametrize("suffix", [".tif", ".dcm", ".json"])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "F"])
def test_a_big_tiff_is_read_by_its_content(tmp_path, mode, suffix):
    path = picture(tmp_path / f"a{suffix}", mode, format="TIFF", big_tiff=True)
    assert path.read_bytes()[:4] == b"II+\0"
    near(path, UNIT, 0.003)


@pytest.mark.parametrize("mark", [b"II+\0", b"MM\0+"])
def test_a_big_tiff_cut_short_is_refused_in_one_line(tmp_path, mark):
    path = tmp_path / "a.tif"
    for rest in (b"", b"\x08\0\0\0", b"\x08\0\0\0" + b"\xff" * 8, bytes(60)):
        path.write_bytes(mark + rest)
        with pytest.raises(RadiographError) as refusal:
            read_radiograph(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"optimize": True}])
def test_every_kind_of_jpeg(tmp_path, options):
    near(picture(tmp_path / "a.jpg", "RGB", quality=97, **options), UNIT, 0.02)


def png(path: Path, rows: list[bytes], depth: int, colour: int, **chunks: bytes) -> Path:
    """A PNG of packed rows, with chunks before its data."""
    header = struct.pack(">IIBBBBB", GRAY.shape[1], GRAY.shape[0], depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    written = b"\x89PNG\r\n\x1a\n"
    parts = {"IHDR": header, **chunks, "IDAT": data, "IEND": b""}
    for name, content in parts.items():
        body = name.encode() + content
        written += struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(written)
    return path


def packed(values, depth: int) -> list[bytes]:
    bits = np.unpackbits(np.asarray(values, np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return [np.packbits(row.ravel()).tobytes() for row in bits]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_every_depth_of_a_png(tmp_path, depth, transparent):
    """Grey, and a palette that runs backwards; what is transparent is black."""
    top = 2**depth - 1
    levels = np.rint(UNIT * top).astype(np.uint8)
    more = {"tRNS": b"\0\0"} if transparent else {}
    near(png(tmp_path / "a.png", packed(levels, depth), depth, 0, **more), levels / top, 0.003)
    palette = b"".join(bytes([round(255 * (top - k) / top)] * 3) for k in range(top + 1))
    more = {"tRNS": b"\xff" * top + b"\0"} if transparent else {}
    path = png(tmp_path / "a.png", packed(top - levels, depth), depth, 3, PLTE=palette, **more)
    near(path, levels / top, 0.003)


# --- DICOM ---


@pytest.mark.parametrize("padding", ["", " ", "\0"])
@pytest.mark.parametrize("modality", PROJECTIONS)
def test_every_modality_is_read(tmp_path, modality, padding):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), Modality=modality + padding, **FULL)
    near(path, films.bone() / 4095)


@pytest.mark.parametrize(
    "kind",
    [
        "CTImageStorage",
        "MRImageStorage",
        "UltrasoundImageStorage",
        "XRay3DAngiographicImageStorage",
        "XRay3DCraniofacialImageStorage",
        "BreastTomosynthesisImageStorage",
    ],
)
@pytest.mark.parametrize("modality", ["", "XA", "MG", "OT"])
def test_a_kind_of_object_that_is_not_a_projection_is_refused(tmp_path, kind, modality):
    """Whatever Modality says: a volume of an angiography is of modality XA (A.53.3.1)."""
    uid = getattr(pydicom.uid, kind)
    path = films.dicom(tmp_path / "a.dcm", films.bone(), SOPClassUID=uid, Modality=modality)
    with pytest.raises(RadiographError, match="not a radiograph; give a projection"):
        read_radiograph(path)


@pytest.mark.parametrize("word", ["DOE", "JOHN", "DOEJOHN"])
def test_a_modality_that_could_be_a_name_is_not_repeated(tmp_path, word):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), Modality=word)
    with pytest.raises(RadiographError) as refusal:
        read_radiograph(path)
    assert "DICOM of another kind" in str(refusal.value) and word not in str(refusal.value)


RGB = np.stack([GRAY] * 3, -1)


def halved(samples):
    """YBR_FULL_422: two of Y, then one of each colour (PS3.3 C.7.6.3.1.2)."""
    y, b, r = np.moveaxis(samples, -1, 0)
    return np.stack([y[:, ::2], y[:, 1::2], b[:, ::2], r[:, ::2]], -1)


def of_word(path: Path, word: str) -> Path:
    """The film in the photometric interpretation that a word stands for, in its usual encoding."""
    if word in ("MONOCHROME1", "MONOCHROME2"):
        stored = GRAY if word == "MONOCHROME2" else 255 - GRAY
        return films.dicom(path, stored, PhotometricInterpretation=word)
    if word == "PALETTE COLOR":
        return palette(path)
    if word == "YBR_FULL":
        ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
        return films.dicom(path, ybr, PhotometricInterpretation=word)
    if word == "YBR_FULL_422":
        data = halved(convert_color_space(RGB, "RGB", "YBR_FULL")).tobytes()
        return films.dicom(path, RGB, PhotometricInterpretation=word, PixelData=data)
    if word == "YBR_PARTIAL_420":  # of video; Pillow's JPEG is sampled so
        films.dicom(path, RGB, JPEGBaseline8Bit)
    else:
        codec = {"YBR_ICT": JPEG2000, "YBR_RCT": JPEG2000Lossless, "RGB": ExplicitVRLittleEndian}
        films.dicom(path, RGB, codec[word])
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation = word
    dataset.save_as(path)
    return path


def palette(path: Path, bits: int = 16, entries=None, **elements) -> Path:
    """A palette that runs backwards."""
    entries = list(range(256))[::-1] if entries is None else entries
    scale = 257 if bits == 16 else 1
    more: dict[str, object] = {}
    for band in ("Red", "Green", "Blue"):
        more[f"{band}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        data = np.array([entry * scale for entry in entries], "<u2").tobytes()
        more[f"{band}PaletteColorLookupTableData"] = data
    more |= elements
    return films.dicom(path, 255 - GRAY, PhotometricInterpretation="PALETTE COLOR", **more)


@pytest.mark.parametrize("word", [*GREY, *COLOUR])
def test_every_photometric_word(tmp_path, word):
    near(of_word(tmp_path / "a.dcm", word), UNIT, 0.012)


@pytest.mark.parametrize("word", COLOUR)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_words_of_compression_on_uncompressed_colours(tmp_path, word, syntax):
    """YBR_ICT and YBR_RCT are what a codestream undoes; nothing was left out of three samples."""
    samples = convert_color_space(RGB, "RGB", "YBR_FULL") if word.startswith("YBR_FULL") else RGB
    path = films.dicom(tmp_path / "a.dcm", samples, syntax)
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation = word
    dataset.save_as(path)
    near(path, UNIT, 0.012)


@pytest.mark.parametrize("word", ["YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"])
def test_words_of_other_compressions_on_a_jpeg(tmp_path, word):
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", RGB, JPEGBaseline8Bit))
    dataset.PhotometricInterpretation = word
    dataset.save_as(tmp_path / "a.dcm")
    near(tmp_path / "a.dcm", UNIT, 0.02)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("lacking", [0, 1, 20])
def test_palettes_are_read_as_other_tables_are(tmp_path, bits, lacking):
    """Short ones end early; 8 bits may have a word each."""
    entries = list(range(256))[::-1][: 256 - lacking]
    expected = np.array(entries)[np.minimum(255 - GRAY, 255 - lacking)] / 255
    near(palette(tmp_path / "a.dcm", bits, entries), expected, 0.003)


def test_a_palette_of_bytes(tmp_path):
    tables = {
        f"{band}PaletteColorLookupTableData": bytes(range(256))[::-1]
        for band in ("Red", "Green", "Blue")
    }
    near(palette(tmp_path / "a.dcm", 8, **tables), UNIT, 0.003)


@pytest.mark.parametrize("lacking", ["Data", "Descriptor"])
def test_a_palette_that_is_not_there_is_refused(tmp_path, lacking):
    path = palette(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    delattr(dataset, f"GreenPaletteColorLookupTable{lacking}")
    dataset.save_as(path)
    with pytest.raises(RadiographError, match="its palette is damaged"):
        read_radiograph(path)


WHOLE = {
    "png": {},
    "deep.png": {},
    "jpg": {},
    "tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "big.tif": {"big_tiff": True},
    "bmp": {},
    "webp": {"lossless": True},
}
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(sorted(WHOLE)), changes=CHANGES, near_end=st.booleans())
def test_a_picture_with_any_bytes_in_its_header_is_read_or_refused(
    tmp_path_factory, kind, changes, near_end
):
    """TIFFs may have their table at the end."""
    path = tmp_path_factory.getbasetemp() / f"whole.{kind}"
    if not path.exists():
        picture(path, "I;16" if "deep" in kind else "L", **WHOLE[kind])
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[-1 - place % len(data) if near_end else place % len(data)] = value
    film = path.with_name(f"film.{kind}")
    film.write_bytes(data)
    try:
        pixels = read_radiograph(film, frame=1).pixels
    except RadiographError as refusal:
        assert "\n" not in str(refusal) and str(refusal).startswith(f"{film}: ")
    else:
        assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1
