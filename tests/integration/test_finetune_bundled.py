"""Training of the bundled model, its names and outlines: what counts, and a run goes on."""

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from boneseg.bundle.further import load_outline
from boneseg.bundle.store import Bundle, bundled, load_bundle, load_network
from boneseg.preprocessing import Preparation, resize
from boneseg.simulate import simulate
from scripts import finetune_bundled, train_bones, train_outline
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


def test_parts_of_films_are_drawn_near_what_was_found() -> None:
    found = np.zeros((500, 400), np.float32)
    found[250:] = 0.6  # all of it uncertain
    rng = np.random.default_rng(0)
    middles = [train_outline.centre(found, rng) for _ in range(200)]
    half = train_outline.CROP / 2
    assert all(
        half <= row <= 500 - half and half <= column <= 400 - half for row, column in middles
    )
    assert np.mean([row > 250 for row, _ in middles]) > 0.7


def test_a_part_keeps_film_and_bone_together() -> None:
    """Turned, scaled or mirrored: what was bright is where the bone is."""
    rows, columns = np.mgrid[:500, :500]
    bone = ((rows > 200) & (columns > 260)).astype(np.float32)
    layers = np.stack([bone, bone, np.ones_like(bone)])
    rng = np.random.default_rng(1)
    for _ in range(5):
        view = train_outline.sampled(layers, (250.0, 250.0), rng)
        assert view.shape == (3, train_outline.CROP, train_outline.CROP)
        assert torch.equal(view[0], view[1])
        assert 0.1 < view[0].mean() < 0.6 and view[2].mean() > 0.9


def test_what_was_found_lies_on_the_film_on_every_grid() -> None:
    """Films are laid in the middle of grids whose sides are multiples of 32."""
    bone = np.zeros((1010, 731), np.bool_)
    bone[300:700, 200:450] = True
    film, found = bone.astype(np.float32), resize(bone.astype(np.float32), (280, 203))
    for count in (128 * 128, 400 * 400, 640 * 640):
        layers = train_outline.level(film, bone, bone, count).layers(found, 1.0)
        shown, truth, hidden = layers[1] > 0.5, layers[2] > 0, layers[3] > 0
        assert 2 * (shown & truth).sum() / (shown.sum() + truth.sum()) > 0.98
        assert (hidden >= truth).all() and hidden.mean() < 1.1 * truth.mean()
        assert (layers[0] > 0)[truth].all() and layers[4].all()


def test_far_from_the_outline_and_where_bone_is_hidden_pixels_count_little() -> None:
    found, bone = -torch.ones(1, 1, 96, 96), torch.zeros(1, 1, 96, 96)
    bone[..., 48:] = 1
    found[..., 60:] = 1
    hidden, inside = torch.zeros_like(bone), torch.ones_like(bone)
    hidden[..., 90:, :] = 1
    inside[..., :4] = 0
    weight = train_outline.weight_of(torch.cat([found, bone, hidden, inside], 1))[0, 0]
    assert weight[10, 48] == pytest.approx(1, abs=1e-5) and weight[10, 60] == weight[10, 48]
    assert weight[10, 20] == pytest.approx(train_outline.AWAY, abs=1e-5)
    assert weight[92, 48] == pytest.approx(train_outline.HIDDEN, abs=1e-5)
    assert weight[10, 2] < 1e-5


@pytest.mark.slow
def test_outlines_are_trained_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films, work, out = (tmp_path / name for name in ("films", "work", "bones"))
    simulate(films, 2, size=(64, 64))
    monkeypatch.setattr(train_outline, "CROP", 96)
    model = load_bundle(bundled())
    asked = Namespace(pools=[films], work=work, init=model.path, steps=1, batch=1, rate=3e-4)
    interrupted = train_outline.trained(asked, model).state_dict()
    words = ["--pools", str(films), "--work", str(work), "--batch", "1", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["train", *words, "--out", str(out)])
    train_outline.main()
    assert torch.load(work / "checkpoint.pt", weights_only=True)["step"] == 2
    saved = load_bundle(out)
    assert saved.card.outlines is not None and saved.card.bones == model.card.bones
    resumed = load_outline(saved).state_dict()
    assert resumed.keys() == interrupted.keys()
    assert not torch.equal(resumed["stem.weight"], interrupted["stem.weight"].half().float())


def test_a_network_for_outlines_begins_with_what_the_other_has_learnt() -> None:
    """Whatever was found before counts for nothing at first."""
    bundle = load_bundle(bundled())
    plain = Bundle(bundle.path, replace(bundle.card, outlines=None))
    network = train_outline.begun(plain).eval()
    film = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        expected = load_network(bundle)(film)
        for found in (-1.0, 0.3):
            seen = torch.cat([film, torch.full_like(film, found)], 1)
            assert torch.equal(network(seen), expected)
