"""The exceptions that boneseg raises on purpose.

    BonesegError
     ├─ UsageError          invalid arguments                          (exit status 2)
     │   └─ RecipeError     a recipe has an unknown key or value
     ├─ RadiographError     a file is not a readable radiograph        (exit status 1)
     │   └─ DecoderDiedError    the process decoding it crashed or was killed
     ├─ MaskError           a file is not a readable mask
     ├─ DatasetError        a folder of films and masks cannot be used for training
     ├─ BundleError         a folder holds no model, or one that is damaged or of another kind
     ├─ TrainingError       a run cannot start or resume
     ├─ ServiceError        a remote server refuses a request or is unreachable
     └─ OutputError         a result cannot be written

The message is one line that says what is wrong, where, and what to do.
The command line prints it and nothing else; a traceback is a bug.
"""

from __future__ import annotations

from pathlib import Path


class BonesegError(Exception):
    """Base of all errors that boneseg raises on purpose."""

    exit_status = 1

    def __init__(self, message: str = "", *more: object) -> None:
        # The name or the content of a file that a message quotes may contain line breaks.
        super().__init__(r"\n".join(message.splitlines()), *more)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without calling `__init__`, which may need more than the message."""
        return Exception.__new__, (type(self), *self.args), self.__dict__


class UsageError(BonesegError):
    """Invalid arguments, such as an unknown name or a value out of range."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe has an unknown key or value."""


class RadiographError(BonesegError):
    """A file is not a readable radiograph."""


class DecoderDiedError(RadiographError):
    """The process decoding a file crashed or was killed, perhaps for lack of memory or time."""


class MaskError(BonesegError):
    """A file is not a mask, or not an unambiguous one."""


class DatasetError(BonesegError):
    """A folder of films and masks cannot be used as a dataset."""


class BundleError(BonesegError):
    """A folder holds no model, or one that is damaged or of another kind."""


class TrainingError(BonesegError):
    """A training run cannot start or resume."""


class ServiceError(BonesegError):
    """A server for films or segmentations refuses a request or is unreachable."""


class OutputError(BonesegError):
    """A result cannot be written."""


def unexpected(name: object, error: Exception) -> str:
    """The message for an error that boneseg did not raise. It quotes nothing from the film."""
    if isinstance(error, MemoryError):
        return f"{name}: does not fit into memory; reduce it"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{name}: unexpected error ({type(error).__name__}{place}); please report it as a bug"
