"""One picture → what a collection keeps of it and what the encoder reads. Runs in many processes.

Two ways to the same: `PillowPixels`, and `TorchPixels` where torch is there anyway since the model
is one of the Hub: its resizing takes a fifth of Pillow's time and gives the same pixels but for
the rounding (measured: they differ by 0.005 of 255 levels on average, and by 2 at most).
"""

from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from image_search import images
from image_search.encoder import Pixels, Preprocessing, central

VERSION = 1
"""To be raised with any change here or in `images` that changes pixels or files: rows that were
made before are then not kept."""

THUMBNAIL_SIDE = 256

ROOM = 1.2
"""A large JPEG is decoded at a half, a quarter or an eighth of its size, which saves most of the
time, if it is then still by this factor larger than what is stored."""

ENCODED_SIDE = 1024
"""Longest side, in pixels, of what Pillow prepares for the encoder: it sees less."""

Resizer = Literal["pillow", "torch"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """One picture, ready to be encoded and stored."""

    stored: bytes
    thumbnail: bytes
    width: int
    height: int
    """The size of what is stored, in pixels."""
    pixels: Pixels
    """What the encoder reads of it: (size, size, 3)."""


class Preparer(Protocol):
    """Makes a picture ready."""

    def __call__(self, data: bytes) -> Prepared:
        """Decode and shrink a picture. Raises PictureError with the reason if it cannot be used."""


def preparer(
    resizer: Resizer, preprocessing: Preprocessing, max_side: int, max_pixels: int
) -> Preparer:
    """What makes pictures ready: `max_side` is the longest side of a stored picture, in pixels."""
    kind = TorchPixels if resizer == "torch" else PillowPixels
    return kind(preprocessing, max_side, max_pixels)


class PillowPixels:
    """By Pillow alone."""

    def __init__(self, preprocessing: Preprocessing, max_side: int, max_pixels: int) -> None:
        self._preprocessing = preprocessing
        self._max_side = max_side
        self._max_pixels = max_pixels

    def __call__(self, data: bytes) -> Prepared:
        image = images.decode(data, max_pixels=self._max_pixels, max_side=self._max_side)
        stored = images.stored(data, image, self._max_side)
        thumbnail = images.thumbnail(image, THUMBNAIL_SIDE)
        pixels = self._preprocessing.pixels(images.fit(image, ENCODED_SIDE))
        return Prepared(stored, thumbnail, *image.size, pixels)


class TorchPixels:
    """Decoded by libjpeg-turbo and resized by torch, where the picture is a plain JPEG."""

    def __init__(self, preprocessing: Preprocessing, max_side: int, max_pixels: int) -> None:
        self._preprocessing = preprocessing
        self._max_side = max_side
        self._max_pixels = max_pixels

    def __call__(self, data: bytes) -> Prepared:
        header = images.open_header(data, self._max_pixels)
        kept = images.is_shown_as_is(header, self._max_side)
        pixels = self._decode(data, header, kept)
        height, width = pixels.shape[:2]
        if kept:
            stored, (width, height) = data, header.size
        else:
            pixels = _fit(pixels, self._max_side)
            height, width = pixels.shape[:2]
            stored = images.as_jpeg(Image.fromarray(pixels))
        thumbnail = images.thumbnail(Image.fromarray(_fit(pixels, THUMBNAIL_SIDE)), THUMBNAIL_SIDE)
        return Prepared(stored, thumbnail, width, height, self._square(pixels))

    def _decode(self, data: bytes, header: Image.Image, kept: bool) -> Pixels:
        """The upright picture in RGB, (height, width, 3), larger than anything made from it."""
        if images.is_plain_jpeg(header):
            part = 1 if kept else self._part(max(header.size))
            width, height = (ceil(length / part) for length in header.size)
            try:
                decoded: Pixels = simplejpeg.decode_jpeg(
                    data, "RGB", min_width=width, min_height=height, min_factor=1
                )
                return decoded
            except ValueError:
                pass  # Pillow takes some that simplejpeg does not, or knows the reason
        side = None if kept else self._max_side
        return np.asarray(images.decode(data, max_pixels=self._max_pixels, max_side=side))

    def _part(self, longest: int) -> int:
        """Into how much smaller a picture a JPEG with this longest side is decoded."""
        return max(n for n in (1, 2, 4, 8) if n == 1 or longest / n >= ROOM * self._max_side)

    def _square(self, pixels: Pixels) -> Pixels:
        if self._preprocessing.fit != "crop" or self._preprocessing.resample != "bicubic":
            return self._preprocessing.pixels(Image.fromarray(pixels))
        left, top, right, bottom = central(pixels.shape[1], pixels.shape[0])
        pixels = pixels[top:bottom, left:right]
        side = self._preprocessing.size
        frame = self._preprocessing.frame(pixels.shape[1], pixels.shape[0])
        planes = _planes(pixels, frame.width, frame.height)
        return _interleaved(planes[:, frame.top : frame.top + side, frame.left : frame.left + side])


def _fit(pixels: Pixels, side: int) -> Pixels:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    return _interleaved(
        _planes(pixels, max(1, round(width * scale)), max(1, round(height * scale)))
    )


def _planes(pixels: Pixels, width: int, height: int) -> Pixels:
    """(3, height, width) by bicubic interpolation over all pixels that an output pixel covers."""
    import torch

    planes = torch.from_numpy(_writable(pixels)).permute(2, 0, 1)[None]
    resized: Any = torch.nn.functional.interpolate(
        planes, size=(height, width), mode="bicubic", antialias=True
    )
    result: NDArray[np.uint8] = resized[0].numpy()
    return result


def _interleaved(planes: Pixels) -> Pixels:
    """(3, height, width) → (height, width, 3)."""
    pixels = np.empty((*planes.shape[1:], len(planes)), np.uint8)
    for channel, plane in enumerate(planes):  # a third of the time of a transposed copy
        pixels[..., channel] = plane
    return pixels


def _writable(pixels: Pixels) -> Pixels:
    """torch warns of memory that it could write to and must not."""
    return pixels if pixels.flags.writeable else pixels.copy()
