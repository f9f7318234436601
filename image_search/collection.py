"""A folder of pictures as a collection: which files, what is known of each, what is left out.

Every file found is an entry or a reject with its reason. Listing reads names only (on a network
drive a file's first bytes cost more than a thousand names), so an entry need not be a picture:
`read` and `images.decode` say so, by content; the extension of the name plays no part.

    id        the path relative to the folder, with "/", in Unicode NFC
    metadata  of the table (metadata.csv, .tsv or .jsonl in the folder, or one given), then of the
              groups of the file name pattern, then `folder`: where the file lies, if not at the top
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from image_search.errors import CollectionError, PictureError
from image_search.fields import RESERVED, Field, Override, Value, convert, infer, read_overrides
from image_search.images import HEAD_BYTES, check_head
from image_search.table import match_rows, read_table, some

# A file of more bytes is not read: the largest scans have some hundred MB, videos have more.
MAX_BYTES = 1 << 30

METADATA_FILES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")

_HIDDEN = "hidden: its name, or that of a folder it is in, begins with a dot"
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
        elif any(unicodedata.category(c) == "Cc" for c in name):
            rejects.append(Reject(_printable(name), "name has a line break or the like; rename it"))
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
                        hidden = _HIDDEN if "/." in f"/{name}" else None
                        yield name + "/" * is_folder, hidden or reason
        except OSError as error:
            if not parent:
                raise CollectionError(
                    f"{folder} cannot be read: {error.strerror or error}."
                ) from error
            yield parent, f"folder cannot be read: {error.strerror or error}"


def _look(item: os.DirEntry[str]) -> tuple[bool, str | None]:
    """Whether it is a folder, and why it cannot be used; opens nothing (a pipe would hang)."""
    try:
        link, is_folder = item.is_symlink(), item.is_dir()
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
        file_column, file_names, table = read_table(metadata, notices)
        rows = match_rows(ids, metadata.name, file_column, file_names, notices)
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
        notices.append(some(others, "file name", "not matched by the pattern"))
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
            notices.append(some(lost, f"value of the column {field.name!r}", fault))
        converted.append(values)
    names = [field.name for field in fields]
    return [dict(zip(names, row, strict=True)) for row in zip(*converted, strict=True)]
