"""Fuzz the HTTP API by its own description: `python fuzz/api.py --seconds 600`.

Starts `boneseg serve` on two sample films, and lets schemathesis (`pip install 'boneseg[fuzz]'`)
make requests from /api/openapi.json, valid ones and others. A finding is an answer of 500 or more
(except 503, busy, and 507, no space), an answer that is late, or a traceback in the server's log.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from benchmarks.serving.hostile_load import serving  # noqa: E402

DESCRIPTION = "openapi.json"
LATE = 60  # seconds
HOOKS = """
import schemathesis

@schemathesis.hook
def after_call(context, case, response):
    if response.status_code in (503, 507):
        response.status_code = 429  # busy or full: not a fault of the server
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the API of the light box.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as (address, _):
        (Path(folder) / "hooks.py").write_text(HOOKS)
        (Path(folder) / "schemathesis.toml").write_text('hooks = "hooks"\n')
        call = [sys.executable, "-m", "schemathesis.cli", "run", address + DESCRIPTION]
        call += ["--checks", "not_a_server_error", "--continue-on-failure"]
        call += ["--max-response-time", str(LATE), "--request-timeout", str(LATE)]
        call += ["--phases", "examples,coverage,fuzzing", "--warnings", "off"]
        call += ["--max-time", str(asked.seconds), "--seed", str(asked.seed)]
        status = subprocess.run(call, cwd=folder, check=False).returncode
        log = (Path(folder) / "data" / "log.txt").read_text()
    found = [line for line in log.splitlines() if "Traceback" in line or "unexpected error" in line]
    print(f"{len(found)} errors in the server's log", *found[:10], sep="\n  ")
    sys.exit(bool(status or found))


if __name__ == "__main__":
    main()
