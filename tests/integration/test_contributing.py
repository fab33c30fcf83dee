"""The pages "Add a ..." work when followed: their code is pasted into a copy and tested there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "contributing").glob("add-*.md"))
CODE = re.compile(r'^```python title="(?P<path>[^"]+)"\n(?P<code>.*?)^```$', re.M | re.S)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def paste(page: str, into: Path) -> None:
    """Create each file that a page names, or append to it."""
    for block in CODE.finditer(page):
        path = into / block["path"]
        before = f"{path.read_text(encoding='utf-8')}\n\n" if path.exists() else ""
        path.write_text(before + block["code"], encoding="utf-8")


def run(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    words = tuple(sys.executable if word == ".venv/bin/python" else word for word in words)
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    return subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True)


def test_there_is_a_page_for_each_kind() -> None:
    assert {"add-a-loss.md", "add-a-network.md", "add-a-metric.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_works_when_followed(path: Path, copy: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert len(re.findall(r"^## \d\. ", page, re.M)) == 4
    paste(page, copy)
    calls = [line for block in SHELL.findall(page) for line in block.splitlines()]
    tests = [shlex.split(call) for call in calls if " pytest " in call]
    assert tests
    for words in tests:
        done = run(copy, *words, "-q", "-p", "no:cacheprovider")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    files = [block["path"] for block in CODE.finditer(page)]
    checked = run(copy, ".venv/bin/python", "-m", "ruff", "check", *files)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("page", "setting"),
    [("add-a-loss", "loss.tversky=1"), ("add-a-network", "network.architecture=dilated")],
)
def test_a_recipe_can_name_what_a_page_adds(page: str, setting: str, copy: Path) -> None:
    paste((ROOT / "docs" / "contributing" / f"{page}.md").read_text(encoding="utf-8"), copy)
    recipe = f"Recipe().with_settings(['{setting}'])"
    code = "\n".join(
        (
            "from boneseg.recipes.recipe import Recipe",
            "from boneseg.training.components import check_components, component_comments",
            f"check_components({recipe})",
            f"print({recipe}.to_toml(component_comments()))",
        )
    )
    done = run(copy, ".venv/bin/python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert setting.partition(".")[2].partition("=")[0] in done.stdout
