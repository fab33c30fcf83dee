"""Recipes, models and runs that are damaged or hostile end in one line that names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from boneseg.bundle.card import CARD, ONNX, WEIGHTS, card_digest
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle, load_network, seen_by, sign
from boneseg.errors import BundleError, RecipeError, TrainingError
from boneseg.experiments import crossval
from boneseg.inference.engine import Engine
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import read_space
from tests.support.damage import DEEP, one_line

# --- recipes and search spaces ---


@pytest.mark.parametrize(
    "text",
    [
        "network.stem = " + "[" * 20_000,
        "network.stem = " + "{a = " * 9_000,
        "[" + ".".join("a" * 3000) + "]",
        "#" * 60_000,
        "[network]\nwidth = " + "9" * 5000,
        "[network]\nwidth = 1e400",
        '[network]\nnorm = "' + "x" * 5000 + '"',
        "[" + "x" * 5000 + "]",
        "[network]\n" + "x" * 5000 + " = 1",
        "network = 5",
        "version = []",
        "version = 1979-05-27",
        "\0",
    ],
)
def test_a_hostile_recipe_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    for read in (load_recipe, lambda name: read_space(Path(name))):
        with pytest.raises(RecipeError) as error:
            read(str(path))
        one_line(error, path)


@pytest.mark.parametrize("text", [b"\xff\xfe", b'a = "\xff"', b"\xef\xbb\xbf[network"])
def test_a_recipe_that_is_no_text_is_one_line(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(text)
    with pytest.raises(RecipeError) as error:
        load_recipe(str(path))
    one_line(error, path)


@pytest.mark.parametrize("value", ["[" * DEEP, "{a = " * DEEP, "9" * 5000, "0x" + "f" * 5000, "\0"])
def test_a_hostile_setting_is_one_line(value: str) -> None:
    with pytest.raises(RecipeError) as error:
        Recipe().with_settings([f"network.stem={value}"])
    assert str(error.value).startswith("--set: network.stem")
    assert len(str(error.value)) < 300


# --- models ---


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model that ships, to be damaged."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copytree(bundled(), tmp_path / "model"))


@pytest.mark.parametrize(
    "text",
    [
        *("[" * DEEP, '{"a":' * DEEP, "[]", "5", "null", "9" * 5000, '{"format": "1"}'),
        *('{"format": [2]}', '{"recipe": ' + "[" * 900 + "]" * 900 + "}", ""),
    ],
)
def test_a_hostile_card_is_one_line(text: str, copied: Path) -> None:
    (copied / CARD).write_text(text)
    with pytest.raises(BundleError) as error:
        load_bundle(copied)
    one_line(error, copied)


def damaged(name: str, data: bytes) -> bytes:
    header = (1000).to_bytes(8, "little")
    return {
        "empty": b"",
        "noise": np.random.default_rng(0).bytes(5000),
        "cut": data[: len(data) // 2],
        "no text": header + b"\xff" * 1000 + data[1008:],
        "deep": (DEEP).to_bytes(8, "little") + b"[" * DEEP,
        "a length beyond the file": b"\xff" * 8 + data[8:],
    }[name]


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "torch"])
@pytest.mark.parametrize(
    "damage", ["empty", "noise", "cut", "no text", "deep", "a length beyond the file"]
)
def test_a_signed_but_damaged_model_is_one_line(damage: str, backend: str, copied: Path) -> None:
    pytest.importorskip(backend)
    name = WEIGHTS if backend == "torch" else ONNX
    data = (copied / name).read_bytes()
    (copied / name).write_bytes(damaged(damage, data))
    sign(copied, load_bundle(bundled()).card)
    with pytest.raises(BundleError) as error:
        Engine(load_bundle(copied), backend=backend).find(np.zeros((64, 64), np.float32))
    one_line(error, copied)


def test_a_network_with_another_output_size_is_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(copied)
    for shape in [(2, 1, 5, 5), (2, 3, 64, 64), (64, 64), ()]:
        network = Mock(return_value=np.zeros(shape, np.float32))
        monkeypatch.setattr(engine, "_network", network)
        with pytest.raises(BundleError, match=r"output size of its .* does not match"):
            engine.find(np.zeros((64, 64), np.float32))


@pytest.mark.parametrize("seen", [5, "abc", None, {"a": 1}, [[1], None, "f00d"]])
def test_a_card_with_an_odd_record_of_films_is_read(seen: Any, copied: Path) -> None:
    card = json.loads((copied / CARD).read_text())
    card["data"]["seen"] = seen
    (copied / CARD).write_text(json.dumps(card | {"card_sha256": card_digest(card)}))
    assert all(isinstance(one, str) for one in seen_by(load_bundle(copied)))


def test_weights_are_loaded_from_a_whole_copy(copied: Path) -> None:
    pytest.importorskip("torch")
    assert load_network(load_bundle(copied)) is not None


PLAN = crossval.CrossvalPlan(
    films={"knee": "1"}, folds=2, recipe=Recipe().settle([(64, 64)]), init=None, rows=()
)


@pytest.mark.parametrize("text", ["[" * DEEP, "", "5", "[]", '"x"', '{"films": 5}'])
def test_a_damaged_plan_is_one_line(text: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(TrainingError) as error:
        crossval._start(PLAN, tmp_path, resume=True)
    one_line(error, tmp_path)
