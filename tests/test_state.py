"""What people add is kept: in real files, by real processes, and by the real client of the Hub."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hub_here import asked, hub_here, log_in
from hub_standin import Fault, HubStandin

from image_search.errors import HubError, StateError
from image_search.settings import settings
from image_search.state import State

ROOT = Path(__file__).parent.parent
REPO = "alice/state"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")

Open = Callable[[], State]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("state_folder", "state_hub"):
        monkeypatch.setattr(f"image_search.{module}.EVERY", 0.05)
    monkeypatch.setattr("image_search.state_hub.LOG_EVERY", 0.1)
    monkeypatch.setattr("image_search.state_hub.PAUSE", 0.02)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandin]:
    with hub_here(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep/state"


@pytest.fixture(params=["folder", "hub"])
def opening(request: pytest.FixtureRequest, folder: Path) -> Iterator[Open]:
    """Opens the same state again and again, once in a folder and once on the Hub."""
    if request.param == "hub":
        request.getfixturevalue("hub")
    opened: list[State] = []

    def open_state() -> State:
        opened.append(State.open(folder if request.param == "folder" else REPO))
        return opened[-1]

    yield open_state
    for state in opened:
        state.close()


def eventually(true: Callable[[], object], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


def numbers(state: State, kind: str = "n") -> list[int]:
    return [record.said["n"] for record in state.records(kind)]


def logged(state: State) -> list[tuple[str, int]]:
    return [(line["by"], line["n"]) for line in state.searches()]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


# Programs of their own. They hurry as well, say what they have done, and can be killed.

PROGRAM = """
import sys, threading, time
from image_search import state_folder, state_hub
from image_search.state import State
state_folder.EVERY = state_hub.EVERY = 0.02
state_hub.LOG_EVERY = 0.1
state = State.open(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""

ADDS_500 = "kept = [state.add('n', n=n, who=sys.argv[2]) for n in range(500)]; assert all(kept)"

ADDS_AND_LOGS_FOR_EVER = """
state.watch()
for n in range(10**9):
    state.log(by="reader", n=n, words="w" * 300)
    if state.add("n", n=n):
        print(n, flush=True)
"""

LOGS_UNTIL_STOPPED = """
state.watch()
done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), done.set())).start()
n = 0
while not done.wait(0.002):
    state.log(by="a" if n % 2 else "b", n=n)
    n += 1
state.close()
print(n, flush=True)
"""


class Program:
    """A process that has opened a state and does something with it once `go` is called."""

    def __init__(
        self, place: str | Path, does: str, *arguments: str, hub: HubStandin | None = None
    ) -> None:
        home = hub.store.folder / "home" if hub else None
        environment = hub.environment("owner", home) if hub and home else dict(os.environ)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + does, str(place), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def __enter__(self) -> "Program":
        assert self.stdout.readline() == "open\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()

    def go(self) -> None:
        self.stdin.write("\n")
        self.stdin.flush()

    def killed(self) -> list[int]:
        """Kill it as the machine would; the numbers that it had said."""
        self.process.send_signal(signal.SIGKILL)
        said = self.stdout.read().split("\n")
        return [int(number) for number in said[:-1]]  # the last may be torn


# Both places


def test_what_is_added_is_there_at_once_and_after_a_restart(opening: Open) -> None:
    state = opening()
    before = state.generation
    assert state.add("suppression", picture="a/ö.jpg", withdrawn=True, because=["x", None, 1.5])
    assert state.add("token", kind="of mine", self="too")
    assert state.add("suppression", picture="b", lines="one\ntwo\u2028\r", pair=(1, 2))
    assert state.generation > before
    for known in (state, opening()):
        first, second = known.records("suppression")
        assert first.said == {"picture": "a/ö.jpg", "withdrawn": True, "because": ["x", None, 1.5]}
        assert second.said == {"picture": "b", "lines": "one\ntwo\u2028\r", "pair": [1, 2]}
        assert [r.said for r in known.records("token")] == [{"kind": "of mine", "self": "too"}]
        assert first.id < known.records("token")[0].id < second.id
        told = datetime.fromisoformat(first.time)
        assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)
        assert known.records("none") == []
    assert state.records("suppression") == opening().records("suppression")


def test_what_a_caller_does_with_records_changes_none(opening: Open) -> None:
    state = opening()
    many = [1]
    state.add("n", n=many)
    many.append(2)
    state.records("n").clear()
    assert numbers(state) == [[1]]


def test_what_is_no_json_is_refused_and_does_not_count(opening: Open) -> None:
    state = opening()
    with pytest.raises(TypeError):
        state.add("n", n=object())
    with pytest.raises(ValueError, match="100,000 bytes"):
        state.add("n", n="x" * 200_000)
    state.log(by="x", n=1, odd=object(), half="\ud800")
    assert state.records("n") == []
    state.close()
    [line] = state.searches()
    assert (line["n"], line["half"]) == (1, "?")


def test_many_are_added_in_one_write(opening: Open) -> None:
    state = opening()
    assert state.add_all("n", ({"n": n} for n in range(100)))
    assert numbers(state) == numbers(opening()) == list(range(100))


def test_threads_that_add_at_the_same_time_lose_nothing(opening: Open) -> None:
    state = opening()
    state.watch()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda n: state.add("n", n=n), range(80)))
    assert sorted(numbers(opening())) == list(range(80))


def test_who_watches_sees_what_others_add(opening: Open) -> None:
    one, two = opening(), opening()
    one.watch()
    two.watch()
    before = two.generation
    assert one.add("n", n=1)
    eventually(lambda: numbers(two) == [1])
    assert two.generation > before
    assert two.add("n", n=2)
    eventually(lambda: numbers(one) == [1, 2])
    assert one.add("n", n=3)
    eventually(lambda: numbers(two) == [1, 2, 3])


def test_what_answers_another_stands_after_it_whatever_the_clocks_say(
    opening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, now = opening(), time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr("time.time_ns", lambda: now() + 3_600 * 10**9)
        ahead.add("n", n=1)
        ahead.add("n", n=2)
    behind = opening()
    behind.add("n", n=3)
    assert numbers(behind) == numbers(opening()) == [1, 2, 3]


def test_the_log_is_written_by_the_thread_and_at_the_end(opening: Open) -> None:
    state = opening()
    state.watch()
    state.log(by="reader", n=1, words="ein Gärtner")
    eventually(lambda: logged(opening()) == [("reader", 1)])
    state.close()
    state.close()
    state.log(by="reader", n=2)
    state.close()
    first, second = opening().searches()
    assert first["words"] == "ein Gärtner"
    assert first["time"] <= second["time"]
    assert first["id"] < second["id"]


def test_nothing_is_written_before_somebody_adds(opening: Open) -> None:
    state = opening()
    state.watch()
    state.close()
    assert list(state.searches()) == []
    assert state.prune(0) == 0
    assert state.erase("nobody") == 0


def test_erasing_removes_what_one_searched_for_and_nothing_else(opening: Open) -> None:
    one, two = opening(), opening()
    for n in range(6):
        (one if n % 3 else two).log(by="ab"[n % 2], n=n)
    for state in (one, two):
        state.close()
    two.log(by="a", n=6)  # waits
    two.log(by="b", n=7)
    assert one.erase("a") == 3
    time.sleep(0.01)
    two.log(by="a", n=8)  # is back, and may be
    two.close()
    assert sorted(logged(opening())) == [("a", 8), ("b", 1), ("b", 3), ("b", 5), ("b", 7)]
    assert two.erase("a") == 1
    assert {by for by, _ in logged(opening())} == {"b"}


def test_what_waits_here_is_erased_as_well(opening: Open) -> None:
    state = opening()
    state.log(by="a", n=1)
    state.log(by="b", n=2)
    assert state.erase("a") == 1
    state.close()
    assert logged(opening()) == [("b", 2)]


def test_old_days_are_removed(opening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    state, now = opening(), time.time_ns
    for days in (90, 89, 1, 0):
        with monkeypatch.context() as patch:
            patch.setattr("time.time_ns", lambda ago=days: now() - ago * 86_400 * 10**9)
            state.log(by="a", n=days)
        state.close()
    assert [n for _, n in logged(opening())] == [90, 89, 1, 0]
    assert opening().prune(90) == 1
    assert [n for _, n in logged(opening())] == [89, 1, 0]
    assert opening().prune(1) == 2
    state.log(by="a", n=-1)
    assert state.prune(0) == 1
    state.close()
    assert logged(opening()) == []


def test_the_secret_is_made_once(opening: Open) -> None:
    states = [opening() for _ in range(4)]
    meeting = threading.Barrier(4)

    def ask(state: State) -> bytes:
        meeting.wait(10)
        return state.secret()

    with ThreadPoolExecutor(4) as pool:
        secrets = set(pool.map(ask, states))
    assert secrets == {opening().secret()}
    assert len(secrets.pop()) == 32


def test_a_log_that_nobody_takes_is_bounded_and_the_operator_told(
    opening: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("image_search.state_memory.MOST_LINES", 100)
    state = opening()
    for n in range(250):
        state.log(by="a", n=n)
    state.close()
    assert [n for _, n in logged(opening())] == list(range(150, 250))
    state.log(by="a", n="x" * 200_000)
    state.close()
    assert capsys.readouterr().err.count("lines of the record of searches are lost") == 1


def test_more_than_one_batch_is_written(opening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_search.state_memory.BATCH", 1_000)
    monkeypatch.setattr("image_search.state_hub.SEGMENT", 3_000)
    state = opening()
    for n in range(60):
        state.log(by="a", n=n)
    assert state.add_all("n", ({"n": n} for n in range(60)))
    state.close()
    assert numbers(opening()) == list(range(60))
    assert [n for _, n in logged(opening())] == list(range(60))


# A folder


def test_in_a_folder_only_its_owner_reads(folder: Path) -> None:
    state = State.open(folder)
    state.add("n", n=1)
    state.log(by="a", n=1)
    state.secret()
    state.close()
    day = datetime.now(UTC).date().isoformat()
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == {".lock", "records/0001.jsonl", f"searches/{day}/0001.jsonl", "secret"}
    assert {(folder / name).stat().st_mode & 0o777 for name in files} == {0o600}
    assert {p.stat().st_mode & 0o777 for p in (folder, folder / "searches" / day)} == {0o700}
    line = (folder / "records/0001.jsonl").read_text()
    assert list(json.loads(line)) == ["id", "kind", "said", "time"]


def test_the_place_is_a_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_SEARCH_STATE", str(folder))
    settings.cache_clear()
    try:
        assert State.open().name == str(folder)
    finally:
        settings.cache_clear()
    with pytest.raises(StateError, match="leave out what stands after the @"):
        State.open("alice/state@main")


def test_two_processes_that_write_at_the_same_time_lose_nothing(folder: Path) -> None:
    with Program(folder, ADDS_500, "one") as one, Program(folder, ADDS_500, "two") as two:
        one.go()
        two.go()
        assert one.process.wait(30) == two.process.wait(30) == 0
    records = State.open(folder).records("n")
    by = {who: [r.said["n"] for r in records if r.said["who"] == who] for who in ("one", "two")}
    assert by == {"one": list(range(500)), "two": list(range(500))}


def test_a_program_that_is_killed_loses_nothing_that_was_kept(folder: Path) -> None:
    for killed in range(3):
        with Program(folder, ADDS_AND_LOGS_FOR_EVER) as program:
            program.go()
            time.sleep(0.4 + 0.1 * killed)
            said = program.killed()
        assert len(said) > 10
        state = State.open(folder)
        assert set(said) <= set(numbers(state, "n"))
        assert logged(state)
        append(folder / "records/0001.jsonl", b'{"id": "torn", "ki')
        assert state.add("n", n=-1 - killed)
        assert -1 - killed in numbers(State.open(folder))
        shutil.rmtree(folder / "records")


def test_torn_lines_harm_nothing_and_broken_ones_are_told_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    State.open(folder).add("n", n=1)
    path = folder / "records/0001.jsonl"
    append(path, b'{"id": "0", "kind": "n", "time": "", "said": {"n": 0')
    state = State.open(folder)
    assert numbers(state) == [1]
    assert capsys.readouterr().err == ""
    assert state.add("n", n=2)
    append(path, b"\xff\n[]\n\n" + b"[" * 100_000 + b'\n{"id": 1}\n')
    assert state.add("n", n=3)
    assert numbers(State.open(folder)) == [1, 2, 3]
    assert capsys.readouterr().err.count("cannot be read; it is passed over") == 2  # two opened


def test_a_file_that_was_replaced_or_cut_is_read_again(folder: Path) -> None:
    state = State.open(folder)
    assert state.add_all("n", ({"n": n} for n in range(9)))
    path = folder / "records/0001.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    watching = State.open(folder)
    watching.watch()
    new = [line.replace('{"id": "', '{"id": "f').replace('"n": ', '"n": 1') for line in lines]
    path.write_text("".join(new[:5]))
    eventually(lambda: len(numbers(watching)) == 14)
    other = path.with_name("other")
    other.write_text("".join([*new[:5], *new[8:], *lines]))
    other.rename(path)
    eventually(lambda: len(numbers(watching)) == 15)
    (folder / "records/another.jsonl").write_text("".join(new))
    eventually(lambda: numbers(watching)[-9:] == [10, 11, 12, 13, 14, 15, 16, 17, 18])
    watching.close()


def test_erasing_while_others_write_loses_nothing_and_nothing_comes_back(folder: Path) -> None:
    eraser = State.open(folder)
    with (
        Program(folder, LOGS_UNTIL_STOPPED) as one,
        Program(folder, LOGS_UNTIL_STOPPED) as two,
    ):
        one.go()
        two.go()
        removed = 0
        for _ in range(10):
            time.sleep(0.1)
            removed += eraser.erase("a")
            assert not [line for line in _lines(folder, "a") if line["time"] < _erased(eraser)]
        counts = []
        for program in (one, two):
            program.go()
            counts.append(int(program.stdout.readline()))
            assert program.process.wait(20) == 0
    kept = list(eraser.searches())
    assert sum(line["by"] == "b" for line in kept) == sum((count + 1) // 2 for count in counts)
    assert removed > 100
    assert all(line["time"] > _erased(eraser) for line in kept if line["by"] == "a")


def _lines(folder: Path, by: str) -> list[dict[str, Any]]:
    """What is in the files, filtered by nobody."""
    texts = [path.read_text() for path in folder.glob("searches/*/*.jsonl")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return [line for line in lines if line["by"] == by]


def _erased(state: State) -> str:
    return str(state.records("erasure")[-1].said["before"])


def test_erasing_leaves_no_torn_piece_and_no_empty_file(folder: Path) -> None:
    state = State.open(folder)
    state.log(by="a", n=1, words="private")
    state.close()
    [path] = folder.glob("searches/*/*.jsonl")
    append(path, b'{"by": "a", "words": "privat')
    path.with_name("0001.jsonl.part").write_text("private")
    assert state.erase("a") == 1
    assert list(folder.rglob("searches/*")) == []


def test_a_searches_file_is_erased_by_the_next_when_one_was_killed_before(folder: Path) -> None:
    """The record of an erasure alone has the lines left out."""
    state = State.open(folder)
    state.log(by="a", n=1)
    state.log(by="b", n=2)
    state.close()
    assert state.add("erasure", by="a", before="2999-01-01T00:00:00.000Z")
    assert len(_lines(folder, "a")) == 1
    assert logged(State.open(folder)) == [("b", 2)]


def test_two_processes_that_start_at_once_have_one_secret(folder: Path) -> None:
    says = "print(state.secret().hex(), flush=True)"
    with Program(folder, says) as one, Program(folder, says) as two:
        one.go()
        two.go()
        secrets = {one.stdout.readline(), two.stdout.readline()}
    assert secrets == {State.open(folder).secret().hex() + "\n"}
    (folder / "secret").write_text("oh")
    with pytest.raises(StateError, match="file secret of .* is damaged. Put it back, or delete"):
        State.open(folder).secret()


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file/deeper"):
        with pytest.raises(
            StateError, match=r"file is a file\. Set|cannot be kept in .*file.*: Not a dir"
        ):
            State.open(place)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@ROOT_ONLY
def test_on_a_full_disk_it_counts_and_is_written_once_there_is_room(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State.open(small / "state")
    assert state.add("n", n=0)
    state.log(by="a", n=0)
    state.close()
    state.watch()
    room = os.statvfs(small)
    (small / "ballast").write_bytes(b"x" * room.f_bavail * room.f_bsize)
    long = "y" * 9_000  # more than the rest of the page that the file has
    begin = time.monotonic()
    assert not state.add("n", n=1, long=long)
    assert time.monotonic() - begin < 5
    state.log(by="a", n=1, long=long)
    time.sleep(0.5)
    assert numbers(state) == [0, 1]
    assert numbers(State.open(small / "state")) == [0]
    (small / "ballast").unlink()
    eventually(lambda: numbers(State.open(small / "state")) == [0, 1])
    assert state.add("n", n=2)
    state.close()
    text = (small / "state/records/0001.jsonl").read_text()
    assert [json.loads(line)["said"]["n"] for line in text.splitlines()] == [0, 1, 2]
    assert [n for _, n in logged(state)] == [0, 1]
    told = capsys.readouterr().err
    assert told.count("No space left on device. Give it room") == 1
    assert told.count("What people add is kept again") == 1


@ROOT_ONLY
def test_a_folder_that_may_not_be_written_is_told(small: Path) -> None:
    State.open(small / "state").add("n", n=0)
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(StateError, match="cannot be kept in .*state: .* or set IMAGE_SEARCH_STATE"):
        State.open(small / "state")


def test_a_thread_that_meets_the_unforeseen_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State.open(folder)
    state.watch()

    def refuse(file: int) -> None:
        raise RuntimeError("nobody thought of this")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", refuse)
        assert not state.add("n", n=1)
        time.sleep(0.5)
    eventually(lambda: state.add("n", n=2) and numbers(State.open(folder)) == [1, 2])
    shutil.move(folder / "records", folder / "moved")
    (folder / "records").write_text("")
    eventually(lambda: "Not a directory" in capsys.readouterr().err)
    (folder / "records").unlink()
    shutil.move(folder / "moved", folder / "records")
    eventually(lambda: "is kept again" in capsys.readouterr().err)
    state.close()


def test_what_is_unforeseen_is_printed_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State.open(folder)

    def refuse(file: int) -> None:
        raise RuntimeError("nobody thought of this")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", refuse)
        state.watch()
        assert not state.add("n", n=1)
        time.sleep(0.5)
    state.close()
    assert capsys.readouterr().err.count("\nRuntimeError: nobody thought of this") == 1
    assert numbers(State.open(folder)) == [1]


def test_what_could_not_be_written_at_the_end_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State.open(folder)
    shutil.rmtree(folder)
    folder.write_text("")
    assert not state.add("n", n=1)
    state.log(by="a", n=1)
    state.close()
    assert "lost, since" in (told := capsys.readouterr().err)
    assert "1 records of what people added, and 1 of searches" in told


def test_fifty_thousand_records_are_read_in_a_moment(folder: Path) -> None:
    said = {"picture": "some/folder/picture-0001.jpg", "withdrawn": True, "reason": "a reason"}
    records = folder / "records"
    records.mkdir(parents=True)
    for file in range(5):  # as copied from the Hub: nothing is in order
        with (records / f"{9 - file}.jsonl").open("w") as out:
            for n in range(file, 50_000, 5):
                line = {"id": f"{n:016x}-x", "kind": "s", "said": said, "time": "2026-01-01"}
                out.write(json.dumps(line) + "\n")
    begin = time.process_time()
    state = State.open(folder)
    ids = [record.id for record in state.records("s")]
    assert time.process_time() - begin < 1
    assert len(ids) == 50_000
    assert ids == sorted(ids)


# The Hub


def commits(hub: HubStandin) -> int:
    return len(list(hub.store.history(hub.store.get(REPO), "main")))


def everything(hub: HubStandin) -> bytes:
    """Whatever can be had from the Hub by any commit of main."""
    found = b""
    repo = hub.store.get(REPO)
    for commit, _ in hub.store.history(repo, "main"):
        for file in hub.store.tree(repo, commit).values():
            found += hub.store.blob(file.blob).read_bytes()
    return found


def test_the_dataset_is_made_private_and_says_what_it_is(hub: HubStandin) -> None:
    state = State.open(REPO)
    assert state.name == REPO
    assert hub.store.get(REPO).private
    assert hub.files(REPO) == [".gitattributes", "README.md"]
    assert b"never make it public" in hub.file(REPO, "main", "README.md")
    state.add("n", n=1)
    state.log(by="a", n=1)
    state.secret()
    state.close()
    shapes = [re.sub("[0-9a-f]{20,}", "#", name) for name in hub.files(REPO)]
    day = datetime.now(UTC).date().isoformat()
    assert shapes[2:] == ["records/#.jsonl", f"searches/{day}/#.jsonl", "secret"]


def test_what_was_in_a_folder_can_be_copied_to_the_hub(hub: HubStandin, folder: Path) -> None:
    here = State.open(folder)
    here.add("n", n=1)
    here.log(by="a", n=1)
    here.close()
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    copied = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    copied["secret"] = here.secret().hex().encode()
    hub.make_repo(REPO, copied, private=True)
    there = State.open(REPO)
    assert there.records("n") == here.records("n")
    assert list(there.searches()) == list(here.searches())
    assert there.secret() == here.secret()
    assert "README.md" in hub.files(REPO)


def test_a_look_that_finds_nothing_new_is_one_small_request(hub: HubStandin) -> None:
    state = State.open(REPO)
    state.add("n", n=1)
    with hub.recording() as exchanges:
        state.watch()
        time.sleep(0.5)
        state.close()
    assert len(exchanges) > 2
    assert {(x.method, x.path) for x in exchanges} == {("GET", f"/api/datasets/{REPO}")}
    assert max(x.bytes_out for x in exchanges) < 200


def test_a_busy_log_is_no_reason_to_commit_more_often(
    hub: HubStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_search.state_hub.LOG_EVERY", 0.3)
    state = State.open(REPO)
    state.watch()
    before, begin = commits(hub), time.monotonic()
    for n in range(1000):
        state.log(by="a", n=n)
        time.sleep(0.001)
    state.close()
    made, took = commits(hub) - before, time.monotonic() - begin
    assert 2 < made <= took / 0.3 + 2
    assert [n for _, n in logged(state)] == list(range(1000))


def test_who_writes_asks_little(hub: HubStandin) -> None:
    state = State.open(REPO)
    state.add("n", n=0)
    with hub.recording() as exchanges:
        state.add("n", n=1)
    assert [(x.method, x.path.rpartition("/")[2]) for x in exchanges] == [
        ("GET", "state"),
        ("POST", "main"),
    ]


def test_a_hub_that_is_away_gets_everything_when_it_is_back(
    hub: HubStandin, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State.open(REPO)
    state.watch()
    assert state.add("n", n=0)
    hub.stop()
    begin = time.monotonic()
    assert not state.add("n", n=1)
    assert time.monotonic() - begin < 3
    assert numbers(state) == [0, 1]
    for n in range(50):
        state.log(by="a", n=n)
    time.sleep(0.5)
    with pytest.raises(HubError, match="cannot be reached"):
        State.open(REPO)
    hub.start()
    eventually(lambda: numbers(State.open(REPO)) == [0, 1])
    eventually(lambda: [n for _, n in logged(State.open(REPO))] == list(range(50)))
    assert state.add("n", n=2)
    state.close()
    told = capsys.readouterr().err
    assert told.count("cannot be reached") == 1
    assert told.count("is kept again") == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_commit_that_fails_is_made_later(hub: HubStandin, status: int) -> None:
    state = State.open(REPO)
    hub.faults.append(Fault("/commit/main", "POST", status=status, times=2))
    assert not state.add("n", n=1)
    state.watch()
    eventually(lambda: numbers(State.open(REPO)) == [1])
    state.close()


def test_a_hub_that_does_not_answer_keeps_nobody_waiting(
    hub: HubStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_search.state.PATIENCE", 1)
    state = State.open(REPO)
    hub.faults.append(Fault("/commit/main", "POST", delay=2))
    begin = time.monotonic()
    assert not state.add("n", n=1)
    assert time.monotonic() - begin < 2
    assert numbers(state) == [1]
    eventually(lambda: state.add("n", n=2))
    time.sleep(1.5)  # what was late may arrive now
    state.add("n", n=3)
    assert numbers(State.open(REPO)) == [1, 2, 3]


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: HubStandin) -> None:
    state = State.open(REPO)
    before = commits(hub)
    hub.faults.append(Fault("/commit/main", "POST", cut_after=0))
    assert state.add("n", n=1)
    assert commits(hub) == before + 1
    assert state.add("n", n=2)
    [path] = [name for name in hub.files(REPO) if name.startswith("records/")]
    assert hub.file(REPO, "main", path).count(b"\n") == 2


def test_writers_that_meet_all_get_their_turn(hub: HubStandin) -> None:
    states = [State.open(REPO) for _ in range(3)]

    def add(number: int) -> bool:
        kept = [states[number].add("n", n=10 * number + n) for n in range(10)]
        return all(kept)

    with hub.recording() as exchanges, ThreadPoolExecutor(3) as pool:
        assert all(pool.map(add, range(3)))
    assert 412 in {x.status for x in exchanges}
    assert sorted(numbers(State.open(REPO))) == list(range(30))


def test_a_writer_that_is_killed_loses_nothing_that_was_kept(
    hub: HubStandin,
) -> None:
    with Program(REPO, ADDS_AND_LOGS_FOR_EVER, hub=hub) as program:
        program.go()
        time.sleep(1.5)
        said = program.killed()
    assert len(said) > 5
    state = State.open(REPO)
    assert set(said) <= set(numbers(state))
    lines = [n for _, n in logged(state)]
    assert lines == list(range(len(lines)))
    assert len(lines) >= len(said)  # a commit holds all that waits
    assert state.add("n", n=-1)


def test_the_state_is_never_in_a_public_dataset(
    hub: HubStandin, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.make_repo(REPO, private=False)
    with pytest.raises(StateError, match=f"{REPO} is public: .* Make it private at .*/settings"):
        State.open(REPO)
    assert hub.files(REPO) == [".gitattributes"]
    hub.make_private(REPO)
    state = State.open(REPO)
    hub.make_public(REPO)
    assert not state.add("n", n=1)
    assert "is public" in capsys.readouterr().err
    assert hub.files(REPO) == [".gitattributes", "README.md"]
    hub.make_private(REPO)
    state.close()
    assert numbers(State.open(REPO)) == [1]


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("reader", "does not allow that with alice/state for your token .*: set HF_TOKEN"),
        ("wrong", "does not accept your token"),
        ("stranger", "for your token"),
        (None, "HF_TOKEN"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_who_may_not_write_is_told(
    hub: HubStandin,
    monkeypatch: pytest.MonkeyPatch,
    role: str | None,
    said: str,
    exists: bool,
) -> None:
    if exists:
        State.open(REPO)
    log_in(monkeypatch, hub, role)
    with pytest.raises(HubError, match=said) as raised:
        State.open(REPO)
    assert "hf_" not in str(raised.value)


def test_a_dataset_of_something_else_is_left_alone(hub: HubStandin) -> None:
    hub.make_repo(REPO, {"data/train.parquet": b"PAR1"}, private=True)
    with pytest.raises(StateError, match=f"{REPO} holds something else, for example data"):
        State.open(REPO)
    assert hub.files(REPO) == [".gitattributes", "data/train.parquet"]


def test_a_folder_of_that_name_comes_first(
    hub: HubStandin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / REPO).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert State.open(REPO).add("n", n=1)
    assert State.open(Path("bob/state")).add("n", n=1)
    assert hub.repos() == []


def test_what_is_erased_is_in_no_history_and_live_writers_do_not_bring_it_back(
    hub: HubStandin,
) -> None:
    eraser = State.open(REPO)
    with Program(REPO, LOGS_UNTIL_STOPPED, hub=hub) as program:
        program.go()
        eventually(lambda: len(logged(eraser)) > 50)
        removed = 0
        for _ in range(4):
            time.sleep(0.2)
            removed += eraser.erase("a")
            kept = [json.loads(line) for line in everything(hub).splitlines() if b'"a"' in line]
            assert all(k["time"] > _erased(eraser) for k in kept if k.get("by") == "a")
        program.go()
        count = int(program.stdout.readline())
        assert program.process.wait(20) == 0
    last = _erased(eraser)
    assert removed > 50
    assert eraser.erase("a") >= 0
    assert b'{"by": "a"' not in everything(hub)
    assert commits(hub) == 1
    kept = [n for by, n in logged(State.open(REPO)) if by == "b"]
    assert kept == list(range(0, count, 2))
    assert len(eraser.records("erasure")) == 5
    assert last < _erased(eraser)


def test_a_history_that_could_not_be_removed_is_told_and_removed_the_next_time(
    hub: HubStandin,
) -> None:
    state = State.open(REPO)
    state.log(by="a", n=1)
    state.close()
    hub.faults.append(Fault("/super-squash/", "POST", status=500))
    with pytest.raises(HubError, match="its history still holds it. Do the same again. The Hub f"):
        state.erase("a")
    assert b'"by": "a"' in everything(hub).replace(b'{"before', b"")
    assert logged(state) == []
    assert state.erase("a") == 0
    assert commits(hub) == 1


def test_after_pruning_the_history_holds_nothing_old(hub: HubStandin) -> None:
    state = State.open(REPO)
    for n in range(3):
        state.log(by="a", n=n, words="private")
        state.add("n", n=n)
    state.close()
    assert state.prune(0) == 1
    assert b"private" not in everything(hub)
    assert commits(hub) == 1
    assert state.prune(0) == 0
    assert state.add("n", n=3)
    assert commits(hub) == 2
    state.log(by="a", n=3)
    state.close()
    assert [n for _, n in logged(State.open(REPO))] == [3]
    assert numbers(State.open(REPO)) == [0, 1, 2, 3]


def test_an_erasure_that_cannot_be_kept_is_told_but_counts(hub: HubStandin) -> None:
    state = State.open(REPO)
    state.log(by="a", n=1)
    state.close()
    hub.stop()
    with pytest.raises(HubError, match="cannot be reached"):
        state.erase("a")
    hub.start()
    assert logged(state) == []
    assert state.erase("a") == 1


def test_only_what_others_wrote_is_fetched_and_no_log(hub: HubStandin) -> None:
    one, two = State.open(REPO), State.open(REPO)
    one.add("n", n=1)
    mine = set(hub.files(REPO))
    two.log(by="a", n=1)
    two.add("n", n=2)
    with hub.recording() as exchanges:
        one.watch()
        eventually(lambda: numbers(one) == [1, 2])
        one.close()
    [theirs] = [name for name in set(hub.files(REPO)) - mine if name.startswith("records/")]
    fetched = [x.path.partition("/resolve/")[2] for x in asked(exchanges, "GET", "/resolve/")]
    assert [path.partition("/")[2] for path in fetched] == [theirs]


def test_no_file_and_no_commit_gets_large(hub: HubStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_search.state_memory.BATCH", 1_000)
    monkeypatch.setattr("image_search.state_hub.SEGMENT", 3_000)
    state = State.open(REPO)
    state.add_all("n", ({"n": n} for n in range(100)))
    names = [name for name in hub.files(REPO) if name.startswith("records/")]
    sizes = [len(hub.file(REPO, "main", name)) for name in names]
    assert max(sizes) < 3_000 + 1_000
    assert len(sizes) >= 3
    assert numbers(State.open(REPO)) == list(range(100))


def test_a_folder_that_is_gone_is_told_and_not_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new one would hold nothing of what was there; put back, it has all."""
    state = State.open(tmp_path / "state")
    assert state.add("suppression", picture="a")
    (tmp_path / "state").rename(tmp_path / "moved")
    assert not state.add("suppression", picture="b")
    assert len(state.records("suppression")) == 2
    assert "There is no state at" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
    (tmp_path / "moved").rename(tmp_path / "state")
    state.close()
    with_all = State.open(tmp_path / "state")
    assert [record.said["picture"] for record in with_all.records("suppression")] == ["a", "b"]
    with_all.close()


def test_a_built_collection_is_no_place_for_it(built: Path) -> None:
    with pytest.raises(StateError, match="is a built collection"):
        State.open(built)


def test_one_that_is_not_to_be_made_is_not(tmp_path: Path, hub: HubStandin) -> None:
    with pytest.raises(StateError, match="There is no state at"):
        State.open(tmp_path / "none", make=False)
    with pytest.raises(StateError, match="There is no state at alice/none"):
        State.open("alice/none", make=False)
    assert not (tmp_path / "none").exists()
