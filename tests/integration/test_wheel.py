"""The wheel and the source distribution: what they contain, and that the wheel runs.

`python -m scripts.try_release` installs the wheel with its dependencies, which takes minutes.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def test_the_wheel_has_the_package_its_models_and_licences_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = f"boneseg-{PROJECT['version']}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{about}/METADATA").decode())
        licence = archive.read(f"{about}/licenses/LICENSE").decode()
    assert licence == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Version"] == PROJECT["version"]
    assert {name.partition("/")[0] for name in names} == {"boneseg", about}
    source = ROOT / "src"
    tracked = subprocess.run(
        ["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    expected = {
        (ROOT / line).relative_to(source).as_posix() for line in tracked.stdout.splitlines()
    }
    assert {name for name in names if not name.startswith(about)} == expected
    models = {name for name in names if name.startswith("boneseg/bundle/models/")}
    assert "boneseg/bundle/models/MODEL_CARD.md" in models
    assert "boneseg/py.typed" in names


def test_the_source_distribution_can_be_built_and_tested(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "constraints.txt"}
    needed |= {"Makefile", "tests/conftest.py", "src/boneseg/bundle/models/bones/model.onnx"}
    assert needed <= names
    assert not any("shared/" in name or name.endswith(".whl") for name in names)


def test_the_installed_wheel_segments_a_film(wheel: Path, tmp_path: Path) -> None:
    """Beside the libraries of this environment, of whose boneseg it sees nothing."""
    home = tmp_path / "environment"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), *install]
    subprocess.run(pip, check=True, capture_output=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    libraries = Path(place.stdout.strip()) / "libraries.pth"
    libraries.write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    def run(*words: str) -> str:
        call = [*words]
        done = subprocess.run(call, cwd=tmp_path, env={}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    boneseg = str(home / "bin" / "boneseg")
    assert run(boneseg, "--version") == PROJECT["version"]
    film = "from boneseg.bundle.shipped import sample_films; print(sample_films() / 'hand.png')"
    path = run(str(python), "-c", film)
    assert path.startswith(str(home))
    run(boneseg, "segment", path, "--out", str(tmp_path / "masks"))
    assert (tmp_path / "masks" / "hand_mask.png").is_file()
