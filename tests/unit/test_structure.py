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


def run_of(hanging: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A run of two processes, in one of which a test hangs."""
    (hanging / "test_a.py").write_text("import time\n\ndef test_b():\n    time.sleep(100)\n")
    call = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-n", "2"]
    call += ["-p", "no:cacheprovider", "--max-worker-restart=0", *words, str(hanging)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode not in (0, 2)
    assert 'test_a.py", line 4 in test_b' in done.stderr
    return done


def test_a_test_that_hangs_ends_the_run_and_is_named(tmp_path: Path) -> None:
    done = run_of(tmp_path, "-o", "faulthandler_timeout=1")
    assert "crashed while running 'test_a.py::test_b'" in done.stdout


def test_a_run_without_results_ends_and_what_runs_is_named(tmp_path: Path) -> None:
    plugin = "from tests.support.silence import Silence\n"
    plugin += "def pytest_configure(config):\n"
    plugin += "    if config.getoption('numprocesses', None):\n"
    plugin += "        config.pluginmanager.register(Silence(5.0))\n"
    (tmp_path / "conftest.py").write_text(plugin)
    done = run_of(tmp_path)
    assert "no test has ended for 5 s; these run:\ntest_a.py::test_b\n" in done.stderr
