"""Workers: in order, in processes, by threads; and pictures that take their process with them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from image_search import workers
from image_search.build import build
from image_search.collection import Collection, Entry, Reject
from image_search.encoder import OnnxEncoder
from image_search.errors import CollectionError, PictureError
from image_search.prepare import Prepared, Preparer
from image_search.workers import CRASHED, Outcome, Work, Workers


@dataclass(frozen=True)
class Words:
    """A reader whose places are what is read."""

    def read(self, place: str) -> bytes:
        if place == "missing":
            raise PictureError("cannot be read: it is missing")
        return place.encode()

    def check(self) -> None:
        raise CollectionError("never asked here")

    def close(self) -> None:
        pass


def deadly(data: bytes) -> Prepared:
    """Makes of anything a picture one pixel wide; of some words an end."""
    if data == b"crash":
        os._exit(11)
    if data == b"bad":
        raise PictureError("damaged: bad")
    if data == b"unwritable":
        raise OSError("encoder error -2")
    return Prepared(data, str(os.getpid()).encode(), 1, 1, np.zeros((1, 1, 3), np.uint8))


def make_deadly() -> Preparer:
    return deadly


def outcomes(words: list[str], readers: int = 0) -> list[Outcome]:
    entries = [Entry(str(number), word, "") for number, word in enumerate(words)]
    return list(Workers(Work(Words(), make_deadly), 2, readers).prepare(entries))


def text(outcome: Outcome) -> str:
    return outcome.reason if isinstance(outcome, Reject) else outcome.stored.decode()


@pytest.mark.parametrize("readers", [0, 3])
def test_everything_comes_back_in_order(readers: int) -> None:
    words = [f"word {n}" for n in range(300)]
    words[7], words[8], words[9] = "missing", "bad", "unwritable"
    found = outcomes(words, readers)
    assert [text(o) for o in found[:7]] == words[:7]
    assert found[7:10] == [
        Reject("7", "cannot be read: it is missing"),
        Reject("8", "damaged: bad"),
        Reject("9", "cannot be stored: encoder error -2"),
    ]
    assert [text(o) for o in found[10:]] == words[10:]
    by = {o.thumbnail for o in found if isinstance(o, Prepared)}
    assert str(os.getpid()).encode() not in by


def test_a_picture_that_crashes_its_process_is_a_reject_and_the_rest_goes_on() -> None:
    words = [f"word {n}" for n in range(200)]
    for place in (3, 90, 91, 199):
        words[place] = "crash"
    found = outcomes(words)
    assert [n for n, o in enumerate(found) if isinstance(o, Reject)] == [3, 90, 91, 199]
    assert {o.reason for o in found if isinstance(o, Reject)} == {CRASHED}
    assert [text(o) for o in found if not isinstance(o, Reject)] == [
        word for word in words if word != "crash"
    ]


def test_only_some_are_prepared_ahead() -> None:
    asked = 0

    def entries() -> Iterator[Entry]:
        nonlocal asked
        for number in range(100_000):
            asked += 1
            yield Entry(str(number), "word", "")

    next(Workers(Work(Words(), make_deadly), 2).prepare(entries()))
    assert asked <= (workers.AHEAD * 2 + 1) * workers.CHUNK


def test_large_pictures_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "AHEAD_BYTES", 1000)
    monkeypatch.setattr(workers, "CHUNK_BYTES", 400)
    asked = 0

    def entries() -> Iterator[Entry]:
        nonlocal asked
        for number in range(1000):
            asked += 1
            yield Entry(str(number), "x" * 100, "")

    stream = Workers(Work(Words(), make_deadly), 2, readers=4).prepare(entries())
    for taken in range(200):
        next(stream)
        assert (asked - taken) * 100 < 5000
    assert sum(1 for _ in stream) == 800


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    """Killed with -9, it can tell them nothing."""
    import subprocess
    import sys
    import time

    script = """
import os, sys, time
sys.path.insert(0, "tests")
from test_workers import Words, make_deadly
from image_search.collection import Entry
from image_search.workers import Work, Workers
pool = Workers(Work(Words(), make_deadly), 2)
stream = pool.prepare(Entry(str(n), "word", "") for n in range(100))
found = {next(stream).thumbnail.decode() for _ in range(100)}
print(*found, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    ) as process:
        assert process.stdout is not None
        children = [int(word) for word in process.stdout.readline().split()]
        assert children
        process.kill()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() and not _ended(child) for child in children):
        assert time.monotonic() < deadline, "workers outlive the program"
        time.sleep(0.1)


def _ended(process: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True


def test_a_script_without_a_main_guard_may_build(tmp_path: Path) -> None:
    """As a keeper writes it: processes must not run the script again."""
    import subprocess
    import sys

    script = tmp_path / "keeper.py"
    script.write_text(
        "import sys; sys.path[:0] = ['.', 'tests']\n"
        "print('once')\n"
        "from test_workers import outcomes\n"
        "print(len(outcomes(['word'] * 40)))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["once", "40"]
    assert done.stderr == ""


@dataclass(frozen=True)
class Deadly(Words):
    """A reader that ends the process which reads some of its places, if it is not this one."""

    process: int

    def read(self, place: str) -> bytes:
        if place.startswith("crash") and os.getpid() != self.process:
            os._exit(11)
        buffer = BytesIO()
        Image.new("RGB", (8, 8), place).save(buffer, "PNG")
        return buffer.getvalue()


@pytest.mark.parametrize("count", [3, 70])
def test_a_build_survives_pictures_that_crash_wherever_they_are(
    count: int, colours: OnnxEncoder, tmp_path: Path
) -> None:
    """The first is in the sample that is tried before the build, too."""
    places = ["crash", *(["red"] * count), "crash again"]
    collection = Collection(
        kind="folder",
        name="deadly",
        fields=[],
        entries=[Entry(f"{n:03}", place, "") for n, place in enumerate(places)],
        metadata=pa.table({"": pa.nulls(len(places))}).select([]),
        rejects=[],
        notices=[],
        reader=Deadly(os.getpid()),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deadly, "check", lambda self: None)
        summary = build(collection, colours, tmp_path / "out")
    assert summary.rows == count
    assert summary.rejects == {"cannot be read": 2}
