"""The documents of a retraining, and the messages of its process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import AliasChoices, ConfigDict, Field

from boneseg._util.documents import Document
from boneseg.server.storage.records import Record, wrapped

LEVEL = 0.05  # of significance

Outcome = Literal["better", "unclear", "worse", "unknown"]


@dataclass(frozen=True)
class Check:
    """The state of a training after a validation.

    done: the completed fraction. loss: of the training, not finite where it diverges.
    """

    done: float
    loss: Annotated[float, Field(allow_inf_nan=True)]
    dice: float


@dataclass(frozen=True)
class Score:
    """The Dice of a model on the held-out films: the mean, and that of each film by name."""

    dice: float
    cases: dict[str, float] = field(default_factory=dict)


class Request(Record):
    """What the process is asked for. settings: as for `boneseg train --set`."""

    model: str  # folder of the initial model
    settings: list[str] = Field(default_factory=list)
    drawn: list[str] = Field(default_factory=list)  # films whose masks can score: see `held_out`


class Message(Document):
    """What the process reports, on one line; fields that are None have not changed."""

    stage: str | None = None
    held_out: int | None = None  # number of films
    scoring: int | None = None  # number of held-out films that score
    no_figure: str | None = None  # why the models are not compared
    before: Score | None = None
    check: Check | None = None
    after: Score | None = None
    p: float | None = None  # of the difference between both
    finished: bool = False  # the new model is saved
    error: str | None = None


class Run(Record):
    """The state or the result of a retraining."""

    model_config = ConfigDict(frozen=False)

    number: int
    films: int
    minutes: float
    state: Literal["running", "done", "failed", "stopped", "interrupted"] = "running"
    stage: str = "starting"
    checks: list[Check] = Field(default_factory=list)
    held_out: int | None = Field(None, validation_alias=AliasChoices("held_out", "held_back"))
    scoring: int | None = None
    no_figure: str | None = None
    before: Score | None = None
    after: Score | None = None
    p: float | None = None
    finished: bool = False
    error: str | None = None
    resumed: int = 0  # how often it was resumed

    @property
    def outcome(self) -> Outcome:
        """How the new model compares with the one before, at a significance level of 5 %."""
        if self.scoring is None or self.before is None or self.after is None:
            return "unknown"
        if self.after.dice < self.before.dice:
            return "worse"
        shown = self.after.dice > self.before.dice and self.p is not None and self.p < LEVEL
        return "better" if shown else "unclear"

    def receive(self, message: Message) -> None:
        """Update the state by a message of the process."""
        self.stage = message.stage or self.stage
        self.error = message.error or self.error
        if message.held_out is not None:
            self.held_out = message.held_out
        if (new := message.check) is not None:  # resumed, it repeats what its checkpoint lacked
            self.checks = [*(old for old in self.checks if old.done < new.done), new]
        self.scoring = self.scoring if message.scoring is None else message.scoring
        self.no_figure = message.no_figure or self.no_figure
        self.before = message.before or self.before
        self.after = message.after or self.after
        self.p = self.p if message.p is None else message.p
        self.finished = message.finished or self.finished


class HeldOut(Record):
    """Whether each film is held out, by name. Version 1 was the mapping alone."""

    VERSION: ClassVar[int] = 2

    films: dict[str, bool] = Field(default_factory=dict)

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        return wrapped(content, "films")
