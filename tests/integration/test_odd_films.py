"""Odd DICOM films: shutters, overlays, oblong pixels, wrong words: segmented right, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from boneseg.bundle.shipped import sample_films
from boneseg.dataset.case import Case
from boneseg.dataset.load import Film, fingerprint, read_films
from boneseg.dataset.open import open_dataset
from boneseg.errors import RadiographError
from boneseg.evaluation.evaluate import evaluate_model
from boneseg.evaluation.scores import score
from boneseg.inference.batch import segment_files
from boneseg.masks.formats.png import write_mask
from boneseg.preprocessing import Preparation, resize
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph
from boneseg.training.tensors import prepare_films
from tests.support import films
from tests.support.films import FULL
from tests.support.stored_values import BONE


def test_overlay_planes_are_not_drawn(tmp_path):
    plane = np.packbits(np.ones(48 * 64, np.uint8), bitorder="little").tobytes()
    path = films.dicom(tmp_path / "a.dcm", films.bone(), **FULL)
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x60000010, "US", 48)
    dataset.add_new(0x60000011, "US", 64)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", plane)
    dataset.save_as(path)
    np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-6)


@pytest.mark.parametrize(
    ("word", "negative"),
    [
        ("MONOCHROME1", True),
        ("monochrome1", True),
        ("MONOCHROME 1", True),
        ("Monochrome2", False),
        ("RGB", False),  # one sample a pixel: it cannot be
        ("YBR_FULL_422", False),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_photometric_words_are_read_as_they_are_meant(tmp_path, word, negative, syntax):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), syntax, **FULL)
    dataset = pydicom.dcmread(path)
    dataset["PhotometricInterpretation"].value = word
    dataset.save_as(path)
    expected = 1 - BONE if negative else BONE
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-6)


def test_three_samples_are_colours_whatever_the_word(tmp_path):
    grey = films.bone(top=255).astype(np.uint8)
    path = films.dicom(
        tmp_path / "a.dcm", np.stack([grey] * 3, -1), PhotometricInterpretation="MONOCHROME2"
    )
    np.testing.assert_allclose(read_radiograph(path).pixels, grey / 255, atol=0.01)


@pytest.mark.parametrize("word", [None, "", "GREY"])
def test_a_film_of_unknown_polarity_is_refused(tmp_path, word):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), PhotometricInterpretation=word)
    with pytest.raises(RadiographError, match="its polarity is unknown"):
        read_radiograph(path)


def test_numbers_in_the_wrong_representation_are_numbers(tmp_path):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), **FULL)
    dataset = pydicom.dcmread(path)
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        dataset.add_new(keyword, "LO", str(dataset[keyword].value))
    dataset.add_new("WindowCenter", "LO", "2048")
    dataset.add_new("WindowWidth", "US", 4096)
    dataset.save_as(path)
    np.testing.assert_allclose(read_radiograph(path).pixels, BONE, atol=1e-6)


def test_frames_of_an_enhanced_film_have_their_own_windows(tmp_path):
    frames = np.stack([films.bone(), films.bone() // 2])
    path = films.dicom(tmp_path / "a.dcm", frames)
    dataset = pydicom.dcmread(path)
    dataset.PerFrameFunctionalGroupsSequence = [window_of(2048, 4096), window_of(1024, 2048)]
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    measures = Dataset()
    measures.PixelSpacing = [0.2, 0.2]
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [measures]
    dataset.save_as(path)
    for frame, top in ((1, 4095), (2, 2047)):
        film = read_radiograph(path, frame=frame)
        np.testing.assert_allclose(film.pixels, frames[frame - 1] / top, atol=1e-3)
        assert film.spacing_mm == (0.2, 0.2)


def window_of(center, width):
    window, group = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = center, width
    group.FrameVOILUTSequence = [window]
    return group


@pytest.mark.parametrize(
    ("words", "aspect"),
    [
        ({}, 1),
        ({"PixelAspectRatio": [2, 1]}, 2),
        ({"PixelSpacing": [0.1, 0.2]}, 0.5),
        ({"PixelSpacing": [0.1, 0.2], "PixelAspectRatio": [2, 1]}, 0.5),
        ({"ImagerPixelSpacing": [0.3, 0.2]}, 1.5),
        ({"PixelSpacing": [0.2001, 0.2]}, 1),
        ({"PixelSpacing": [0.001, 50]}, 1),  # nobody's
        ({"PixelAspectRatio": [0, 1]}, 1),
    ],
)
def test_the_aspect_of_oblong_pixels_is_read(tmp_path, words, aspect):
    film = read_radiograph(films.dicom(tmp_path / "a.dcm", films.bone(), **words))
    assert film.aspect == pytest.approx(aspect)


def squeezed(tmp_path, aspect):
    """A sample film, and the same squeezed along one axis, as DICOM that says so."""
    film = read_radiograph(sorted(sample_films().glob("*.png"))[0])
    height, width = film.pixels.shape
    size = (round(height / aspect), width) if aspect > 1 else (height, round(width * aspect))
    stored = np.rint(np.clip(resize(film.pixels, size), 0, 1) * 4095).astype(np.uint16)
    ratio = [round(aspect * 1000), 1000]
    path = films.dicom(tmp_path / "film.dcm", stored, PixelAspectRatio=ratio, **FULL)
    return film, read_radiograph(path)


@pytest.mark.parametrize("aspect", [3.0, 1 / 3])
def test_oblong_pixels_change_nothing_of_what_is_found(tmp_path, engine, aspect):
    film, oblong = squeezed(tmp_path, aspect)
    found, size = engine.find(oblong), oblong.pixels.shape
    assert found.mask.shape == found.probability.shape == found.pixels.shape == size
    truth = resize(engine.segment(film).astype(np.float32), size) >= 0.5
    ignored = score(engine.segment(oblong.pixels), truth).dice
    assert score(found.mask, truth).dice > max(0.95, ignored)


@pytest.mark.parametrize("aspect", [3.0, 1 / 3])
def test_oblong_films_are_trained_on_and_scored_as_the_square_film_is(tmp_path, engine, aspect):
    (tmp_path / "images").mkdir()
    film, oblong = squeezed(tmp_path / "images", aspect)
    mask = engine.segment(film)
    there = resize(mask.astype(np.float32), oblong.pixels.shape) >= 0.5
    (tmp_path / "masks").mkdir()
    write_mask(tmp_path / "masks" / "film.png", there)
    dataset = open_dataset(tmp_path)
    (case,) = evaluate_model(dataset, engine.segment).summary.cases
    ignored = evaluate_model(dataset, lambda film: engine.segment(film.pixels)).summary.cases[0]
    assert case.scores.dice > max(0.95, ignored.scores.dice)
    (read,) = read_films(dataset.cases)
    assert read.shape == oblong.pixels.shape
    assert read.square_shape == pytest.approx(film.pixels.shape, abs=2)
    prepared = prepare_films([read], Preparation(96, 96))
    grid, place = Preparation(96, 96).film(film.pixels)
    assert np.abs(prepared.films[0, 0].numpy() - grid).mean() < 0.1  # of a standard deviation
    kept = Preparation(96, 96).mask(mask, place)
    assert score(prepared.masks[0, 0].numpy(), kept).dice > 0.93  # a third of the rows is left


def test_the_shape_of_pixels_is_part_of_a_films_fingerprint():
    def of(aspect):
        film = Radiograph(BONE, None, "unknown", Path("a.dcm"), aspect)
        return fingerprint([Film(Case("a", film.source, film.source), film, BONE > 0.5)])

    assert len({of(1.0), of(2.0), of(0.5)}) == 3


def test_a_private_encoding_is_refused_by_name_of_its_kind(tmp_path):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), **FULL)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2"  # of a maker's own
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    with pytest.raises(RadiographError, match=r"cannot be decoded \(unknown transfer syntax\)"):
        read_radiograph(path)


@pytest.mark.slow
def test_every_file_of_pydicom_is_segmented_or_refused_in_one_line(tmp_path, engine):
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    results = segment_files(paths, tmp_path, engine, formats=("mask",))
    assert len(results) == len(paths) > 150
    done = [result for result in results if result.error is None]
    assert len(done) > 5
    for result in results:
        assert result.error is None or "\n" not in result.error
        for name in result.outputs.values():
            assert set(np.unique(np.asarray(Image.open(tmp_path / name)))) <= {0, 255}
