"""Archives of pictures (zip, tar) as a collection: as the folder they would be if unpacked.

    id        the member's path in Unicode NFC, without the top folder that all members share: as
              if that folder, unpacked, were the source
    state     in a zip a member's checksum and size, in a tar its size and time of change
    metadata  as in a folder: metadata.csv, .tsv, .jsonl or .parquet at the top, or one given; the
              groups of the file name pattern; `folder`

Nothing is unpacked but compressed tars (.tar.gz and the like), where a member cannot be reached but
by reading all before it: they become an uncompressed tar in the cache, once.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from image_search.collection import (
    Collection,
    Entry,
    Found,
    Reject,
    by_id,
    describe,
    in_order,
    is_hidden,
)
from image_search.errors import CollectionError, PictureError
from image_search.folder import MAX_BYTES, METADATA_FILES, READ_ALREADY, file_columns
from image_search.images import HEAD_BYTES, check_head
from image_search.members import SUFFIX, Archive, Zip, open_archive, state_of
from image_search.table import format_of

READERS = 4
"""Threads that read where there are zips: most time goes into zlib, which lets others run."""

Place = tuple[int, int, int]
"""Which archive; which member of a zip, or its position in a tar; how many bytes."""


class ArchiveReader:
    """Reads members of archives, in as many threads as one likes."""

    def __init__(self, archives: Sequence[Archive]) -> None:
        self._archives = archives
        self._states = [state_of(archive.path) for archive in archives]

    def read(self, place: Place) -> bytes:
        check_head(self.head(place))
        size = place[2]
        if size > MAX_BYTES:
            raise PictureError(f"too large: {size} bytes (the limit is {MAX_BYTES} bytes)")
        return self.head(place, size)

    def head(self, place: Place, size: int = HEAD_BYTES) -> bytes:
        """The first bytes of any member."""
        archive, number, whole = place
        try:
            return self._archives[archive].read(number, min(size, whole))
        except MemoryError as error:
            raise PictureError("too large: the file does not fit into the memory") from error

    def check(self) -> None:
        for archive, state in zip(self._archives, self._states, strict=True):
            if state_of(archive.path) != state:
                raise CollectionError(
                    f"{archive.path} is gone, or another file now. Is its disk still there?"
                )

    def close(self) -> None:
        for archive in self._archives:
            archive.close()


def open_archives(
    paths: Sequence[Path],
    cache: Path,
    metadata: Path | None = None,
    filename_pattern: str | None = None,
    fields: Path | None = None,
) -> Collection:
    """The pictures in one or several zips and tars; the options are those of a folder.

    `cache` is a folder for what compressed tars become. Raises CollectionError.
    """
    archives = [open_archive(path, cache) for path in paths]
    reader = ArchiveReader(archives)
    name = paths[0].name if len(paths) == 1 else f"{paths[0].name} and the others"
    notices: list[str] = []
    files, rejects = by_id(_as_unpacked(archives, notices))
    with _taking_out(name, files, rejects, reader) as take_out:
        metadata = metadata or take_out(METADATA_FILES)
        fields = fields or take_out(("fields.toml",))
        _check_pictures(name, files, reader)
        ids = sorted(files)
        columns = file_columns(ids, metadata, filename_pattern, notices)
        described, table = describe(columns, fields, len(ids), notices)
    return Collection(
        kind="archive",
        name=SUFFIX.sub("", paths[0].name) or "collection",
        fields=described,
        entries=[files[id] for id in ids],
        metadata=table,
        rejects=in_order(rejects),
        notices=notices,
        reader=reader,
        readers=READERS if any(isinstance(archive, Zip) for archive in archives) else 0,
    )


def _check_pictures(name: str, files: Mapping[str, Entry], reader: ArchiveReader) -> None:
    if not files:
        raise CollectionError(f"There are no pictures in {name}.")
    why = ""
    for id, entry in files.items():  # ends at the first picture: nearly always the first member
        try:
            return check_head(reader.head(entry.place))
        except PictureError as error:
            why = why or f"{id}: {error}."
    if table := next((id for id in files if format_of(Path(id))), None):
        why = f"If {table} has the addresses of pictures, unpack it and give it as the source."
    raise CollectionError(f"None of the {len(files):,} files in {name} is a picture. {why}")


@contextmanager
def _taking_out(
    name: str, files: dict[str, Entry], rejects: list[Reject], reader: ArchiveReader
) -> Iterator[Callable[[Sequence[str]], Path | None]]:
    """Gives what unpacks the one of these members that there is, for as long as this lasts."""
    with TemporaryDirectory() as top:

        def take_out(names: Sequence[str]) -> Path | None:
            found = [id for id in names if id in files]
            if len(found) > 1:
                raise CollectionError(
                    f"{name} has {' and '.join(found)}. Unpack the one that counts, and name it "
                    "with --metadata."
                )
            if not found:
                return None
            path = Path(top, name, found[0])
            path.parent.mkdir(exist_ok=True)
            try:
                path.write_bytes(reader.head(files.pop(found[0]).place, MAX_BYTES))
            except PictureError as error:
                raise CollectionError(f"{path} cannot be read: {error}.") from error
            rejects.append(Reject(found[0], READ_ALREADY))
            return path

        try:
            yield take_out
        except CollectionError as error:  # the keeper does not know of the folder
            raise CollectionError(str(error).replace(f"{top}{os.sep}", "")) from error


# As if unpacked


def _as_unpacked(archives: Sequence[Archive], notices: list[str]) -> list[Found]:
    """All members, by the paths that they would have in the folder."""
    found = [
        _judged(replace(member, place=(number, *member.place)))
        for number, archive in enumerate(archives)
        for member in archive.members(notices)
    ]
    tops = {
        member.name.rpartition("/")[0].partition("/")[0] for member in found if not member.reason
    }
    if len(tops) == 1:
        top = f"{tops.pop()}/"
        found = [replace(member, name=member.name.removeprefix(top)) for member in found]
    last = {member.name: index for index, member in enumerate(found) if not member.reason}
    return [
        replace(member, reason="a later member of the same name counts")
        if last.get(member.name, index) != index and not member.reason
        else member
        for index, member in enumerate(found)
    ]


def _judged(member: Found) -> Found:
    """A member by its path as it would be once unpacked; with a reason if that will not do."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    name = "/".join(parts)
    if member.name.startswith("/") or re.match("[A-Za-z]:/", member.name) or ".." in parts:
        return replace(member, reason="its path leads out of the archive")
    hidden = is_hidden(name)
    if parts[:1] == ["__MACOSX"]:
        hidden = "hidden: what macOS adds about files"
    return replace(member, name=name, reason=hidden or member.reason)
