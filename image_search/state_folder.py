"""A state in a folder of this machine, which several processes may use at the same time."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from image_search.errors import StateError
from image_search.state_memory import RECORDS, Memory, by_folder
from image_search.to_disk import to_disk

EVERY = 2
"""Seconds after which the folder is looked at again: a listing of a few names."""

EDITING = 600
"""Seconds: whoever erases waits for the others, who write for a moment each."""

SEGMENT = "0001.jsonl"
"""The file that is written, of each folder; others may have been copied there."""

DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Folder:
    """A state in a folder.

    Who writes has the lock, and writes whole lines that are on the disk before it is let go. Who
    reads needs no lock: records are only ever appended.
    """

    def __init__(self, folder: Path, memory: Memory) -> None:
        self.name = str(folder)
        self._folder = folder
        self._memory = memory
        # Not bound to a thread: State has only one in here at a time.
        self._lock = FileLock(folder / ".lock", mode=0o600, thread_local=False, poll_interval=0.005)
        self._read: dict[Path, tuple[int, int]] = {}
        """Of each file: its inode, and how far it was read."""

    @property
    def every(self) -> float:
        return EVERY

    @property
    def log_every(self) -> float:
        return EVERY

    def open(self, make: bool) -> None:
        if (self._folder / "manifest.json").exists():
            raise StateError(
                f"{self.name} is a built collection, which never changes. Set IMAGE_SEARCH_STATE "
                "to a folder of its own."
            )
        if self._folder.exists() and not self._folder.is_dir():
            raise StateError(f"{self.name} is a file. Set IMAGE_SEARCH_STATE to a folder.")
        if not make:
            self._check_there()
        with self._telling():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError("this program may not write there")
            with suppress(Timeout), self._locked(time.monotonic()):
                pass  # it can be written: the lock is a file
            self._read_new()

    def _check_there(self) -> None:
        if not self._folder.is_dir():
            raise StateError(
                f"There is no state at {self.name}. Set IMAGE_SEARCH_STATE to where the server has "
                "it, or put it back."
            )

    def read(self, until: float) -> None:
        self._check_there()
        with self._telling():
            self._read_new()

    def write(self, until: float) -> None:
        self._check_there()  # a new one would hold nothing of what was there
        with self._telling(), self._locked(until):
            self._read_new()
            for name, lines in by_folder(self._memory.batch()).items():
                _append(self._folder / name / SEGMENT, b"".join(line.data for line in lines))
                self._memory.wrote(lines)

    def logs(self) -> Iterator[list[bytes]]:
        with self._telling():
            for day in self._days():
                yield [data for path in _files(day) if (data := _content(path))]

    def edit(self, cut: Callable[[bytes], bytes]) -> None:
        with self._telling(), self._locked(time.monotonic() + EDITING):
            for day in self._days():
                for left in day.glob("*.part"):  # by somebody who was killed
                    left.unlink()
                for path in _files(day):
                    data = _content(path)
                    if (kept := cut(data)) != data:
                        _replace(path, kept)
                _remove_empty(day)

    def prune(self, first: str | None) -> int:
        count = 0
        with self._telling(), self._locked(time.monotonic() + EDITING):
            for day in self._days():
                if first is None or day.name < first:
                    count += len(_files(day))
                    for path in day.iterdir():
                        path.unlink()
                    _remove_empty(day)
        return count

    def secret(self, fresh: str) -> str:
        path = self._folder / "secret"
        with self._telling(), self._locked(time.monotonic() + EDITING):
            if not path.exists():
                _replace(path, fresh.encode())
            return path.read_text(encoding="ascii", errors="replace")

    def _days(self) -> list[Path]:
        folder = self._folder / "searches"
        if not folder.exists():
            return []
        return sorted(day for day in folder.iterdir() if DAY.fullmatch(day.name))

    def _read_new(self) -> None:
        for path in _files(self._folder / RECORDS):
            found = path.stat()
            inode, at = self._read.get(path, (found.st_ino, 0))
            if inode != found.st_ino or found.st_size < at:
                at = 0  # another file by that name
            if found.st_size > at:
                with path.open("rb") as file:
                    file.seek(at)
                    data = file.read()
                whole = data[: data.rfind(b"\n") + 1]  # the rest is being written, or is torn
                self._memory.learn(whole)
                self._read[path] = (found.st_ino, at + len(whole))

    @contextmanager
    def _locked(self, until: float) -> Iterator[None]:
        with self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except Timeout:
            raise StateError(
                f"What people add cannot be kept in {self.name}: another program has had it for "
                "long. Try again."
            ) from None
        except OSError as error:
            raise StateError(
                f"What people add cannot be kept in {self.name}: {error.strerror or error}. Give "
                "it room, and have this program read and write it; or set IMAGE_SEARCH_STATE."
            ) from None


def _files(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(folder / name for name in names if name.endswith(".jsonl"))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # just now removed by another process
        return b""


def _append(path: Path, data: bytes) -> None:
    """Add lines to a file, and have them on the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = not path.exists()
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            data = b"\n" + data  # somebody was killed in the middle of a line
        try:
            _write(file, data)
            os.fsync(file)
        except OSError:
            with suppress(OSError):  # whole lines stay: somebody may have read on after them
                written = os.pread(file, len(data), size)
                os.ftruncate(file, size + written.rfind(b"\n") + 1)
            raise
    finally:
        os.close(file)
    if new:
        for folder in (path.parent, path.parent.parent):
            to_disk(folder)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _replace(path: Path, data: bytes) -> None:
    """Replace a file at once, or remove it if nothing is to be in it."""
    if not data:
        path.unlink()
        return
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _write(file, data)
        os.fsync(file)
    finally:
        os.close(file)
    part.replace(path)
    to_disk(path.parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
