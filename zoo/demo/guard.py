"""Accept requests of the page itself and of programs on this machine, not of other web pages.

Pages of other sites can send requests to a loopback address, and by a name that they let point
there (DNS rebinding) read the answers. So the name must be one of this machine, the browser must
say that a question comes from this page, and a file must be sent as no form can send one.
"""

import json
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keras_metric.serve import HTTP

HOSTS = ("127.0.0.1", "localhost", "::1")
SAID_BY_FORMS = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
SENT = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests from other pages before they are processed."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SENT)
            await send(message)

        fault = refusal(scope["method"], scope["path"], Headers(scope=scope))
        if fault is None:
            await self._app(scope, receive, guarded)
            return
        body = json.dumps({"error": fault})
        answer = Response(body, HTTP["PERMISSION_DENIED"], media_type="application/json")
        await answer(scope, receive, guarded)


def refusal(method: str, path: str, headers: Headers) -> str | None:
    """Why a request is refused, or None. Any page may link to the page itself."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if _name(f"//{host}") not in HOSTS:
        expected, received = f"a name of this machine: {', '.join(HOSTS)}", host or "none"
        return f"The request is for another host. Expected: {expected}. Received: {received}."
    site = headers.get("sec-fetch-site", "none")
    own = site in ("none", "same-origin") and origin in (None, f"http://{host}")
    if not own and (method, path) != ("GET", "/"):
        received = origin or site
        return f"Another page asks. Expected: http://{host}. Received: {received}."
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method == "POST" and kind in SAID_BY_FORMS:
        return (
            "A form asks. Expected: the file as the body, of the type application/octet-stream. "
            f"Received: {kind or 'no type'}."
        )
    return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
