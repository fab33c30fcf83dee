"""A bundle can have further networks: one that names bones, and one that finds outlines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from boneseg.bundle.card import (
    CARD,
    INT8,
    NAMES_ONNX,
    NAMES_WEIGHTS,
    ONNX,
    OUTLINE_ONNX,
    OUTLINE_WEIGHTS,
    CardBones,
    CardOutline,
    card_digest,
)
from boneseg.bundle.further import load_names, load_outline, save_names, save_outline
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import Bundle, load_bundle, sign
from boneseg.errors import BundleError, UsageError
from boneseg.inference.backends import BACKENDS, open_backend
from boneseg.inference.backends.base import Backend
from boneseg.inference.engine import Engine
from boneseg.networks.bones import bone_names
from boneseg.networks.outline import outline_network
from boneseg.preprocessing import Floats
from tests.support.named_bones import NAMES, PARTS, SIDE, WIDTHS, knee

Answer = Callable[[Backend, Floats, int, str], Floats]


@pytest.fixture
def copied(named_bundle: Bundle, tmp_path: Path) -> Bundle:
    return load_bundle(shutil.copytree(named_bundle.path, tmp_path / "bones"))


def test_every_backend_names_as_pytorch_does(named_bundle: Bundle) -> None:
    films = np.random.default_rng(0).standard_normal((2, 2 + len(PARTS), SIDE, SIDE), np.float32)
    with torch.inference_mode():
        expected = load_names(named_bundle)(torch.from_numpy(films)).sigmoid().numpy()
    assert expected.shape == (2, len(NAMES), SIDE, SIDE)
    for name in BACKENDS:
        found = open_backend(named_bundle, name, file=NAMES_ONNX)(films)
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
    with pytest.raises(BundleError, match=r"does not fit its model\.json"):
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


# -- outlines -------------------------------------------------------------------------------------

OUTLINE = CardOutline(2.0, (8, 16))


@pytest.fixture(scope="module")
def outlined(named_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = shutil.copytree(named_bundle.path, tmp_path_factory.mktemp("outlined") / "bones")
    torch.manual_seed(0)
    return save_outline(path, outline_network(OUTLINE.widths), OUTLINE)


def test_every_backend_finds_outlines_as_pytorch_does(outlined: Bundle) -> None:
    views = np.random.default_rng(0).standard_normal((1, 2, 96, 64), np.float32)
    with torch.inference_mode():
        logits = load_outline(outlined)(torch.from_numpy(views))
    assert isinstance(logits, torch.Tensor) and logits.shape == (1, 1, 96, 64)
    expected = logits.sigmoid().numpy()
    for name in BACKENDS:
        found = open_backend(outlined, name, file=OUTLINE_ONNX)(views)
        assert np.abs(found - expected).mean() < 0.02, name


def test_a_network_for_outlines_leaves_the_others_as_they_are(
    outlined: Bundle, named_bundle: Bundle
) -> None:
    assert load_bundle(outlined.path).card == outlined.card
    assert outlined.card.outlines == OUTLINE and outlined.card.bones == named_bundle.card.bones
    before, after = named_bundle.card.files, outlined.card.files
    assert set(after) - set(before) == {OUTLINE_ONNX, OUTLINE_WEIGHTS}
    assert all(after[name] == digest for name, digest in before.items())


def test_it_is_shown_calibrated_probabilities(
    outlined: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a higher temperature what was found is less certain."""
    film = knee(np.random.default_rng(1), 200, 200)[0]
    shown = []
    for temperature in (1.0, 4.0):
        engine = Engine(replace(outlined, card=replace(outlined.card, temperature=temperature)))
        answer = engine._answer

        def kept(
            network: Backend, films: Floats, channels: int, file: str, answer: Answer = answer
        ) -> Floats:
            if file == OUTLINE_ONNX:
                shown.append(films[0, 1])
            return answer(network, films, channels, file)

        monkeypatch.setattr(engine, "_answer", kept)
        engine.find(film)
    certain, unsure = (float(np.abs(one).mean()) for one in shown)
    assert unsure < 0.8 * certain


def test_the_outline_is_found_by_the_network_for_it(outlined: Bundle) -> None:
    film = knee(np.random.default_rng(1), 200, 200)[0]
    engine = Engine(outlined)
    assert [one.outline for one in engine.passes((200, 200))] == [False, True]
    plain = Bundle(outlined.path, replace(outlined.card, outlines=None))
    assert (engine.find(film).mask != Engine(plain).find(film).mask).any()


@pytest.mark.parametrize("missing", [OUTLINE_ONNX, OUTLINE_WEIGHTS])
def test_a_missing_file_of_outlines_is_an_error(
    outlined: Bundle, tmp_path: Path, missing: str
) -> None:
    path = shutil.copytree(outlined.path, tmp_path / "bones")
    (path / missing).unlink()
    sign(path, outlined.card)
    with pytest.raises(BundleError, match="no valid checksums"):
        load_bundle(path)


def test_weights_of_other_outlines_are_an_error(outlined: Bundle, tmp_path: Path) -> None:
    path = shutil.copytree(outlined.path, tmp_path / "bones")
    sign(path, replace(outlined.card, outlines=CardOutline(2.0, (8, 24))))
    with pytest.raises(BundleError, match=r"does not fit its model\.json"):
        load_outline(load_bundle(path))


def test_a_bundle_without_a_network_for_outlines_says_so(named_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="no network for outlines"):
        load_outline(named_bundle)


def test_a_bundle_of_one_grid_cannot_have_outlines(named_bundle: Bundle, tmp_path: Path) -> None:
    path = shutil.copytree(named_bundle.path, tmp_path / "bones")
    fixed = replace(named_bundle.card, fitted=False)
    sign(path, fixed)
    with pytest.raises(UsageError, match="one grid for all films"):
        save_outline(path, outline_network(OUTLINE.widths), OUTLINE)
    with pytest.raises(ValueError, match="out of range"):
        replace(fixed, outlines=OUTLINE)


def test_a_card_is_of_the_oldest_format_that_has_its_networks(
    outlined: Bundle, named_bundle: Bundle, nameless_bundle: Bundle
) -> None:
    written = [one.card.format for one in (nameless_bundle, named_bundle, outlined)]
    assert written == [1, 2, 3]


def test_a_card_from_before_networks_for_outlines_has_none(
    named_bundle: Bundle, tmp_path: Path
) -> None:
    path = shutil.copytree(named_bundle.path, tmp_path / "bones")
    facts = json.loads((path / CARD).read_text())
    for value, readable in (({"outline": 1.6}, True), ({"outlines": 1.6}, False)):
        changed = facts | value
        changed["card_sha256"] = card_digest(changed)
        (path / CARD).write_text(json.dumps(changed))
        if readable:
            assert load_bundle(path).card.outlines is None
        else:
            with pytest.raises(BundleError, match="is damaged"):
                load_bundle(path)


def test_a_file_that_the_card_does_not_list_is_not_taken_over(
    named_bundle: Bundle, tmp_path: Path
) -> None:
    path = shutil.copytree(named_bundle.path, tmp_path / "bones")
    (path / INT8).write_text("of another model")
    saved = save_outline(path, outline_network(OUTLINE.widths), OUTLINE)
    assert INT8 not in saved.card.files and load_bundle(path).card == saved.card


@pytest.mark.parametrize("file", [NAMES_ONNX, OUTLINE_ONNX])
def test_widths_that_no_machine_can_hold_are_refused(
    outlined: Bundle, tmp_path: Path, file: str
) -> None:
    path = shutil.copytree(outlined.path, tmp_path / "bones")
    facts = json.loads((path / CARD).read_text())
    facts["bones" if file == NAMES_ONNX else "outlines"]["widths"] = [10**6, 10**6]
    facts["card_sha256"] = card_digest(facts)
    (path / CARD).write_text(json.dumps(facts))
    with pytest.raises(BundleError, match="is damaged"):
        load_bundle(path)


@pytest.mark.parametrize("outputs", [0, 2])
def test_a_signed_network_for_outlines_of_another_kind_is_refused(
    outlined: Bundle, tmp_path: Path, outputs: int
) -> None:
    """With as many inputs as the one that finds bone, or with two outputs."""
    path = shutil.copytree(outlined.path, tmp_path / "bones")
    other = onnx.load(path / (OUTLINE_ONNX if outputs else ONNX), load_external_data=True)
    if outputs:
        doubled = onnx.helper.make_node("Concat", ["probability"] * 2, ["both"], axis=1)
        other.graph.node.append(doubled)
        other.graph.output[0].name = "both"
        other.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    onnx.save(other, path / OUTLINE_ONNX)
    sign(path, outlined.card)
    film = knee(np.random.default_rng(1), 200, 200)[0]
    with pytest.raises(BundleError, match=OUTLINE_ONNX):
        Engine(path).find(film)
