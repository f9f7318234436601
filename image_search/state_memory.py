"""What this process knows of a state, and what it has yet to write of it."""

import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from image_search.say import say as say_

MOST_LINES = 10_000
"""Of the log that wait: some megabytes, if nobody can write for hours."""

BATCH = 2_000_000
"""Bytes that are written at once: the Hub takes 10 MB as an ordinary file."""

LONGEST = 100_000
"""Bytes of a line."""

RECORDS = "records"
ERASURE = "erasure"


@dataclass(frozen=True)
class Record:
    """Something that somebody added."""

    kind: str
    id: str
    """Unique; later ones have greater ids."""
    time: str
    """ISO 8601, UTC."""
    said: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """What is written of a record or of a search."""

    id: str
    folder: str
    data: bytes
    by: Any
    time: str


class Memory:
    """What is known, and what is yet to be written. Any thread may use it: it never waits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.writer = secrets.token_hex(4)
        self.generation = 0
        self.dropped = 0
        """How many lines of the log were given up."""
        self._lock = threading.Lock()
        self._newest = 0
        self._count = 0
        self._ids: set[str] = set()
        self._kinds: dict[str, list[Record]] = {}
        self._unsorted: set[str] = set()
        self._records: dict[str, Line] = {}
        self._log: OrderedDict[str, Line] = OrderedDict()
        self._erased: dict[str, str] = {}
        self._warned = False

    def records(self, kind: str) -> list[Record]:
        with self._lock:
            known = self._kinds.get(kind, [])
            if kind in self._unsorted:
                self._unsorted.remove(kind)
                known.sort(key=lambda record: record.id)
            return known.copy()

    def add(self, kind: str, said: dict[str, Any]) -> str:
        """Make a record, which counts at once; its id. Raises ValueError and TypeError."""
        with self._lock:
            id, moment = self._next()
            data = _encoded({"id": id, "kind": kind, "time": moment, "said": said})
            if len(data) > LONGEST:
                raise ValueError(f"A record may have {LONGEST:,} bytes; this has {len(data):,}.")
            # As everybody will read it: tuples are lists, and what the caller has is not shared.
            self._keep([Record(kind, id, moment, json.loads(data)["said"])])
            self._records[id] = Line(id, RECORDS, data, None, moment)
            return id

    def log(self, said: dict[str, Any]) -> None:
        """Take a line of the log. Never raises."""
        with self._lock:
            try:
                id, moment = self._next()
                data = _encoded({**said, "id": id, "time": moment}, default=str)
                if len(data) > LONGEST:
                    raise ValueError("too long")
            except Exception:  # a search is not refused because it cannot be recorded
                self.dropped += 1
                return
            self._log[id] = Line(id, f"searches/{moment[:10]}", data, said.get("by"), moment)
            while len(self._log) > MOST_LINES:
                self._log.popitem(last=False)
                self.dropped += 1

    def learn(self, data: bytes) -> None:
        """Read lines of records, known or not."""
        found = [record for line in self.parse(data) if (record := self._record(line))]
        with self._lock:
            self._keep(found)

    def parse(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The objects of lines. The last one may be torn; of others the operator is told."""
        lines = data.rstrip(b"\n").split(b"\n")
        for number, line in enumerate(lines, 1):
            if line.strip():
                if (found := decoded(line)) is not None:
                    yield found
                elif number < len(lines):
                    self._warn()

    def batch(self) -> list[Line]:
        """What is to be written next, records first."""
        chosen: list[Line] = []
        size = 0
        with self._lock:
            for line in (*self._records.values(), *self._log.values()):
                size += len(line.data)
                if chosen and size > BATCH:
                    break
                chosen.append(line)
        return chosen

    def wrote(self, lines: Iterable[Line]) -> None:
        """Learn that lines are kept."""
        with self._lock:
            for line in lines:
                self._records.pop(line.id, None)
                self._log.pop(line.id, None)

    def waits(self, id: str) -> bool:
        """Whether a record is yet to be written."""
        return id in self._records

    def last(self) -> str:
        """The greatest id there can be by now."""
        return f"{self._newest:016x}~"

    def waits_up_to(self, last: str) -> bool:
        """Whether something that is not newer is yet to be written."""
        with self._lock:
            return any(next(iter(lines), "~") < last for lines in (self._records, self._log))

    @property
    def records_waiting(self) -> int:
        return len(self._records)

    @property
    def lines_waiting(self) -> int:
        return len(self._log)

    def erased(self, by: Any, moment: str) -> bool:
        """Whether what somebody searched for at a time is to be forgotten."""
        return isinstance(by, str) and moment <= self._erased.get(by, "")

    def drop(self, unwanted: Callable[[Line], bool]) -> set[str]:
        """Forget lines of the log that wait; their ids."""
        with self._lock:
            return self._drop(unwanted)

    def _next(self) -> tuple[str, str]:
        """An id greater than all that are known, whatever the clocks say; and the time."""
        now = time.time_ns()
        self._newest = max(now, self._newest + 1)
        self._count += 1
        return f"{self._newest:016x}-{self.writer}-{self._count:06x}", iso(now)

    def _keep(self, records: list[Record]) -> None:
        new = {record.id: record for record in records if record.id not in self._ids}
        for record in new.values():
            known = self._kinds.setdefault(record.kind, [])
            known.append(record)
            if len(known) > 1 and known[-2].id > record.id:
                self._unsorted.add(record.kind)
            if record.kind == ERASURE:
                self._erase(record.said)
        if new:
            self._ids |= new.keys()
            self._newest = max(self._newest, _moment(max(new)))
            self.generation += 1

    def _erase(self, said: dict[str, Any]) -> None:
        by, before = said.get("by"), said.get("before")
        if isinstance(by, str) and isinstance(before, str):
            self._erased[by] = max(before, self._erased.get(by, ""))
            self._drop(lambda line: self.erased(line.by, line.time))

    def _drop(self, unwanted: Callable[[Line], bool]) -> set[str]:
        ids = {line.id for line in self._log.values() if unwanted(line)}
        for id in ids:
            del self._log[id]
        return ids

    def _record(self, line: dict[str, Any]) -> Record | None:
        match line:
            case {"kind": str(kind), "id": str(id), "time": str(moment), "said": dict(said)}:
                return Record(kind, id, moment, said)
        self._warn()
        return None

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            say(f"warning: {self.name} has a line that cannot be read; it is passed over.")


def _encoded(said: dict[str, Any], default: Callable[[Any], str] | None = None) -> bytes:
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, allow_nan=False, default=default)
    return text.encode("utf-8", "replace") + b"\n"  # half a surrogate pair becomes a ?


def decoded(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _moment(id: str) -> int:
    """The nanoseconds in an id; 0 if somebody else made it."""
    try:
        return min(int(id[:16], 16), 2**62)
    except ValueError:
        return 0


def iso(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(text: str) -> None:
    """Tell the operator, if he listens."""
    with suppress(OSError, ValueError):
        say_(text)


def by_folder(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines of each folder, in their order."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.folder, []).append(line)
    return found
