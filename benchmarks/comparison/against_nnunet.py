"""nnU-Net and boneseg on the same films: Dice after equal time, and what a prediction costs.

    python -m benchmarks.comparison.against_nnunet --data ../shared/data --work runs/nnunet \
        [--minutes 10]

nnU-Net v2 is installed into WORK and used as its manual has it: raw data set, plan and preprocess
(not counted), 2-D training, prediction with its mirror images and without. Every run, theirs and
ours, has so many minutes of one CPU core and one thread. Theirs trains on all films and spends no
time on validation; ours keeps 15 % of them back, and looks at them on the way. With `--ours 30`
theirs alone has the whole time. Then both predict the films that none has seen: seconds of a whole
process, and the peak of its memory. Trainings are kept in WORK and in benchmarks/results/nnunet;
predictions are timed anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import (
    SPEED,
    held_out,
    interval,
    keep,
    known,
    machine,
    one_a_core,
    train_and_score,
    write_section,
)
from boneseg.dataset.load import read_films
from boneseg.dataset.open import Dataset
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.evaluation.scores import Summary
from boneseg.recipes.builtin import load_recipe

PLAN = "nnUNetPlans"
NUMBERS = {"knee-femur": 1, "legs": 2}  # nnU-Net numbers its data sets

# nnU-Net's trainer, but that its end is a time of this process, on its core. It keeps its name: for
# another, nnU-Net would look in all of its modules when it predicts, and not all can be imported.
TRAIN = """
import json, os, sys, time
import torch
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as theirs

class nnUNetTrainer(theirs.nnUNetTrainer):
    def run_training(self):
        self.on_train_start()
        self.network.train()
        budget, steps = float(os.environ["SECONDS_TO_TRAIN"]), 0
        self.lr_scheduler.max_steps = budget
        started = time.process_time()
        while (spent := time.process_time() - started) < budget:
            self.lr_scheduler.step(spent)
            self.train_step(next(self.dataloader_train))
            steps += 1
        self.on_train_end()
        print("STEPS", steps)

torch.set_num_threads(1)
folder, plan = sys.argv[1:]
plans, facts = (json.load(open(f"{folder}/{name}.json")) for name in (plan, "dataset"))
plans["continue_training"] = False
nnUNetTrainer(plans, "2d", "all", facts, torch.device("cpu")).run_training()
"""


@dataclass(frozen=True)
class Cost:
    """Of a process and all that it starts: seconds, and the peak of their memory together."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Peer(ABC):
    """A program that trains on a labelled set for some minutes, then predicts."""

    data: Path
    work: Path
    films: str  # the labelled set
    minutes: float

    name = ""
    short = ""
    ways = ("",)  # of predicting, the first of which is scored

    @property
    def kept(self) -> str:
        return f"nnunet/{self.films}-{self.short}-{self.minutes:g}"

    @property
    def raw(self) -> Path:
        """The set as nnU-Net wants it: the held-out films are in its folder imagesTs."""
        return self.work / "raw" / self.number

    @property
    def number(self) -> str:
        return f"Dataset{NUMBERS[self.films]:03}_{self.films.replace('-', '')}"

    def prepare(self) -> None:
        """Lay the set out as nnU-Net's raw data set, if it is not."""
        if (self.raw / "dataset.json").exists():
            return
        training, held = held_out(self.data / self.films)
        for side, dataset in (("Tr", training), ("Ts", held)):
            write_films(dataset, self.raw / f"images{side}", self.raw / f"labels{side}")
        facts = {
            "channel_names": {"0": "radiograph"},
            "labels": {"background": 0, "bone": 1},
            "numTraining": len(training.cases),
            "file_ending": ".png",
        }
        (self.raw / "dataset.json").write_text(json.dumps(facts))

    def learn(self) -> str:
        """Train, unless done; a note on its progress."""
        if not known(self.kept):
            keep(self.kept, self.train())
        return f"{self.films}, {self.name}: {known(self.kept)['steps']} steps"

    @abstractmethod
    def train(self) -> dict[str, Any]:
        """Train; the number of steps, and a note on what a step is."""

    @abstractmethod
    def call(self, films: Path, out: Path, way: str) -> list[str]:
        """The command that predicts the films of a folder."""

    @abstractmethod
    def mask(self, out: Path, case: str) -> Path:
        """Where it leaves a film's mask."""


class Ours(Peer):
    name, short = "boneseg", "ours"

    @property
    def run(self) -> Path:
        return self.work / "ours" / f"{self.films}-{self.minutes:g}"

    def train(self) -> dict[str, Any]:
        training, held = held_out(self.data / self.films)
        budget = [f"run.minutes={self.minutes}", "run.clock=core"]
        recipe = load_recipe("default").with_settings(budget)
        run = train_and_score(training, held, recipe, self.run, lambda _: None).run
        size, batch = run.recipe.prepare, run.recipe.run.batch
        return {"steps": run.history[-1].step, "step": f"{batch} of {size.height} x {size.width}"}

    def call(self, films: Path, out: Path, way: str) -> list[str]:
        call = [sys.executable, "-c", "from boneseg.cli import main; main()", "segment"]
        return [*call, str(films), "--model", str(self.run / "bundle"), "--out", str(out)]

    def mask(self, out: Path, case: str) -> Path:
        return out / f"{case}_0000_mask.png"


class NnUnet(Peer):
    name, short = "nnU-Net", "theirs"
    ways = ("", "--disable_tta")

    @property
    def model(self) -> Path:
        trained = self.work / "results" / self.number / f"nnUNetTrainer__{PLAN}__2d"
        return trained.with_name(f"{trained.name}__{self.minutes:g}")

    @property
    def planned(self) -> Path:
        return self.work / "preprocessed" / self.number / f"{PLAN}.json"

    def prepare(self) -> None:
        super().prepare()
        if not self.planned.exists():
            number = str(NUMBERS[self.films])
            self.run("nnUNetv2_plan_and_preprocess", "-d", number, "-c", "2d", "-np", "1")

    def steps(self, changes: str = "") -> int:
        """Train with its trainer, optionally modified; returns the number of steps."""
        said = self.run("python", "-c", changes + TRAIN, str(self.planned.parent), PLAN)
        return int(said.rpartition("STEPS")[2])

    def train(self) -> dict[str, Any]:
        steps = self.steps()
        shutil.rmtree(self.model, ignore_errors=True)
        self.model.with_name(self.model.name.rpartition("__")[0]).rename(self.model)
        facts = json.loads(self.planned.read_text())["configurations"]["2d"]
        size = " x ".join(map(str, facts["patch_size"]))
        return {"steps": steps, "step": f"{facts['batch_size']} of {size}"}

    def run(self, name: str, *words: str) -> str:
        """What one of its commands prints."""
        call, places = [str(self.work / "venv" / "bin" / name), *words], environment(self.work)
        if name == "python":  # it augments in the process that trains, and whose time is counted
            places |= {"SECONDS_TO_TRAIN": str(60 * self.minutes), "nnUNet_n_proc_DA": "0"}
        done = subprocess.run(call, env=places, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
        return done.stdout

    def call(self, films: Path, out: Path, way: str) -> list[str]:
        call = [str(self.work / "venv" / "bin" / "nnUNetv2_predict_from_modelfolder")]
        call += ["-i", str(films), "-o", str(out), "-m", str(self.model), "-f", "all"]
        return [*call, "-device", "cpu", *([way] if way else [])]

    def mask(self, out: Path, case: str) -> Path:
        return out / f"{case}.png"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/nnunet"))
    words.add_argument("--minutes", type=float, default=10.0)
    words.add_argument("--ours", type=float, help="minutes of ours, where it has fewer")
    words.add_argument("--sets", nargs="*", default=["knee-femur"], choices=list(NUMBERS))
    words.add_argument("--train-only", action="store_true", help="predictions are timed later")
    asked = words.parse_args()
    work = asked.work.resolve()
    install(work)
    shares: dict[type[Peer], float] = {Ours: asked.ours or asked.minutes, NnUnet: asked.minutes}
    peers = [
        kind(asked.data.resolve(), work, films, minutes)
        for films in asked.sets
        for kind, minutes in shares.items()
    ]
    for peer in peers:
        peer.prepare()
    with one_a_core() as pool:
        for end in as_completed([pool.submit(peer.learn) for peer in peers]):
            print(end.result(), flush=True)
    if not asked.train_only:
        lines = report(peers)
        print("\n".join(lines))
        write_section(f"Comparison with nnU-Net, {asked.minutes:g} minutes of a core", lines, SPEED)


def install(work: Path) -> None:
    """nnU-Net in a separate virtual environment, with the torch of this one."""
    if not (work / "venv").exists():
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        torch = version("torch").partition("+")[0]
        pip = [work / "venv" / "bin" / "pip", "install", "-q", f"torch=={torch}", "nnunetv2"]
        subprocess.run(pip, check=True)


def environment(work: Path) -> dict[str, str]:
    """Where nnU-Net finds its folders."""
    places = {f"nnUNet_{kind}": str(work / kind) for kind in ("raw", "preprocessed", "results")}
    return {**os.environ, **places}


def write_films(dataset: Dataset, images: Path, labels: Path) -> None:
    images.mkdir(parents=True)
    labels.mkdir()
    for film in read_films(dataset.cases):
        grey = np.rint(film.radiograph.pixels * 255).astype(np.uint8)
        Image.fromarray(grey).save(images / f"{film.case.name}_0000.png")
        Image.fromarray(film.mask.astype(np.uint8)).save(labels / f"{film.case.name}.png")


def report(peers: list[Peer]) -> list[str]:
    lines = [
        f"Made by `python -m benchmarks.comparison.against_nnunet` on {machine()}; nnU-Net "
        f"{theirs_version(peers[0].work)}.",
        "Predicting: seconds a film of the held-out films, whole process; one film alone (a cold",
        "start); the peak memory of all its processes.",
        "",
        "| set | who | step | steps | Dice (95 %) | HD95 px | s a film | one film, s | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for peer in peers:
        figures = known(peer.kept)
        for way in peer.ways:
            every, one, found = predict(peer, way)
            films = len(found.cases)
            what = f"{peer.name}{', no mirror images' if way else ''}, {peer.minutes:g} minutes"
            dice = f"{found.mean['dice']:.4f} ({interval(found.ci95['dice'])})"
            lines.append(
                f"| {peer.films} | {what} | {figures['step']} | {figures['steps']} | {dice} "
                f"| {found.mean['hd95_px']:.2f} | {every.seconds / films:.3f} "
                f"| {one.seconds:.2f} | {every.megabytes:.0f} |"
            )
            print(lines[-1], flush=True)
    return lines


def theirs_version(work: Path) -> str:
    call = [work / "venv" / "bin" / "python", "-c"]
    call += ["from importlib.metadata import version; print(version('nnunetv2'))"]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


def predict(peer: Peer, way: str) -> tuple[Cost, Cost, Summary]:
    """What all held-out films cost, what one alone costs, and the scores of all."""
    films = peer.raw / "imagesTs"
    out = peer.work / "found" / peer.films / f"{peer.short}{way}"
    alone = peer.work / "alone" / peer.films
    alone.mkdir(parents=True, exist_ok=True)
    shutil.copy(min(films.iterdir()), alone)
    for folder in (out, out.with_name(f"{out.name}-one")):
        shutil.rmtree(folder, ignore_errors=True)
    one = cost(peer.call(alone, out.with_name(f"{out.name}-one"), way), peer.work)
    every = cost(peer.call(films, out, way), peer.work)
    _, held = held_out(peer.data / peer.films)
    predictions = (
        (f.case.name, read_mask(peer.mask(out, f.case.name)), f.mask, f.radiograph.spacing_mm)
        for f in read_films(held.cases)
    )
    return every, one, evaluate_predictions(predictions)


def read_mask(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)) > 0


def cost(call: list[str], work: Path) -> Cost:
    """Of a command, and the processes that it starts."""
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(
        call, env=environment(work), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(shared_out, family(process.pid))))
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(call)} failed")
    return Cost(time.perf_counter() - started, peak / 1024)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def shared_out(pid: int) -> int:
    """The memory of a process, kB, with shared memory divided among its users (PSS)."""
    with suppress(OSError, IndexError):
        rolled = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(rolled.partition("\nPss:")[2].split()[0])
    return 0


if __name__ == "__main__":
    main()
