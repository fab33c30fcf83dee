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
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import boneseg
from boneseg.errors import BonesegError
from boneseg.server.errors import (
    BusyError,
    SlowError,
    TooLargeError,
    invalid,
    page_message,
    status_of,
)
from boneseg.server.light_box import LightBox
from boneseg.server.middleware.access_control import AccessControl
from boneseg.server.middleware.body_limits import BodyLimits
from boneseg.server.middleware.methods import Methods
from boneseg.server.middleware.request_counts import CountRequests, RequestCounts
from boneseg.server.routes import (
    bones,
    export,
    films,
    masks,
    measures,
    models,
    retraining,
    segment,
    status,
)
from boneseg.server.routes.responses import Json

MAX_BYTES = 256 * 2**20  # of a request; a 16-bit film of 100 megapixels has 200 MB
STATIC = Path(__file__).parent / "static"


def create_app(box: LightBox, *, token: str | None = None, max_bytes: int = MAX_BYTES) -> FastAPI:
    """The web application of a light box, which it closes at shutdown.

    Without a token only loopback host names are served.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        segmenting = asyncio.create_task(box.segment_all())
        yield
        segmenting.cancel()
        with suppress(asyncio.CancelledError):
            await segmenting
        await asyncio.to_thread(box.close)

    app = FastAPI(
        title="boneseg light box",
        version=boneseg.__version__,
        summary="Segments bone in radiographs; shows, corrects and saves masks; retrains.",
        lifespan=lifespan,
        default_response_class=Json,
        docs_url=None,  # these load external scripts; /api replaces them
        redoc_url=None,
    )
    app.state.box, app.state.counts, app.state.max_bytes = box, RequestCounts(), max_bytes
    for module in (segment, films, bones, masks, measures, export, retraining, models, status):
        app.include_router(module.router)
    app.mount("/static", _Static(directory=STATIC))

    _add_pages(app)
    _add_error_handlers(app)
    app.add_middleware(Methods, routes_of=app)  # innermost
    app.add_middleware(CountRequests, counts=app.state.counts)
    app.add_middleware(BodyLimits, max_bytes=max_bytes)
    app.add_middleware(AccessControl, token=token, max_bytes=max_bytes)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/api", include_in_schema=False)
    def api_page() -> Response:
        return FileResponse(STATIC / "api.html", headers={"Cache-Control": "no-cache"})


class _Static(StaticFiles):
    """The page's files, which the browser revalidates on every load."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def _add_error_handlers(app: FastAPI) -> None:
    """Report every error as one line of JSON: {"error": "knee.txt: is not an image; ..."}."""

    @app.exception_handler(BonesegError)
    async def own_error(_: Request, error: BonesegError) -> Response:
        headers = {}
        if isinstance(error, BusyError):
            headers["Retry-After"] = str(error.seconds)
        if isinstance(error, BusyError | SlowError | TooLargeError):
            headers["Connection"] = "close"  # the rest of the body is unread
        return Json({"error": page_message(error)}, status_of(error), headers)

    @app.exception_handler(ClientDisconnect)
    async def disconnected(_: Request, __: ClientDisconnect) -> Response:
        return Json({"error": "the client closed the connection"}, 400)  # never received

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        return Json({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid_parameter(_: Request, error: RequestValidationError) -> Response:
        return Json({"error": invalid(error.errors()[0])}, 400)

    @app.exception_handler(Exception)
    async def bug(_: Request, error: Exception) -> Response:
        return Json({"error": f"the server failed ({type(error).__name__})"}, 500)
