"""One interface, whatever runs the network; and a closer look at large films."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.bundle.card import INT8
from boneseg.bundle.shipped import bundled, sample_films
from boneseg.bundle.store import Bundle, load_bundle
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.errors import UsageError
from boneseg.evaluation.scores import score
from boneseg.inference.backends import BACKENDS, suitable
from boneseg.inference.backends.compiled import KEPT, CompiledNetworks
from boneseg.inference.engine import Engine
from boneseg.inference.tiles import MAGNIFIED, magnified, merged, tiled
from boneseg.preprocessing import Preparation, locally_normalised
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph
from boneseg.recipes.recipe import Recipe
from boneseg.simulate import simulate
from boneseg.training import quantise as int8
from boneseg.training.quantise import quantise, sampled
from boneseg.training.train import train


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(bundled())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "boneseg"


def test_every_backend_finds_the_same_bones(bundle: Bundle) -> None:
    engines = {name: Engine(bundle, backend=name) for name in BACKENDS}
    assert all(engine.name for engine in engines.values())
    film = read_radiograph(find_radiographs([sample_films()])[0])
    found = {name: engine.find(film.pixels) for name, engine in engines.items()}
    for finding in found.values():
        assert score(finding.mask, found["torch"].mask, None).dice > 0.995
        assert np.abs(finding.probability - found["torch"].probability).mean() < 0.005


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


def test_the_second_look_is_at_the_mirrored_film_with_its_contrast_levelled(
    bundle: Bundle,
) -> None:
    film = read_radiograph(find_radiographs([sample_films()])[0])

    def engine(**looks: bool) -> Engine:
        return Engine(replace(bundle, card=bundle.card.model_copy(update=looks)))

    both = engine(flips=True, levels=True).probability(film)
    one = engine(flips=False)
    preparation = bundle.preparation((film.pixels.shape[0], film.pixels.shape[1]))
    grid, place = preparation.film(film.pixels)
    second = one._views(locally_normalised(grid)[:, ::-1])[0, :, ::-1]
    mean = (one._views(grid)[0] + second) / 2
    off = np.abs(both - preparation.restore(mean, place)).mean()
    plain = engine(flips=True, levels=False).probability(film)
    assert off < 0.2 * np.abs(both - plain).mean()


def test_the_choice_is_openvino_where_there_is_no_cuda() -> None:
    torch = pytest.importorskip("torch")
    assert suitable() == ("torch" if torch.cuda.is_available() else "openvino")


def test_an_engine_that_is_not_known_or_not_there_is_named(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="--engine tensorrt: is not known; choose from openvino"):
        Engine(bundle, backend="tensorrt")
    monkeypatch.setattr("boneseg.inference.backends.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed; pip install onnxruntime"):
        Engine(bundle, backend="onnxruntime")


def test_a_compiled_network_is_kept_for_the_next_process(bundle: Bundle, cache: Path) -> None:
    film = np.random.default_rng(0).random((90, 70), np.float32)
    first = Engine(bundle).find(film).probability
    assert len(list(cache.glob("*/*.blob"))) == 1
    assert next(cache.glob("*")).name.startswith(bundle.card.card_sha256[:16])
    assert np.array_equal(Engine(bundle).find(film).probability, first)
    assert len(list(cache.glob("*/*.blob"))) == 1


def test_of_compiled_networks_the_oldest_go(bundle: Bundle, cache: Path) -> None:
    old = cache / "oldest" / "one.blob"
    for folder in ("oldest", "older"):
        (cache / folder).mkdir(parents=True, mode=0o700)
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    for number in range(KEPT):
        (cache / "older" / f"{number}.blob").write_bytes(b"")
    CompiledNetworks.of(bundle.card.card_sha256, "1.0")
    assert not old.parent.exists()
    assert len(list(cache.glob("*/*.blob"))) == KEPT


def test_without_a_place_to_keep_it_the_network_is_compiled_anew(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert CompiledNetworks.of(bundle.card.card_sha256, "1.0") is None


@pytest.mark.parametrize("harm", ["a bit", "cut short", "zeros", "empty", "another's", "gone"])
def test_a_damaged_compiled_network_is_made_again(harm: str, bundle: Bundle, cache: Path) -> None:
    film = np.random.default_rng(0).random((90, 70), np.float32)
    first = Engine(bundle).find(film).probability
    blob = next(cache.glob("*/*.blob"))
    whole = blob.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    other = blob.with_name(f"{'0' * 16}.blob")
    other.write_bytes(whole)  # a whole one, but of other settings
    harmed = {"a bit": flipped, "cut short": whole[:1000], "zeros": bytes(len(whole)), "empty": b""}
    if harm == "another's":
        kept = CompiledNetworks(blob.parent, "another bundle")
        kept.write("settings", whole[32:])
        blob.write_bytes(kept._path("settings").read_bytes())
        kept._path("settings").unlink()
    elif harm == "gone":
        blob.unlink()
    else:
        blob.write_bytes(harmed[harm])
    assert np.array_equal(Engine(bundle).find(film).probability, first)
    assert blob.read_bytes()[:32] != harmed.get(harm, b"")[:32] or harm == "a bit"
    assert blob.stat().st_size > len(whole) / 2


def test_a_folder_of_compiled_networks_that_others_can_write_to_is_not_used(
    bundle: Bundle, cache: Path
) -> None:
    digest = bundle.card.card_sha256
    kept = CompiledNetworks.of(digest, "1.0")
    assert kept is not None
    assert [path.stat().st_mode & 0o777 for path in (cache, kept.folder)] == [0o700, 0o700]
    for path in (cache, kept.folder):
        path.chmod(0o755)  # as an older version made it: read by others, written by nobody
        assert CompiledNetworks.of(digest, "1.0") is not None
        assert path.stat().st_mode & 0o777 == 0o700
        path.chmod(0o770)
        assert CompiledNetworks.of(digest, "1.0") is None
        path.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345)
            assert CompiledNetworks.of(digest, "1.0") is None
            os.chown(path, 0, 0)


def test_a_network_that_was_being_written_when_its_process_died_is_removed(
    bundle: Bundle, cache: Path
) -> None:
    kept = CompiledNetworks.of(bundle.card.card_sha256, "1.0")
    assert kept is not None
    for name, age in ((f".{'0' * 16}.new", 7200), (f".{'1' * 16}.new", 0)):
        (kept.folder / name).write_bytes(b"half")
        now = (kept.folder / name).stat().st_mtime
        os.utime(kept.folder / name, (now - age, now - age))
    CompiledNetworks.of(bundle.card.card_sha256, "1.0")
    assert [path.name for path in kept.folder.iterdir()] == [f".{'1' * 16}.new"]


@pytest.mark.parametrize("home", [None, "", "relative", "~nobody-of-this-name"])
def test_without_a_home_nothing_is_kept(
    home: str | None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    monkeypatch.delenv("HOME")
    if home is None:
        monkeypatch.setattr("os.path.expanduser", lambda path: path)  # nor a line in passwd
    else:
        monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(tmp_path)
    assert CompiledNetworks.of(bundle.card.card_sha256, "1.0") is None
    assert list(tmp_path.iterdir()) == []


@given(height=st.integers(40, 200), width=st.integers(40, 200), tile=st.sampled_from([32, 40, 64]))
def test_tiles_cover_a_grid_without_a_seam(height: int, width: int, tile: int) -> None:
    grid = np.random.default_rng(height * width).random((height, width), np.float32)
    own = Preparation(min(tile, height), min(tile, width))
    seen = []

    def network(window: np.ndarray) -> np.ndarray:
        seen.append(window.shape)
        return window

    assert np.allclose(tiled(network, grid, own), grid, atol=1e-5)
    assert set(seen) == {(own.height, own.width)}


@given(height=st.integers(16, 3000), width=st.integers(16, 3000))
def test_a_film_is_magnified_no_further_than_it_is_sharp(height: int, width: int) -> None:
    grid = Preparation(256, 192)
    place = grid.place((height, width))
    finer = magnified(grid, place)
    if finer is None:
        assert place.height >= 0.9 * height or place.width >= 0.9 * width
        return
    laid = finer.place((height, width))
    assert laid.height <= height + 1 and laid.width <= width + 1
    assert laid.height <= MAGNIFIED * place.height + 2


def test_where_the_first_look_is_sure_the_second_changes_nothing() -> None:
    grid, finer = Preparation(8, 8), Preparation(16, 16)
    place, finer_place = grid.place((16, 16)), finer.place((16, 16))
    coarse = np.zeros((8, 8), np.float32)
    coarse[:, 4:] = 1
    found = merged(coarse, place, np.full((16, 16), 0.5, np.float32), finer_place)
    assert (found[:, :5] == 0).all() and (found[:, 11:] == 1).all()
    assert ((found[:, 7:9] > 0) & (found[:, 7:9] < 1)).all()


def test_a_large_film_is_looked_at_more_closely(bundle: Bundle) -> None:
    film = read_radiograph(find_radiographs([sample_films()])[0]).pixels
    large = np.kron(film, np.ones((4, 4), np.float32))
    whole = Engine(bundle).find(large)
    close = Engine(bundle, full_resolution=True).find(large)
    assert close.mask.shape == large.shape
    assert 0.9 < score(close.mask, whole.mask, None).dice < 1


def test_a_bundle_is_quantised_where_that_is_as_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf")
    simulate(tmp_path / "films", 12, size=(96, 96))
    words = ["run.epochs=40", "network.width=8"]
    run = train(open_dataset(tmp_path / "films"), Recipe().with_settings(words), tmp_path / "run")
    bundle = run.save(tmp_path / "run" / "bundle")
    found = quantise(bundle, run.training, run.validation)
    assert capsys.readouterr().out == ""
    assert found.kept == (found.int8_dice > found.dice - 0.002)
    whole = load_bundle(tmp_path / "run")
    assert (INT8 in whole.card.files) == found.kept
    assert ("int8" in Engine(whole).name) == found.kept
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("count", [1, 300, 301, 599, 600, 1000])
def test_the_scales_are_taken_from_films_of_the_whole_set(count: int) -> None:
    found: list[Any] = sampled(range(count))  # type: ignore[arg-type]
    assert min(count, 150) <= len(found) <= 300
    assert found[-1] >= count - len(range(0, count, 300))


def test_int8_that_is_worse_is_left_out(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    shutil.copytree(bundle.path, tmp_path / "bundle")
    simulate(tmp_path / "films", 3, size=(96, 96))
    films = read_films(open_dataset(tmp_path / "films").cases)
    monkeypatch.setattr(int8, "LOSS", -1.0)  # nothing is good enough
    before = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}
    found = quantise(load_bundle(tmp_path / "bundle"), films, films)
    assert not found.kept
    assert abs(found.int8_dice - found.dice) < 0.1
    assert {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()} == before


def test_a_bundle_is_named_by_its_path_and_by_default_is_what_ships() -> None:
    assert Engine().bundle.card == Engine(str(bundled())).bundle.card == load_bundle("bundled").card
