"""The worker process: it loads a model, then runs tasks one at a time.

Films are decoded here too: a malformed file that crashes a native decoder then ends only a
replaceable process. Tasks run one at a time, so the film at fault is known.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Set
from pathlib import Path

from boneseg._util import runtime
from boneseg._util.disposable import Room, answer_with
from boneseg.errors import BonesegError, RadiographError
from boneseg.inference.engine import Engine
from boneseg.server.errors import ServerError
from boneseg.server.workers.tasks import Task

MEMORY = 4 * 2**30  # bytes allowed for a film, on top of the model
# Bytes that may stay with the worker after a film: usual ones need up to 40 MiB, which are then
# there for the next one.
FREED = 2**26

Reply = tuple[object, Exception | None]  # the result, or the error of a task


def serve() -> None:
    """Load the model of the first request, then run the tasks of the others."""
    runtime.share_freed_memory()  # else each thread that meets a film may keep 90 MB for itself
    freed = runtime.FreedMemory(FREED)
    engine: Engine | None = None

    def answer(request: memoryview, _: Room) -> Iterator[bytes]:
        nonlocal engine
        reply: Reply
        if engine is None:
            reply, engine = _load(*pickle.loads(request))
        else:
            reply = _run(engine, pickle.loads(request))
        content = pickle.dumps(reply)
        del reply  # the traceback of an error keeps the film
        freed.give_back()
        yield content

    answer_with(answer)


def _load(bundle: Path, cores: Set[int]) -> tuple[Reply, Engine | None]:
    runtime.run_on(cores)  # the engine uses one thread per core
    try:
        engine = Engine(bundle)
    except BonesegError as error:
        return (None, error), None
    runtime.bound_memory(MEMORY)  # a film that needs more raises MemoryError
    return (None, None), engine


def _run(engine: Engine, task: Task[object]) -> Reply:
    try:
        return task.run(engine), None
    except MemoryError:
        return None, RadiographError(f"{task.name}: does not fit into memory; reduce it")
    except BonesegError as error:
        error.args = (str(error).replace(str(task.path), task.name),)
        return None, error
    except Exception as error:  # a bug: reported, and the worker continues
        return None, ServerError(f"{task.name}: {type(error).__name__}: {error}")
