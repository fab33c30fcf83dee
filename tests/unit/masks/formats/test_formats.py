"""Every format, suffix, type and shape of masks that a list in the code or the docs names."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError
from boneseg.masks.formats import (
    DICOM_READER,
    DOCUMENT_FORMATS,
    FORMATS,
    JSON_READERS,
    JSON_SUFFIX,
    READERS,
)
from boneseg.masks.read import read_mask
from boneseg.radiograph.sniff import DICOM_SUFFIXES
from tests.support import ROOT
from tests.support.annotations import READ, masks
from tests.support.films import DATA, needs_data
from tests.support.readings import MASK, dicom_film, picture, reading
from tests.support.regions import (
    SHAPE,
    Mask,
    coco_region,
    cvat_region,
    label_studio_region,
    labelme_region,
    mask_of,
    rectangle,
    yolo_region,
)

DOCS = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")


# --- files of annotations ---

_WRITTEN_BY = {
    ".json": ("labelme", "coco", "coco-polygons", "label-studio"),
    ".xml": ("cvat",),
    ".txt": ("yolo",),
    ".seg.nrrd": ("nrrd",),
    ".nrrd": ("nrrd",),
    ".nii.gz": ("nifti",),
    ".nii": ("nifti",),
    **dict.fromkeys(DICOM_SUFFIXES, ("dicom-seg",)),
    "": ("dicom-seg",),  # by its mark alone
}


@pytest.mark.parametrize("suffix", [JSON_SUFFIX, *READERS, *DICOM_SUFFIXES, ""])
def test_a_mask_is_read_from_every_kind_of_annotation(suffix: str, tmp_path: Path) -> None:
    assert suffix in _WRITTEN_BY, (
        f"{suffix} is read: add a row to _WRITTEN_BY of this module, with the formats that are "
        "written in such a file"
    )
    for kind in _WRITTEN_BY[suffix]:
        root, form = tmp_path / kind, FORMATS[kind]
        make, ending = (dicom_film, "dcm") if kind == "dicom-seg" else (picture, "png")
        film = make(root / "images" / f"knee.{ending}")
        path = root / "masks" / f"knee{suffix}"
        path.parent.mkdir()
        one = reading(film, MASK)
        if form.document:
            form.write_document(path, [form.entry(one)])
        else:
            form.write(path, one)
        if suffix == ".nii":
            path.write_bytes(gzip.decompress(path.read_bytes()))
        (case,) = open_dataset(root).cases
        assert np.array_equal(case.read_mask(SHAPE), MASK)


def rows(table: str) -> dict[str, list[list[str]]]:
    """A table of the docs: the words of each cell by the first cell of their row."""
    lines = DOCS[DOCS.index(table) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: [cell.split(", ") for cell in others] for name, *others in cells}


SHAPES: dict[str, dict[str, Callable[[], tuple[str, Any]]]] = {
    "LabelMe JSON": {
        kind: (lambda kind=kind: ("knee.json", labelme_region(kind)))
        for kind in (
            *("polygon", "mask", "circle"),
            *("rectangle", "line", "linestrip", "point", "points"),
        )
    },
    "COCO JSON": {
        kind: (lambda kind=kind: ("instances.json", coco_region(kind)))
        for kind in ("polygons", "run lengths as numbers", "run lengths as text", "boxes alone")
    },
    "CVAT for images 1.1": {
        kind: (lambda kind=kind: ("annotations.xml", cvat_region(kind)))
        for kind in (
            *("polygon", "mask", "ellipse"),
            *("box", "polyline", "points", "cuboid", "skeleton"),
        )
    },
    "Label Studio JSON": {
        kind: (lambda kind=kind: ("project.json", label_studio_region(kind)))
        for kind in (
            *("brush", "bitmask", "polygon", "ellipse"),
            *("rectangle", "keypoint", "vector"),
        )
    },
    "YOLO": {
        "polygons": lambda: ("knee.txt", yolo_region()),
        "boxes": lambda: ("knee.txt", "0 0.25 0.4 0.25 0.5\n"),
    },
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_docs_describe_every_format_that_is_written(name: str) -> None:
    described = [row.split()[0] for row in rows("| format | written as |")]
    assert f"`{name}`" in described, (
        f"docs/reference/formats.md: add a row of `{name}` to the table of formats written"
    )


@pytest.mark.parametrize(
    "name", sorted({reader.name for reader in (*READERS.values(), *JSON_READERS, DICOM_READER)})
)
def test_the_docs_describe_every_format_that_is_read(name: str) -> None:
    described = rows("| format | read | not read |")
    assert any(name in row for row in described), (
        f"docs/reference/formats.md: add a row of {name} to the table of formats read"
    )


def test_the_shapes_that_the_docs_name_are_those_tested() -> None:
    named = rows("| format | read | not read |")
    for name, kinds in SHAPES.items():
        assert set(kinds) == set(named[name][0] + named[name][1])


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in SHAPES.items() for kind in kinds]
)
def test_a_shape_is_painted_or_refused_by_its_name(name: str, kind: str, tmp_path: Path) -> None:
    painted, _ = rows("| format | read | not read |")[name]
    file, content = SHAPES[name][kind]()
    if kind not in painted:
        with pytest.raises(MaskError, match=r"labelled (bone|0), which does not follow"):
            mask_of(tmp_path, file, content)
        return
    mask = mask_of(tmp_path, file, content)
    if kind in ("circle", "ellipse"):
        area = np.pi * 10 * (10 if kind == "circle" else 15)
        assert mask.sum() == pytest.approx(area, abs=6)
        assert mask[25, 20]
    else:
        assert np.array_equal(mask, rectangle())


# --- there and back ---


@pytest.mark.parametrize("kind", READ)
@given(mask=masks)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_every_mask_comes_back_pixel_for_pixel(
    kind: str, mask: Mask, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, form = tmp_path_factory.mktemp("film"), FORMATS[kind]
    make, suffix = (dicom_film, "dcm") if kind == "dicom-seg" else (picture, "png")
    film = make(root / "images" / f"knee.{suffix}", *mask.shape)
    path = root / "masks" / (form.document or f"knee{form.suffix}")
    path.parent.mkdir()
    one = reading(film, mask)
    if form.document:
        form.write_document(path, [form.entry(one)])
    else:
        form.write(path, one)
    if kind == "yolo" and not mask.any():
        return  # an empty file, which alone is not a mask
    (case,) = open_dataset(root).cases
    assert np.array_equal(case.read_mask((mask.shape[0], mask.shape[1])), mask)


@pytest.mark.parametrize("kind", DOCUMENT_FORMATS)
def test_a_document_is_added_to_without_a_change_of_what_it_holds(
    kind: str, tmp_path: Path
) -> None:
    form, left = DOCUMENT_FORMATS[kind], MASK.copy()
    left[:, 40:] = False
    films = [picture(tmp_path / name) for name in ("knee.png", "left hip 20%.png")]
    knee, hip = (reading(film, MASK) for film in films)
    entries = [form.entry(knee), form.entry(replace(hip, named={"left femur": left}))]
    form.write_document(tmp_path / "first", entries)
    known = form.read_document(tmp_path / "first")
    assert list(known) == [film.name for film in films]
    form.write_document(tmp_path / "again", list(known.values()))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "first").read_bytes()


@needs_data
@pytest.mark.parametrize("part", ["legs", "spine", "knee-femur"])
def test_real_masks_come_back_from_polygons(part: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = sorted(path.name for path in (DATA / part / "masks").glob("*.png"))[::30][:3]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(DATA / part / folder / name, root / folder)
    for tolerance, least in ((0.35, 1.0), (0.5, 0.999)):
        out = tmp_path / f"{tolerance}"
        convert_dataset(open_dataset(root), out, ["labelme"], tolerance=tolerance)
        back = open_dataset(None, images=root / "images", masks=out)
        for case in back.cases:
            truth = read_mask(root / "masks" / f"{case.name}.png")
            assert (case.read_mask((truth.shape[0], truth.shape[1])) == truth).mean() >= least
