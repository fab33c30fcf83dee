"""HTTP methods that apply to every route (RFC 9110, section 9.3).

HEAD is handled as GET without the content, OPTIONS returns the methods of a path, and any other
method gets a 405 with the same list in Allow.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KNOWN = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Methods:
    """ASGI middleware around the routes of `routes_of`."""

    def __init__(self, app: ASGIApp, *, routes_of: FastAPI) -> None:
        self.app, self.routes_of = app, routes_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        head, original = scope["method"] == "HEAD", dict(scope)  # routes modify the scope

        async def adapted_send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                MutableHeaders(scope=message)["Allow"] = ", ".join(self._allowed(original))
            if message["type"] == "http.response.body" and head:
                message = {**message, "body": b""}
            await send(message)

        allowed = self._allowed(original) if scope["method"] == "OPTIONS" else []
        if allowed:
            headers = [(b"allow", ", ".join(allowed).encode())]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        if head:
            scope["method"] = "GET"
        try:
            await self.app(scope, receive, adapted_send)
        finally:
            if head:
                scope["method"] = "HEAD"

    def _allowed(self, scope: Scope) -> list[str]:
        """The methods of a request's path; empty where there is no such path."""
        found = [method for method in KNOWN if self._has(scope, method)]
        if not found:
            return []
        return [*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"]

    def _has(self, scope: Scope, method: str) -> bool:
        other = {**scope, "method": method}
        routes = self.routes_of.router.routes
        return any(
            route.matches(other)[0] is Match.FULL
            for route in routes
            if method == "GET" or not isinstance(route, Mount)  # a mount of files is read-only
        )
