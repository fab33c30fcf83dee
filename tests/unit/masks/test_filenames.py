"""Stems: a name without the suffix of its format, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.masks.filenames import IMAGE_SUFFIXES, stem_of
from boneseg.masks.formats import READERS


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("knee.png", "knee"),
        ("knee.PNG", "knee"),
        ("knee.left.tif", "knee.left"),
        ("knee.seg.nrrd", "knee"),
        ("knee.nii.gz", "knee"),
        ("knee.dcm", "knee"),
        ("1.2.840.113619.2.5", "1.2.840.113619.2.5"),  # a DICOM file named by its UID
        ("1.2.840.dcm", "1.2.840"),
        ("knee", "knee"),
        (".nrrd", ".nrrd"),
    ],
)
def test_only_the_suffix_of_a_format_is_taken_off(name: str, stem: str) -> None:
    assert stem_of(Path("folder.png") / name) == stem


def test_the_longest_registered_suffix_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, ".rle.json", READERS[".txt"])
    assert stem_of(Path("knee.rle.json")) == "knee"
    assert stem_of(Path("knee.json")) == "knee"
    monkeypatch.setitem(READERS, ".left.seg.nrrd", READERS[".nrrd"])
    assert stem_of(Path("knee.left.seg.nrrd")) == "knee"


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_suffix_of_pictures_is_known(suffix: str) -> None:
    assert stem_of(Path(f"a.b{suffix}")) == "a.b"
