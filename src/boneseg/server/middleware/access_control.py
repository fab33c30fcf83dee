"""Access control, applied before the application sees a request.

    host      without a token only loopback host names are served, against DNS rebinding
    origin    requests that change something are accepted from the light box itself and from
              programs, not from other sites (Fetch Metadata, Origin header)
    token     required on every address except loopback, and everywhere if one is set: a cookie for
              the page, set by its form or by /?token=..., "Authorization: Bearer" for programs
    size      a request whose Content-Length is too large is refused; body_limits.py has the rest

Every response carries a content security policy that lets the page reach only this server.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from contextlib import suppress
from urllib.parse import parse_qs, quote, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boneseg.server.middleware.body_limits import too_large

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
COOKIE = "boneseg-token"
LOGIN_BYTES, LOGIN_SECONDS = 4 * 2**10, 10.0
PROBES = frozenset(("/livez", "/readyz"))  # of Kubernetes, which has no token
LOGIN_FORM = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>boneseg light box</title>
<h1>boneseg light box</h1>
<form action="/" method="post">
<label>Token <input type="password" name="token" autofocus required></label>
<button>Open</button>
</form>
"""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_this_machine(host: str) -> bool:
    """Whether an address or host name is loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class AccessControl:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, token: str | None, max_bytes: int) -> None:
        self.app, self.token, self.max_bytes = app, token, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets: uvicorn refuses them
        headers = Headers(scope=scope)

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    sent[name] = value
                sent.setdefault("Cache-Control", "no-store")
            await send(message)

        admitted = self._is_login(scope) and await self._has_token_in_form(receive)
        refusal = None if admitted else self._refusal(scope, headers)
        if refusal is not None:
            page = scope["path"] == "/" and "text/html" in headers.get("accept", "")
            await _refuse(guarded_send, *refusal, form=page)
        elif admitted or self._has_token_in_url(scope):
            await self._store_token(guarded_send)
        else:
            await self.app(scope, receive, guarded_send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """(status, reason), or None where the request is admitted."""
        if scope["path"] in PROBES and scope["method"] in SAFE_METHODS:
            return None
        if self.token is None:
            host = _host_name(headers.get("host", ""))
            if not is_this_machine(host):
                known = "use 127.0.0.1, or start the server with --token-file to serve other names"
                return 421, f"{host or 'no host'}: host is not served here; {known}"
        elif not (self._has_token_in_headers(headers) or self._has_token_in_url(scope)):
            return (
                401,
                "token required: type it into the page, or send Authorization: Bearer TOKEN",
            )
        if scope["method"] not in SAFE_METHODS and not _is_same_origin(headers):
            advice = "open the light box itself; a proxy has to pass on the Host header"
            return 403, f"cross-site request refused; {advice}"
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > self.max_bytes:
            return 413, too_large(self.max_bytes)
        return None

    def _has_token_in_headers(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        # parsed by hand: http.cookies fails on cookies that other programs on this host set
        cookies = (cookie.partition("=") for cookie in headers.get("cookie", "").split(";"))
        ours = [unquote(value.strip()) for name, _, value in cookies if name.strip() == COOKIE]
        return any(map(self._is_token, ours))

    def _has_token_in_url(self, scope: Scope) -> bool:
        """Whether this is the first visit to the page: /?token=..."""
        if self.token is None or scope["path"] != "/" or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return self._is_token(given[0])

    def _is_login(self, scope: Scope) -> bool:
        """Whether a request is that of the form, which keeps the token out of logs of addresses."""
        return self.token is not None and scope["path"] == "/" and scope["method"] == "POST"

    async def _has_token_in_form(self, receive: Receive) -> bool:
        """Whether the body is a form with the token; no more is read than such a form has."""
        body, more = b"", True
        with suppress(TimeoutError):
            async with asyncio.timeout(LOGIN_SECONDS):
                while more and len(body) <= LOGIN_BYTES:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
        given = parse_qs(body.decode("latin-1")).get("token", [""])
        return self._is_token(given[0])

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self.token or "").encode())

    async def _store_token(self, send: Send) -> None:
        """Store the token in a cookie and remove it from the address bar."""
        cookie = f"{COOKIE}={quote(self.token or '', safe='')}; HttpOnly; SameSite=Strict; Path=/"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode("latin-1"))]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_same_origin(headers: Headers) -> bool:
    """Whether the request is same-origin or from a program; browsers always send the origin."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _host_name(host: str) -> str:
    """The host name of a Host header without its port; "" where there is none."""
    with suppress(ValueError):
        return urlsplit(f"//{host}").hostname or ""
    return ""


async def _refuse(send: Send, status: int, reason: str, *, form: bool) -> None:
    """Respond with a line of JSON, or with the login form on 401 if `form` is set."""
    body, kind = json.dumps({"error": reason}).encode(), b"application/json"
    if status == 401 and form:
        body, kind = LOGIN_FORM, b"text/html; charset=utf-8"
    headers = [(b"content-type", kind), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="boneseg"'))  # RFC 9110, 15.5.2
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
