"""A real ClickHouse server on loopback, out of the engine that chdb-core carries.

Its `SYSTEM START LISTEN` opens the genuine HTTP and native ports. It knows no users: never start it
where others reach it.
"""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import httpx

_SERVES = (
    "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
    "SELECT sleepEachRow(1) FROM system.numbers FORMAT Null "
    "SETTINGS max_block_size=1, function_sleep_max_microseconds_per_block=0, max_execution_time=0"
)

# A private entry point, for which chdb-core is pinned; it reads the config.xml where it runs.
_PROGRAM = f"""
import os
from chdb import _chdb
_chdb.query({_SERVES!r}, "TabSeparated", path=os.path.abspath("db"))
"""

REFERENCE = Path(__file__).parents[1] / "assets" / "clickhouse" / "cluster.xml"
CLUSTER = "image_search"


class Node:
    """A server with a folder and ports of its own, which it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.http, self.tcp = _free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, nodes: list["Node"]) -> None:
        """Give it the reference configuration, with our names and ports."""
        told = ElementTree.parse(REFERENCE)
        root = told.getroot()
        if len(nodes) == 1:
            root.remove(_found(root, "remote_servers"))
        else:
            for node, replica in zip(nodes, root.iter("replica"), strict=True):
                _found(replica, "host").text = "127.0.0.1"
                _found(replica, "port").text = str(node.tcp)
        for name, value in (
            ("listen_host", "127.0.0.1"),
            ("http_port", self.http),
            ("tcp_port", self.tcp),
        ):
            ElementTree.SubElement(root, name).text = str(value)
        told.write(self.folder / "config.xml")

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], cwd=self.folder, stdout=said, stderr=said
            )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self._process.poll() is None, (self.folder / "said").read_text()[-2000:]
            try:
                if httpx.get(f"http://127.0.0.1:{self.http}/ping", timeout=5).text == "Ok.\n":
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"no ClickHouse at port {self.http}")

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """As if the machine were lost."""
        self.signal(signal.SIGKILL)
        assert self._process
        self._process.wait()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()


def _found(within: Element, name: str) -> Element:
    found = within.find(name)
    assert found is not None, f"{REFERENCE} has no {name}"
    return found


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for found in (one, other):
            found.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def address(nodes: list[Node], database: str = "image_search") -> str:
    hosts = ",".join(f"127.0.0.1:{node.http}" for node in nodes)
    cluster = f"?cluster={CLUSTER}" if len(nodes) > 1 else ""
    return f"clickhouse://{hosts}/{database}{cluster}"


def start(folder: Path, count: int) -> list[Node]:
    """So many servers, each a shard of one cluster."""
    nodes = [Node(folder / str(number)) for number in range(count)]
    for node in nodes:
        node.configure(nodes)
        node.start()
    return nodes
