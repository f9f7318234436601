"""What the tables beside the pictures say of them: how many rows, and which words most often.

    SELECT photo_id, count() AS downloads FROM conversions WHERE photo_id IN (…)
    GROUP BY photo_id ORDER BY downloads DESC, photo_id

    SELECT keyword, count() AS uses FROM conversions WHERE photo_id = …
    GROUP BY keyword ORDER BY uses DESC, keyword LIMIT 5

The same SQL asks a database that was loaded, and, where none is set, the files of the collection
through the embedded one.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from image_search.artifact import Artifact
from image_search.engine.address import Address
from image_search.engine.connection import MEMORY, Connection, in_pieces
from image_search.engine.tables import columns_of, quoted, text
from image_search.errors import EngineError, NotFoundError, QueryError
from image_search.manifest import TABLES, TableInfo

TOP = 5
"""Values that are given unless more are asked for."""

_PATTERN = re.compile(r"[{}*?\[\]]| :: ")
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
    rows: int | None
    """How many there are, where some can be missing for a while."""
    called: Callable[[str], str]
    """What a column is called where it is asked."""


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
        asked = [
            Asked(info.name, partial(_in_file, artifact), info.key, _ordered(info), None, str)
            for info in tables_of(artifact)
        ]
        return cls(Connection(Address(folder=MEMORY)), asked)

    @classmethod
    def of_database(
        cls, connection: Connection, infos: Sequence[TableInfo], tables: Mapping[str, str]
    ) -> "Questions":
        """Of what `engine load` made; `tables` says what each is called there."""
        asked = []
        for info in infos:
            called = columns_of([info.key, *info.columns], ()).__getitem__
            asked.append(
                Asked(info.name, tables.__getitem__, info.key, _ordered(info), info.rows, called)
            )
        return cls(connection, asked)

    def counts(self, table: str, ids: Sequence[str]) -> list[Count]:
        """In how many rows each picture stands, most first, then by id; those in none too.

        Raises NotFoundError if there is no such table.
        """
        asked = self._table(table)
        source, key = asked.source(table), quoted(asked.called(asked.key))
        found: dict[str, int] = {}
        for some in in_pieces(ids):
            rows = self._connection.rows(
                f"SELECT t.{key}, count() FROM {source} AS t "
                f"WHERE t.{key} IN {{ids:Array(String)}} GROUP BY t.{key}",
                {"ids": some},
            )
            found |= {str(id): int(count) for id, count in rows}
        self._check(asked)
        counts = [Count(id, found.get(id, 0)) for id in dict.fromkeys(ids)]
        return sorted(counts, key=lambda one: (-one.count, one.value))

    def top(self, table: str, id: str, column: str | None = None, k: int = TOP) -> list[Count]:
        """The values that stand most often with a picture, most first, then in their own order.

        Raises QueryError if there is no such table or column.
        """
        asked = self._table(table)
        column = column or (asked.columns[0] if asked.columns else "")
        if not asked.columns:
            raise QueryError(f"The table {table!r} has no column that can be asked.")
        if column not in asked.columns:
            raise QueryError(
                f"The table {table!r} has no column {column!r}; there are "
                f"{', '.join(asked.columns) or 'none'}."
            )
        source, key = asked.source(table), quoted(asked.called(asked.key))
        value = f"t.{quoted(asked.called(column))}"
        found = self._connection.rows(
            f"SELECT toString({value}) AS _asked, count() AS _times FROM {source} AS t "
            f"WHERE t.{key} = {{id:String}} AND isNotNull({value}) "
            f"GROUP BY _asked ORDER BY _times DESC, _asked LIMIT {int(k)}",
            {"id": id},
        )
        self._check(asked)
        return [Count(str(value), int(rows)) for value, rows in found]

    def _check(self, asked: Asked) -> None:
        """Raise EngineError if a database lacks rows of a table."""
        if asked.rows is None:
            return
        found = int(self._connection.rows(f"SELECT count() FROM {asked.source(asked.name)}")[0][0])
        if found != asked.rows:
            raise EngineError(
                f"A part of {asked.name} is missing at the moment, so this was not answered. Try "
                "again in a while.",
                f"it has {found:,} rows instead of {asked.rows:,}; load the collection again",
            )

    def _table(self, name: str) -> Asked:
        if name not in self.tables:
            raise NotFoundError(
                f"This collection has no table {name!r} beside its pictures; there "
                f"{'are ' + ', '.join(self.tables) if self.tables else 'is none'}."
            )
        return self.tables[name]


def tables_of(artifact: Artifact) -> list[TableInfo]:
    """The tables of a collection with their columns, as the manifest or else the files say."""

    def with_columns(info: TableInfo) -> TableInfo:
        if info.columns:
            return info
        schema = pq.read_schema(artifact.files.local(f"{TABLES}/{info.name}.parquet"))
        return info.model_copy(update={"columns": [n for n in schema.names if n != info.key]})

    return [with_columns(info) for info in artifact.manifest.tables]


def _in_file(artifact: Artifact, table: str) -> str:
    """A table as its file, which is fetched from the Hub when it is asked first."""
    path = artifact.files.local(f"{TABLES}/{table}.parquet").resolve()
    if _PATTERN.search(str(path)):  # which would mean several files
        link = Path(_links().name) / f"{hashlib.sha256(str(path).encode()).hexdigest()}.parquet"
        if not link.exists():
            link.symlink_to(path)
        path = link
    return f"file({text(str(path))}, Parquet)"


@cache
def _links() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="image-search-")


def _ordered(info: TableInfo) -> tuple[str, ...]:
    """The columns, that with words first."""
    first = next((column for column in info.columns if _WORDS.search(column)), None)
    return tuple(sorted(info.columns, key=lambda column: column != first))
