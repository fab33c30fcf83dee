"""What the machine offers for training: the device and its arithmetic."""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress
from pathlib import Path

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_dtype(asked: str, on: torch.device) -> torch.dtype:
    """The arithmetic of the convolutions: what was asked, or for "auto" what pays.

    bfloat16 pays where the hardware multiplies it: CUDA since Ampere, and CPUs with AMX or
    AVX512-BF16 (a step of the default recipe on full legs, two cores of a Zen 5: 0.6 of the time).
    """
    if asked == "auto":
        fast = torch.cuda.is_bf16_supported() if on.type == "cuda" else multiplies_bf16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if asked == "bf16" else torch.float32


def multiplies_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 (Linux; elsewhere unknown, so no)."""
    if platform.system() != "Linux":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next step, instead of giving it back to the kernel.

    A training step frees and takes the same hundreds of megabytes again, and each time the kernel
    would map and clear them anew: an eighth to a third of the step. Elsewhere it does nothing.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
