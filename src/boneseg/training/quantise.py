"""Post-training 8-bit quantisation of a bundle, kept only where Dice is as good.

    found = quantise(bundle, run.training, run.validation)
    found.kept, found.dice, found.int8_dice

The scales of weights and activations are calibrated on the training films (Jacob et al.,
"Quantization and training of neural networks for efficient integer-arithmetic-only inference",
2018; implemented by NNCF). Only OpenVINO runs it; other backends run the float network.
"""

from __future__ import annotations

import io
import logging
import math
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boneseg._util.files import folder_beside, replace_folder
from boneseg._util.quiet import muted, without_module
from boneseg.bundle.card import INT8, ONNX
from boneseg.bundle.store import Bundle, sign
from boneseg.dataset.load import Film
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.inference.backends.openvino import openvino_package, read_network
from boneseg.inference.engine import Engine
from boneseg.preprocessing import Floats

LOSS = 0.002  # maximum loss of Dice
SAMPLE = 300  # maximum number of calibration films


@dataclass(frozen=True)
class Quantised:
    """The bundle, with its int8 network if kept, and the Dice of both networks."""

    bundle: Bundle
    kept: bool
    dice: float
    int8_dice: float


def quantise(bundle: Bundle, training: Sequence[Film], validation: Sequence[Film]) -> Quantised:
    """Add an int8 network to a bundle if its Dice on the validation films falls by < `LOSS`.

    Raises OutputError, and ModuleNotFoundError where NNCF is not installed.
    """
    with folder_beside(bundle.path) as building:
        shutil.copytree(bundle.path, building, dirs_exist_ok=True)
        write_int8(building, bundle, training)
        card = sign(building, bundle.card)
        dice = _dice(bundle, validation)
        int8_dice = _dice(Bundle(building, card), validation)
        kept = int8_dice > dice - LOSS
        if kept:
            replace_folder(bundle.path, building)
    return Quantised(Bundle(bundle.path, card) if kept else bundle, kept, dice, int8_dice)


def write_int8(folder: Path, bundle: Bundle, training: Sequence[Film]) -> None:
    """Write the int8 network of a bundle into a copy of it; sign the copy afterwards."""
    openvino = openvino_package()
    with without_module("openvino_telemetry"):  # it would send data over the network
        import nncf
    model = read_network(folder / ONNX)

    def prepared(film: Film) -> Floats:
        placed = film.placed(bundle.preparation(film.square_shape))
        return np.ascontiguousarray(placed.pixels[None, None])

    films = nncf.Dataset(sampled(training), prepared)
    # Its progress bars have no setting.
    with redirect_stdout(io.StringIO()), muted("nncf", logging.ERROR):
        found = nncf.quantize(
            model, films, preset=nncf.QuantizationPreset.MIXED, subset_size=len(training)
        )
    openvino.save_model(found, folder / INT8, compress_to_fp16=True)


def sampled(training: Sequence[Film]) -> list[Film]:
    """At most `SAMPLE` films, evenly spaced, as films with similar names are often similar."""
    return list(training[:: math.ceil(len(training) / SAMPLE)])


def _dice(bundle: Bundle, films: Sequence[Film]) -> float:
    engine = Engine(bundle, backend="openvino")
    summary = evaluate_predictions(
        (film.case.name, engine.segment(film.radiograph), film.mask, None) for film in films
    )
    return float(summary.mean["dice"])
