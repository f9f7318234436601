"""Pictures made ready by all processors: read, decoded and shrunk, in the order of the asking.

A picture that takes its process with it (a decoder that crashes, or that needs more memory than
there is) is a reject like any other; the rest goes on.
"""

import os
import signal
import sys
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice

from loky import ProcessPoolExecutor, get_reusable_executor

from image_search.collection import Entry, Reader, Reject
from image_search.errors import PictureError
from image_search.prepare import Prepared, Preparer

warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
# Nothing is amiss: work came at the moment when an idle process ended, and another is begun.

CHUNK, CHUNK_BYTES = 16, 16_000_000
"""Pictures that a worker gets at a time, and their bytes, where they are read for it."""

AHEAD = 4
"""Chunks for each worker, and pictures for each reading thread, that are done before their turn."""

AHEAD_BYTES = 256_000_000
"""Bytes that are read before their turn; large scans would fill the memory otherwise."""

IDLE = 60
"""Seconds after which a process that has nothing to do ends; the next build may come before."""

CRASHED = "cannot be read: the decoder crashed on it, or ran out of memory"
"""Tried again by the next build, as all that begins so: memory may be there then."""

Outcome = Prepared | Reject


@dataclass(frozen=True)
class Work:
    """How a worker makes pictures ready."""

    reader: Reader
    preparer: Callable[[], Preparer]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    """By which a process knows it again."""


@dataclass(frozen=True, slots=True)
class Item:
    """A picture on its way; `data` is None where the worker reads it."""

    entry: Entry
    data: bytes | Reject | None = None

    @property
    def size(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else 0


Result = tuple[list[Outcome], float]
"""What became of a chunk, and the seconds that it took."""


class Workers:
    """Makes pictures ready by `count` processes.

    Where `readers` is not 0, so many threads of this process read for them.
    """

    def __init__(self, work: Work, count: int, readers: int = 0) -> None:
        self.seconds = 0.0
        """What the processes worked, all together."""
        self._work = work
        self._count = max(1, count)
        self._readers = readers

    def prepare(self, entries: Iterable[Entry]) -> Iterator[Outcome]:
        """What became of every entry, in order."""
        if not self._readers:
            yield from self._prepare(Item(entry) for entry in entries)
            return
        reader = self._work.reader
        threads = ThreadPoolExecutor(self._readers)
        try:
            yield from self._prepare(_read_ahead(threads, self._readers, reader, entries))
            threads.shutdown()
        except BaseException:  # stopped: nobody waits for what is under way
            threads.shutdown(wait=False, cancel_futures=True)
            reader.close()
            raise

    def end(self) -> None:
        """Have the processes end now, where nothing is left for them to do here."""
        self._pool().shutdown(kill_workers=True)

    def _prepare(self, items: Iterator[Item]) -> Iterator[Outcome]:
        chunks = _chunks(items)
        waiting: deque[tuple[list[Item], Future[Result]]] = deque()
        try:
            while True:
                while len(waiting) < AHEAD * self._count and (chunk := next(chunks, None)):
                    waiting.append((chunk, self._submit(chunk)))
                    if _size(chunk for chunk, _ in waiting) > AHEAD_BYTES:
                        break
                if not waiting:
                    return
                chunk, future = waiting.popleft()
                try:
                    outcomes, seconds = future.result()
                    self.seconds += seconds
                except BrokenProcessPool:
                    outcomes = self._one_by_one(chunk)
                    again = [chunk for chunk, _ in waiting]
                    waiting = deque((chunk, self._submit(chunk)) for chunk in again)
                yield from outcomes
        except BaseException:  # stopped: at once
            self.end()
            raise

    def _pool(self) -> ProcessPoolExecutor:
        """The processes; those of the build before, if they are there still."""
        return get_reusable_executor(self._count, timeout=IDLE, **_processes())

    def _submit(self, chunk: list[Item]) -> Future[Result]:
        try:
            future: Future[Result] = self._pool().submit(_prepare_here, self._work, chunk)
            return future
        except BrokenProcessPool as error:  # since the last result; told when its turn comes
            broken: Future[Result] = Future()
            broken.set_exception(error)
            return broken

    def _one_by_one(self, chunk: list[Item]) -> list[Outcome]:
        """The outcomes of a chunk among which is one, perhaps, that takes its process with it."""
        outcomes: list[Outcome] = []
        pool = ProcessPoolExecutor(1, **_processes())
        for item in chunk:
            try:
                [outcome], _ = pool.submit(_prepare_here, self._work, [item]).result()
                outcomes.append(outcome)
            except BrokenProcessPool:
                outcomes.append(Reject(item.entry.id, CRASHED))
                pool = ProcessPoolExecutor(1, **_processes())
        pool.shutdown()
        return outcomes


def _processes() -> dict[str, object]:
    return {
        "initializer": _start,
        "initargs": (os.getpid(),),
        "env": {
            # One thread each: they share the processors among them.
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            # The memory of a picture is kept for the next one, up to these bytes: to ask the
            # system for it anew costs a tenth of the time. Read by glibc alone.
            "MALLOC_MMAP_THRESHOLD_": "33554432",
            "MALLOC_TRIM_THRESHOLD_": "67108864",
        },
    }


def _read_ahead(
    threads: ThreadPoolExecutor, readers: int, reader: Reader, entries: Iterable[Entry]
) -> Iterator[Item]:
    """Every entry with its bytes, in order; some are read before their turn."""
    remaining, waiting = iter(entries), deque[Future[Item]]()
    while True:
        read = sum(future.result().size for future in waiting if future.done())
        room = AHEAD * readers - len(waiting) if read < AHEAD_BYTES else int(not waiting)
        waiting.extend(threads.submit(_read, reader, entry) for entry in islice(remaining, room))
        if not waiting:
            return
        yield waiting.popleft().result()


def _read(reader: Reader, entry: Entry) -> Item:
    try:
        return Item(entry, reader.read(entry.place))
    except PictureError as error:
        return Item(entry, Reject(entry.id, str(error)))


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK or _size([chunk]) >= CHUNK_BYTES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _size(chunks: Iterable[list[Item]]) -> int:
    return sum(item.size for chunk in chunks for item in chunk)


# In the processes

_known: dict[str, tuple[Reader, Preparer]] = {}
"""The work that a process is at, by its token."""


def _start(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, who stops them
    warnings.filterwarnings("ignore", module="PIL")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the building process is gone: killed, it cannot tell."""
    while os.getppid() == parent or sys.platform == "win32":
        time.sleep(1)
    os._exit(1)


def _prepare_here(work: Work, chunk: list[Item]) -> Result:
    if work.token not in _known:
        _known.clear()
        _known[work.token] = work.reader, work.preparer()
    start = time.perf_counter()
    outcomes = [_outcome(*_known[work.token], item) for item in chunk]
    return outcomes, time.perf_counter() - start


def _outcome(reader: Reader, preparer: Preparer, item: Item) -> Outcome:
    if isinstance(item.data, Reject):
        return item.data
    try:
        return preparer(reader.read(item.entry.place) if item.data is None else item.data)
    except PictureError as error:
        return Reject(item.entry.id, str(error))
    except Exception as error:
        # What libraries raise of a picture that they can decode but not shrink or encode. No file
        # is written here, so it is never the disk.
        return Reject(item.entry.id, f"cannot be stored: {error}")
