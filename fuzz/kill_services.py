"""Kills of the light box while masks are saved, and of the node while films arrive."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from kill import Outcome, Runs, last_line, temporary
from zygote import Zygote

from benchmarks.serving import node_load

START = 240.0  # seconds until a service listens


def _listening(zygote: Zygote, words: list[str], log: Path, mark: str) -> tuple[int, str]:
    """Start a service; its process group, and what follows the mark in its log."""
    log.unlink(missing_ok=True)
    group, end = zygote.start(words, log), time.monotonic() + START
    while not log.exists() or mark not in log.read_text():
        if zygote.poll(group) is not None or time.monotonic() > end:
            raise RuntimeError(f"{words[0]} does not start: {last_line(log)}")
        time.sleep(0.05)
    return group, log.read_text().partition(mark)[2].split()[0].rstrip(";")


def _kill(zygote: Zygote, group: int) -> None:
    os.killpg(group, signal.SIGKILL)
    zygote.wait(group)


# -- the light box --------------------------------------------------------------------------------


def kill_light_box(zygote: Zygote, place: Path, rng: random.Random) -> Runs:
    """Save masks of one film until the server is killed; the next one must have all of them."""
    data, log = place / "box", place / "box.log"
    shutil.copytree(place / "data" / "images", data / "images")
    words = ["serve", "--port", "0", "--data", str(data), "--model", str(place / "bundle")]
    saved: list[tuple[str, bytes]] = []  # acknowledged: revisions and bits
    last = b""  # sent, and perhaps not acknowledged
    while True:
        outcome = Outcome(kills=1)
        group, address = _listening(zygote, words, log, "the light box: ")
        try:
            with httpx.Client(base_url=address, timeout=120) as client:
                film = _first(client)
                outcome.wrong += _lost_masks(client, film, saved, last)
                outcome.wrong += [f"left {name}" for name in _half_written(data)]
                timer = threading.Timer(rng.uniform(0.05, 4), os.killpg, (group, signal.SIGKILL))
                timer.start()
                revision = film["revision"]
                with suppress(httpx.TransportError):
                    while True:
                        last = rng.randbytes((film["height"] * film["width"] + 7) // 8)
                        answer = client.put(
                            f"/api/films/{film['id']}/mask",
                            content=last,
                            headers={
                                "Content-Type": "application/octet-stream",
                                "If-Match": f'"{revision}"',
                            },
                        )
                        if answer.status_code >= 300:
                            outcome.wrong.append(f"a save is answered {answer.status_code}")
                            break
                        revision = answer.json()["revision"]
                        saved.append((revision, last))
                timer.join()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            zygote.wait(group)
        yield outcome


def _first(client: httpx.Client) -> dict[str, Any]:
    """The first film of the list; it is opened, because only then its size is known."""
    film = client.get("/api/films").raise_for_status().json()["films"][0]
    opened: dict[str, Any] = client.get(f"/api/films/{film['id']}").raise_for_status().json()
    return opened


def _lost_masks(
    client: httpx.Client, film: dict[str, Any], saved: list[tuple[str, bytes]], last: bytes
) -> list[str]:
    """The acknowledged masks that are neither the current one nor in the history."""
    if not saved:
        return []
    answer = client.get(
        f"/api/films/{film['id']}/mask", headers={"Accept": "application/octet-stream"}
    )
    if answer.status_code != 200:
        return [f"the mask is answered {answer.status_code}"]
    wrong = [] if answer.content in (saved[-1][1], last) else ["the last saved mask is lost"]
    history = client.get(f"/api/films/{film['id']}/history").raise_for_status().json()
    known = {version["revision"] for version in history}
    lost = {revision for revision, _ in saved} - known - {film["revision"]}
    return wrong + ([f"{len(lost)} versions are lost"] if lost else [])


def _half_written(data: Path) -> list[str]:
    hidden = data / ".boneseg"
    return [name for name in temporary(data) if not name.startswith(".boneseg")] + [
        str(path.relative_to(data)) for path in hidden.rglob("*.new")
    ]


# -- the node -------------------------------------------------------------------------------------


def kill_node(zygote: Zygote, place: Path, rng: random.Random) -> Runs:
    """Send films until the node is killed; each accepted one must reach the archive in the end."""
    folder, log = place / "noded", place / "node.log"
    folder.mkdir()
    tally = node_load.NodeTally()
    with node_load.archive(tally, random.Random(1)) as to:
        words = ["node", "--port", "0", "--to", f"ARCHIVE@127.0.0.1:{to}"]
        words += ["--spool", str(folder / "spool"), "--model", str(place / "bundle")]
        while True:
            outcome = Outcome(kills=1)
            group, address = _listening(zygote, words, log, "listens on ")
            sender = node_load.GoodSender(int(address.rpartition(":")[2]), tally, 0, pause=0.01)
            sender.random = rng
            sending = threading.Thread(target=sender.run)
            timer = threading.Timer(rng.uniform(0.05, 6), sender.stop.set)
            timer.start()
            sending.start()
            sender.stop.wait()
            _kill(zygote, group)  # while a film is being sent
            sending.join()
            tally.failed.clear()  # its last film, perhaps
            group, _ = _listening(zygote, words, log, "listens on ")
            end = time.monotonic() + 120
            while time.monotonic() < end and (
                tally.accepted - tally.answered or node_load.spooled(folder)
            ):
                time.sleep(0.2)
            lost = tally.accepted - tally.answered
            outcome.wrong += [f"{len(lost)} accepted films are lost"] if lost else []
            outcome.wrong += [f"left {name}" for name in node_load.spooled(folder)]
            os.killpg(group, signal.SIGTERM)
            zygote.wait(group)
            yield outcome
