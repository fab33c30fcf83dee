"""Verbs that stay and answer: serve, pacs, node."""

from __future__ import annotations

import math
import os
import re
import signal
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from boneseg._util import logs
from boneseg._util.logs import LogFormat, log
from boneseg.cli.common import Json, LogLines, print_json
from boneseg.errors import BonesegError, RadiographError, ServiceError, UsageError

PATIENCE = 300.0  # seconds that a study's server may be away
TERMINATED = 128 + signal.SIGTERM  # the exit status of a job that was stopped before its end


def serve(
    data: Annotated[
        Path | None, typer.Option(help="Folder with images/ and masks/; created if missing.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")
    ] = 8000,
    model: Annotated[
        Path | None, typer.Option(help="Bundle or run; by default the model that ships.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="Token that requests must carry; visible in the process list. "
            "Generated if other machines can reach the address."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token; BONESEG_TOKEN works too. Neither is printed."),
    ] = None,
    log_format: LogLines = "text",
) -> int:
    """Open the light box: a page to view films, correct their masks, and retrain."""
    import python_multipart  # noqa: F401 (or its absence would show at the first upload)

    from boneseg.server.serve import Settings, serve
    from boneseg.server.token import chosen_token

    chosen = chosen_token(token, token_file, os.environ)
    logs.start(log_format, ("uvicorn", "asyncio"))
    serve(Settings(data, host, port, model, chosen))
    return 0


def pacs(
    url: Annotated[
        str, typer.Argument(help="URL of a DICOMweb service, as https://pacs/dicom-web.")
    ],
    study: Annotated[
        str | None, typer.Option(help="Segment the films of the study with this UID.")
    ] = None,
    watching: Annotated[
        bool,
        typer.Option("--watch", help="Segment all films without a segmentation, as they come."),
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="With --watch: only studies from this date on, YYYYMMDD.")
    ] = None,
    every: Annotated[
        float, typer.Option(min=1, max=86400, help="With --watch: seconds between two searches.")
    ] = 10,
    modality: Annotated[
        str, typer.Option(help="Modalities of the films, separated by commas.")
    ] = "CR,DX",
    netrc: Annotated[
        Path | None, typer.Option(help="A netrc file with login and password; ~/.netrc by default.")
    ] = None,
    token: Annotated[
        Path | None, typer.Option(help="A file with a bearer token, instead of --netrc.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A bundle, or its run; else the model that ships.")
    ] = None,
    spool: Annotated[
        Path | None,
        typer.Option(help="A folder for the film in hand; by default in the temporary directory."),
    ] = None,
    as_json: Json = False,
    log_format: LogLines = "text",
) -> int:
    """Segment films on a DICOMweb server; their DICOM Segmentations are stored beside them."""
    start_service(log_format, status=0 if watching else TERMINATED)
    if (study is None) != watching:
        raise UsageError("pacs: give either --study UID or --watch")
    if study is not None and not re.fullmatch(r"(?=.{1,64}$)\d+(\.\d+)*", study, re.ASCII):
        raise UsageError("pacs: --study takes a Study Instance UID, digits and dots")
    if since is not None and not re.fullmatch(r"[0-9]{8}", since):
        raise UsageError(f"--since {since}: write the date as YYYYMMDD")
    wanted = [name.strip().upper() for name in modality.split(",") if name.strip()]
    if not wanted:  # a watch would wait for nothing, for ever
        raise UsageError("--modality: names nothing; write CR,DX, or what else your films are")
    from boneseg._util.scratch import scratch, usual_folder
    from boneseg.inference.engine import Engine
    from boneseg.pacs.dicomweb import DicomWeb
    from boneseg.pacs.watch import Outcome, Watch

    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        if outcome.state == "failed":
            log.error(str(outcome))
        elif outcome.state == "stored":
            log.info(str(outcome))
        if not watching:
            outcomes.append(outcome)

    patience = math.inf if watching else PATIENCE
    with (
        DicomWeb(url, netrc=netrc, token=token, patience=patience) as web,
        scratch(spool or usual_folder()) as room,
    ):
        watch = Watch(web, Engine(model or "bundled"), room, modalities=wanted, report=report)
        if study is None:
            log.info(f"{web.name}: is watched for films of {', '.join(wanted)}")
            watch.forever(since, every)
        gone: BonesegError | None = None
        try:
            watch.study(study or "")
        except ServiceError as error:  # what is done is reported all the same
            gone = error
    if not outcomes and gone is None:
        gone = RadiographError(f"the study holds no films of {', '.join(wanted)}; check the UID")
    counts = Counter(outcome.state for outcome in outcomes)
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    elif outcomes:
        print(
            f"{counts['stored']} stored, {counts['there']} there before, {counts['failed']} failed"
        )
    if gone is not None:
        raise gone
    return 1 if counts["failed"] else 0


def node(
    to: Annotated[
        str, typer.Option(help="The node that segmentations are sent to: AET@HOST:PORT.")
    ],
    aet: Annotated[str, typer.Option(help="The AE title of this node.")] = "BONESEG",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any.")
    ] = 11112,
    allow: Annotated[
        list[str] | None, typer.Option("--from", help="An AE title that may send; can be repeated.")
    ] = None,
    spool: Annotated[Path, typer.Option(help="A folder for films that wait.")] = Path("spool"),
    limit: Annotated[
        int, typer.Option(min=1, help="The largest number of films that wait.")
    ] = 1000,
    model: Annotated[
        Path | None, typer.Option(help="A bundle, or its run; else the model that ships.")
    ] = None,
    log_format: LogLines = "text",
) -> int:
    """Be a DICOM node: films come by C-STORE, their segmentations go by C-STORE to another."""
    stopped = start_service(log_format, status=None)
    if not allow and host not in ("127.0.0.1", "::1", "localhost"):
        raise UsageError("node: give --from AET for each sender, since other machines can connect")
    from boneseg.inference.engine import Engine
    from boneseg.pacs.node import Node, peer, title
    from boneseg.pacs.spool import Spool, only_node

    known = [title(name) for name in allow or []]
    there, ours = peer(to), title(aet)
    with only_node(spool, f"{ours} on {host}:{port}"):
        waiting = Spool(spool, limit)
        engine = Engine(model or "bundled")
        answering = Node(waiting, engine, there, title=ours, allow=known)
        with suppress(KeyboardInterrupt), answering.running(host, port) as found:
            log.info(f"{ours} answers on {host}:{found}; segmentations go to {there}")
            stopped.wait()
        log.info(f"stopped; {waiting.count()} wait in {spool} for the next start")
    return 0


def start_service(log_format: LogFormat, status: int | None) -> threading.Event:
    """Log to stderr, make files for this user alone, and end on SIGTERM.

    With a `status`, SIGTERM raises SystemExit in the main thread, and whatever is in hand is
    cleaned up on the way; without one it only sets the event that is returned. SIGTERM counts even
    where SIGINT is ignored, as it is for what a shell starts in the background.
    """
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        stopped.set()
        if status is not None:
            log.info("stopped")
            sys.exit(status)

    signal.signal(signal.SIGTERM, stop)
    logs.start(log_format)
    os.umask(0o077)
    return stopped
