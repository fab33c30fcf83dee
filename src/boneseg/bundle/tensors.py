"""Write tensors as safetensors files, as readable as other files."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def save_tensors(
    tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors. Raises OSError.

    `safetensors` itself writes files that only their owner can read, and tells errors as text.
    """
    path.write_bytes(save(tensors, metadata))
