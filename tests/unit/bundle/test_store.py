"""Bundles: how they are written, grids of each film's own shape, half precision."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from boneseg._util.files import RUNS
from boneseg.bundle import shipped
from boneseg.bundle.card import CARD, ONNX, WEIGHTS
from boneseg.bundle.further import load_names, load_outline
from boneseg.bundle.store import Bundle, load_bundle, load_network, save_bundle
from boneseg.errors import BundleError, OutputError, UsageError
from boneseg.inference.backends import openvino
from boneseg.inference.backends.base import KEPT
from boneseg.inference.backends.onnxruntime import OnnxRuntime
from boneseg.inference.backends.openvino import OpenVino
from boneseg.inference.engine import Engine
from boneseg.networks import build
from boneseg.recipes.network import SettledNetwork
from boneseg.training import checkpoint
from boneseg.training.collapse_guard import predict
from boneseg.training.run_folder import TrainingPlan
from tests.support.readings import card

SHAPES = [(64, 512), (300, 301), (33, 70), (1000, 90), (128, 128)]


def bundle(path: Path, *, half: bool, norm: str = "instance", fitted: bool = True) -> Bundle:
    torch.manual_seed(3)
    settings = SettledNetwork(widths=(8, 16, 32), levels=3, norm=norm)
    blank = card(architecture=settings.model_dump(), height=128, width=128, fitted=fitted)
    save_bundle(path, build(settings).eval(), blank, half=half)
    return load_bundle(path)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_fitted_grid_keeps_each_films_shape(tmp_path: Path, norm: str) -> None:
    made = bundle(tmp_path / "bundle", half=False, norm=norm)
    engine, network = Engine(made), load_network(made)
    for shape in SHAPES:
        pixels = np.random.default_rng(1).random(shape, dtype=np.float32)
        preparation = made.preparation(shape)
        assert preparation.height % 32 == 0 and preparation.width % 32 == 0
        assert preparation.height * preparation.width <= 2.6 * 128 * 128  # small films grow
        grid, place = preparation.film(pixels)
        expected = predict(network, torch.from_numpy(grid)[None, None])[0, 0].numpy()
        found = engine.find(pixels)
        assert found.mask.shape == shape
        # bfloat16 where the processor has it, on an untrained network.
        assert np.abs(found.probability - preparation.restore(expected, place)).mean() < 0.02


def test_a_long_film_is_not_squashed_into_a_square(tmp_path: Path) -> None:
    made = bundle(tmp_path / "bundle", half=False)
    preparation = made.preparation((1024, 128))
    assert preparation.height > 5 * preparation.width
    place = preparation.place((1024, 128))
    assert place.height * place.width > 0.7 * preparation.height * preparation.width


def test_only_the_networks_of_the_last_few_sizes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "OFTEN", 0)
    network = OpenVino(bundle(tmp_path / "bundle", half=False))
    for width in range(64, 64 + 32 * (KEPT + 3), 32):
        network(np.zeros((1, 1, 64, width), np.float32))
    assert len(network._networks) == KEPT


def test_half_precision_halves_the_weights_and_finds_the_same(tmp_path: Path) -> None:
    whole, half = (bundle(tmp_path / name, half=name == "half") for name in ("whole", "half"))
    sizes = [(made.path / WEIGHTS).stat().st_size for made in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    pixels = np.random.default_rng(2).random((120, 100), dtype=np.float32)
    one, other = (Engine(made).probability(pixels) for made in (whole, half))
    assert np.abs(one - other).mean() < 0.02
    assert all(weight.dtype == torch.float32 for weight in load_network(half).parameters())


def test_the_two_files_hold_a_weight_once(tmp_path: Path) -> None:
    made = bundle(tmp_path / "bundle", half=False)
    held = onnx.load(made.path / ONNX, load_external_data=False).graph.initializer
    assert all(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in held)
    assert sum(len(tensor.raw_data) for tensor in held) == 0
    folded = bundle(tmp_path / "folded", half=False, norm="batch")  # other weights than trained
    assert (folded.path / ONNX).stat().st_size > (made.path / ONNX).stat().st_size


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles without their ONNX, which takes long to write."""

    def export(_: object, path: Path, *_shape: object, **_fitted: object) -> None:
        path.write_bytes(b"")

    monkeypatch.setattr("boneseg.bundle.onnx.export", export)
    monkeypatch.setattr("boneseg.bundle.onnx.share_weights", lambda _, __: None)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("problem", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_the_old_bundle_stays_until_the_new_one_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    before = bundle(tmp_path / "bundle", half=False)
    move = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.suffix == ".new":
            raise problem
        return move(path, target)

    with monkeypatch.context() as trouble:
        trouble.setattr(Path, "rename", fail)
        with pytest.raises((OutputError, KeyboardInterrupt)):
            bundle(tmp_path / "bundle", half=True)
    assert load_bundle(tmp_path / "bundle").card == before.card
    assert list(tmp_path.iterdir()) == [tmp_path / "bundle"]
    assert bundle(tmp_path / "bundle", half=True).card != before.card
    assert list(tmp_path.iterdir()) == [tmp_path / "bundle"]


@pytest.mark.usefixtures("plain")
def test_no_file_is_replaced_by_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("notes", encoding="utf-8")
    with pytest.raises(OutputError, match="Not a directory"):
        bundle(tmp_path / "bundle", half=False)
    assert (tmp_path / "bundle").read_text(encoding="utf-8") == "notes"


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free space"), (errno.EROFS, "writable"), (errno.EACCES, "writable")],
)
def test_a_failed_write_is_reported_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    plan = TrainingPlan.model_construct()
    empty = checkpoint.Checkpoint(plan, checkpoint.State(), {}, {}, {}, {})
    told = f"cannot be written \\({os.strerror(number)}\\); .*{advice}"
    with pytest.raises(OutputError, match=f"{tmp_path}/run.safetensors: {told}"):
        checkpoint.save(tmp_path / "run.safetensors", empty)
    with pytest.raises(OutputError, match=f"{tmp_path}/bundle: {told}"):
        bundle(tmp_path / "bundle", half=False)
    assert not list(tmp_path.iterdir())


def test_a_path_without_a_model_is_answered_with_what_is_there(tmp_path: Path) -> None:
    run, path = tmp_path / "run", tmp_path / "run" / "bundle"
    with pytest.raises(UsageError, match=f"^{run}: there is no such folder; .* bundled$"):
        load_bundle(run)
    run.mkdir()
    with pytest.raises(BundleError, match=f"^{run}: is not a bundle "):
        load_bundle(run)
    with pytest.raises(UsageError, match=f"^{path}: there is no such folder; "):
        load_bundle(path)


@pytest.mark.parametrize("left", RUNS)
def test_a_run_that_has_not_finished_is_to_be_resumed(tmp_path: Path, left: str) -> None:
    (tmp_path / left).touch()
    told = f"^{tmp_path}: training has not finished; continue it with --resume$"
    with pytest.raises(BundleError, match=told):
        load_bundle(tmp_path)


@pytest.mark.usefixtures("plain")
def test_a_file_of_a_model_is_answered_with_its_folder(tmp_path: Path) -> None:
    path = bundle(tmp_path / "run" / "bundle", half=False).path
    for name in (CARD, ONNX):
        with pytest.raises(UsageError, match=f"{name}: is a file; .* model: {path}$"):
            load_bundle(path / name)
    other = tmp_path / "other.onnx"
    other.touch()
    with pytest.raises(UsageError, match=rf"other.onnx: is a file; .* model: a folder with {CARD}"):
        load_bundle(other)


@pytest.mark.usefixtures("plain")
def test_a_card_that_cannot_be_read_is_not_called_missing(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle", half=False).path
    (path / CARD).unlink()
    (path / CARD).mkdir()
    with pytest.raises(BundleError, match=f"^{path / CARD}: cannot be read "):
        load_bundle(path)


def in_openvino(bundle: Bundle) -> None:
    OpenVino(bundle).prepare((1, 1, 64, 64))


@pytest.mark.parametrize("read", [in_openvino, OnnxRuntime, load_network, load_names, load_outline])
def test_the_files_in_the_package_are_verified_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Bundle], object]
) -> None:
    folder = shutil.copytree(shipped.bundled(), tmp_path / "bones")
    monkeypatch.setattr(shipped, "bundled", lambda: folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    damaged = load_bundle(folder)
    with pytest.raises(BundleError, match=f"{WEIGHTS}: has changed since it was saved"):
        read(damaged)
