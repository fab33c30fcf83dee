"""boneseg demo, short: every step writes its files and prints its figures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import load_bundle
from boneseg.cli import demo
from boneseg.evaluation.evaluate import evaluate_predictions


@pytest.mark.slow
def test_it_segments_trains_and_evaluates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "EVALUATED", 3)
    monkeypatch.setattr(demo, "TRAINED", 8)
    said: list[str] = []
    found = demo.demonstrate(tmp_path / "demo", minutes=0.05, say=said.append)
    masks = {path.name for path in found.samples.glob("*_mask.png")}
    assert masks == {f"{film.stem}_mask.png" for film in sample_films().glob("*.png")}
    assert len(list(found.overlays.glob("*_overlay.png"))) == 3
    assert load_bundle(found.bundle).card.data.training >= 6
    assert found.report.read_text().startswith("<!doctype html>")
    assert found.bundled.mean["dice"] > 0.5
    assert any(re.fullmatch(r" *\d+%  validation Dice [01]\.\d{3}", line) for line in said)
    assert any(re.fullmatch(r"bundled model: Dice 0\.\d{3} \(95 % .*\)", line) for line in said)


def test_dice_is_said_with_its_interval() -> None:

    mask = np.eye(20, dtype=bool)
    summary = evaluate_predictions([(str(n), mask, mask, None) for n in range(3)])
    assert demo.dice_words(summary) == "Dice 1.000 (95 % 1.000 to 1.000)"
