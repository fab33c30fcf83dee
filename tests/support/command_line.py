"""boneseg, called in this process or in another."""

from __future__ import annotations

import subprocess
import sys


def boneseg(*words: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)
