"""Films with headers drawn at random, as boneseg and as dcm2pnm (Debian's dcmtk) show them.

    python -m benchmarks.comparison.against_dcm2pnm --count 500

The headers, and why dcm2pnm is asked for something else than some of them say, are in
`tests/support/headers.py`; the first hundred are a test. Prints the number of films
within 1/255, and those that are not. Exit status 1 where there are any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from boneseg.radiograph.read import read_radiograph
from tests.support import headers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    count = parser.parse_args().count
    warnings.simplefilter("ignore")
    reasons: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(count):
            case = headers.draw(seed)
            path = case.write(Path(folder, f"{seed}.dcm"))
            found, expected = read_radiograph(path).pixels, case.reference(path)
            reasons.update(case.reasons)
            apart = float(np.abs(found - expected).max())
            if apart > 1 / 255 + case.unit:
                wrong += 1
                print(f"seed {seed}: {apart:.3f} apart ({', '.join(sorted(case.reasons))})")
    print(f"{count - wrong} of {count} as dcm2pnm shows them")
    for reason, times in reasons.most_common():
        print(f"{times:5}  {headers.REASONS[reason]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
