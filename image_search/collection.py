"""A folder of pictures as a collection: which files, what is known of each, what is left out.

Every file found is an entry or a reject with its reason. Listing reads names only (on a network
drive a file's first bytes cost more than a thousand names), so an entry need not be a picture:
`read` and `images.decode` say so, by content; the extension of the name plays no part.

    id        the path relative to the folder, with "/", in Unicode NFC
    metadata  of the table (metadata.csv, .tsv or .jsonl in the folder, or one given), then of the
              groups of the file name pattern, then `folder`: where the file lies, if not at the top

A row of the table finds its file by the path in its file column; else by the base name, else by
the base name without extension, where that is unique among the files and among the rows left over.
"""

import codecs
import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from image_search.errors import CollectionError, PictureError
from image_search.fields import RESERVED, Field, Override, Value, convert, infer, read_overrides
from image_search.images import HEAD_BYTES, check_head

# A file of more bytes is not read: the largest scans have some hundred MB, videos have more.
MAX_BYTES = 1 << 30

METADATA_FILES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
# The column that names the file, first one present; file_name is what `imagefolder` calls it.
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "id")

_READ_ALREADY = "read as metadata, not a picture"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that may be a picture; `metadata` has a value, or None, for every field."""

    id: str
    path: Path
    metadata: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Reject:
    """A file, or with "/" at its end a folder, that is left out, and why; plain UTF-8 both."""

    id: str
    reason: str


@dataclass(frozen=True)
class FolderCollection:
    """The pictures of a folder; entries sorted by id, rejects too; notices are for the keeper."""

    name: str
    fields: list[Field]
    entries: list[Entry]
    rejects: list[Reject]
    notices: list[str]

    @classmethod
    def open(
        cls,
        folder: Path,
        metadata: Path | None = None,
        filename_pattern: str | None = None,
        fields: Path | None = None,
    ) -> Self:
        """List a folder at any depth; links to files are followed, links to folders are not.

        `filename_pattern` is a Python regular expression for the whole base name, extension
        included (re.fullmatch); its named groups become fields, where the metadata has no value.
        `fields` is a fields.toml; without it, the one in the folder counts. Raises CollectionError.
        """
        files, rejects = _list(folder)
        metadata = metadata or _only_metadata(folder, files)
        if fields is None and "fields.toml" in files:
            fields = files["fields.toml"]
        for path in (metadata, fields):
            own_id = path and _id_in(folder, path)
            if own_id in files:
                del files[own_id]
                rejects.append(Reject(own_id, _READ_ALREADY))
        _check_pictures(folder, files)
        ids = sorted(files)
        notices: list[str] = []
        columns = _columns(ids, metadata, filename_pattern, notices)
        columns = {_unreserved(name, columns, notices): columns[name] for name in columns}
        overrides = read_overrides(fields, columns) if fields else {}
        if "folder" in columns and (override := overrides.get("folder", Override())).kind is None:
            overrides["folder"] = replace(override, kind="category")
        inferred = infer(columns, overrides)
        rows = _rows(inferred, columns, notices) or [{} for _ in ids]
        entries = [Entry(id, files[id], row) for id, row in zip(ids, rows, strict=True)]
        name = Path(os.path.abspath(folder)).name or "collection"
        return cls(_printable(name), inferred, entries, sorted(rejects, key=_order), notices)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def read(self, entry: Entry) -> bytes:
        """The bytes of an entry's file; only its head if that is not a picture's.

        Raises PictureError if it is not a picture, cannot be read or has more than MAX_BYTES.
        """
        try:
            with entry.path.open("rb") as file:
                check_head(file.read(HEAD_BYTES))
                size = os.fstat(file.fileno()).st_size
                if size > MAX_BYTES:
                    raise PictureError(f"too large: {size} bytes (the limit is {MAX_BYTES} bytes)")
                file.seek(0)
                return file.read()
        except OSError as error:
            raise PictureError(f"cannot be read: {error.strerror or error}") from error
        except MemoryError as error:
            raise PictureError("too large: the file does not fit into the memory") from error


# Files


def _list(folder: Path) -> tuple[dict[str, Path], list[Reject]]:
    """Files by id, and what cannot be one."""
    if not os.path.exists(folder):
        raise CollectionError(f"There is no folder {folder}. Check the spelling of the path.")
    if not os.path.isdir(folder):
        raise CollectionError(f"{folder} is a file; give the folder that the pictures are in.")
    rejects: list[Reject] = []
    names: list[tuple[bool, str, str]] = []
    for name, reason in _walk(folder):
        if reason:
            rejects.append(Reject(_printable(name), reason))
        elif name != _printable(name):
            rejects.append(Reject(_printable(name), "name is not UTF-8; rename the file"))
        else:
            id = unicodedata.normalize("NFC", name)
            names.append((id != name, name, id))
    files: dict[str, Path] = {}
    for _, name, id in sorted(names):  # names in NFC first: they are their own ids
        if id in files:
            reason = "its name differs from another file's in Unicode normalisation only; rename it"
            rejects.append(Reject(name, reason))
        else:
            files[id] = Path(folder, name)
    return files, rejects


def _walk(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Relative paths as the system spells them, each with the reason why it cannot be used."""
    pending = [""]
    while pending:
        parent = pending.pop()
        try:
            with os.scandir(os.path.join(folder, parent)) as found:
                for item in found:
                    name = parent + item.name
                    is_folder, reason = _look(item)
                    if is_folder and reason is None:
                        pending.append(name + "/")
                    else:
                        yield name + "/" * is_folder, reason
        except OSError as error:
            if not parent:
                raise CollectionError(f"{folder} cannot be read: {error.strerror or error}.") from error
            yield parent, f"folder cannot be read: {error.strerror or error}"


def _look(item: os.DirEntry[str]) -> tuple[bool, str | None]:
    """Whether it is a folder, and why it cannot be used; opens nothing (a pipe would hang)."""
    try:
        link, is_folder = item.is_symlink(), item.is_dir()
        if item.name.startswith("."):
            return is_folder, "hidden: its name begins with a dot"
        if is_folder:
            return True, "link to a folder, not followed" if link else None
        if item.is_file():
            return False, None
        if link and not os.path.exists(item.path):
            return False, f"link to nothing: {_printable(os.readlink(item.path))}"
        return False, "not a file but a pipe, a socket or a device"
    except OSError as error:
        return False, f"cannot be read: {error.strerror or error}"


def _check_pictures(folder: Path, files: Mapping[str, Path]) -> None:
    if not files:
        raise CollectionError(f"There are no pictures in {folder}, nor in folders in it.")
    reason = ""
    for path in files.values():  # ends at the first picture: nearly always the first file
        try:
            with path.open("rb") as file:
                return check_head(file.read(HEAD_BYTES))
        except (PictureError, OSError) as error:
            reason = reason or f"{path.name}: {error}"
    raise CollectionError(f"None of the {len(files):,} files in {folder} is a picture. {reason}.")


def _only_metadata(folder: Path, files: Mapping[str, Path]) -> Path | None:
    found = [name for name in METADATA_FILES if name in files]
    if len(found) > 1:
        raise CollectionError(
            f"{folder} has {' and '.join(found)}. Keep one of them, or say which one counts."
        )
    return files[found[0]] if found else None


def _id_in(folder: Path, path: Path) -> str | None:
    try:
        inside = (path.parent.resolve() / path.name).relative_to(folder.resolve())
    except ValueError:
        return None
    return unicodedata.normalize("NFC", inside.as_posix())


def _printable(name: str) -> str:
    """A file name without the surrogates that stand for bytes that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _order(reject: Reject) -> tuple[str, str]:
    return reject.id, reject.reason


# Columns


def _columns(
    ids: Sequence[str], metadata: Path | None, pattern: str | None, notices: list[str]
) -> dict[str, list[Value]]:
    """The values of every column in the order of `ids`: of the table, the pattern, the folders."""
    columns: dict[str, list[Value]] = {}
    if metadata is not None:
        file_names, table = _read_table(metadata, notices)
        rows = _match(ids, metadata.name, file_names, notices)
        for name, values in table.items():
            columns[name] = [None if row is None else values[row] for row in rows]
    if pattern is not None:
        for name, parts in _groups(ids, pattern, notices).items():
            known = next((column for column in columns if column.lower() == name.lower()), name)
            values = columns.get(known, parts)
            columns[known] = [v or part for v, part in zip(values, parts, strict=True)]
    folders: list[Value] = [id.rpartition("/")[0] or None for id in ids]
    if any(folders):
        if "folder" in columns:
            notices.append("column 'folder' is the metadata's, not where the files lie")
        columns.setdefault("folder", folders)
    return columns


def _unreserved(name: str, columns: Mapping[str, Any], notices: list[str]) -> str:
    if name.lower() not in RESERVED:
        return name
    new = f"original_{name}"
    while new in columns:
        new = f"original_{new}"
    notices.append(f"column {name!r} is called {new!r} here: {name!r} is reserved")
    return new


def _groups(ids: Sequence[str], pattern: str, notices: list[str]) -> dict[str, list[Value]]:
    """The named groups of the base names, as columns."""
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        at = getattr(error, "pos", None)
        where = "" if at is None else f" here: {pattern[:at]} --> {pattern[at:]}"
        what = getattr(error, "msg", str(error))
        raise CollectionError(f"The file name pattern is broken: {what}{where}") from error
    if not compiled.groupindex:
        raise CollectionError(
            f"The file name pattern {pattern} has no named groups; each becomes a field. "
            r"Write (?P<year>\d{4}) for a year, for example."
        )
    names = [id.rpartition("/")[2] for id in ids]
    found = [match.groupdict() if (match := compiled.fullmatch(name)) else {} for name in names]
    others = [name for name, groups in zip(names, found, strict=True) if not groups]
    if len(others) == len(names):
        raise CollectionError(
            f"The file name pattern {pattern} matches none of {len(names):,} file names, for "
            f"example {names[0]!r}. It must match the whole name, extension included."
        )
    if others:
        notices.append(_some(others, "file name", "not matched by the pattern"))
    return {name: [groups.get(name) for groups in found] for name in compiled.groupindex}


def _rows(
    fields: Sequence[Field], columns: Mapping[str, Sequence[Value]], notices: list[str]
) -> list[dict[str, Value]]:
    """The converted values, a dict for each file."""
    converted = []
    for field in fields:
        values = [convert(value, field) for value in columns[field.name]]
        lost = [v for v, c in zip(columns[field.name], values, strict=True) if v and c is None]
        if lost:
            fault = f"not of the kind {field.kind!r} and left empty"
            notices.append(_some(lost, f"value of the column {field.name!r}", fault))
        converted.append(values)
    names = [field.name for field in fields]
    return [dict(zip(names, row, strict=True)) for row in zip(*converted, strict=True)]


def _some(examples: Sequence[object], noun: str, fault: str) -> str:
    one = len(examples) == 1
    head, _, tail = noun.partition(" of ")
    nouns = (head if one else head + "s") + (f" of {tail}" if tail else "")
    verb, example = ("is", "") if one else ("are", "for example ")
    return f"{len(examples):,} {nouns} {verb} {fault}: {example}{examples[0]!r}"


# Tables


def _match(
    ids: Sequence[str], table: str, file_names: Sequence[Value], notices: list[str]
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
        raise CollectionError(f"No row of {table} is about a file of the folder: {example}.")
    for examples, noun, fault in (
        ([names[row] for row in left], f"row of {table}", "for no file of the folder"),
        (doubled, f"row of {table}", "for a file that has a row already, and passed over"),
        ([id for id in ids if id not in rows], "file", f"without a row in {table}"),
    ):
        if examples:
            notices.append(_some(examples, noun, fault))
    return [rows.get(id) for id in ids]


def _unique(form: Callable[[str], str], ids: Sequence[str]) -> dict[str, str]:
    counts = Counter(map(form, ids))
    return {form(id): id for id in ids if counts[form(id)] == 1}


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(path: str) -> str:
    return os.path.splitext(_base_name(path))[0]


def _read_table(path: Path, notices: list[str]) -> tuple[list[Value], dict[str, list[Value]]]:
    """What names the files, row by row, and the other columns."""
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
    return columns.pop(file_column), columns


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
        notices.append(_some([f"line {n}" for n in short], f"row of {path.name}", "too short"))
    columns: dict[str, list[Value]] = {}
    for number, (name, *values) in enumerate(zip(*rows, strict=True), start=1):
        if name in columns:
            raise CollectionError(f"{path} has two columns {name!r}. Rename one of them.")
        if name or any(values):  # spreadsheets write empty columns at the right
            columns[name or f"column_{number}"] = [value or None for value in values]
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
            column = columns.setdefault(name.encode("utf-8", "replace").decode(), [])
            column += [None] * (rows - len(column))
            column[rows:] = [_from_json(value)]
        rows += 1
    return {name: column + [None] * (rows - len(column)) for name, column in columns.items()}


def _from_json(value: Any) -> Value:
    if isinstance(value, list):
        return [str(text) for part in value if (text := _from_json(part))] or None
    if isinstance(value, str):
        return value.strip() or None
    return None if value is None else json.dumps(value, ensure_ascii=False)
