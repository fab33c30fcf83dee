"""The time of each stage of a training step, and the gain of each optimisation.

    python -m benchmarks.speed.training_step [--json]

A run of the default recipe on phantom films, its stages timed; the kinds of operation in a forward
and backward pass; its arithmetic beside a matrix product that takes its turns with it; and the same
step with one thing undone (bfloat16, channels last, the fused optimiser, glibc kept from giving
memory back), or compiled, or with the instance norm that the bundled model has in place of batch
norm, ours and PyTorch's. Films of 224 squared (as knees) and of 1024 x 128 (as legs).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import (
    SPEED,
    default_at,
    machine,
    product,
    side_by_side,
    tflops,
    write_section,
)
from boneseg._util import runtime
from boneseg.dataset.open import open_dataset
from boneseg.networks import build
from boneseg.simulate import simulate
from boneseg.training import loop as training
from boneseg.training import losses
from boneseg.training.augmentation import Augmenter
from boneseg.training.device import multiplies_bf16
from boneseg.training.losses import Objective
from boneseg.training.train import train

SIZES = {"224 x 224": (224, 224), "1024 x 128": (1024, 128)}
VALIDATION = "validation"
EPOCHS, STEPS = 12, 10
UNDONE = ("as it is", "float32", "not channels last", "optimiser not fused", "memory given back")
INSTANCE, THEIRS = "instance norm", "PyTorch's instance norm"
KINDS = {
    "convolutions": ("conv",),
    "normalisation": ("batch_norm",),
    "pooling, joining": ("pool", "cat", "copy_"),
    "rectifying": ("threshold", "clamp"),
}


def place(owner: Any, name: str) -> tuple[Any, str, Callable[..., Any]]:
    """The function of a stage of a run. Raises AttributeError if it has moved."""
    return owner, name, getattr(owner, name)


STAGES = {
    "augmentation": place(Augmenter, "__call__"),
    "loss": place(losses, "supervised_loss"),
    "backward": place(torch.Tensor, "backward"),
    "clipping": place(torch.nn.utils, "clip_grad_norm_"),
    "optimiser": place(torch.optim.AdamW, "step"),
    "averaged weights": place(training, "update_average"),
    VALIDATION: place(training.Loop, "_check"),
    "step": place(training.Loop, "_step"),
}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--json", action="store_true")
    words.add_argument("--step", nargs=2, help=argparse.SUPPRESS)  # a size and a way, in a process
    asked = words.parse_args()
    if asked.step:
        print(json.dumps(timed_step(SIZES[asked.step[0]], asked.step[1])))
        return
    found: dict[str, Any] = {"machine": machine(), "sizes": {}}
    for name, size in SIZES.items():
        ways = {way: in_a_process(name, way) for way in (*UNDONE, "compiled", INSTANCE, THEIRS)}
        found["sizes"][name] = {
            "stages": stages(size),
            "kinds": kinds(size),
            "ways": {way: one["seconds"] for way, one in ways.items()},
            "gflop": ways[UNDONE[0]]["gflop"],
            "films": ways[UNDONE[0]]["films"],
            "peak_tflops": ways[UNDONE[0]]["peak_tflops"],
        }
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    lines = report(found)
    print("\n".join(lines))
    write_section("A training step", lines, SPEED)


def stages(size: tuple[int, int]) -> dict[str, float]:
    """Seconds a step of each stage of a run."""
    spent: Counter[str] = Counter()

    def watched(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            started = time.perf_counter()
            answer = run(*given, **named)
            spent[name] += time.perf_counter() - started
            return answer

        return call

    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "films", 24, size=size)
        films = open_dataset(Path(folder) / "films")
        recipe = default_at(*size).with_settings([f"run.epochs={EPOCHS}"])
        patches = [
            patch.object(owner, name, watched(stage, run))
            for stage, (owner, name, run) in STAGES.items()
        ]
        for one in patches:
            one.start()
        run = train(films, recipe, Path(folder) / "run")
        for one in patches:
            one.stop()
    steps = run.history[-1].step
    inside = sum(value for name, value in spent.items() if name not in ("step", VALIDATION))
    spent["forward"] = spent.pop("step") - inside  # it is what is left of the step
    return {name: value / steps for name, value in spent.most_common()}


class Step:
    """A training step of the default recipe on films of noise."""

    def __init__(self, size: tuple[int, int], way: str) -> None:
        norm = "instance" if way in (INSTANCE, THEIRS) else "batch"
        recipe = default_at(*size).with_settings([f"network.norm={norm}"])
        laid = torch.contiguous_format if "channels" in way else torch.channels_last
        torch.manual_seed(0)
        network: Any = build(recipe.network).to(memory_format=laid)
        if way == THEIRS:
            for module in network.modules():
                if isinstance(module, torch.nn.InstanceNorm2d):
                    module.forward = super(type(module), module).forward
        self.films = recipe.run.batch or 1
        self.given = torch.randn(self.films, 1, *size).to(memory_format=laid)
        self.masks = (torch.rand(self.films, 1, *size) > 0.5).float()
        self.bfloat16 = multiplies_bf16() and way != "float32"
        network = torch.compile(network) if way == "compiled" else network
        self.objective = Objective(network, recipe.loss)
        self.optimiser = torch.optim.AdamW(network.parameters(), fused="fused" not in way)

    def __call__(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = self.objective(self.given, self.masks)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.objective.parameters(), 5.0)
        self.optimiser.step()


def timed_step(size: tuple[int, int], way: str) -> dict[str, float]:
    """Median seconds of a step, its GFLOP and films, and what a matrix product reaches in turn."""
    if way != "memory given back":
        runtime.keep_freed_memory()
    step = Step(size, way)
    taken = side_by_side({"step": step, "product": product(torch.bfloat16)}, STEPS)
    gflop = 0.0
    if way == UNDONE[0]:
        with FlopCounterMode(display=False) as counter:
            step()
        gflop = counter.get_total_flops() / 1e9
    return {
        "seconds": taken["step"],
        "gflop": gflop,
        "films": step.films,
        "peak_tflops": tflops(taken["product"]),
    }


def in_a_process(size: str, way: str) -> dict[str, float]:
    """`timed_step` in a separate process, as settings of glibc cannot be reverted."""
    call = [sys.executable, "-m", "benchmarks.speed.training_step", "--step", size, way]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def kinds(size: tuple[int, int]) -> dict[str, float]:
    """The share of each kind of operation in the time of a step without augmentation."""
    step = Step(size, UNDONE[0])
    step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(3):
            step()
    spent: Counter[str] = Counter()
    for row in seen.key_averages():
        kind = next((k for k, words in KINDS.items() if any(w in row.key for w in words)), "rest")
        spent[kind] += row.self_cpu_time_total
    whole = sum(spent.values())
    return {kind: value / whole for kind, value in spent.most_common()}


def report(found: dict[str, Any]) -> list[str]:
    lines = [f"Made by `python -m benchmarks.speed.training_step` on {found['machine']}."]
    for name, one in found["sizes"].items():
        ours = one["ways"][UNDONE[0]]
        whole = sum(one["stages"].values())
        share = one["gflop"] / ours / 1000 / one["peak_tflops"]
        lines += [
            "",
            f"**{one['films']} films of {name}**: {one['gflop']:.0f} GFLOP in "
            f"{1000 * ours:.0f} ms, {share:.0%} of the {one['peak_tflops']:.2f} TFLOP/s that a "
            f"bfloat16 matrix product reaches; {one['films'] / whole:.1f} films a second with all "
            "that is below.",
            "",
            "| stage | share |",
            "|---|---|",
            *(f"| {stage} | {spent / whole:.1%} |" for stage, spent in one["stages"].items()),
            "",
            "By operation: "
            + ", ".join(f"{kind} {share:.0%}" for kind, share in one["kinds"].items())
            + ". With one thing undone, times the time: "
            + ", ".join(f"{way} {t / ours:.2f}" for way, t in list(one["ways"].items())[1:-2])
            + f". With instance norm {one['ways'][INSTANCE] / ours:.2f}, "
            + f"with PyTorch's own {one['ways'][THEIRS] / ours:.2f} times the time.",
        ]
    return lines


if __name__ == "__main__":
    main()
