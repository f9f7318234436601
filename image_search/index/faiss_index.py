"""What an artifact carries: inner product over 16-bit floats, by FAISS.

Half the memory and, measured at 417,000 vectors, a third of the time of 32 bits with 998 of 1,000
results the same.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from image_search.columns import Columns
from image_search.encoder import Vectors, unit
from image_search.errors import ArtifactError
from image_search.filters import Filter
from image_search.index.protocol import TIES, Rows, checked

KIND = "IndexScalarQuantizer(QT_fp16)"
METRIC = "inner_product"


class FaissIndex:
    """Every inner product over 16-bit floats, by FAISS; `columns` has what a filter may name."""

    def __init__(self, index: Any, columns: Columns | None = None) -> None:
        self._index = index
        self._columns = columns or Columns(pa.table({}))

    @classmethod
    def build(cls, dim: int) -> "FaissIndex":
        """An empty index for unit vectors of `dim` numbers."""
        return cls(
            faiss.IndexScalarQuantizer(
                dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
        )

    @classmethod
    def read(cls, path: Path, columns: Columns | None = None) -> "FaissIndex":
        """The index in a file, and the fields of its rows. Raises ArtifactError if it is none."""
        try:
            return cls(faiss.read_index(str(path)), columns)
        except (RuntimeError, MemoryError) as error:  # what FAISS throws for anything at all
            raise ArtifactError(f"The index {path} cannot be read: {error}.") from None

    def add(self, vectors: Vectors) -> None:
        """Append (n, dim) unit vectors as the next n rows."""
        self._index.add(np.ascontiguousarray(vectors))

    def write(self, path: Path) -> None:
        # Not faiss.write_index: on a full disk it throws something that is no OSError.
        path.write_bytes(faiss.serialize_index(self._index).data)

    def vector(self, row: int) -> Vectors:
        held: Vectors = unit(self.vectors(row, 1))[0]
        return held

    def vectors(self, start: int, count: int) -> Vectors:
        """What the index holds for `count` rows from `start` on: (count, dim), of 16 bits."""
        held: Vectors = self._index.reconstruct_n(start, count)
        return held

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        return int(self._index.d)

    def search(
        self, vector: Vectors, k: int, exclude: Collection[int] = (), where: Filter = ()
    ) -> tuple[Rows, Vectors]:
        k = checked(self, vector, k)
        parameters, available = None, len(self)
        if exclude or where:
            # Measured at 417,000 rows: as fast as without, and faster than asking for more.
            kept = self._columns.matching(where).copy() if where else np.ones(len(self), np.bool_)
            kept[list(exclude)] = False
            available = int(kept.sum())
            bits: Any = np.packbits(kept, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg]  # takes an array too
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        k = min(k, available)
        if not k:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        # Said in each thread that searches: OpenMP keeps the number per thread, and with more
        # than one, searches that run side by side wait for each other.
        faiss.omp_set_num_threads(1)
        asked = k
        while True:
            asked = min(asked + TIES, available)
            scores, rows = self._index.search(vector[None, :], asked, params=parameters)
            if asked == available or scores[0, -1] < scores[0, k - 1]:
                break
            asked *= 2
        if (rows < 0).any():  # what FAISS gives where it meets a number that is none
            raise ArtifactError(
                "The index is damaged. Copy the collection again from where it came, or build it "
                "again with build_index.py."
            )
        order = np.lexsort((rows[0], -scores[0]))[:k]
        return rows[0][order], scores[0][order]
