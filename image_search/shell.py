"""Which doors of the application are open: what the page and programs use, and no more."""

import json
import re
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_search.answers import MCP, PREFIX
from image_search.api import problem

OURS = re.compile(rf"({PREFIX}/|/ui/).+|{MCP}")

# What the page and gradio_client use of Gradio. The rest takes files of any size, hands out files,
# fetches addresses or edits the page.
GRADIO = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/(assets|static)/.+"
    r"|/gradio_api/(info|queue/join|queue/data|call/(search|facets|record)(/\w+)?)"
)

LONGEST_CALL = 64 * 1024
"""Bytes of a call through Gradio: words, numbers and lists of words."""


class Shell:
    """An application with closed doors around it; `own_head` exchanges the head of its page."""

    def __init__(self, app: ASGIApp, own_head: Callable[[bytes], bytes]) -> None:
        self.app = app
        self.own_head = own_head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        app = self.app
        if method == "HEAD":  # as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        if GRADIO.fullmatch(path):
            if path == "/":
                app = self._page
            elif method == "POST":
                call = await _call(receive)
                app = self.app if call is not None else _REFUSED
                receive = _again(call or b"", receive)
        elif not OURS.fullmatch(path):
            app = _CLOSED
        await app(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page as a whole, its head exchanged."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        start, *parts = messages
        body = b"".join(part.get("body", b"") for part in parts)
        headers = MutableHeaders(scope=start)
        if headers.get("content-type", "").startswith("text/html"):
            body = self.own_head(body)
            headers["content-length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})


_CLOSED = problem(404, f"Nothing is served here. Programs use {PREFIX}/, or {MCP}.")
_REFUSED = problem(400, 'A call is {"data": […]}: texts, whole numbers and lists of texts.')


async def _call(receive: Receive) -> bytes | None:
    """The body of a call through Gradio, or None if it holds more than words, numbers and lists of
    words.

    Gradio would take anything else for a file, and fetch it from wherever the caller says.
    """
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LONGEST_CALL:
            return None
    try:
        data = json.loads(body)["data"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return body if isinstance(data, list) and all(map(_is_plain, data)) else None


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, str | int | None)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, once more."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
