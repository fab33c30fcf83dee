"""What the machine offers for training: the device and its arithmetic."""

from __future__ import annotations

import ctypes
import platform
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

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


def kept_near(device: torch.device, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The same on the device, where they leave three quarters of its free memory; else as is."""
    if device.type != "cuda":
        return tensors
    needed = sum(tensor.nbytes for tensor in tensors)
    if needed > torch.cuda.mem_get_info(device)[0] / 4:
        return tensors
    return tuple(tensor.to(device) for tensor in tensors)


def record(objective: nn.Module, shape: tuple[int, ...]) -> None:
    """Have what takes films and masks of this shape to a loss replay as one graph, on CUDA.

    A U-Net's step is some thousand kernels of microseconds each: started one by one, they wait for
    the CPU. To be called in the arithmetic of the training; the weights must stay where they are.
    """
    # Recording leaves the weights' gradients on a stream of its own; replaying waits for it.
    warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")
    kept = {name: value.clone() for name, value in objective.state_dict().items()}
    films = torch.zeros(shape, device="cuda").to(memory_format=torch.channels_last)
    objective.train()
    torch.cuda.make_graphed_callables(objective, (films, torch.zeros(shape, device="cuda")))
    objective.load_state_dict(kept)  # recording has moved the norms' statistics


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next step, instead of giving it back to the kernel.

    A training step frees and takes the same hundreds of megabytes again, and each time the kernel
    would map and clear them anew: an eighth to a third of the step. Elsewhere it does nothing.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
