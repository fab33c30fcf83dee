"""Generated pages of the documentation: `python -m scripts.reference docs`.

Command line, Python API, recipes, documents, metrics and package layers come from the code itself,
and the contributing page and the changelog from the files at the top of the repository. The pages
are not committed: `make docs` writes them before it builds the site.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.reference.command_line import command_line
from scripts.reference.documents import documents
from scripts.reference.layers import layers
from scripts.reference.metrics import metrics
from scripts.reference.python_api import python_api
from scripts.reference.recipes import recipes

ROOT = Path(__file__).resolve().parents[2]


def from_top(name: str, up: str) -> str:
    """A file of the repository's top as a page, its links relative to the page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return text.replace("](docs/", f"]({up}").replace("](CHANGELOG.md", f"]({up}changelog.md")


PAGES: dict[str, Callable[[], str]] = {  # by path below docs
    "reference/command-line.md": command_line,
    "reference/python.md": python_api,
    "reference/recipes.md": recipes,
    "reference/metrics.md": metrics,
    "reference/documents.md": documents,
    "contributing/index.md": partial(from_top, "CONTRIBUTING.md", "../"),
    "changelog.md": partial(from_top, "CHANGELOG.md", ""),
}
PARTS: dict[str, Callable[[], str]] = {".generated/layers.md": layers}  # of written pages


def write(docs: Path) -> None:
    """Write every generated page, and every part of a written one, below `docs`."""
    for name, text in (PAGES | PARTS).items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8")
