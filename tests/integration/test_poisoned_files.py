"""Files that would run code or read other files in careless readers: refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from boneseg.bundle.card import CARD, ONNX, WEIGHTS
from boneseg.bundle.shipped import bundled, sample_films
from boneseg.bundle.store import load_bundle, sign
from boneseg.errors import BonesegError
from boneseg.masks.annotations import open_annotations
from boneseg.masks.formats.cvat import read_document
from boneseg.masks.read import read_mask
from boneseg.simulate import simulate
from boneseg.training import checkpoint
from tests.support.command_line import boneseg
from tests.support.damage import one_line
from tests.support.regions import SHAPE, cvat_region


@dataclass(frozen=True)
class Poison:
    """An object whose pickle makes a folder on loading."""

    folder: Path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The folder that exists as soon as a poisoned file was executed."""
    return tmp_path / "ran"


@cache
def zip_bomb() -> bytes:
    """A path out of the folder, and 64 MB of zeros."""
    return zipped({"../../ran/film.png": b"", "knee.png": bytes(1 << 26)})


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def poisoned(kind: str, ran: Path) -> bytes:
    pickled = pickle.dumps(Poison(ran))
    objects = np.array([Poison(ran)], dtype=object)
    file = io.BytesIO()
    match kind:
        case "pkl":
            return pickled
        case "pt":  # as torch.save writes them
            return zipped({"archive/data.pkl": pickled, "archive/version": b"3\n"})
        case "npy":
            np.save(file, objects, allow_pickle=True)
        case "npz":
            np.savez(file, objects)
        case "yaml":
            return f"!!python/object/apply:os.mkdir ['{ran}']\n".encode()
        case "zip":
            return zip_bomb()
    return file.getvalue()


KINDS = ("pkl", "pt", "npy", "npz", "yaml", "zip")


@pytest.mark.parametrize("kind", KINDS[:4])
def test_the_poison_works_where_it_is_loaded(kind: str, ran: Path) -> None:
    content = poisoned(kind, ran)
    if kind == "pt":
        content = zipfile.ZipFile(io.BytesIO(content)).read("archive/data.pkl")
    if kind in ("npy", "npz"):
        loaded = np.load(io.BytesIO(content), allow_pickle=True)
        _ = loaded["arr_0"] if kind == "npz" else loaded
    else:
        pickle.loads(content)
    assert ran.is_dir()


@pytest.mark.parametrize("suffix", ["", ".png", ".dcm"])
@pytest.mark.parametrize("kind", KINDS)
def test_films_are_refused(kind: str, suffix: str, tmp_path: Path, ran: Path) -> None:
    """Under the suffix of their kind, or of a film."""
    film = tmp_path / f"film{suffix or f'.{kind}'}"
    film.write_bytes(poisoned(kind, ran))
    done = boneseg("segment", film, "--out", tmp_path / "out")
    assert done.returncode == 1 and str(film) in done.stderr
    assert "Traceback" not in done.stderr and not ran.exists()


@pytest.mark.parametrize("suffix", [".png", ".nrrd", ".nii.gz", ".json", ".xml", ".txt"])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_refused(kind: str, suffix: str, tmp_path: Path, ran: Path) -> None:
    mask = tmp_path / f"knee{suffix}"
    mask.write_bytes(poisoned(kind, ran))
    with pytest.raises(BonesegError) as error:
        read_mask(mask, SHAPE)
    one_line(error, mask)
    assert not ran.exists()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("poisoned") / "data"
    simulate(folder, 3, size=(64, 64))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_recipes_and_models_are_refused(kind: str, data: Path, tmp_path: Path, ran: Path) -> None:
    path = tmp_path / f"file.{kind}"
    path.write_bytes(poisoned(kind, ran))
    film = data / "images" / "phantom_000000.png"
    for words in (
        ["train", data, "--out", tmp_path / "run", "--recipe", path],
        ["train", data, "--out", tmp_path / "run", "--init", path],
        ["tune", data, "--out", tmp_path / "run", "--space", path],
        ["segment", film, "--out", tmp_path / "out", "--model", path],
    ):
        done = boneseg(*words)
        assert done.returncode in (1, 2) and str(path) in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and not ran.exists()
        assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [WEIGHTS, ONNX, CARD])
@pytest.mark.parametrize("kind", ["pkl", "pt", "yaml"])
def test_a_poisoned_file_of_a_model_is_refused_though_it_is_signed(
    kind: str, name: str, data: Path, tmp_path: Path, ran: Path
) -> None:
    model = shutil.copytree(bundled(), tmp_path / "model")
    (model / name).write_bytes(poisoned(kind, ran))
    if name != CARD:
        sign(model, load_bundle(bundled()).card)
    film = sample_films() / "hand.png"
    for words in (
        ["segment", film, "--out", tmp_path / "out", "--model", model],
        ["train", data, "--out", tmp_path / "run", "--init", model],
    ):
        if words[0] == "train" and name == ONNX:  # starts from the weights alone
            continue
        done = boneseg(*words)
        assert done.returncode == 1 and str(model) in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and not ran.exists()


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("location", ["../outside", "{folder}/outside", "a/../../outside"])
def test_a_model_reads_no_weights_outside_its_folder(
    location: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boneseg.inference.engine import Engine

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = shutil.copytree(bundled(), tmp_path / "model")
    shutil.copy(model / WEIGHTS, tmp_path / "outside")
    graph = onnx.load(model / ONNX, load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location.format(folder=tmp_path)
    (model / ONNX).write_bytes(graph.SerializeToString())
    sign(model, load_bundle(bundled()).card)
    with pytest.raises(BonesegError) as error:
        Engine(load_bundle(model), backend=backend).find(np.zeros((64, 64), np.float32))
    one_line(error, model)


_SHAPE = "dim { size: -1 } dim { size: 1 } dim { size: -1 } dim { size: -1 }"
TENSORFLOW = f"""
node {{ name: "film" op: "Placeholder" attr {{ key: "dtype" value {{ type: DT_FLOAT }} }}
  attr {{ key: "shape" value {{ shape {{ {_SHAPE} }} }} }} }}
node {{ name: "probability" op: "Sigmoid" input: "film"
  attr {{ key: "T" value {{ type: DT_FLOAT }} }} }}
"""


def test_a_network_of_another_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO reads TensorFlow's and others, whatever the name of the file."""
    from boneseg.inference.engine import Engine

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = shutil.copytree(bundled(), tmp_path / "model")
    (model / ONNX).write_text(TENSORFLOW)
    sign(model, load_bundle(bundled()).card)
    with pytest.raises(BonesegError, match=ONNX) as error:
        Engine(load_bundle(model), backend="openvino").find(np.zeros((64, 64), np.float32))
    one_line(error, model)


def test_a_poisoned_checkpoint_is_refused(tmp_path: Path, ran: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(poisoned("pt", ran))
    with pytest.raises(BonesegError) as error:
        checkpoint.load(path)
    one_line(error, path)
    assert not ran.exists()


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha">{}]>'.format(
    "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghij"))
)


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY secret SYSTEM "file://{secret}">]>' + cvat_region("polygon"),
        '<!DOCTYPE a SYSTEM "file://{secret}">' + cvat_region("polygon"),
        LAUGHS + cvat_region("polygon").replace('label="', 'label="&j;', 1),
    ],
    ids=["an external entity", "an external document type", "a billion laughs"],
)
def test_entities_in_cvat_are_refused(document: str, tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "knee.xml"
    secret.write_text("s3cret")
    path.write_text(document.replace("{secret}", str(secret)))
    with pytest.raises(BonesegError) as error:
        open_annotations(path)
    one_line(error, path)
    with pytest.raises(ValueError):  # where films are added to the document of an earlier call
        read_document(path)


def test_an_nrrd_reads_no_other_file(tmp_path: Path) -> None:
    outside = tmp_path / "outside.raw"
    outside.write_bytes(bytes(SHAPE[0] * SHAPE[1]))
    path = tmp_path / "masks" / "knee.nrrd"
    path.parent.mkdir()
    for name in ("../outside.raw", str(outside), "LIST\n../outside.raw"):
        head = f"NRRD0004\ntype: uint8\ndimension: 2\nsizes: {SHAPE[1]} {SHAPE[0]}\n"
        path.write_text(f"{head}encoding: raw\ndata file: {name}\n\n")
        with pytest.raises(BonesegError) as error:
            read_mask(path, SHAPE)
        one_line(error, path)


def test_a_film_with_a_pickle_beside_it_is_segmented(tmp_path: Path, ran: Path) -> None:
    """What is no film in a folder does not hold up those that are."""
    Image.open(sample_films() / "hand.png").resize((80, 90)).save(tmp_path / "hand.png")
    for kind in KINDS:
        (tmp_path / f"other.{kind}").write_bytes(poisoned(kind, ran))
    done = boneseg("segment", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "hand_mask.png").is_file() and not ran.exists()
