"""The network of another bundle is read in a child process, whatever it does there."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from boneseg._util.children import Children, NotStartedError
from boneseg.bundle.card import NAMES_ONNX, ONNX, OUTLINE_ONNX, WEIGHTS
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import Bundle, load_bundle, save_bundle, sign
from boneseg.errors import BundleError
from boneseg.inference.backends import isolated, open_backend
from boneseg.inference.backends.isolated import read_apart, serve_reader
from boneseg.networks import build
from boneseg.recipes.network import SettledNetwork
from tests.support.readings import card

SHAPE = (1, 1, 64, 64)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that is not in the package."""
    return load_bundle(shutil.copytree(bundled(), tmp_path_factory.mktemp("other") / "bundle"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "boneseg"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backends whose networks were read in a child process."""
    found: list[str] = []

    def read(backend: str, *words: object) -> object:
        found.append(backend)
        return read_apart(backend, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(isolated, "read_apart", read)
    return found


def probability(bundle: Bundle, backend: str) -> np.ndarray:
    films = np.random.default_rng(0).random(SHAPE, np.float32)
    return open_backend(bundle, backend)(films)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_child_is_needed_once_and_changes_no_result(
    backend: str, bundle: Bundle, other: Bundle, started: list[str], cache: Path
) -> None:
    shipped = probability(bundle, backend)
    assert started == []
    shutil.rmtree(cache, ignore_errors=True)  # a copy has the same digest
    for _ in range(2):
        np.testing.assert_array_equal(probability(other, backend), shipped)
        assert started == [backend]


def test_a_large_network_is_run_on_the_first_film_and_then_taken_over(
    tmp_path: Path, started: list[str]
) -> None:
    """More than 32 MB, which the system unmaps as soon as they are freed."""
    settings = SettledNetwork(widths=(40, 80, 160, 320, 640), levels=5)
    blank = card(architecture=settings.model_dump(), fitted=True)
    large = save_bundle(tmp_path / "large", build(settings).eval(), blank)
    assert (large.path / WEIGHTS).stat().st_size > 40e6
    assert probability(large, "openvino").shape == SHAPE
    assert started == ["openvino"]


def test_so_is_the_network_that_finds_outlines(other: Bundle, started: list[str]) -> None:
    view = np.zeros((1, 2, 64, 96), np.float32)
    for _ in range(2):
        found = open_backend(other, "onnxruntime", file=OUTLINE_ONNX)(view)
        assert found.shape == (1, 1, 64, 96)
    assert started == ["onnxruntime"]


def test_so_is_the_network_that_names_bones(other: Bundle, started: list[str]) -> None:
    bones = other.card.bones
    assert bones is not None
    views = np.zeros((2, 2 + len(bones.parts), bones.height, bones.width), np.float32)
    for _ in range(2):
        found = open_backend(other, "onnxruntime", file=NAMES_ONNX)(views)
        assert found.shape == (2, len(bones.names), bones.height, bones.width)
    assert started == ["onnxruntime"]


def test_a_child_that_started_in_another_folder_finds_the_file(
    other: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probability(other, "onnxruntime")  # a child stays for the next network
    shutil.copytree(other.path, tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    read_apart("onnxruntime", "ONNX Runtime", load_bundle("here"), ONNX, SHAPE, {})


def test_a_file_in_the_current_folder_replaces_no_weights(
    bundle: Bundle, other: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO prefers a .bin there to the weights of a network that was compiled before."""
    expected = probability(bundle, "openvino")  # and the network is in the cache
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".bin").write_bytes(bytes(30_000_000))
    np.testing.assert_array_equal(probability(bundle, "openvino"), expected)
    with pytest.raises(BundleError, match=r"weights from the file \.bin in the current folder"):
        probability(other, "openvino")


def test_a_child_starts_in_no_folder_of_the_user(
    other: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    probability(other, "openvino")
    (child,) = isolated._children("openvino").idle
    assert Path(f"/proc/{child.pid}/cwd").resolve() == Path("/")


def test_without_a_cache_folder_the_child_reads_it_each_time(
    other: Bundle, started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    first, second = (probability(other, "onnxruntime") for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert started == ["onnxruntime"] * 2


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_signed_network_whose_nodes_lack_their_inputs_is_refused(
    backend: str, other: Bundle, tmp_path: Path
) -> None:
    """OpenVINO reads beyond the inputs of a node, and crashes."""
    damaged = Path(shutil.copytree(other.path, tmp_path / "damaged"))
    whole = onnx.load(damaged / ONNX, load_external_data=False)
    nodes = {node.op_type: number for number, node in enumerate(whole.graph.node) if node.input}
    assert {"Conv", "ConvTranspose", "Concat", "InstanceNormalization"} <= set(nodes)
    for number in nodes.values():
        network = onnx.ModelProto.FromString(whole.SerializeToString())
        network.graph.node[number].ClearField("input")
        (damaged / ONNX).write_bytes(network.SerializeToString())
        bundle = Bundle(damaged, sign(damaged, other.card))
        with pytest.raises(BundleError, match=r"/damaged: .*model\.onnx.*; copy the bundle again$"):
            open_backend(bundle, backend).prepare(SHAPE)


# -- what a native reader can do ------------------------------------------------------------------


def crash() -> None:
    serve_reader(lambda *_: os.kill(os.getpid(), signal.SIGSEGV))  # type: ignore[arg-type,return-value]


def hang() -> None:
    serve_reader(lambda *_: time.sleep(60))  # type: ignore[arg-type,return-value]


def fill() -> None:
    serve_reader(lambda *_: bytes(2**34))


def read_by(entry: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> str:
    """The error of a reader that is one of the functions here."""
    children = Children(f"{__name__}:{entry}")
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    monkeypatch.setattr(isolated, "_children", lambda backend: children)
    with pytest.raises(BundleError) as caught:
        read_apart("openvino", "OpenVINO", bundle, ONNX, SHAPE, {})
    children.end_all()
    return str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_crash_is_an_error_of_the_bundle(other: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_by("crash", other, monkeypatch) == (
        f"{other.path}: its model.onnx ended the process that read it (SIGSEGV); "
        "copy the bundle again"
    )


def test_one_that_takes_too_long_is_refused(other: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_LONGEST", 0.1)
    said = read_by("hang", other, monkeypatch)
    assert said == f"{other.path}: its model.onnx took more than 0.4 s; copy the bundle again"


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is a limit on Linux alone")
def test_one_that_takes_too_much_memory_is_refused(
    other: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = read_by("fill", other, monkeypatch)
    problem = "OpenVINO cannot run its model.onnx at 64 x 64; copy the bundle again"
    assert said == f"{other.path}: {problem}"


def test_a_system_without_room_for_a_child_is_not_the_fault_of_the_bundle(
    other: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Children):
        def one(self) -> object:  # type: ignore[override]
            raise NotStartedError("Too many open files")

    monkeypatch.setattr(isolated, "Children", Full)
    monkeypatch.setattr(isolated, "_children", isolated._children.__wrapped__)
    with pytest.raises(BundleError, match=r"no process to read its model\.onnx \(Too many open"):
        read_apart("openvino", "OpenVINO", other, ONNX, SHAPE, {})
