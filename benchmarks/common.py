"""Shared by the benchmarks: held-out films, trained and scored models, pages of results."""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from boneseg._util.text import counted
from boneseg.bundle.card import Card
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import Bundle, load_bundle, save_bundle
from boneseg.dataset.load import Film, read_films
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.dataset.splits import name_hash_split
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.evaluation.scores import Summary
from boneseg.inference.backends import openvino
from boneseg.inference.backends.base import Backend
from boneseg.inference.engine import Engine
from boneseg.networks import build
from boneseg.preprocessing import Floats
from boneseg.radiograph.film import Radiograph
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.training.device import multiplies_bf16
from boneseg.training.history import Check
from boneseg.training.run import TrainedRun
from boneseg.training.train import train

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS = Path(__file__).resolve().parent / "results"
ACCURACY, SPEED = RESULTS / "accuracy.md", RESULTS / "speed.md"
BUNDLED_MODEL, DICOM_FILES = RESULTS / "bundled-model.md", RESULTS / "dicom-files.md"
SHORT = 0.3  # seconds
MATRIX = 2048  # rows and columns of the matrices whose product is the peak
ON_GPU = torch.cuda.is_available()
IN_FLOAT32 = not ON_GPU and not multiplies_bf16()  # far fewer steps in the same minutes
KIND = "gpu" if ON_GPU else "float32" if IN_FLOAT32 else ""  # of machine: separate figures
KEPT = Path(__file__).resolve().parent / "results" / KIND  # stored measurements, not repeated
STYLE = (  # of a stand-alone chart
    "<style>text{font:11px sans-serif;fill:#555}.grid{stroke:#ccc}.dot,.best{fill:#1667b0}"
    ".line{fill:none;stroke:#1667b0;stroke-width:2}.old{stroke:#999}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}.grid{stroke:#444}.dot,.best{fill:#6ab0f3}"
    ".line{stroke:#6ab0f3}.old{stroke:#888}}</style>"
)


@dataclass(frozen=True)
class Scored:
    """A model, and its results on the held-out films."""

    run: TrainedRun
    bundle: Bundle
    engine: Engine
    films: list[Film]
    found: list[NDArray[np.bool_]]
    summary: Summary


def compile_for_each_size() -> None:
    """Let OpenVINO compile a network for each size of films at once, as for one met often."""
    openvino.OFTEN = 0


def given_networks(engine: Engine, film: Radiograph | Floats) -> list[tuple[Backend, Floats]]:
    """The networks that an engine calls for a film, and what each is given.

    That depends on the width of the bones and on where their outline is.
    """
    given: list[tuple[Backend, Floats]] = []
    answer = engine._answer

    def watched(network: Backend, films: Floats, channels: int, file: str) -> Floats:
        given.append((network, films))
        return answer(network, films, channels, file)

    engine._answer = watched  # type: ignore[method-assign]
    try:
        engine.find(film)
    finally:
        del engine._answer  # type: ignore[method-assign]
    return given


def held_out(folder: Path) -> tuple[Dataset, Dataset]:
    """A labelled set as (to train on, held out): a fifth, by the hash of the films' names."""
    dataset = open_dataset(folder)
    kept, held = name_hash_split([case.name for case in dataset.cases])
    return only(dataset, kept), only(dataset, held)


def only(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Only the cases of these names."""
    chosen = set(names)
    return replace(dataset, cases=tuple(case for case in dataset.cases if case.name in chosen))


def train_and_score(
    training: Dataset,
    held: Dataset,
    recipe: Recipe,
    out: Path,
    report: Callable[[Check], None],
    init: Bundle | None = None,
) -> Scored:
    """Train, from `init` if given, or resume, and score on the held-out films."""
    run = train(training, recipe, out, resume=True, init=init, report=report)
    run.save(out / "bundle")
    engine = Engine(load_bundle(out / "bundle"))
    films, found, summary = score_films(engine, held)
    return Scored(run, engine.bundle, engine, films, found, summary)


def score_films(
    engine: Engine, held: Dataset
) -> tuple[list[Film], list[NDArray[np.bool_]], Summary]:
    """The films, the masks found on them, and their scores."""
    films = read_films(held.cases)
    found = [engine.segment(film.radiograph.pixels) for film in films]
    summary = evaluate_predictions(
        (film.case.name, mask, film.mask, film.radiograph.spacing_mm)
        for film, mask in zip(films, found, strict=True)
    )
    return films, found, summary


def default_at(height: int, width: int) -> Recipe:
    """The default recipe, settled for films of a size."""
    size = [f"prepare.height={height}", f"prepare.width={width}"]
    return load_recipe("default").with_settings(size).settle([(height, width)])


def untrained(recipe: Recipe, path: Path) -> Bundle:
    """The network of a settled recipe with random weights, as a bundle of any grid."""
    torch.manual_seed(0)
    card = Card(
        architecture=recipe.network.model_dump(mode="json"),
        height=recipe.prepare.height or 0,
        width=recipe.prepare.width or 0,
        fitted=True,
        threshold=0.5,
        metrics={},
        restarts=0,
        recipe={},
        versions={},
    )
    return save_bundle(path, build(recipe.network), card)


def teller(name: str) -> Callable[[Check], None]:
    """A line for each validation check."""

    def tell(check: Check) -> None:
        words = f"{name} {check.done:4.0%}  Dice {check.dice:.4f}  {check.note}"
        print(words.rstrip(), flush=True)

    return tell


def known(name: str) -> Any:
    """The figures kept under this name; None where they have not been measured."""
    path = KEPT / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def keep(name: str, figures: Any) -> None:
    """Store figures that take long to measure."""
    path = KEPT / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class LabelledSet:
    """A labelled set to train on, from scratch or from the bundled model."""

    films: str
    bundled: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        return f"{self.films}, from the bundled model" if self.bundled else self.films

    @property
    def slug(self) -> str:
        return f"{self.films}-bundled" if self.bundled else self.films

    def beginning(self) -> Bundle | None:
        return load_bundle(bundled()) if self.bundled else None


class Trial:
    """A named run that is trained and scored once."""

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def figures(self) -> Any:
        """Its scores; None if it has not run."""
        return known(self.name)

    def run(self, data: Path, work: Path) -> str:
        """Train and score; the figures are kept. Returns them in a line."""
        raise NotImplementedError


def run_what_is_left(trials: Sequence[Trial], data: Path, work: Path) -> Iterator[str]:
    """Run the trials without figures, as many at once as there are cores; a line as each ends."""
    left = [trial for trial in trials if not trial.figures]
    with one_a_core() as pool:
        for end in as_completed([pool.submit(trial.run, data, work) for trial in left]):
            yield end.result()


def budget(minutes: float, epochs: int | None = None) -> list[str]:
    """The settings of a run of so many minutes of a CPU core; on a GPU of so many epochs.

    Without `epochs` a GPU gives a recipe its own. (Where runs share a GPU, its clock says little.)
    """
    if ON_GPU:
        return [f"run.epochs={epochs}"] if epochs else []
    return [f"run.minutes={minutes}", "run.clock=core"]


def where() -> str:
    """The training data of runs, for the text above a table."""
    if ON_GPU:
        return f"on an {torch.cuda.get_device_name()}"
    return f"on a CPU core each{', in float32' if IN_FLOAT32 else ''}"


def titled(title: str) -> str:
    """A section's title; GPUs, and CPUs without bfloat16, have separate sections."""
    return title + {"gpu": ", on a GPU", "float32": ", in float32"}.get(KIND, "")


def cores() -> list[int]:
    """The CPU cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def one_a_core() -> Iterator[ProcessPoolExecutor]:
    """As many processes as there are cores, each pinned to one, with one thread.

    Small networks make more steps so than one after the other on all cores.
    """
    context = get_context("spawn")
    free: SimpleQueue[int] = context.SimpleQueue()
    for core in cores():
        free.put(core)
    with ProcessPoolExecutor(len(cores()), context, _settle, (free,)) as pool:
        yield pool


def _settle(free: SimpleQueue[int]) -> None:
    os.sched_setaffinity(0, {free.get()})
    torch.set_num_threads(1)


def write_section(title: str, lines: Sequence[str], page: Path = ACCURACY) -> None:
    """Put a section into a page of results, replacing the one of the same title."""
    text = page.read_text(encoding="utf-8") if page.exists() else f"# {page.stem.capitalize()}\n"
    section = f"## {title}\n\n" + "\n".join(lines).strip() + "\n"
    known = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if known.search(text):
        text = known.sub(lambda _: section + "\n", text)
    else:
        text = f"{text.rstrip()}\n\n{section}"
    page.write_text(text.rstrip() + "\n", encoding="utf-8")


def write_chart(name: str, drawn: str, width: int) -> None:
    """Put a chart (`_util.drawing.charts`) into docs/images, px wide, as a stand-alone file."""
    head, mark, rest = drawn.partition(">")
    head = head.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" ')
    (DOCS / "images" / name).write_text(head + mark + STYLE + rest + "\n", encoding="utf-8")


def machine() -> str:
    """The machine of a measurement, in a few words."""
    facts = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    names = re.findall(r"^model name\s*: (.*)$", facts, re.MULTILINE)
    has = [name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in facts]
    which = f"{(names or ['a CPU'])[0]}, {(has or ['no AVX2'])[0]}"
    return f"{counted(len(cores()), 'core')} of {which}"


def side_by_side(
    runs: Mapping[str, Callable[[], object]], rounds: int, warm: int = 2
) -> dict[str, float]:
    """The median seconds of each, run in turn, so that a slow phase of the machine affects all.

    A short one runs twice in its turn, and the second run counts: the first finds the caches, and
    the threads, of the one before.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm + rounds):
        for name, run in runs.items():
            taken = seconds(run)
            taken = seconds(run) if taken < SHORT else taken
            if turn >= warm:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def product(kind: torch.dtype) -> Callable[[], object]:
    """A matrix product, the upper limit of a network's speed, to be timed in turn."""
    a, b = (torch.randn(MATRIX, MATRIX).to(kind) for _ in range(2))
    return lambda: a @ b


def tflops(taken: float) -> float:
    """TFLOP a second of a matrix product that took so many seconds."""
    return 2 * MATRIX**3 / taken / 1e12


def gflop(network: torch.nn.Module, height: int, width: int) -> float:
    """The work of a film, a multiplication and an addition counting as two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, height, width))
    return float(counter.get_total_flops() / 1e9)


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def interval(low_high: Sequence[float], digits: int = 4) -> str:
    """Low to high, for a table."""
    return f"{low_high[0]:.{digits}f} to {low_high[1]:.{digits}f}"
