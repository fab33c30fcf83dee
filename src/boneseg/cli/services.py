"""Services: serve, pacs, node."""

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
from typing import TYPE_CHECKING, Annotated, Literal

from boneseg._util import logs, runtime
from boneseg._util.extras import require
from boneseg._util.logs import LogFormat, log
from boneseg.cli.arguments import Argument, Option
from boneseg.cli.common import (
    ADVANCED,
    INPUT,
    MODEL,
    OUTPUT,
    SERVICE,
    Json,
    LogLines,
    Model,
    print_json,
)
from boneseg.errors import BonesegError, RadiographError, ServiceError, UsageError

if TYPE_CHECKING:
    from boneseg.pacs.dicomweb.watch import Outcome

LeastVerdict = Annotated[
    Literal["good", "review", "unsuitable"],
    Option(
        "--min-verdict",
        help="Lowest verdict of the masks to send; others are withheld and reported.",
        panel=OUTPUT,
    ),
]
LONGEST_WAIT = 300.0  # seconds that pacs --study waits for an unreachable server
TERMINATED = 128 + signal.SIGTERM  # exit status of a job terminated before it finished

Host = Annotated[str, Option(help="Address to listen on.", panel=SERVICE)]
Port = Annotated[
    int,
    Option(
        min=0,
        max=65535,
        help="Port to listen on; 0 chooses a free one.",
        panel=SERVICE,
    ),
]


def serve(
    data: Annotated[
        Path | None,
        Option(
            help="Dataset folder with images/ and masks/, created if missing "
            "(default: nothing is kept).",
            panel=INPUT,
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    model: Annotated[
        Path | None,
        Option(
            help="Model or run folder, or 'bundled' (default: last one chosen on the page, else "
            "bundled).",
            panel=MODEL,
        ),
    ] = None,
    token: Annotated[
        str | None,
        Option(
            help="Access token, visible in the process list; generated unless on loopback.",
            panel=SERVICE,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        Option(
            help="File with the access token; BONESEG_TOKEN works too.",
            panel=SERVICE,
        ),
    ] = None,
    log_format: LogLines = "text",
) -> int:
    """Start the light box: a web page to view films, correct masks and retrain."""
    runtime.on_termination(_stop)  # imports take a second
    import python_multipart  # noqa: F401 (fail at the start, not at the first upload)

    from boneseg.server.serve import Settings, serve
    from boneseg.server.token import chosen_token

    logs.start(log_format, ("uvicorn", "asyncio"))
    chosen = chosen_token(token, token_file, os.environ)
    serve(Settings(data, host, port, model, chosen))
    return 0


def _stop() -> None:
    logs.info("stopped")
    sys.exit()


def pacs(
    url: Annotated[str, Argument(help="URL of a DICOMweb service, e.g. https://pacs/dicom-web.")],
    study: Annotated[
        str | None,
        Option(help="Study Instance UID of the study to segment.", panel=INPUT),
    ] = None,
    watching: Annotated[
        bool,
        Option(
            "--watch",
            help="Segment new films continuously, instead of --study.",
            panel=INPUT,
        ),
    ] = False,
    since: Annotated[
        str | None,
        Option(help="With --watch: earliest study date, YYYYMMDD.", panel=INPUT),
    ] = None,
    every: Annotated[
        float,
        Option(
            min=1,
            max=86400,
            help="With --watch: seconds between searches.",
            panel=SERVICE,
        ),
    ] = 10,
    modality: Annotated[str, Option(help="Comma-separated modalities.", panel=INPUT)] = "CR,DX",
    netrc: Annotated[
        Path | None,
        Option(
            help="netrc file with login and password (default: ~/.netrc).",
            panel=SERVICE,
        ),
    ] = None,
    token: Annotated[
        Path | None,
        Option(help="File with a bearer token, instead of --netrc.", panel=SERVICE),
    ] = None,
    model: Model = None,
    min_verdict: LeastVerdict = "unsuitable",
    spool: Annotated[
        Path | None,
        Option(
            help="Folder for the film being segmented (default: in the temporary directory).",
            panel=ADVANCED,
        ),
    ] = None,
    as_json: Json = False,
    log_format: LogLines = "text",
) -> int:
    """Segment films on a DICOMweb server; store DICOM Segmentations in the same study."""
    start_service(log_format, status=0 if watching else TERMINATED)
    _check_search(study, since, watching=watching)
    modalities = _listed(modality)
    require("highdicom")  # fail at the start, not at the first film
    from boneseg._util.scratch import scratch, usual_folder
    from boneseg.inference.engine import Engine
    from boneseg.pacs.dicomweb.client import DicomWeb
    from boneseg.pacs.dicomweb.watch import Watch

    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        _log(outcome)
        if study is not None:
            outcomes.append(outcome)

    failure: BonesegError | None = None
    patience = LONGEST_WAIT if study is not None else math.inf
    with (
        DicomWeb(url, netrc=netrc, token=token, patience=patience) as web,
        scratch(spool or usual_folder()) as folder,
    ):
        watch = Watch(
            web,
            Engine(model or "bundled"),
            folder,
            modalities=modalities,
            least=min_verdict,
            report=report,
        )
        if study is None:
            log.info(f"{web.name}: watching for films of {', '.join(modalities)}")
            watch.forever(since, every)
        else:
            try:
                watch.study(study)
            except ServiceError as error:  # finished films are reported first
                failure = error
    _print_outcomes(outcomes, as_json=as_json)
    if failure is not None:
        raise failure
    if not outcomes:
        films = f"films of {', '.join(modalities)}"
        raise RadiographError(f"the study contains no {films}; check the UID")
    return 1 if any(outcome.state == "failed" for outcome in outcomes) else 0


def _check_search(study: str | None, since: str | None, *, watching: bool) -> None:
    """Raise UsageError for invalid or contradictory options of `pacs`."""
    if (study is None) != watching:
        raise UsageError("pacs: give either --study UID or --watch")
    if study is not None and not re.fullmatch(r"(?=.{1,64}$)\d+(\.\d+)*", study, re.ASCII):
        raise UsageError("pacs: --study takes a Study Instance UID (digits and dots)")
    if since is not None and not re.fullmatch(r"[0-9]{8}", since):
        raise UsageError(f"--since {since}: write the date as YYYYMMDD")


def _listed(modality: str) -> list[str]:
    """Parse the comma-separated --modality. Raises UsageError for none."""
    modalities = [name.strip().upper() for name in modality.split(",") if name.strip()]
    if not modalities:  # --watch would never find a film
        raise UsageError("--modality: no modality given; give e.g. CR,DX")
    return modalities


def _log(outcome: Outcome) -> None:
    if outcome.state == "failed":
        log.error(str(outcome))
    elif outcome.state == "withheld":
        log.warning(str(outcome))
    elif outcome.state == "stored":
        log.info(str(outcome))


def _print_outcomes(outcomes: list[Outcome], *, as_json: bool) -> None:
    """Print the outcomes of a study as JSON, or their counts."""
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    elif outcomes:
        counts = Counter(outcome.state for outcome in outcomes)
        withheld = f"{counts['withheld']} withheld, " if counts["withheld"] else ""
        print(
            f"{counts['stored']} stored, {counts['there']} already present, {withheld}"
            f"{counts['failed']} failed"
        )


def node(
    to: Annotated[
        str,
        Option(
            help="DICOM node that receives the segmentations: AET@HOST:PORT.",
            panel=OUTPUT,
        ),
    ],
    aet: Annotated[str, Option(help="AE title of this node.", panel=SERVICE)] = "BONESEG",
    host: Host = "127.0.0.1",
    port: Port = 11112,
    allow: Annotated[
        list[str] | None,
        Option("--from", help="AE title of an allowed sender; repeatable.", panel=SERVICE),
    ] = None,
    spool: Annotated[Path, Option(help="Folder for queued films.", panel=ADVANCED)] = Path("spool"),
    limit: Annotated[int, Option(min=1, help="Most films queued.", panel=ADVANCED)] = 1000,
    model: Model = None,
    min_verdict: LeastVerdict = "unsuitable",
    log_format: LogLines = "text",
) -> int:
    """Run a DICOM node: receive films by C-STORE, send segmentations by C-STORE."""
    stopped = start_service(log_format, status=None)
    if not allow and host not in ("127.0.0.1", "::1", "localhost"):
        raise UsageError("node: give --from AET for each sender, since other machines can connect")
    require("highdicom")  # fail at the start, not at the first film
    from boneseg.inference.engine import Engine
    from boneseg.pacs.node.node import Node
    from boneseg.pacs.node.peer import parse_peer, parse_title
    from boneseg.pacs.node.spool import Spool, only_node

    known = [parse_title(name) for name in allow or []]
    there, ours = parse_peer(to), parse_title(aet)
    with only_node(spool, f"{ours} on {host}:{port}"):
        waiting = Spool(spool, limit)
        engine = Engine(model or "bundled")
        answering = Node(waiting, engine, there, title=ours, allow=known, least=min_verdict)
        with suppress(KeyboardInterrupt), answering.running(host, port) as found:
            log.info(f"{ours} listens on {host}:{found}; segmentations are sent to {there}")
            stopped.wait()
        log.info(f"stopped; {waiting.count()} queued in {spool} for the next start")
    return 0


def start_service(log_format: LogFormat, status: int | None) -> threading.Event:
    """Log to stderr, create files readable by this user only, and stop on SIGTERM.

    With a `status`, SIGTERM raises SystemExit in the main thread, so that work in progress is
    cleaned up; without one it only sets the returned event. SIGTERM works even where SIGINT is
    ignored, as it is in processes that a shell starts in the background.
    """
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        if status is not None:
            log.info("stopped")
            sys.exit(status)

    runtime.on_termination(stop)
    runtime.make_files_private()
    logs.start(log_format)
    return stopped
