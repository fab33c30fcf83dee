"""Generated pages of the documentation: `python -m scripts.reference docs`.

Command line, Python API, recipes, documents, metrics and package layers come from the code itself,
and the contributing page and the changelog from the files at the top of the repository. The pages
are not committed: `make docs` writes them before it builds the site.
"""

from __future__ import annotations

from pathlib import Path

from scripts.reference.command_line import command_line
from scripts.reference.documents import documents
from scripts.reference.layers import layers
from scripts.reference.metrics import metrics
from scripts.reference.python_api import python_api
from scripts.reference.recipes import recipes

ROOT = Path(__file__).resolve().parents[2]


def pages() -> dict[str, str]:
    """Every generated page, by its path below docs."""
    return {
        "reference/command-line.md": command_line(),
        "reference/python.md": python_api(),
        "reference/recipes.md": recipes(),
        "reference/metrics.md": metrics(),
        "reference/documents.md": documents(),
        ".generated/layers.md": layers(),
        "contributing/index.md": from_top("CONTRIBUTING.md", "../"),
        "changelog.md": from_top("CHANGELOG.md", ""),
    }


def from_top(name: str, up: str) -> str:
    """A file of the repository's top as a page, its links relative to the page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return text.replace("](docs/", f"]({up}").replace("](CHANGELOG.md", f"]({up}changelog.md")
