"""The training loop: steps, checks, restarts after a collapse, and checkpoints.

All random draws come from generators seeded by (seed, step), so that a run resumed from a
checkpoint continues as if it had not been interrupted. With `run.minutes` the schedule follows the
clock and runs are not reproducible; with `run.epochs` they are, bit for bit, on a CPU with the same
number of cores; with `run.batch_invariant` also with any number of processes.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from boneseg._util.files import make_folder
from boneseg._util.text import counted
from boneseg.dataset.load import Film
from boneseg.errors import TrainingError
from boneseg.networks import build
from boneseg.preprocessing import Preparation
from boneseg.training import checkpoint
from boneseg.training.augmentation import Augmenter, film_seeds, with_views
from boneseg.training.batch_norm import replace_norms
from boneseg.training.checkpoint import Checkpoint, State, Weights
from boneseg.training.collapse_guard import (
    collapse,
    constant_dice,
    film_figures,
    mean_dice,
    predict,
)
from boneseg.training.device import move_if_it_fits, record_cuda_graph, training_dtype
from boneseg.training.gradients import FilmByFilm, WholeBatch
from boneseg.training.history import Check, write_history
from boneseg.training.losses import Objective
from boneseg.training.optimiser import (
    build_optimiser,
    optimiser_state,
    restore_optimiser_state,
    update_average,
)
from boneseg.training.ranks import Ranks
from boneseg.training.run_folder import CHECKPOINT, TrainingPlan, check_unchanged
from boneseg.training.sampler import balancing_weights, films_of_step
from boneseg.training.schedule import rate
from boneseg.training.tensors import PreparedFilms, prepare_films

MAX_RESTARTS = 3
SLOWER = 1 / 3  # learning-rate factor of each restart
STRIKES = 5  # consecutive collapsed checks before a restart
FIRST_STEPS = 30  # the guard is inactive before, as no network has learned yet
SAVE_EVERY = 10.0  # minimum seconds between checkpoints

Report = Callable[[Check], None]


class Loop:
    """The training loop: the network and its state.

    With several `ranks`, each of them runs the loop, and they hold the same state.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        training: Sequence[Film],
        validation: Sequence[Film],
        out: Path,
        weights: Weights | None,
        report: Report | None,
        ranks: Ranks | None = None,
    ) -> None:
        self.plan, self.recipe = plan, plan.recipe
        self.by_film = self.recipe.run.batch_invariant
        self.out, self.report, self.weights = out, report, weights
        self.ranks = ranks or Ranks()
        prepared, self.validation = self._prepared(training, validation)
        self.device = self.ranks.device
        self.dtype = training_dtype(self.recipe.run.precision, self.device)
        self.films, self.masks = move_if_it_fits(self.device, prepared.films, prepared.masks)
        self.constant = constant_dice(self.validation.masks)
        self.state = State()
        self.clock = time.monotonic if self.recipe.run.clock == "wall" else time.process_time
        self.started = self.clock()
        self.saved_at = -math.inf
        if self.ranks.leads:
            make_folder(out, "choose another folder for --out")
        self._new_attempt()
        self.best = _copied(self.average)

    def _prepared(
        self, training: Sequence[Film], validation: Sequence[Film]
    ) -> tuple[PreparedFilms, PreparedFilms]:
        """Place the films on the working grid. Raises RecipeError where a step has too few."""
        recipe = self.recipe
        preparation = Preparation(recipe.prepare.height, recipe.prepare.width)
        prepared = prepare_films(training, preparation)
        self.augment = Augmenter(recipe.augment)
        if recipe.augment.views:
            prepared = with_views(prepared, recipe.augment, recipe.run.seed)
            self.augment = Augmenter(recipe.augment.off())
        parts = [film.case.part for film in training] * (recipe.augment.views + 1)
        self.weights_of_films = balancing_weights(parts, recipe.run.balance)
        self.batch = min(recipe.run.batch, len(prepared))
        recipe.check_normalisation(self.batch)
        self.epoch_steps = math.ceil(len(prepared) / self.batch)
        self.check_epochs = math.ceil(10 / self.epoch_steps)  # or checks would take too long
        return prepared, prepare_films(validation, preparation)

    def check_equal(self) -> None:
        """Raise TrainingError if another process has other films, settings or progress."""
        if not self.ranks.alone:
            progress = f"{self.state.attempt} {self.state.step} {version('boneseg')}"
            self.ranks.check_equal(f"{self.plan.model_dump_json()} {progress}")

    def run(self) -> None:
        """Train from the current state to the end of the schedule."""
        self._attempt()
        while self._guarded() and not self.state.sound:
            self._restart("never better than a constant mask")
            self._attempt()
        self._save()

    def _guarded(self) -> bool:
        return self.recipe.run.guard and self.state.step >= FIRST_STEPS

    def _attempt(self) -> None:
        while self._done() < 1:
            loss = self._step()
            self.state.loss_sum += loss
            self.state.loss_count += 1
            self.state.seconds = self._seconds()
            if not math.isfinite(loss):
                self._restart("the loss is not finite")
            elif self._check_is_due():
                self._check()

    def best_network(self) -> nn.Module:
        """Return the network with the weights of the best check, on the CPU, in evaluation mode."""
        network: nn.Module = copy.deepcopy(self.average).cpu()
        network.load_state_dict(self.best)
        return network.eval()

    def dice_of(self, network: nn.Module) -> float:
        """Return the Dice of a network on the CPU over the validation films, at working size."""
        return mean_dice(self._predicted(network, self.validation.films), self.validation.masks)

    def _predicted(self, network: nn.Module, films: torch.Tensor) -> torch.Tensor:
        return predict(network, films, batch=1 if self.by_film else 8)

    def restore(self) -> None:
        """Load the checkpoint in the run's folder."""
        path = self.out / CHECKPOINT
        saved = checkpoint.load(path)
        check_unchanged(self.plan, saved.plan, path)
        self.state = saved.state
        self._new_attempt()
        try:
            self.network.load_state_dict(saved.network)
            self.average.load_state_dict(saved.average)
            self.best = saved.best
            restore_optimiser_state(self.optimiser, saved.optimiser)
        except torch.OutOfMemoryError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):
            raise TrainingError(f"{path}: is damaged; start a new run") from None
        self.started = self.clock() - self.state.seconds

    def _new_attempt(self) -> None:
        torch.manual_seed(self._seed())
        network = build(self.recipe.network)
        if self.weights is not None:
            network.load_state_dict(self.weights)
        network = network.to(self.device)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: nn.Module = copy.deepcopy(network)
        groups = self.batch if self.by_film else self.ranks.count
        self.network = replace_norms(network, self.ranks, groups)
        self.optimiser = build_optimiser(self.network, self.recipe.optimiser)
        self.objective = Objective(self.network, self.recipe.loss)
        sums = FilmByFilm if self.by_film else WholeBatch
        self.gradients = sums(self.objective, self.ranks, self.batch, self._arithmetic)
        if self.device.type == "cuda" and self.ranks.alone:
            with self._arithmetic():
                record_cuda_graph(self.objective, (self.batch, *self.validation.films.shape[1:]))

    def _arithmetic(self) -> torch.autocast:
        """Autocast of the network; CUDA graphs require that weights are cast at each step."""
        enabled = self.dtype != torch.float32
        caching = self.device.type != "cuda"
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=caching
        )

    def _seed(self) -> int:
        return self.recipe.run.seed + 7919 * self.state.attempt

    def _seconds(self) -> float:
        """The time since the start, by the clock of the process that leads."""
        return self.ranks.agreed(self.clock() - self.started)

    def _done(self) -> float:
        """The completed fraction of this attempt's schedule."""
        if self.recipe.run.minutes is None:
            return self.state.step / (self.recipe.run.epochs * self.epoch_steps)
        span = self.recipe.run.minutes * 60 - self.state.attempt_start
        return (self.state.seconds - self.state.attempt_start) / max(span, 1e-6)

    def _step(self) -> float:
        """Train on one batch and return its loss."""
        state, share = self.state, self.ranks.share
        chosen = share(films_of_step(self._seed(), state.step, self.weights_of_films, self.batch))
        generator = torch.Generator().manual_seed(self._seed() * 2**20 + state.step)
        films = self.films[chosen].to(self.device)
        masks = self.masks[chosen].to(self.device).float()
        films, masks = self.augment(films, masks, share(film_seeds(self.batch, generator)))
        films = films.contiguous(memory_format=torch.channels_last)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.objective.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.gradients(films, masks)
        if self.recipe.optimiser.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip)
        self.optimiser.step()
        state.step += 1
        update_average(self.average, self.network, state.step, self.recipe.run.ema)
        return float(loss)

    def _rate(self) -> float:
        full = rate(self.recipe.optimiser, self._done(), self.state.plateau)
        return full * SLOWER**self.state.attempt

    def _check_is_due(self) -> bool:
        state, run = self.state, self.recipe.run
        if run.minutes is None:
            every = self.epoch_steps * self.check_epochs
            return state.step % every == 0 or self._done() >= 1
        spent = state.seconds - state.checked_at
        return spent >= max(run.minutes * 60 / 80, 2.0) or self._done() >= 1

    def _check(self) -> None:
        state = self.state
        kept, share = self.validation, self.ranks.share
        films, masks = share(kept.films), share(kept.masks)
        figures = film_figures(self._predicted(self.average, films.to(self.device)), masks)
        figures = self.ranks.gathered(figures, len(kept))
        dice = float(figures[:, 0].mean())
        trouble = collapse(figures, self.constant)
        state.strikes = state.strikes + 1 if trouble else 0
        gave_up = self._guarded() and state.strikes >= STRIKES
        row = self._row(dice)
        state.history.append(row)
        state.loss_sum, state.loss_count = 0.0, 0
        passed = self.check_epochs if self.recipe.run.minutes is None else 1
        state.plateau.record(dice, self.recipe.optimiser, passed)
        state.sound = state.sound or not trouble
        if dice > state.best_dice and "finite" not in trouble:
            state.best_dice, self.best = dice, _copied(self.average)
        state.seconds = state.checked_at = self._seconds()
        if self.report:
            self.report(row)
        if gave_up:
            self._restart(trouble)
        elif time.monotonic() - self.saved_at > SAVE_EVERY:
            self._save()

    def _row(self, dice: float, note: str = "") -> Check:
        state = self.state
        return Check(
            attempt=state.attempt,
            epoch=round(state.step / self.epoch_steps, 2),
            step=state.step,
            seconds=round(state.seconds, 2),
            done=min(1.0, self._done()),
            learning_rate=self._rate(),
            loss=state.loss_sum / max(1, state.loss_count),
            dice=dice,
            note=note,
        )

    def _restart(self, reason: str) -> None:
        """Restart from another seed at a lower rate, at most three times; keep the best weights."""
        old = self.state
        row = self._row(old.history[-1].dice if old.history else 0.0, f"collapsed: {reason}")
        old.history.append(row)
        if self.report:
            self.report(row)
        late = self.recipe.run.minutes is not None and self._done() >= 1
        if late and old.sound:  # the best weights are from before the collapse
            return
        if late or not self.recipe.run.guard or old.attempt >= MAX_RESTARTS:
            self._write_history()
            advice = "increase run.minutes" if late else "check the masks, or try another recipe"
            times = counted(old.attempt + 1, "time")
            raise TrainingError(f"{self.out}: the run collapsed {times} ({reason}); {advice}")
        self.state = State(
            attempt=old.attempt + 1,
            seconds=old.seconds,
            attempt_start=old.seconds,
            checked_at=old.seconds,
            sound=old.sound,
            best_dice=old.best_dice,
            history=old.history,
        )
        self._new_attempt()
        self._save()

    def _write_history(self) -> None:
        if self.ranks.leads:
            write_history(self.state.history, self.out / "history.csv")

    def _save(self) -> None:
        if not self.ranks.leads:
            return
        saved = Checkpoint(
            plan=self.plan,
            state=self.state,
            network=self.network.state_dict(),
            average=self.average.state_dict(),
            best=self.best,
            optimiser=optimiser_state(self.optimiser),
        )
        checkpoint.save(self.out / CHECKPOINT, saved)
        self._write_history()
        self.saved_at = time.monotonic()


def _copied(network: nn.Module) -> Weights:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
