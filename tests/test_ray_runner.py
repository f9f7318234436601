"""Parts made by Ray: two workers on this machine make what one process makes, and may be lost."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from PIL import Image

from image_search import demo, parts, ray_runner
from image_search.artifact import Artifact
from image_search.build import Summary, build
from image_search.collection import Collection
from image_search.encoder import Encoder, OnnxEncoder, embedded_encoder
from image_search.errors import (
    ArtifactError,
    CollectionError,
    ConfigError,
    ImageSearchError,
    PictureError,
)
from image_search.folder import FolderReader, open_folder
from image_search.ray_runner import Pool, RayRunner, Seen
from image_search.verify import verify

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def runner() -> Iterator[RayRunner]:
    """Two workers on this machine, of one processor each; they find the readers of this file."""
    import ray

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
        how = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        handler = signal.getsignal(signal.SIGTERM)
        ray.init(address="local", num_cpus=2, **how)
        signal.signal(signal.SIGTERM, handler)
        with RayRunner() as runner:
            yield runner
        ray.shutdown()


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Sixty small pictures, which become several parts."""
    monkeypatch.setattr(parts, "SIZE", 8)
    monkeypatch.setattr(ray_runner, "PATIENCE", 0.5)
    (tmp_path / "pictures").mkdir()
    for number in range(60):
        image = Image.new("RGB", (24, 18), (number * 4, 255 - number, number % 7 * 30))
        image.save(tmp_path / f"pictures/{number:02}.png")
    (tmp_path / "pictures/no picture.jpg").write_bytes(b"nothing")
    return open_folder(tmp_path / "pictures")


def told(out: Path) -> dict[str, object]:
    manifest = json.loads((out / "manifest.json").read_bytes())
    del manifest["created"]
    return manifest


def assert_same(
    runner: RayRunner, collection: Collection, encoder: Encoder, out: Path
) -> tuple[Summary, Summary]:
    """Build with Ray and without; the files, by their hashes, and the manifests are the same."""
    by_ray = build(collection, encoder, out, runner=runner)
    here = out.with_name("here")
    by_itself = build(collection, encoder, here)
    assert len(Artifact.open(out).manifest.parts) > 2
    assert told(out) == told(here)
    assert verify(out) == []
    assert not list(out.parent.glob("*.partial")) + list(out.parent.glob("*.lock"))
    return by_ray, by_itself


def test_two_workers_make_what_one_process_makes(
    runner: RayRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SIZE", 16)
    collection = demo.open_collection().first(80)
    assert_same(runner, collection, embedded_encoder(), tmp_path / "out")


def test_what_an_earlier_build_made_is_kept(
    runner: RayRunner, many: Collection, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out, folder = tmp_path / "out", tmp_path / "pictures"
    first, _ = assert_same(runner, many, colours, out)
    assert first.kept == 0
    assert first.rejects.total() == 1
    Image.new("RGB", (24, 18), "red").save(folder / "31.png")
    (folder / "07.png").unlink()
    second, other = assert_same(runner, open_folder(folder), colours, out)
    assert second.kept == other.kept == 58
    again = build(open_folder(folder), colours, out, runner=runner)  # nothing is left to do
    assert again.kept == 59


@dataclass(frozen=True)
class Trap(FolderReader):
    """Reads as a folder does, but for one picture elsewhere than in the process of the test."""

    home: int
    picture: str
    fallen: Path

    def read(self, place: str) -> bytes:
        if place == self.picture and os.getpid() != self.home:
            self.spring()
        return super().read(place)

    def spring(self) -> None:
        raise NotImplementedError


class Killing(Trap):
    """Kills its process, once."""

    def spring(self) -> None:
        if not self.fallen.exists():
            self.fallen.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)


class Gone(Trap):
    """Has its folder vanish."""

    def spring(self) -> None:
        self.fallen.touch()
        raise PictureError("cannot be read: the disk is gone")

    def check(self) -> None:
        if self.fallen.exists():
            raise CollectionError("The disk is gone. Is it still there?")


def trapped(kind: type[Trap], collection: Collection, folder: Path, picture: str) -> Collection:
    """The collection, read by a thread of the worker's own process."""
    reader = kind(folder / "pictures", os.getpid(), picture, folder / "fallen")
    return dataclasses.replace(collection, reader=reader, readers=1)


def test_a_worker_that_is_killed_is_made_up_for(
    runner: RayRunner, many: Collection, colours: OnnxEncoder, tmp_path: Path
) -> None:
    collection = trapped(Killing, many, tmp_path, "37.png")
    assert_same(runner, collection, colours, tmp_path / "out")
    assert int((tmp_path / "fallen").read_text()) != os.getpid()


def test_an_error_of_ours_is_that_error_and_the_same_build_goes_on(
    runner: RayRunner, many: Collection, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(CollectionError, match=r"^The disk is gone. Is it still there\?$"):
        build(trapped(Gone, many, tmp_path, "59.png"), colours, out, workers=1, runner=runner)
    assert not out.exists()
    assert build(many, colours, out, runner=runner).kept > 0
    assert verify(out) == []


def test_pictures_that_only_this_machine_sees_are_an_error_not_rejects(
    runner: RayRunner, many: Collection, colours: OnnxEncoder, tmp_path: Path
) -> None:
    collection = trapped(Gone, many, tmp_path, "00.png")
    with pytest.raises(CollectionError) as raised:
        build(collection, colours, tmp_path / "out", runner=runner)
    [line] = str(raised.value).splitlines()
    assert line.startswith(f"{socket.gethostname()} cannot read 00.png (cannot be read: ")


@pytest.mark.parametrize(
    ("other", "kind", "message"),
    [
        ({"token": "another"}, ArtifactError, "{host} does not see {tmp}/out.partial"),
        ({"recipe": "another"}, ConfigError, "{host} has another version of this program"),
    ],
)
def test_a_machine_that_sees_something_else_is_named(
    runner: RayRunner,
    many: Collection,
    colours: OnnxEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    other: dict[str, str],
    kind: type[ImageSearchError],
    message: str,
) -> None:
    here = Seen.here

    def elsewhere(*told: object) -> Seen:
        return dataclasses.replace(here(*told), **other)

    monkeypatch.setattr(Seen, "here", elsewhere)
    with pytest.raises(kind) as raised:
        build(many, colours, tmp_path / "out", runner=runner)
    [line] = str(raised.value).splitlines()
    assert line.startswith(message.format(host=socket.gethostname(), tmp=tmp_path))
    assert not list((tmp_path / "out.partial/parts").iterdir())


def test_a_part_that_does_not_arrive_here_is_an_error(
    many: Collection, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_runner, "_results", told_but_not_made)
    monkeypatch.setattr(RayRunner, "_pool", lambda *_: Pool(1, 1, 1, 0))
    with pytest.raises(ArtifactError, match="^far has made a part that is not in "):
        build(many, colours, tmp_path / "out", runner=RayRunner())


def told_but_not_made(*arguments: object) -> Iterator[dict[str, object]]:
    for key in list(arguments[-1]):
        yield {"key": key, "host": "far", "error": b""}


def test_one_part_made_twice_at_the_same_time_does_no_harm(
    many: Collection, tmp_path: Path, colours: OnnxEncoder
) -> None:
    recipe = parts.Recipe("m", "1", "float32", 3, colours.preprocessing, "pillow", 64, 1000)
    job = parts.Job(many, recipe)
    slice = job.slices()[0]
    writers = [parts.PartWriter(job, slice, tmp_path / "parts") for _ in range(2)]
    for writer in writers:
        writer.finish()
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [slice.key]


@pytest.mark.parametrize(
    ("nodes", "on_gpu", "pool"),
    [
        ([{"CPU": 1.0}], False, Pool(1, 1, 1, 0)),
        ([{"CPU": 2.0}], False, Pool(2, 1, 1, 0)),
        ([{"CPU": 64.0}, {"CPU": 32.0}, {"CPU": 2.0}], False, Pool(24, 2, 4, 0)),
        ([{"CPU": 0.0}, {"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}], True, Pool(2, 1, 8, 1)),
    ],
)
def test_workers_are_as_many_as_a_cluster_has_room_for(
    nodes: list[dict[str, float]], on_gpu: bool, pool: Pool
) -> None:
    assert Pool.on(nodes, on_gpu) == pool


def test_a_cluster_without_what_is_needed_is_an_error() -> None:
    with pytest.raises(ConfigError, match="has no GPU to give"):
        Pool.on([{"CPU": 2.0}], True)


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="pip install -r requirements-ray.txt$"):
        RayRunner().__enter__()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:{free}", "No cluster of Ray answers at 127.0.0.1:"),
        ("nonsense", "write HOST:PORT"),
        ("ray://127.0.0.1:10001", "write HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is_is_told_soon(address: str, message: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(ConfigError, match=message):
        RayRunner(address.format(free=free))._connect(None)
    assert time.monotonic() - start < 15


def test_what_is_no_cluster_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_runner, "GREETING", 3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ConfigError, match="is no cluster of Ray"):
            RayRunner(address)._connect(None)


# The command

DRIVER = """
import sys
from image_search import parts
from image_search.build_command import main
parts.SIZE = 20
sys.argv = ["build_index.py", *sys.argv[1:]]
main()
"""


class Command:
    """The program with small parts, as a keeper starts it; its processes are known by a mark."""

    def __init__(self, *arguments: str) -> None:
        self._mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *arguments, "--model", "embedded"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "STARTED_BY": self._mark},
            cwd=TESTS.parent,
            start_new_session=True,
            # Where the tests run in the background, it would else be deaf to Ctrl+C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def left(self) -> list[str]:
        """Processes that it started and that run still, a moment after it ended."""
        end = time.monotonic() + 15
        while (left := list(self._running())) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def _running(self) -> Iterator[str]:
        for process in psutil.process_iter():
            try:
                if process.environ().get("STARTED_BY") == self._mark:
                    yield process.name()
            except psutil.Error:
                continue


def test_the_command_says_no_more_than_without_ray_and_leaves_nothing_running(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = Command(str(pictures), "--out", str(out), "--runner", "ray")
    said, complained = command.process.communicate(timeout=120)
    assert command.process.returncode == 0, complained
    assert "Ray has room for " in said
    assert f"5 pictures are in {out}." in said
    assert len(said.splitlines()) == 17, said
    lines = complained.replace("\r", "\n").splitlines()
    assert [line for line in lines if line and not line.startswith("Building")] == []
    assert command.left() == []
    assert verify(out) == []


def test_an_address_without_a_runner_is_a_mistake(pictures: Path, tmp_path: Path) -> None:
    command = Command(str(pictures), "--out", str(tmp_path / "out"), "--address", "a:1")
    _, complained = command.process.communicate(timeout=120)
    assert complained == "error: --address means nothing without --runner ray.\n"


def test_a_build_without_ray_does_not_import_it() -> None:
    code = (
        "import sys, image_search.build, image_search.build_command, image_search.ray_runner\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS.parent)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl+C", "kill"])
def test_stopped_it_ends_soon_and_what_was_finished_is_kept(
    tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    arguments = [str(demo.FOLDER / "pictures"), "--out", str(out), "--limit", "400"]
    command = Command(*arguments, "--runner", "ray")
    while command.process.poll() is None and not list(
        (tmp_path / "out.partial/parts").glob(f"{'[0-9a-f]' * 32}/part.json")
    ):
        time.sleep(0.05)
    os.killpg(command.process.pid, number)  # as a terminal does: all of them get it
    start = time.monotonic()
    _, complained = command.process.communicate(timeout=60)
    assert time.monotonic() - start < 15
    assert command.process.returncode == 130
    assert complained.splitlines()[-1] == "Stopped. The same command goes on from here."
    assert command.left() == []
    assert not out.exists()
    again = Command(*arguments)  # by Ray or not: it is the same build
    said, _ = again.process.communicate(timeout=120)
    assert "kept from an earlier build" in said
    assert len(Artifact.open(out)) == 400
    assert verify(out) == []
