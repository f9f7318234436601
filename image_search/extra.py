"""Tables beside the pictures, such as keywords or downloads: of these the rows of kept pictures.

    --table 'conversions=conversions.tsv*'

They may have many millions of rows, and are never in memory as a whole. The type of a column is
found from all of its values that are kept:

    integers    all are whole numbers of up to 18 digits; not codes with leading zeros
    floats      all are decimal numbers
    timestamps  all are ISO 8601 dates, with or without a time; UTC if all name their time zone
    texts       everything else, and always the ids of the pictures; "" is no value

Parquet says what its columns are, and keeps that.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from image_search.arrow import open_parquet
from image_search.errors import CollectionError, ConfigError
from image_search.fields import Value
from image_search.table import (
    FILE_COLUMNS,
    check_same_columns,
    csv_delimiter,
    csv_names,
    csv_rows,
    files_of,
    find_column,
    format_of,
    json_rows,
    known_format,
)

_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
_ROWS = 65_536
"""Rows that are in memory at a time, and of a row group."""

_INTEGER = "^-?(0|[1-9][0-9]{0,17})$"
# Up to 15 digits before the point, so that no number of an inventory is rounded.
_FLOAT = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_TYPES: dict[pa.DataType, str | None] = {
    pa.int64(): _INTEGER,
    pa.float64(): _FLOAT,
    pa.timestamp("us"): None,
    pa.timestamp("us", "UTC"): None,
}
"""What texts may be, first one first, and what they look like where the cast is not strict."""


@dataclass(frozen=True)
class Extra:
    """A table beside the pictures."""

    name: str
    paths: tuple[Path, ...]
    key: str
    """The column with the ids of the pictures."""


def open_extra(text: str, id_column: str = "id") -> Extra:
    """The table that NAME=FILE means; FILE may be a pattern that several parts fit.

    The ids of the pictures stand in its column `id_column`, which is what their own source calls
    them, or else in `id`, `photo_id`, `file_name` or another of FILE_COLUMNS. Raises ConfigError if
    the text is wrong, CollectionError if the files are.
    """
    name, _, pattern = text.partition("=")
    if not _NAME.fullmatch(name) or not pattern:
        raise ConfigError(
            f"--table {text!r}: write NAME=FILE, such as 'conversions=conversions.tsv*'. A name "
            "has small letters, digits and _ only, and begins with a letter."
        )
    paths = tuple(files_of(pattern))
    columns = {path: _columns(path) for path in paths}
    check_same_columns(columns)
    key = find_column(columns[paths[0]], id_column, "id", "photo_id", *FILE_COLUMNS)
    if key is None:
        names = " or ".join(map(repr, dict.fromkeys([id_column, "id", "file_name"])))
        raise CollectionError(
            f"--table {name}: which column of {paths[0].name} has the ids of the pictures? None "
            f"is called {names}; there are {', '.join(columns[paths[0]])}. Call it id."
        )
    return Extra(name, paths, key)


def write_extra(
    extra: Extra, ids: Iterable[str], path: Path, notices: list[str] | None = None
) -> int:
    """Write the rows of the pictures with these ids to a Parquet file; give their number.

    Rows with too many or too few values are left out, of which `notices` tells, and of a table
    with no row about these pictures. Raises CollectionError.
    """
    notices = [] if notices is None else notices
    kept = set(ids)
    if format_of(extra.paths[0]) == "parquet":
        schema = _parquet_schema(extra)
        count = _write(_parquet_rows(extra, kept, schema), schema, path)
    else:
        texts = path.with_name(f"{path.name}.texts")
        try:
            schema = _write_texts(extra, kept, texts, notices)
            with pq.ParquetFile(texts) as file:
                count = _write((b.cast(schema) for b in _batches(file)), schema, path)
        finally:
            texts.unlink(missing_ok=True)
    if not count:
        notices.append(
            f"no row of the table {extra.name!r} is about a picture that is kept: its column "
            f"{extra.key!r} should have the pictures' ids, such as {min(kept, default='')!r}"
        )
    return count


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """All rows; iter_batches over the whole file would let the memory grow with it."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(_ROWS, row_groups=[group], use_threads=False)


def _write(batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    half = path.with_name(f"{path.name}.tmp")
    waiting: list[pa.RecordBatch] = []
    count = 0
    with pq.ParquetWriter(half, schema, compression="zstd") as writer:
        for batch in batches:
            waiting.append(batch)
            count += len(batch)
            if sum(map(len, waiting)) >= _ROWS:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))
    half.replace(path)
    return count


# Columns


def _columns(path: Path) -> list[str]:
    """The names of the columns; those of the first lines in JSON, which need not be all."""
    format = known_format(path)
    if format == "parquet":
        with open_parquet(path) as file:
            return list(file.schema_arrow.names)
    if format == "jsonl":
        return _json_names(islice(json_rows(path), 1000))
    return _csv_start(path)[0]


def _json_names(rows: Iterable[tuple[int, dict[str, Value]]]) -> list[str]:
    return list(dict.fromkeys(name for _, row in rows for name in row))


def _csv_start(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the rows below them."""
    rows = csv_rows(path, csv_delimiter(path))
    header = next(rows, (0, list[str]()))[1]
    return csv_names(path, [name.strip() for name in header]), rows


# Texts


def _write_texts(extra: Extra, kept: set[str], path: Path, notices: list[str]) -> pa.Schema:
    """Write the rows that are kept, all values as texts; give the types that they could have."""
    if format_of(extra.paths[0]) == "jsonl":
        columns = _json_names(row for part in extra.paths for row in json_rows(part))
        rows = (row for part in extra.paths for row in _json_texts(part, columns, extra.key, kept))
    else:
        columns = _columns(extra.paths[0])
        rows = (
            row
            for part in extra.paths
            for row in _csv_texts(part, columns, extra.key, kept, notices)
        )
    possible = {name: list(_TYPES) for name in columns if name != extra.key}
    empty = set(columns)
    schema = pa.schema([(name, pa.string()) for name in columns])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while chunk := list(islice(rows, _ROWS)):
            arrays = [pa.array(values, pa.string()) for values in zip(*chunk, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            for name, values in zip(columns, arrays, strict=True):
                if values.null_count < len(values):
                    empty.discard(name)
                if name in possible:
                    possible[name] = [type for type in possible[name] if _fits(values, type)]
    types = {name: found[0] for name, found in possible.items() if found and name not in empty}
    return pa.schema([(name, types.get(name, pa.string())) for name in columns])


def _fits(texts: pa.Array, type: pa.DataType) -> bool:
    pattern = _TYPES[type]
    if pattern and pc.all(pc.match_substring_regex(texts, pattern)).as_py() is False:
        return False
    try:
        texts.cast(type)
    except pa.ArrowInvalid:
        return False
    return True


def _csv_texts(
    part: Path, columns: list[str], key: str, kept: set[str], notices: list[str]
) -> Iterator[list[str | None]]:
    names, rows = _csv_start(part)
    order, at, width = [names.index(name) for name in columns], names.index(key), len(names)
    odd = array("Q")
    for number, row in rows:
        if len(row) != width and (len(row) < width or any(map(str.strip, row[width:]))):
            odd.append(number)
        elif _id(row[at]) in kept:
            yield [row[i].strip() or None for i in order]
    if odd:
        notices.append(
            f"{part.name}: rows with too many or too few values are left out, {len(odd):,} in all; "
            f"the first one ends in line {odd[0]}"
        )


def _json_texts(
    part: Path, columns: list[str], key: str, kept: set[str]
) -> Iterator[list[str | None]]:
    for _, row in json_rows(part):
        if _id(str(row.get(key) or "")) in kept:
            values = (row.get(name) for name in columns)
            yield ["; ".join(v) if isinstance(v, list) else str(v) if v else None for v in values]


def _id(text: str) -> str:
    """As collection.id_of, which would take most of the time here."""
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


# Parquet


def _parquet_schema(extra: Extra) -> pa.Schema:
    """The columns of the first part; the ids are texts."""
    with open_parquet(extra.paths[0]) as file:
        schema = file.schema_arrow.remove_metadata()
    at = schema.get_field_index(extra.key)
    return schema.set(at, pa.field(extra.key, pa.string()))


def _parquet_rows(extra: Extra, kept: set[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    ids = pa.array(sorted(kept), pa.string())
    for part in extra.paths:
        with open_parquet(part) as file:
            for batch in _batches(file):
                found = batch.select(schema.names)
                keys = pc.utf8_trim_whitespace(pc.cast(found.column(extra.key), pa.string()))
                keys = pc.utf8_normalize(keys, form="NFC")
                place = schema.get_field_index(extra.key)
                rows = found.set_column(place, extra.key, keys).filter(
                    pc.is_in(keys, value_set=ids)
                )
                if len(rows):
                    yield rows.cast(schema)
