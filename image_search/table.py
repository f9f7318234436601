"""Tables about pictures (CSV, TSV, JSONL, Parquet): read, and matched to files by name.

A table may come in parts, as photos.tsv000 and photos.tsv001, each with the names of the columns.

A row finds its file by the path in the column that names the file; else by the base name, else by
the base name without extension, where that is unique among the files and among the rows left over.
"""

import codecs
import csv
import glob
import io
import json
import os
import re
import sys
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_search.arrow import arrow_values, is_metadata, open_parquet
from image_search.errors import CollectionError
from image_search.fields import Value

# The column that names the file, first one present; file_name is what `imagefolder` calls it.
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "id")

Columns = dict[str, list[Value]]

_FORMAT = re.compile(r"\.(csv|tsv|jsonl|parquet)(\.?\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A file with rows of a table."""

    path: Path
    numbers: Sequence[int]
    """For every row the line that it ends in; in Parquet, which has none, its number from 1."""

    def where(self, row: int) -> str:
        unit = "row" if format_of(self.path) == "parquet" else "line"
        return f"{self.path.name}, {unit} {self.numbers[row]}"


@dataclass(frozen=True)
class Table:
    """The rows of files that belong together, one after the other."""

    parts: list[Part]
    columns: Columns
    """As many values in each as there are rows; no empty texts."""

    def rows(self) -> Iterator[tuple[Part, int]]:
        """For every row the file it is from, and which of that file's rows it is."""
        for part in self.parts:
            for row in range(len(part.numbers)):
                yield part, row


def files_of(pattern: str) -> list[Path]:
    """The file of this name, or else the files that fit it as a pattern, by name."""
    paths = [Path(pattern)] if Path(pattern).exists() else sorted(map(Path, glob.glob(pattern)))
    files = [path for path in paths if path.is_file()]
    if not files:
        raise CollectionError(f"There is no file {pattern}. Check the spelling of the path.")
    return files


def format_of(path: Path) -> str | None:
    """ "csv", "tsv", "jsonl" or "parquet" by the end of the name, as .tsv, .tsv000, .tsv.000."""
    match = _FORMAT.search(path.name)
    return match[1].lower() if match else None


def known_format(path: Path) -> str:
    """The same; raises CollectionError if it is none of these."""
    format = format_of(path)
    if format is None:
        raise CollectionError(
            f"{path} is no table: it must end in .csv, .tsv, .jsonl or .parquet. A spreadsheet "
            'program writes it by "Save as", "CSV UTF-8".'
        )
    return format


def find_column(columns: Iterable[str], *names: str) -> str | None:
    """The column called by the first of these names that there is, in small or capital letters."""
    by_name = {name.lower(): name for name in reversed(list(columns))}
    return next((by_name[name.lower()] for name in names if name.lower() in by_name), None)


def match_rows(
    ids: Sequence[str],
    table: str,
    column: str,
    file_names: Sequence[Value],
    notices: list[str],
) -> list[int | None]:
    """For every id the row of the table that is about it."""
    names = [unicodedata.normalize("NFC", str(name or "").strip()) for name in file_names]
    paths = [re.sub(r"^(\./+)+", "", name.replace("\\", "/")) for name in names]
    known, rows = set(ids), dict[str, int]()
    left: list[int] = []
    doubled: list[str] = []
    for row, (name, path) in enumerate(zip(names, paths, strict=True)):
        id = name if name in known else path  # a backslash may be part of the name after all
        if id not in known:
            left.append(row)
        elif rows.setdefault(id, row) != row:
            doubled.append(id)
    for form in (_base_name, _stem):
        files, wanted = _unique(form, ids), Counter(_base_name(paths[row]) for row in left)
        for row in left:
            base = _base_name(paths[row])
            if wanted[base] == 1 and base in files and files[base] not in rows:
                rows[files[base]] = row
        left = sorted(set(left) - set(rows.values()))
    if not rows:
        example = f"it names {names[0]!r}, the folder has {ids[0]!r}" if names else "it is empty"
        raise CollectionError(
            f"No row of {table} is about a file of the folder: {example}. What names the files is "
            f"its column {column!r}; call the right one file_name."
        )
    for examples, noun, fault in (
        ([names[row] for row in left], f"row of {table}", "for no file of the folder"),
        (doubled, f"row of {table}", "for a file that has a row already, and passed over"),
        ([id for id in ids if id not in rows], "file", f"without a row in {table}"),
    ):
        if examples:
            notices.append(some(examples, noun, fault))
    return [rows.get(id) for id in ids]


def _unique(form: Callable[[str], str], ids: Sequence[str]) -> dict[str, str]:
    counts = Counter(map(form, ids))
    return {form(id): id for id in ids if counts[form(id)] == 1}


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(path: str) -> str:
    return os.path.splitext(_base_name(path))[0]


def read_table(path: Path, notices: list[str]) -> tuple[str, list[Value], Columns]:
    """Which column names the files, what it says row by row, and the other columns."""
    columns = read_tables([path], notices).columns
    file_column = find_column(columns, *FILE_COLUMNS)
    if file_column is None:
        raise CollectionError(
            f"{path} has no column that names the files. Call it file_name "
            f"(or {', '.join(FILE_COLUMNS[1:])}); its columns are {', '.join(columns) or 'none'}."
        )
    return file_column, columns.pop(file_column), columns


def read_tables(paths: Sequence[Path], notices: list[str]) -> Table:
    """All columns of a table in one part or several. Raises CollectionError."""
    read = [_read(path, notices) for path in paths]
    parts = [part for part, _ in read]
    check_same_columns({part.path: columns for part, columns in read})
    if len(read) == 1:
        return Table(parts, read[0][1])
    together: Columns = {name: [] for _, columns in read for name in columns}
    for part, columns in read:
        for name, values in together.items():
            values += columns.pop(name) if name in columns else [None] * len(part.numbers)
    return Table(parts, together)


def check_same_columns(columns: Mapping[Path, Iterable[str]]) -> None:
    """Raise CollectionError if files are no parts of one table; lines of JSON may lack any name."""
    first = next(iter(columns))
    for path, names in columns.items():
        odd = sorted(set(columns[first]) ^ set(names))
        if odd and {format_of(first), format_of(path)} != {"jsonl"}:
            lacking = first if odd[0] in set(names) else path
            raise CollectionError(
                f"{first} and {path} are no parts of one table: {lacking.name} has no column "
                f"{odd[0]!r}. Each part needs the same columns, and their names in its first line."
            )


def _read(path: Path, notices: list[str]) -> tuple[Part, Columns]:
    format = known_format(path)
    if format == "parquet":
        return _read_parquet(path, notices)
    return (_read_jsonl if format == "jsonl" else _read_csv)(path, notices)


# Text


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a text in UTF-8, or in UTF-16 if it begins so, each with its end.

    Raises CollectionError if it is neither. No guess: in the wrong code page every ü would be
    wrong, and nobody would be told.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                file.seek(0)
                yield from io.StringIO(_decoded(path, file.read(), "UTF-16"), newline="\n")
                return
            file.seek(0)
            position = 0
            for number, line in enumerate(file, start=1):
                text = _decoded(path, line, "UTF-8", position, number)
                yield text.removeprefix("\ufeff") if number == 1 else text
                position += len(line)
    except OSError as error:
        raise CollectionError(f"{path} cannot be read: {error.strerror or error}.") from error


def _decoded(path: Path, data: bytes, encoding: str, position: int = 0, line: int = 1) -> str:
    """Bytes that stand at a position and line of a file as text."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        at, line = error.start, line + data.count(b"\n", 0, error.start)
        raise CollectionError(
            f"{path} is not {encoding}: byte 0x{data[at]:02x} at position {position + at}, "
            f'line {line}. Save it as UTF-8; in Excel by "Save as", "CSV UTF-8".'
        ) from error


# CSV and TSV


def csv_delimiter(path: Path) -> str:
    """What stands between the values: in a .tsv a tab, else by the first line with anything."""
    if format_of(path) == "tsv":
        return "\t"
    first = next((line for line in text_lines(path) if line.strip()), "")
    return max(",;\t", key=re.sub('"[^"]*"', "", first[:65536]).count)


def csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The line each row ends in, and its values; rows of nothing but blanks are passed over."""
    # The text of a whole page may stand in one cell; the csv module's own limit is 131,072.
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(_lines_by_any_end(path), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield reader.line_num, row
    except csv.Error as error:
        raise CollectionError(
            f"{path}, line {reader.line_num}: {error}. Look for a quotation mark that is not "
            "closed, or not doubled within a value."
        ) from error


def _lines_by_any_end(path: Path) -> Iterator[str]:
    for line in text_lines(path):  # a carriage return alone is what old Macs wrote
        yield from io.StringIO(line, newline="") if "\r" in line[:-2] else (line,)


def csv_names(path: Path, header: Sequence[str]) -> list[str]:
    """The names of the columns; such without one are called column_2 and so on."""
    names = [name or f"column_{number}" for number, name in enumerate(header, start=1)]
    doubled = next((name for name, count in Counter(names).items() if count > 1), None)
    if doubled is not None:
        raise CollectionError(f"{path} has two columns {doubled!r}. Rename one of them.")
    return names


def _read_csv(path: Path, notices: list[str]) -> tuple[Part, Columns]:
    delimiter = csv_delimiter(path)
    rows = csv_rows(path, delimiter)
    header = [name.strip() for name in next(rows, (0, list[str]()))[1]]
    width = len(header)
    columns: list[list[Value]] = [[] for _ in header]
    numbers, short = array("Q"), list[str]()
    for number, row in rows:
        cells = [cell.strip() for cell in row]
        if any(cells[width:]):
            raise CollectionError(
                f"{path}, line {number}: {len(cells)} values under {width} column names. A value "
                f"with {delimiter!r} in it needs quotation marks around it."
            )
        if len(cells) < width:
            short.append(f"line {number}")
            cells += [""] * (width - len(cells))
        numbers.append(number)
        for column, cell in zip(columns, cells, strict=False):
            column.append(cell or None)
    if short:
        notices.append(some(short, f"row of {path.name}", "too short"))
    # spreadsheets write columns without names and values at the right
    used = [i for i, column in enumerate(columns) if header[i] or any(column)]
    names = csv_names(path, [header[i] or f"column_{i + 1}" for i in used])
    return Part(path, numbers), dict(zip(names, (columns[i] for i in used), strict=True))


# JSON, a line a row


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Value]]]:
    """The number of each line that is not empty, and its object."""
    for number, line in enumerate(text_lines(path), start=1):
        if not line.strip():
            continue
        try:  # numbers as they are written: the kind of a column is found later, from all of it
            record = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            raise CollectionError(f"{path}, line {number} is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise CollectionError(f'{path}, line {number} is not an object, {{"file_name": …}}.')
        yield number, {_column_name(name): _from_json(value) for name, value in record.items()}


def _read_jsonl(path: Path, notices: list[str]) -> tuple[Part, Columns]:
    columns: Columns = {}
    numbers = array("Q")
    for number, record in json_rows(path):
        for name, value in record.items():
            column = columns.setdefault(name, [])
            column += [None] * (len(numbers) - len(column))
            column.append(value)
        numbers.append(number)
    for column in columns.values():
        column += [None] * (len(numbers) - len(column))
    return Part(path, numbers), columns


def _column_name(name: str) -> str:
    return name.strip().encode("utf-8", "replace").decode() or "unnamed"


def _from_json(value: Any) -> Value:
    if isinstance(value, list):
        return [str(text) for part in value if (text := _from_json(part))] or None
    if isinstance(value, str):
        return value.strip() or None
    return None if value is None else json.dumps(value, ensure_ascii=False)


# Parquet


def _read_parquet(path: Path, notices: list[str]) -> tuple[Part, Columns]:
    with open_parquet(path) as file:
        names = [field.name for field in file.schema_arrow if is_metadata(field.type)]
        if left_out := [name for name in file.schema_arrow.names if name not in names]:
            notices.append(some(left_out, f"column of {path.name}", "no metadata and left out"))
        table = file.read(columns=names)
    columns = {name: arrow_values(table.column(name)) for name in names}
    return Part(path, range(1, len(table) + 1)), columns


def some(examples: Sequence[object], noun: str, fault: str) -> str:
    """A line for the keeper: how many of what are how, with the first as an example."""
    one = len(examples) == 1
    head, _, tail = noun.partition(" of ")
    nouns = (head if one else head + "s") + (f" of {tail}" if tail else "")
    verb, example = ("is", "") if one else ("are", "for example ")
    return f"{len(examples):,} {nouns} {verb} {fault}: {example}{examples[0]!r}"
