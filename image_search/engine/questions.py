"""What the tables beside the pictures say of them: how many rows, and which words most often.

    SELECT photo_id, count() AS downloads FROM conversions WHERE photo_id IN (…)
    GROUP BY photo_id ORDER BY downloads DESC, photo_id

    SELECT keyword, count() AS uses FROM conversions WHERE photo_id = …
    GROUP BY keyword ORDER BY uses DESC, keyword LIMIT 5

The same SQL asks a database that was loaded, and, where none is set, the files of the collection
through the embedded one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from image_search.artifact import Artifact
from image_search.engine.address import Address
from image_search.engine.connection import MEMORY, Connection
from image_search.engine.tables import quoted, text
from image_search.errors import NotFoundError, QueryError
from image_search.manifest import TABLES, TableInfo

TOP = 5
"""Values that are given unless more are asked for."""

_WORDS = re.compile("keyword|tag|subject|term|query|word|topic", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """A table that can be asked."""

    name: str
    source: Callable[[str], str]
    """Gives what stands behind FROM, when it is asked."""
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
        asked = [_asked(info, partial(_in_file, artifact)) for info in artifact.manifest.tables]
        return cls(Connection(Address(folder=MEMORY)), asked)

    @classmethod
    def of_database(
        cls, connection: Connection, infos: Sequence[TableInfo], tables: Mapping[str, str]
    ) -> "Questions":
        """Of what `engine load` made; `tables` says what each is called there."""
        return cls(connection, [_asked(info, tables.__getitem__) for info in infos])

    def counts(self, table: str, ids: Sequence[str]) -> list[Count]:
        """In how many rows each picture stands, most first, then by id; those in none too.

        Raises NotFoundError if there is no such table.
        """
        asked = self._table(table)
        rows = self._connection.rows(
            f"SELECT {quoted(asked.key)} AS id, count() AS rows FROM {asked.source(table)} "
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
            f"SELECT toString({quoted(column)}) AS value, count() AS rows "
            f"FROM {asked.source(table)} "
            f"WHERE {quoted(asked.key)} = {{id:String}} AND isNotNull({quoted(column)}) "
            f"GROUP BY value ORDER BY rows DESC, value LIMIT {int(k)}",
            {"id": id},
        )
        return [Count(str(value), int(rows)) for value, rows in found]

    def _table(self, name: str) -> Asked:
        if name not in self.tables:
            raise NotFoundError(
                f"This collection has no table {name!r} beside its pictures; there "
                f"{'are ' + ', '.join(self.tables) if self.tables else 'is none'}."
            )
        return self.tables[name]


def _in_file(artifact: Artifact, table: str) -> str:
    """A table as its file, which is fetched from the Hub when it is asked first."""
    path = artifact.files.local(f"{TABLES}/{table}.parquet").resolve()
    return f"file({text(str(path))}, Parquet)"


def _asked(info: TableInfo, source: Callable[[str], str]) -> Asked:
    first = next((column for column in info.columns if _WORDS.search(column)), None)
    ordered = sorted(info.columns, key=lambda column: column != first)
    return Asked(info.name, source, info.key, tuple(ordered))
