"""What a build will take, reckoned from a sample of its pictures before it begins."""

import resource
import shutil
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from PIL import Image

from image_search import images
from image_search.collection import Collection
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

    @cached_property
    def pictures(self) -> list[Image.Image]:
        """The pictures as they are stored."""
        return [images.decode(made.stored, max_side=ENCODED_SIDE) for made in self.prepared]


def take_sample(collection: Collection, work: Work, count: int) -> Sample:
    """Prepare SAMPLE pictures, spread over the collection; others if none of these can be used.

    `count` processes do it: a picture may take its process with it.
    """
    step = -(-len(collection) // SAMPLE)
    sample = Sample([], [], 0.0, 0.0)
    for first in range(min(step, TRIES)):
        places = list(range(first, len(collection), step))
        workers = Workers(work, count, collection.readers)
        start = time.perf_counter()
        outcomes = list(workers.prepare(collection.entries[place] for place in places))
        waited = time.perf_counter() - start - workers.seconds / count
        good = [(p, o) for p, o in zip(places, outcomes, strict=True) if isinstance(o, Prepared)]
        reading = max(0.0, waited) if collection.readers else 0.0
        sample = Sample(
            [place for place, _ in good],
            [made for _, made in good],
            reading / len(places),
            workers.seconds / len(places),
        )
        if good:
            break
    return sample


@dataclass(frozen=True)
class Forecast:
    """What a build will do, and what it will take."""

    pictures: int
    new: int
    """Pictures that have to be encoded; the others are kept from an earlier build."""
    seconds: float
    """For the new pictures; the index comes on top, minutes for a million."""
    disk: int
    """Bytes that are written."""
    free: int
    """Bytes that are free there."""
    memory: int
    """Bytes of memory, all processes together."""

    @classmethod
    def reckon(
        cls,
        *,
        pictures: int,
        new: int,
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
            seconds=new * max(sample.reading, computing),
            disk=int(written * (mean + vector) + pictures * 1.5 * vector + encoder),
            free=shutil.disk_usage(folder).free,
            memory=peak + workers * WORKER_MEMORY + pictures * vector,  # the index, twice
        )
