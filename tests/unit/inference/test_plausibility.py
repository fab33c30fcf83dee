"""`segment` warns where a film looks like no radiograph, and leaves real films alone."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.data import get_testdata_file
from threadpoolctl import threadpool_info

from boneseg.bundle.shipped import film_check_weights, sample_films
from boneseg.errors import BundleError
from boneseg.inference.finding import Finding
from boneseg.inference.plausibility import LEAST, likeness, load_film_check
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph
from tests.support.films import DATA, needs_data


def leaves() -> Image.Image:
    """Things before one another, as in a photograph (Lee, Mumford and Huang, 2001)."""
    chance = np.random.default_rng(3)
    image = Image.new("L", (480, 360), 90)
    draw = ImageDraw.Draw(image)
    for size in sorted(5 + 120 * chance.random(160) ** 3, reverse=True):
        x, y = chance.uniform(0, 480), chance.uniform(0, 360)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=int(chance.integers(10, 245)))
    grain = np.asarray(image, np.float32) + chance.normal(0, 6, (360, 480))
    return Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))


def page() -> Image.Image:
    """A page of text."""
    image = Image.new("L", (600, 800), 255)
    font, words = ImageFont.load_default(18), "The quick brown fox jumps over the lazy dog. "
    for row in range(30, 770, 26):
        shift = row % 7
        ImageDraw.Draw(image).text((30, row), (words * 2)[shift : shift + 56], fill=0, font=font)
    return image


def ct_slice() -> Image.Image:
    """A slice of a chest, in a window for soft parts, as a viewer exports it."""
    path = get_testdata_file("CT_small.dcm", download=False)
    assert path
    dataset = dcmread(path)
    units = dataset.pixel_array * dataset.RescaleSlope + dataset.RescaleIntercept
    return Image.fromarray(np.clip((units + 160) / 400 * 255, 0, 255).astype(np.uint8))


def test_segment_warns_of_images_that_are_not_radiographs(tmp_path: Path) -> None:
    pictures = {
        "blank": Image.new("L", (400, 300), 128),
        "page": page(),
        "leaves": leaves(),
        "slice": ct_slice(),
    }
    films = tmp_path / "films"
    films.mkdir()
    for name, picture in pictures.items():
        picture.save(films / f"{name}.png")
    done = segment(films, sample_films(), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr  # a warning is not an error
    warned = [line for line in done.stderr.splitlines() if "does not look like" in line]
    assert {Path(line.split(": ")[1]).stem for line in warned} == set(pictures)
    for result in json.loads((tmp_path / "out" / "segment.json").read_text()):
        none = Path(result["input"]).stem in pictures
        assert (result["warning"] is not None) == none
        assert (result["likeness"] < LEAST) == none
        assert result["outputs"]["mask"]


def segment(*words: object) -> subprocess.CompletedProcess[str]:
    code = "from boneseg.cli import main; main()"
    call = [sys.executable, "-c", code, "segment", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


@needs_data
def test_few_real_films_get_a_warning() -> None:
    films = find_radiographs([DATA / name for name in ("unlabelled", "dicom")])
    for name in ("legs", "spine", "knee-femur", "knee-tibia"):
        films += find_radiographs([DATA / name / "images"])[::6]
    warned = [film for film in films if likeness(read_radiograph(film).pixels) < LEAST]
    assert len(warned) <= 0.02 * len(films), warned


@pytest.mark.parametrize("size", [(16, 16), (16, 3000), (1024, 128), (700, 500)])
def test_any_size_is_judged(size: tuple[int, int]) -> None:
    assert 0 <= likeness(np.random.default_rng(0).random(size, np.float32)) <= 1


def test_a_finding_shows_its_warning() -> None:
    blank = np.full((64, 64), 0.5, np.float32)
    found = Finding(blank, blank > 1, blank)
    assert found.warning and "does not look like a radiograph" in found._repr_html_()


def test_it_does_not_depend_on_what_runs_it() -> None:
    torch = pytest.importorskip("torch")
    check = load_film_check(film_check_weights())
    film = np.random.default_rng(1).random((128, 128), np.float32)
    features = torch.from_numpy(2 * film - 1)[None, None]
    for (weight, bias), stride in zip(check.layers, (2, 2, 2, 1, 2, 1), strict=True):
        kernel = torch.from_numpy(weight)
        features = torch.conv2d(features, kernel, torch.from_numpy(bias), stride, 1).relu()
    pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
    logit = pooled @ torch.from_numpy(check.head[0]).T + torch.from_numpy(check.head[1])
    assert check.logit(film) == pytest.approx(float(logit), abs=1e-3)


def test_damaged_weights_are_reported(tmp_path: Path) -> None:
    broken = tmp_path / "film-check.safetensors"
    broken.write_bytes(film_check_weights().read_bytes()[:500])
    for path in (broken, tmp_path / "none.safetensors"):
        with pytest.raises(BundleError, match="install boneseg again"):
            load_film_check(path)


def test_films_may_be_looked_at_side_by_side_and_numpy_keeps_its_threads() -> None:
    pixels = [read_radiograph(path).pixels for path in find_radiographs([sample_films()])]
    one_by_one = [likeness(film) for film in pixels]
    before = [library["num_threads"] for library in threadpool_info()]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(likeness, pixels * 8))
    assert together == one_by_one * 8
    assert [library["num_threads"] for library in threadpool_info()] == before
