"""A sheet of simulated and real films in random order, to tell apart without knowing the key.

    python -m scripts.blind_sheet --simulated films/chest/images --real data/chest --out sheet

sheet.png shows up to `--films` of each kind, numbered; sheet.csv is the key (number, kind, name).
Judge the sheet first, one letter for each number (s or r) in a text file, then score it:

    python -m scripts.blind_sheet --score sheet.csv --answers answers.txt

Films of a part are convincing when less than 70 % of the answers are right; guessing gives 50 %.
Never commit a sheet: its real films are not ours.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from boneseg.radiograph.read import read_radiograph

CELL = 320  # px, the longer side of a film on the sheet: finer detail would tell them apart at once
COLUMNS = 8
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".dcm"}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--simulated", type=Path, help="a folder of simulated films")
    words.add_argument("--real", type=Path, nargs="+", help="real films, or folders of them")
    words.add_argument("--films", type=int, default=20, help="of each kind, at most")
    words.add_argument("--seed", type=int, default=None, help="of the order (default: random)")
    words.add_argument("--out", type=Path, default=Path("sheet"), help="without a suffix")
    words.add_argument("--score", type=Path, help="the key of a sheet that was judged")
    words.add_argument("--answers", type=Path, help="and the answers")
    asked = words.parse_args()
    if asked.score and asked.answers:
        print(scored(asked.score, asked.answers))
    elif asked.simulated and asked.real:
        draw(asked.simulated, asked.real, asked.films, asked.seed, asked.out)
    else:
        words.error("give --simulated and --real, or --score and --answers")


def draw(simulated: Path, real: list[Path], count: int, seed: int | None, out: Path) -> None:
    """Write the sheet and its key; both kinds have the same number of films."""
    rng = np.random.default_rng(seed)
    kinds = {"simulated": films_in([simulated]), "real": films_in(real)}
    each = min(count, *(len(paths) for paths in kinds.values()))
    chosen = [
        (kind, paths[index])
        for kind, paths in kinds.items()
        for index in rng.permutation(len(paths))[:each].tolist()
    ]
    rows = [chosen[index] for index in rng.permutation(len(chosen)).tolist()]
    sheet = Image.new("L", (COLUMNS * CELL, -(-len(rows) // COLUMNS) * CELL))
    for number, (_, path) in enumerate(rows):
        pixels = read_radiograph(path).pixels
        low, high = np.percentile(pixels, (0.5, 99.5))
        grey = 255 * np.clip((pixels - low) / max(float(high - low), 1e-6), 0, 1)
        film = Image.fromarray(grey.astype(np.uint8))
        film.thumbnail((CELL, CELL), Image.Resampling.BOX)
        at = (number % COLUMNS * CELL, number // COLUMNS * CELL)
        sheet.paste(film, at)
        ImageDraw.Draw(sheet).text((at[0] + 4, at[1] + 4), str(number), fill=255, stroke_width=1)
    sheet.save(out.with_suffix(".png"))
    with out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        keys = ([number, kind, path.name] for number, (kind, path) in enumerate(rows))
        csv.writer(file).writerows([("number", "kind", "name"), *keys])
    print(f"{each} films of each kind in {out.with_suffix('.png')}")


def films_in(paths: list[Path]) -> list[Path]:
    """The films among these files and in these folders."""
    found = [one for path in paths for one in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [path for path in found if path.suffix.lower() in SUFFIXES]


def scored(key: Path, answers: Path) -> str:
    """How many answers are right; `answers` holds s or r for each film, in order."""
    with key.open(encoding="utf-8") as file:
        truth = [row["kind"][0] for row in csv.DictReader(file)]
    given = [letter for letter in answers.read_text().lower() if letter in "sr"]
    if len(given) != len(truth):
        raise SystemExit(
            f"{answers}: {len(given)} answers for {len(truth)} films; give s or r each"
        )
    right = sum(one == other for one, other in zip(given, truth, strict=True))
    return f"{right} of {len(truth)} right ({right / len(truth):.0%})"


if __name__ == "__main__":
    main()
