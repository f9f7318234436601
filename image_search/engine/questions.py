"""What the tables beside the pictures say of them: how many rows, and which words most often.

    SELECT photo_id, count() AS downloads FROM conversions WHERE photo_id IN (…)
    GROUP BY photo_id ORDER BY downloads DESC, photo_id

    SELECT keyword, count() AS uses FROM conversions WHERE photo_id = …
    GROUP BY keyword ORDER BY uses DESC, keyword LIMIT 5

The same SQL asks a database that was loaded, and, where none is set, the files of the collection
through the embedded one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from image_search.artifact import Artifact
from image_search.engine.address import Address
from image_search.engine.connection import Connection
from image_search.engine.tables import quoted, text
from image_search.errors import QueryError
from image_search.manifest import TABLES

TOP = 5
"""Values that are given unless more are asked for."""

_WORDS = re.compile("keyword|tag|subject|term|query|word|topic", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """A table that can be asked."""

    name: str
    source: str
    """What stands behind FROM."""
    key: str
    """Its column with the ids of the pictures."""
    columns: tuple[str, ...]
    """Its other columns, first the one that is asked unless another is named."""


@dataclass(frozen=True)
class Count:
    """A value, or the id of a picture, and in how many rows it stands."""

    value: str
    count: int


class Questions:
    """Asks the tables of one collection."""

    def __init__(self, connection: Connection, tables: Sequence[Asked]) -> None:
        self._connection = connection
        self.tables = {table.name: table for table in tables}

    @classmethod
    def of_files(cls, artifact: Artifact) -> "Questions":
        """Through the embedded database, in memory."""
        asked = []
        for info in artifact.manifest.tables:
            path = artifact.files.local(f"{TABLES}/{info.name}.parquet").resolve()
            asked.append(_asked(info.name, f"file({text(str(path))}, Parquet)", info.key, path))
        return cls(Connection(Address(folder=Path(":memory:"))), asked)

    @classmethod
    def of_database(
        cls, connection: Connection, artifact: Artifact, tables: Mapping[str, str]
    ) -> "Questions":
        """Of what `engine load` made; `tables` says what each is called there."""
        asked = [
            _asked(
                info.name,
                tables[info.name],
                info.key,
                artifact.files.local(f"{TABLES}/{info.name}.parquet"),
            )
            for info in artifact.manifest.tables
        ]
        return cls(connection, asked)

    def counts(self, table: str, ids: Sequence[str]) -> list[Count]:
        """In how many rows each picture stands, most first, then by id; those in none too.

        Raises QueryError if there is no such table.
        """
        asked = self._table(table)
        rows = self._connection.rows(
            f"SELECT {quoted(asked.key)} AS id, count() AS rows FROM {asked.source} "
            f"WHERE {quoted(asked.key)} IN {{ids:Array(String)}} GROUP BY id",
            {"ids": list(ids)},
        )
        found = {str(id): int(count) for id, count in rows}
        counts = [Count(id, found.get(id, 0)) for id in dict.fromkeys(ids)]
        return sorted(counts, key=lambda one: (-one.count, one.value))

    def top(self, table: str, id: str, column: str | None = None, k: int = TOP) -> list[Count]:
        """The values that stand most often with a picture, most first, then in their own order.

        Raises QueryError if there is no such table or column.
        """
        asked = self._table(table)
        column = column or (asked.columns[0] if asked.columns else "")
        if column not in asked.columns:
            raise QueryError(
                f"The table {table!r} has no column {column!r}; there are "
                f"{', '.join(asked.columns) or 'none'}."
            )
        found = self._connection.rows(
            f"SELECT toString({quoted(column)}) AS value, count() AS rows FROM {asked.source} "
            f"WHERE {quoted(asked.key)} = {{id:String}} AND isNotNull({quoted(column)}) "
            f"GROUP BY value ORDER BY rows DESC, value LIMIT {int(k)}",
            {"id": id},
        )
        return [Count(str(value), int(rows)) for value, rows in found]

    def _table(self, name: str) -> Asked:
        if name not in self.tables:
            raise QueryError(
                f"This collection has no table {name!r} beside its pictures; there "
                f"{'are ' + ', '.join(self.tables) if self.tables else 'is none'}."
            )
        return self.tables[name]


def _asked(name: str, source: str, key: str, path: Path) -> Asked:
    schema = pq.read_schema(path)
    others = [column for column in schema.names if column != key]
    texts = [column for column in others if "string" in str(schema.field(column).type)]
    first = next((c for c in texts if _WORDS.search(c)), next(iter(texts), None))
    ordered = sorted(others, key=lambda column: column != first)
    return Asked(name, source, key, tuple(ordered))
