"""The network that predicts body part, projection and the quality of a mask, run in NumPy.

    answer = verdict_network().answer(seen, every=True)

Strided 3 x 3 convolutions. From the features before the last layer it predicts, on a grid of 12 x
12 cells, the share of each that is bone by mistake, and that lacks bone; from the mean and maximum
of each feature of the last layer and the sums of those errors the qualities of the whole mask. The
balanced score is also told by how sure the model is, `certainty`, to which two numbers are fitted:
mistakes of real films differ from those of simulated ones, but models are less sure of both.
`scripts/train_verdict.py` trains the weights, float16 with folded batch norms: `LAYER.weight` (out
x in x 3 x 3) and `LAYER.bias` of each layer, from 0, and both of each head. It takes milliseconds,
and needs only the base install.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from boneseg.bundle.shipped import verdict_weights
from boneseg.errors import BundleError
from boneseg.inference.convolution import convolved, rectified, single_threaded
from boneseg.inference.verdict.evidence import MASK, Evidence, certainty
from boneseg.preprocessing import Floats, resize

STRIDES = (2, 2, 1, 2, 1, 2)  # of the layers
LOCAL = 5  # layers before the grid of errors
PARTS = (
    "ankle", "chest", "elbow", "foot", "forearm", "full leg", "hand", "hip", "knee", "lower leg",
    "lumbar spine", "neck", "pelvis", "shoulder", "skull", "thigh", "trunk", "upper arm",
    "whole body", "wrist",
)  # fmt: skip
PROJECTIONS = ("frontal", "lateral", "oblique")
QUALITIES = ("dice", "balanced", "sensitivity", "precision")
HEADS = ("errors", "hidden", "quality", "part", "projection")


@dataclass(frozen=True)
class Answer:
    """Probabilities of PARTS and PROJECTIONS; QUALITIES; errors float32 2 x cells x cells.

    expected: the balanced score that the model's certainty tells.
    """

    parts: Floats
    projections: Floats
    qualities: Floats
    errors: Floats
    expected: float


@dataclass(frozen=True)
class VerdictNetwork:
    """(weight, bias) of each layer, and of each of HEADS, float32.

    thresholds: trust below which a mask is to be reviewed, and is unsuitable. certainty: offset and
    slope of the logit of the balanced score over that of a model's certainty (Platt, 1999).
    """

    layers: tuple[tuple[Floats, Floats], ...]
    heads: Mapping[str, tuple[Floats, Floats]]
    thresholds: tuple[float, float]
    certainty: tuple[float, float]

    def answer(self, seen: Evidence, *, every: bool) -> Answer:
        """The answer for a film and its mask; `every`: the mask should have every bone."""
        return self.answers([seen], every=every)[0]

    def answers(self, seen: Sequence[Evidence], *, every: bool) -> list[Answer]:
        """The answer for each film and its mask, found together in less time."""
        features = np.stack([one.maps for one in seen], axis=1)
        with single_threaded():
            for index, ((weight, bias), stride) in enumerate(
                zip(self.layers, STRIDES, strict=True)
            ):
                features = rectified(convolved(features, weight, stride), bias)
                if index + 1 == LOCAL:
                    local = features
            return [
                self._answer(one, local[:, number], features[:, number], every=every)
                for number, one in enumerate(seen)
            ]

    def _answer(self, seen: Evidence, local: Floats, last: Floats, *, every: bool) -> Answer:
        """From the features before the last layer and those of the last, channels x h x w."""
        facts = np.append(seen.facts, np.float32(every))
        weight, bias = self.heads["errors"]
        known = weight[:, len(local) :] @ facts + bias
        logits = np.tensordot(weight[:, : len(local)], local, axes=1) + known[:, None, None]
        errors = _sigmoid(logits)
        pooled = np.concatenate([last.mean(axis=(1, 2)), last.max(axis=(1, 2)), facts])
        cells = (errors.shape[1], errors.shape[2])
        mask = resize((seen.maps[MASK] + 1) / 2, cells)
        every_fact = np.concatenate([pooled, totals(errors, mask)])
        quality = self._head("quality", np.maximum(self._head("hidden", every_fact), 0))
        return Answer(
            _softmax(self._head("part", pooled)),
            _softmax(self._head("projection", pooled)),
            _sigmoid(quality),
            errors,
            expected_score(certainty(seen), self.certainty),
        )

    def _head(self, name: str, features: Floats) -> Floats:
        weight, bias = self.heads[name]
        return np.asarray(weight @ features + bias, np.float32)


def expected_score(sure: float, fitted: tuple[float, float]) -> float:
    """The balanced score that a certainty tells, by a fitted offset and slope of its logit."""
    sure = min(max(sure, 0.005), 0.995)
    offset, slope = fitted
    return 1 / (1 + math.exp(-(offset + slope * math.log(sure / (1 - sure)))))


def totals(errors: Floats, mask: Floats) -> Floats:
    """Logits of sensitivity, precision and Dice that errors of cells imply, float32 3.

    errors: 2 x cells x cells. mask: share of bone of each cell.
    """
    found, wrong, missed = mask.sum() + 0.1, errors[0].sum(), errors[1].sum()
    right = max(float(found - wrong), 0.05)
    ratios = np.array(
        [right / (right + missed), right / found, 2 * right / (found + right + missed)]
    )
    ratios = np.clip(ratios, 0.02, 0.998)
    return np.asarray(np.log(ratios / (1 - ratios)), np.float32)


@cache
def verdict_network(path: Path | None = None) -> VerdictNetwork:
    """Read the bundled weights, or those of another file. Raises BundleError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = path or verdict_weights()
    try:
        found = {name: value.astype(np.float32) for name, value in load_file(path).items()}
        layers = [(found[f"{i}.weight"], found[f"{i}.bias"]) for i in range(len(STRIDES))]
        heads = {name: (found[f"{name}.weight"], found[f"{name}.bias"]) for name in HEADS}
        review, unsuitable = found["thresholds"].tolist()
        offset, slope = found["certainty"].tolist()
        return VerdictNetwork(tuple(layers), heads, (review, unsuitable), (offset, slope))
    except (OSError, SafetensorError, KeyError, ValueError):
        raise BundleError(f"{path}: is missing or damaged; install boneseg again") from None


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), np.float32)
