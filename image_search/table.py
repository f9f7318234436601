"""A table about pictures (CSV, TSV, JSONL): read, and matched to files by name.

A row finds its file by the path in the column that names the file; else by the base name, else by
the base name without extension, where that is unique among the files and among the rows left over.
"""

import codecs
import csv
import io
import json
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from image_search.errors import CollectionError
from image_search.fields import Value

# The column that names the file, first one present; file_name is what `imagefolder` calls it.
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "id")


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


def read_table(path: Path, notices: list[str]) -> tuple[str, list[Value], dict[str, list[Value]]]:
    """Which column names the files, what it says row by row, and the other columns."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl"):
        raise CollectionError(
            f"{path} is not metadata: it must end in .csv, .tsv or .jsonl. A spreadsheet program "
            'writes it by "Save as", "CSV UTF-8".'
        )
    text = _read_text(path)
    read = _read_jsonl if suffix == ".jsonl" else _read_csv
    columns = read(path, text, notices)
    by_name = {name.lower(): name for name in reversed(columns)}
    file_column = next((by_name[name] for name in FILE_COLUMNS if name in by_name), None)
    if file_column is None:
        raise CollectionError(
            f"{path} has no column that names the files. Call it file_name "
            f"(or {', '.join(FILE_COLUMNS[1:])}); its columns are {', '.join(columns) or 'none'}."
        )
    return file_column, columns.pop(file_column), columns


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CollectionError(f"{path} cannot be read: {error.strerror or error}.") from error
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "UTF-16" if utf16 else "UTF-8"
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        # no guess: in the wrong code page every ü would be wrong, and nobody would be told
        at, line = error.start, data.count(b"\n", 0, error.start) + 1
        raise CollectionError(
            f"{path} is not {encoding}: byte 0x{data[at]:02x} at position {at}, line {line}. "
            'Save it as UTF-8; in Excel by "Save as", "CSV UTF-8".'
        ) from error


def _read_csv(path: Path, text: str, notices: list[str]) -> dict[str, list[Value]]:
    first = re.sub('"[^"]*"', "", text[:65536].lstrip().partition("\n")[0])
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    # The text of a whole page may stand in one cell; the csv module's own limit is 131,072.
    csv.field_size_limit(sys.maxsize)
    rows: list[list[str]] = []
    short: list[int] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            width = len(rows[0]) if rows else len(cells)
            if any(cells[width:]):
                raise CollectionError(
                    f"{path}, line {reader.line_num}: {len(cells)} values under {width} column "
                    f"names. A value with {delimiter!r} in it needs quotation marks around it."
                )
            if len(cells) < width:
                short.append(reader.line_num)
            rows.append(cells[:width] + [""] * (width - len(cells)))
    except csv.Error as error:
        raise CollectionError(
            f"{path}, line {reader.line_num}: {error}. Look for a quotation mark that is not "
            "closed, or not doubled within a value."
        ) from error
    if short:
        notices.append(some([f"line {n}" for n in short], f"row of {path.name}", "too short"))
    columns: dict[str, list[Value]] = {}
    for number, (name, *values) in enumerate(zip(*rows, strict=True), start=1):
        if not name and not any(values):  # spreadsheets write empty columns at the right
            continue
        name = name or f"column_{number}"
        if name in columns:
            raise CollectionError(f"{path} has two columns {name!r}. Rename one of them.")
        columns[name] = [value or None for value in values]
    return columns


def _read_jsonl(path: Path, text: str, notices: list[str]) -> dict[str, list[Value]]:
    columns: dict[str, list[Value]] = {}
    rows = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:  # numbers as they are written: the kind of a column is found later, from all of it
            record = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            raise CollectionError(f"{path}, line {number} is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise CollectionError(f'{path}, line {number} is not an object, {{"file_name": …}}.')
        for name, value in record.items():
            column = columns.setdefault(_column_name(name), [])
            column += [None] * (rows - len(column))
            column[rows:] = [_from_json(value)]
        rows += 1
    return {name: column + [None] * (rows - len(column)) for name, column in columns.items()}


def _column_name(name: str) -> str:
    return name.strip().encode("utf-8", "replace").decode() or "unnamed"


def _from_json(value: Any) -> Value:
    if isinstance(value, list):
        return [str(text) for part in value if (text := _from_json(part))] or None
    if isinstance(value, str):
        return value.strip() or None
    return None if value is None else json.dumps(value, ensure_ascii=False)


def some(examples: Sequence[object], noun: str, fault: str) -> str:
    """A line for the keeper: how many of what are how, with the first as an example."""
    one = len(examples) == 1
    head, _, tail = noun.partition(" of ")
    nouns = (head if one else head + "s") + (f" of {tail}" if tail else "")
    verb, example = ("is", "") if one else ("are", "for example ")
    return f"{len(examples):,} {nouns} {verb} {fault}: {example}{examples[0]!r}"
