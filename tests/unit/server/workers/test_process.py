"""The reply of a worker: a result, or an error that names the film and not its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from boneseg.errors import RadiographError
from boneseg.inference.engine import Engine
from boneseg.server.errors import ServerError
from boneseg.server.workers import process
from boneseg.server.workers.tasks import Task


@dataclass(frozen=True)
class Raising(Task[str]):
    error: Exception | None = None

    def run(self, engine: Engine) -> str:
        if self.error is not None:
            raise self.error
        return "done"


PATH = Path("/tmp/upload-1234")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RadiographError(f"{PATH}: is damaged"), RadiographError, "knee.png: is damaged"),
        (MemoryError(), RadiographError, "knee.png: does not fit into memory; reduce it"),
        (KeyError("x"), ServerError, "knee.png: KeyError: 'x'"),
    ],
)
def test_errors_name_the_film_as_the_user_does(
    engine: Engine, error: Exception, kind: type[Exception], message: str
) -> None:
    result, found = process._run(engine, Raising(PATH, "knee.png", error))
    assert result is None and type(found) is kind
    assert str(found) == message


def test_a_result_has_no_error(engine: Engine) -> None:
    assert process._run(engine, Raising(PATH, "knee.png")) == ("done", None)
