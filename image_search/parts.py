"""Parts of a build: about a thousand pictures each, decoded, encoded and stored.

A finished part is a folder named after everything that went into it: another model, another size
or a changed file is another name. So a stopped build goes on with the parts that are there, and
nothing is mixed.

Where one part ends and the next begins is decided by the ids themselves, not by counting: a
picture that is added or removed changes the part it lies in and leaves the others as they are.
"""

import hashlib
import json
import shutil
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value
from numpy.typing import NDArray

from image_search.collection import Collection, Reject
from image_search.encoder import Preprocessing, Vectors
from image_search.manifest import FORMAT_VERSION, ROW_GROUP, file_info
from image_search.prepare import VERSION, Resizer
from image_search.to_disk import to_disk

SIZE = 1000
"""Pictures of a part, about; of a build that is killed so many are done again, twice as many at
most."""

UNREADABLE = ("cannot be read", "not downloaded: address not allowed")
"""How the reason begins where it may be another at the next try, or with another option."""

DATA = "data.parquet"
THUMBNAILS = "thumbnails.parquet"
TOLD = "part.json"

SMALL = pa.schema(
    {
        "id": pa.string(),
        "thumbnail": pa.binary(),
        "width": pa.int32(),
        "height": pa.int32(),
        "state": pa.string(),
    }
)
"""The columns of thumbnails/: width and height, in pixels, are those of the stored picture; state
is what the next build compares, to keep the picture if its file has not changed."""


@dataclass(frozen=True)
class Recipe:
    """What makes a picture into a row: with another recipe nothing of an earlier build is kept."""

    model: str
    revision: str
    precision: str
    """In what numbers the model computes."""
    dim: int
    preprocessing: Preprocessing
    resizer: Resizer
    max_side: int
    """The longest side of a stored picture, in pixels."""
    max_pixels: int
    """The largest picture that is decoded, width times height."""

    @cached_property
    def key(self) -> str:
        """A name for the recipe, of 16 hexadecimal digits."""
        told = {**vars(self), "preprocessing": self.preprocessing.model_dump()}
        told.pop("key", None)
        text = json.dumps([FORMAT_VERSION, VERSION, told], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Job:
    """What a build is made of: the same job makes the same parts."""

    collection: Collection
    recipe: Recipe

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of data/: what `datasets` reads as pictures, metadata and embeddings."""
        features = Features(
            {
                "id": Value("string"),
                "image": Image(),
                **Features.from_arrow_schema(self.collection.metadata.schema),
                "embeddings": List(Value("float32"), length=self.recipe.dim),
            }
        )
        return features.arrow_schema

    @cached_property
    def states(self) -> list[str]:
        """The state of every entry, in a form that gives nothing away of an address."""
        given = self.collection.vectors
        return [
            hashlib.blake2b(
                entry.state.encode("utf-8", "surrogatepass")
                + (b"" if given is None else given[n].tobytes()),
                digest_size=8,
            ).hexdigest()
            for n, entry in enumerate(self.collection.entries)
        ]

    def slices(self) -> list["Slice"]:
        """The entries of each part, in order."""
        return [
            Slice(start, stop, self._key(start, stop))
            for start, stop in cut([entry.id for entry in self.collection.entries])
        ]

    def _key(self, start: int, stop: int) -> str:
        """A name for a part that changes with anything that would change its contents."""
        metadata = self.collection.metadata.slice(start, stop - start).to_pylist()
        ids = [entry.id for entry in self.collection.entries[start:stop]]
        listed = [self.recipe.key, str(self.schema), ids, self.states[start:stop], metadata]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Slice:
    """The entries of one part: from `start` to before `stop`."""

    start: int
    stop: int
    key: str


def cut(ids: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where parts begin and end: after an id whose checksum says so, at SIZE on average."""
    least, most, start = SIZE // 4, 2 * SIZE, 0
    for position, id in enumerate(ids, start=1):
        ends = zlib.crc32(id.encode()) % SIZE == 0 and position - start > least
        if ends or position - start == most or position == len(ids):
            yield start, position
            start = position


@dataclass(frozen=True, slots=True)
class Row:
    """What is stored of one picture."""

    index: int
    """Which entry of the collection it is."""
    stored: bytes
    thumbnail: bytes
    width: int
    height: int
    vector: NDArray[Any]


class PartWriter:
    """Writes one part; `finish` makes it one."""

    def __init__(self, job: Job, slice: Slice, folder: Path) -> None:
        self._job = job
        self._part = folder / slice.key
        # A name of its own: a machine that was given up may be at the same part still.
        self._half = folder / f"{slice.key}.{uuid.uuid4().hex[:8]}.tmp"
        self._stopped = folder / f"{slice.key}.stopped"
        self._half.mkdir(parents=True)
        self._rows: list[Row] = []
        self._count = 0
        self._writers: tuple[pq.ParquetWriter, pq.ParquetWriter] | None = None
        self.rejects: list[Reject] = []

    def add(self, row: Row) -> None:
        """The next row; ROW_GROUP of them are written at a time."""
        self._rows.append(row)
        if len(self._rows) == ROW_GROUP:
            self._write()

    def _write(self) -> None:
        if self._writers is None:
            self._writers = (self._file(DATA, self._job.schema), self._file(THUMBNAILS, SMALL))
        rows, self._rows = self._rows, []
        data, thumbnails = self._writers
        data.write_table(self._data(rows))
        thumbnails.write_table(self._thumbnails(rows))
        self._count += len(rows)

    def _file(self, name: str, schema: pa.Schema) -> pq.ParquetWriter:
        # Neither compression nor dictionaries: pictures and vectors are incompressible, and every
        # one is its own; it would only cost time. Nor statistics: they would put the smallest and
        # the largest picture of every group into the footer, which is fetched first from the Hub.
        return pq.ParquetWriter(
            self._half / name,
            schema,
            use_dictionary=False,
            compression="none",
            write_statistics=False,
        )

    def _data(self, rows: list[Row]) -> pa.Table:
        places = [row.index for row in rows]
        ids = [self._job.collection.entries[place].id for place in places]
        pictures = pa.StructArray.from_arrays(
            [pa.array([row.stored for row in rows], pa.binary()), pa.nulls(len(rows), pa.string())],
            ["bytes", "path"],
        )
        numbers = np.concatenate([row.vector for row in rows])
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers), self._job.recipe.dim)
        metadata = self._job.collection.metadata.take(pa.array(places, pa.int64()))
        columns = [pa.array(ids), pictures, *metadata.columns, vectors]
        return pa.Table.from_arrays(columns, schema=self._job.schema)

    def _thumbnails(self, rows: list[Row]) -> pa.Table:
        return pa.table(
            {
                "id": [self._job.collection.entries[row.index].id for row in rows],
                "thumbnail": [row.thumbnail for row in rows],
                "width": [row.width for row in rows],
                "height": [row.height for row in rows],
                "state": [self._job.states[row.index] for row in rows],
            },
            schema=SMALL,
        )

    def finish(self) -> None:
        """Put the part into its place: whole, and on the disk."""
        self.close()
        rejects = {reject.id: reject.reason for reject in self.rejects}
        hashes = {p.name: file_info(p).sha256 for p in sorted(self._half.iterdir())}
        write_told(self._half, Told(self._job.recipe.key, self._count, rejects, hashes))
        to_disk(self._half)
        try:
            self._put()
        except OSError:
            if read_told(self._part) is None:
                raise
            shutil.rmtree(self._half)  # another machine was faster: it made the same
        shutil.rmtree(self._stopped, ignore_errors=True)

    def _put(self) -> None:
        aside = self._part.with_name(f"{self._part.name}.old")
        if self._part.exists():  # rows of it were kept until now, and still are if this is killed
            shutil.rmtree(aside, ignore_errors=True)
            self._part.replace(aside)
        self._half.replace(self._part)
        to_disk(self._part.parent)
        shutil.rmtree(aside, ignore_errors=True)

    def stop(self) -> None:
        """Let go of the files of a part that will not be finished; keep its rows if they can be."""
        with suppress(OSError, pa.ArrowException):  # such as the one for which it is stopped
            self.close()
            # Stopped between the two files, the pictures are some more than the thumbnails.
            if rows := pq.read_metadata(self._half / THUMBNAILS).num_rows:
                self._keep(rows)

    def _keep(self, rows: int) -> None:
        """Give the rows that are there to the next build, which looks for rows in every part."""
        before = read_told(self._stopped)
        if before is None or before.rows <= rows:
            hashes = {p.name: file_info(p).sha256 for p in sorted(self._half.iterdir())}
            write_told(self._half, Told(self._job.recipe.key, rows, {}, hashes))
            shutil.rmtree(self._stopped, ignore_errors=True)
            self._half.replace(self._stopped)

    def close(self) -> None:
        """Write what is left of the rows."""
        if self._rows:
            self._write()
        writers, self._writers = self._writers or (), None
        for writer in writers:
            writer.close()


def clear_half(folder: Path) -> None:
    """Remove what a kill left of parts that were being made; nobody goes on with it."""
    for path in folder.glob("*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Told:
    """What a finished part says of itself."""

    recipe: str
    rows: int
    rejects: Mapping[str, str]
    """Id → reason."""
    sha256: Mapping[str, str]
    """File → hash; there is no file if there is no row."""


def write_told(part: Path, told: Told) -> None:
    """The last file of a part."""
    (part / TOLD).write_text(json.dumps(vars(told)), encoding="utf-8")
    for path in part.iterdir():
        to_disk(path)


def read_told(part: Path) -> Told | None:
    """What a finished part says of itself; None if it is none."""
    try:
        return Told(**json.loads((part / TOLD).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def read_vectors(parts: Sequence[Path], dim: int) -> Iterator[Vectors]:
    """The embeddings of each part, (n, dim)."""
    for part in parts:
        column = pq.read_table(part / DATA, columns=["embeddings"]).column("embeddings")
        for chunk in column.chunks:
            yield chunk.flatten().to_numpy().reshape(-1, dim)
