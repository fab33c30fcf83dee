"""Fuzz the HTTP API by its own description: `python fuzz/api.py --seconds 600`.

Starts `boneseg serve` on two sample films, and lets schemathesis (`pip install 'boneseg[fuzz]'`)
make requests from /api/openapi.json, valid ones and others, each followed by three mutations of it
(`api_hooks.py`). A finding is an answer of 500 or more (except 503, busy, and 507, no space), an
answer that is late, a traceback in the server's log, or a server above MEMORY. Each turn has a new
server and other requests; the figures of all runs are kept under fuzz/corpus, as those of `run.py`:
`read` are requests that were answered, `refused` those that were told why not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

import httpx  # noqa: E402
from run import CORPUS, HEAD, MEMORY, UNLIMITED, Tally, used  # noqa: E402

from benchmarks.serving.hostile_load import MIB, memory, serving  # noqa: E402

DESCRIPTION = "openapi.json"
LATE = 60  # seconds
PNG = {"Accept": "image/png"}
EXAMPLES = 500  # requests to each operation in a turn
HOOKS = 'hooks = "api_hooks"\n'
QUICK = """
[phases.fuzzing]  # requests made from answers take a quarter longer
extra-data-sources = { responses = false }
error-feedback = { enabled = false }
"""
SLOW = "/bones$"  # names the bones of a film: fifty times as long as others


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the API of the light box.")
    parser.add_argument("--seconds", type=int, default=60, help="of a turn at most")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=UNLIMITED, help="requests in all runs")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder to continue")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tally, found = Tally(asked.corpus, "api"), 0
    print(HEAD, flush=True)
    for turn in range(asked.turns):
        if tally.figures["inputs"] >= asked.inputs:
            break
        figures = fuzz(asked.seconds, asked.seed + turn, first=turn == 0)
        tally.add(figures)
        found += int(figures["findings"])
        print(tally.row, flush=True)
    sys.exit(found > 0)


def fuzz(seconds: int, seed: int, *, first: bool) -> dict[str, float]:
    """Make requests for so long at most. Returns the figures; prints what was found.

    first: whether to make those requests, too, that are the same with every seed, that are slow, or
    that are made from answers.
    """
    before, began = used(), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "schemathesis.toml").write_text(HOOKS if first else HOOKS + QUICK)
        with serving(folder / "data") as (address, _):
            listed = httpx.get(f"{address}api/films").json()
            films = [film["id"] for film in listed["films"]]
            (folder / "films.json").write_text(json.dumps(films))
            suggestion = f"{address}api/films/{films[0]}/suggestion"
            mask = httpx.get(suggestion, headers=PNG, timeout=LATE).raise_for_status()
            (folder / "mask.png").write_bytes(mask.content)
            call = [sys.executable, "-m", "schemathesis.cli", "run", address + DESCRIPTION]
            call += ["--checks", "not_a_server_error", "--continue-on-failure", "--no-color"]
            call += ["--max-response-time", str(LATE), "--request-timeout", str(LATE)]
            call += ["--phases", "examples,coverage,fuzzing" if first else "fuzzing"]
            call += [] if first else ["--exclude-path-regex", SLOW]
            call += ["--max-examples", str(EXAMPLES), "--warnings", "off", "--seed", str(seed)]
            call += ["--generation-database", "none"]
            call += ["--max-time", str(seconds)]
            done = subprocess.run(
                call,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SEED": str(seed)},
                capture_output=True,
                text=True,
                check=False,
            )
            resident = resident_of(address)
        log = (folder / "data" / "log.txt").read_text()
        counts, faults = {"read": 0, "refused": 0}, []
        if (folder / "counts.json").exists():
            counts = json.loads((folder / "counts.json").read_text())
            faults = counts.pop("faults")
    if done.returncode or not any(counts.values()):
        faults.append(done.stdout[-4000:] + done.stderr[-1000:])
    if resident is None:
        faults.append(f"the server has ended:\n{log[-4000:]}")
    elif resident * MIB > MEMORY:
        faults.append(f"{resident} MiB of the server and its workers are resident")
    faults += [
        line for line in log.splitlines() if "Traceback" in line or "unexpected error" in line
    ]
    print(*faults[:10], sep="\n", end="\n" if faults else "")
    print(f"{time.monotonic() - began:.0f} s, {resident} MiB", file=sys.stderr)
    return {
        "inputs": counts["read"] + counts["refused"],
        **counts,
        "findings": len(faults),
        "seconds": used() - before,
    }


def resident_of(address: str) -> int | None:
    """MiB of the server and its workers; None if it does not answer."""
    with suppress(httpx.HTTPError):
        return sum(memory(address))
    return None


if __name__ == "__main__":
    main()
