"""The storage of a search: RUN/tune.db, an SQLite database of Optuna, or one that machines share.

RUN/study.json names the study in a shared database. Messages contain neither the password of its
URL nor the text of a library's error, which could quote it.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from boneseg._util.documents import Document
from boneseg._util.extras import require
from boneseg._util.files import make_folder, own_folder, whole_file
from boneseg._util.quiet import muted
from boneseg._util.text import one_line
from boneseg.errors import OutputError, ServiceError, TrainingError, UsageError
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import Choices, Range
from boneseg.training.run_folder import Plan, check_unchanged

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import DBAPIError

DATABASE, STUDY = "tune.db", "study.json"
TIMEOUT = 60  # seconds for an answer of the database
PRUNING_CHECKS = 20  # evenly spaced checks at which a trial may be pruned
_SYSTEM = (  # SQLite's result codes for what is not in the file
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN),
)


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


class StudyDocument(Document):
    """The content of study.json."""

    study: str
    storage: str  # URL without the password


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is. url: with the password. shown: for messages."""

    url: str = field(repr=False)
    name: str
    shown: str

    @property
    def is_shared(self) -> bool:
        """Whether it is in a database of its own server."""
        return not self.url.startswith("sqlite:")

    def study(self, create: bool = False) -> Study:
        """Open the study. Raises OutputError where there is none, and errors of the database."""
        return self._opened(create)[0]

    @contextmanager
    def new_study(self) -> Iterator[Study]:
        """Create the study, and close its database: Windows does not move a file that is open."""
        study, storage = self._opened(create=True)
        try:
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()

    def _opened(self, create: bool) -> tuple[Study, RDBStorage]:
        import optuna

        url = self.url.replace("{", "{{").replace("}", "}}")  # Optuna formats it as a template
        connect = {"connect_args": {"timeout": TIMEOUT}, "pool_pre_ping": self.is_shared}
        open_or_create = optuna.create_study if create else optuna.load_study
        options = {"direction": "maximize", "load_if_exists": True} if create else {}
        refused = nullcontext() if create and not self.is_shared else self._refused()
        with muted("optuna", logging.ERROR), refused:
            storage = optuna.storages.RDBStorage(url, connect)
            found: Study = open_or_create(
                study_name=self.name,
                storage=storage,
                sampler=optuna.samplers.TPESampler(),
                pruner=optuna.pruners.MedianPruner(4, PRUNING_CHECKS // 4),
                **options,
            )
        return found, storage

    def read(self) -> tuple[Study, SearchPlan]:
        """An existing study, with its trials checked, and its plan. Raises as `study` does."""
        found = self.study()
        with muted("optuna", logging.ERROR), self._refused():
            plan = SearchPlan.model_validate(found.user_attrs)
            if not self.is_shared:  # a server keeps what it was given
                for trial in found.get_trials(deepcopy=False):
                    _check(trial, plan)
        return found, plan

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Raise OutputError for a database without this search, or with a damaged one."""
        from sqlalchemy.exc import SQLAlchemyError

        kinds: tuple[type[Exception], ...] = (SQLAlchemyError, RuntimeError, KeyError, ValueError)
        if not self.is_shared:  # for a damaged value in a file, the libraries raise anything
            kinds = (Exception,)
        try:
            yield
        except (OSError, ImportError, MemoryError):
            raise
        except kinds as error:
            if _of_system(error, self.is_shared):
                raise
            raise self.damaged() from None

    def damaged(self) -> OutputError:
        """The error for a database that cannot be continued."""
        problem = "is damaged, or not a search of boneseg"
        return OutputError(f"{self.shown}: {problem}; choose another --out")


def _database_error(error: Exception) -> DBAPIError | None:
    """The error of the database itself, which Optuna may have wrapped."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    known = error.__cause__ if isinstance(error, StorageInternalError) else error
    return known if isinstance(known, DBAPIError) else None


def _of_system(error: Exception, shared: bool) -> bool:
    """Whether a database could not be asked, rather than what it holds being wrong."""
    known = _database_error(error)
    if shared or known is None:
        return known is not None
    code = getattr(known.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in _SYSTEM  # the rest of an extended code says more of the same


def place_of(out: Path, storage: str | None, resume: bool) -> StudyPlace:
    """The place of a search: RUN/tune.db, or a study in the database at `storage`.

    Raises UsageError for a URL that is not one of PostgreSQL, and TrainingError for a study.json
    that is damaged or of another database.
    """
    from sqlalchemy.engine import URL

    if storage is None:
        path = out / DATABASE
        if "?" in str(path.absolute()):  # a ? would end the database URL
            raise UsageError(f"{out}: a path of a search cannot contain a ?; choose another --out")
        if resume and (out / STUDY).exists():
            raise TrainingError(f"{out / STUDY}: the study is in a database; give its --storage")
        return StudyPlace(_sqlite(path), "boneseg", str(path))
    address = _postgresql(storage)
    place = address.username, None, address.host, address.port, address.database
    shown = URL.create("postgresql", *place).render_as_string()
    name = f"boneseg-{secrets.token_hex(8)}"
    if resume and (out / STUDY).exists():
        try:
            before = StudyDocument.read(out / STUDY)
        except (OSError, ValueError):
            raise TrainingError(f"{out / STUDY}: is damaged; start a new run") from None
        if before.storage != shown:
            other = one_line(before.storage)
            raise TrainingError(f"{out / STUDY}: was started with --storage {other}; use that one")
        name = before.study
    return StudyPlace(address.render_as_string(hide_password=False), name, shown)


def _sqlite(path: Path) -> str:
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


def _postgresql(storage: str) -> URL:
    """The URL of a database, with the driver and with PGPASSWORD. Raises UsageError."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() != "postgresql" or not url.host or not url.database:
        raise UsageError("--storage: give a URL as postgresql://USER@HOST:5432/DATABASE") from None
    require("pg8000")
    password = url.password or os.environ.get("PGPASSWORD")
    return url.set(drivername="postgresql+pg8000", password=password)


@contextmanager
def storage_errors(place: StudyPlace) -> Iterator[None]:
    """Turn database errors, such as a full disk, into a one-line OutputError or ServiceError."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (TimeoutError, ConnectionError):  # which pg8000 does not make errors of its own
        raise ServiceError(f"--storage {place.shown}: {_refusal(None)}") from None
    except (StorageInternalError, SQLAlchemyError) as error:
        known = _database_error(error)
        cause = known.orig if known else None
        if place.is_shared:
            raise ServiceError(f"--storage {place.shown}: {_refusal(cause)}") from None
        if not _of_system(error, shared=False):
            raise place.damaged() from None
        raise OutputError(
            f"{place.shown}: cannot be read or written ({cause or type(error).__name__}); free "
            "disk space or make the folder writable, then add --resume"
        ) from None


_REFUSALS = {  # by the code of PostgreSQL
    "28P01": "the database refuses the password; set PGPASSWORD",
    "28000": "the database refuses the user; check its pg_hba.conf",
    "3D000": "there is no such database; create it with createdb",
    "42501": "the user may not create tables; make the user own the database",
    "53100": "the disk of the database is full; free space, then add --resume",
}


def _refusal(cause: BaseException | None) -> str:
    """Why the database fails, in words of ours."""
    details = cause.args[0] if cause is not None and cause.args else None
    code = str(details.get("C")) if isinstance(details, dict) else ""
    if code in _REFUSALS:
        return _REFUSALS[code]
    if "password" in str(details):  # none was given
        return _REFUSALS["28P01"]
    if code and not code.startswith("57"):  # of the statement; 57: the server shuts down
        return f"the database refuses a request (code {code}); check its log"
    return "the database does not answer; start it, or check the URL, then add --resume"


def open_study(out: Path, place: StudyPlace, plan: SearchPlan, resume: bool) -> Study:
    """Create the study, or check that an existing one has the same settings.

    Raises OutputError, TrainingError, and errors of the database.
    """
    from optuna.trial import TrialState

    path = out / (STUDY if place.is_shared else DATABASE)
    known = path.exists()
    own_folder(out, path.name, resume)
    make_folder(out / "trials", "choose another folder for --out")
    if known:
        found, before = place.read()
        check_unchanged(plan, before, path)
        _describe(found, plan)
    elif place.is_shared:
        found = place.study(create=True)
        _describe(found, plan)
        StudyDocument(study=place.name, storage=place.shown).write(path)
    else:
        with (
            whole_file(path) as temporary,  # Optuna makes its tables one by one
            replace(place, url=_sqlite(temporary)).new_study() as fresh,
        ):
            _describe(fresh, plan)
        found = place.study()
    for trial in found.get_trials(states=(TrialState.RUNNING,)):  # of an interrupted search
        found.tell(trial.number, state=TrialState.FAIL)
        if trial.params.keys() == plan.space.keys():  # else it is drawn again, from the same seed
            found.enqueue_trial(trial.params)
    return found


def _check(trial: FrozenTrial, plan: SearchPlan) -> None:
    """Raise TypeError or ValueError for a trial that SQLite can hold and Optuna cannot use."""
    for name, value in trial.params.items():
        trial.distributions[name].to_internal_repr(value)
    numbers = [*(trial.values or ()), *trial.intermediate_values.values()]
    whole = [trial.number, *trial.intermediate_values]
    if not all(isinstance(one, float) for one in numbers):
        raise TypeError
    if not all(isinstance(one, int) for one in whole):
        raise TypeError
    scored, drawn = trial.state.name == "COMPLETE", trial.state.name in ("COMPLETE", "PRUNED")
    if (scored and not trial.values) or (drawn and trial.params.keys() != plan.space.keys()):
        raise ValueError


def _describe(study: Study, plan: SearchPlan) -> None:
    for name, value in plan.model_dump(mode="json").items():
        study.set_user_attr(name, value)
