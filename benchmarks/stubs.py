"""Our building without its encoder, and without what is not for the encoder."""

from pathlib import Path

import numpy as np

from image_search import images
from image_search.encoder import Pixels, Preprocessing, Vectors
from image_search.encoding import Line
from image_search.kept import plan
from image_search.parts import Job
from image_search.prepare import Prepared, TorchPixels
from image_search.progress import Quiet, Stopwatch
from image_search.workers import Workers


class PixelsOnly(TorchPixels):
    """From the file to what the encoder reads, and nothing else."""

    def __call__(self, data: bytes) -> Prepared:
        header = images.open_header(data, self._max_pixels)
        pixels = self._decode(data, header, images.is_shown_as_is(header, self._max_side))
        return Prepared(b"", b"", *header.size, self._square(pixels))


def only_pixels(preprocessing: Preprocessing, max_side: int, max_pixels: int) -> PixelsOnly:
    return PixelsOnly(preprocessing, max_side, max_pixels)


def stub_line(job: Job, folder: Path, workers: Workers, batch: int) -> None:
    """All parts of a build, on the disk, with vectors that cost nothing."""

    def zeros(pixels: list[Pixels], entries: list[int]) -> Vectors:
        if pixels:
            np.stack(pixels)  # as the encoder gets them
        return np.zeros((len(pixels), job.recipe.dim), np.float32)

    line = Line(job, folder, workers, zeros, batch, Quiet(), Stopwatch(), lambda: True)
    line.make_parts(plan(job, []))
