"""The verdict follows from the answers of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from boneseg.inference.verdict import judge as module
from boneseg.inference.verdict.evidence import FACTS, MAPS, SIDE, Evidence
from boneseg.inference.verdict.judge import answered, judge, likely_part, part_probabilities
from boneseg.inference.verdict.network import PARTS, PROJECTIONS, Answer

SEEN = Evidence(np.zeros((len(MAPS), SIDE, SIDE), np.float32), np.zeros(len(FACTS), np.float32))


class Fixed:
    """A network with a fixed answer for a film; its mirror image has mirrored errors."""

    thresholds = (0.9, 0.7)

    def __init__(self, answer: Answer) -> None:
        self._answers = [answer, replace(answer, errors=answer.errors[:, :, ::-1])]

    def answers(self, seen: Sequence[Evidence], *, every: bool) -> list[Answer]:
        return self._answers[: len(seen)]


def verdict(
    monkeypatch: pytest.MonkeyPatch,
    qualities: tuple[float, float, float, float],  # Dice, balanced, sensitivity, precision
    part: str = "chest",
    place: tuple[int, int] = (11, 0),
    *,
    expected: float = 1.0,  # by the model's certainty
    every: bool = True,
    likeness: float = 1.0,
    inverted: float = 0.0,
):
    errors = np.zeros((2, 12, 12), np.float32)
    errors[(slice(None), *place)] = 1
    parts = np.eye(len(PARTS), dtype=np.float32)[PARTS.index(part)]
    projections = np.eye(len(PROJECTIONS), dtype=np.float32)[0]
    answer = Answer(parts, projections, np.array(qualities, np.float32), errors, expected)
    monkeypatch.setattr(module, "verdict_network", lambda: Fixed(answer))
    found = answered(SEEN, every=every)
    return judge(found, every=every, likeness=likeness, inverted=lambda: inverted)


def test_the_verdict_depends_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        verdict(monkeypatch, (0.9, 0.9, 0.9, 0.9), expected=expected)
        for expected in (0.93, 0.8, 0.5)
    ]
    assert [one.verdict for one in found] == ["good", "review", "unsuitable"]
    assert [one.trust for one in found] == pytest.approx([0.93, 0.8, 0.5])
    assert found[0].reason == ""
    assert (found[0].part, found[0].projection) == ("chest", "frontal")


@pytest.mark.parametrize(
    ("predicted", "expected", "trust"),
    [(0.9, 0.99, 0.95), (0.97, 0.99, 0.99), (0.97, 0.6, 0.6), (0.5, 0.99, 0.55)],
)
def test_a_model_is_not_trusted_more_than_it_trusts_itself_or_much_more_than_the_network_does(
    monkeypatch: pytest.MonkeyPatch, predicted: float, expected: float, trust: float
) -> None:
    qualities = (predicted,) * 4
    found = verdict(monkeypatch, qualities, expected=expected)
    assert found.trust == pytest.approx(trust)
    of_other_models = verdict(monkeypatch, qualities, expected=expected, every=False)
    assert of_other_models.trust == pytest.approx(predicted)


def test_the_reason_names_what_is_wrong_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    flesh = verdict(monkeypatch, (0.8, 0.8, 0.99, 0.7))
    assert flesh.reason == (
        "chest: about 30% of the mask is likely no bone, mostly at the bottom left; "
        "ribs over heart and liver are often wrong"
    )
    missed = verdict(monkeypatch, (0.8, 0.8, 0.7, 0.99), "knee", (5, 11))
    assert missed.reason == "knee: about 30% of the bone is likely missing, mostly on the right"
    both = verdict(monkeypatch, (0.8, 0.8, 0.8, 0.8), "knee", (5, 6)).reason
    assert both.count("mostly in the middle") == 2
    edge = verdict(monkeypatch, (0.8, 0.8, 0.98, 0.98), "knee").reason
    assert edge == "knee: the outline is likely inaccurate"


def test_known_mistakes_of_the_bundled_model_are_said_of_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = verdict(monkeypatch, (0.8, 0.8, 0.8, 0.8), every=False)
    assert "liver" not in other.reason


def test_what_is_not_a_radiograph_is_unsuitable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = verdict(monkeypatch, (0.95, 0.95, 0.95, 0.95), likeness=0.1)
    assert (found.verdict, found.part, found.projection) == (
        "unsuitable",
        "not a radiograph",
        None,
    )
    assert found.trust == pytest.approx(0.1) and found.part_confidence == pytest.approx(0.9)
    assert "does not look like a radiograph" in found.reason and "invert" not in found.reason


def test_a_film_that_looks_like_one_when_inverted_gets_that_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = verdict(monkeypatch, (0.95, 0.95, 0.95, 0.95), likeness=0.4, inverted=0.9)
    assert found.verdict == "unsuitable" and "inverted" in found.reason


def test_the_probability_of_parts_is_in_the_order_asked_for() -> None:
    answer = answered(SEEN, every=True)
    found = part_probabilities(answer, PARTS[::-1])
    assert PARTS[::-1][int(found.argmax())] == likely_part(answer)
    assert found.sum() == pytest.approx(1) and found.dtype == np.float32
    some = part_probabilities(answer, ["knee", "tail"])
    assert some[0] == found[PARTS[::-1].index("knee")] and some[1] == 0
