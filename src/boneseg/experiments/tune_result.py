"""The result of a search: its trials, the best recipe, and the significance of its gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from pydantic import AliasChoices, Field

from boneseg._util.documents import Document
from boneseg._util.drawing.html import frame, table
from boneseg._util.text import counted
from boneseg.bundle.store import Bundle
from boneseg.evaluation.statistics import format_p
from boneseg.recipes.recipe import Recipe

FEWEST = 6  # held-out films; with fewer, a sign-flip test cannot reach p < 0.05

Setting = bool | int | float | str | None  # as Optuna stores it


@dataclass(frozen=True)
class TrialResult:
    """One recipe of the search."""

    number: int  # from 1
    settings: dict[str, Setting]
    dice: float | None  # on the validation films; None where pruned
    state: str  # complete, pruned


class TuneDocument(Document):
    """The content of tune.json."""

    verdict: str
    base_dice: float
    best_dice: float
    settings: dict[str, Setting]
    held_out: int = Field(validation_alias=AliasChoices("held_out", "held_back"))
    held_out_dice: tuple[float, float] = Field(
        validation_alias=AliasChoices("held_out_dice", "held_back_dice")
    )
    gain_ci95: tuple[float, float]
    p: float
    trials: tuple[TrialResult, ...]
    recipe: Recipe


@dataclass(frozen=True)
class Tuned:
    """The result of a search, and its significance."""

    trials: tuple[TrialResult, ...]  # in order
    base_dice: float  # validation Dice of the base recipe
    best_dice: float  # validation Dice of the best recipe
    settings: dict[str, Setting]  # of the best; empty where nothing beat the base
    recipe: Recipe  # the best
    held_out: int  # number of films held out of all trials
    held_out_dice: tuple[float, float]  # Dice of base and best on them
    gain_ci95: tuple[float, float]  # of the difference on them
    p: float  # of that difference, as `paired_p` has it
    bundle: Bundle  # model of the best recipe

    @property
    def verdict(self) -> str:
        """The significance of the result, in one sentence."""
        if not self.settings:
            return "no trial was better than the base recipe, which is kept"
        base, best = self.held_out_dice
        low, high = self.gain_ci95
        films = counted(self.held_out, "film")
        figures = (
            f"Dice {best:.4f} against {base:.4f} on {films} held out of all trials "
            f"(difference {best - base:+.4f}, 95 % {low:+.4f} to {high:+.4f}, p {format_p(self.p)})"
        )
        if self.held_out < FEWEST:
            return f"too few held-out films for a significance test: {figures}"
        if self.p < 0.05:
            return f"significantly {'better' if best > base else 'WORSE'}: {figures}"
        return f"no significant difference from the base recipe: {figures}"

    def __repr__(self) -> str:
        dice = f"validation Dice {self.best_dice:.4f} from {self.base_dice:.4f}"
        return f"Tuned({dice}, {counted(len(self.trials), 'trial')})"

    def _repr_html_(self) -> str:
        rows = [(number, dice, escape(settings)) for number, dice, settings in self.rows()]
        remarks = "".join(f"<p>{escape(remark)}</p>" for remark in self.remarks)
        return frame(table(("trial", "validation Dice", "settings"), rows) + remarks)

    @property
    def remarks(self) -> tuple[str, str]:
        """The number of trials, and the verdict."""
        early = sum(trial.dice is None for trial in self.trials)
        trials = counted(len(self.trials), "trial")
        return f"{trials}, {early} of them ended early", self.verdict

    def rows(self, top: int = 5) -> list[tuple[str, str, str]]:
        """Return number, validation Dice and settings of the base and of the best trials."""
        done = [trial for trial in self.trials if trial.dice is not None]
        best = sorted(done, key=lambda one: -(one.dice or 0))[:top]
        return [("base", f"{self.base_dice:.4f}", "")] + [
            (str(trial.number), f"{trial.dice:.4f}", _listed(trial.settings)) for trial in best
        ]

    def table(self, top: int = 5) -> str:
        """Format the best trials and the verdict for a terminal."""
        lines = [f"{a:>6} {b}  {c}".rstrip() for a, b, c in self.rows(top)]
        return "\n".join([*lines, *self.remarks])

    def document(self) -> TuneDocument:
        """The content of tune.json."""
        return TuneDocument(
            verdict=self.verdict,
            base_dice=self.base_dice,
            best_dice=self.best_dice,
            settings=self.settings,
            held_out=self.held_out,
            held_out_dice=self.held_out_dice,
            gain_ci95=self.gain_ci95,
            p=self.p,
            trials=self.trials,
            recipe=self.recipe,
        )

    def to_json(self) -> dict[str, object]:
        """Return the document of tune.json as plain data."""
        return self.document().model_dump()


def _listed(settings: Mapping[str, Setting]) -> str:
    def short(value: Setting) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return " ".join(f"{key}={short(value)}" for key, value in settings.items())
