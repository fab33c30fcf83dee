"""The names and the cost of `import boneseg`."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import boneseg
from boneseg.errors import BonesegError
from boneseg.masks.types import MaskSizeError
from boneseg.server.errors import BusyError

HEAVY = {"torch", "matplotlib", "openvino", "scipy", "pydicom", "PIL", "pydantic"}


def modules_after(code: str) -> set[str]:
    probe = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    call = [sys.executable, "-c", probe]
    return set(subprocess.run(call, capture_output=True, text=True, check=True).stdout.split())


def test_every_public_name_is_there_and_comes_from_where_it_says() -> None:
    assert list(boneseg.__all__) == sorted(boneseg.__all__)
    for name in boneseg.__all__:
        assert getattr(boneseg, name).__name__ == name


def test_the_names_for_type_checkers_are_the_names_at_run_time() -> None:
    tree = ast.parse(Path(boneseg.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("boneseg.")
        if not (node.module or "").startswith("boneseg._util")
        for alias in node.names
    }
    assert typed == set(boneseg.__all__)


def test_paths_may_be_given_as_text(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "images" / "knee.png")
    boneseg.write_mask(str(tmp_path / "masks" / "knee.png"), np.eye(20, dtype=bool))
    assert boneseg.read_mask(str(tmp_path / "masks" / "knee.png")).sum() == 20
    folders = {folder: str(tmp_path / folder) for folder in ("images", "masks")}
    assert boneseg.open_dataset(None, **folders).cases == boneseg.open_dataset(tmp_path).cases


def test_the_import_is_light() -> None:
    assert not modules_after("import boneseg") & HEAVY


def test_the_registry_of_formats_imports_no_library_of_a_format() -> None:
    libraries = {"highdicom", "nibabel", "nrrd", "pycocotools", "pydicom", "scipy", "contourpy"}
    assert not modules_after("import boneseg.inference.batch, boneseg.masks.read") & libraries


def test_segmenting_imports_no_torch() -> None:
    code = (
        "import boneseg.inference.batch, boneseg.cli, boneseg.bundle.store, "
        "boneseg.inference.engine"
    )
    assert not modules_after(code) & {"torch", "matplotlib", "scipy", "pydicom"}


def test_every_error_passes_between_processes_whole() -> None:
    size = MaskSizeError(Path("knee.png"), (2, 3), (4, 5))
    for error in (size, BusyError("come again", 7), BonesegError("no")):
        passed = pickle.loads(pickle.dumps(error))
        assert type(passed) is type(error)
        assert (str(passed), vars(passed)) == (str(error), vars(error))
