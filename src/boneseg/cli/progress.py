"""Progress of long-running work: a bar with the time left on a terminal, plain lines in a log.

Both are written to stderr; stdout is for results.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from boneseg._util.console import say
from boneseg._util.text import one_line


class Progress(AbstractContextManager["Progress"]):
    """Progress from 0 to 1.

    with Progress("training") as progress:
        progress.at(0.25, "Dice 0.912")
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._bar: Any = None
        self._task: Any = None
        self._told = -1.0

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f}%"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=1.0, note="")
        return self

    def at(self, done: float, note: str) -> None:
        """Report the completed fraction `done` in [0, 1] with a short status `note`."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=one_line(note))
        # At most about a hundred lines in a log; work that restarts is reported again.
        elif done >= 1 or done < self._told or done - self._told >= 0.01:
            self._told = done
            say(f"{self.title} {done:4.0%}  {note}")

    def say(self, message: str) -> None:
        """Print a permanent line above the bar."""
        if self._bar is not None:
            line = one_line(message)
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            say(message)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
