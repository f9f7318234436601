"""The gate around the whole application: nobody who is not let in reaches anything behind it.

Pure ASGI, and around everything: a check within Gradio's handlers, or Gradio's own sign-in, leaves
files, queues and other endpoints open.
"""

import re
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_search.access import NOBODY, Access, Visitor
from image_search.answers import MCP, PREFIX
from image_search.api import problem
from image_search.settings import settings
from image_search.sign_in import COOKIE, HEALTH, OPEN, TERMS, page
from image_search.terms import Terms
from image_search.throttle import Throttle
from image_search.ui import sign_in_pages

TOKEN_HEADER = "x-image-search-token"
"""For API tokens: the proxy of a Space may keep `Authorization` for itself."""

# Many of these belong to one question, and they cost little.
LIGHT = re.compile(rf"{PREFIX}/(thumbnails|pictures)/.+|/(ui|assets|static)/.+|/theme\.css")

HERE = {"localhost", "127.0.0.1", "[::1]", ""}
"""What this machine calls itself."""

FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded")
"""What a proxy adds."""

UNKNOWN_TOKEN = "This token is not known here, or has ended. "

NOT_CHOSEN = (
    "This is open to its own machine alone, under the name localhost or 127.0.0.1. For it to be "
    "reached otherwise, whoever runs it has to set IMAGE_SEARCH_ACCESS and IMAGE_SEARCH_URL."
)

SAFE = ("GET", "HEAD", "OPTIONS")

REFUSED = 4401
"""The code with which a websocket is closed: those from 4000 on are an application's own."""


class Gate:
    """`app`, for those who are let in; `sign_in` for all others."""

    def __init__(
        self,
        app: ASGIApp,
        sign_in: ASGIApp,
        access: Access,
        terms: Terms,
        contact: str,
    ) -> None:
        self.app = app
        self.sign_in = sign_in
        self.access = access
        self.terms = terms
        self.contact = contact
        self.throttle = None if access.mode == "open" and settings().on_loopback else Throttle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = self._visitor(scope)
        scope.setdefault("state", {})["visitor"] = visitor
        app = self._too_many(scope, visitor) or self._way(scope, visitor)
        await app(scope, receive, send if self.access.mode == "open" else _private(send))

    def _way(self, scope: Scope, visitor: Visitor | None) -> ASGIApp:
        """Who answers."""
        if self._misled(scope):
            return problem(421, NOT_CHOSEN)
        if scope["path"] in self._open:
            return self._from_elsewhere(scope, visitor) or self.sign_in
        if visitor is None:
            return self._sign_in_first(scope)
        inside = self.sign_in if scope["path"] == TERMS and visitor.kind == "person" else self.app
        return self._from_elsewhere(scope, visitor) or self._terms_first(scope, visitor) or inside

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = self._visitor(scope)
        scope.setdefault("state", {})["visitor"] = visitor
        if visitor is None or self._terms_missing(visitor) or _foreign(scope):
            await send({"type": "websocket.close", "code": REFUSED})
        else:
            await self.app(scope, receive, send)

    @property
    def _open(self) -> frozenset[str]:
        """The paths that are for everybody."""
        return HEALTH if self.access.mode == "open" else HEALTH | OPEN

    def _visitor(self, scope: Scope) -> Visitor | None:
        """Who asks, if they are let in."""
        if self.access.mode == "open":
            return NOBODY
        connection = HTTPConnection(scope)
        token = _token(connection.headers)
        if token is not None:
            return self.access.bearer(token)
        session = self.access.unseal(connection.cookies.get(COOKIE, ""))
        return None if session is None else self.access.visitor(session)

    def _too_many(self, scope: Scope, visitor: Visitor | None) -> Response | None:
        if self.throttle is None or scope["path"] in HEALTH:
            return None
        member = f"{visitor.kind} {visitor.name}" if visitor and visitor.name else ""
        address = (scope.get("client") or ("", 0))[0]
        wait = self.throttle.wait(member, address, bool(LIGHT.fullmatch(scope["path"])))
        if not wait:
            return None
        told = problem(429, f"That was too much at once. Try again in {wait} seconds.")
        told.headers["Retry-After"] = str(wait)
        return told

    def _sign_in_first(self, scope: Scope) -> Response:
        """401: a page for people, a problem for programs."""
        if _wants_page(scope):
            shown = sign_in_pages.sign_in(self.access.mode, self.contact, _asked_for(scope))
            told: Response = page(shown, 401)
        else:
            known = "" if _token(Headers(scope=scope)) is None else UNKNOWN_TOKEN
            told = problem(
                401,
                f"{known}Only those who are let in may see what is here. In a browser, sign in at "
                "/login; "
                "a program sends an API token: Authorization: Bearer TOKEN, or "
                f"{TOKEN_HEADER}: TOKEN. {sign_in_pages.whom_to_ask(self.contact)}",
            )
        told.headers["WWW-Authenticate"] = 'Bearer realm="image search"'
        return told

    def _misled(self, scope: Scope) -> bool:
        """Whether a page of another site got here by a name of its own for this machine.

        It could read what is open on this machine alone, as if it were this site's. So could
        everybody through a proxy, if nobody has said that it is to be open.
        """
        if self.access.mode != "open" or not settings().on_loopback:
            return False
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        by_proxy = any(name in headers for name in FORWARDED) and settings().access is None
        return by_proxy or (host not in HERE and _name(host) not in HERE)

    def _from_elsewhere(self, scope: Scope, visitor: Visitor | None) -> Response | None:
        """Another site may not have a visitor's browser change anything here, nor sign in."""
        by_token = visitor is not None and visitor.kind == "token"
        if by_token or _only_looks(scope) or not _foreign(scope):
            return None
        return problem(403, "This was sent by another site's page. Open this one and do it here.")

    def _terms_missing(self, visitor: Visitor) -> bool:
        return visitor.kind == "person" and not self.terms.accepted_by(visitor.name)

    def _terms_first(self, scope: Scope, visitor: Visitor) -> Response | None:
        if scope["path"] == TERMS or not self._terms_missing(visitor):
            return None
        if _wants_page(scope):
            return RedirectResponse(f"{TERMS}?next={quote(_asked_for(scope), safe='')}", 303)
        return problem(403, f"Read and accept the terms of use first: open {TERMS} in a browser.")


def _token(headers: Headers) -> str | None:
    """The API token of a request, right or wrong; None if it has none.

    Another kind of token in `Authorization` is meant for the Hub's proxy.
    """
    own = headers.get(TOKEN_HEADER)
    if own is not None:
        return own
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" and token.strip().startswith("ist_") else None


def _wants_page(scope: Scope) -> bool:
    program = scope["path"].startswith((PREFIX, MCP, "/gradio_api"))
    accepts = Headers(scope=scope).get("accept", "")
    return scope["method"] in ("GET", "HEAD") and not program and "text/html" in accepts


def _asked_for(scope: Scope) -> str:
    """Where somebody wanted to go, to be brought there afterwards."""
    query = scope.get("query_string", b"").decode("latin-1")
    return quote(scope["path"], safe="/") + (f"?{query}" if query else "")


def _only_looks(scope: Scope) -> bool:
    """Whether it changes nothing, and another site's page could not read it: a link, a frame."""
    mode = Headers(scope=scope).get("sec-fetch-mode", "navigate")
    return scope["method"] in SAFE and mode == "navigate"


def _foreign(scope: Scope) -> bool:
    """Whether a page of another site sent this; programs other than browsers send no Origin."""
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-site") in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return "sec-fetch-site" in headers
    here = {headers.get("host", ""), _ours()}
    try:
        return urlsplit(origin).netloc not in here - {""}
    except ValueError:
        return True


def _ours() -> str:
    """The name, and perhaps port, of the address that visitors use."""
    return urlsplit(settings().public_address).netloc


def _name(host: str) -> str:
    """A host without its port."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _private(send: Send) -> Send:
    """Answers to members are kept by nobody else, and pages by nobody at all."""

    async def send_private(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            given = headers.get("cache-control", "private, no-store")
            headers["cache-control"] = given.replace("public", "private")
        await send(message)

    return send_private
