"""The arithmetic of questions: unit vectors → the unit vectors that are searched with.

Of the terms of a question the weighted sum is taken, w₁v₁ + w₂v₂ + …, less of something with a
weight below 0, and made a unit vector again. Liked and disliked pictures move it by Rocchio's rule:

    q' = q + β · mean(liked) - γ · mean(disliked)

J. J. Rocchio, "Relevance feedback in information retrieval", in G. Salton (ed.), The SMART
Retrieval System, 1971; β = 0.75 and γ = 0.15 as Manning, Raghavan and Schütze recommend,
"Introduction to Information Retrieval", 2008, section 9.1.1. Without a question q is 0.
"""

from collections.abc import Sequence

import numpy as np

from image_search.encoder import Vectors, unit
from image_search.errors import QueryError

NOTHING = 1e-3
"""A sum shorter than this is what rounding leaves of things that cancel each other out."""


def together(weighted: Sequence[tuple[float, Vectors]]) -> Vectors:
    """The unit vector of a weighted sum of unit vectors, each (dim,).

    Raises QueryError if they cancel each other out.
    """
    if len(weighted) == 1 and weighted[0][0] > 0:
        return weighted[0][1]  # it is one already, bit by bit
    weights = np.array([weight for weight, _ in weighted], np.float32)
    total: Vectors = weights @ np.stack([vector for _, vector in weighted])
    length = float(np.linalg.norm(total))
    if length < NOTHING:
        raise QueryError(
            "What is looked for and what is taken away cancel each other out. Change one of them."
        )
    made: Vectors = unit(total[None])[0]
    return made


def moved(
    query: Vectors | None,
    liked: Sequence[Vectors],
    disliked: Sequence[Vectors],
    like: float,
    unlike: float,
) -> Vectors:
    """The query moved towards liked pictures and away from disliked ones; β is `like`, γ `unlike`.

    Raises QueryError if nothing is left.
    """
    weighted = [] if query is None else [(1.0, query)]
    weighted += [(like / len(liked), vector) for vector in liked]
    weighted += [(-unlike / len(disliked), vector) for vector in disliked]
    return together(weighted)
