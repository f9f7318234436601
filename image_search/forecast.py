"""What a build will take, reckoned from a sample of its pictures before it begins."""

import resource
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image

from image_search import images
from image_search.collection import Collection
from image_search.errors import PictureError
from image_search.prepare import ENCODED_SIDE

SAMPLE = 32
"""Pictures that are tried, spread over the collection."""

WORKER_MEMORY = 350_000_000
"""Bytes that a process needs which decodes (measured with torch loaded; 120 MB without)."""


@dataclass(frozen=True)
class Sample:
    """Some pictures of a collection that can be decoded."""

    places: list[int]
    """Which entries they are."""
    data: list[bytes]
    pictures: list[Image.Image]
    tried: int
    seconds: float
    """What reading them took, as many at a time as the collection reads."""


def read_sample(collection: Collection, max_pixels: int) -> Sample:
    """Read and decode up to SAMPLE pictures."""

    def read(place: int) -> bytes | None:
        try:
            return collection.reader.read(collection.entries[place].place)
        except PictureError:
            return None

    tried = range(0, len(collection), -(-len(collection) // SAMPLE))
    start = time.perf_counter()
    with ThreadPoolExecutor(max(1, collection.readers)) as pool:
        found = list(pool.map(read, tried))
    sample = Sample([], [], [], len(tried), time.perf_counter() - start)
    for place, data in zip(tried, found, strict=True):
        try:
            if data is not None:
                sample.pictures.append(images.decode(data, max_pixels, ENCODED_SIDE))
                sample.data.append(data)
                sample.places.append(place)
        except PictureError:
            continue
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
        reading: float,
        preparing: float,
        encoding: float,
        on_cpu: bool,
        stored: Sequence[int],
        dim: int,
        workers: int,
        folder: Path,
    ) -> Self:
        """Out of seconds a picture, all workers together, and the bytes `stored` of some."""
        # Where the encoder has the same processors, one waits for the other.
        computing = preparing + encoding if on_cpu else max(preparing, encoding)
        mean = sum(stored) / max(1, len(stored))
        vector = 4 * dim  # float32; the index has half of it again
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return cls(
            pictures=pictures,
            new=new,
            seconds=new * max(reading, computing),
            disk=int(new * (mean + vector) + pictures * 1.5 * vector),
            free=shutil.disk_usage(folder).free,
            memory=peak + workers * WORKER_MEMORY + pictures * vector // 2,
        )
