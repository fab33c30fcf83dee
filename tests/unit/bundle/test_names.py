"""A bundle can have a second network, which names bones."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from boneseg.bundle.card import NAMES_ONNX, NAMES_WEIGHTS, CardBones
from boneseg.bundle.names import load_names, save_names
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import Bundle, load_bundle, sign
from boneseg.errors import BundleError, UsageError
from boneseg.inference.backends import BACKENDS, open_backend
from boneseg.networks.bones import bone_names
from tests.support.named_bones import NAMES, PARTS, SIDE, WIDTHS


@pytest.fixture
def copied(named_bundle: Bundle, tmp_path: Path) -> Bundle:
    return load_bundle(shutil.copytree(named_bundle.path, tmp_path / "bones"))


def test_every_backend_names_as_pytorch_does(named_bundle: Bundle) -> None:
    films = np.random.default_rng(0).standard_normal((2, 2 + len(PARTS), SIDE, SIDE), np.float32)
    with torch.inference_mode():
        expected = load_names(named_bundle)(torch.from_numpy(films)).sigmoid().numpy()
    assert expected.shape == (2, len(NAMES), SIDE, SIDE)
    for name in BACKENDS:
        found = open_backend(named_bundle, name, names=True)(films)
        assert np.abs(found - expected).mean() < 0.02, name  # bfloat16 where the processor has it


def test_it_shares_weights_with_the_safetensors_file(named_bundle: Bundle) -> None:
    held = onnx.load(named_bundle.path / NAMES_ONNX, load_external_data=False).graph.initializer
    files = {entry.value for one in held for entry in one.external_data if entry.key == "location"}
    assert files == {NAMES_WEIGHTS}


def test_the_card_lists_the_names_and_both_files(named_bundle: Bundle) -> None:
    assert named_bundle.card.bones == CardBones(NAMES, PARTS, WIDTHS, SIDE, SIDE)
    assert set(named_bundle.card.files) > {NAMES_ONNX, NAMES_WEIGHTS}


def test_a_bundle_without_names_says_so() -> None:
    bundle = load_bundle(bundled())
    plain = Bundle(bundle.path, replace(bundle.card, bones=None))
    with pytest.raises(UsageError, match="does not name bones"):
        load_names(plain)


@pytest.mark.parametrize("missing", [NAMES_ONNX, NAMES_WEIGHTS])
def test_a_missing_file_is_an_error(copied: Bundle, missing: str) -> None:
    (copied.path / missing).unlink()
    with pytest.raises(BundleError, match=f"{missing}: is missing"):
        load_bundle(copied.path)
    sign(copied.path, copied.card)
    with pytest.raises(BundleError, match="no valid checksums"):
        load_bundle(copied.path)


@pytest.mark.parametrize(
    "names", [(), ("femur", "femur"), ("../femur",), ("Femur",), ("hip  bone",)]
)
def test_a_name_is_a_word_or_some_and_is_there_once(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name"):
        CardBones(names, PARTS, WIDTHS, SIDE, SIDE)


@pytest.mark.parametrize(
    ("widths", "grid"),
    [((), (64, 64)), ((0, 8), (64, 64)), ((8,), (0, 64)), ((8,), (64, 0)), ((8,), (10**6, 64)),
     ((8,), (64, 10**6))],
)  # fmt: skip
def test_a_size_is_one_that_a_network_can_have(
    widths: tuple[int, ...], grid: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match="size"):
        CardBones(NAMES, PARTS, widths, *grid)


def test_weights_of_another_network_are_an_error(copied: Bundle) -> None:
    bones = CardBones(("femur", "tibia", "ribs"), PARTS, WIDTHS, SIDE, SIDE)
    other = replace(copied.card, bones=bones)
    sign(copied.path, other)
    with pytest.raises(BundleError, match="does not fit its card"):
        load_names(load_bundle(copied.path))


def test_weights_are_halved(named_bundle: Bundle) -> None:
    tensors = load_file(named_bundle.path / NAMES_WEIGHTS)
    floating = [tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()]
    assert set(floating) == {torch.float16}
    assert set(tensors) == set(load_names(named_bundle).state_dict())


def test_an_ensemble_can_have_names_too(copied: Bundle) -> None:
    sign(copied.path, replace(copied.card, members=2))
    network = bone_names(WIDTHS, len(NAMES), len(PARTS))
    saved = save_names(copied.path, network, CardBones(NAMES, PARTS, WIDTHS, SIDE, SIDE))
    assert saved.card.members == 2 and load_bundle(copied.path).card == saved.card
    assert load_names(saved).state_dict().keys() == network.state_dict().keys()
