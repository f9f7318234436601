"""The web server: pictures by id, health, and the page. Knows HTTP; searching is Searcher's."""

import os
import socket
import sys
from contextlib import suppress

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response

from image_search import images
from image_search.errors import ArtifactError, ConfigError
from image_search.search import Searcher
from image_search.settings import settings

# Where an address names the version of the collection, what lies there never changes.
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
FOR_NOW = {"Cache-Control": "private, no-cache"}


def create_app(searcher: Searcher) -> FastAPI:
    """The whole application for one collection."""
    # Gradio must not report anything to anyone; it reads this when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr

    from image_search.ui import page

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def health() -> dict[str, str | int]:
        return {"status": "ok", "pictures": len(searcher.artifact)}

    @app.get("/thumbnails/{id:path}")
    def thumbnail(id: str, v: str = "") -> Response:
        return _file(searcher, searcher.thumbnail(id), v)

    @app.get("/pictures/{id:path}")
    def picture(id: str, v: str = "") -> Response:
        return _file(searcher, searcher.picture(id), v)

    @app.exception_handler(ArtifactError)
    def damaged(request: Request, error: ArtifactError) -> Response:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return PlainTextResponse("This collection cannot be read at present.", 503)

    blocks = page.build(searcher)
    # Gradio 6.31 checks that a file was uploaded only if this is set, and a mounted page never
    # sets it: a caller could name any file of this machine to search with.
    blocks.has_launched = True
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        css=page.CSS,
        theme=page.THEME,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        max_file_size=settings().max_upload_mb * 1024 * 1024,
    )
    return app


def serve(searcher: Searcher) -> None:
    """Serve the page until it is stopped. Raises ConfigError if the port is taken."""
    host, port = settings().host, settings().port
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
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
    config = uvicorn.Config(app, log_level="warning")
    with suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to end
        uvicorn.Server(config).run(sockets=[listener])


def _file(searcher: Searcher, data: bytes | None, version: str) -> Response:
    if data is None:
        raise HTTPException(404, "This collection has no such picture.")
    named = version == searcher.artifact.short_version
    headers = FOREVER if named else FOR_NOW
    return Response(data, media_type=images.media_type(data), headers=headers)
