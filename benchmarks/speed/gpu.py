"""Training and segmenting on a GPU: `results/speed.md`.

    python -m benchmarks.speed.gpu

The training step of `default` and `large` on 256 x 256, its kernels replayed as one graph and
started one by one; the bundled model on 512 x 512 in our PyTorch backend. All beside a bfloat16
matrix product of 8192 squared that takes its turns with them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import SPEED, gflop, write_section
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle, load_network
from boneseg.inference.backends import open_backend
from boneseg.networks import build
from boneseg.recipes.builtin import load_recipe
from boneseg.training.augmentation import Augmenter, film_seeds
from boneseg.training.device import record_cuda_graph
from boneseg.training.losses import Objective
from boneseg.training.optimiser import build_optimiser, update_average

SIDE, MATRIX, ROUNDS = 256, 8192, 10
RECIPES = ("default", "large")
BATCHES = (8, 64)


class Step:
    """A training step as `boneseg.training.train` makes it, augmentation and averaging included."""

    def __init__(self, name: str, batch: int, recorded: bool) -> None:
        size = [f"prepare.height={SIDE}", f"prepare.width={SIDE}", f"run.batch={batch}"]
        self.recipe = load_recipe(name).with_settings(size).settle([(SIDE, SIDE)])
        torch.manual_seed(0)
        network: Any = build(self.recipe.network).cuda()
        self.network = network.to(memory_format=torch.channels_last)
        self.objective = Objective(self.network, self.recipe.loss)
        self.average = build(self.recipe.network).cuda()
        self.optimiser = build_optimiser(self.network, self.recipe.optimiser)
        self.augment = Augmenter(self.recipe.augment)
        self.films = torch.randn(batch, 1, SIDE, SIDE, device="cuda")
        self.masks = (torch.rand(batch, 1, SIDE, SIDE, device="cuda") > 0.5).float()
        self.done = 0
        if recorded:
            with self.arithmetic():
                record_cuda_graph(self.objective, tuple(self.films.shape))

    def arithmetic(self) -> torch.autocast:
        return torch.autocast("cuda", torch.bfloat16, cache_enabled=False)

    def __call__(self) -> None:
        seeds = film_seeds(len(self.films), torch.Generator().manual_seed(self.done))
        films, masks = self.augment(self.films, self.masks, seeds)
        self.objective.train()
        self.optimiser.zero_grad(set_to_none=True)
        with self.arithmetic():
            loss = self.objective(films.contiguous(memory_format=torch.channels_last), masks)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip)
        self.optimiser.step()
        update_average(self.average, self.network, self.done, self.recipe.run.ema)
        self.done += 1

    def gflop(self) -> float:
        """Of forward and backward, for the whole batch."""
        self.network.train()
        with FlopCounterMode(display=False) as counter:
            sum(output.float().mean() for output in self.network(self.films)).backward()
        return float(counter.get_total_flops() / 1e9)


def in_turns(runs: Mapping[str, Callable[[], object]], times: int = 5) -> dict[str, float]:
    """Median milliseconds of each, run in turn, by the GPU's own clock."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(2 + ROUNDS):
        for name, run in runs.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(times):
                run()
            end.record()
            torch.cuda.synchronize()
            if turn >= 2:
                taken[name].append(start.elapsed_time(end) / times)
    return {name: statistics.median(one) for name, one in taken.items()}


def matrix_product() -> Callable[[], object]:
    a, b = (torch.randn(MATRIX, MATRIX, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return lambda: a @ b


def main() -> None:
    runs: dict[str, Callable[[], object]] = {"product": matrix_product()}
    work, films = {}, {}
    for recipe in RECIPES:
        for batch in BATCHES:
            plain = Step(recipe, batch, recorded=False)
            ways = {"one by one": plain, "as a graph": Step(recipe, batch, recorded=True)}
            for way, step in ways.items():
                name = f"`{recipe}`, {batch} films a step, {way}"
                runs[name], films[name] = step, batch
            gflops = plain.gflop()
            work |= {f"`{recipe}`, {batch} films a step, {way}": gflops for way in ways}
    bundle = load_bundle(bundled())
    backend, network = open_backend(bundle, "torch"), load_network(bundle)
    for batch in (1, 8, 64):
        given = np.random.default_rng(0).standard_normal((batch, 1, 512, 512)).astype(np.float32)
        name = f"the bundled model, {batch} of 512 x 512, from and to the CPU's memory"
        runs[name], films[name] = (lambda given=given: backend(given)), batch
        work[name] = batch * gflop(network, 512, 512)
    taken = in_turns(runs)
    peak = 2 * MATRIX**3 / taken.pop("product") / 1e9
    lines = [
        f"Made by `python -m benchmarks.speed.gpu` on an {torch.cuda.get_device_name()}, PyTorch "
        f"{torch.__version__}; a bfloat16 matrix product reaches {peak:.0f} TFLOP/s.",
        "",
        "| what | ms | films/s | of the product's FLOP/s |",
        "|---|---|---|---|",
    ]
    for name, time in taken.items():
        share = work[name] / time / peak
        lines.append(f"| {name} | {time:.2f} | {1000 * films[name] / time:,.0f} | {share:.1%} |")
    print("\n".join(lines))
    write_section("On a GPU", lines, SPEED)


if __name__ == "__main__":
    main()
