"""A picture file into the array that the image network reads: the same steps as at run time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# 127 and 128 are EfficientNet-Lite's own normalisation of 0..255.
PREPROCESSING = {
    "size": 260,
    "fit": "pad",
    "resample": "bicubic",
    "background": [255, 255, 255],
    "mean": [127 / 255] * 3,
    "std": [128 / 255] * 3,
}


def open_flat(path: str | Path) -> Image.Image:
    """Open a picture as RGB, transparent parts turned white."""
    with Image.open(path) as picture:
        return flatten(picture)


def flatten(picture: Image.Image) -> Image.Image:
    """Return a picture as RGB on white."""
    layers = picture.convert("RGBA")
    paper = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    paper.alpha_composite(layers)
    return paper.convert("RGB")


def padded(picture: Image.Image) -> Image.Image:
    """Resize an RGB picture so that its longest side fits, and centre it on a white square."""
    size = PREPROCESSING["size"]
    factor = size / max(picture.size)
    width, height = (max(1, round(side * factor)) for side in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (size, size), tuple(PREPROCESSING["background"]))
    square.paste(resized, ((size - width) // 2, (size - height) // 2))
    return square


def to_array(picture: Image.Image) -> np.ndarray:
    """Return the normalised (3, size, size) float32 array of an RGB picture."""
    pixels = np.asarray(padded(picture), dtype=np.float32) / np.float32(255)
    mean = np.array(PREPROCESSING["mean"], dtype=np.float32)
    std = np.array(PREPROCESSING["std"], dtype=np.float32)
    return ((pixels - mean) / std).transpose(2, 0, 1)
