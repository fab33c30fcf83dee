"""The tests mirror the package: every module has a test file of its name; and they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PACKAGE, TESTS = ROOT / "src" / "boneseg", ROOT / "tests" / "unit"
WITHOUT = {"__main__.py", "__init__.py"}  # they run or export what other modules hold


def modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.name not in WITHOUT]


def test_every_module_has_a_test_file_of_its_name() -> None:
    places = {module: module.relative_to(PACKAGE) for module in modules()}
    wanted = {place.parent / f"test_{place.name}" for place in places.values()}
    assert sorted(str(place) for place in wanted if not (TESTS / place).is_file()) == []


def test_every_test_file_holds_tests() -> None:
    files = [*TESTS.rglob("test_*.py"), *(ROOT / "tests" / "integration").glob("test_*.py")]
    assert [str(path) for path in files if "\ndef test_" not in path.read_text()] == []


def test_no_test_file_is_longer_than_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / "tests").rglob("*.py")
    }
    assert {path: lines for path, lines in long.items() if lines > 500} == {}


def test_a_test_that_hangs_ends_the_run_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("import time\n\ndef test_b():\n    time.sleep(100)\n")
    call = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-n", "1"]
    call += ["-o", "faulthandler_timeout=1", "--max-worker-restart=0", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode not in (0, 2)
    assert "crashed while running 'test_a.py::test_b'" in done.stdout
    assert 'test_a.py", line 4 in test_b' in done.stderr
