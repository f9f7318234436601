"""Pictures and an encoder → an artifact. Knows neither the command line nor the Hub.

The artifact appears at its place only when it is whole; until then everything lies in a folder
beside it, `<out>.partial`, from which the same call goes on after a stop. What an earlier build
made of pictures that have not changed since is kept.
"""

import dataclasses
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout
from loky import cpu_count

from image_search import images, probes
from image_search import manifest as layout
from image_search.artifact import Artifact
from image_search.assemble import Ingredients, Options, assemble
from image_search.collection import Collection
from image_search.encoder import Encoder, OnnxEncoder, Pixels, Preprocessing, Vectors
from image_search.errors import ArtifactError
from image_search.export import Agreement, check_stored, export_encoder
from image_search.extra import Extra
from image_search.forecast import Forecast, Sample, take_sample
from image_search.kept import Step, damaged, dropped, find, plan, stored_pictures
from image_search.manifest import CollectionInfo
from image_search.part_worker import Order, PartWorker, Runner
from image_search.parts import Job, Recipe, clear_half
from image_search.place import (
    AGREEMENT,
    check_target,
    check_work,
    place_of_work,
    put_in_place,
    restore,
)
from image_search.prepare import Resizer, preparer
from image_search.progress import Progress, Quiet, Stopwatch
from image_search.workers import Work, Workers

SAME = 0.98
"""Cosine of two vectors that a model made of one picture, at least: a JPEG saved again, or 16 bits,
take away less than that, and vectors of another model have nothing in common."""


@dataclass
class Summary:
    """What a build did."""

    rows: int
    kept: int
    """Pictures taken from an earlier build."""
    rejects: Counter[str]
    """Reason → files left out."""
    version: str
    sizes: dict[str, int] = field(default_factory=dict)
    """Part of the artifact → bytes."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → wall-clock seconds."""
    tables: dict[str, int] = field(default_factory=dict)
    """Table beside the pictures → rows."""


def build(
    collection: Collection,
    encoder: Encoder,
    out: Path,
    info: CollectionInfo | None = None,
    *,
    progress: Progress | None = None,
    **how: Any,
) -> Summary:
    """Write the artifact of a collection to the folder `out`, whole or not at all.

    `progress` is told how many pictures were dealt with; `how` is what `Builder` takes. Stopped at
    any moment, the same call goes on where it was. Raises CollectionError if no picture can be
    used, ArtifactError if `out` holds something else or is being built by another process.
    """
    with Builder(collection, encoder, out, info, **how) as builder:
        return builder.run(progress)


class Builder:
    """A build; a context manager, within which no other process builds to the same place.

    `max_side` is the longest side of a stored picture, in pixels; `options` is recorded as it is;
    `workers` processes decode, `batch_size` pictures are encoded at a time. `runner` has the parts
    made elsewhere; without one they are made by this process.
    """

    def __init__(
        self,
        collection: Collection,
        encoder: Encoder,
        out: Path,
        info: CollectionInfo | None = None,
        *,
        max_side: int = 1024,
        max_pixels: int = images.MAX_PIXELS,
        options: Options | None = None,
        extras: Sequence[Extra] = (),
        workers: int | None = None,
        batch_size: int | None = None,
        runner: Runner | None = None,
    ) -> None:
        self.out = out.resolve()
        self.notices: list[str] = []
        self._runner = runner
        self._said = workers, batch_size
        self._workers = workers or cpu_count()
        self._batch_size = batch_size or encoder.batch_size
        resizer: Resizer = "pillow" if isinstance(encoder, OnnxEncoder) else "torch"
        preprocessing = Preprocessing(**encoder.preprocessing.model_dump())
        self._work = Work(
            collection.reader, partial(preparer, resizer, preprocessing, max_side, max_pixels)
        )
        if collection.vectors is not None:  # whether they count decides what is kept
            self._sample = take_sample(collection, self._work, self._workers)
            if not self._made(collection.vectors, encoder):
                self.notices.append(
                    f"the embeddings of {collection.name} were not made by {encoder.name}, so its "
                    "pictures are encoded anew"
                )
                collection = dataclasses.replace(collection, vectors=None)
        self._collection = collection
        self._encoder = encoder
        self._info = info or CollectionInfo(name=collection.name)
        self._options = options or {}
        self._extras = extras
        self._watch = Stopwatch()
        self._stack = ExitStack()
        self._steps: list[Step] | None = None
        given = collection.vectors is not None
        recipe = Recipe(
            model=encoder.name,
            revision=encoder.revision,
            precision="given" if given else encoder.precision,
            dim=encoder.dim,
            preprocessing=preprocessing,
            resizer=resizer,
            max_side=max_side,
            max_pixels=max_pixels,
        )
        self._job = Job(collection, recipe)

    def __enter__(self) -> Self:
        check_target(self.out)
        check_work(self.work)
        try:
            self.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"Nothing can be written in {self.out.parent} ({error.strerror}). Name another "
                "place with --out."
            ) from None
        self._lock = FileLock(self.out.with_name(f"{self.out.name}.lock"), blocking=False)
        try:
            self._stack.enter_context(self._lock)
        except Timeout:
            raise ArtifactError(
                f"{self.out} is being built by another process. Wait for it, or stop it first."
            ) from None
        restore(self.out, self.work)
        return self

    def __exit__(self, *_: object) -> None:
        if self.work.is_dir() and not (self.work / "parts").is_dir():
            shutil.rmtree(self.work)  # nothing in it that would save anybody time
        if not self.work.exists():
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._stack.close()

    @property
    def encodes(self) -> bool:
        """Whether the model encodes pictures, or the collection brings its embeddings along."""
        return self._collection.vectors is None

    @property
    def work(self) -> Path:
        """The folder that is worked in."""
        return place_of_work(self.out)

    def look(self, checked: Callable[[int], object] = lambda rows: None) -> list[Step]:
        """What is to be done, after what earlier builds left was read and found sound.

        `checked` is told how many rows were read.
        """
        found = find(self.out, self.work, self._job.recipe.key)
        steps = plan(self._job, found)
        sound: set[Path] = set()
        while bad := {part.data for part in damaged(steps, sound, checked)}:
            for path in bad:
                self.notices.append(f"{path} was damaged since it was made, and is made again")
            found = [part for part in found if part.data not in bad]
            steps = plan(self._job, found)
        self._steps = steps
        self._say_dropped(steps)
        return steps

    def _say_dropped(self, steps: list[Step]) -> None:
        gone, there = dropped(self.out, self._job) or (0, 0)
        if gone:
            self.notices.append(
                f"{gone:,} of the {there:,} pictures in {self.out} are not in the source any more, "
                "or beyond the limit, and will not be in it"
            )
        if gone < there and not any(step.kept for step in steps):
            self.notices.append(
                f"nothing of {self.out} can be kept: it was built with another model, another "
                "size of pictures, another version of this program, or all its pictures changed"
            )

    def forecast(self) -> Forecast:
        """What the build will take, reckoned from some pictures that are prepared and encoded now.

        Raises EncoderError if the model cannot be exported.
        """
        steps = self._planned
        encoding = self._time_encoding([made.pixels for made in self._sample.prepared])
        exported = self.work / "encoder"
        return Forecast.reckon(
            pictures=len(self._collection),
            new=sum(len(step.new) for step in steps),
            kept=sum(step.kept for step in steps),
            written=sum(s.slice.stop - s.slice.start for s in steps if s.whole is None),
            sample=self._sample,
            encoding=encoding,
            on_cpu=self._encoder.device == "cpu",
            dim=self._job.recipe.dim,
            workers=self._workers,
            # Exported, copied, and tried with 8 bits.
            encoder=3 * sum(path.stat().st_size for path in exported.glob("*")),
            folder=self.work,
        )

    def run(self, progress: Progress | None = None) -> Summary:
        """Build."""
        steps = self._planned
        agreement, _ = self._query_encoder  # first: a model that cannot be exported fails now
        parts = self._make_parts(steps, progress or Quiet())
        made = Ingredients(
            self._collection,
            self._job.recipe,
            self._extras,
            self._info,
            self._options,
            agreement,
            self._sample.pictures,
            self.notices,
            self._former(),
        )
        manifest = assemble(made, parts, self.work, self._watch)
        put_in_place(self.work, self.out)
        return self._summary(manifest, steps)

    def _former(self) -> layout.Manifest | None:
        with suppress(ArtifactError, OSError):
            return layout.read_manifest(self.out)[0]
        return None

    @cached_property
    def _sample(self) -> Sample:
        kept = partial(stored_pictures, self._job, self._planned)
        return take_sample(self._collection, self._work, self._workers, kept)

    @property
    def _planned(self) -> list[Step]:
        return self._steps if self._steps is not None else self.look()

    def _made(self, vectors: Vectors, encoder: Encoder) -> bool:
        """Whether an encoder made the embeddings that a collection brings, as a sample tells."""
        if vectors.shape[1] != encoder.dim or not self._sample.pictures:
            return False
        ours = encoder.encode_images(self._sample.pictures)
        cosines = (ours * vectors[self._sample.places]).sum(axis=1)
        return bool(np.percentile(cosines, 10) > SAME)

    @cached_property
    def _query_encoder(self) -> tuple[Agreement, Encoder]:
        """How well the artifact's encoder agrees with the model, and what encodes the pictures.

        In float32 on a processor that is the artifact's own: ONNX Runtime takes half of torch's
        time, and less.
        """
        folder = self.work / "encoder"
        with self._watch.stage("query encoder"):
            agreement = self._exported(folder) or self._export(folder)
            if isinstance(self._encoder, OnnxEncoder):
                return agreement, self._encoder
            if self._encoder.device == "cpu" and self._encoder.precision == "float32":
                return agreement, OnnxEncoder(folder, threads=cpu_count())
            if sample := [made.pixels for made in self._sample.prepared]:
                agreement = check_stored(self._encoder, folder, np.stack(sample), agreement)
            return agreement, self._encoder

    def _exported(self, folder: Path) -> Agreement | None:
        """What was found when a stopped build exported this very model; else None."""
        try:
            told = json.loads((self.work / AGREEMENT).read_bytes())
            agreement = Agreement.model_validate(told["agreement"])
            same = told["model"] == self._model and told["sha256"] == _hashes(folder)
        except (OSError, ValueError, LookupError):
            return None
        return agreement if same else None

    def _export(self, folder: Path) -> Agreement:
        shutil.rmtree(folder, ignore_errors=True)
        agreement = export_encoder(self._encoder, folder, probes.TEXTS, self._sample.pictures)
        told = {
            "model": self._model,
            "sha256": _hashes(folder),
            "agreement": agreement.model_dump(),
        }
        (self.work / AGREEMENT).write_text(json.dumps(told))
        return agreement

    @property
    def _model(self) -> list[str]:
        return [self._encoder.name, self._encoder.revision]

    def _make_parts(self, steps: list[Step], progress: Progress) -> list[Path]:
        workers, batch_size = self._said
        places = self._sample.places
        order = Order(self._job, self._work, self.work, workers, batch_size, places)
        encoder = self._query_encoder[1]
        clear_half(order.parts)
        if self._runner is None:
            worker = PartWorker(order, encoder, self._workers, progress, self._watch)
            return worker.make(steps)
        Workers(self._work, self._workers).end()  # that made the sample ready
        self._runner(order, encoder, steps, progress, self._watch)
        return [order.parts / step.slice.key for step in steps]

    def _time_encoding(self, pixels: list[Pixels]) -> float:
        """Seconds a picture, in a batch as large as those of the build."""
        if self._collection.vectors is not None or not pixels:
            return 0.0
        batch = (pixels * -(-self._batch_size // len(pixels)))[: self._batch_size]
        encoder = self._query_encoder[1]
        encoder.encode_pixels(np.stack(batch[:8]))
        start = time.perf_counter()
        encoder.encode_pixels(np.stack(batch))
        return (time.perf_counter() - start) / len(batch)

    def _summary(self, manifest: layout.Manifest, steps: list[Step]) -> Summary:
        sizes: Counter[str] = Counter()
        for name, file in manifest.files.items():
            sizes[name.partition("/")[0]] += file.bytes
        return Summary(
            rows=manifest.rows,
            kept=sum(step.kept for step in steps),
            rejects=Counter(manifest.rejects),
            version=Artifact.open(self.out).version,
            sizes=dict(sizes),
            seconds=self._watch.seconds,
            tables={table.name: table.rows for table in manifest.tables},
        )


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: layout.file_info(path).sha256 for path in sorted(folder.iterdir())}
