"""How many films of 512 x 512 a second `boneseg simulate` makes, and where the time goes.

    python -m benchmarks.speed.simulator --data ../shared/data/skeleton

Films and masks are written, by one process, as `--parallel` starts several of. Small films come
first: a process looks at each bone's walls once. A product of matrices is timed beside them, to
tell how fast the machine is. The stages are of films of the skeleton, under a profiler.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

import torch

from benchmarks.common import SPEED, machine, product, seconds, tflops, write_section
from boneseg.simulate import PhantomSource, SkeletonSource, Source, simulate

SIDE = 512
FIRST, FILMS = 150, 40
STAGES = {  # by function, in the order of their calls
    "pose the bones, deform them": "draw_scene",
    "bones: path lengths of their meshes": "paths",
    "flesh around them": "grow_flesh",
    "casts, metal, clothes, letters": "add_objects",
    "the film: energies, scatter, blur, noise, curve": "expose",
    "borders, rulers, seams, plates": "frame_film",
}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data/skeleton"))
    asked = words.parse_args()
    models = sorted((asked.data / "models").glob("*.osim"))
    skeleton = SkeletonSource(asked.data / "meshes", tuple(models))
    sources: tuple[Source, ...] = (PhantomSource(), skeleton)
    lines = [
        f"Made by `python -m benchmarks.speed.simulator` on {machine()} ({fastest():.2f}",
        f"TFLOP/s in a float32 product, a core): {FILMS} films, at most {SIDE} x {SIDE}, and",
        "masks, as PNG.",
        "",
        f"| source | films a second, a core | seconds for {FIRST} of 64 x 64 first |",
        "|---|---|---|",
        *("| {} | {:.1f} | {:.0f} |".format(source.kind, *rate(source)) for source in sources),
        "",
        "| a film of the skeleton | share of its time |",
        "|---|---|",
        *(f"| {stage} | {share:.0%} |" for stage, share in shares(skeleton).items()),
    ]
    print("\n".join(lines))
    write_section("Simulated films", lines, SPEED)


def fastest() -> float:
    """TFLOP/s that a core reaches."""
    torch.set_num_threads(1)
    run = product(torch.float32)
    return tflops(min(seconds(run) for _ in range(5)))


def rate(source: Source) -> tuple[float, float]:
    """Films a second that one core makes and writes; and the seconds to prepare every bone."""
    known = seconds(lambda: [source.film(seed, (64, 64)) for seed in range(1000, 1000 + FIRST)])
    with tempfile.TemporaryDirectory() as out:
        taken = seconds(lambda: simulate(Path(out), FILMS, source=source, size=(SIDE, SIDE)))
    return FILMS / taken, known


def shares(source: SkeletonSource) -> dict[str, float]:
    """The time of each stage for some films, and the rest."""
    profile = cProfile.Profile()
    with profile:
        for seed in range(FILMS):
            source.film(seed, (SIDE, SIDE))
    found = {name: entry[3] for (_, _, name), entry in pstats.Stats(profile).stats.items()}
    whole = found["film"]
    stages = {stage: found[name] / whole for stage, name in STAGES.items()}
    return stages | {"the rest": 1 - sum(stages.values())}


if __name__ == "__main__":
    main()
