"""The parts of a build made on many machines, by Ray Data; the only module that knows Ray.

Each of Ray's workers makes one part at a time, as `part_worker` does it here, and writes it into
the folder of the build, which all machines see. A part is whole or not there: when a worker is
lost, another one makes the part that it was at.
"""

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from image_search.encoder import Encoder, OnnxEncoder
from image_search.errors import (
    ArtifactError,
    CollectionError,
    ConfigError,
    EncoderError,
    ImageSearchError,
    PictureError,
)
from image_search.kept import Step
from image_search.part_worker import Order, PartWorker
from image_search.parts import TOLD
from image_search.progress import Progress, Stopwatch

if TYPE_CHECKING:
    from image_search.sentence_transformer import SentenceTransformerEncoder

TOKEN = "seen-by-all"
"""The file by which the workers find out whether they see the folder of the build."""

PATIENCE = 60.0
"""Seconds after which a shared disk shows to one machine what another one wrote, at most."""

ANSWER = 10.0
"""Seconds within which the address of a cluster has to answer."""

GREETING = 30.0
"""Seconds within which it has to answer as a cluster does."""

RETRIES = 5
"""How often a part is tried again whose worker was lost: it may be the part that kills it."""

MOST_PROCESSORS = 4
"""Processors of one worker. More workers wait less for each other's disks and ends of parts; each
needs the encoder and the list of pictures in its memory."""


class RayRunner:
    """Workers of a cluster of Ray; a context manager, within which it is connected.

    `address` is that of the cluster's head, such as `10.0.0.5:6379`, or `auto` for that of this
    machine; without one, Ray is started on this machine alone, and ended. Raises ConfigError if
    Ray is not installed or the cluster does not answer.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._ours = False

    def __enter__(self) -> Self:
        # Nothing is reported to Ray's makers, and what Ray says of itself stays in its own logs.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if self._address is not None:
            _use_token()  # read by Ray when it is imported, as those above are
        with _quiet():
            try:
                import ray
                import ray.data
            except ImportError as error:
                raise ConfigError(
                    f"--runner ray needs {error.name}, which is not installed: "
                    "pip install -r requirements-ray.txt"
                ) from None
            if not ray.is_initialized():
                self._connect(ray)
                self._ours = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            import ray

            ray.shutdown()

    def _connect(self, ray: Any) -> None:
        how: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address is None:
            how |= {"address": "local", "include_dashboard": False}
        else:
            _check_answers(self._address)
            how["address"] = self._address
        try:
            with _own_signals(), _mute():
                ray.init(**how)
        except Exception as error:  # of all kinds: they share no base class
            if self._address is None:
                raise ConfigError(
                    f"Ray cannot be started on this machine: {_first_line(error)}. Without "
                    "--runner ray the build needs no Ray."
                ) from None
            why = f"Ray cannot be used at {self._address}: {_first_line(error)}."
            if "AuthToken" in str(error.__cause__):
                raise ConfigError(
                    f"{why} The cluster's token is missing or another here: copy the head's "
                    "~/.ray/auth_token, or set RAY_AUTH_TOKEN."
                ) from None
            raise ConfigError(
                f"{why} Give the command on a machine of the cluster, with the address that `ray "
                "start --head` printed there."
            ) from None

    def describe(self, encoder: Encoder) -> str:
        """What the parts are made by, in words."""
        pool = self._pool(encoder)
        each = f"{'1 GPU and ' if pool.gpus else ''}{_counted(pool.processes, 'processor')}"
        return (
            f"Ray has room for {_counted(pool.size, 'worker')} on "
            f"{_counted(pool.hosts, 'machine')}, each with {each}. The time that is expected is "
            "that of this machine alone."
        )

    def __call__(
        self,
        order: Order,
        encoder: Encoder,
        steps: Sequence[Step],
        progress: Progress,
        watch: Stopwatch,
    ) -> None:
        """Have the parts of all steps made.

        Raises what a worker raised, and CollectionError or ArtifactError if one does not see the
        pictures or the folder.
        """
        pool = self._pool(encoder)
        # Parts that are there already are only linked.
        PartWorker(order, encoder, 1, progress, watch).make([step for step in steps if step.whole])
        to_do = {step.slice.key: step for step in steps if not step.whole}
        if not to_do:
            return
        token = order.parts / TOKEN
        order.parts.mkdir(exist_ok=True)
        token.write_text(uuid.uuid4().hex)
        try:
            seen = Seen.here(order, token.read_text())
            results = _results(pool, order, Opener.of(encoder, pool), seen, to_do)
            with watch.stage("parts, by Ray"), _quiet(), closing(results), _told_to_stop() as told:
                for result in results:
                    _check_result(order, result)
                    slice = to_do.pop(result["key"]).slice
                    progress.update(slice.stop - slice.start)
                    if told:
                        raise KeyboardInterrupt
        finally:
            token.unlink(missing_ok=True)

    def _pool(self, encoder: Encoder) -> "Pool":
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return Pool.on(nodes, encoder.device.startswith("cuda"))


@dataclass(frozen=True)
class Pool:
    """The workers that a cluster has room for."""

    size: int
    hosts: int
    processes: int
    """Processes that decode for each worker."""
    gpus: int
    """Of each worker: one or none."""

    @classmethod
    def on(cls, nodes: Sequence[dict[str, float]], on_gpu: bool) -> Self:
        """On the machines of a cluster, by what Ray says that they have."""
        what = "GPU" if on_gpu else "CPU"
        largest = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
        processors = 1 if on_gpu else max(1, min(MOST_PROCESSORS, int(largest) // 2))
        rooms = [(node, int(node.get(what, 0.0)) // processors) for node in nodes]
        rooms = [(node, room) for node, room in rooms if room]
        if not rooms:
            raise ConfigError(
                f"The cluster of Ray has no {what} to give. `ray status` says what it has; the "
                "encoder computes where that of this machine does: see --device."
            )
        if on_gpu:
            processors = max(1, min(int(node.get("CPU", 1)) // room for node, room in rooms))
        return cls(sum(room for _, room in rooms), len(rooms), processors, int(on_gpu))

    @property
    def resources(self) -> dict[str, int]:
        """What a worker asks Ray for."""
        return {"num_gpus": 1} if self.gpus else {"num_cpus": self.processes}


@dataclass(frozen=True)
class Opener:
    """Opens the encoder that encodes here, on another machine."""

    model: str | None
    """Of the Hub or a folder; None: the one that was exported into the folder of the build."""
    device: str
    processes: int

    @classmethod
    def of(cls, encoder: Encoder, pool: Pool) -> Self:
        if isinstance(encoder, OnnxEncoder):
            return cls(None, "cpu", pool.processes)
        model: SentenceTransformerEncoder = encoder  # type: ignore[assignment]
        return cls(model.source, "cuda" if pool.gpus else encoder.device, pool.processes)

    def open(self, order: Order) -> Encoder:
        """The encoder. Raises EncoderError, also if it would give other vectors."""
        if self.model is None or order.job.collection.vectors is not None:
            return OnnxEncoder(order.encoder, threads=self.processes)
        import torch

        from image_search.sentence_transformer import SentenceTransformerEncoder

        encoder = SentenceTransformerEncoder(self.model, self.device)
        if self.device == "cpu":
            torch.set_num_threads(self.processes)
        recipe = order.job.recipe
        wanted = recipe.revision, recipe.precision
        if (encoder.revision, encoder.precision) != wanted:
            raise EncoderError(
                f"On {socket.gethostname()} the model {self.model} is of revision "
                f"{encoder.revision} and computes in {encoder.precision}, where the build began of "
                f"{recipe.revision} and in {recipe.precision}. Use machines of one kind."
            )
        return encoder


@dataclass(frozen=True)
class Seen:
    """What the machine sees on which the build began, for the others to compare."""

    token: str
    picture: int | None
    """An entry that can be read there."""
    recipe: str
    folder: str
    """In which relative paths begin."""
    patience: float

    @classmethod
    def here(cls, order: Order, token: str) -> Self:
        return cls(token, order.readable(), order.job.recipe.key, os.getcwd(), PATIENCE)

    def check(self, order: Order) -> None:
        """Raise an error that names this machine if it sees something else."""
        host, token = socket.gethostname(), order.parts / TOKEN
        if not _appears(token, self.patience) or token.read_text() != self.token:
            raise ArtifactError(
                f"{host} does not see {order.place}, where the build works. With --runner ray all "
                "machines need the folder of --out, on a disk that they share, at the same path."
            )
        if replace(order.job.recipe).key != self.recipe:  # reckoned anew, by what is installed here
            raise ConfigError(
                f"{host} has another version of this program. Install the same one on all machines."
            )
        if self.picture is None:
            return
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        entry = order.job.collection.entries[self.picture]
        try:
            order.work.reader.read(entry.place)
        except PictureError as error:
            raise CollectionError(
                f"{host} cannot read {entry.id} ({error}), which can be read where the build "
                "began. All machines need the pictures, at the same path or at their addresses."
            ) from None


class RayWorker:
    """What Ray runs, on any machine: steps in, finished parts out.

    Opens what it needs when the first step comes; what goes wrong is a result as well, since Ray
    would make another error of it.
    """

    def __init__(self, order: Order, opener: Opener, seen: Seen) -> None:
        self._told = order, opener, seen
        self._worker: PartWorker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        step: Step = pickle.loads(batch["step"][0])
        try:
            self._worker = self._worker or self._open()
            self._worker.make([step])
            error = None
        except (ImageSearchError, OSError) as raised:
            error = pickle.dumps(raised)
        host = socket.gethostname()
        return {"key": [step.slice.key], "host": [host], "error": [error or b""]}

    def _open(self) -> PartWorker:
        order, opener, seen = self._told
        seen.check(order)
        return PartWorker(order, opener.open(order), opener.processes)


def _results(
    pool: Pool, order: Order, opener: Opener, seen: Seen, steps: Mapping[str, Step]
) -> Generator[dict[str, Any], None, None]:
    """What became of each step, as they are done."""
    import ray.data
    from ray.exceptions import RayError

    ray.data.DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.from_items(
        [{"step": pickle.dumps(step)} for step in steps.values()], override_num_blocks=len(steps)
    ).map_batches(
        RayWorker,
        batch_size=1,
        fn_constructor_args=(order, opener, seen),
        compute=ray.data.ActorPoolStrategy(
            size=min(pool.size, len(steps)), max_tasks_in_flight_per_actor=1
        ),
        max_restarts=-1,
        max_task_retries=RETRIES,
        **pool.resources,
    )
    try:
        for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
            for row in zip(*batch.values(), strict=True):
                yield dict(zip(batch, row, strict=True))
    except RayError as error:
        raise ConfigError(
            f"Ray gave up: {_first_line(error)}. Its own logs, in /tmp/ray of each machine, say "
            "more. The same command goes on from here."
        ) from None


def _check_result(order: Order, result: dict[str, Any]) -> None:
    """Raise what a worker raised, or ArtifactError if its part is not here."""
    if result["error"]:
        error: Exception = pickle.loads(result["error"])
        raise error
    if not _appears(order.parts / result["key"] / TOLD, PATIENCE):
        raise ArtifactError(
            f"{result['host']} has made a part that is not in {order.parts} here. All machines "
            "need the folder of --out, on a disk that they share."
        )


def _appears(path: Path, patience: float) -> bool:
    """Whether a file is there, or comes within some seconds: shared disks remember what was not."""
    end = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _check_answers(address: str) -> None:
    """Raise ConfigError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal() or "//" in host:
        raise ConfigError(
            f"--address {address} is not that of a cluster's head: write HOST:PORT, as "
            "`ray start --head` prints it, such as 10.0.0.5:6379."
        )
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"No cluster of Ray answers at {address} ({error}). Is `ray start --head` running "
            "there, and may this machine reach it?"
        ) from None
    # Something else that listens there would be waited for for ever. Ray's own check, in a process
    # of its own: it would hang as well.
    check = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--skip-version-check"]
    try:
        subprocess.run([*check, "--address", address], capture_output=True, timeout=GREETING)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"What listens at {address} is no cluster of Ray, or did not answer as one within "
            f"{GREETING:.0f} seconds. Is that the port of `ray start --head`?"
        ) from None


def _use_token() -> None:
    """Show the cluster the token that this machine has; with an address Ray would not."""
    told = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if told or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Ray warns of in itself: it is nothing that a keeper could mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for handler in logging.getLogger("ray.data").handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setLevel(logging.CRITICAL)
        yield


@contextmanager
def _mute() -> Iterator[None]:
    """Without what Ray's core writes past Python, such as the level of its own log."""
    sys.stdout.flush()
    sys.stderr.flush()
    streams = {number: os.dup(number) for number in (1, 2)}
    with open(os.devnull, "wb") as nowhere:
        for number in streams:
            os.dup2(nowhere.fileno(), number)
    try:
        yield
    finally:
        for number, copy in streams.items():
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts its own handler in the place of ours, which says how to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """The signals that came: what our handler raises can be swallowed where Ray's own code runs."""
    told: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def hear(number: int, frame: FrameType | None) -> None:
        told.append(number)
        handler = former[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    heard = [number for number, handler in former.items() if callable(handler)]
    for number in heard:
        signal.signal(number, hear)
    try:
        yield told
    finally:
        for number in heard:
            if signal.getsignal(number) is hear:  # our own ignores what comes after the first
                signal.signal(number, former[number])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
