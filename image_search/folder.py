"""A folder of pictures as a collection: which files, what is known of each, what is left out.

Listing reads names, sizes and times only (on a network drive a file's first bytes cost more than
a thousand names), so an entry need not be a picture: `read` and `images.decode` say so, by content;
the extension of the name plays no part.

    id        the path relative to the folder, with "/", in Unicode NFC
    state     size and time of change
    metadata  of the table (metadata.csv, .tsv, .jsonl or .parquet in the folder, or one given),
              then of the groups of the file name pattern, then `folder`: where the file lies, if
              not at the top
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_search.collection import (
    Collection,
    Entry,
    Found,
    Reject,
    by_id,
    describe,
    in_order,
    is_hidden,
    printable,
)
from image_search.errors import CollectionError, PictureError
from image_search.fields import Value
from image_search.images import HEAD_BYTES, check_head
from image_search.table import match_rows, read_table, some

# A file of more bytes is not read: the largest scans have some hundred MB, videos have more.
MAX_BYTES = 1 << 30

METADATA_FILES = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")

READ_ALREADY = "read as metadata, not a picture"


@dataclass(frozen=True)
class FolderReader:
    """Reads files; a place is a path relative to the folder, as the system spells it."""

    folder: Path

    def read(self, place: str) -> bytes:
        return read_file(self.folder / place)

    def check(self) -> None:
        try:
            with os.scandir(self.folder) as items:
                empty = next(items, None) is None
        except OSError as error:
            raise CollectionError(f"{self.folder} is gone: {error.strerror or error}.") from None
        if empty:
            raise CollectionError(f"{self.folder} is empty now. Is its disk still there?")

    def close(self) -> None:
        pass


def open_folder(
    folder: Path,
    metadata: Path | None = None,
    filename_pattern: str | None = None,
    fields: Path | None = None,
) -> Collection:
    """List a folder at any depth; links to files are followed, links to folders are not.

    `filename_pattern` is a Python regular expression for the whole base name, extension
    included (re.fullmatch); its named groups become fields, where the metadata has no value.
    `fields` is a fields.toml; without it, the one in the folder counts. Raises CollectionError.
    """
    files, rejects = _list(folder)
    metadata = metadata or _only_metadata(folder, files)
    if fields is None and "fields.toml" in files:
        fields = folder / files["fields.toml"].place
    for path in (metadata, fields):
        own_id = path and _id_in(folder, path)
        if own_id in files:
            del files[own_id]
            rejects.append(Reject(own_id, READ_ALREADY))
    _check_pictures(folder, files)
    ids = sorted(files)
    notices: list[str] = []
    columns = file_columns(ids, metadata, filename_pattern, notices)
    described, table = describe(columns, fields, len(ids), notices)
    return Collection(
        kind="folder",
        name=printable(Path(os.path.abspath(folder)).name or "collection"),
        fields=described,
        entries=[files[id] for id in ids],
        metadata=table,
        rejects=in_order(rejects),
        notices=notices,
        reader=FolderReader(folder),
    )


def read_file(path: Path) -> bytes:
    """The bytes of a file; only its head if that is not a picture's.

    Raises PictureError if it is not a picture, cannot be read or has more than MAX_BYTES.
    """
    try:
        with path.open("rb") as file:
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


def _list(folder: Path) -> tuple[dict[str, Entry], list[Reject]]:
    """Files by id, and what cannot be one."""
    if not os.path.exists(folder):
        raise CollectionError(f"There is no folder {folder}. Check the spelling of the path.")
    if not os.path.isdir(folder):
        raise CollectionError(f"{folder} is a file; give the folder that the pictures are in.")
    return by_id(_walk(folder))


def _walk(folder: Path) -> Iterator[Found]:
    """Everything in a folder, by its path relative to it as the system spells it."""
    pending = [""]
    while pending:
        parent = pending.pop()
        try:
            with os.scandir(os.path.join(folder, parent)) as items:
                for item in items:
                    name = parent + item.name
                    found = _look(item, name)
                    if found is None:
                        pending.append(name + "/")
                    else:
                        yield found
        except OSError as error:
            if not parent:
                raise CollectionError(
                    f"{folder} cannot be read: {error.strerror or error}."
                ) from error
            yield Found(parent, reason=f"folder cannot be read: {error.strerror or error}")


def _look(item: os.DirEntry[str], name: str) -> Found | None:
    """What an item of a folder is; None for a folder to go into.

    Opens nothing: a pipe would hang.
    """
    try:
        link, hidden = item.is_symlink(), is_hidden(name)
        if item.is_dir():
            linked = hidden or "link to a folder, not followed"
            return Found(name + "/", reason=linked) if link else None
        if item.is_file():
            stat = item.stat()
            return Found(name, name, f"{stat.st_size}-{stat.st_mtime_ns}", hidden)
        if link and not os.path.exists(item.path):
            to = printable(os.readlink(item.path))
            return Found(name, reason=hidden or f"link to nothing: {to}")
        return Found(name, reason=hidden or "not a file but a pipe, a socket or a device")
    except OSError as error:
        return Found(name, reason=f"cannot be read: {error.strerror or error}")


def _check_pictures(folder: Path, files: Mapping[str, Entry]) -> None:
    if not files:
        raise CollectionError(f"There are no pictures in {folder}, nor in folders in it.")
    reason = ""
    for entry in files.values():  # ends at the first picture: nearly always the first file
        path = folder / entry.place
        try:
            with path.open("rb") as file:
                return check_head(file.read(HEAD_BYTES))
        except (PictureError, OSError) as error:
            reason = reason or f"{path.name}: {error}"
    raise CollectionError(f"None of the {len(files):,} files in {folder} is a picture. {reason}.")


def _only_metadata(folder: Path, files: Mapping[str, Entry]) -> Path | None:
    found = [name for name in METADATA_FILES if name in files]
    if len(found) > 1:
        raise CollectionError(
            f"{folder} has {' and '.join(found)}. Keep one of them, or say which one counts."
        )
    return folder / files[found[0]].place if found else None


def _id_in(folder: Path, path: Path) -> str | None:
    try:
        inside = (path.parent.resolve() / path.name).relative_to(folder.resolve())
    except ValueError:
        return None
    return unicodedata.normalize("NFC", inside.as_posix())


# Columns


def file_columns(
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
