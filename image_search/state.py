"""What people add to a collection: kept in a folder, or in a private dataset of the Hub.

Records (a withdrawn picture, a token) and lines of the log of searches are only ever added, one
JSON object a line. Both places are laid out alike, so one can be copied to the other:

    records/*.jsonl                 read by all, all the time
    searches/YYYY-MM-DD/*.jsonl     the log, by day in UTC; read only when it is asked for
    secret                          makes the pseudonyms of the log; signs sessions where the
                                    operator gave nothing else for that

A `Memory` is what this process knows and has yet to write, a `Store` is the place, and `State` has
the one written into the other, and read from there.
"""

import secrets
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from image_search.errors import ImageSearchError, StateError
from image_search.repo import REPO
from image_search.settings import settings
from image_search.state_folder import Folder
from image_search.state_memory import ERASURE, Memory, Record, decoded, iso, say

__all__ = ["Record", "State", "Store"]

PATIENCE = 10
"""Seconds for which somebody who adds something is kept waiting."""

CLOSING = 10
"""Seconds that a program which ends takes for what is not written yet."""

ERASING = 600
"""Seconds: whoever erases waits for another who does, and nobody else does so."""

LONGEST_PAUSE = 60
"""Seconds. A store that refuses to be written, such as a Hub that was asked too often, is not
asked more often than that in the end."""


class Store(Protocol):
    """A place where a memory is kept; one thread at a time uses it. Raises StateError, HubError.

    `until` is the moment (time.monotonic) after which somebody would wait for too long.
    """

    name: str

    @property
    def every(self) -> float:
        """Seconds after which it is read again."""

    @property
    def log_every(self) -> float:
        """Seconds for which lines of the log are collected."""

    def open(self, make: bool) -> None:
        """Make what is missing (StateError if not `make`), and read all records."""

    def read(self, until: float) -> None:
        """Have the memory learn what others added."""

    def write(self, until: float) -> None:
        """Write one batch of the memory, and read what there is before: it may be an erasure."""

    def logs(self) -> Iterator[list[bytes]]:
        """The files of the log, day by day, the oldest first. Any thread may read them."""

    def edit(self, cut: Callable[[bytes], bytes]) -> None:
        """Replace every file of the log by what `cut` makes of it; nothing keeps the former."""

    def prune(self, first: str | None) -> int:
        """Remove the days of the log before this one (None: all); how many files that were."""

    def secret(self, fresh: str) -> str:
        """The text of `secret`, which becomes this if there is none."""


class _BusyError(StateError):
    """Another thread uses the store for longer than one can wait."""


class State:
    """What people add, here and elsewhere, as far as it is known at this moment."""

    def __init__(self, store: Store, memory: Memory) -> None:
        self.name = store.name
        self._store = store
        self._memory = memory
        self._using = threading.Lock()
        self._telling = threading.Lock()
        self._trouble = False
        self._told_dropped = False
        self._unforeseen: set[str] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._log_due = 0.0
        self._write_again = 0.0
        self._pause = 0.0
        self._secret: bytes | None = None

    @classmethod
    def open(cls, place: str | Path | None = None, make: bool = True) -> "State":
        """The state at a folder or `user/name` (None: that of the settings), read.

        One that is missing is made, or not (`make`). Raises StateError, HubError.
        """
        place = settings().state if place is None else place
        memory = Memory(str(place))
        store = _store(place, memory)
        store.open(make)
        return cls(store, memory)

    @property
    def generation(self) -> int:
        """Grows whenever records arrived."""
        return self._memory.generation

    def records(self, kind: str) -> list[Record]:
        """All records of a kind, the oldest first."""
        return self._memory.records(kind)

    def add(self, kind: str, /, **said: Any) -> bool:
        """Add a record, which counts here at once; whether it is kept.

        If not, it counts until this process ends, and `watch` goes on trying to write it.
        """
        return self.add_all(kind, [said])

    def add_all(self, kind: str, many: Iterable[dict[str, Any]]) -> bool:
        """Add several records, written at once; whether all are kept."""
        ids = [self._memory.add(kind, said) for said in many]
        until = time.monotonic() + PATIENCE
        self._try(lambda: self._write_unless_done(ids, until))
        return not any(map(self._memory.waits, ids))

    def log(self, **said: Any) -> None:
        """Add a line to the log of searches, which is written later. Never waits, never raises."""
        self._memory.log(said)

    def watch(self) -> None:
        """Begin to read what others add, and to write what waits, in a thread."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._work, name="state", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what waits, if that is possible, and stop the thread."""
        until = time.monotonic() + CLOSING
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(CLOSING)
            self._thread = None
        self._tell_dropped()
        if self._waiting:
            self._try(lambda: self._write(until))
        if self._waiting:
            self._tell_left()

    def searches(self) -> Iterator[dict[str, Any]]:
        """All lines of the log that are kept, the oldest first. Raises StateError, HubError."""
        with self._used(time.monotonic() + PATIENCE) as until:
            self._store.read(until)  # others may have erased
        for day in self._store.logs():
            found = (line for data in day for line in self._memory.parse(data))
            lines = {str(line.get("id", line)): line for line in found}
            for _, line in sorted(lines.items()):
                if not self._memory.erased(line.get("by"), str(line.get("time"))):
                    yield line

    def erase(self, by: str) -> int:
        """Remove all lines of the log by somebody, everywhere; how many there were.

        Raises StateError, HubError: then do it again, for some may be left.
        """
        gone = self._memory.drop(lambda line: line.by == by)

        def cut(data: bytes) -> bytes:
            kept = []
            for line in data.split(b"\n"):
                # What cannot be read nobody can search for, but it may be somebody's.
                if (found := decoded(line)) is not None:
                    if found.get("by") == by:
                        gone.add(str(found.get("id", found)))
                    else:
                        kept.append(line + b"\n")
            return b"".join(kept)

        with self._used(time.monotonic() + ERASING):
            # First, so that nobody writes again what is erased.
            id = self._memory.add(ERASURE, {"by": by, "before": iso(time.time_ns())})
            while self._memory.waits(id):
                self._store.write(time.monotonic() + PATIENCE)
            self._store.edit(cut)
        return len(gone)

    def prune(self, days: int) -> int:
        """Remove the log but for so many days, today being one; how many files that were.

        Raises StateError, HubError.
        """
        today = datetime.now(UTC).date()
        first = (today - timedelta(days - 1)).isoformat() if days > 0 else None
        with self._used(time.monotonic() + ERASING):
            self._memory.drop(lambda line: first is None or line.time < first)
            return self._store.prune(first)

    def secret(self) -> bytes:
        """32 bytes made by chance once, for all who use this state. Raises StateError, HubError."""
        if self._secret is None:
            with self._used(time.monotonic() + ERASING):
                kept = self._store.secret(secrets.token_hex(32) + "\n")
            try:
                self._secret = bytes.fromhex(kept)
            except ValueError:
                self._secret = b""
            if len(self._secret) != 32:
                self._secret = None
                raise StateError(
                    f"The file secret of {self.name} is damaged. Put it back, or delete it: then "
                    "another is made, and everybody has to sign in again."
                )
        return self._secret

    # The thread

    def _work(self) -> None:
        while not self._stopping.wait(self._store.every):
            self._try(self._go_round)

    def _go_round(self) -> None:
        until = time.monotonic() + PATIENCE
        self._tell_dropped()
        if not self._try(lambda: self._read(until)):
            self._write_again = 0.0  # once it answers
            return
        now = time.monotonic()
        due = self._memory.records_waiting or (self._memory.lines_waiting and now >= self._log_due)
        if not due or now < self._write_again:
            return
        if self._try(lambda: self._write(until)):
            self._pause = 0.0
        else:
            self._pause = min(max(2 * self._pause, self._store.every), LONGEST_PAUSE)
            self._write_again = time.monotonic() + self._pause

    # The store

    @contextmanager
    def _used(self, until: float) -> Iterator[float]:
        if not self._using.acquire(timeout=max(0.0, until - time.monotonic())):
            raise _BusyError(f"{self.name} is being written for long. Try again in a minute.")
        try:
            yield until
        finally:
            self._using.release()

    def _read(self, until: float) -> None:
        with self._used(until):
            self._store.read(until)
        if not self._waiting:  # else it is to be seen whether it can be written
            self._found()

    def _write(self, until: float) -> None:
        with self._used(until):
            self._write_all(until)

    def _write_unless_done(self, ids: list[str], until: float) -> None:
        with self._used(until):
            if any(map(self._memory.waits, ids)):  # who had the store before may have
                self._write_all(until)

    def _write_all(self, until: float) -> None:
        last = self._memory.last()  # what is added from now on may wait: it would never end
        self._store.write(until)
        while self._memory.waits_up_to(last) and time.monotonic() < until:
            self._store.write(until)
        self._log_due = time.monotonic() + self._store.log_every
        self._found()

    @property
    def _waiting(self) -> int:
        return self._memory.records_waiting + self._memory.lines_waiting

    # What the operator is told

    def _try(self, action: Callable[[], None]) -> bool:
        """Whether it could be done; the operator is told once why not."""
        try:
            action()
        except _BusyError:
            return False
        except ImageSearchError as error:
            self._lost(str(error))
            return False
        except Exception as error:
            if type(error).__name__ not in self._unforeseen:
                self._unforeseen.add(type(error).__name__)
                say(f"error: {self.name}: {''.join(traceback.format_exception(error)).strip()}")
            return False
        return True

    def _lost(self, why: str) -> None:
        with self._telling:
            if not self._trouble:
                self._trouble = True
                say(
                    f"warning: {why} Until then what people add counts as long as this program "
                    "runs, and is written as soon as it can be."
                )

    def _found(self) -> None:
        with self._telling:
            if self._trouble:
                self._trouble = False
                say(f"What people add is kept again in {self.name}.")

    def _tell_dropped(self) -> None:
        if self._memory.dropped and not self._told_dropped:
            self._told_dropped = True
            say(
                f"warning: lines of the record of searches are lost: {self.name} has taken none "
                "for long, or they were too long."
            )

    def _tell_left(self) -> None:
        say(
            f"warning: lost, since {self.name} could not be written: "
            f"{self._memory.records_waiting:,} records of what people added, and "
            f"{self._memory.lines_waiting:,} of searches."
        )


def _store(place: str | Path, memory: Memory) -> Store:
    named = REPO.fullmatch(str(place))
    if named is None or isinstance(place, Path) or Path(place).exists():
        return Folder(Path(place), memory)
    if named["revision"]:
        raise StateError(f"{place} cannot be a state: leave out what stands after the @.")
    from image_search.state_hub import Dataset  # the Hub's client takes a second to load

    return Dataset(named["repo"], memory)
