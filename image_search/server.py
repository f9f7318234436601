"""The web server: /api/v1, the page's script and style, health, and the page itself."""

import os
import re
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_search.answers import PREFIX, max_upload_bytes
from image_search.api import Health, create_api, problem
from image_search.errors import ConfigError
from image_search.search import Searcher
from image_search.settings import ROOT, settings

STATIC = ROOT / "assets" / "ui"

LONGEST_REQUEST = 256 * 1024
"""Bytes of a request's head: ten thousand characters of any script, so that they can be told that
they are too many. uvicorn's own limit would cut the connection instead."""

# Nothing leaves this server's address, whatever a title or a library holds. Gradio's own page
# needs scripts and styles in the page and functions made from text.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # what was asked is nobody else's business
}

# What of Gradio takes files, hands out files, fetches addresses or edits the page: our page uses
# none of it, and an upload would stay on the disk.
UNUSED = re.compile(
    r"^(/gradio_api)?/(upload|upload_progress|proxy=|file=|file/|stream/|component_server"
    r"|process_recording|vibe-|undo-vibe|dev/|run-history|runs|monitoring|profiling|deep_link"
    r"|custom_component)"
)


def create_app(searcher: Searcher) -> ASGIApp:
    """The whole application for one collection."""
    # Gradio must not report anything to anyone; it reads this when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr

    from image_search.ui import page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def alive() -> Health:
        return Health()

    app.mount(PREFIX, create_api(searcher))
    app.mount("/ui", StaticFiles(directory=STATIC))
    blocks = page.build(searcher)
    # Gradio 6.31 checks that a file was uploaded only if this is set, and a mounted page never
    # sets it: a caller could name any file of this machine.
    blocks.has_launched = True
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=page.THEME,
        favicon_path=str(STATIC / "icon.svg"),
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        max_file_size=max_upload_bytes(),
    )
    return Shell(app, lambda html: page.with_own_head(html, searcher))


class Shell:
    """Around the application: headers that hold everywhere, Gradio's unused doors shut, its page's
    head exchanged by `own_head`."""

    def __init__(self, app: ASGIApp, own_head: Callable[[bytes], bytes]) -> None:
        self.app = app
        self.own_head = own_head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        if UNUSED.match(scope["path"]):
            closed = problem(404, f"Nothing is served here. Programs use {PREFIX}.")
            return await closed(scope, receive, send_with_headers)
        if scope["path"] == "/" and scope["method"] == "GET":
            return await self._page(scope, receive, send_with_headers)
        return await self.app(scope, receive, send_with_headers)

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


def serve(searcher: Searcher) -> None:
    """Serve the page until it is stopped. Raises ConfigError if the port is taken."""
    host, port = settings().host, settings().port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP by name: else asyncio does not know that it may send at once, and every answer on an open
    # connection waits 40 ms for the browser's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # who comes while the page is being made waits instead of being refused
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Port {port} of {host} cannot be used ({error.strerror}). "
            "Choose another with IMAGE_SEARCH_PORT (with make: PORT), or another IMAGE_SEARCH_HOST."
        ) from None
    if host not in ("127.0.0.1", "::1", "localhost"):
        print(
            f"warning: {host} is open to others, and nobody is asked who they are.",
            file=sys.stderr,
            flush=True,
        )
    app = create_app(searcher)
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(f"Open http://{shown}:{port} in a browser. Ctrl+C stops it.", flush=True)
    config = uvicorn.Config(
        app, log_level="warning", http="h11", h11_max_incomplete_event_size=LONGEST_REQUEST
    )
    with suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to end
        uvicorn.Server(config).run(sockets=[listener])
