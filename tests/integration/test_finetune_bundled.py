"""Training of the bundled model and of its names: what counts, and an interrupted run goes on."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from boneseg.bundle.store import bundled, load_bundle, load_network
from boneseg.preprocessing import Preparation
from boneseg.simulate import simulate
from scripts import finetune_bundled, train_bones
from scripts.finetune_bundled import supervised_loss
from scripts.simulated_pools import Pools


def test_pixels_of_weight_0_have_no_gradient() -> None:
    outputs = [torch.randn(2, 1, side, side, requires_grad=True) for side in (16, 8)]
    target = (torch.rand(2, 1, 16, 16) > 0.5).float()
    weight = torch.ones_like(target)
    weight[..., :8] = 0
    supervised_loss(outputs, target, weight).backward()
    for output in outputs:
        assert output.grad is not None
        half = output.shape[-1] // 2
        assert not output.grad[..., :half].any() and output.grad[..., half:].all()


def test_hidden_bone_is_read_for_films_of_the_trunk_alone(tmp_path: Path) -> None:
    for kind, share in (("images", 90), ("masks", 255), ("hidden", 255)):
        (tmp_path / kind).mkdir()
        for name in ("a", "b"):
            pixels = np.zeros((64, 64), np.uint8)
            pixels[:, :32] = share
            Image.fromarray(pixels).save(tmp_path / kind / f"{name}.png")
    (tmp_path / "parts.csv").write_text("name,part,projection\na,chest,frontal\nb,knee,frontal\n")
    pools = Pools([tmp_path], Preparation(32, 32), {})
    assert pools.read_new() == 2 and pools.read_new() == 2
    assert np.array_equal(pools.films["chest"][0].hidden, pools.films["chest"][0].mask)
    assert pools.films["knee"][0].mask.any() and not pools.films["knee"][0].hidden.any()


@pytest.mark.slow
def test_a_run_trains_and_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(tmp_path / "films", 2, size=(64, 64))
    words = ["--pools", str(tmp_path / "films"), "--work", str(tmp_path / "work"), "--batch", "1"]
    words += ["--freeze", "--stay", "0", "--rate", "0.1", "--out"]
    for steps in (1, 2):
        out = tmp_path / f"bones{steps}"
        monkeypatch.setattr(sys, "argv", ["finetune", *words, str(out), "--steps", str(steps)])
        finetune_bundled.main()
    state = torch.load(tmp_path / "work" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    before = load_network(load_bundle(bundled())).state_dict()
    after = load_network(load_bundle(tmp_path / "bones2")).state_dict()
    assert torch.equal(before["stem.weight"], after["stem.weight"])
    assert not torch.equal(before["heads.3.weight"], after["heads.3.weight"])


def test_a_bone_that_is_not_on_the_film_counts_only_as_such() -> None:
    """Dice is that of the bones on the film; the others are learnt to be absent."""
    bones = torch.zeros(1, 24, 8, 8)
    bones[:, 17, :4] = 1
    right = torch.where(bones > 0, 20.0, -20.0)
    wrong = right.clone()
    wrong[:, 3] = 20.0
    weight = torch.ones(1, 1, 8, 8)
    assert train_bones.bone_loss(right, bones, weight) < 1e-4
    doubt = np.log(2) / 2  # between two bones, on half of the film
    assert train_bones.bone_loss(wrong, bones, weight) == pytest.approx(20 + doubt, rel=1e-3)


@pytest.mark.slow
def test_names_are_trained_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films = tmp_path / "films"
    simulate(films, 3, size=(64, 64))
    (films / "bones").mkdir()
    for path in sorted((films / "masks").glob("*.png"))[:2]:
        mask = np.asarray(Image.open(path)) > 127
        np.savez(films / "bones" / f"{path.stem}.npz", names=["femur"], masks=mask[None])
    words = ["--pools", str(films), "--work", str(tmp_path / "work"), "--batch", "1", "--steps"]
    for steps in (1, 2):
        monkeypatch.setattr(sys, "argv", ["train", *words, str(steps)])
        train_bones.main()
    assert torch.load(tmp_path / "work" / "checkpoint.pt", weights_only=True)["step"] == 2
    weights = load_file(tmp_path / "work" / "names.safetensors")
    assert weights["heads.0.weight"].shape == (24, 24, 2, 2)
