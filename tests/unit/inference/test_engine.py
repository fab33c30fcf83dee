"""One interface to all backends, and a second pass for large films."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boneseg.bundle.shipped import bundled, sample_films
from boneseg.bundle.store import Bundle, load_bundle
from boneseg.evaluation.scores import score
from boneseg.inference.backends import BACKENDS
from boneseg.inference.backends.base import ANY
from boneseg.inference.engine import Engine
from boneseg.inference.finding import Finding
from boneseg.inference.tiles import merged
from boneseg.preprocessing import Preparation, locally_normalised, resize
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "boneseg"


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_threads_find_what_one_does(bundle: Bundle, backend: str) -> None:
    path = find_radiographs([sample_films()])[0]
    whole = read_radiograph(path).pixels
    films = [whole[:, : whole.shape[1] - 60 * (number % 3)] for number in range(12)]
    expected = [Engine(bundle, backend=backend).find(film).probability for film in films[:3]]
    engine = Engine(bundle, backend=backend, at_once=len(films))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda film: engine.find(film).probability, films))
    for number, probability in enumerate(found):
        assert np.allclose(probability, expected[number % 3], atol=1e-3)


def test_first_calls_of_several_threads_do_not_wait_for_one_another(tmp_path: Path) -> None:
    for number in range(3):
        shutil.copy(find_radiographs([sample_films()])[0], tmp_path / f"{number}.png")
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", "segment", str(tmp_path)]
    for _ in range(6):  # without care, one process in three waits for ever
        subprocess.run([*call, "--out", str(tmp_path / "out")], check=True, timeout=120)


def test_the_second_view_is_the_mirrored_film_with_normalised_contrast(
    bundle: Bundle,
) -> None:
    film = read_radiograph(find_radiographs([sample_films()])[0])

    def engine(**looks: bool) -> Engine:
        return Engine(replace(bundle, card=replace(bundle.card, scales=(), outlines=None, **looks)))

    both = engine(flips=True, levels=True).probability(film)
    one = engine(flips=False)
    preparation = bundle.preparation((film.pixels.shape[0], film.pixels.shape[1]))
    grid, place = preparation.film(film.pixels)
    second = one._predicted(one._films(locally_normalised(grid)[:, ::-1], 1))[0, :, ::-1]
    mean = (one._predicted(one._films(grid, 1))[0] + second) / 2
    off = np.abs(both - preparation.restore(mean, place)).mean()
    plain = engine(flips=True, levels=False).probability(film)
    assert off < 0.2 * np.abs(both - plain).mean()


def test_a_bias_moves_the_logits_of_films_of_its_body_part_alone(bundle: Bundle) -> None:
    film = read_radiograph(find_radiographs([sample_films()])[0])

    def found(biases: dict[str, float]) -> Finding:
        card = replace(bundle.card, temperature=1.0, biases=biases)
        return Engine(replace(bundle, card=card)).find(film)

    plain = found({})
    part = plain.verdict.part
    assert np.array_equal(found({"tail": -2.0}).probability, plain.probability)
    sure = np.clip(plain.probability, 1e-6, 1 - 1e-6)
    odds = sure / (1 - sure) / np.e
    expected = odds / (1 + odds)  # but for interpolation at outlines
    off = np.abs(found({part: -1.0}).probability - expected).mean()
    assert off < 2e-3 and off < 0.5 * np.abs(plain.probability - expected).mean()
    assert found({part: -1.0}).mask.sum() < plain.mask.sum() < found({part: 1.0}).mask.sum()
    assert found({part: -1.0}).verdict == plain.verdict


def test_where_the_first_pass_is_certain_the_second_changes_nothing() -> None:
    grid, finer = Preparation(8, 8), Preparation(16, 16)
    place, finer_place = grid.place((16, 16)), finer.place((16, 16))
    coarse = np.zeros((8, 8), np.float32)
    coarse[:, 4:] = 1
    found = merged(coarse, place, np.full((16, 16), 0.5, np.float32), finer_place)
    assert (found[:, :5] == 0).all() and (found[:, 11:] == 1).all()
    assert ((found[:, 7:9] > 0) & (found[:, 7:9] < 1)).all()


def test_a_large_film_is_refined_in_a_second_pass(bundle: Bundle) -> None:
    film = read_radiograph(find_radiographs([sample_films()])[0]).pixels
    large = np.kron(film, np.ones((4, 4), np.float32))
    whole = Engine(bundle).find(large)
    close = Engine(bundle, full_resolution=True).find(large)
    assert close.mask.shape == large.shape
    assert 0.9 < score(close.mask, whole.mask, None).dice < 1


def test_a_bundle_is_given_by_path_and_defaults_to_the_bundled_model() -> None:
    assert Engine().bundle.card == Engine(str(bundled())).bundle.card == load_bundle("bundled").card


def test_a_network_is_loaded_once_for_films_of_any_size(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, film = Engine(bundle), read_radiograph(min(sample_films().glob("*.png")))
    loaded: list[object] = []
    load_network = type(engine._network)._loaded

    def load(network: object, shape: object, first: object) -> object:
        loaded.append(shape)
        return load_network(network, shape, first)

    monkeypatch.setattr(type(engine._network), "_loaded", load)
    engine.load()
    assert engine.find(film).mask.any() and engine.find(film.pixels[:, :200]).mask.any()
    assert loaded == [(ANY, 1, ANY, ANY)]


def test_the_networks_of_the_next_film_are_those_of_the_film_before() -> None:
    engine, folder = Engine(), sample_films()
    hand, knee = (read_radiograph(folder / f"{name}.png") for name in ("hand", "knee"))
    size = (1000, 800)
    likely = engine.passes(size)
    assert likely[1].grid.height > likely[0].grid.height  # of thin bone
    engine.find(knee)
    assert engine.passes(size)[1].grid.height < likely[0].grid.height
    after_a_knee = engine.find(hand)
    assert engine.passes(size) == likely
    assert (after_a_knee.probability == Engine().find(hand).probability).all()


def test_a_mask_does_not_depend_on_the_film_before(engine: Engine) -> None:
    """Of a large film, which is averaged in two steps: for which grids at once may differ."""
    small = read_radiograph(sample_films() / "hand.png").pixels
    film = resize(small, (3000, 3000 * small.shape[1] // small.shape[0]))
    film += np.random.default_rng(0).normal(0, 0.01, film.shape).astype(np.float32)
    masks = []
    for width in (0.0, 30.0):  # px, of the bone of the film before
        engine._width = width
        masks.append(engine.segment(film))
    assert np.array_equal(*masks)
