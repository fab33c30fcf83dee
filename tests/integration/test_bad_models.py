"""Damaged and foreign models and runs: one line that names them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from boneseg.bundle.store import Bundle, load_bundle, load_network
from boneseg.dataset.open import open_dataset
from boneseg.errors import BundleError
from boneseg.inference.engine import Engine
from boneseg.recipes.builtin import load_recipe
from tests.support.bad_input import GOOD, SETTINGS, SIDE, SMALL, Call, everything, grey

# ---------------------------------------------------------------- bad bundles


@pytest.mark.parametrize("damage", ["flipped", "missing", "cut", "empty"])
@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "model.json"])
@pytest.mark.parametrize("verb", ["segment", "evaluate", "train"])
def test_a_damaged_bundle_is_refused_by_name(
    verb: str, name: str, damage: str, data: Path, bundle: Path, tmp_path: Path, boneseg: Call
) -> None:
    damaged = shutil.copytree(bundle, tmp_path / "bundle")
    whole = bytearray((bundle / name).read_bytes())
    whole[len(whole) // 2 if name != "model.json" else 0] ^= 1
    contents = {"flipped": bytes(whole), "cut": bytes(whole[:100]), "empty": b""}
    if damage == "missing":
        (damaged / name).unlink()
    else:
        (damaged / name).write_bytes(contents[damage])
    calls = {
        "segment": ["segment", data / "images", "--out", tmp_path / "out", "--model", damaged],
        "evaluate": ["evaluate", data, "--model", damaged],
        "train": ["train", data, "--out", tmp_path / "out", "--init", damaged],
    }
    answer = boneseg(*calls[verb])
    assert answer.status == 1
    (line,) = answer.lines
    assert name in line
    assert not (tmp_path / "out").exists()


def test_every_flipped_byte_of_a_card_is_refused(bundle: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(bundle, tmp_path / "bundle")
    card = bytearray((bundle / "model.json").read_bytes())
    for place in range(0, len(card), 3):
        for bit in (1, 128):
            card[place] ^= bit
            (damaged / "model.json").write_bytes(card)
            card[place] ^= bit
            with pytest.raises(BundleError) as caught:
                load_bundle(damaged)
            assert str(damaged) in str(caught.value)
            assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(bundle: Path) -> None:
    card = load_bundle(bundle).card
    other = card.architecture | {"widths": [5, 8, 16]}
    with pytest.raises(BundleError, match=r"does not fit its model\.json"):
        load_network(Bundle(bundle, replace(card, architecture=other)))


def test_a_model_of_another_size_than_its_card_is_refused(bundle: Path) -> None:
    card = load_bundle(bundle).card
    with pytest.raises(BundleError, match=str(bundle)):
        Engine(Bundle(bundle, replace(card, height=SIDE + 1)))


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("change", ["films", "recipe", "checkpoint", "no --resume"])
def test_a_run_is_not_resumed_with_changed_films_or_settings(
    change: str, data: Path, tmp_path: Path, boneseg: Call
) -> None:
    from boneseg.training.train import train

    films_of_run = shutil.copytree(data, tmp_path / "data")
    run = tmp_path / "run"
    train(open_dataset(films_of_run), load_recipe("fast").with_settings(SETTINGS), run)
    saved = run / "checkpoint.safetensors"
    if change == "films":
        grey(films_of_run / "images" / f"{GOOD[0]}.png", SIDE, SIDE)
    if change == "checkpoint":
        saved.write_bytes(saved.read_bytes()[:-100])
    before = {path: path.read_bytes() for path in everything(run)}
    more = [] if change == "no --resume" else ["--resume"]
    more += ["--epochs", "3"] if change == "recipe" else []
    words = ["--recipe", "fast", *SMALL, *more]
    answer = boneseg("train", films_of_run, "--out", run, *words)
    assert answer.status == 1
    (line,) = answer.lines
    hints = {
        "films": f"films have changed since ({GOOD[0]})",
        "recipe": "settings have changed since (run.epochs was 2, now 3)",
    }
    assert hints.get(change, "cannot be read" if change == "checkpoint" else "--resume") in line
    assert {path: path.read_bytes() for path in everything(run)} == before
