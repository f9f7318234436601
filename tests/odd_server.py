"""A web server on this machine that misbehaves, on every path in a way of its own.

with serving_oddly() as server:
    server.url("/picture")
"""

import asyncio
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from odd_files import encoded

PICTURE = encoded("JPEG")
HTML = b"<!DOCTYPE html><html><body>Please log in.</body></html>" + b" " * 2000
LARGE = bytes(range(256)) * 4096
"""What /file has: 1 MB."""


@dataclass
class Asked:
    """A request."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in small letters."""
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():  # drain() does not always tell
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # others are to have their turn

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        await self.send(response(status, body, **headers))


def response(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer as it should be; in names of headers "_" is "-"."""
    head = {"Content_Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items()]
    return (f"HTTP/1.1 {status} Whatever\r\n" + "".join(lines) + "\r\n").encode() + body


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# After these the connection is closed.
BROKEN = {
    "/too-short": response(200, PICTURE + b"0" * 1000)[:-1000],
    "/no-length": b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE,
    "/garbage": b"\x16\x03\x01 I do not speak HTTP \xff\xfe" * 50,
    "/nothing": b"",
    "/half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/huge-head": b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"x" * 300_000 + b"\r\n\r\n",
    "/odd-length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "/negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + PICTURE,
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + PICTURE,
    "/odd-chunks": _CHUNKED + b"zzz\r\n" + PICTURE,
    "/half-chunked": _CHUNKED + _chunked(PICTURE),
    "/status-999": b"HTTP/1.1 999 Request denied\r\nContent-Length: 0\r\n\r\n",
    "/odd-location": b"HTTP/1.1 302 Found\r\nLocation: http://[\xff\xfe]:x/\r\n\r\n",
}

# After these it is not.
PLAIN = {
    "/picture": response(200, PICTURE),
    "/too-long": response(200, PICTURE, Content_Length=str(len(PICTURE))) + HTML,
    "/chunked": _CHUNKED + b"".join(_chunked(PICTURE[i : i + 100]) for i in range(0, 2000, 100)),
    "/html": response(200, HTML, Content_Type="image/jpeg"),
    "/empty": response(200),
    "/no-content": response(204),
    "/unasked-part": response(206, PICTURE, Content_Range="bytes 0-9/10"),
    "/gzip": response(200, gzip.compress(PICTURE), Content_Encoding="gzip"),
    "/gzip-bomb": response(200, gzip.compress(bytes(50_000_000), 1), Content_Encoding="gzip"),
    "/silent-gzip": response(200, gzip.compress(PICTURE)),
    "/aws-chunked": response(200, PICTURE, Content_Encoding="aws-chunked"),
    "/announced": response(200, b"", Content_Length="123456789012"),
    "/nowhere": response(302),
    "/asked-wrongly": response(401, HTML, WWW_Authenticate="Basic"),
    "/loop": response(302, HTML, Location="/loop"),
    "/redirect-to-file": response(302, Location="file:///etc/passwd"),
    "/redirect-with-password": response(302, Location="http://me:secret@example.org/"),
    "/redirect-relative": response(302, Location="picture?from=here#there"),
}
PLAIN["/chunked"] += b"0\r\n\r\n"


class OddServer:
    """What is served, and what was asked for."""

    def __init__(self, scheme: str = "http") -> None:
        self.port = 0
        self.asked: list[Asked] = []
        self.at_once = 0
        """How many requests were under way at one time, at most."""
        self.version = '"1"'
        """The ETag of /file."""
        self.break_after = 0
        """After how many bytes /file breaks off; 0: never."""
        self.canned = b""
        """All that /canned answers."""
        self.connections = 0
        self._scheme = scheme
        self._now = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    def times(self, path: str) -> int:
        """How often a path was asked for."""
        return [asked.path for asked in self.asked].count(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # Cancelled when the server stops; asyncio would tell of it.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await self._answer(head.rstrip().split("\r\n"), writer)
        writer.transport.abort()

    async def _answer(self, head: list[str], writer: asyncio.StreamWriter) -> None:
        split = urlsplit(head[0].split(" ")[1])
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        fields = [line.partition(": ") for line in head[1:]]
        headers = {name.lower(): value for name, _, value in fields}
        asked = Asked(split.path, query, headers, writer)
        self.asked.append(asked)
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            if split.path in PLAIN:
                await asked.send(PLAIN[split.path])
            elif split.path in BROKEN:
                await asked.send(BROKEN[split.path])
                writer.close()
            elif split.path in ODD:
                await ODD[split.path](self, asked)
            else:
                await asked.answer(404, HTML)
        finally:
            self._now -= 1


async def _echo(server: OddServer, asked: Asked) -> None:
    """A picture with the headers of the request after it."""
    await asked.answer(200, PICTURE + json.dumps(asked.headers).encode())


async def _slow(server: OddServer, asked: Asked) -> None:
    await asyncio.sleep(float(asked.query.get("seconds", "60")))
    await asked.answer(200, PICTURE)


async def _drip(asked: Asked, data: bytes) -> None:
    for byte in data:
        await asked.send(bytes([byte]))
        await asyncio.sleep(0.05)


async def _dripping_head(server: OddServer, asked: Asked) -> None:
    await _drip(asked, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000)


async def _dripping_body(server: OddServer, asked: Asked) -> None:
    await asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    await _drip(asked, PICTURE)


async def _endless(asked: Asked, data: bytes) -> None:
    await asked.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await asked.send(data)


async def _endless_picture(server: OddServer, asked: Asked) -> None:
    await _endless(asked, PICTURE * 100)


async def _endless_page(server: OddServer, asked: Asked) -> None:
    await _endless(asked, HTML)


async def _endless_hints(server: OddServer, asked: Asked) -> None:
    while True:
        await asked.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        await asyncio.sleep(0.01)


async def _tiny_chunks(server: OddServer, asked: Asked) -> None:
    await asked.send(_CHUNKED)
    while True:
        await asked.send(b"1\r\nx\r\n" * 1000)


async def _status(server: OddServer, asked: Asked) -> None:
    """The status `code`, at first; from the request number `until` on, a picture."""
    if server.times(asked.path) >= int(asked.query.get("until", "1000")):
        await asked.answer(200, PICTURE)
        return
    headers = {"Retry_After": asked.query["after"]} if "after" in asked.query else {}
    await asked.answer(int(asked.query["code"]), HTML, **headers)


async def _redirect(server: OddServer, asked: Asked) -> None:
    """On to `to`, after `hops` redirects to itself."""
    hops = int(asked.query.get("hops", "0"))
    to = f"/redirect?hops={hops - 1}&to={asked.query['to']}" if hops else asked.query["to"]
    await asked.answer(int(asked.query.get("code", "302")), Location=to)


async def _canned(server: OddServer, asked: Asked) -> None:
    await asked.send(server.canned)
    asked.writer.close()


async def _reset(server: OddServer, asked: Asked) -> None:
    sock = asked.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asked.writer.transport.abort()


async def _reset_once(server: OddServer, asked: Asked) -> None:
    if server.times(asked.path) > 1:
        await asked.answer(200, PICTURE)
    else:
        await _reset(server, asked)


async def _file(server: OddServer, asked: Asked) -> None:
    """LARGE, by parts if asked so; `ranges` is how well the server can do that."""
    ranges = asked.query.get("ranges", "well")
    head = {} if ranges == "unnamed" else {"ETag": server.version}
    start = 0
    if ranges != "no" and (wanted := asked.headers.get("range")):
        same = asked.headers.get("if-range") == server.version
        if same or ranges == "careless":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(LARGE):
                await asked.answer(416, Content_Range=f"bytes */{len(LARGE)}")
                return
            head["Content_Range"] = f"bytes {start}-{len(LARGE) - 1}/{len(LARGE)}"
    body = LARGE[start:]
    if server.break_after:
        length = str(len(body))
        body = body[: server.break_after]
        await asked.answer(206 if start else 200, body, **head, Content_Length=length)
        asked.writer.close()
        return
    await asked.answer(206 if start else 200, body, **head)


async def _slow_file(server: OddServer, asked: Asked) -> None:
    """As /file, but the first time only half of it comes, and then nothing."""
    if server.times(asked.path) > 1:
        await _file(server, asked)
        return
    half = len(LARGE) // 2
    await asked.send(response(200, LARGE, ETag=server.version)[:-half])
    await asyncio.sleep(60)


ODD: dict[str, Callable[[OddServer, Asked], Awaitable[None]]] = {
    "/echo": _echo,
    "/slow": _slow,
    "/dripping-head": _dripping_head,
    "/dripping-body": _dripping_body,
    "/endless-picture": _endless_picture,
    "/endless-page": _endless_page,
    "/endless-hints": _endless_hints,
    "/tiny-chunks": _tiny_chunks,
    "/status": _status,
    "/redirect": _redirect,
    "/canned": _canned,
    "/reset": _reset,
    "/reset-once": _reset_once,
    "/file": _file,
    "/slow-file": _slow_file,
}


@contextmanager
def serving_oddly(
    host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Iterator[OddServer]:
    """The server on a free port, in a thread of its own."""
    server = OddServer("https" if tls else "http")
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, host, 0, ssl=tls, backlog=512)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listening.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections that were aborted are closed in the next round

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the odd server did not start")
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
