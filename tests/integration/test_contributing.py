"""The pages "Add a ..." work when followed: their code is pasted into a copy and tested there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, documentation


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def paste(page: Path, into: Path) -> list[str]:
    """Create each file that a page shows, append to it or change it; return their names."""
    shown = [block for block in documentation.blocks(page) if block.title]
    for block in shown:
        path = into / block.title
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if block.language == "diff":
            path.write_text(changed(text, block.code), encoding="utf-8")
        else:
            path.write_text(f"{text}\n\n{block.code}" if text else block.code, encoding="utf-8")
    return [block.title for block in shown]


def changed(text: str, diff: str) -> str:
    """The text with a diff applied, whose lines occur in it once."""
    lines = diff.splitlines()
    before = "\n".join(line[1:] for line in lines if line[0] in " -")
    after = "\n".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, before
    return text.replace(before, after)


def run(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    words = tuple(sys.executable if word == ".venv/bin/python" else word for word in words)
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    return subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("page", documentation.FOLLOWED, ids=lambda page: page.stem)
def test_a_page_works_when_followed(page: Path, copy: Path) -> None:
    assert len(re.findall(r"^## \d\. ", page.read_text(encoding="utf-8"), re.MULTILINE)) == 4
    files = paste(page, copy)
    blocks = [block.code for block in documentation.blocks(page) if block.language == "sh"]
    tests = [
        words for code in blocks for words in documentation.commands(code) if "pytest" in words
    ]
    assert files
    assert tests
    for words in tests:
        done = run(copy, *words, "-q", "-p", "no:cacheprovider")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    checked = run(copy, ".venv/bin/python", "-m", "ruff", "check", *files)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("page", "setting"),
    [("add-a-loss", "loss.tversky=1"), ("add-a-network", "network.architecture=dilated")],
)
def test_a_recipe_can_name_what_a_page_adds(page: str, setting: str, copy: Path) -> None:
    paste(ROOT / "docs" / "contributing" / f"{page}.md", copy)
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
