"""HTTP as uvicorn speaks it, with bounds on what comes before a request that the gate can see."""

import asyncio
import resource
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from image_search.api import problem

LONGEST_HEAD = 256 * 1024
"""Bytes of a request before its body: ten thousand characters of any script, so that they can be
told that they are too many."""

PATIENCE = 20
"""Seconds within which the whole head of a request has to arrive."""

SPARE = 200
"""Files that the program needs besides connections."""

MOST_CONNECTIONS = max(50, min(1_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE))
"""Connections at a time. Above what a process may open, asyncio would try again and again, and
write down each time that it failed."""

AT_A_TURN = SPARE // 8
"""Connections that asyncio takes before it looks at any of them. It meets those that are too many
four turns after it took them, so that up to four times as many are open beyond
MOST_CONNECTIONS."""

QUEUE = 1_024
"""Connections that wait in the kernel for their turn. Where it is full, a browser knocks again only
a second later."""


class Server(uvicorn.Server):
    """uvicorn's own, which takes as many connections at a turn as may wait for one."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUE)


class Protocol(H11Protocol):
    """uvicorn's own; what is no HTTP is answered by a problem, as everything is."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._answering:
            self._expect_head()
        super().data_received(data)
        if self._answering:
            self._head_came()

    def on_response_complete(self) -> None:
        self._head_came()
        super().on_response_complete()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(PATIENCE, self.transport.abort)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _unsupported_upgrade_warning(self) -> None:
        pass  # anybody can ask for it as often as they like

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
