"""/mcp: where clients of the Model Context Protocol ask; behind the gate, as everything is.

The official SDK speaks the protocol, without sessions: each call stands by itself, and is answered
by one piece of JSON. Before it stands a check of our own: what is no such call never reaches the
SDK, which would write down whatever a caller sends.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio import CapacityLimiter, fail_after, to_thread
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    CallToolRequest,
    ClientRequest,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCResponse,
    ListToolsRequest,
    ListToolsResult,
    ServerResult,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

import image_search
from image_search.answers import PREFIX
from image_search.api import problem, visitor_of
from image_search.mcp_tools import Tools
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.settings import settings
from image_search.standing import Standings

LONGEST_CALL = 64 * 1024
"""Bytes of a call: words, ids and filters."""

READ_ON = 64 * LONGEST_CALL
"""Bytes that are read, though a call is too long: who is cut off while sending never sees why."""

PATIENCE = 20
"""Seconds within which a call has to arrive."""

AT_ONCE = 4
"""Calls that are answered at once; further ones wait. Each may decode a picture."""

METHODS = frozenset({"initialize", "ping", "tools/list", "tools/call"})
"""What can be asked."""


class Door:
    """An ASGI application; it answers while its `lifespan` lasts."""

    def __init__(
        self, searcher: Searcher, log: SearchLog, standings: Standings | None = None
    ) -> None:
        self._server = _server(Tools(searcher, log, standings))
        self._sessions: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """What has to surround the application that this is a part of."""
        self._sessions = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=LONGEST_CALL
        )
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Else a GET would open a stream that nothing is ever sent through.
        call = await _call(receive) if scope["method"] == "POST" else _NO_CALL
        if isinstance(call, Response):
            await call(scope, receive, send)
        else:
            assert self._sessions, "its lifespan has not begun"
            await self._sessions.handle_request(scope, _again(call, receive), send)


_NO_CALL = problem(405, "Calls of the Model Context Protocol are POSTs.")
_NO_CALL.headers["Allow"] = "POST"


def _server(tools: Tools) -> Server[Any, Request]:
    """The tools, as the SDK serves them."""
    server: Server[Any, Request] = Server(
        "image-search", image_search.__version__, instructions=tools.instructions
    )
    limiter = CapacityLimiter(AT_ONCE)

    async def list_tools(asked: ListToolsRequest) -> ServerResult:
        return ServerResult(ListToolsResult(tools=tools.offered()))

    async def call_tool(asked: CallToolRequest) -> ServerResult:
        request = server.request_context.request
        assert request is not None
        call = partial(
            tools.call,
            asked.params.name,
            asked.params.arguments or {},
            visitor_of(request).name,
            _base_of(request),
        )
        return ServerResult(await to_thread.run_sync(call, limiter=limiter))

    # Not by the SDK's decorators: they check arguments too, in words that are not for a reader.
    server.request_handlers[ListToolsRequest] = list_tools
    server.request_handlers[CallToolRequest] = call_tool
    return server


def _base_of(request: Request) -> str:
    """Where /api/v1 lies, with https:// and host: a client has no page to start from."""
    return (settings().public_address or str(request.base_url).rstrip("/")) + PREFIX


async def _call(receive: Receive) -> Response | bytes:
    """The body of a call that the SDK can answer, or what there is to say to any other."""
    try:
        with fail_after(PATIENCE):
            body = await _body(receive)
    except TimeoutError:
        return problem(408, "The call did not arrive in time. Send it again.")
    if body is None:
        return problem(413, f"A call may have {LONGEST_CALL // 1024} KB; this one has more.")
    try:
        asked = json.loads(body)
        json.dumps(asked, ensure_ascii=False).encode()  # no half characters
    except (ValueError, RecursionError):
        return _error(400, None, PARSE_ERROR, "This is no JSON.")
    try:
        message = JSONRPCMessage.model_validate(asked).root
        if isinstance(message, JSONRPCNotification) and "id" in asked:
            raise ValueError("an id of another kind")
    except ValueError:
        return _error(400, None, INVALID_REQUEST, "This is no call of JSON-RPC 2.0.")
    if isinstance(message, JSONRPCNotification | JSONRPCResponse | JSONRPCError):
        return Response(status_code=202)  # without sessions there is nothing it could be about
    if message.method not in METHODS:
        known = ", ".join(sorted(METHODS))
        return _error(200, message.id, METHOD_NOT_FOUND, f"What can be asked is {known}.")
    try:
        ClientRequest.model_validate(message.model_dump(by_alias=True, mode="json"))
    except (ValueError, RecursionError):
        told = f"These are no parameters of {message.method}."
        return _error(200, message.id, INVALID_PARAMS, told)
    return body


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None if it is too long."""
    body, size, more = b"", 0, True
    while more and size <= READ_ON:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        body = body + part if size <= LONGEST_CALL else b""
        more = message.get("more_body", False)
    return body if size <= LONGEST_CALL else None


def _error(status: int, id: str | int | None, code: int, told: str) -> Response:
    """An error in the form of JSON-RPC."""
    error = {"code": code, "message": told}
    return JSONResponse({"jsonrpc": "2.0", "id": id, "error": error}, status)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, once more."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
