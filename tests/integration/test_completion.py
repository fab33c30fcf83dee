"""Completion in bash, zsh and fish: the shells themselves ask the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Each shell runs the script that the program prints, and completes `boneseg seg`. zsh completes
# only on a terminal, so the function that would show the words prints them here.
SHELLS = {
    "bash": """
        source "$1"; COMP_WORDS=(boneseg seg); COMP_CWORD=1
        _boneseg_completion boneseg; printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { : }; _arguments() { print -r -- "$@" }
        source "$1"; words=(boneseg seg); CURRENT=2; _boneseg_completion
    """,
    "fish": 'source $argv[1]; complete --do-complete "boneseg seg"',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_verbs(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"needs Debian's {shell}")
    called = tmp_path / "bin" / "boneseg"
    called.parent.mkdir()
    called.write_text(f"#!{sys.executable}\nfrom boneseg.cli import main\nmain()\n")
    called.chmod(0o755)
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PATH": f"{called.parent}{os.pathsep}{os.environ['PATH']}",
    }
    script = tmp_path / "completion"
    printed = subprocess.run(
        [program, "-c", "boneseg --show-completion; exit 0"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "boneseg" in printed.stdout, printed.stderr
    script.write_text(printed.stdout, encoding="utf-8")
    words = [program, "-c", SHELLS[shell], *([] if shell == "fish" else [shell]), str(script)]
    found = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert "segment" in found.stdout, found.stderr
    assert "train" not in found.stdout.split()
