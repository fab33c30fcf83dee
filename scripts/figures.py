"""Compare the figures of the documentation with their commands: `make figures`.

Beside the figures of a section stands, in a comment that pages do not show, the command that
measures them:

    <!-- figures: python -m benchmarks.accuracy.folds -->

Where it takes little time, the comment also has what it prints, the value that the page states, and
how far it may be off; the value is the first number after these words in a line of its output:

    <!-- figures: python -m benchmarks.facts
    weights of the film check: 91,000 ± 500
    -->

These commands are run, and each figure that differs is named with its page; the others are listed.
A section whose figures are settings or limits, and nothing measured, says `figures: settings`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"  # labelled films, which are not part of the project
SETTINGS = "settings"
NUMBER = r"[-+−]?\d[\d,]*(?:\.\d+)?"
_COMMENT = re.compile(r"<!-- figures: (.*?)\s*-->", re.DOTALL)
_EXPECTED = re.compile(rf"(.+?):? ({NUMBER}) ± ({NUMBER})")


@dataclass(frozen=True)
class Expected:
    """A figure: the words before it in the output, the value on the page, and the tolerance."""

    words: str
    stated: str
    tolerance: float

    def found_in(self, output: str) -> float | None:
        """The first number after the words, wherever a line of the output has them."""
        pattern = rf"{re.escape(self.words)}[^\d\n]*?({NUMBER})"
        found = re.search(pattern, output)
        return number(found[1]) if found else None


@dataclass(frozen=True)
class Measured:
    """A section's commands, one a line or separated by semicolons, and its quick figures."""

    page: Path
    section: str
    text: str
    commands: tuple[str, ...]
    expected: tuple[Expected, ...]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}, {self.section}"


def number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def pages() -> list[Path]:
    written = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != ".generated"]
    return [ROOT / "README.md", *sorted(written)]


def sections(page: Path) -> Iterator[tuple[str, str]]:
    """The title and the text of each section; fenced blocks are left out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for part in re.split(r"(?m)^(?=##? )", text):
        yield part.partition("\n")[0].lstrip("# "), part


def measured(page: Path) -> list[Measured]:
    """What the comments of a page say. Raises ValueError for one of another form."""
    found = []
    for title, text in sections(page):
        for comment in _COMMENT.finditer(text):
            first, *rest = comment[1].splitlines()
            expected = []
            for line in filter(None, map(str.strip, rest)):
                match = _EXPECTED.fullmatch(line)
                if match is None:
                    raise ValueError(f"{page.name}, {title}: not a figure: {line}")
                expected.append(Expected(match[1], match[2], number(match[3])))
            commands = tuple(one.strip() for one in first.split(";"))
            shown = _COMMENT.sub("", text)
            found.append(Measured(page, title, shown, commands, tuple(expected)))
    return found


@cache
def output_of(command: str) -> str | None:
    """What a command prints; None if it needs films that are not here."""
    if "../shared/data" in command and not DATA.is_dir():
        return None
    _, *words = shlex.split(command)  # python
    started = time.monotonic()
    print(f"{command}: ", end="", flush=True)  # some take minutes
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    print(f"{time.monotonic() - started:.0f} s", flush=True)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
    return done.stdout


def differences(one: Measured) -> Iterator[str]:
    """A line for each quick figure that is not on the page, or is measured differently."""
    for figure in one.expected:
        (command,) = one.commands
        if figure.stated not in one.text:
            yield f"{one.place}: the page does not state {figure.stated} ({figure.words})"
        output = output_of(command)
        if output is None:
            continue
        found = figure.found_in(output)
        if found is None:
            yield f"{one.place}: {command} prints nothing about “{figure.words}”"
        elif abs(found - number(figure.stated)) > figure.tolerance + 1e-9:
            yield (
                f"{one.place}: {figure.words}: the page states {figure.stated}, "
                f"{command} finds {found:g}"
            )


def main() -> int:
    found = [one for page in pages() for one in measured(page)]
    wrong = [line for one in found for line in differences(one)]
    quick = sum(len(one.expected) for one in found)
    skipped = [one for one in found if one.expected and output_of(one.commands[0]) is None]
    print("\nNot run, as they take long:")
    for one in found:
        if not one.expected and one.commands != (SETTINGS,):
            print(*(f"  {one.place}: {command}" for command in one.commands), sep="\n")
    for one in skipped:
        print(f"not run, as there is no ../shared/data: {one.place}: {one.commands[0]}")
    print(f"\n{quick} figures compared, {len(wrong)} differ", *wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
