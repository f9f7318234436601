"""A table of pictures, each by its URL or its path, as a collection: Unsplash's photos.tsv*.

    picture   The column that is named; else the one whose values are URLs, or paths of pictures.
              Of several the one with "image" in its name, then the one whose values end as pictures
              do (.jpg); if there are still several, the keeper has to say.
    id        The column that is named; else `id`; else the first one called something_id with
              another value in 99 of 100 rows; else the path, or the beginning of the URL's hash.
    state     Of a URL, all of it with its suffix; of a file, size and time of change.
    order     The table's.
    metadata  All columns but the ids.

Paths are relative to the table's folder, and may lead out of it only if the keeper says so: tables
come from strangers, too.
"""

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from image_search.collection import (
    Collection,
    Entry,
    Reject,
    describe,
    has_controls,
    id_of,
    in_order,
)
from image_search.download import Downloader, Limits
from image_search.errors import CollectionError, PictureError
from image_search.fields import Value
from image_search.folder import read_file
from image_search.table import FILE_COLUMNS, Columns, Table, find_column, read_tables

DOWNLOADS = 32
"""Pictures that are fetched at a time; from one host fewer (Limits.per_host)."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
    *(".jp2", ".j2k", ".avif", ".heic", ".heif"),
)

_URL = re.compile("https?://", re.IGNORECASE)
_SCHEME = re.compile("[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two letters or more: C: is a disk


class LinkReader:
    """Reads pictures by URL or by path, in as many threads as one likes."""

    def __init__(self, folders: frozenset[Path], allow_private: bool, limits: Limits) -> None:
        self._arguments = folders, allow_private, limits
        self._lock = threading.Lock()
        self._downloader: Downloader | None = None
        self._reading = 0
        self._is_closed = False

    def __reduce__(self) -> tuple[type["LinkReader"], tuple[Any, ...]]:
        return LinkReader, self._arguments  # connections stay where they are

    def read(self, place: str) -> bytes:
        if not is_url(place):
            return read_file(Path(place))
        downloader = self._begin()
        try:
            return downloader.fetch(place)
        finally:
            self._end(downloader)

    def check(self) -> None:
        for folder in self._arguments[0]:
            if not folder.is_dir():
                raise CollectionError(f"{folder} is gone. Is its disk still there?")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._downloader is not None:
                self._downloader.stop()
                if not self._reading:
                    self._downloader.close()

    def _begin(self) -> Downloader:
        with self._lock:
            if self._is_closed:
                raise PictureError("cannot be read: stopped")
            if self._downloader is None:
                _, allow_private, limits = self._arguments
                self._downloader = Downloader(limits, allow_private)
            self._reading += 1
            return self._downloader

    def _end(self, downloader: Downloader) -> None:
        with self._lock:
            self._reading -= 1
            if self._is_closed and not self._reading:
                downloader.close()


def open_links(
    paths: Sequence[Path],
    image_column: str | None = None,
    id_column: str | None = None,
    url_suffix: str = "",
    allow_private: bool = False,
    fields: Path | None = None,
    limits: Limits | None = None,
) -> Collection:
    """The pictures of a table, in one part or several (CSV, TSV, JSONL, Parquet).

    `url_suffix` is added to every URL, for the download only. With `allow_private` the table may
    name private addresses, and files out of its own folder. `fields` is a fields.toml; without it
    the one beside the table counts. Raises CollectionError.
    """
    notices: list[str] = []
    table = read_tables(paths, notices)
    name = paths[0].name if len(paths) == 1 else f"{paths[0].name} and its other parts"
    if not any(table.columns.values()):
        raise CollectionError(f"{name} has no rows.")
    image_column = _image_column(name, table.columns, image_column)
    id_column = _id_column(name, table.columns, id_column, image_column)
    ids = f"their ids those of {id_column!r}" if id_column else "of which their ids are made"
    notices.append(f"the pictures' addresses are those of the column {image_column!r}, {ids}")
    rows = _Rows(url_suffix, allow_private)
    rows.read(table, table.columns[image_column], table.columns[id_column] if id_column else None)
    if not rows.entries:
        first = rows.rejects[0]
        raise CollectionError(
            f"No row of {name} leads to a picture. {first.id}: {first.reason}. Is {image_column!r} "
            "the right column? --image-column names another one."
        )
    if id_column not in (None, image_column):
        del table.columns[id_column]
    columns = {n: [values[row] for row in rows.kept] for n, values in table.columns.items()}
    beside = paths[0].parent / "fields.toml"
    fields = fields or (beside if beside.is_file() else None)
    described, metadata = describe(columns, fields, len(rows.kept), notices)
    entries = list(rows.entries.values())
    return Collection(
        kind="links",
        name=paths[0].name.partition(".")[0] or "collection",
        fields=described,
        entries=entries,
        metadata=metadata,
        rejects=in_order(rows.rejects),
        notices=notices,
        reader=LinkReader(
            frozenset(path.parent for path in paths), allow_private, limits or Limits()
        ),
        readers=DOWNLOADS if any(is_url(entry.place) for entry in entries) else 0,
        id_column=id_column or "id",
        wheres=rows.wheres,
    )


def is_url(address: str) -> bool:
    """Whether an address is one of the web."""
    return _URL.match(address) is not None


# Rows


class _Rows:
    """What the rows of a table lead to."""

    def __init__(self, url_suffix: str, allow_private: bool) -> None:
        self.entries: dict[str, Entry] = {}
        self.wheres: dict[str, str] = {}
        """Entry → its file and line, for those whose ids say nothing."""
        self.kept: list[int] = []
        """The rows of the entries."""
        self.rejects: list[Reject] = []
        self._url_suffix = url_suffix
        self._allow_private = allow_private

    def read(self, table: Table, addresses: list[Value], ids: list[Value] | None) -> None:
        for row, (part, number) in enumerate(table.rows()):
            address = str(addresses[row] or "")
            id = id_of(_short(address) if ids is None else ids[row])
            try:
                entry = self._entry(id, address, part.path.parent)
            except PictureError as error:
                where = part.where(number)
                self.rejects.append(Reject(f"{id} ({where})" if id else where, str(error)))
            else:
                self.entries[entry.id] = entry
                self.kept.append(row)
                if ids is None and is_url(address):
                    self.wheres[entry.id] = part.where(number)

    def _entry(self, id: str | None, address: str, folder: Path) -> Entry:
        if not address:
            raise PictureError("no address in its row")
        if id is None:
            raise PictureError("no id in its row")
        if has_controls(id + address):
            raise PictureError("its id or address has a line break or the like in it")
        if id in self.entries:
            raise PictureError("an earlier row has the same id")
        if is_url(address):
            url = with_suffix(address, self._url_suffix)
            return Entry(id, url, url)
        if _SCHEME.match(address):
            raise PictureError("not a web address: it begins with neither http:// nor https://")
        path, top = folder / address, os.path.abspath(folder)
        if not os.path.exists(path):
            path = folder / address.replace("\\", "/")
        path = Path(os.path.abspath(path))  # without any "..", that could lead on from a link
        if not self._allow_private and not path.is_relative_to(top):
            raise PictureError("its path leads out of the table's folder")
        try:
            found = path.stat()
        except OSError as error:
            raise PictureError(f"cannot be read: {error.strerror or error}") from error
        if not stat.S_ISREG(found.st_mode):
            raise PictureError("not a file")
        return Entry(id, str(path), f"{found.st_size}-{found.st_mtime_ns}")


def with_suffix(url: str, suffix: str) -> str:
    """A URL with what asks for a certain size, say, added to it; "?" is "&" where there is one."""
    url, hash, fragment = url.partition("#")
    if suffix.startswith("?") and "?" in url:
        suffix = f"&{suffix[1:]}"
    return url + suffix + hash + fragment


def _short(address: str) -> str:
    """An id for who has none."""
    if is_url(address):
        return hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return re.sub(r"^(\./+)+", "", address.replace("\\", "/"))


# Columns


def _image_column(table: str, columns: Columns, wanted: str | None) -> str:
    """The column that leads to the pictures."""
    if wanted is not None:
        return _named(table, columns, wanted)
    found = [n for n, values in columns.items() if _most(values, _leads_to_a_picture)]
    found = [name for name in found if "image" in name.lower()] or found
    found = [name for name in found if _most(columns[name], _ends_like_a_picture)] or found
    if not found and (name := find_column(columns, *FILE_COLUMNS[:-1])):
        return name
    if len(found) != 1:
        what = f"several: {', '.join(found)}" if found else "none"
        raise CollectionError(
            f"Which column of {table} has the URLs or paths of the pictures? It seems there are "
            f"{what}. Say it with --image-column; the columns are "
            f"{', '.join(columns) or 'none: it is empty'}."
        )
    return found[0]


def _id_column(table: str, columns: Columns, wanted: str | None, image: str) -> str | None:
    """The column with the ids, if there is one."""
    if wanted is not None:
        return _named(table, columns, wanted)
    if id := find_column(columns, "id"):
        return id
    candidates = (n for n in columns if n.lower().endswith("_id") and n != image)
    return next((name for name in candidates if _tells_rows_apart(columns[name])), None)


def _named(table: str, columns: Columns, wanted: str) -> str:
    name = wanted if wanted in columns else find_column(columns, wanted)
    if name is None:
        raise CollectionError(
            f"{table} has no column {wanted!r}; its columns are {', '.join(columns) or 'none'}."
        )
    return name


def _most(values: list[Value], test: Callable[[Value], bool]) -> bool:
    """Whether more than half of the first thousand values that are there pass a test."""
    there = list(islice((value for value in values if value is not None), 1000))
    return sum(map(test, there)) * 2 > len(there)


def _leads_to_a_picture(value: Value) -> bool:
    return isinstance(value, str) and (is_url(value) or _ends_like_a_picture(value))


def _ends_like_a_picture(value: Value) -> bool:
    return isinstance(value, str) and re.split("[?#]", value)[0].lower().endswith(SUFFIXES)


def _tells_rows_apart(values: list[Value]) -> bool:
    """Whether a column has ids; a row in a hundred may be a mistake, and is a reject then."""
    return len(set(map(id_of, values)) - {None}) * 100 >= len(values) * 99
