"""A contact sheet shows each film with the outline of its mask, films with problems first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from boneseg.dataset.audit import CheckReport, check_dataset
from boneseg.dataset.contact_sheet import contact_sheet
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import DatasetError, OutputError
from tests.support.datasets import add, limb


def sheet(dataset: Dataset, path: Path, report: CheckReport | None = None) -> NDArray[np.uint8]:
    contact_sheet(dataset, path, report=report, columns=3, tile=100, limit=5)
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def orange(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (pixels == (230, 159, 0)).all(axis=-1)


def test_a_sheet_shows_an_outline_on_each_tile_and_leaves_no_other_file(data: Path) -> None:
    pixels = sheet(open_dataset(data), data / "sheet.png")
    tiles = [tile for row in np.array_split(pixels, 2) for tile in np.array_split(row, 3, axis=1)]
    assert [bool(orange(tile).any()) for tile in tiles] == [True] * 5 + [False]
    assert {path.name for path in data.iterdir()} == {"images", "masks", "sheet.png"}


def test_a_sheet_shows_a_letter_in_the_place_of_one_with_an_accent(data: Path) -> None:
    sheets = []
    for name in ("hüfte", "hufte"):
        add(data, name, *limb(9))
        contact_sheet(open_dataset(data), data / "sheet.png")
        sheets.append(np.asarray(Image.open(data / "sheet.png")))
        for folder in ("images", "masks"):
            (data / folder / f"{name}.png").unlink()
    assert np.array_equal(*sheets)


def test_a_sheet_begins_with_what_is_wrong_and_survives_it(data: Path) -> None:
    (data / "images" / "case5.png").write_bytes(b"broken")
    (data / "masks" / "case4.png").write_bytes(b"broken")
    dataset = open_dataset(data)
    pixels = sheet(dataset, data / "sheet.png", check_dataset(dataset))
    tiles = [tile for row in np.array_split(pixels, 2) for tile in np.array_split(row, 3, axis=1)]
    assert [bool(orange(tile).any()) for tile in tiles] == [False, False, True, True, True, False]
    framed = [bool((tile[0, :] == (86, 180, 233)).all()) for tile in tiles]
    assert framed == [True, True, False, False, False, False]


def test_the_outline_lies_on_the_edge_of_the_mask(data: Path, tmp_path: Path) -> None:
    for path in (data / "images").iterdir():
        mask = np.zeros((100, 100), np.uint8)
        mask[30:60, 20:70] = 255
        Image.fromarray(np.full((100, 100), 90, np.uint8)).save(path)
        Image.fromarray(mask).save(data / "masks" / path.name)
    contact_sheet(open_dataset(data), tmp_path / "sheet.png", columns=1, tile=100, limit=1)
    rows, columns = np.nonzero(orange(np.asarray(Image.open(tmp_path / "sheet.png"))))
    assert (np.ptp(rows), np.ptp(columns)) == (29, 49)
    assert len(rows) == 2 * 30 + 2 * 50 - 4


def test_a_sheet_of_nothing_or_to_nowhere_is_an_error(data: Path) -> None:
    dataset = open_dataset(data)
    with pytest.raises(DatasetError):
        contact_sheet(Dataset(data, (), (), ()), data / "sheet.png")
    with pytest.raises(OutputError):
        contact_sheet(dataset, data / "missing" / "sheet.png", limit=1)
