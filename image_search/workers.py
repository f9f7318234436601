"""Pictures made ready by all processors: read, decoded and shrunk, in the order of the asking.

A picture that takes its process with it (a decoder that crashes, or that needs more memory than
there is) is a reject like any other; the rest goes on.
"""

import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Self, TypeVar

from loky import ProcessPoolExecutor

from image_search.collection import Entry, Reader, Reject
from image_search.errors import PictureError
from image_search.prepare import Prepared, Preparer

CHUNK = 16
"""Pictures that a worker gets at a time."""

AHEAD = 4
"""Chunks for each worker, and pictures for each reading thread, that are done before their turn."""

FEW = 256
"""Pictures for which it does not pay to start processes; threads do it then."""

CRASHED = "damaged: the decoder crashed on it, or ran out of memory"

Outcome = Prepared | Reject

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Work:
    """How a worker makes pictures ready; handed to every process once."""

    reader: Reader
    preparer: Callable[[], Preparer]


@dataclass(frozen=True, slots=True)
class Item:
    """A picture on its way; `data` is None where the worker reads it."""

    entry: Entry
    data: bytes | Reject | None = None


class Workers:
    """Makes pictures ready; a context manager.

    `count` processes work, or as many threads where fewer than FEW pictures are `expected`.
    Where `readers` is not 0, so many threads of this process read for them.
    """

    def __init__(self, work: Work, count: int, readers: int, expected: int) -> None:
        self._work = work
        self._count = max(1, count)
        self._apart = expected >= FEW
        self._readers = readers
        self._pool: ProcessPoolExecutor | _Threads | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def prepare(self, entries: Iterable[Entry]) -> Iterator[Outcome]:
        """What became of every entry, in order."""
        if not self._readers:
            yield from self._prepare(Item(entry) for entry in entries)
            return
        with ThreadPoolExecutor(self._readers) as threads:
            reader = self._work.reader

            def read(entry: Entry) -> Future[Item]:
                return threads.submit(_read, reader, entry)

            try:
                yield from self._prepare(_in_turn(read, entries, AHEAD * self._readers))
            except BaseException:  # stopped: do not wait for what is under way
                threads.shutdown(wait=False, cancel_futures=True)
                reader.close()
                raise

    def _prepare(self, items: Iterator[Item]) -> Iterator[Outcome]:
        waiting: deque[tuple[list[Item], Future[list[Outcome]]]] = deque()
        while True:
            while len(waiting) < AHEAD * self._count and (chunk := list(islice(items, CHUNK))):
                waiting.append((chunk, self._submit(chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            try:
                outcomes = future.result()
            except BrokenProcessPool:
                self._stop()
                outcomes = self._one_by_one(chunk)
                again = [chunk for chunk, _ in waiting]
                waiting = deque((chunk, self._submit(chunk)) for chunk in again)
            yield from outcomes

    def _submit(self, chunk: list[Item]) -> Future[list[Outcome]]:
        if self._pool is None:
            self._pool = self._processes(self._count) if self._apart else _Threads(self._work)
        if isinstance(self._pool, _Threads):
            return self._pool.submit(chunk)
        try:
            future: Future[list[Outcome]] = self._pool.submit(_prepare_here, chunk)
            return future
        except BrokenProcessPool as error:  # since the last result; told when its turn comes
            broken: Future[list[Outcome]] = Future()
            broken.set_exception(error)
            return broken

    def _processes(self, count: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            count,
            initializer=_start,
            initargs=(self._work, os.getpid()),
            # One thread each: they share the processors among them.
            env={"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        )

    def _one_by_one(self, chunk: list[Item]) -> list[Outcome]:
        """The outcomes of a chunk among which is one, perhaps, that takes its process with it."""
        outcomes: list[Outcome] = []
        pool = self._processes(1)
        for item in chunk:
            try:
                outcomes += pool.submit(_prepare_here, [item]).result()
            except BrokenProcessPool:
                outcomes.append(Reject(item.entry.id, CRASHED))
                pool = self._processes(1)
        pool.shutdown()
        return outcomes

    def _stop(self) -> None:
        if isinstance(self._pool, _Threads):
            self._pool.shutdown()
        elif self._pool is not None:
            self._pool.shutdown(kill_workers=True)
        self._pool = None


class _Threads:
    """Threads in the place of processes."""

    def __init__(self, work: Work) -> None:
        self._reader, self._preparer = work.reader, work.preparer()
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def submit(self, chunk: list[Item]) -> Future[list[Outcome]]:
        return self._pool.submit(_prepare, self._reader, self._preparer, chunk)

    def shutdown(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _in_turn(submit: Callable[[T], Future[R]], tasks: Iterable[T], ahead: int) -> Iterator[R]:
    """The results of tasks in their order, `ahead` of them begun before they are asked for."""
    remaining, waiting = iter(tasks), deque[Future[R]]()
    while True:
        waiting.extend(submit(task) for task in islice(remaining, ahead - len(waiting)))
        if not waiting:
            return
        yield waiting.popleft().result()


def _read(reader: Reader, entry: Entry) -> Item:
    try:
        return Item(entry, reader.read(entry.place))
    except PictureError as error:
        return Item(entry, Reject(entry.id, str(error)))


def _prepare(reader: Reader, preparer: Preparer, chunk: list[Item]) -> list[Outcome]:
    return [_outcome(reader, preparer, item) for item in chunk]


def _outcome(reader: Reader, preparer: Preparer, item: Item) -> Outcome:
    if isinstance(item.data, Reject):
        return item.data
    try:
        return preparer(reader.read(item.entry.place) if item.data is None else item.data)
    except PictureError as error:
        return Reject(item.entry.id, str(error))
    except (OSError, ValueError, MemoryError) as error:
        # What Pillow raises of a picture that it can decode but not encode; no file is written
        # here, so it is never the disk.
        return Reject(item.entry.id, f"cannot be stored: {error}")


# In the processes

_here: tuple[Reader, Preparer] | None = None


def _start(work: Work, parent: int) -> None:
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, who stops them
    warnings.filterwarnings("ignore", module="PIL")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _here = work.reader, work.preparer()


def _end_with(parent: int) -> None:
    """End when the building process is gone: killed, it cannot tell."""
    while os.getppid() == parent or sys.platform == "win32":
        time.sleep(1)
    os._exit(1)


def _prepare_here(chunk: list[Item]) -> list[Outcome]:
    assert _here is not None
    return _prepare(*_here, chunk)
