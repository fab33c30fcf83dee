"""One training run on a dataset, resumed where it was interrupted.

run = train(open_dataset("knees"), load_recipe("default"), "runs/knees")

With several `places`, as many processes train together: see `placement` and `team`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from boneseg._util.cores import available_cores
from boneseg._util.files import own_folder
from boneseg._util.lock import sole_writer
from boneseg._util.text import counted
from boneseg.bundle.store import Bundle, load_network, seen_by
from boneseg.dataset.load import IN_MEMORY, Films, fingerprint, load_films
from boneseg.dataset.open import Dataset
from boneseg.dataset.splits import hold_out
from boneseg.errors import DatasetError, UsageError
from boneseg.networks import depths, prune, pruned_settings
from boneseg.recipes.recipe import Recipe, SettledRecipe
from boneseg.training.components import check_components
from boneseg.training.device import training_device
from boneseg.training.finetune import starting_from
from boneseg.training.follower import Task, follow, run_loop
from boneseg.training.loop import Loop, Report
from boneseg.training.losses import losses_of_whole_batches
from boneseg.training.placement import Place
from boneseg.training.run import TrainedRun
from boneseg.training.run_folder import CHECKPOINT, TrainingPlan
from boneseg.training.team import meeting, team


def train(
    data: Dataset | Films,
    recipe: Recipe,
    out: Path | str,
    *,
    resume: bool = False,
    init: Bundle | None = None,
    report: Report | None = None,
    places: Sequence[Place] = (Place(),),
) -> TrainedRun:
    """Train on a dataset, or on loaded films; checkpoints and history.csv are written to `out`.

    `init` is a warm start: the network and initial weights are that bundle's. `places` are those of
    this process and of others that it starts; all return the same result, and the first of all
    writes and reports. Raises DatasetError for unusable films, RecipeError for a network that
    cannot be trained on them, UsageError for a recipe whose batches cannot be divided among the
    processes, or into films on this hardware, and TrainingError for a run that exists already,
    whose films have changed, or that collapsed more than three times, and for a process that is
    lost.
    """
    check_components(recipe)
    invariant = recipe.run.batch_invariant
    if invariant and training_device().type == "cuda":
        raise UsageError(
            "run.batch_invariant: is for CPUs; hide the GPUs by CUDA_VISIBLE_DEVICES=, or set false"
        )
    if invariant or places[0].count > 1:
        _check_losses(recipe)
    out = Path(out)
    with _run_folder(out, places[0]) as scratch:
        own_folder(out, CHECKPOINT, resume)
        films = load_films(data, scratch, in_memory=IN_MEMORY if len(places) == 1 else 0)
        return _trained(films, starting_from(recipe, init), out, resume, init, report, places)


def _trained(
    films: Films,
    recipe: Recipe,
    out: Path,
    resume: bool,
    init: Bundle | None,
    report: Report | None,
    places: Sequence[Place],
) -> TrainedRun:
    if len(films) < 2:
        found = counted(len(films), "film")
        raise DatasetError(f"{films.root}: {found} with a mask; at least 2 are needed")
    settled = recipe.settle(films.shapes)
    training, validation = _split(films, settled)
    films_at_most = len(training) * (1 + settled.augment.views)
    places[0].check_batch(min(settled.run.batch, films_at_most))
    task = Task(
        plan=_plan(films, settled, training, validation, init),
        training=training,
        validation=validation,
        out=out,
        weights=load_network(init).state_dict() if init is not None else None,
        resume=resume,
        threads=max(1, available_cores() // len(places)),
    )
    with meeting(places) as met, team(met, out, task, follow) as ranks:
        loop = run_loop(task, ranks, report if ranks.leads else None)
    return _finished(loop, settled, training, validation, init)


@contextmanager
def _run_folder(out: Path, place: Place) -> Iterator[Path]:
    """Lock the run folder in the process that leads; yields a folder for temporary files."""
    if place.leads:
        with sole_writer(out):
            yield out
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)


def _check_losses(recipe: Recipe) -> None:
    for name in losses_of_whole_batches(recipe.loss):
        raise UsageError(
            f"loss.{name}: is not a mean over the films of a batch, which several devices and "
            "run.batch_invariant need; train on one device without it, or use another loss"
        )


def _split(films: Films, recipe: SettledRecipe) -> tuple[Films, Films]:
    """Training and validation films. Raises DatasetError if no training film shows bone."""
    run = recipe.run
    chosen, held_out = hold_out(
        films.cases, films.clusters, run.validation, run.seed, shares=films.bone_shares
    )
    training, validation = films.part(chosen), films.part(held_out)
    if not any(training.bone_shares):
        raise DatasetError(f"{films.root}: no mask contains bone; check the masks")
    return training, validation


def _plan(
    films: Films,
    recipe: SettledRecipe,
    training: Films,
    validation: Films,
    init: Bundle | None,
) -> TrainingPlan:
    # Pruning a U-Net++ does not affect training: a finished run can be pruned again.
    whole = recipe.network.model_copy(update={"depth": None})
    return TrainingPlan(
        films=films.fingerprints,
        recipe=recipe.model_copy(update={"network": whole}),
        init=init.card.card_sha256 if init is not None else None,
        validation=tuple(case.name for case in validation.cases),
        parts=tuple(case.part for case in training.cases),
    )


def _finished(
    loop: Loop, recipe: SettledRecipe, training: Films, validation: Films, init: Bundle | None
) -> TrainedRun:
    """The result: the best network, pruned if the recipe requests it."""
    network, depth = loop.best_network(), recipe.network.depth
    return TrainedRun(
        network=network if depth is None else prune(network, depth),
        recipe=recipe.model_copy(update={"network": pruned_settings(recipe.network)}),
        depths={cut: loop.dice_of(prune(network, cut)) for cut in depths(network)},
        fingerprint=fingerprint([*training, *validation]),
        best_dice=loop.state.best_dice,
        restarts=loop.state.attempt,
        history=tuple(loop.state.history),
        training=training.films,
        validation=validation.films,
        seen_before=seen_by(init),
    )
