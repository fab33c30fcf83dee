"""The result for every odd DICOM file available: the table in `results/dicom-files.md`.

    python -m benchmarks.accuracy.odd_films --data ../shared/data \
        --more pydicom_data/data_store/data

The files are those that come with pydicom, those of `--data` (its folder dicom/), and folders named
with --more: the package pydicom-data of PyPI has most of the rest of pydicom's own test set.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from pathlib import Path

import pydicom

from benchmarks.common import DICOM_FILES
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.inference.batch import Result, segment_files
from boneseg.inference.engine import Engine

MARK = "<!-- made by benchmarks/accuracy/odd_films.py -->"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--more", type=Path, nargs="*", default=[])
    asked = words.parse_args()
    engine = Engine(load_bundle(bundled()))
    shipped = Path(pydicom.__file__).parent / "data" / "test_files"
    rows = [f"{MARK}\n"]
    sets = [(f"Files that come with pydicom {pydicom.__version__}", shipped)]
    sets += [("Files of pydicom-data (PyPI)", folder) for folder in asked.more]
    for title, folder in (*sets, ("Real films", asked.data / "dicom")):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        rows += table(title, [path for path in paths if path.suffix != ".py"], engine)
    kept = DICOM_FILES.read_text(encoding="utf-8").partition(MARK)[0]
    DICOM_FILES.write_text(kept + "\n".join(rows) + "\n", encoding="utf-8")


def table(title: str, paths: list[Path], engine: Engine) -> list[str]:
    """A row for each outcome, with the files that had it. An exception ends the script."""
    with tempfile.TemporaryDirectory() as out:
        results = segment_files(paths, Path(out), engine, keep_names=True)
    outcomes: dict[str, list[str]] = {}
    for path, result in zip(paths, results, strict=True):
        outcomes.setdefault(outcome(path, result), []).append(path.name)
    counts = Counter(result.error is None for result in results)
    lines = [
        f"## {title}\n",
        f"{counts[True]} segmented, {counts[False]} refused in one line each.\n",
    ]
    lines += ["| outcome | files | |", "|---|---|---|"]
    for words, names in sorted(outcomes.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(f"`{name}`" for name in names[:6])
        rest = f" and {len(names) - 6} more" if len(names) > 6 else ""
        lines.append(f"| {words} | {len(names)} | {shown}{rest} |")
    return [*lines, ""]


def outcome(path: Path, result: Result) -> str:
    if result.error is None:
        return "**segmented**"
    words = result.error.removeprefix(f"{path}: ")
    words = re.sub(r"\d+ x \d+ pixels|\d+ pixels \(\d+ x \d+\)", "N pixels", words)
    return re.sub(
        r"holds \d+ frames|1 to \d+", lambda m: re.sub(r"\d+$|\d+(?= f)", "N", m[0]), words
    )


if __name__ == "__main__":
    main()
