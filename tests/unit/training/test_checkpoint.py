"""A checkpoint of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boneseg.errors import TrainingError
from boneseg.training.checkpoint import save
from tests.support.damage import one_line


@pytest.mark.parametrize(
    "facts", [[], 5, None, {}, {"films": {}}, {"films": {}, "state": 5}, {"films": {}, "state": {}}]
)
def test_a_damaged_checkpoint_is_one_line(facts: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from boneseg.training.train import _Loop

    path = tmp_path / "checkpoint.safetensors"
    save(path, {"best": {"a": torch.zeros(1)}}, facts)
    loop = _Loop.__new__(_Loop)
    loop.out, loop.asked = tmp_path, {"films": {}}
    with pytest.raises(TrainingError) as error:
        loop.restore()
    one_line(error, path)
