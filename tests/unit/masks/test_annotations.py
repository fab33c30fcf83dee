"""Masks in the files of other programs: what is written is read back; what others write is, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError, MaskError, UsageError
from boneseg.masks.annotations import _DOUBTFUL, _HOLES, read_named
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.png import write_mask
from boneseg.masks.read import read_mask
from tests.support.annotations import (
    CVAT,
    FRAME,
    HOLE,
    coco_document,
    dataset,
    drawn,
    labelled_apart,
    labelme,
    only_mask,
    segments,
    square,
    task,
)
from tests.support.polygons import (
    flat,
    labelme_polygons,
)
from tests.support.readings import MASK, dicom_film, picture, reading
from tests.support.regions import SQUARE, labelme_region, mask_of, rectangle


def test_labels_are_one_bone_and_a_hole_is_cut_out(tmp_path: Path) -> None:
    two = labelme(("femur", SQUARE), ("tibia", [[50, 10], [60, 10], [60, 20], [50, 20]]))
    both = only_mask(drawn(tmp_path / "a", "knee.json", two))
    assert both.sum() == 600 + 100
    with_hole = labelme(("bone", SQUARE), ("hole", HOLE), size=None)
    assert np.array_equal(only_mask(drawn(tmp_path / "b", "knee.json", with_hole)), square(True))


def test_a_label_is_chosen_and_an_unknown_one_is_refused_listing_the_others(tmp_path: Path) -> None:
    two = labelme(("femur", SQUARE), ("tibia", [[50, 10], [60, 10], [60, 20], [50, 20]]))
    root = drawn(tmp_path, "knee.json", two)
    assert np.array_equal(only_mask(root, labels=["femur"]), square())
    assert only_mask(root, labels=["femur", "tibia"]).sum() == 700
    with pytest.raises(UsageError, match="--label patella: is in no mask; available: femur, tibia"):
        open_dataset(root, labels=["patella"])
    write_mask(root / "masks" / "hip.png", MASK)
    picture(root / "images" / "hip.png")
    with pytest.raises(UsageError, match="is an image and has no labels"):
        open_dataset(root, labels=["femur"])


def test_unclear_labels_are_refused_listing_all_labels(tmp_path: Path) -> None:
    root = drawn(tmp_path, "knee.json", labelme(("bone", SQUARE), ("ignore", HOLE)))
    with pytest.raises(MaskError, match="labels bone, ignore, unclear whether ignore is bone"):
        only_mask(root)
    assert np.array_equal(only_mask(root, labels=["bone"]), square())


@pytest.mark.parametrize("kind", ["rectangle", "line", "point", "linestrip"])
def test_shapes_that_follow_no_outline_are_refused_unless_other_labels_are_chosen(
    kind: str, tmp_path: Path
) -> None:
    document = labelme(("bone", SQUARE))
    document["shapes"].append({"label": "box", "points": [[1, 1], [2, 2]], "shape_type": kind})
    root = drawn(tmp_path, "knee.json", document)
    with pytest.raises(MaskError, match=f"a {kind} labelled box, which does not follow"):
        only_mask(root)
    assert np.array_equal(only_mask(root, labels=["bone"]), square())


def test_one_file_may_replace_the_folder(tmp_path: Path) -> None:
    one = {"image_id": 7, "category_id": 3, "segmentation": [flat(SQUARE)]}
    root = drawn(tmp_path / "data", "instances.json", coco_document(one))
    file = (root / "masks" / "instances.json").rename(tmp_path / "data" / "instances.json")
    (root / "masks").rmdir()
    assert np.array_equal(only_mask(root), square())  # as tools export it, beside images/
    (case,) = open_dataset(None, images=root / "images", masks=file).cases
    assert np.array_equal(case.read_mask(FRAME), square())


def test_films_and_annotations_may_lie_in_one_folder(tmp_path: Path) -> None:
    picture(tmp_path / "knee.png")
    (tmp_path / "knee.json").write_text(json.dumps(labelme(("bone", SQUARE))))  # as LabelMe saves
    found = open_dataset(None, images=tmp_path, masks=tmp_path)
    assert [(case.image.name, case.mask.name) for case in found.cases] == [
        ("knee.png", "knee.json")
    ]
    study = tmp_path / "study"  # as it comes from a PACS
    film = dicom_film(study / "IM0001")
    FORMATS["dicom-seg"].write(study / "IM0002", reading(film, MASK))
    (case,) = open_dataset(None, images=study, masks=study).cases
    assert (case.image.name, case.mask.name) == ("IM0001", "IM0002")
    assert np.array_equal(case.read_mask(FRAME), MASK)


# --- bad files ---


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("knee.json", "{", "is damaged, or is not JSON"),
        ("knee.json", "{}", "is neither LabelMe JSON, nor COCO JSON, nor Label Studio JSON"),
        ("knee.json", {"shapes": [{"label": "bone"}]}, "is damaged, or is not LabelMe JSON"),
        ("knee.json", labelme(("bone", [[1, 1], [2, 2]])), "a polygon of fewer than 3 points"),
        ("knee.json", labelme(("bone", [[1, 1], [2, "x"], [3, 3]])), "is damaged"),
        ("knee.json", labelme(("bone", [[1, 1], [float("nan"), 2], [3, 3]])), "is damaged"),
        ("knee.json", labelme(("bone", SQUARE), size=(61, 80)), "mask is 61 x 80 pixels but"),
        ("knee.json", labelme(("bone", [[1, 1], [1e300, 2], [3, 3]])), "is damaged"),
        (
            "knee.json",
            labelme(("bone", [[1, 1], [2, 2]]), shape_type="mask", mask="no"),
            "a mask labelled bone is damaged",
        ),
        (
            "a.json",
            coco_document({"image_id": 9}, films=()),
            "annotates image 9, which is not listed",
        ),
        (
            "a.json",
            coco_document({"image_id": 7, "category_id": 3, "bbox": [1, 1, 5, 5]}),
            "a box labelled femur",
        ),
        (
            "a.json",
            coco_document(
                {
                    "image_id": 7,
                    "category_id": 3,
                    "segmentation": {"size": [60, 80], "counts": [5, 5]},
                }
            ),
            "labelled femur is damaged",
        ),
        *(
            (
                "a.json",
                coco_document(
                    {
                        "image_id": 7,
                        "category_id": 3,
                        "segmentation": {"size": [60, 80], "counts": counts},
                    }
                ),
                "labelled femur is damaged",
            )
            for counts in ([None, 4800], [10**30], 4800)
        ),
        ("a.json", [task(*labelled_apart("brush", "bone", rle=None))], "labelled bone is damaged"),
        ("a.json", [task(*labelled_apart("brush", "bone", rle=[1.5]))], "labelled bone is damaged"),
        ("a.xml", "<annotations", "is damaged, or is not XML"),
        (
            "a.xml",
            '<?xml version="1.0" encoding="x-y"?><annotations/>',
            "is damaged, or is not XML",
        ),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "is damaged, or is not XML"),
        ("knee.xml", "<annotation/>", "is not CVAT for images"),
        ("knee.txt", "0 0.1 0.1 0.2 0.2", "a box labelled 0"),
        ("knee.seg.nrrd", "NRRD0004\n", "is damaged, or is not NRRD"),
        (
            "knee.nrrd",
            "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 80 60\nencoding: raw\n"
            "data file: ../images/knee.png\n\n",
            "keeps its pixels in another file",
        ),
        (
            "a.xml",
            CVAT.format(
                '<mask label="b" rle="9999999999" left="0" top="0" width="99999" height="99999"/>'
            ),
            "a mask labelled b unpacks to more than the 400 MB",
        ),
        ("knee.nii", "no", "is damaged, or is not NIfTI"),
        ("knee.dcm", "no", "is damaged, or is not a DICOM file"),
    ],
)
def test_bad_files_are_reported_in_one_line(
    file: str, content: Any, words: str, tmp_path: Path
) -> None:
    root = drawn(tmp_path, file, content)
    with pytest.raises((MaskError, DatasetError), match=words) as caught:
        only_mask(root)
    assert str(root / "masks" / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_film_without_pixels_is_refused(tmp_path: Path) -> None:
    root = drawn(tmp_path, "knee.json", labelme(("bone", SQUARE), size=(-60, 80)))
    with pytest.raises(MaskError, match="gives a film size of 0"):
        read_mask(root / "masks" / "knee.json")


def test_a_probability_is_not_a_mask(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "images" / "knee.dcm")
    (tmp_path / "masks").mkdir()
    path = tmp_path / "masks" / "knee.dcm"
    FORMATS["dicom-seg-fractional"].write(path, reading(film, MASK))
    with pytest.raises(MaskError, match="is a fractional segmentation, not a binary one"):
        only_mask(tmp_path)
    dataset = pydicom.dcmread(path)
    dataset.SegmentationType = "ZAPHOD"  # which could be of its patient
    dataset.save_as(path)
    with pytest.raises(MaskError, match="is a segmentation of another type, not a binary one"):
        only_mask(tmp_path)


def test_a_file_for_many_films_requires_a_film_name(tmp_path: Path) -> None:
    root = drawn(tmp_path, "a.json", coco_document(films=("a.png", "b.png")))
    with pytest.raises(MaskError, match=r"holds a.png, b.png; choose one of them"):
        read_mask(root / "masks" / "a.json")
    assert not read_mask(root / "masks" / "a.json", film="b.png").any()
    with pytest.raises(MaskError, match=r"has no mask for c.png"):
        read_mask(root / "masks" / "a.json", film="c.png")


def test_a_dicom_film_is_not_a_mask(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    dicom_film(tmp_path / "masks" / "knee.dcm")
    with pytest.raises(MaskError, match="is DICOM, but not a Segmentation"):
        only_mask(tmp_path)


def test_other_json_among_masks_is_skipped(tmp_path: Path) -> None:
    root = dataset(tmp_path, "a", "b")
    (root / "masks" / "segment.json").write_text('[{"input": "a.png"}]')
    found = open_dataset(root)
    assert (len(found.cases), found.unpaired_masks) == (2, ())


def test_text_of_a_file_does_not_break_the_line_of_its_error(tmp_path: Path) -> None:
    path = segments(tmp_path / "knee.seg.nrrd")
    head, _, body = path.read_bytes().partition(b"\n\n")
    for word in ("a\x0bb", "a\x85b", "a\u2028b", "\x1b[31m"):
        lines = [line for line in head.split(b"\n") if not line.startswith(b"encoding")]
        lines.append(f"encoding: {word}".encode())
        path.write_bytes(b"\n".join(lines) + b"\n\n" + body)
        with pytest.raises(MaskError) as caught:
            read_mask(path)
        assert len(str(caught.value).splitlines()) == 1
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("label", sorted(_HOLES))
def test_every_word_for_a_hole_cuts_it_out(label: str, tmp_path: Path) -> None:
    document = labelme_region("polygon")
    hole = [[12, 12], [20, 12], [20, 20], [12, 20]]
    document["shapes"].append({"label": label.upper(), "points": hole})
    found = mask_of(tmp_path, "knee.json", document)
    assert np.array_equal(found, rectangle() & ~rectangle(12, 12, 20, 20))


def test_a_hole_is_cut_out_of_chosen_and_of_named_bones(tmp_path: Path) -> None:
    tibia = [[50, 10], [60, 10], [60, 20], [50, 20]]
    document = labelme(("femur", SQUARE), ("Hole", HOLE), ("tibia", tibia))
    root = drawn(tmp_path, "knee.json", document)
    assert np.array_equal(only_mask(root, labels=["femur"]), square(True))
    found = read_named(root / "masks" / "knee.json", FRAME)
    assert list(found) == ["femur", "tibia"]
    assert np.array_equal(found["femur"], square(True))


@pytest.mark.parametrize("chosen", ["hüfte", "HÜFTE", " Hu\u0308fte "])
def test_a_label_is_chosen_however_it_is_written(chosen: str, tmp_path: Path) -> None:
    root = drawn(tmp_path, "a.json", labelme(("Hüfte", SQUARE)), "a.png", "b.png")
    drawn(tmp_path, "b.json", labelme(("hu\u0308fte", SQUARE), ("femur", HOLE)), "b.png")
    for case in open_dataset(root, labels=[chosen]).cases:
        assert np.array_equal(case.read_mask(FRAME), square())


@pytest.mark.parametrize("label", ["hole", " Background "])
def test_a_hole_cannot_be_chosen_as_bone(label: str, tmp_path: Path) -> None:
    root = drawn(tmp_path, "knee.json", labelme(("femur", SQUARE), (label, HOLE)))
    with pytest.raises(UsageError, match=f"^--label {label}: regions of this label are always"):
        only_mask(root, labels=["femur", label])
    with pytest.raises(UsageError, match="always subtracted"):
        read_mask(root / "masks" / "knee.json", labels=[label])
    with pytest.raises(UsageError, match=r"available: femur$"):
        only_mask(root, labels=["patella"])


@pytest.mark.parametrize("label", sorted(_DOUBTFUL))
def test_every_label_for_unknown_is_refused(label: str, tmp_path: Path) -> None:
    document = labelme_region("polygon")
    document["shapes"][0]["label"] = label.title()
    with pytest.raises(MaskError, match="unclear whether"):
        mask_of(tmp_path, "knee.json", document)


@pytest.mark.parametrize("label", [" hole ", "Background\t", "ignore ", " Void", "", " ", None])
def test_blanks_around_a_label_do_not_make_it_bone(label: Any, tmp_path: Path) -> None:
    document = labelme_polygons(SQUARE, SQUARE)
    document["shapes"][1]["label"] = label
    if str(label).strip().casefold() in ("hole", "background"):
        assert not mask_of(tmp_path, "knee.json", document).any()
    else:
        with pytest.raises(MaskError, match="unclear whether"):
            mask_of(tmp_path, "knee.json", document)
