"""What is known of the pictures, in memory: ids, fields and sizes by row. Knows no vectors."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from image_search.errors import ArtifactError


class Catalogue:
    """A table with the column `id` and the fields, its rows in the order of the index.

    `sizes` has the columns width and height, of the same rows.
    """

    def __init__(self, table: pa.Table, sizes: pa.Table) -> None:
        self.table = table
        self.sizes = sizes
        self._sizes = np.stack([sizes.column(c).to_numpy() for c in ("width", "height")], axis=1)
        if len(self._sizes) != table.num_rows or not (self._sizes >= 1).all():
            raise ArtifactError(f"not every one of {table.num_rows:,} pictures has a size")
        self._fields = table.drop_columns(["id"])
        self.ids: list[str] = table.column("id").to_pylist()

    @classmethod
    def read(cls, metadata: Path, sizes: Path) -> "Catalogue":
        """Read metadata.parquet and sizes.parquet. Raises ArtifactError if they are not tables."""
        try:
            # In one piece: rows are then found at once, not chunk by chunk.
            return cls(pq.read_table(metadata).combine_chunks(), pq.read_table(sizes))
        except (OSError, pa.ArrowException, LookupError, ValueError) as error:
            names = f"{metadata.name} or {sizes.name}"
            raise ArtifactError(f"{names} cannot be read: {error}") from None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.ids)}

    def row(self, id: str) -> int | None:
        """The row of an id, or None if there is none."""
        return self._rows.get(id)

    def size(self, row: int) -> tuple[int, int]:
        """Width and height of the stored picture, in pixels."""
        width, height = self._sizes[row].tolist()
        return width, height

    def metadata(self, rows: list[int]) -> list[dict[str, Any]]:
        """The fields of some rows, each a dict of all fields; None where nothing is known."""
        if not self._fields.column_names:
            return [{} for _ in rows]
        taken: list[dict[str, Any]] = self._fields.take(pa.array(rows, pa.int64())).to_pylist()
        return taken
