"""Models on disk: the card, and the other files with the digests that their author would give.

The model is a small one. Networks are read as every command reads them: in a child process, whose
end is an error like others, and then in this one what the child has made of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from boneseg.bundle.card import (
    CARD,
    INT8,
    INT8_WEIGHTS,
    NAMES_ONNX,
    NAMES_WEIGHTS,
    ONNX,
    OUTLINE_ONNX,
    OUTLINE_WEIGHTS,
    WEIGHTS,
    CardBones,
    CardOutline,
    card_digest,
)
from boneseg.bundle.store import load_bundle, sign
from boneseg.inference.backends.openvino import openvino_package
from targets.target import Target
from tests.support.readings import card

LEVELS = (8, 16)  # channels of the networks


@cache
def _making() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="boneseg-fuzz-")


@cache
def small() -> Path:
    """A bundle of networks that were never trained, and that are not what their graphs compute."""
    from safetensors.torch import save_file

    from boneseg.networks import build
    from boneseg.networks.bones import bone_names
    from boneseg.networks.outline import outline_network
    from boneseg.recipes.network import SettledNetwork

    folder = Path(_making().name) / "bundle"
    folder.mkdir()
    settings = SettledNetwork(widths=LEVELS, levels=2, norm="instance", deep_supervision=False)
    bones = CardBones(("femur", "tibia"), ("knee", "hand"), LEVELS, 64, 64)
    save_file(build(settings).state_dict(), folder / WEIGHTS)
    save_file(bone_names(LEVELS, 2, 2).state_dict(), folder / NAMES_WEIGHTS)
    save_file(outline_network(LEVELS).state_dict(), folder / OUTLINE_WEIGHTS)
    (folder / ONNX).write_bytes(_graph(1, 1, WEIGHTS))
    (folder / NAMES_ONNX).write_bytes(_graph(4, 2, NAMES_WEIGHTS))
    (folder / OUTLINE_ONNX).write_bytes(_graph(2, 1, OUTLINE_WEIGHTS))
    model = card(architecture=settings.model_dump(), height=64, width=64, fitted=True)
    outlines = CardOutline(2.0, LEVELS, {"knee": -1.0}, {"knee": 4})
    sign(folder, replace(model, bones=bones, outlines=outlines, biases={"knee": -0.5}))
    return folder


def _graph(inputs: int, outputs: int, weights: str) -> bytes:
    """A network of two convolutions; the weights of the first are in another file of the bundle."""
    from onnx import TensorProto, helper

    def tensor(name: str, *shape: int) -> TensorProto:
        return helper.make_tensor(name, TensorProto.FLOAT, shape, [0.1] * math.prod(shape))

    first = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=(LEVELS[0], inputs, 3, 3))
    first.data_location = TensorProto.EXTERNAL
    length = 4 * math.prod(first.dims)
    for key, value in (("location", weights), ("offset", "8"), ("length", str(length))):
        first.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("Conv", ["film", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("InstanceNormalization", ["a", "scale", "shift"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "v"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["probability"]),
    ]
    known = [first, tensor("scale", 8), tensor("shift", 8), tensor("v", outputs, 8, 1, 1)]
    size = ["n", None, "h", "w"]
    places = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [size[0], count, *size[2:]])
        for name, count in (("film", inputs), ("probability", outputs))
    ]
    graph = helper.make_graph(nodes, "small", places[:1], places[1:], known)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@cache
def quantised() -> Path:
    """The same with a network in 8-bit integers, of the operations that NNCF writes."""
    openvino_package()  # first: it leaves telemetry out
    from openvino import Model, Node, save_model
    from openvino import opset13 as ops

    def scaled(found: Node) -> Node:
        low, high = np.float32(0), np.float32(1)
        return ops.fake_quantize(found, low, high, low, high, 256)

    def weights(*shape: int) -> Node:
        whole = np.arange(math.prod(shape), dtype=np.int8).reshape(shape)
        scale = np.full((shape[0], 1, 1, 1), 0.01, np.float32)
        return ops.multiply(ops.convert(ops.constant(whole), np.float32), ops.constant(scale))

    def convolved(found: Node, outputs: int, inputs: int, side: int) -> Node:
        step, pad = [1, 1], [side // 2] * 2
        kernel = weights(outputs, inputs, side, side)
        return ops.convolution(scaled(found), kernel, step, pad, pad, step)

    film = ops.parameter([-1, 1, -1, -1], np.float32, "film")
    hidden = ops.mvn(convolved(film, LEVELS[0], 1, 3), [2, 3], True, 1e-5, "inside_sqrt")
    probability = ops.sigmoid(convolved(ops.relu(hidden), 1, LEVELS[0], 1))
    folder = Path(shutil.copytree(small(), small().parent / "quantised"))
    save_model(Model([probability], [film], "small"), folder / INT8, compress_to_fp16=True)
    sign(folder, load_bundle(small()).card)
    return folder


def _source(name: str) -> Path:
    return quantised() if name in (INT8, INT8_WEIGHTS) else small()


def _seed(name: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [(_source(name) / name).read_bytes()]


def _with(path: Path) -> Path:
    """A bundle with `path` in place of the file of that name, and its digest."""
    folder, source = path.parent / "bundle", _source(path.name)
    if not folder.exists():
        shutil.copytree(source, folder)
    shutil.copy(path, folder / path.name)
    facts = json.loads((source / CARD).read_text())
    facts["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    facts["card_sha256"] = card_digest(facts)
    (folder / CARD).write_text(json.dumps(facts))
    return folder


def _signed(data: bytes) -> bytes:
    """A card with its own digest."""
    try:
        facts = json.loads(data)
        facts["card_sha256"] = card_digest(facts)
        return json.dumps(facts).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return data


def _read_card(path: Path) -> None:
    folder = path.parent / "bundle"
    if not folder.exists():
        shutil.copytree(small(), folder)
    shutil.copy(path, folder / CARD)
    bundle = load_bundle(folder)
    for width in (None, 5.0, 50.0):  # of bone, px
        bundle.further((400, 300), width)
    bundle.preparation((400, 300))
    bundle.outline((400, 300))


def _read_network(path: Path) -> None:
    """A card whose network is built, as for `--init` and for PyTorch."""
    from boneseg.bundle.store import load_network

    folder = path.parent / "bundle"
    if not folder.exists():
        shutil.copytree(small(), folder)
    shutil.copy(path, folder / CARD)
    load_network(load_bundle(folder))


def _read_weights(path: Path) -> None:
    from boneseg.bundle.store import load_network

    load_network(load_bundle(_with(path)))


def _read_names(path: Path) -> None:
    from boneseg.bundle.further import load_names

    load_names(load_bundle(_with(path)))


def _read_outline(path: Path) -> None:
    from boneseg.bundle.further import load_outline

    load_outline(load_bundle(_with(path)))


def _read_graph(path: Path, backend: str = "openvino") -> None:
    """A network that is loaded and run."""
    from boneseg.inference.backends import open_backend

    bundle = load_bundle(_with(path))
    file = path.name if path.name in (NAMES_ONNX, OUTLINE_ONNX) else ONNX
    os.environ["XDG_CACHE_HOME"] = os.devnull  # no network is kept
    channels = {NAMES_ONNX: 4, OUTLINE_ONNX: 2}.get(file, 1)
    films = np.zeros((2, channels, 64, 64), np.float32)
    open_backend(bundle, backend, file=file, threads=1)(films)


def targets() -> dict[str, Target]:
    return {
        "bundle-card": Target(CARD, _read_card, _seed(CARD), _signed),
        "bundle-network": Target(CARD, _read_network, _seed(CARD), _signed),
        "bundle-weights": Target(WEIGHTS, _read_weights, _seed(WEIGHTS)),
        "bundle-names": Target(NAMES_WEIGHTS, _read_names, _seed(NAMES_WEIGHTS)),
        "bundle-outline": Target(OUTLINE_WEIGHTS, _read_outline, _seed(OUTLINE_WEIGHTS)),
        "bundle-onnx": Target(ONNX, _read_graph, _seed(ONNX)),
        "bundle-int8": Target(INT8, _read_graph, _seed(INT8)),
        "bundle-int8-weights": Target(INT8_WEIGHTS, _read_graph, _seed(INT8_WEIGHTS)),
        "bundle-names-onnx": Target(NAMES_ONNX, _read_graph, _seed(NAMES_ONNX)),
        "bundle-outline-onnx": Target(OUTLINE_ONNX, _read_graph, _seed(OUTLINE_ONNX)),
        "bundle-onnxruntime": Target(
            ONNX, partial(_read_graph, backend="onnxruntime"), _seed(ONNX)
        ),
    }
