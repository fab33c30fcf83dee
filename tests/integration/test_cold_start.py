"""What a cold start imports: a call is quick if it leaves out what it does not need.

Time depends on the machine; the modules imported do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg.bundle.shipped import sample_films

# Each takes more than a hundredth of a cold start, and one picture needs none of them.
UNNEEDED = frozenset(
    (
        *("typer", "rich", "click", "pydantic", "pydantic_core", "annotated_types"),
        *("torch", "onnx", "onnxruntime", "scipy", "matplotlib", "optuna", "tqdm"),
        *("pydicom", "highdicom", "imagecodecs", "nibabel", "nrrd", "pycocotools", "contourpy"),
        *("fastapi", "uvicorn", "httpx", "pynetdicom"),
        *(
            "asyncio",
            "multiprocessing",
            "email",
            "http",
            "ssl",
            "xml",
            "sqlite3",
            "importlib.metadata",
            *("PIL.TiffImagePlugin", "PIL.JpegImagePlugin", "subprocess"),
            "openvino.opset1.ops",
            *("socket", "tempfile", "secrets", "random", "threadpoolctl"),
        ),
    )
)
OWN = 84  # modules of boneseg, 84 now
ALL = 440  # modules in all, 413 now with those of NumPy, Pillow and OpenVINO


def imported(code: str) -> set[str]:
    """The modules that a new process has imported at the end of some code."""
    report = "import atexit, json, sys; atexit.register(lambda: print(json.dumps([*sys.modules])))"
    call = [sys.executable, "-c", f"{report}\n{code}"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def segmenting(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    film, out = min(sample_films().glob("*.png")), tmp_path_factory.mktemp("out")
    words = ["boneseg", "segment", str(film), "--out", str(out)]
    found = imported(f"import sys; sys.argv = {words}; from boneseg.cli import main; main()")
    assert {path.suffix for path in out.iterdir()} == {".png", ".json"}
    return found


def own(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "boneseg"}


def test_importing_boneseg_imports_nothing_else() -> None:
    found = imported("import boneseg")
    assert own(found) == {"boneseg"}
    assert not found & {"numpy", "PIL", "inspect", "dataclasses", "pathlib", "logging"}


def test_segmenting_imports_no_library_that_it_does_not_need(segmenting: set[str]) -> None:
    assert not segmenting & UNNEEDED
    assert {"numpy", "PIL.PngImagePlugin"} <= segmenting


def test_segmenting_imports_no_other_part_of_boneseg(segmenting: set[str]) -> None:
    packages = {name.split(".")[1] for name in own(segmenting) if "." in name}
    assert packages == {
        *("cli", "inference", "bundle", "masks", "radiograph"),
        *("_util", "preprocessing", "errors"),
    }
    verbs = {"boneseg.cli.typer_app", "boneseg.cli.training", "boneseg.cli.services"}
    assert not segmenting & {*verbs, "boneseg.cli.simulation", "boneseg.radiograph.dicom.read"}


def test_the_network_is_loaded_while_the_rest_is_imported(tmp_path: Path) -> None:
    film = min(sample_films().glob("*.png"))
    code = f"""
import sys
from boneseg.cli import main
from boneseg.inference import engine

def load(_):
    early = {{"boneseg.masks.output", "boneseg.masks.formats", "PIL"}} & set(sys.modules)
    assert not early, "imported before the network is loaded"
    sys.modules["loaded"] = None

engine.Engine.load = load
sys.argv = ["boneseg", "segment", {str(film)!r}, "--out", {str(tmp_path)!r}]
main()
"""
    assert {"loaded", "boneseg.masks.output", "PIL"} <= imported(code)


def test_segmenting_imports_few_modules(segmenting: set[str]) -> None:
    """Raise a bound only for what every call needs."""
    assert len(own(segmenting)) <= OWN
    assert len(segmenting) <= ALL
