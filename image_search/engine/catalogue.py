"""What is known of the pictures, out of the database."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from image_search.catalogue import BEYOND, Among, Known, Scale
from image_search.engine.connection import Connection, in_pieces
from image_search.engine.tables import HEIGHT, ROW, WIDTH, quoted
from image_search.engine.where import where
from image_search.errors import EngineError

REMEMBERED = 100_000
"""Ids whose rows are remembered: of what was shown, thumbnails and pictures are asked for next."""

ROWS_OF_A_VALUE = 5_000
"""Rows that are bound at once: a server takes 128 KB as one value."""


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
        self._fields = fields
        self._extents: dict[str, tuple[frozenset[int], tuple[float, float] | None]] = {}
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

    def count(self, among: Among) -> int:
        found = self._ask("count()", among)
        return int(found[0][0])

    def listed(self, among: Among, k: int, offset: int) -> list[int]:
        ordered = f"ORDER BY {ROW} LIMIT {int(k)} OFFSET {int(offset)}"
        return [int(row) for (row,) in self._ask(ROW, among, ordered)]

    def values(self, field: str, among: Among) -> Counter[str]:
        name, type = self._field(field)
        column = f"arrayJoin(arrayDistinct({name}))" if type.startswith("Array") else name
        found = self._ask(f"{column} AS value, count()", among, "GROUP BY value")
        return Counter({str(value): int(count) for value, count in found if value is not None})

    def histogram(self, field: str, scale: Scale, among: Among) -> list[int]:
        number = self._number(field)
        place = f"floor(({number} - {scale.low!r}) / {scale.width!r})"
        # greatest and least leave out what is null.
        bin = f"if(isNull({number}), null, least(greatest({place}, 0), {scale.bins - 1}))"
        counts = [0] * scale.bins
        for at, count in self._ask(f"{bin} AS bin, count()", among, "GROUP BY bin"):
            if at is not None:
                counts[int(at)] = int(count)
        return counts

    def extent(
        self, field: str, exclude: frozenset[int] = frozenset()
    ) -> tuple[float, float] | None:
        if field not in self._extents or self._extents[field][0] != exclude:
            number, among = self._number(field), Among(exclude=exclude)
            known = int(self._ask(f"count({number})", among)[0][0])
            ends = None
            if known:
                beyond = known // BEYOND
                low, high = (  # what is not known comes last
                    self._ask(f"{number} AS n", among, f"ORDER BY n LIMIT 1 OFFSET {place}")[0][0]
                    for place in (beyond, known - 1 - beyond)
                )
                ends = float(low), float(high)
            self._extents[field] = exclude, ends
        return self._extents[field][1]

    def _number(self, field: str) -> str:
        name, type = self._field(field)
        if "String" in type:  # a date begins with its year
            return f"toFloat64OrNull(substringUTF8({name}, 1, 4))"
        return f"toFloat64({name})"

    def _field(self, field: str) -> tuple[str, str]:
        if field not in self._fields:
            raise ValueError(f"there is no field {field!r}")
        name, type = self._fields[field]
        return quoted(name), type

    def _ask(self, what: str, among: Among, end: str = "") -> Sequence[Sequence[Any]]:
        """Select something of some pictures; never of a part of them."""
        if among.rows is not None:
            condition, bound = f"{ROW} IN {{rows:Array(UInt64)}}", {"rows": list(among.rows)}
        else:
            condition, bound = where(among.where, self._fields)
            excluded = sorted(among.exclude)
            for start in range(0, len(excluded), ROWS_OF_A_VALUE):
                without = f"{ROW} NOT IN {{x{start}:Array(UInt64)}}"
                condition = f"{condition} AND {without}" if condition else without
                bound[f"x{start}"] = excluded[start : start + ROWS_OF_A_VALUE]
        sql = f"SELECT {what} FROM {self._table}{f' WHERE {condition}' if condition else ''} {end}"
        found = self._connection.rows(sql, bound)
        self._check()
        return found

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
