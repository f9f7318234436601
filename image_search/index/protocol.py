"""Vectors → nearest rows: what every index can do."""

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from image_search.encoder import Vectors
from image_search.filters import Filter

Rows = NDArray[np.int64]

TIES = 8
"""Rows that an index is asked for beyond those that are wanted: of rows with the same score it may
give any."""


class Index(Protocol):
    """Anything that finds the rows whose vectors are nearest to a query's."""

    def __len__(self) -> int: ...
    @property
    def dim(self) -> int: ...
    def search(
        self, vector: Vectors, k: int, exclude: Collection[int] = (), where: Filter = ()
    ) -> tuple[Rows, Vectors]:
        """Rows and their cosines, best first, ties by row; k of them or as many as there are.

        `vector` is (dim,) and of unit length. The rows of `exclude`, and those that do not fulfil
        `where`, are as if they were not there. Raises ValueError for another shape, k < 1 or a
        field that there is not.
        """

    def vector(self, row: int) -> Vectors:
        """The unit vector of a row, (dim,), as the index holds it."""


def checked(index: Index, vector: Any, k: int) -> int:
    """As many rows as there can be of k. Raises ValueError for what no index takes."""
    if vector.shape != (index.dim,):
        raise ValueError(f"a query is one vector of {index.dim} numbers, not {vector.shape}")
    if k < 1:
        raise ValueError(f"k is {k}, and at least 1 result has to be asked for")
    return min(k, len(index))
