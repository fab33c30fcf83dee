"""Films of real size: a folder of them against its floor, and against other programs' ways.

    python -m benchmarks.speed.real_size [--full] [--resume] [--megapixels 12] [--syntax "JPEG-LS"]

The floor of a film is what no program that does this can omit: decoding it with the fastest
permissively licensed decoder, the network on the film and its mirror image (on all grids of a
large film), and writing a 1-bit mask. Floor, `segment_files` with the mask alone, and with the
overlay take turns on the same files, each with as many threads as `segment_files` uses. Shares are
of the floor, by the clock and by processor time of all processes; where other programs run, only
the latter says much. By the clock a folder of few films is slow: at its end threads have no film
left. Peak memory is that of `boneseg segment` on one film, summed over its processes.

The ways of nnU-Net and MONAI (`ways.py`) take turns with the floor afterwards, with two films at
each turn. nnU-Net's needs a Python that has nnunetv2 beside boneseg, which need not be this one:

    python -m venv peers && peers/bin/pip install nnunetv2 monai -e '.[all]'
    peers/bin/python -m benchmarks.speed.real_size --full --rounds 2

`--full` takes all sizes and syntaxes, the most telling ones first, in some half an hour with
`--rounds 2`. Each row is stored in benchmarks/results and in speed.md as soon as it is measured;
`--resume` takes the rows of an earlier call that was stopped. What ends the process of a row costs
that row alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from benchmarks.common import SPEED, keep, known, machine, write_section
from benchmarks.speed.real_films import SYNTAXES
from benchmarks.speed.ways import OURS, PEERS, Figures, measured, prepare_process

SIZES = (12, 24, 48, 8, 4, 2)  # megapixels
QUICK = ((2, 12), ("uncompressed", "JPEG-LS", "JPEG 2000"))
FILMS = {1: 24, 2: 16, 4: 12, 8: 12, 12: 12, 24: 8, 48: 6}  # in a folder, by megapixels
SLOW = "JPEG 2000"  # takes half of them
ROUNDS = 5
KEPT = "real-size"  # the name of the stored figures
COLUMNS = (
    *("megapixels", "syntax", *OURS, "mask: share of the floor", "overlay: share of the floor"),
    *("peak MB, mask", "peak MB, overlay", *(f"{peer}'s way: ms, share" for peer in PEERS)),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--full", action="store_true", help="all sizes and syntaxes")
    words.add_argument("--resume", action="store_true", help="take the rows that are stored")
    words.add_argument("--megapixels", type=float, action="append", help="sizes to take")
    words.add_argument("--syntax", action="append", choices=SYNTAXES, help="syntaxes to take")
    words.add_argument("--rounds", type=int, default=ROUNDS)
    words.add_argument("--ours", action="store_true", help="without the other programs' ways")
    words.add_argument("--films", type=int, help="in a folder")
    asked = words.parse_args()
    sizes = asked.megapixels or (SIZES if asked.full else QUICK[0])
    names = asked.syntax or (SYNTAXES if asked.full else QUICK[1])
    rows = {f"{size:g} | {name}": (size, name) for size in sizes for name in names}
    figures: dict[str, Figures] = (known(KEPT) if asked.resume else None) or {}
    print("\n".join(table([*rows], {})), flush=True)
    with tempfile.TemporaryDirectory() as work:
        for ways in (OURS,) if asked.ours else (OURS, ("floor", *PEERS)):
            left = [row for row in rows if not {*ways[1:]} <= {*figures.get(row, {})}]
            for row, found in measurements(Path(work), [rows[row] for row in left], ways, asked):
                figures[row] = found | figures.get(row, {})
                print(line(row, figures[row]), flush=True)
                if asked.full:
                    keep(KEPT, figures)
                    write_section("Films of real size", table([*rows], figures), SPEED)


def measurements(
    work: Path,
    rows: Sequence[tuple[float, str]],
    ways: Sequence[str],
    asked: argparse.Namespace,
) -> Iterator[tuple[str, Figures]]:
    """Measure the rows one by one, in a process that is started anew where one has ended it."""
    pool = None
    for size, name in rows:
        count = asked.films or FILMS.get(round(size), 6) // (2 if name == SLOW else 1)
        place = work / f"{size:g} {name}"
        pool = pool or ProcessPoolExecutor(1, get_context("spawn"), prepare_process)
        done = pool.submit(measured, place, name, size, ways, asked.rounds, count)
        try:
            found = done.result()
        except Exception as error:
            found = dict.fromkeys(ways[1:], f"{type(error).__name__}: {error}")
            if isinstance(error, BrokenProcessPool):
                pool = None
        yield f"{size:g} | {name}", found
    if pool:
        pool.shutdown()


def table(rows: Sequence[str], figures: dict[str, Figures]) -> list[str]:
    """The rows that have been measured, under their heading."""
    return [
        f"Made by `python -m benchmarks.speed.real_size --full` on {machine()}: a folder of films",
        "with the bundled model; ms a film, the median of turns, by the clock; shares of the",
        "floor by the clock and by processor time; peak MB of `boneseg segment` on one film.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(line(row, figures[row]) for row in rows if row in figures),
    ]


def line(row: str, figures: Figures) -> str:
    """A row of the table; a cell without figures has the reason, or is empty."""

    def cell(name: str, show: Callable[[list[float]], str]) -> str:
        cost = figures.get(name, "")
        if isinstance(cost, str):
            reason = " ".join(cost.replace("|", "/").split())
            return f"fails: {reason[:80]}" if cost else ""
        return show(cost)

    cells = [
        *(cell(way, milliseconds) for way in OURS),
        *(cell(way, shares) for way in OURS[1:]),
        *(cell("peaks", lambda peaks, at=at: f"{peaks[at]:.0f}") for at in (0, 1)),
        *(cell(peer, lambda cost: f"{milliseconds(cost)}, {shares(cost)}") for peer in PEERS),
    ]
    return f"| {row} | {' | '.join(cells)} |"


def milliseconds(cost: list[float]) -> str:
    return f"{1000 * cost[0]:.0f}"


def shares(cost: list[float]) -> str:
    return f"{cost[2]:.0%}, {cost[3]:.0%}"


if __name__ == "__main__":
    main()
