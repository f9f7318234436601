"""Pictures → parts: workers, encoder and disk at work at the same time.

While some pictures are read and decoded, those before them are encoded, and those before these are
written. How long each was waited for says what the slowest of them is.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from image_search.collection import Reject
from image_search.encoder import Pixels, Vectors
from image_search.errors import CollectionError
from image_search.kept import Step, read_row
from image_search.parts import UNREADABLE, Job, PartWriter, Row
from image_search.prepare import Prepared
from image_search.progress import Progress, Stopwatch
from image_search.workers import Outcome, Workers

BATCHES = 2
"""Batches that are encoded, or wait for it, while the next one is prepared."""

GIVE_UP = 1000
"""After so many pictures in a row that could not be read, it is not the pictures."""

Encode = Callable[[list[Pixels], list[int]], Vectors]
"""Squares of pixels, and which entries they are → (n, dim) unit vectors."""


@dataclass(frozen=True)
class Batch:
    """Some pictures of one part on their way to the disk."""

    writer: "OrderedPart"
    prepared: list[tuple[int, Prepared]]
    """Entry and picture."""
    rejects: list[Reject]
    vectors: Future[Vectors]
    last: bool
    """Whether the part is complete with it."""


class OrderedPart:
    """Writes a part: new rows as they are given, and the kept ones in between."""

    def __init__(self, job: Job, step: Step, folder: Path) -> None:
        self._writer = PartWriter(job, step.slice, folder)
        self._step = step
        self._kept = deque(sorted(step.rows))

    def write(self, batch: Batch) -> None:
        for (index, picture), vector in zip(batch.prepared, batch.vectors.result(), strict=True):
            self._write_kept(index)
            small = picture.thumbnail, picture.width, picture.height
            self._writer.add(Row(index, picture.stored, *small, vector))
        self._writer.rejects += batch.rejects

    def finish(self) -> None:
        self._write_kept(self._step.slice.stop)
        self._writer.finish()

    def stop(self) -> None:
        self._writer.stop()

    def _write_kept(self, before: int) -> None:
        while self._kept and self._kept[0] < before:
            index = self._kept.popleft()
            self._writer.add(read_row(*self._step.rows[index], index))


@dataclass
class Line:
    """The way of pictures to the disk: its stations, and what was done so far."""

    job: Job
    folder: Path
    """Where the parts are made."""
    workers: Workers
    encode: Encode
    batch_size: int
    progress: Progress
    watch: Stopwatch
    source_answers: Callable[[], bool]
    """Whether something of the source can still be read, asked when much could not."""
    _begun: list[OrderedPart] = field(default_factory=list)
    _unread: int = 0
    """Pictures in a row that could not be read, until now."""

    def make_parts(self, steps: Sequence[Step]) -> list[Path]:
        """Make the parts of some steps; gives all of them, in order.

        Stopped at any moment, what was finished stays. Raises CollectionError if nothing of the
        source can be read any more.
        """
        entries = (self.job.collection.entries[n] for step in steps for n in step.new)
        outcomes = self._watched(self.workers.prepare(entries))
        waiting: deque[Batch] = deque()
        encoding = ThreadPoolExecutor(1)
        try:
            for step in steps:
                self.progress.update(len(step.rows))
                for batch in self._batches(step, outcomes, encoding):
                    waiting.append(batch)
                    if len(waiting) > BATCHES:
                        self._write(waiting.popleft())
            while waiting:
                self._write(waiting.popleft())
            next(outcomes, None)  # at their end the processes stay for the next build
        finally:
            outcomes.close()
            encoding.shutdown(wait=False, cancel_futures=True)
            for part in self._begun:
                part.stop()
        return [self.folder / step.slice.key for step in steps]

    def _batches(
        self, step: Step, outcomes: Iterator[Outcome], encoding: ThreadPoolExecutor
    ) -> Iterator[Batch]:
        """What is to be written of a part, a batch of new pictures at a time."""
        if step.whole:
            step.whole.put(self.folder / step.slice.key)
            self.progress.update(step.slice.stop - step.slice.start)
            return
        writer = OrderedPart(self.job, step, self.folder)
        self._begun.append(writer)
        new = step.new
        for start in range(0, max(1, len(new)), self.batch_size):
            places = new[start : start + self.batch_size]
            with self.watch.stage("waiting for pictures"):
                results = list(zip(places, islice(outcomes, len(places)), strict=True))
            prepared = [(place, made) for place, made in results if isinstance(made, Prepared)]
            rejects = [made for _, made in results if isinstance(made, Reject)]
            indices = [place for place, _ in prepared]
            pixels = [picture.pixels for _, picture in prepared]
            vectors = encoding.submit(self.encode, pixels, indices)
            yield Batch(writer, prepared, rejects, vectors, start + self.batch_size >= len(new))

    def _write(self, batch: Batch) -> None:
        with self.watch.stage("for the encoder"):
            batch.vectors.result()
        with self.watch.stage("for the disk"):
            batch.writer.write(batch)
            if batch.last:
                batch.writer.finish()
                self._begun.remove(batch.writer)
        self.progress.update(len(batch.prepared) + len(batch.rejects))

    def _watched(self, outcomes: Iterator[Outcome]) -> Generator[Outcome, None, None]:
        """The outcomes; stops where it is the source that is gone, not single pictures."""
        for outcome in outcomes:
            if isinstance(outcome, Reject) and outcome.reason.startswith(UNREADABLE):
                self.job.collection.reader.check()
                self._unread += 1
                if self._unread % GIVE_UP == 0 and not self.source_answers():
                    raise CollectionError(
                        f"The last {GIVE_UP:,} pictures could not be read ({outcome.reason}), nor "
                        "can one that could be read before. Is the network there, or the disk? "
                        "The same command goes on from here."
                    )
            else:
                self._unread = 0
            yield outcome
