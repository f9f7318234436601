"""A built collection, opened: metadata in memory, pictures read one by one.

An artifact is never changed after it was written. It lies in a folder, or on the Hub.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_search.catalogue import TableCatalogue
from image_search.encoder import OnnxEncoder, Vectors
from image_search.files import Files, Group, files_of
from image_search.index.faiss_index import FaissIndex
from image_search.manifest import (
    ENCODER,
    INDEX,
    METADATA,
    ROW_GROUP,
    SIZES,
    Manifest,
    ids_sha256,
    telling_damage,
)


def data_file(part: int, parts: int) -> str:
    """Where the pictures of a part lie."""
    return f"data/train-{part:05d}-of-{parts:05d}.parquet"


def thumbnail_file(part: int, parts: int) -> str:
    """Where the small pictures of a part lie."""
    return f"thumbnails/train-{part:05d}-of-{parts:05d}.parquet"


class Artifact:
    """An opened artifact: manifest, metadata, and pictures read one by one."""

    def __init__(self, files: Files, manifest: Manifest, version: str) -> None:
        self.files = files
        self.path = files.folder
        """Where its files are on this machine; of one on the Hub, those that were needed."""
        self.manifest = manifest
        self.version = version
        """sha256 of manifest.json, 64 hexadecimal digits."""
        self.short_version = version[:12]
        """Enough of it for an address."""
        self._starts = [0, *accumulate(manifest.parts)]

    @classmethod
    def open(cls, place: str | Path, searched: bool = True) -> "Artifact":
        """Open a folder that build_index.py wrote, or `user/name[@revision]` of the Hub.

        Checks what takes no time: the manifest, every file's size, the number and order of rows;
        on the Hub also every file's sha256, as the Hub lists it. `verify` reads every byte.
        What is not `searched` here has neither index nor catalogue fetched: a database has them.
        Raises ArtifactError or HubError, with what to do about it.
        """
        return cls.of(files_of(place), searched)

    @classmethod
    def of(cls, files: Files, searched: bool = True) -> "Artifact":
        """The same of files that were found already."""
        manifest, version = files.manifest()
        encoder = (name for name in manifest.files if name.startswith(f"{ENCODER}/"))
        files.check(manifest, [*encoder, *((METADATA, SIZES, INDEX) if searched else ())])
        artifact = cls(files, manifest, version)
        if sum(manifest.parts) != manifest.rows:
            raise files.broken(
                f"its parts have {sum(manifest.parts):,} rows instead of {manifest.rows:,}"
            )
        if searched:
            artifact.catalogue  # noqa: B018  # now, not at the first question
        return artifact

    def __len__(self) -> int:
        return self.manifest.rows

    @cached_property
    def catalogue(self) -> TableCatalogue:
        """What is known of the pictures. Raises ArtifactError if it is not about these rows."""
        with telling_damage(self.files.broken):
            catalogue = TableCatalogue.read(self.files.local(METADATA), self.files.local(SIZES))
        if len(catalogue) != self.manifest.rows:
            raise self.files.broken(
                f"it has {len(catalogue):,} rows instead of {self.manifest.rows:,}"
            )
        if ids_sha256(catalogue.table.column("id")) != self.manifest.ids_sha256:
            raise self.files.broken(f"the rows of {METADATA} are not those that were built")
        return catalogue

    @cached_property
    def index(self) -> FaissIndex:
        """The index as built. Raises ArtifactError if it does not belong to these rows."""
        with telling_damage(self.files.broken):
            index = FaissIndex.read(self.files.local(INDEX), self.catalogue.columns)
        if (len(index), index.dim) != (self.manifest.rows, self.manifest.encoder.dim):
            raise self.files.broken(
                f"its index holds {len(index):,} vectors of {index.dim} numbers instead of "
                f"{self.manifest.rows:,} of {self.manifest.encoder.dim}"
            )
        return index

    def encoder(self) -> OnnxEncoder:
        """The encoder for questions. Raises ArtifactError if it cannot be loaded."""
        with telling_damage(self.files.broken):
            return OnnxEncoder(self.path / ENCODER)

    def picture(self, row: int, id: str | None = None) -> bytes:
        """The picture of a row, as a file in a format that a browser shows.

        `id` is that of the row, where another catalogue than its own says so.

        Raises HubError if it lies on the Hub and cannot be fetched now.
        """
        image: dict[str, bytes] = self._cell(data_file, row, id, "image")
        return image["bytes"]

    def thumbnail(self, row: int, id: str | None = None) -> bytes:
        """The small picture of a row: WebP, at most 256 pixels a side; `id` as of `picture`.

        Raises HubError if it lies on the Hub and cannot be fetched now.
        """
        thumbnail: bytes = self._cell(thumbnail_file, row, id, "thumbnail")
        return thumbnail

    def expect(self, rows: Sequence[int]) -> None:
        """Learn that the thumbnails of these rows are shown together: asked for one, the others
        are fetched as well."""
        self.files.expect([self._group(thumbnail_file, row, "thumbnail")[0] for row in rows])

    def fill(self, rows: Iterable[int] = ()) -> None:
        """Fetch all thumbnails in the background, first those of some rows; see `close`."""
        shown = (self._group(thumbnail_file, row, "thumbnail")[0].file for row in rows)
        count = len(self.manifest.parts)
        ordered = dict.fromkeys([*shown, *(thumbnail_file(part, count) for part in range(count))])
        self.files.fill(list(ordered))

    def close(self) -> None:
        """Stop what goes on in the background."""
        self.files.close()

    def vectors(self, start: int = 0, count: int | None = None) -> Vectors:
        """The embeddings of `count` rows from `start` on, (n, dim) float32; read from the parts."""
        stop = len(self) if count is None else start + count
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop)
        parts = self.parts(data_file, ["embeddings"], range(first, last))
        chunks = [chunk for part in parts for chunk in part.column("embeddings").chunks]
        flat = pa.concat_arrays([chunk.flatten() for chunk in chunks])
        vectors: Vectors = flat.to_numpy(zero_copy_only=False).reshape(
            -1, self.manifest.encoder.dim
        )
        return vectors[start - self._starts[first] :][: stop - start]

    def _cell(self, file: Callable[[int, int], str], row: int, id: str | None, column: str) -> Any:
        group, place = self._group(file, row, column)
        with telling_damage(self.files.broken):
            rows = self.files.rows(group)
            found, cell = (rows.column(name)[place].as_py() for name in ("id", column))
        if found != (self.catalogue.known([row])[0].id if id is None else id):
            raise self.files.reordered(group.file)
        return cell

    def _group(self, file: Callable[[int, int], str], row: int, column: str) -> tuple[Group, int]:
        """The row group that a row is in, and its place there."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        part = bisect_right(self._starts, row) - 1
        number, place = divmod(row - self._starts[part], ROW_GROUP)
        return Group(file(part, len(self.manifest.parts)), number, column), place

    def check_current(self) -> None:
        """Raise ArtifactError if the folder holds another build than when it was opened.

        One of the Hub is opened at a commit, which never changes: the Hub is not asked.
        """
        self.files.check_current(self.version)

    def parts(
        self, file: Callable[[int, int], str], columns: list[str], which: range | None = None
    ) -> Iterator[pa.Table]:
        """Columns of every part, or of some, in order."""
        count = len(self.manifest.parts)
        for part in range(count) if which is None else which:
            path = self.files.local(file(part, count))
            yield pq.read_table(path, columns=columns, memory_map=True)
