"""What is known of the pictures, out of the database."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from image_search.catalogue import Known
from image_search.engine.connection import Connection, in_pieces
from image_search.engine.tables import HEIGHT, ROW, WIDTH, quoted
from image_search.errors import EngineError

REMEMBERED = 100_000
"""Ids whose rows are remembered: of what was shown, thumbnails and pictures are asked for next."""


class EngineCatalogue:
    """The table of a version, which never changes; `fields` has the column and the type of each.

    `check` raises EngineError if rows are missing.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        rows: int,
        fields: Mapping[str, tuple[str, str]],
        check: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._check = check
        self._table = table
        self._count = rows
        self._lists = {name for name, (_, type) in fields.items() if type.startswith("Array")}
        self._names = list(fields)
        columns = [quoted(column) for column, _ in fields.values()]
        self._selected = ", ".join([ROW, "id", WIDTH, HEIGHT, *columns])
        self._remembered: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def rows(self, ids: Iterable[str]) -> dict[str, int]:
        """Id → row, of those that there are."""
        ids = [id for id in ids if _is_text(id)]
        with self._lock:
            found = {id: self._remembered[id] for id in ids if id in self._remembered}
        for some in in_pieces([id for id in ids if id not in found]):
            asked = self._connection.rows(
                f"SELECT id, {ROW} FROM {self._table} WHERE id IN {{ids:Array(String)}}",
                {"ids": some},
            )
            found |= {str(id): int(row) for id, row in asked}
        if any(id not in found for id in ids):
            self._check()  # not there, or not there at the moment
        self._remember(found)
        return found

    def known(self, rows: Sequence[int]) -> list[Known]:
        """What is known of some rows, in their order."""
        if not rows:
            return []
        asked = self._connection.rows(
            f"SELECT {self._selected} FROM {self._table} WHERE {ROW} IN {{rows:Array(UInt64)}}",
            {"rows": list(rows)},
        )
        found = {int(row): self._known(*rest) for row, *rest in asked}
        if len(found) < len(set(rows)):
            self._check()
            raise EngineError("The database lacks pictures that it has found.")
        self._remember({known.id: row for row, known in found.items()})
        return [found[row] for row in rows]

    def _known(self, id: str, width: int, height: int, *values: Any) -> Known:
        metadata = dict(zip(self._names, values, strict=True))
        for name in self._lists:
            metadata[name] = list(metadata[name]) or None
        return Known(id, width, height, metadata)

    def _remember(self, found: dict[str, int]) -> None:
        with self._lock:
            self._remembered.update(found)
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)


def _is_text(id: str) -> bool:
    """Whether it can be sent: half a character, as JSON may have it, is no id."""
    return not any("\ud800" <= character <= "\udfff" for character in id)
