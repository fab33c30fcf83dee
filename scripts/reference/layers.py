"""The drawings of layers, which the page on architecture includes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from html import escape
from importlib import import_module
from pathlib import Path

from scripts.reference.markdown import summary

ROOT = Path(__file__).resolve().parents[2]


def layers() -> str:
    """The layers of each of import-linter's contracts, top first, with what each package is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = []
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            (container,) = contract["containers"]
            lines += ["", f"### {container}", "", *_drawing(container, contract["layers"])]
    return "\n".join(lines) + "\n"


def _drawing(container: str, layers: Sequence[str]) -> list[str]:
    """HTML with a box for each package, and a line for each layer."""
    lines = ['<div class="layers" markdown="0">']
    for layer in layers:
        lines.append('<div class="layer">')
        for name in layer.split(" | "):
            words = "`python -m boneseg`"
            if name != "__main__":  # which would run
                words = summary(import_module(f"{container}.{name}"))
            words = re.sub("`([^`]+)`", r"<code>\1</code>", escape(words))
            lines.append(f"<div><strong>{name}</strong><span>{words}</span></div>")
        lines.append("</div>")
    return [*lines, "</div>"]
