"""Progress of long-running work: a bar with the time left on a terminal, plain lines in a log.

Both are written to stderr; stdout is for results.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from boneseg._util.console import say
from boneseg._util.text import one_line

if TYPE_CHECKING:  # slow to import
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_WIDTH = 16  # of the bar, in characters: half of a narrow terminal is left for the note


class Progress(AbstractContextManager["Progress"]):
    """Progress from 0 to 1.

    with Progress("training") as progress:
        progress.at(0.25, "validation Dice 0.912")
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._shown: tuple[Bar, TaskID] | None = None  # None: lines are printed instead
        self._reported = -1.0

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console

            bar = _bar(Console(stderr=True))
            bar.start()
            self._shown = bar, bar.add_task(self.title, total=1.0, note="")
        return self

    def at(self, done: float, note: str, *, whole: bool = False) -> None:
        """Report the completed fraction `done` in [0, 1] with a short status `note`.

        whole: print the note above the bar, which cuts what does not fit, and keep it there.
        """
        if self._shown is not None:
            if whole:
                self.say(note)
            bar, task = self._shown
            bar.update(task, completed=done, note="" if whole else one_line(note))
        # At most about a hundred lines in a log; work that restarts is reported again.
        elif done >= 1 or done < self._reported or done - self._reported >= 0.01:
            self._reported = done
            say(f"{self.title} {done:4.0%}  {note}")

    def say(self, message: str) -> None:
        """Print a permanent line above the bar."""
        if self._shown is not None:
            console = self._shown[0].console
            console.print(one_line(message), markup=False, highlight=False, soft_wrap=True)
        else:
            say(message)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown is not None:
            self._shown[0].stop()


def _bar(console: Console) -> Bar:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # cut, instead of the bar
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(_WIDTH),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False, table_column=rest),
        console=console,
        expand=True,
    )
