"""The storage of a search: RUN/tune.db, an SQLite database of Optuna."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from boneseg._util.files import make_folder, own_folder
from boneseg._util.quiet import muted
from boneseg.errors import OutputError, TrainingError, UsageError
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import Choices, Range
from boneseg.training.run_folder import Plan, check_unchanged

if TYPE_CHECKING:
    from optuna import Study

PRUNING_CHECKS = 20  # evenly spaced checks at which a trial may be pruned


class SearchPlan(Plan):
    """The films and settings of a search."""

    recipe: Recipe
    space: dict[str, Range | Choices]
    held_out: tuple[str, ...] = Field(title="groups.csv or parts.csv")  # names of films

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        if "groups.csv or parts.csv" in content:
            content["held_out"] = content.pop("groups.csv or parts.csv")
        return content


@contextmanager
def storage_errors(out: Path) -> Iterator[None]:
    """Turn database errors, such as a full disk, into a one-line OutputError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        known = error if isinstance(error, SQLAlchemyError) else error.__cause__
        reason = getattr(known, "orig", None) or type(error).__name__
        raise OutputError(
            f"{out / 'tune.db'}: cannot be read or written ({reason}); free disk space or make the "
            "folder writable, then add --resume"
        ) from None


def open_study(out: Path, plan: SearchPlan, resume: bool) -> None:
    """Create the storage, or check that an existing one has the same settings.

    Raises UsageError, OutputError and TrainingError.
    """
    from optuna.trial import TrialState

    path = out / "tune.db"
    if "?" in str(path.absolute()):  # a ? would end the database URL
        raise UsageError(f"{out}: a path of a search cannot contain a ?; choose another --out")
    known = path.exists()
    own_folder(out, path.name, resume)
    make_folder(out / "trials", "choose another folder for --out")
    found = study(out, create=True)
    if known:
        check_unchanged(plan, _plan_of(found, path), path)
    for name, value in plan.model_dump(mode="json").items():
        found.set_user_attr(name, value)
    for trial in found.get_trials(states=(TrialState.RUNNING,)):  # of an interrupted search
        found.tell(trial.number, state=TrialState.FAIL)
        found.enqueue_trial(trial.params)


def _plan_of(found: Study, path: Path) -> SearchPlan:
    try:
        return SearchPlan.model_validate(found.user_attrs)
    except ValueError:
        raise TrainingError(f"{path}: is not a search of boneseg; choose another --out") from None


def study(out: Path, create: bool = False) -> Study:
    """Open the study in RUN/tune.db. Raises TrainingError where the file is not one."""
    import optuna
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    path = out / "tune.db"
    known = path.exists()
    try:
        address = URL.create("sqlite", database=str(path.absolute())).render_as_string()
        url = address.replace("{", "{{").replace("}", "}}")  # Optuna formats it as a template
        storage = optuna.storages.RDBStorage(url, {"connect_args": {"timeout": 60}})
        open_or_create = optuna.create_study if create else optuna.load_study
        options = {"direction": "maximize", "load_if_exists": True} if create else {}
        with muted("optuna", logging.ERROR):
            found: Study = open_or_create(
                study_name="boneseg",
                storage=storage,
                sampler=optuna.samplers.TPESampler(),
                pruner=optuna.pruners.MedianPruner(4, PRUNING_CHECKS // 4),
                **options,
            )
        return found
    except OperationalError as error:  # of the disk; of a file that is not SQLite: DatabaseError
        if create and not known:
            path.unlink(missing_ok=True)
        raise error
    except (SQLAlchemyError, RuntimeError, KeyError, ValueError):
        raise TrainingError(f"{path}: is not a search of boneseg; choose another --out") from None
