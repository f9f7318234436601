"""The web server: /api/v1, the page's script and style, health, and the page itself."""

import os
import socket
import sys
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from image_search.answers import PREFIX, max_upload_bytes
from image_search.api import Health, create_api, problem
from image_search.errors import ConfigError
from image_search.search import Searcher
from image_search.settings import ROOT, settings
from image_search.shell import Shell

STATIC = ROOT / "assets" / "ui"


LAST_ANSWERS = 5
"""Seconds that visitors have, when the server is stopped, to get what they asked for."""

LONGEST_HEAD = 256 * 1024
"""Bytes of a request before its body: ten thousand characters of any script, so that they can be
told that they are too many."""


class Protocol(H11Protocol):
    """uvicorn's own, whose answer to what is no HTTP is a problem like every other."""

    def send_400_response(self, msg: str) -> None:
        told = problem(
            400,
            "This is no valid request. Letters beyond ASCII have to be percent-encoded in an "
            "address (curl -G --data-urlencode), and it may have 256 KB.",
        )
        lines = (f"{name}: {value}" for name, value in told.headers.items())
        head = "\r\n".join(["HTTP/1.1 400 Bad Request", *lines, "connection: close", "", ""])
        self.transport.write(head.encode("ascii") + bytes(told.body))
        self.transport.close()


class Static(StaticFiles):
    """Files that a browser asks after each time: else parts of two releases could meet."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


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
    app.mount("/ui", Static(directory=STATIC))
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
        app,
        log_level="warning",
        http=Protocol,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=LAST_ANSWERS,
    )
    searcher.artifact.fill()
    with suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to end
        uvicorn.Server(config).run(sockets=[listener])
    searcher.artifact.close()
