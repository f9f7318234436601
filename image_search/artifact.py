"""A built collection on disk, opened: metadata in memory, pictures read one by one.

An artifact is a folder that is never changed after it was written.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_search.catalogue import Catalogue
from image_search.encoder import OnnxEncoder, Vectors
from image_search.errors import ArtifactError
from image_search.index import FaissIndex
from image_search.manifest import (
    ENCODER,
    INDEX,
    MANIFEST_HASH,
    METADATA,
    ROW_GROUP,
    SIZES,
    Manifest,
    broken,
    ids_sha256,
    mended_by_building,
    read_manifest,
)


def data_file(part: int, parts: int) -> str:
    """Where the pictures of a part lie."""
    return f"data/train-{part:05d}-of-{parts:05d}.parquet"


def thumbnail_file(part: int, parts: int) -> str:
    """Where the small pictures of a part lie."""
    return f"thumbnails/train-{part:05d}-of-{parts:05d}.parquet"


class Artifact:
    """An opened artifact: manifest, metadata, and pictures read one by one."""

    def __init__(self, path: Path, manifest: Manifest, version: str) -> None:
        self.path = path
        self.manifest = manifest
        self.version = version
        """sha256 of manifest.json, 64 hexadecimal digits."""
        self.short_version = version[:12]
        """Enough of it for an address."""
        self.catalogue = Catalogue.read(path / METADATA, path / SIZES)

    @classmethod
    def open(cls, path: Path) -> "Artifact":
        """Open a folder that build_index.py wrote.

        Checks what takes no time: the manifest, every file's size, the number and order of rows.
        `verify` reads every byte. Raises ArtifactError with what to do about it.
        """
        manifest, version = read_manifest(path)
        for name, info in manifest.files.items():
            try:
                size = (path / name).stat().st_size
            except OSError:
                raise broken(path, f"{name} is missing") from None
            if size != info.bytes:
                raise broken(path, f"{name} has {size:,} bytes instead of {info.bytes:,}")
        with mended_by_building(path):
            artifact = cls(path, manifest, version)
        ids = artifact.catalogue.ids
        if not len(ids) == sum(manifest.parts) == manifest.rows:
            raise broken(path, f"it has {len(ids):,} rows instead of {manifest.rows:,}")
        if ids_sha256(ids) != manifest.ids_sha256:
            raise broken(path, f"the rows of {METADATA} are not those that were built")
        return artifact

    def __len__(self) -> int:
        return self.manifest.rows

    @cached_property
    def index(self) -> FaissIndex:
        """The index as built. Raises ArtifactError if it does not belong to these rows."""
        with mended_by_building(self.path):
            index = FaissIndex.read(self.path / INDEX)
        if (len(index), index.dim) != (self.manifest.rows, self.manifest.encoder.dim):
            raise broken(
                self.path,
                f"its index holds {len(index):,} vectors of {index.dim} numbers instead of "
                f"{self.manifest.rows:,} of {self.manifest.encoder.dim}",
            )
        return index

    def encoder(self) -> OnnxEncoder:
        """The encoder for questions. Raises ArtifactError if it cannot be loaded."""
        with mended_by_building(self.path):
            return OnnxEncoder(self.path / ENCODER)

    def picture(self, row: int) -> bytes:
        """The picture of a row, as a file in a format that a browser shows."""
        image: dict[str, bytes] = self._cell(data_file, row, "image")
        return image["bytes"]

    def thumbnail(self, row: int) -> bytes:
        """The small picture of a row: WebP, at most 256 pixels a side."""
        thumbnail: bytes = self._cell(thumbnail_file, row, "thumbnail")
        return thumbnail

    def vectors(self) -> Vectors:
        """All embeddings, (n, dim) float32, in the order of the rows; read from the parts."""
        parts = [table.column("embeddings") for table in self.parts(data_file, ["embeddings"])]
        flat = pa.concat_arrays([chunk.flatten() for part in parts for chunk in part.chunks])
        vectors: Vectors = flat.to_numpy(zero_copy_only=False).reshape(len(self), -1)
        return vectors

    def _cell(self, file: Callable[[int, int], str], row: int, column: str) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        part, offset = 0, row
        while offset >= self.manifest.parts[part]:
            offset -= self.manifest.parts[part]
            part += 1
        path = self.path / file(part, len(self.manifest.parts))
        group, place = divmod(offset, ROW_GROUP)
        with mended_by_building(self.path), pq.ParquetFile(path, memory_map=True) as parquet:
            rows = parquet.read_row_group(group, columns=["id", column], use_threads=False)
            id, cell = (rows.column(name)[place].as_py() for name in ("id", column))
        if id != self.catalogue.ids[row]:
            raise self._rebuilt()
        return cell

    def check_current(self) -> None:
        """Raise ArtifactError if the folder holds another build than when it was opened."""
        with mended_by_building(self.path):
            told = (self.path / MANIFEST_HASH).read_text(encoding="ascii")
        if not told.startswith(self.version):
            raise self._rebuilt()

    def _rebuilt(self) -> ArtifactError:
        return ArtifactError(
            f"The collection {self.path} was built again since it was opened. "
            "Start this program again."
        )

    def parts(self, file: Callable[[int, int], str], columns: list[str]) -> Iterator[pa.Table]:
        """Columns of every part, in order."""
        count = len(self.manifest.parts)
        for part in range(count):
            yield pq.read_table(self.path / file(part, count), columns=columns, memory_map=True)
