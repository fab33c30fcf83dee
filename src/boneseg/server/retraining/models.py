"""The models of a data folder: the bundled one, the one given at the start, and those trained here.

models = Models(runs, given=None)
models.find("bundled").path
models.find("3").path           # of the third retraining
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from boneseg._util.files import same_place
from boneseg.bundle.card import CARD
from boneseg.bundle.shipped import bundled, is_shipped
from boneseg.bundle.store import load_bundle
from boneseg.errors import BonesegError
from boneseg.server.errors import NotFoundError
from boneseg.server.retraining.records import Run
from boneseg.server.retraining.runs import Runs

BUNDLED, GIVEN = "bundled", "given"
_GIVEN = "given at the start"


@dataclass(frozen=True)
class Model:
    """A model that can be chosen, with its figures.

    id: BUNDLED, GIVEN, or the number of its retraining. made: ISO 8601, UTC; None where unknown.
    films: that it was trained with. dice: on `scoring` held-out films of this folder, drawn or
    corrected by a person; `before`: of the model that it was trained from. All None where unknown.
    """

    id: str
    name: str
    path: Path
    made: str | None = None
    films: int | None = None
    dice: float | None = None
    before: float | None = None
    scoring: int | None = None

    def is_at(self, path: Path) -> bool:
        """Whether this is the model of a bundle's folder."""
        return same_place(self.path, path)


@dataclass(frozen=True)
class Models:
    """The models that a light box can use. given: the one that it was started with, if any."""

    runs: Runs
    given: Path | None = None

    def all(self) -> list[Model]:
        """Every model, the newest retraining first, the bundled model last."""
        found = [self._trained(run) for run in self.runs.finished()]
        if self.given is not None and not any(model.is_at(self.given) for model in found):
            found.append(Model(GIVEN, _GIVEN, self.given, films=_films(self.given)))
        made = load_bundle(bundled()).card.made or None
        return [*found, Model(BUNDLED, BUNDLED, bundled(), made, _films(bundled()))]

    def find(self, model: str) -> Model:
        """The model with an id. Raises NotFoundError."""
        for each in self.all():
            if each.id == model:
                return each
        raise NotFoundError(f"{model[:40]}: no such model; reload the list of models")

    def name_of(self, path: Path) -> str:
        """The name of the model at a bundle's folder, as in `all`; else its last two folders.

        Reads no file, since the page asks for it every second.
        """
        if is_shipped(path):
            return BUNDLED
        if self.given is not None and same_place(path, self.given):
            return _GIVEN
        if same_place(path.parent.parent, self.runs.root) and path.parent.name.isdigit():
            return _title(int(path.parent.name))
        return "/".join(path.parts[-2:])

    def _trained(self, run: Run) -> Model:
        path = self.runs.bundle(run)
        before, after = (run.before, run.after) if run.outcome != "unknown" else (None, None)
        return Model(
            id=str(run.number),
            name=_title(run.number),
            path=path,
            made=_made(path),
            films=run.films,
            dice=after.dice if after is not None else None,
            before=before.dice if before is not None else None,
            scoring=run.scoring,
        )


def _title(number: int) -> str:
    return f"retraining {number}"


def _made(bundle: Path) -> str | None:
    with suppress(OSError):
        moment = (bundle / CARD).stat().st_mtime
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    return None


def _films(bundle: Path) -> int | None:
    """The number of films that a model was trained with, by its card."""
    with suppress(BonesegError):
        data = load_bundle(bundle).card.data
        return data.films or (data.training or 0) + (data.validation or 0) or None
    return None
