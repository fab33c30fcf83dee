"""boneseg, called in this process or in another."""

from __future__ import annotations

import subprocess
import sys
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
