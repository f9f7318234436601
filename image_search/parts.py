"""Parts of a build: some pictures, decoded, encoded and stored.

A finished part is a folder named after everything that went into it: another model, another size
or a changed file is another name. So a stopped build goes on with the parts that are there, and
nothing is mixed.
"""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value
from PIL import Image as PILImage

from image_search import images
from image_search.collection import Entry, FolderCollection, Reject
from image_search.encoder import Encoder, Vectors
from image_search.errors import PictureError
from image_search.fields import arrow_schema
from image_search.manifest import FORMAT_VERSION, ROW_GROUP
from image_search.progress import Progress, Stopwatch

SIZE = 500
"""Pictures of a part: what is done again, at most, when a build was killed."""

CHUNK = 64
"""Pictures that are decoded and encoded at once, a multiple of ROW_GROUP: what is in memory."""

ENCODED_SIDE = 1024
"""Longest side, in pixels, of what the encoder is given: it sees less, and memory stays flat."""

UNREADABLE = "cannot be read"
"""How the reason begins where it may be another at the next try."""

THUMBNAILS = pa.schema(
    {"id": pa.string(), "thumbnail": pa.binary(), "width": pa.int32(), "height": pa.int32()}
)
"""The columns of thumbnails/; width and height, in pixels, are those of the stored picture."""


@dataclass(frozen=True)
class Job:
    """What a build is made of: the same job makes the same parts."""

    collection: FolderCollection
    encoder: Encoder
    max_side: int
    """The longest side of a stored picture, in pixels."""
    max_pixels: int
    """The largest picture that is decoded, width times height."""

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of data/: what `datasets` reads as pictures, metadata and embeddings."""
        entries = self.collection.entries
        metadata = arrow_schema(self.collection.fields, [entry.metadata for entry in entries])
        features = Features(
            {
                "id": Value("string"),
                "image": Image(),
                **Features.from_arrow_schema(metadata),
                "embeddings": List(Value("float32"), length=self.encoder.dim),
            }
        )
        return features.arrow_schema

    def key(self, entries: list[Entry]) -> str:
        """A name for a part that changes with anything that would change its contents."""
        listed = [(entry.id, *_state_of(entry.path), entry.metadata) for entry in entries]
        made_by = (
            *(FORMAT_VERSION, self.encoder.name, self.encoder.revision, self.encoder.precision),
            *(self.max_side, self.max_pixels, str(self.schema)),
        )
        return hashlib.sha256(json.dumps([made_by, listed]).encode()).hexdigest()[:32]

    def prepare(self, entry: Entry) -> "Prepared | Reject":
        """Read, decode and shrink one picture, or say why not."""
        try:
            data = self.collection.read(entry)
            image = images.decode(data, max_pixels=self.max_pixels, max_side=self.max_side)
            stored = images.stored(data, image, self.max_side)
            small = images.thumbnail(image)
            return Prepared(entry, images.fit(image, ENCODED_SIDE), stored, image.size, small)
        except PictureError as error:
            return Reject(entry.id, str(error))
        except (OSError, ValueError, MemoryError) as error:
            # What Pillow raises of a picture that it can decode but not encode; no file is
            # written here, so it is never the disk.
            return Reject(entry.id, f"cannot be stored: {error}")


@dataclass(frozen=True)
class Prepared:
    """One picture, ready to be encoded and stored."""

    entry: Entry
    image: PILImage.Image
    stored: bytes
    size: tuple[int, int]
    """Width and height of what is stored, in pixels."""
    thumbnail: bytes


def write_parts(job: Job, folder: Path, progress: Progress, watch: Stopwatch) -> list[Path]:
    """Make the parts of a job in `folder`, but for those that are there; give all, in order."""
    parts = []
    for start in range(0, len(job.collection), SIZE):
        entries = job.collection.entries[start : start + SIZE]
        part = folder / job.key(entries)
        if _is_done(part):
            progress.update(len(entries))
        else:
            _write_part(job, entries, part, progress, watch)
        parts.append(part)
    return parts


def try_pictures(job: Job, count: int) -> list[PILImage.Image]:
    """Up to `count` pictures, spread over the collection, to try an encoder on before the work."""
    step = -(-len(job.collection) // count)
    outcomes = [job.prepare(entry) for entry in job.collection.entries[::step]]
    return [outcome.image for outcome in outcomes if isinstance(outcome, Prepared)]


def read_rejects(part: Path) -> list[Reject]:
    """The pictures of a part that cannot be used."""
    return [Reject(id, reason) for id, reason in json.loads((part / "rejects.json").read_text())]


def read_vectors(parts: list[Path], dim: int) -> Vectors:
    """The embeddings of all parts, (n, dim)."""
    columns = [pq.read_table(p / "data.parquet", columns=["embeddings"]) for p in parts]
    chunks = [chunk for column in columns for chunk in column.column("embeddings").chunks]
    return np.concatenate([c.flatten().to_numpy().reshape(-1, dim) for c in chunks])


def _is_done(part: Path) -> bool:
    """Whether a part is there, whole, and nothing in it may turn out otherwise now."""
    try:
        rejects = read_rejects(part)
        if (part / "data.parquet").exists():
            for name in ("data.parquet", "thumbnails.parquet"):
                pq.read_metadata(part / name)
    except (OSError, ValueError):  # not there, or torn when the power failed
        return False
    return not any(reject.reason.startswith(UNREADABLE) for reject in rejects)


def _write_part(
    job: Job, entries: list[Entry], part: Path, progress: Progress, watch: Stopwatch
) -> None:
    half = part.with_name(f"{part.name}.tmp")
    for leftover in (half, part):
        shutil.rmtree(leftover, ignore_errors=True)
    half.mkdir(parents=True)
    rejects: list[Reject] = []
    data = _RowGroups(half / "data.parquet", job.schema)
    thumbnails = _RowGroups(half / "thumbnails.parquet", THUMBNAILS)
    with ThreadPoolExecutor(os.cpu_count()) as pool, data, thumbnails:
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            with watch.stage("decode"):
                outcomes = list(pool.map(job.prepare, chunk))
            rejects += [o for o in outcomes if isinstance(o, Reject)]
            prepared = [o for o in outcomes if isinstance(o, Prepared)]
            with watch.stage("encode"):
                vectors = job.encoder.encode_images([p.image for p in prepared])
            with watch.stage("write"):
                for p, vector in zip(prepared, vectors, strict=True):
                    image = {"bytes": p.stored, "path": None}
                    metadata = p.entry.metadata
                    data.add({"id": p.entry.id, "image": image, **metadata, "embeddings": vector})
                    width, height = p.size
                    thumbnails.add(
                        {
                            "id": p.entry.id,
                            "thumbnail": p.thumbnail,
                            "width": width,
                            "height": height,
                        }
                    )
            progress.update(len(chunk))
    (half / "rejects.json").write_text(json.dumps([[r.id, r.reason] for r in rejects]))
    for path in half.iterdir():
        to_disk(path)
    half.replace(part)
    to_disk(part.parent)


class _RowGroups:
    """A parquet file written ROW_GROUP rows at a time; no file if there is no row."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == ROW_GROUP:
            self._write()

    def _write(self) -> None:
        if self._writer is None:
            # No dictionaries: every id, picture and vector is its own, they would only cost time.
            self._writer = pq.ParquetWriter(self._path, self._schema, use_dictionary=False)
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def __exit__(self, *_: object) -> None:
        if self._rows:
            self._write()
        if self._writer is not None:
            self._writer.close()


def to_disk(path: Path) -> None:
    """Have a file or folder written for good, so that a rename after it means that it is whole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _state_of(path: Path) -> tuple[int, int]:
    """Size and time of change of a file; of one that has vanished meanwhile, neither."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
