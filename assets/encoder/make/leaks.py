"""Find training pictures that are, or nearly are, pictures that the training must not see."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import onnxruntime
import preprocess
from PIL import Image

ALIKE_COSINE = 0.9
ALIKE_BITS = 4  # Of 64: more bits of difference than this, and a hash says "another picture".
HALFWAY_COSINE = 0.6
HASH_SIDE = 8


def demo_files(demo: Path) -> list[Path]:
    """Return the demo collection's picture files as its list names them."""
    listing = demo / "metadata.csv"
    if not listing.exists():
        return []
    with listing.open(encoding="utf-8", newline="") as stream:
        names = [row["file_name"] for row in csv.DictReader(stream)]
    found = [demo / "pictures" / name for name in names]
    return [file if file.exists() else demo / name for file, name in zip(found, names, strict=True)]


def demo_drawings(demo: Path) -> set[str]:
    """Return the keys of the Open Clip Art drawings that the demo shows."""
    keys = set()
    for file in demo_files(demo):
        match = re.search(r"(?:^|/)openclipart/(.+)\.\w+$", file.as_posix())
        if match:
            keys.add(match.group(1))
    return keys


def perceptual_hash(picture: Image.Image) -> np.ndarray:
    """Return 64 bits: whether brightness rises from each cell of a tiny picture to the next."""
    small = preprocess.padded(picture).convert("L").resize((HASH_SIDE + 1, HASH_SIDE))
    levels = np.asarray(small, dtype=np.int16)
    return (levels[:, 1:] > levels[:, :-1]).reshape(-1)


def hashes_of(files: list[Path]) -> np.ndarray:
    """Return the hashes of some files."""
    return np.stack([perceptual_hash(preprocess.open_flat(file)) for file in files])


def kept_hashes(files: list[Path], cache: Path) -> np.ndarray:
    """Return the hashes of many files, computed once."""
    if not cache.exists():
        np.save(cache, hashes_of(files))
    hashes = np.load(cache)
    if len(hashes) != len(files):
        cache.unlink()
        return kept_hashes(files, cache)
    return hashes


def features_of(files: list[Path], network: Path) -> np.ndarray:
    """Return the image network's features of some files."""
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    rows = []
    for file in files:
        pixels = preprocess.to_array(preprocess.open_flat(file))[None]
        rows.append(np.concatenate(session.run(None, {"pixel_values": pixels}), axis=1)[0])
    return np.stack(rows)


def directions(features: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return unit vectors of the head features around their mean."""
    rows = np.sqrt(np.maximum(features[:, :1280], 0)) - mean
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def near_copies(
    features: np.ndarray,
    hashes: np.ndarray,
    forbidden_features: np.ndarray,
    forbidden_hashes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each picture, whether its features and whether its hash are too alike.

    A hash counts only where the features agree halfway: near-empty drawings share hashes.
    """
    mean = np.sqrt(np.maximum(features[:, :1280], 0)).mean(0)
    cosine = directions(features, mean) @ directions(forbidden_features, mean).T
    bits = np.stack([(hashes != other).sum(1) for other in forbidden_hashes], axis=1)
    alike = cosine.max(1) > ALIKE_COSINE
    hashed = ((bits <= ALIKE_BITS) & (cosine > HALFWAY_COSINE)).any(1)
    return alike, hashed
