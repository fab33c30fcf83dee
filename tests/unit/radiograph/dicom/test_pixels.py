"""Pixel data: bit for bit what was stored, in every encoding."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from boneseg.errors import RadiographError
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
    second = read_radiograph(path, frame=2).pixels
    np.testing.assert_allclose(second, frames[1] / 4095, atol=1e-6)
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
