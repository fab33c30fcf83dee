"""Write tensors as safetensors files, with I/O errors as OSError."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor


def save_tensors(
    tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors. Raises OSError with its errno, which safetensors gives only as text."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        found = re.search(r"I/O error: (.+) \(os error (\d+)\)", str(error))
        raise OSError(int(found[2]), found[1]) if found else OSError(str(error)) from None
