"""boneseg, called in this process or in another."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from unittest.mock import patch

from boneseg.cli import main


def boneseg(*words: object) -> subprocess.CompletedProcess[str]:
    """Call the command line in this process, which spares the import of its libraries."""
    call = ["boneseg", *map(str, words)]
    status = 0
    with (
        patch.object(sys, "argv", call),
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as messages,
    ):
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(call, status, out.getvalue(), messages.getvalue())


def boneseg_process(*words: object) -> subprocess.CompletedProcess[str]:
    """Call the command line as users do, where what it does to its process matters."""
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def shown_at_a_terminal(*words: object, columns: int, seconds: float = 120) -> list[str]:
    """The lines that a call leaves on a terminal of POSIX as wide as this, without colours.

    Raises TimeoutError if the call takes longer than `seconds`.
    """
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    unset = ("COLUMNS", "LINES", "NO_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    with subprocess.Popen(
        call,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment | {"TERM": "xterm"},
    ) as process:
        os.close(theirs)
        try:
            written = _until_closed(ours, time.monotonic() + seconds)
        finally:
            process.kill()  # it has ended, or takes too long
            os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode())
    return [line.rpartition("\r")[2] for line in plain.replace("\r\n", "\n").splitlines()]


def _until_closed(terminal: int, deadline: float) -> bytes:
    """All that is written to a terminal until its other side is closed."""
    written = b""
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # EIO: how Linux says that it is closed
            return written
        if not more:
            return written
        written += more
    raise TimeoutError(written.decode(errors="replace"))
