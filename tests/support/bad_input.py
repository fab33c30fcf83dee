"""Films, masks and folders that are damaged or too large, and boneseg's messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support import films

SIDE = 64


SETTINGS = (
    *("prepare.height=64", "prepare.width=64", "network.width=4", "network.levels=3"),
    *("run.epochs=2", "run.precision=fp32"),
)


SMALL = [word for setting in SETTINGS for word in ("--set", setting)]


GOOD = ("phantom_000000", "phantom_000001")


@dataclass(frozen=True)
class Answer:
    """What a call gave: status, stdout, and the errors and warnings among the lines of stderr."""

    status: int
    out: str
    lines: list[str]


Call = Callable[..., Answer]


def without_progress(stderr: str) -> list[str]:
    progress = ("engine: ", "segmenting ", "segmented ", "train", "review: ", "unsuitable: ")
    return [line for line in stderr.splitlines() if not line.startswith(progress)]


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def grey(path: Path, height: int, width: int) -> None:
    Image.fromarray(films.bone(height, width, top=255).astype(np.uint8)).save(path)
