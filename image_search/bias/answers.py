"""What an index answers to many questions at once: every cosine computed, in little memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from image_search.encoder import Encoder, Vectors
from image_search.progress import Progress, Quiet

DEPTH = 50
"""Pictures of a list: a reader of rank-biased overlap at 0.9 gets further in 1 of 190 times."""
BLOCK = 2_048
"""Pictures that are compared at a time: with 3,000 questions some 200 MB."""
TEXTS = 64
"""Questions that are encoded at a time."""
STEPS = 1_000_000
"""Cosines are told apart to a millionth: the same picture twice is a tie, put in order by row."""

_LAST = 0xFFFFFFFF

Begin = Callable[[str, int], Progress]
"""Told what begins and of how many steps, gives what is told of each."""


class Held(Protocol):
    """Where the vectors are: an index as it was built."""

    def __len__(self) -> int: ...

    def vectors(self, start: int, count: int) -> Vectors:
        """(count, dim), from a row on."""


@dataclass(frozen=True)
class Answers:
    """The nearest pictures of each question, and what else has to be known to compare them."""

    rows: dict[str, list[int]]
    """Question → rows, best first."""
    scores: dict[str, list[float]]
    """Question → their cosines."""
    asked: dict[str, Vectors]
    """Question → its unit vector."""
    index: Held
    pictures: int
    """How many could be found."""
    cut: list[str] = field(default_factory=list)
    """Questions that the model did not read to the end."""

    def cosines(self, questions: Sequence[str], rows: Sequence[int]) -> Vectors:
        """The cosines of some questions with some pictures: (questions, rows)."""
        held = np.concatenate([self.index.vectors(row, 1) for row in rows])
        found: Vectors = np.stack([self.asked[text] for text in questions]) @ held.T
        return found


def quiet(_what: str, _steps: int) -> Progress:
    """Tell nobody."""
    return Quiet()


def ask(
    questions: Sequence[str],
    encoder: Encoder,
    index: Held,
    hidden: Collection[int] = (),
    begin: Begin = quiet,
) -> Answers:
    """Find the DEPTH nearest pictures of every question, exactly; rows in `hidden` are left out."""
    texts = list(dict.fromkeys(questions))
    told = begin("Reading the questions", len(texts))
    encoded = []
    for start in range(0, len(texts), TEXTS):
        some = texts[start : start + TEXTS]
        encoded.append(encoder.encode_texts(some))
        told.update(len(some))
    vectors = np.concatenate(encoded)
    rows, scores = _nearest(index, vectors, DEPTH, hidden, begin("Searching", len(index)))
    return Answers(
        rows=dict(zip(texts, rows.tolist(), strict=True)),
        scores=dict(zip(texts, scores.tolist(), strict=True)),
        asked=dict(zip(texts, vectors, strict=True)),
        index=index,
        pictures=len(index) - len(set(hidden)),
        cut=[text for text in texts if encoder.read_part(text) != text],
    )


def _nearest(
    index: Held, queries: Vectors, k: int, hidden: Collection[int], told: Progress
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest rows of each of (q, dim) queries and their cosines, best first, ties by row.

    Row and cosine are one number, so that the greatest numbers are the answer, in its order.
    """
    shown = np.ones(len(index), np.bool_)
    shown[list(hidden)] = False
    k = min(k, int(shown.sum()))
    best = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(index), BLOCK):
        count = min(BLOCK, len(index) - start)
        places = start + np.flatnonzero(shown[start : start + count])
        block = index.vectors(start, count)[places - start]
        cosines = np.rint((queries @ block.T) * np.float32(STEPS)).astype(np.int64)
        best = np.concatenate([best, (cosines << 32) + (_LAST - places)], axis=1)
        if best.shape[1] > k:
            best = np.partition(best, best.shape[1] - k, axis=1)[:, best.shape[1] - k :]
        told.update(count)
    best = -np.sort(-best, axis=1)
    return _LAST - (best & _LAST), (best >> 32) / STEPS
