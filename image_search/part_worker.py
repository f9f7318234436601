"""Steps → finished parts: what does it, in this process or on any other machine.

What it is told can be pickled, and what it makes lies in a folder that all machines see. So
whoever runs it, the parts are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from image_search.encoder import Encoder, Pixels, Vectors
from image_search.encoding import Line
from image_search.errors import PictureError
from image_search.kept import Step
from image_search.parts import Job
from image_search.progress import Progress, Quiet, Stopwatch
from image_search.workers import Work, Workers

TRIED = 3
"""Pictures of the sample that are read to find out whether the source is there."""


@dataclass(frozen=True)
class Order:
    """What a worker is told."""

    job: Job
    work: Work
    place: Path
    """The folder that the build works in."""
    workers: int | None
    """Processes that decode, as the keeper said; None: as many as processors."""
    batch_size: int | None
    """Pictures that are encoded at a time, as the keeper said; None: what suits the encoder."""
    sample: list[int]
    """Entries that could be read when the build began."""

    @property
    def parts(self) -> Path:
        """Where the parts are made."""
        return self.place / "parts"

    @property
    def encoder(self) -> Path:
        """Where the exported encoder lies."""
        return self.place / "encoder"

    def readable(self) -> int | None:
        """An entry of the sample that can be read still; None if there is none."""
        for entry in self.sample[:TRIED]:
            try:
                self.work.reader.read(self.job.collection.entries[entry].place)
                return entry
            except PictureError:
                continue
        return None


class PartWorker:
    """Makes parts with `workers` processes that decode, one part after the other."""

    def __init__(
        self,
        order: Order,
        encoder: Encoder,
        workers: int,
        progress: Progress | None = None,
        watch: Stopwatch | None = None,
    ) -> None:
        self._collection = order.job.collection
        self._encoder = encoder
        self._line = Line(
            order.job,
            order.parts,
            Workers(order.work, order.workers or workers, self._collection.readers),
            self._encode,
            order.batch_size or encoder.batch_size,
            progress or Quiet(),
            watch or Stopwatch(),
            lambda: order.readable() is not None,
        )

    def make(self, steps: Sequence[Step]) -> list[Path]:
        """Make the parts of some steps; gives them, in order.

        Stopped at any moment, what was finished stays. Raises CollectionError if nothing of the
        source can be read any more.
        """
        return self._line.make_parts(steps)

    def _encode(self, pixels: list[Pixels], entries: list[int]) -> Vectors:
        if not pixels:
            return np.empty((0, self._encoder.dim), np.float32)
        if self._collection.vectors is not None:
            given: Vectors = self._collection.vectors[entries]
            return given
        return self._encoder.encode_pixels(np.stack(pixels))


Runner = Callable[[Order, Encoder, Sequence[Step], Progress, Stopwatch], None]
"""Has the parts of all steps made; the encoder is the one that encodes on this machine."""
