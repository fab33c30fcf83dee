"""What the machine offers for training: the device and its arithmetic."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_dtype(asked: str, on: torch.device) -> torch.dtype:
    """The arithmetic of the convolutions: what was asked, or for "auto" what pays.

    bfloat16 pays where matrix units multiply it: CUDA since Ampere, and CPUs with AMX. With
    AVX512-BF16 alone a training step was no faster than in float32 (the conversions eat the gain).
    """
    if asked == "auto":
        fast = torch.cuda.is_bf16_supported() if on.type == "cuda" else has_amx()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if asked == "bf16" else torch.float32


def has_amx() -> bool:
    """Whether this CPU has AMX tiles for bfloat16 (Linux; elsewhere unknown, so no)."""
    if platform.system() != "Linux":
        return False
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
