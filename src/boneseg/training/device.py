"""Hardware for training: the device and its arithmetic."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn


def training_device(number: int | None = None) -> torch.device:
    """Return CUDA where available, else the CPU. number: of the GPU, or None for the current."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda" if number is None else f"cuda:{number}")


def training_dtype(asked: str, on: torch.device) -> torch.dtype:
    """Return the dtype of the convolutions: as requested, or the faster one for "auto".

    bfloat16 is faster where the hardware supports it: CUDA from Ampere on, and CPUs with AMX or
    AVX512-BF16 (a step of the default recipe on full legs, two cores of a Zen 5: 0.6 of the time).
    """
    if asked == "auto":
        fast = torch.cuda.is_bf16_supported() if on.type == "cuda" else multiplies_bf16()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if asked == "bf16" else torch.float32


def multiplies_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 (Linux; elsewhere unknown, so False)."""
    if platform.system() != "Linux":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one CPU thread: several divide sums, which are then rounded differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def move_if_it_fits(device: torch.device, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Move tensors to a CUDA device if they fit into a quarter of its free memory."""
    if device.type != "cuda":
        return tensors
    needed = sum(tensor.nbytes for tensor in tensors)
    if needed > torch.cuda.mem_get_info(device)[0] / 4:
        return tensors
    return tuple(tensor.to(device) for tensor in tensors)


def record_cuda_graph(objective: nn.Module, shape: tuple[int, ...]) -> None:
    """Record the loss of films and masks of this shape as one CUDA graph.

    A U-Net step is about a thousand kernels of microseconds each: launched one by one, they wait
    for the CPU. Call it under the autocast of the training; the weights must not be moved later.
    """
    kept = {name: value.clone() for name, value in objective.state_dict().items()}
    films = torch.zeros(shape, device="cuda").to(memory_format=torch.channels_last)
    objective.train()
    torch.cuda.make_graphed_callables(objective, (films, torch.zeros(shape, device="cuda")))
    objective.load_state_dict(kept)  # recording has changed the norm statistics
