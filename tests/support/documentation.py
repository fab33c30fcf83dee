"""The pages of the documentation, and the code blocks on them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from scripts import reference
from tests.support import ROOT

GENERATED = tuple(reference.PAGES)
FOLLOWED = sorted((ROOT / "docs" / "contributing").glob("add-*.md"))
"""Pages whose code is pasted into the source: see tests/integration/test_contributing.py."""
_FENCE = re.compile(
    r"^(?P<only><!-- test: parse -->\n)?"  # commands that are parsed, but not run
    r"(?P<indent> *)```(?P<language>\w+)?(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block. title: name of the file it shows. parse_only: its commands are not run."""

    language: str
    code: str
    title: str
    parse_only: bool


def pages() -> list[Path]:
    """Every page that a person wrote."""
    docs = ROOT / "docs"
    generated = {docs / name for name in GENERATED}
    top = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "CHANGELOG.md",
    ]
    written = {page for page in docs.rglob("*.md") if page.parent.name != ".generated"}
    return top + sorted(written - generated)


def others() -> list[Path]:
    """Pages beside the documentation, whose links and names are checked."""
    card = ROOT / "src" / "boneseg" / "bundle" / "models" / "MODEL_CARD.md"
    return [card, ROOT / "fuzz" / "README.md", *sorted(ROOT.glob("benchmarks/results/*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order, without their indent."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        code = "".join(line[indent:] for line in match["code"].splitlines(keepends=True))
        only = match["only"] is not None
        found.append(Block(match["language"] or "", code, match["title"] or "", only))
    return found


def without_files(page: Path) -> str:
    """The text of a page without the files that its blocks show."""
    text = page.read_text(encoding="utf-8")
    return _FENCE.sub(lambda match: "" if match["title"] else match[0], text)


def commands(code: str) -> list[list[str]]:
    """The words of each command of a shell block; comments are left out."""
    joined = re.sub(r"\\\n\s*", "", code)
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]
