"""The base install segments: no torch, and the same masks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from boneseg.bundle.store import save_bundle
from boneseg.masks.read import read_mask
from boneseg.networks import build
from boneseg.recipes.recipe import Recipe
from boneseg.simulate import simulate
from tests.support import ROOT
from tests.support.readings import card

BASE = ROOT / ".venv-base" / "bin" / "python"


def test_segment_runs_where_torch_is_not_installed(tmp_path: Path) -> None:
    if not BASE.exists():
        pytest.skip("needs .venv-base, which `make test` sets up")
    assert subprocess.run([BASE, "-c", "import torch"], capture_output=True).returncode == 1
    simulate(tmp_path / "films", 3, size=(90, 70))
    recipe = Recipe().with_settings(["network.width=4"]).settle([(90, 70)])
    blank = card(architecture=recipe.network.model_dump(mode="json"), height=96, width=64)
    save_bundle(tmp_path / "bundle", build(recipe.network), blank)
    for python, out in ((BASE, "base"), (sys.executable, "full")):
        call = [python, "-c", "from boneseg.cli import main; main()", "segment"]
        words = [tmp_path / "films" / "images", "--out", tmp_path / out]
        subprocess.run([*call, *words, "--model", tmp_path / "bundle"], check=True)
    for path in sorted((tmp_path / "base").glob("*_mask.png")):
        assert np.array_equal(read_mask(path), read_mask(tmp_path / "full" / path.name))
    assert len(list((tmp_path / "base").glob("*_mask.png"))) == 3


def test_a_verb_without_its_libraries_names_the_extra(tmp_path: Path) -> None:
    if not BASE.exists():
        pytest.skip("needs .venv-base, which `make test` sets up")
    simulate(tmp_path / "films", 3, size=(90, 70))
    mesh = tmp_path / "femur.stl"
    mesh.write_text("solid femur\nendsolid femur\n")
    for words, extra in (
        (["train", tmp_path / "films", "--out", tmp_path / "run"], "train"),
        (["tune", tmp_path / "films", "--out", tmp_path / "tuned"], "train"),
        (["simulate", "--kind", "skeleton", "--meshes", tmp_path, "--count", "1"], "simulate"),
        (["pacs", "https://pacs.example/dicom-web", "--watch"], "pacs"),
        (["node", "--to", "ARCHIVE@127.0.0.1:104"], "pacs"),
    ):
        if words[0] == "simulate":
            words += ["--out", tmp_path / "more"]
        call = [BASE, "-c", "from boneseg.cli import main; main()", *words]
        ended = subprocess.run(call, capture_output=True, text=True)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].endswith(f'pip install "boneseg[{extra}]"')
        assert "Traceback" not in ended.stderr


WITHOUT_HIGHDICOM = """
import sys
sys.modules["highdicom"] = None
from boneseg.cli import main
main()
"""


def test_without_highdicom_only_what_writes_dicom_says_that_it_is_missing(tmp_path: Path) -> None:
    simulate(tmp_path / "films", 1, size=(90, 70))
    films, out = tmp_path / "films" / "images", tmp_path / "out"

    def ended(*words: object) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-c", WITHOUT_HIGHDICOM, *map(str, words)]
        return subprocess.run(call, capture_output=True, text=True, timeout=120)

    for words in (
        ("segment", films, "--out", out, "--format", "mask,dicom-seg"),
        ("segment", films, "--out", out, "--format", "dicom-seg-fractional"),
        ("convert", tmp_path / "films", "--to", "dicom-seg", "--out", out),
        ("pacs", "https://pacs.example/dicom-web", "--watch"),
        ("node", "--to", "ARCHIVE@127.0.0.1:104", "--spool", out),
    ):
        refused = ended(*words)
        said = refused.stderr.splitlines()[-1]
        assert (refused.returncode, out.exists()) == (1, False)
        assert said.endswith("highdicom is not installed; pip install --no-deps highdicom")
    assert ended("segment", films, "--out", out, "--format", "mask,nrrd").returncode == 0
    assert len(list(out.glob("*.seg.nrrd"))) == 1


def test_a_film_and_what_is_found_on_it_show_themselves_without_torch(tmp_path: Path) -> None:
    simulate(tmp_path / "films", 1, size=(90, 70))
    film = next((tmp_path / "films" / "images").iterdir())
    words = f"""
import sys, boneseg, numpy
from boneseg.inference.engine import Finding
film = boneseg.read_radiograph({str(film)!r})
found = Finding(film.pixels, film.pixels > 0.5, film.pixels)
assert "<img" in film._repr_html_() and "<img" in found._repr_html_()
assert "torch" not in sys.modules, "torch was imported"
"""
    subprocess.run([sys.executable, "-c", words], check=True)
