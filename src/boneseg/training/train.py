"""One training run on a dataset, resumed where it was interrupted.

run = train(open_dataset("knees"), load_recipe("default"), "runs/knees")
"""

from __future__ import annotations

from pathlib import Path

import torch

from boneseg._util.files import own_folder
from boneseg._util.lock import exclusive
from boneseg._util.text import counted
from boneseg.bundle.store import Bundle, load_network, seen_by
from boneseg.dataset.load import Films, fingerprint, load_films
from boneseg.dataset.open import Dataset
from boneseg.dataset.splits import hold_out
from boneseg.errors import DatasetError, TrainingError
from boneseg.networks import depths, prune, pruned_settings
from boneseg.recipes.recipe import Recipe, SettledRecipe
from boneseg.training.components import check_components
from boneseg.training.finetune import starting_from
from boneseg.training.loop import Loop, Report
from boneseg.training.run import TrainedRun
from boneseg.training.run_folder import CHECKPOINT, TrainingPlan


@exclusive
def train(
    data: Dataset | Films,
    recipe: Recipe,
    out: Path | str,
    *,
    resume: bool = False,
    init: Bundle | None = None,
    report: Report | None = None,
) -> TrainedRun:
    """Train on a dataset, or on loaded films; checkpoints and history.csv are written to `out`.

    `init` is a warm start: the network and initial weights are that bundle's. Raises DatasetError
    for unusable films, RecipeError for a network that cannot be trained on them, and TrainingError
    for a run that exists already, whose films have changed, or that collapsed more than three
    times.
    """
    check_components(recipe)
    check_components(recipe)
    out = Path(out)
    own_folder(out, CHECKPOINT, resume)
    recipe = starting_from(recipe, init)
    films = load_films(data, out)
    if len(films) < 2:
        found = counted(len(films), "film")
        raise DatasetError(f"{films.root}: {found} with a mask; at least 2 are needed")
    settled = recipe.settle(films.shapes)
    training, validation = _split(films, settled)
    try:
        # The caller's random state is unchanged.
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            loop = _loop(films, settled, training, validation, out, init, report)
            if resume and (out / CHECKPOINT).exists():
                loop.restore()
            loop.run()
    except torch.OutOfMemoryError:
        size = f"{settled.run.batch} films of {settled.prepare.height} x {settled.prepare.width}"
        raise TrainingError(
            f"{out}: not enough GPU memory for {size} per step; lower run.batch"
        ) from None
    return _finished(loop, settled, training, validation, init)


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


def _loop(
    films: Films,
    recipe: SettledRecipe,
    training: Films,
    validation: Films,
    out: Path,
    init: Bundle | None,
    report: Report | None,
) -> Loop:
    # Pruning a U-Net++ does not affect training: a finished run can be pruned again.
    whole = recipe.network.model_copy(update={"depth": None})
    plan = TrainingPlan(
        films=films.fingerprints,
        recipe=recipe.model_copy(update={"network": whole}),
        init=init.card.card_sha256 if init is not None else None,
        validation=tuple(case.name for case in validation.cases),
        parts=tuple(case.part for case in training.cases),
    )
    weights = load_network(init).state_dict() if init is not None else None
    return Loop(plan, training, validation, out, weights, report)


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
