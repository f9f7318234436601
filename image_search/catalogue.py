"""The metadata of a collection, in memory: ids and fields by row. Knows no vectors."""

from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_search.errors import ArtifactError


class Catalogue:
    """A table with the column `id` and the fields, its rows in the order of the index."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._fields = table.drop_columns(["id"])
        self.ids: list[str] = table.column("id").to_pylist()

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Read metadata.parquet. Raises ArtifactError if it is not such a table."""
        try:
            return cls(pq.read_table(path))
        except (OSError, pa.ArrowException, LookupError, ValueError) as error:
            raise ArtifactError(f"{path.name} cannot be read: {error}") from None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.ids)}

    def row(self, id: str) -> int | None:
        """The row of an id, or None if there is none."""
        return self._rows.get(id)

    def metadata(self, rows: list[int]) -> list[dict[str, Any]]:
        """The fields of some rows, each a dict of all fields; None where nothing is known."""
        if not self._fields.column_names:
            return [{} for _ in rows]
        taken: list[dict[str, Any]] = self._fields.take(rows).to_pylist()
        return taken
