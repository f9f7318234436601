"""Everyday questions to measure a collection with: recall of its index, and what no match is.

The words are ordinary English, none of them taken from any collection. Text questions are much
harder for an approximate index than pictures are, so recall is always measured with both.
"""

import numpy as np

from image_search.encoder import Encoder, Vectors
from image_search.index.exact import ExactIndex, recall
from image_search.index.protocol import Index

PICTURES = 100
"""Pictures, evenly spread over the rows, that serve as questions."""

PERCENTILE = 10.0

TEXTS = [
    f"{template} {thing}"
    for template in ("a", "a picture of a")
    for thing in (
        "house", "church", "castle", "bridge", "street", "harbour", "garden", "ruin", "room",
        "map", "portrait", "man reading", "woman sewing", "child playing", "crowd", "king",
        "soldier", "farmer", "horse", "dog", "cat", "cow", "lion", "bird", "fish", "butterfly",
        "snake", "tree", "flower", "fruit", "mountain", "river", "waterfall", "forest", "storm",
        "moon", "star", "ship", "boat", "train", "carriage", "bicycle", "balloon", "machine",
        "clock", "book", "letter", "chair", "cup", "bottle", "knife", "key", "lamp", "hat",
        "dress", "shoe", "ring", "crown", "violin", "drum", "bell", "sword", "flag", "fire",
    )
]  # fmt: skip


def picture_rows(rows: int) -> list[int]:
    """The rows of the pictures that are measured with: evenly spread, the same every time."""
    return [int(row) for row in np.linspace(0, rows - 1, num=min(PICTURES, rows), dtype=np.int64)]


def measure_recall(
    index: Index, exact: ExactIndex, encoder: Encoder, vectors: Vectors
) -> dict[str, float]:
    """The share of the exact ten nearest that `index` finds, for texts and for pictures."""
    return {
        "text_at_10": round(recall(index, exact, encoder.encode_texts(TEXTS)), 4),
        "picture_at_10": round(recall(index, exact, vectors[picture_rows(len(vectors))]), 4),
    }


def no_match_threshold(index: Index, texts: Vectors) -> float:
    """The best score that PERCENTILE of a hundred everyday questions do not reach.

    A question whose best picture stays below it has found less than nearly all of them. It is the
    best score that counts, and over this very collection: the best of a hundred thousand pictures
    is higher by chance than the best of a hundred. `texts` is (q, dim).
    """
    best = [float(index.search(text, 1)[1][0]) for text in texts]
    return round(float(np.percentile(best, PERCENTILE)), 4)
