"""What a build will take, reckoned from a sample of its pictures before it begins."""

import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from PIL import Image

from image_search import images
from image_search.collection import Collection, Reject
from image_search.prepare import ENCODED_SIDE, Prepared
from image_search.workers import Work, Workers

SAMPLE = 32
"""Pictures that are tried, spread over the collection."""

TRIES = 8
"""Samples that are taken, at most, until one has a picture that can be used."""

WORKER_MEMORY = 350_000_000
"""Bytes that a process needs which decodes (measured with torch loaded; 120 MB without)."""


@dataclass(frozen=True)
class Sample:
    """Some pictures of a collection that can be used."""

    places: list[int]
    """Which entries they are."""
    prepared: list[Prepared]
    reading: float
    """Seconds a picture, if the collection has threads that read, all of them together."""
    preparing: float
    """Seconds a picture, by one process."""
    rejects: list[Reject]
    """Those that cannot be used, of all that were tried."""

    @cached_property
    def pictures(self) -> list[Image.Image]:
        """The pictures as they are stored."""
        return [images.decode(made.stored, max_side=ENCODED_SIDE) for made in self.prepared]


def take_sample(
    collection: Collection,
    work: Work,
    count: int,
    kept: Callable[[list[int]], Mapping[int, bytes | None]] = lambda places: {},
) -> Sample:
    """Prepare SAMPLE pictures, spread over the collection; others if none of these can be used.

    `count` processes do it: a picture may take its process with it. `kept` gives the pictures that
    an earlier build stored, or None for one that it left out: the source is not asked for these.
    """
    step = -(-len(collection) // SAMPLE)
    rejects: list[Reject] = []
    for first in range(min(step, TRIES)):
        places = list(range(first, len(collection), step))
        stored = kept(places)
        new = [place for place in places if place not in stored]
        workers = Workers(work, count, collection.readers)
        start = time.perf_counter()
        outcomes = list(workers.prepare(collection.entries[place] for place in new))
        waited = time.perf_counter() - start - workers.seconds / count
        rejects += [made for made in outcomes if isinstance(made, Reject)]
        reading = max(0.0, waited) if collection.readers else 0.0
        good = {
            p: made for p, made in zip(new, outcomes, strict=True) if isinstance(made, Prepared)
        }
        prepare = work.preparer()
        good |= {place: prepare(data) for place, data in stored.items() if data is not None}
        sample = Sample(
            sorted(good),
            [good[place] for place in sorted(good)],
            reading / max(1, len(new)),
            workers.seconds / max(1, len(new)),
            rejects,
        )
        if good:
            break
    return sample


@dataclass(frozen=True)
class Forecast:
    """What a build will do, and what it will take."""

    pictures: int
    new: int
    """Pictures that have to be encoded."""
    kept: int
    """Pictures of an earlier build."""
    seconds: float
    """For the new pictures; the index comes on top, minutes for a million."""
    disk: int
    """Bytes that are written."""
    free: int
    """Bytes that are free there."""
    memory: int
    """Bytes of memory, all processes together."""
    tried: int
    """Pictures of the sample."""
    rejects: list[Reject]
    """Those of them that cannot be used."""

    @classmethod
    def reckon(
        cls,
        *,
        pictures: int,
        new: int,
        kept: int,
        written: int,
        sample: Sample,
        encoding: float,
        on_cpu: bool,
        dim: int,
        workers: int,
        encoder: int,
        folder: Path,
    ) -> Self:
        """Out of a sample.

        `written` rows lie in parts that are not kept whole; `encoding` is seconds a picture;
        `encoder` the bytes of the exported query encoder.
        """
        preparing = sample.preparing / workers
        # Where the encoder has the same processors, one waits for the other.
        computing = preparing + encoding if on_cpu else max(preparing, encoding)
        sizes = [len(made.stored) + len(made.thumbnail) for made in sample.prepared]
        mean = sum(sizes) / max(1, len(sizes))
        vector = 4 * dim  # float32; the index has half of it again
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return cls(
            pictures=pictures,
            new=new,
            kept=kept,
            seconds=new * max(sample.reading, computing),
            disk=int(written * (mean + vector) + pictures * 1.5 * vector + encoder),
            free=shutil.disk_usage(folder).free,
            memory=peak + workers * WORKER_MEMORY + pictures * vector,  # the index, twice
            tried=len(sample.prepared) + len(sample.rejects),
            rejects=sample.rejects,
        )
