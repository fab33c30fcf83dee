"""On CUDA a run learns as on the CPU, resumes after a kill, and finds the same bone."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from boneseg.bundle.shipped import bundled, sample_films
from boneseg.bundle.store import load_bundle
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.inference.backends import open_backend
from boneseg.networks import build
from boneseg.preprocessing import Preparation
from boneseg.radiograph.read import read_radiograph
from boneseg.recipes.builtin import BUILT_IN
from boneseg.recipes.settings import AugmentSettings
from boneseg.simulate import simulate
from boneseg.training import loop as training
from boneseg.training.augmentation import Augmenter, film_seeds
from boneseg.training.device import record_cuda_graph
from boneseg.training.history import Check
from boneseg.training.losses import Objective
from boneseg.training.train import train
from tests.support.requirements import needs_gpu

pytestmark = needs_gpu

SMALL = ["prepare.height=64", "prepare.width=64", "network.stem=1", "network.levels=3"]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 24, seed=5, size=(96, 96))
    return open_dataset(folder)


@pytest.mark.parametrize("name", ["default", "unetplusplus", "attention-unet", "seed-deep-filters"])
def test_a_run_learns(phantoms: Dataset, tmp_path: Path, name: str) -> None:
    recipe = BUILT_IN[name].with_settings(["prepare.height=64", "prepare.width=64"])
    if name == "seed-deep-filters":  # eight levels ask for more than 64 pixels
        recipe = BUILT_IN[name]
    run = train(phantoms, recipe.with_settings(["run.epochs=40"]), tmp_path)
    assert run.best_dice > 0.6


class KilledError(Exception):
    pass


def test_a_killed_run_resumes(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    recipe = BUILT_IN["default"].with_settings([*SMALL, "run.epochs=40"])
    whole = train(phantoms, recipe, tmp_path / "whole")

    def kill(check: Check) -> None:
        if check.done > 0.5:
            raise KilledError

    with pytest.raises(KilledError):
        train(phantoms, recipe, tmp_path / "killed", report=kill)
    again = train(phantoms, recipe, tmp_path / "killed", resume=True)
    assert again.history[-1].step == whole.history[-1].step
    assert again.best_dice == pytest.approx(whole.best_dice, abs=0.03)


def test_a_recorded_step_is_the_step() -> None:
    recipe = BUILT_IN["default"].with_settings(SMALL).settle([(64, 64)])
    torch.manual_seed(0)
    network = build(recipe.network).cuda().to(memory_format=torch.channels_last)
    plain, recorded = (Objective(copy.deepcopy(network), recipe.loss) for _ in range(2))
    record_cuda_graph(recorded, (4, 1, 64, 64))
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(recorded.state_dict()[name], value)
    for _ in range(3):
        films = torch.randn(4, 1, 64, 64, device="cuda")
        losses = []
        for objective in (plain, recorded):
            objective.train()
            objective.zero_grad(set_to_none=True)
            losses.append(objective(films, (films > 0.5).float()))
            losses[-1].backward()
        torch.testing.assert_close(*losses)
        for ours, theirs in zip(recorded.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=1e-4)
    looks = [objective.network.eval()(films) for objective in (plain, recorded)]
    torch.testing.assert_close(*looks, rtol=1e-2, atol=1e-3)


def test_augmentation_is_the_same_on_cpu_and_gpu() -> None:
    """All but the noise, which each device draws for itself."""
    everything = dict.fromkeys(AugmentSettings().off().model_dump().keys(), 1.0)
    strengths = {"rotation": 10, "zoom": 0.2, "shift": 0.05, "elastic_size": 0.02, "views": 0}
    settings = AugmentSettings.model_validate(everything | strengths | {"noise": 0.0})
    films, masks = torch.randn(4, 1, 64, 64), (torch.rand(4, 1, 64, 64) > 0.5).float()
    seeds = film_seeds(4, torch.Generator().manual_seed(3))
    ways = [Augmenter(settings)(films.to(at), masks.to(at), seeds) for at in ("cpu", "cuda")]
    torch.testing.assert_close(ways[1][0].cpu(), ways[0][0], rtol=1e-2, atol=2e-2)
    assert (ways[1][1].cpu() != ways[0][1]).float().mean() < 0.001
    noisy = Augmenter(settings.model_copy(update={"noise": 1.0}))
    views = [noisy(films.cuda(), masks.cuda(), seeds)[0] for _ in range(2)]
    torch.testing.assert_close(views[0], views[1], rtol=1e-3, atol=1e-3)


def test_the_bundled_model_finds_the_same_on_both() -> None:
    bundle = load_bundle(bundled())
    paths = sorted(sample_films().glob("*.png"))[:3]
    grids = [Preparation(256, 192).film(read_radiograph(path).pixels)[0] for path in paths]
    on_cuda = open_backend(bundle, "torch")
    assert "CUDA" in on_cuda.name
    for films in (np.stack(grids)[:, None], grids[0][None, None], grids[1][None, None]):
        expected = open_backend(bundle, "onnxruntime")(films)
        found = on_cuda(films)
        assert found.dtype == np.float32 and found.shape == expected.shape
        assert np.abs(found - expected).mean() < 0.002
        assert ((found > 0.5) != (expected > 0.5)).mean() < 0.002
