"""What comes before a request that the gate can see: slow, many and broken connections."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from openid import running

from image_search import protocol
from image_search.search import Searcher

FEW = 300
"""Files that the server of these tests may have open."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("said") / "said"


@pytest.fixture(scope="module")
def address(searcher: Searcher, said: Path) -> Iterator[str]:
    with running(searcher.artifact.path, said, FEW) as address:
        yield address


def place(address: str) -> tuple[str, int]:
    host, port = address.removeprefix("http://").split(":")
    return host, int(port)


def connected(address: str) -> socket.socket:
    return socket.create_connection(place(address), timeout=60)


def listening(address: str) -> int:
    """The process that serves there."""
    port = place(address)[1]
    for child in psutil.Process().children():
        if any(c.laddr.port == port and c.status == "LISTEN" for c in child.net_connections()):
            return child.pid
    raise AssertionError(f"nobody of ours listens at {address}")


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.slow
def test_a_head_that_does_not_come_is_not_waited_for(address: str) -> None:
    with ExitStack() as stack:
        idle, half = (stack.enter_context(connected(address)) for _ in range(2))
        began = time.monotonic()
        half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        for _ in range(4):  # a byte from time to time changes nothing
            time.sleep(3)
            half.sendall(b"x")
        assert is_closed(idle)
        assert is_closed(half)
        assert time.monotonic() - began < protocol.PATIENCE + 10


def test_a_request_that_takes_long_to_answer_is_not_cut_off(address: str) -> None:
    with connected(address) as slow:
        slow.sendall(
            b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n"
        )
        time.sleep(1)
        slow.sendall(b"0123456789")
        assert slow.recv(12) == b"HTTP/1.1 400"  # no picture
        slow.settimeout(1)


def test_many_connections_are_dropped_without_a_word(address: str, said: Path) -> None:
    """Rather than that the program runs out of files, which asyncio would write down for ever."""
    before = said.read_text()
    server = listening(address)
    with ExitStack() as stack:
        os.kill(server, signal.SIGSTOP)  # as busy as can be: all come at once
        for _ in range(2 * FEW):
            connection = stack.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(place(address))
        os.kill(server, signal.SIGCONT)
        time.sleep(2)
        for _ in range(FEW):  # and one after the other
            stack.enter_context(connected(address))
    assert httpx.get(f"{address}/healthz", timeout=30).text == '{"status":"ok"}'
    assert said.read_text() == before


def test_nobody_fills_the_log(address: str, said: Path) -> None:
    before = said.read_text()
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    for content in (b"\x16\x03\x01 no HTTP\r\n\r\n", upgrade * 20, b"GET / HTTP/9\r\n\r\n"):
        with connected(address) as connection:
            connection.sendall(content)
            connection.settimeout(5)
            try:
                while connection.recv(65_536):
                    pass
            except (TimeoutError, ConnectionResetError):
                pass
    httpx.post(f"{address}/login", headers={"Origin": "http://["}, data={"name": "a"})
    assert said.read_text() == before


def test_a_process_with_few_files_takes_fewer_connections() -> None:
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (%d, 4096));"
        "from image_search.protocol import MOST_CONNECTIONS; print(MOST_CONNECTIONS)"
    )
    for files, most in ((128, 50), (300, 100), (4096, 1000)):
        done = subprocess.run(
            [sys.executable, "-c", code % files], capture_output=True, text=True, env=os.environ
        )
        assert done.stdout.strip() == str(most), done.stderr
