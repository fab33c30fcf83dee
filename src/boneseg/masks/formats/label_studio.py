"""Label Studio: one JSON of tasks for all films, the bones as brush masks, which keep all pixels.

https://labelstud.io/guide/predictions: what a model found are predictions, which a person accepts;
what a person drew are annotations. The labelling set-up of the project must have these two tags:

    <Image name="image" value="$image"/>
    <BrushLabels name="bones" toName="image"><Label value="bone"/></BrushLabels>

Brush masks are RGBA pictures packed by rle-pack (https://github.com/thi-ng/umbrella), bit by bit:
32 for the number of bytes, 5 for the size of a word less 1, four times 4 for sizes of lengths less
1; then runs: 1 for repetition, 2 for which size, the length less 1 in that size, and the word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import read_json, whole_file
from boneseg.masks.formats import BONE
from boneseg.masks.segmentation import Segmentation

LOCAL_FILES = "/data/local-files/?d="  # where Label Studio shows files of its own disk
_WORD, _SIZES = 8, (3, 4, 8, 16)  # those that Label Studio itself writes


def entry(segmentation: Segmentation) -> dict[str, Any]:
    """The task of one film."""
    height, width = segmentation.mask.shape
    region = {
        "id": "bone",
        "type": "brushlabels",
        "from_name": "bones",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": packed(segmentation.mask), "brushlabels": [BONE]},
    }
    result = [region] if segmentation.mask.any() else []
    if segmentation.model is None:
        found: dict[str, Any] = {"annotations": [{"result": result}]}
    else:
        model = f"boneseg {segmentation.model.sha256[:12]}"
        found = {"predictions": [{"model_version": model, "result": result}]}
    address = LOCAL_FILES + quote(segmentation.title, errors="surrogateescape")
    return {"data": {"image": address}, **found}


def write_document(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write the tasks. Raises OutputError."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(list(entries)), encoding="utf-8")


def read_document(path: Path) -> dict[str, dict[str, Any]]:
    """The task of each film of a document, by title. Raises ValueError, KeyError or TypeError."""
    tasks = read_json(path.read_bytes())
    return {_title(task["data"]["image"]): task for task in tasks}


def _title(address: str) -> str:
    return unquote(address.removeprefix(LOCAL_FILES), errors="surrogateescape")


def packed(mask: NDArray[np.bool_]) -> list[int]:
    """The bytes of a brush mask: every channel 255 where there is bone."""
    values = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [values.size]])
    longest = 1 << _SIZES[3]
    bits = [f"{4 * values.size:032b}{_WORD - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        word = "1" * _WORD if values[start] else "0" * _WORD
        left = 4 * (stop - start)
        while left:
            length = min(left, longest)
            which = next(i for i, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f"1{which:02b}{length - 1:0{_SIZES[which]}b}{word}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))
