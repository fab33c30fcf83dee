"""The alignment suggested on full-leg films, against that of drawn masks: `results/alignment.md`.

    python -m benchmarks.accuracy.alignment --data ../shared/data/legs

Each film is segmented by the bundled model, and the fibula that it names is left out. The angle
between the axes of femur and tibia that `boneseg.masks.measures.alignment` finds in the rest is
compared with the one that it finds in the mask drawn by hand, which has the femur and the tibia
without the pelvis, fibula and foot.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.dataset.open import open_dataset
from boneseg.evaluation.statistics import bootstrap_ci95
from boneseg.inference.engine import Engine
from boneseg.inference.finding import Finding
from boneseg.masks.measures.alignment import suggested, suggested_by_names
from boneseg.masks.measures.geometry import Point, signed_deviation
from boneseg.radiograph.read import read_radiograph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    dataset = open_dataset(parser.parse_args().data)
    engine = Engine(load_bundle(bundled()))
    errors, places, lacking = [], [], {"drawn": 0, "suggested": 0}
    for case in dataset.cases:
        film = read_radiograph(case.image)
        drawn, finding = suggested(case.read_mask(film.shape)), engine.find(film)
        found = suggested_in(finding)
        lacking["drawn"] += not drawn
        lacking["suggested"] += not found and bool(drawn)
        if drawn and found:
            errors.append(signed_deviation(found[0]) - signed_deviation(drawn[0]))
            places.append(np.subtract(found[0], drawn[0])[:, 0])
    size, aside = np.abs(errors), np.abs(places).mean(axis=0)
    low, high = bootstrap_ci95(size)
    print(f"films: {len(dataset.cases)}; compared: {len(size)}; {lacking} without all points")
    print(f"mean error {size.mean():.2f} degrees (95 % {low:.2f} to {high:.2f})")
    print(f"median {np.median(size):.2f}, 90 % below {np.quantile(size, 0.9):.2f}")
    print(f"bias {np.mean(errors):+.2f}; up to 1 degree: {np.mean(size <= 1):.0%}")
    print("mean distance across the leg, px: hip {:.1f}, knee {:.1f}, ankle {:.1f}".format(*aside))


def suggested_in(finding: Finding) -> list[tuple[Point, Point, Point]]:
    return suggested_by_names(finding.mask, lambda: finding.bones)


if __name__ == "__main__":
    main()
