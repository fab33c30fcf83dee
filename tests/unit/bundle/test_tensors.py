"""Tensors are written as safetensors, and a failure is an OSError with its number."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from boneseg.bundle.tensors import save_tensors


def test_tensors_and_metadata_are_read_again(tmp_path: Path) -> None:
    tensors = {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(2).half()}
    save_tensors(tensors, tmp_path / "a.safetensors", {"made by": "a test"})
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"made by": "a test"}
        for name, values in tensors.items():
            assert torch.equal(file.get_tensor(name), values)


def test_what_cannot_be_written_has_the_number_of_its_error(tmp_path: Path) -> None:
    with pytest.raises(OSError) as refusal:
        save_tensors({"a": torch.zeros(1)}, tmp_path / "missing" / "a.safetensors")
    assert refusal.value.errno == errno.ENOENT


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes of files")
def test_others_may_read_them_as_they_may_other_files(tmp_path: Path) -> None:
    save_tensors({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    (tmp_path / "other").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
