"""Tasks of the workers, run in this process."""

from __future__ import annotations

import gzip
import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from boneseg.errors import MaskError
from boneseg.inference.engine import Engine
from boneseg.masks.formats import FORMATS
from boneseg.radiograph.read import read_radiograph
from boneseg.server.encoding import packed_mask, unpacked_mask
from boneseg.server.storage.cache import ALL
from boneseg.server.storage.results import FACTS, FILM, SUGGESTION, StoredFacts
from boneseg.server.workers.tasks import ExportMask, ReadMask, SegmentFilm, SegmentUpload
from tests.support.films import PATIENT
from tests.support.lightbox import FOOT, png
from tests.support.readings import dicom_film
from tests.support.verdicts import REVIEW


def test_a_segmented_film_has_all_files_and_the_mask_of_the_engine(
    tmp_path: Path, engine: Engine
) -> None:
    facts = SegmentFilm(FOOT, "foot.png", tmp_path / "cache", "stamp").run(engine)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted(ALL)
    assert StoredFacts.read(tmp_path / "cache" / FACTS) == facts
    film = read_radiograph(FOOT)
    shape = (facts.height, facts.width)
    assert shape == film.pixels.shape
    bits = gzip.decompress((tmp_path / "cache" / SUGGESTION).read_bytes())
    mask = unpacked_mask(bits, shape, "")
    assert np.array_equal(mask, engine.segment(film)) and facts.area_px == mask.sum()
    values = np.frombuffer(gzip.decompress((tmp_path / "cache" / FILM).read_bytes()), "<u2")
    assert np.abs(values.reshape(shape) / 65535 - film.pixels).max() <= 0.5 / 65535 + 1e-6
    assert facts.judgement() == engine.find(film).verdict.rounded()


def test_an_upload_gets_its_facts_and_its_mask(tmp_path: Path, engine: Engine) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(FOOT.read_bytes())
    facts, content = SegmentUpload(upload, "foot.png", "mask").run(engine)
    mask = np.asarray(Image.open(io.BytesIO(content)))
    assert mask.shape == (facts.height, facts.width) and facts.area_px == (mask > 0).sum()
    assert "stamp" not in facts.model_dump()
    _, document = SegmentUpload(upload, "foot.png", "coco").run(engine)
    assert b'"area"' in document
    assert list(tmp_path.iterdir()) == [upload]  # the temporary document is gone


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_mask_is_exported_in_every_format(form: str, tmp_path: Path, engine: Engine) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    spool = tmp_path / "spool"
    spool.mkdir()
    mask = np.zeros((60, 80), bool)
    mask[10:30, 20:50] = True
    task = ExportMask(film, "knee", form, packed_mask(mask), "both", spool)
    name, content = task.run(engine)
    assert name == "knee.dcm" and content
    assert not list(spool.iterdir())
    if form == "mask":
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))) > 0, mask)


def test_a_dicom_segmentation_says_who_made_it(tmp_path: Path, engine: Engine) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    drawn = png(tmp_path / "mask.png", np.eye(60, 80, dtype=np.uint8) * 255)
    task = ExportMask(film, "knee", "dicom-seg", drawn, "model", tmp_path)
    kinds = {}
    for author in ("model", "both", "person"):
        content = replace(task, author=author).run(engine)[1]
        found = pydicom.dcmread(io.BytesIO(content))
        assert found.PatientName == PATIENT  # by design
        kinds[author] = found.SegmentSequence[0].SegmentAlgorithmType
    assert kinds == {"model": "AUTOMATIC", "both": "SEMIAUTOMATIC", "person": "MANUAL"}


def test_a_dicom_segmentation_has_the_verdict_on_an_unchanged_mask(
    tmp_path: Path, engine: Engine
) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    bits = packed_mask(np.eye(60, 80, dtype=bool))
    described = {}
    for author in ("model", "both"):
        verdict = REVIEW if author == "model" else None
        task = ExportMask(film, "knee", "dicom-seg", bits, author, tmp_path, verdict)
        described[author] = pydicom.dcmread(io.BytesIO(task.run(engine)[1])).ContentDescription
    assert described == {"model": "Bones, mask: review, trust 0.81", "both": "Bones, mask"}


def test_an_export_is_named_without_patient_data(tmp_path: Path, engine: Engine) -> None:
    film = dicom_film(tmp_path / "4711.dcm", PatientID="4711")
    empty = packed_mask(np.zeros((60, 80), bool))
    name, _ = ExportMask(film, "4711", "mask", empty, "person", tmp_path).run(engine)
    assert "4711" not in name


def test_an_uploaded_mask_is_png_and_one_of_the_folder_any_picture(
    tmp_path: Path, engine: Engine
) -> None:
    values = np.eye(20, 30, dtype=np.uint8) * 255
    for suffix in ("png", "tif", "bmp"):
        path = png(tmp_path / f"mask.{suffix}", values)
        packed = ReadMask(path, "mask", (20, 30), uploaded=False).run(engine)
        assert np.array_equal(unpacked_mask(gzip.decompress(packed), (20, 30), ""), values > 0)
        task = ReadMask(path, "mask", (20, 30), uploaded=True)
        if suffix == "png":
            assert task.run(engine) == packed
        else:
            with pytest.raises(MaskError, match="is not PNG; send the mask as PNG or as bits"):
                task.run(engine)
    with pytest.raises(MaskError):
        ReadMask(tmp_path / "mask.png", "mask", (30, 20), uploaded=True).run(engine)


def test_only_masks_are_urgent() -> None:
    assert ReadMask.urgent and not SegmentUpload.urgent
    assert not SegmentFilm.urgent and not ExportMask.urgent


def test_tasks_survive_the_way_to_the_worker() -> None:
    path = Path("knee.dcm")
    tasks = (
        SegmentFilm(path, "knee", Path("cache"), "1-2"),
        SegmentUpload(path, "knee", "mask"),
        ExportMask(path, "knee", "nrrd", b"bits", "both", Path("spool")),
        ReadMask(path, "knee", (2, 3), uploaded=True),
    )
    assert tuple(pickle.loads(pickle.dumps(task)) for task in tasks) == tasks
