"""Two training loops compared: nnU-Net's and ours, with the same network.

    python -m benchmarks.comparison.nnunet_loop --data ../shared/data --work runs/nnunet \
        [--minutes 2]

Both train the default recipe's network on knee-femur, as many films a step, each on a core of its
own at the same time, in the process whose time is counted: nnU-Net's trainer with its own
augmentation and loss, in float32, as it has it on a CPU; our loop with all that it does, its looks
at validation films included.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.common import SPEED, held_out, machine, one_a_core, write_section
from benchmarks.comparison.against_nnunet import NnUnet, install, theirs_version
from boneseg.dataset.load import read_films
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.training.train import train

FILMS = "knee-femur"
OURS, THEIRS = "boneseg", "nnU-Net's loop, our network"
ROOT = Path(__file__).resolve().parents[2]

# Two classes for nnU-Net's loss: a sigmoid is the softmax of the logit beside a zero.
NETWORK = """
import os
import torch
from boneseg.networks import build
from boneseg.recipes.network import SettledNetwork
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module

class TwoClasses(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = build(SettledNetwork.model_validate_json(os.environ["NETWORK"]))

    def forward(self, films):
        found = self.network(films)
        found = found[0] if isinstance(found, list) else found
        return torch.cat([torch.zeros_like(found), found], dim=1)

class WithOurs(module.nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        plans["configurations"][configuration]["batch_size"] = int(os.environ["BATCH"])
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False

    def set_deep_supervision_enabled(self, enabled):
        pass

    @staticmethod
    def build_network_architecture(plans_manager, *others, **more):
        return TwoClasses()

module.nnUNetTrainer = WithOurs
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/nnunet"))
    words.add_argument("--minutes", type=float, default=2.0, help="of a core, for each loop")
    asked = words.parse_args()
    work, minutes = asked.work.resolve(), asked.minutes
    install(work)
    subprocess.run([work / "venv" / "bin" / "pip", "install", "-q", "-e", ROOT], check=True)
    peer = NnUnet(asked.data.resolve(), work, FILMS, minutes)
    peer.prepare()
    training, _ = held_out(peer.data / FILMS)
    recipe = load_recipe("default").settle([film.shape for film in read_films(training.cases)])
    with one_a_core() as pool:
        loops = {OURS: pool.submit(our_steps, peer, recipe)}
        loops[THEIRS] = pool.submit(their_steps, peer, recipe)
        batch = recipe.run.batch or 1
        rates = {name: loop.result() * batch / (60 * minutes) for name, loop in loops.items()}
    lines = report(recipe, rates, theirs_version(work))
    print("\n".join(lines))
    write_section("Training compared with nnU-Net's loop", lines, SPEED)


def our_steps(peer: NnUnet, recipe: Recipe) -> int:
    training, _ = held_out(peer.data / FILMS)
    timed = recipe.with_settings([f"run.minutes={peer.minutes}", "run.clock=core"])
    with tempfile.TemporaryDirectory() as folder:
        return train(training, timed, Path(folder) / "run").history[-1].step


def their_steps(peer: NnUnet, recipe: Recipe) -> int:
    os.environ["NETWORK"] = recipe.network.model_dump_json()
    os.environ["BATCH"] = str(recipe.run.batch)
    return peer.steps(NETWORK)


def report(recipe: Recipe, rates: dict[str, float], version: str) -> list[str]:
    size = recipe.prepare
    lines = [
        f"Made by `python -m benchmarks.comparison.nnunet_loop` on {machine()}, a core each;",
        f"nnU-Net {version}: {FILMS} at {size.height} x {size.width}, {recipe.run.batch} films",
        "a step, the",
        "default's network in both, the whole loop with its augmentation (and, in ours, its checks",
        "on validation films); ours computes in bfloat16, nnU-Net's on a CPU in float32.",
        "",
        "| loop | films/s | ours is faster by |",
        "|---|---|---|",
    ]
    return lines + [
        f"| {name} | {rate:.1f} | {rates[OURS] / rate:.1f} |" for name, rate in rates.items()
    ]


if __name__ == "__main__":
    main()
