"""The drawing of layers, which the page on architecture includes."""

from __future__ import annotations

import re
import tomllib
from html import escape
from importlib import import_module
from pathlib import Path

from scripts.reference.markdown import summary

ROOT = Path(__file__).resolve().parents[2]


def layers() -> str:
    """The layers of import-linter's contract, top first, as HTML with what each package is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers"
    )
    rows = ['<div class="layers" markdown="0">']
    for layer in contract["layers"]:
        rows.append('<div class="layer">')
        for package in layer.split(" | "):
            module = import_module(f"boneseg.{package}") if package != "__main__" else None
            words = escape(summary(module) if module else "`python -m boneseg`")
            words = re.sub("`([^`]+)`", r"<code>\1</code>", words)
            rows.append(f"<div><strong>{package}</strong><span>{words}</span></div>")
        rows.append("</div>")
    return "\n".join([*rows, "</div>"]) + "\n"
