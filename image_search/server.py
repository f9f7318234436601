"""The web server: the gate, and behind it /api/v1, /mcp, the page and its script and style."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from image_search.access import Access, chosen_mode
from image_search.allow_list import AllowList
from image_search.answers import MCP, PREFIX, max_upload_bytes
from image_search.api import create_api
from image_search.curating_api import add_curating
from image_search.errors import ConfigError
from image_search.gate import Gate
from image_search.headers import Headers
from image_search.protocol import AT_A_TURN, LONGEST_HEAD, Protocol, Server
from image_search.readiness import Readiness
from image_search.say import say
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.settings import ROOT, settings, unknown_variables
from image_search.shell import Shell
from image_search.sign_in import SignIn
from image_search.state import State
from image_search.terms import Terms
from image_search.ui import sign_in_pages
from image_search.withdrawal import Withdrawals

STATIC = ROOT / "assets" / "ui"


LAST_ANSWERS = 5
"""Seconds that visitors have, when the server is stopped, to get what they asked for."""

PROXIES_OF_A_SPACE = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10"
"""Whose X-Forwarded-For counts on a Space. The last address that is none of these is the visitor's;
what stands before it anybody can write. Elsewhere a proxy on this machine is believed, or those
that uvicorn's own FORWARDED_ALLOW_IPS names."""


class Static(StaticFiles):
    """Files that a browser asks after each time: else parts of two releases could meet."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create_app(searcher: Searcher, state: State, users: str = "") -> ASGIApp:
    """The whole application for one collection, behind its gate.

    `users` are further users, as in the setting. Raises ConfigError.
    """
    access = Access(chosen_mode(), state, users)
    info = searcher.artifact.manifest.collection
    contact = settings().contact or info.contact
    terms = Terms(state, sign_in_pages.terms_text(info, searcher.encoder.notice))
    log = SearchLog(state)
    sign_in = SignIn(access, terms, contact, Readiness(searcher))
    api = create_api(searcher, Withdrawals(state), log)
    add_curating(api, searcher, Withdrawals(state), state, log)
    inner = _create_page(searcher, api, log, closed=access.mode != "open")
    return Headers(Gate(inner, sign_in.app(), access, terms, contact))


def _create_page(searcher: Searcher, api: FastAPI, log: SearchLog, closed: bool) -> ASGIApp:
    """What lies behind the gate."""
    # Gradio must not report anything to anyone; it reads this when it is imported.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr

    # Here, as the page: no other command needs what they load.
    from image_search.mcp_door import Door
    from image_search.ui import page

    door = Door(searcher, log)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=door.lifespan)
    app.mount(PREFIX, api)
    app.router.routes.append(Route(MCP, door))
    app.mount("/ui", Static(directory=STATIC))
    blocks = page.build(searcher, log, closed)
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
        mcp_server=False,  # its own would do past our answers
        show_error=False,
        ssr_mode=False,
        max_file_size=max_upload_bytes(),
    )
    return Shell(app, lambda html: page.with_own_head(html, searcher))


def serve(searcher: Searcher, state: State, users: str = "") -> None:
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
    app = create_app(searcher, state, users)
    _warn(users)
    state.watch()
    SearchLog(state).forget_in_time()
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(f"Open http://{shown}:{port} in a browser. Ctrl+C stops it.", flush=True)
    if settings().public_address:
        print(f"Others reach it at {settings().public_address}.", flush=True)
    if searcher.answers_from:
        print(f"Questions are answered by {searcher.answers_from}.", flush=True)
    print(_about(state), flush=True)
    config = uvicorn.Config(
        app,
        log_level="error",  # of what is no HTTP it would warn as often as somebody likes
        http=Protocol,
        backlog=AT_A_TURN,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=LAST_ANSWERS,
        # Whose address it is, is believed of nobody but a proxy that is known to be there: else
        # each guess at a password could come from another one.
        proxy_headers=settings().on_space or bool(settings().public_address),
        forwarded_allow_ips=PROXIES_OF_A_SPACE if settings().on_space else None,
    )
    searcher.fill()
    with suppress(KeyboardInterrupt):  # Ctrl+C is how it is meant to end
        Server(config).run(sockets=[listener])
    searcher.artifact.close()
    state.close()


def _about(state: State) -> str:
    """What there is by now, so that a wrong or an empty place is noticed."""
    withdrawn, changes = len(Withdrawals(state)), len(AllowList(state).changes())
    counts = f"{withdrawn:,} pictures withdrawn, {changes:,} changes of who is let in"
    return (
        f"What people add is kept in {state.name}: {counts if state.generation else 'nothing yet'}."
    )


def _warn(users: str) -> None:
    """Tell the operator what they might not have meant."""
    chosen = settings()
    mode = chosen_mode()
    for name in unknown_variables():
        say(f"warning: there is no setting {name}; the README lists them all.")
    if mode == "open" and not chosen.on_loopback:
        say("warning: everybody who can reach this address is let in (IMAGE_SEARCH_ACCESS=open).")
    if mode == "password" and not chosen.on_loopback and not settings().public_address:
        say(
            "warning: without https:// passwords travel in the clear. Put a proxy with a "
            "certificate before this, and set IMAGE_SEARCH_URL to its https:// address."
        )
    named = {
        "password": chosen.users or chosen.users_file or users,
        "huggingface": chosen.allow_users or chosen.allow_orgs,
        "open": True,
    }
    if not named[mode]:
        how = {
            "password": "IMAGE_SEARCH_USERS or IMAGE_SEARCH_USERS_FILE does; "
            "`python -m image_search password NAME` makes a line of it.",
            "huggingface": "IMAGE_SEARCH_ALLOW_USERS and IMAGE_SEARCH_ALLOW_ORGS do, or "
            "`python -m image_search member add NAME`.",
        }
        say(f"warning: the settings name nobody who is let in. {how[mode]}")
    if chosen.on_space and Path(chosen.state).is_absolute():
        say(
            "warning: a Space loses its disk when it restarts, and with it what people add. Set "
            "IMAGE_SEARCH_STATE to a private dataset (user/name)."
        )
