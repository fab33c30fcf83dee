"""The ASGI application: a light box with its routes and middleware.

app = create_app(LightBox(Library(Path("films")), bundled()), token=None)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import boneseg
from boneseg.errors import BonesegError
from boneseg.server.errors import BusyError, SlowError, TooLargeError, status_of
from boneseg.server.light_box import LightBox
from boneseg.server.middleware.access_control import Guard
from boneseg.server.middleware.body_limits import Bodies
from boneseg.server.middleware.methods import Methods
from boneseg.server.routes import films as routes
from boneseg.server.routes import retraining as training
from boneseg.server.routes.http import Json
from boneseg.server.routes.prometheus import Counting, Requests, metrics_text

MAX_BYTES = 256 * 2**20  # of a request; a 16-bit film of 100 megapixels has 200 MB
STATIC = Path(__file__).parent / "static"


def create_app(box: LightBox, *, token: str | None = None, max_bytes: int = MAX_BYTES) -> FastAPI:
    """The web application of a light box, which it closes at shutdown.

    Without a token only loopback host names are served.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(box.look_around())
        yield
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await asyncio.to_thread(box.close)

    app = FastAPI(
        title="boneseg light box",
        version=boneseg.__version__,
        summary="Segments bone in radiographs; shows, corrects and saves masks; retrains.",
        lifespan=life,
        default_response_class=Json,
        docs_url=None,  # they load external scripts; /api replaces them
        redoc_url=None,
    )
    app.state.box, app.state.requests, app.state.max_bytes = box, Requests(), max_bytes
    app.include_router(routes.router)
    app.include_router(training.router)
    app.mount("/static", _Static(directory=STATIC))

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/api", include_in_schema=False)
    def api_page() -> Response:
        return FileResponse(STATIC / "api.html", headers={"Cache-Control": "no-cache"})

    @app.get("/metrics", response_class=PlainTextResponse, tags=["server"])
    def metrics() -> str:
        """Counters and gauges for Prometheus."""
        return metrics_text(box, app.state.requests)

    _tell_errors(app)
    app.add_middleware(Methods, routes_of=app)
    app.add_middleware(Counting, requests=app.state.requests)
    app.add_middleware(Bodies, max_bytes=max_bytes)
    app.add_middleware(Guard, token=token, max_bytes=max_bytes)
    return app


class _Static(StaticFiles):
    """The page's files, which the browser revalidates on every load."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def _tell_errors(app: FastAPI) -> None:
    """Report every error as one line of JSON: {"error": "knee.txt: is not an image; ..."}."""

    @app.exception_handler(BonesegError)
    async def ours(_: Request, error: BonesegError) -> Response:
        headers = {}
        if isinstance(error, BusyError):
            headers["Retry-After"] = str(error.seconds)
        if isinstance(error, BusyError | SlowError | TooLargeError):
            headers["Connection"] = "close"  # the rest of the body is unread
        return Json({"error": str(error)}, status_of(error), headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Json({"error": "the client closed the connection"}, 400)  # never received

    @app.exception_handler(HTTPException)
    async def theirs(_: Request, error: HTTPException) -> Response:
        return Json({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def words(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Json({"error": f"{where}: {first['msg']}"}, 400)

    @app.exception_handler(Exception)
    async def bugs(_: Request, error: Exception) -> Response:
        return Json({"error": f"the server failed ({type(error).__name__})"}, 500)
