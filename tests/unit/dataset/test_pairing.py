"""Films and masks are paired by name, never by order."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError
from tests.support.datasets import folder, paired


def test_pairs_are_by_name_and_never_by_order(tmp_path: Path) -> None:
    folder(tmp_path, "images/1.png", "images/2.png", "images/3.png", "masks/2.png", "masks/9.png")
    dataset = open_dataset(tmp_path)
    assert paired(dataset) == {"2.png": "2.png"}
    assert [path.name for path in dataset.unpaired_images] == ["1.png", "3.png"]
    assert [path.name for path in dataset.unpaired_masks] == ["9.png"]


@pytest.mark.parametrize(
    "mask", ["Knee_mask.png", "knee-SEG.tif", "knee_label.bmp", "knee.gt.png", "KNEE labels.png"]
)
def test_a_mask_may_have_a_mask_suffix(mask: str, tmp_path: Path) -> None:
    folder(tmp_path, "images/knee.jpg", f"masks/{mask}")
    assert paired(open_dataset(tmp_path)) == {"knee.jpg": mask}


def test_a_film_may_have_an_image_suffix(tmp_path: Path) -> None:
    folder(tmp_path, "images/knee_image.png", "masks/knee_mask.png", "images/hip.png")
    assert paired(open_dataset(tmp_path)) == {"knee_image.png": "knee_mask.png"}


def test_the_name_itself_is_stronger_than_its_ending(tmp_path: Path) -> None:
    folder(tmp_path, "images/a.png", "images/a_seg.png", "masks/a.png", "masks/a_seg.png")
    assert paired(open_dataset(tmp_path)) == {"a.png": "a.png", "a_seg.png": "a_seg.png"}


def test_an_accent_may_be_kept_apart_from_its_letter(tmp_path: Path) -> None:
    apart, joined = (unicodedata.normalize(form, "hüfte") for form in ("NFD", "NFC"))
    names = (f"images/{apart}.png", f"masks/{joined}_mask.png")
    dataset = open_dataset(folder(tmp_path, *names, groups=f"{joined.title()},P1\n"))
    assert [(case.name, case.group) for case in dataset.cases] == [(apart, "P1")]


@pytest.mark.parametrize(
    ("names", "both"),
    [
        (("images/a.png", "masks/a.png", "masks/a_mask.png"), ("a.png", "a_mask.png")),
        (("images/a.png", "images/a.dcm", "masks/a.png"), ("a.png", "a.dcm")),
        (("images/a.png", "images/A.png", "masks/a.png"), ("a.png", "A.png")),
        (("images/a_image.png", "images/a-img.png", "masks/a.png"), ("a_image.png", "a-img.png")),
    ],
)
def test_an_ambiguous_match_is_an_error_that_names_both(
    names: tuple[str, ...], both: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(folder(tmp_path, *names))
    assert all(name in str(caught.value) for name in both)
    assert "\n" not in str(caught.value)
