"""Use of the machine: the faster arithmetic, and memory that is kept."""

from pathlib import Path

import pytest
import torch

from boneseg.training.device import one_thread, training_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx2 avx512f", torch.float32),
        ("avx512f avx512_bf16", torch.bfloat16),
        ("amx_bf16 amx_tile", torch.bfloat16),
    ],
)
def test_training_uses_bfloat16_if_the_processor_multiplies_it(
    flags: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"flags: fpu {flags}\n")
    assert training_dtype("auto", CPU) == expected
    assert training_dtype("fp32", CPU) == torch.float32
    assert training_dtype("bf16", CPU) == torch.bfloat16


def test_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyboardInterrupt
    assert torch.get_num_threads() == before
