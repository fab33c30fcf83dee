"""Everything that can go wrong in a way a user can mend.

    BonesegError
     ├─ UsageError          the words of the call are wrong            (exit status 2)
     │   └─ RecipeError     a recipe holds a key or a value that is not known
     ├─ RadiographError     a file is not a radiograph that can be read   (exit status 1)
     │   └─ DecoderDiedError    the process that decoded it died, or was ended
     ├─ MaskError           a file is no mask that can be read
     ├─ DatasetError        a folder of films and masks cannot be trained on
     ├─ BundleError         a model on disk is missing, damaged or of another kind
     ├─ TrainingError       a run cannot start, or cannot go on
     ├─ ServiceError        a server that films come from, or go to, refuses or is gone
     └─ OutputError         a result cannot be written

The message is one line that says what is wrong, where, and what to do.
The command line prints it and nothing else; a traceback is a bug.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class BonesegError(Exception):
    """Base of all errors that boneseg raises on purpose."""

    exit_status = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pass between processes past `__init__`, which may want more than the message."""
        return Exception.__new__, (type(self), *self.args), self.__dict__


class UsageError(BonesegError):
    """The words of the call are wrong: an unknown name, a value out of range."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe holds a key or a value that is not known."""


class RadiographError(BonesegError):
    """A file is not a radiograph that can be read."""


class DecoderDiedError(RadiographError):
    """The process that decoded a file died or was ended, perhaps for want of memory or time."""


class MaskError(BonesegError):
    """A file is not a mask that can be read without guessing."""


class DatasetError(BonesegError):
    """A folder of films and masks cannot be used as it is."""


class BundleError(BonesegError):
    """A model on disk is missing, damaged, or of another kind."""


class TrainingError(BonesegError):
    """A training run cannot start, or cannot go on."""


class ServiceError(BonesegError):
    """A server that films come from, or segmentations go to, refuses or is gone."""


class OutputError(BonesegError):
    """A result cannot be written where it was asked for."""


def unexpected(name: object, error: Exception) -> str:
    """The line for an error that boneseg did not raise. It quotes nothing of the film."""
    if isinstance(error, MemoryError):
        return f"{name}: is too large for the memory; reduce it"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return (
        f"{name}: failed for a reason that boneseg does not know ({type(error).__name__}{place}); "
        "please report it as a bug"
    )
