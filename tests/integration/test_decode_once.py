"""A command decodes each film once; its figures are those of films decoded for each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import save_bundle
from boneseg.dataset import load
from boneseg.dataset.load import Film, load_films
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.experiments.compare import compare_recipes
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_report import write_crossval_report
from boneseg.experiments.tune import tune_recipe
from boneseg.preprocessing import Preparation
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.grey import Grey
from boneseg.radiograph.read import read_radiograph
from boneseg.recipes.search_space import Choices
from boneseg.server.retraining.process import retrain
from boneseg.server.retraining.records import Request
from boneseg.server.retraining.runs import REQUEST
from boneseg.simulate import simulate
from boneseg.training.train import train
from tests.support.training import recipe

QUICK = recipe("run.epochs=1", "network.width=4")
FILMS = 10


class Work:
    """How often each film was decoded, and placed on a grid."""

    def __init__(self) -> None:
        self.decoded: Counter[str] = Counter()
        self.placed: Counter[tuple[Preparation, int]] = Counter()
        self.searched: list[int] = []  # films among which near-duplicates were sought


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, FILMS, seed=3, size=(64, 64))
    return open_dataset(folder)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work()
    near_duplicates, on_grid = load.near_duplicates, Preparation.film

    def read(path: Path) -> Radiograph:
        work.decoded[path.stem] += 1
        return read_radiograph(path)

    def search(thumbnails: list[load.Floats]) -> list[int]:
        work.searched.append(len(thumbnails))
        return near_duplicates(thumbnails)

    def place(self: Preparation, pixels: load.Floats | Grey, aspect: float = 1.0) -> object:
        grey = pixels.pixels() if isinstance(pixels, Grey) else pixels
        work.placed[self, hash(grey.tobytes())] += 1
        return on_grid(self, pixels, aspect)

    monkeypatch.setattr(load, "read_radiograph", read)
    monkeypatch.setattr(load, "near_duplicates", search)
    monkeypatch.setattr(Preparation, "film", place)
    yield work
    assert set(work.decoded.values()) == {1}
    assert work.searched == [len(work.decoded)]


def placed_by_training(work: Work) -> int:
    """How often a film was placed on a grid at most; an engine averages it for all its grids."""
    return max(work.placed.values())


def test_a_training_decodes_and_places_each_film_once(
    phantoms: Dataset, tmp_path: Path, work: Work
) -> None:
    run = train(phantoms, QUICK, tmp_path / "run")
    save_bundle(tmp_path / "bundle", run.network, run.assess().card)
    assert len(work.decoded) == FILMS
    assert placed_by_training(work) == 1


def test_folds_and_their_report_share_the_films(
    phantoms: Dataset, tmp_path: Path, work: Work
) -> None:
    result = cross_validate(phantoms, QUICK, tmp_path / "run", folds=2)
    write_crossval_report(tmp_path / "report.html", result)
    assert len(work.decoded) == FILMS
    assert placed_by_training(work) == 1  # for all folds


@pytest.mark.slow
def test_recipes_of_another_working_size_share_the_films(
    phantoms: Dataset, tmp_path: Path, work: Work
) -> None:
    small = tmp_path / "small.toml"
    small.write_text(QUICK.with_settings(["prepare.height=32", "prepare.width=32"]).to_toml())
    same = tmp_path / "same.toml"
    same.write_text(QUICK.to_toml())
    compare_recipes(phantoms, [str(same), str(small)], tmp_path / "run", folds=2)
    assert len(work.decoded) == FILMS
    assert {key.height for key, _ in work.placed} == {32, 64}
    assert placed_by_training(work) == 1


def test_trials_share_the_films(phantoms: Dataset, tmp_path: Path, work: Work) -> None:
    space = {"network.width": Choices(choices=(2, 4))}
    tune_recipe(phantoms, QUICK, tmp_path / "run", trials=2, space=space)
    assert len(work.decoded) == FILMS
    assert placed_by_training(work) == 1


def test_retraining_scores_and_trains_on_the_same_films(
    phantoms: Dataset, tmp_path: Path, work: Work
) -> None:
    run = tmp_path / "runs" / "0001"
    run.mkdir(parents=True)
    (run / "films").symlink_to(phantoms.root)
    settings = ["run.epochs=1", "run.precision=fp32", "prepare.height=64", "prepare.width=64"]
    Request(model=str(bundled()), settings=settings).write(run / REQUEST)
    retrain(run)
    assert (run / "bundle" / "model.json").is_file()
    assert len(work.decoded) == FILMS


def weights(run: Path) -> bytes:
    return (run / "bundle" / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("in_memory", [0, 10**9])
def test_training_on_films_in_hand_is_training_from_the_folder_to_the_bit(
    phantoms: Dataset, tmp_path: Path, in_memory: int
) -> None:
    """Also from a file, and after another training on other films of them at another size."""
    films = load_films(phantoms, tmp_path, in_memory=in_memory)
    other = QUICK.with_settings(["prepare.height=32", "prepare.width=32"])
    train(films.part(range(2, FILMS)), other, tmp_path / "other")
    ours = train(films.part(range(FILMS - 2)), QUICK, tmp_path / "ours")
    few = replace(phantoms, cases=phantoms.cases[: FILMS - 2])
    theirs = train(few, QUICK, tmp_path / "theirs")
    network = theirs.network.state_dict()
    assert all(
        torch.equal(value, network[name]) for name, value in ours.network.state_dict().items()
    )
    assert [check.dice for check in ours.history] == [check.dice for check in theirs.history]
    assert [check.loss for check in ours.history] == [check.loss for check in theirs.history]
    assert [film.case for film in ours.validation] == [film.case for film in theirs.validation]
    assert ours.fingerprint == theirs.fingerprint
    assert ours.assess().card.data == theirs.assess().card.data


@pytest.mark.slow
def test_a_dataset_beyond_the_memory_limit_gives_the_same_cross_validation(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = cross_validate(phantoms, QUICK, tmp_path / "within", folds=2)
    monkeypatch.setattr("boneseg.experiments.crossval.IN_MEMORY", 3 * 64 * 64 * 5)
    beyond = cross_validate(phantoms, QUICK, tmp_path / "beyond", folds=2)
    assert sum(_is_mapped(film) for film in beyond.films.values()) == FILMS - 3
    assert beyond.summary == within.summary
    assert beyond.calibration == within.calibration
    assert weights(tmp_path / "beyond") == weights(tmp_path / "within")
    assert not list((tmp_path / "beyond").glob(".*"))


def _is_mapped(film: Film) -> bool:
    return type(film.radiograph.pixels).__name__ == "MappedArray"


@pytest.mark.slow
def test_workers_get_the_films_of_their_parent(
    phantoms: Dataset, tmp_path: Path, work: Work
) -> None:
    """A worker that decoded films would fail: they are gone by then."""
    gone = tmp_path / "films"
    simulate(gone, FILMS, seed=3, size=(64, 64))
    films = load_films(open_dataset(gone), tmp_path, in_memory=0)
    for path in (*(gone / "images").iterdir(), *(gone / "masks").iterdir()):
        path.unlink()
    result = cross_validate(films, QUICK, tmp_path / "run", folds=2, parallel=2)
    assert len(result.summary.cases) == FILMS
    assert not result.failed
