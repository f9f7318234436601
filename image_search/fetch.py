"""Reading pieces of a repository's files: by range, each once, and never long in vain."""

import io
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

import httpx2
from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, not in __all__
    build_hf_headers,
    hf_raise_for_status,
)

from image_search.errors import HubError
from image_search.hub import PATIENCE, telling
from image_search.say import say

PAUSE = 5
"""Seconds for which a Hub that could not be reached is not asked again."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Wire:
    """Fetches bytes of the files of one commit.

    When the Hub cannot be reached, one request every PAUSE seconds finds out whether it can be
    again, and all others fail at once: else those who wait for pictures would take the threads
    of those who search. Tells the operator when it is lost and when it is back.
    """

    def __init__(self, repo: str, commit: str) -> None:
        self._repo = repo
        self._commit = commit
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._next_try = 0.0

    def read(self, name: str, start: int, end: int) -> bytes:
        """The bytes of a file from `start` to before `end`. Raises HubError."""
        self._admit()
        try:
            data = self._get(name, start, end)
        except HubError as error:
            self._lost(str(error))
            raise
        self._found()
        return data

    def _get(self, name: str, start: int, end: int) -> bytes:
        address = hf_hub_url(
            self._repo,
            name,
            repo_type="dataset",
            revision=self._commit,
            endpoint=constants.ENDPOINT,
        )
        headers = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}"}
        headers["Accept-Encoding"] = "identity"  # what is packed on the way has no ranges
        with telling(self._repo):
            try:
                answer = get_session().get(address, headers=headers, timeout=PATIENCE)
            except (httpx2.NetworkError, httpx2.RemoteProtocolError, RuntimeError):
                # A connection that was kept open was closed meanwhile, by the Hub or (the
                # RuntimeError) by another thread's failure: that says nothing about the Hub.
                answer = get_session().get(address, headers=headers, timeout=PATIENCE)
            hf_raise_for_status(answer)
        if len(answer.content) != end - start:
            raise HubError(
                f"The Hub sent {len(answer.content):,} bytes of {name} instead of {end - start:,}."
            )
        return answer.content

    def _admit(self) -> None:
        with self._lock:
            if self._trouble is None:
                return
            now = time.monotonic()
            if now < self._next_try:
                raise HubError(self._trouble)
            self._next_try = now + PAUSE + PATIENCE  # this one tries; the others wait for it

    def _lost(self, why: str) -> None:
        with self._lock:
            if self._trouble is None:
                say(f"warning: {why} Searching goes on; pictures that are not here are missing.")
            self._trouble = why
            self._next_try = time.monotonic() + PAUSE

    def _found(self) -> None:
        with self._lock:
            if self._trouble is not None:
                say("The Hub gives pictures again.")
            self._trouble = None


class Piece(io.RawIOBase):
    """A file of which only some bytes are there, for readers that need no others."""

    def __init__(self, size: int, start: int, data: bytes) -> None:
        self._size = size
        self._start = start
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if self._at < self._start or end > self._start + len(self._data):
            raise ValueError(f"bytes {self._at} to {end} were not fetched")
        data = self._data[self._at - self._start : end - self._start]
        self._at = end
        return data


class Kept(Generic[Key, Value]):
    """The latest of what was fetched, up to `limit` bytes.

    Each thing is fetched once, also if several ask for it at the same time.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self._limit = limit
        self._size = size
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, Future[Value]] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def get(self, key: Key, fetch: Callable[[], Value]) -> Value:
        """What is held under `key`, else what `fetch` gives; what it raises is not held."""
        mine = Future[Value]()
        with self._lock:
            held = self._held.setdefault(key, mine)
            self._held.move_to_end(key)
        if held is mine:
            self._fulfil(key, mine, fetch)
        return held.result()

    def _fulfil(self, key: Key, promised: Future[Value], fetch: Callable[[], Value]) -> None:
        try:
            value = fetch()
        except BaseException as error:
            with self._lock:
                del self._held[key]
            promised.set_exception(error)
        else:
            promised.set_result(value)
            self._make_room(self._size(value))

    def _make_room(self, more: int) -> None:
        with self._lock:
            self._bytes += more
            for key, future in list(self._held.items()):
                if self._bytes <= self._limit:
                    break
                if future.done():
                    del self._held[key]
                    self._bytes -= self._size(future.result())


class Helpers:
    """Threads that do what will be asked for soon, the latest first. What fails is left."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._tasks: queue.LifoQueue[Callable[[], object]] = queue.LifoQueue()
        self._started = False

    def do(self, task: Callable[[], object]) -> None:
        self._tasks.put(task)
        if not self._started:
            self._started = True
            for number in range(self._count):
                # Daemons: a program that ends does not wait for what nobody looks at any more.
                threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True).start()

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                task()
            except Exception:  # whoever really asks for it is told
                continue
