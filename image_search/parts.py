"""Parts of a build: some pictures, decoded, encoded and stored.

A finished part is a folder named after everything that went into it: another model, another size
or a changed file is another name. So a stopped build goes on with the parts that are there, and
nothing is mixed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value
from PIL import Image as PILImage

from image_search import artifact as layout
from image_search import images
from image_search.collection import Entry, FolderCollection, Reject
from image_search.encoder import Encoder, Vectors
from image_search.errors import PictureError
from image_search.fields import arrow_schema
from image_search.progress import Progress, Stopwatch

SIZE = 500
"""Pictures of a part: what is done again, at most, when a build was killed."""

CHUNK = 64
"""Pictures that are decoded at once: what keeps the memory flat."""

THUMBNAILS = pa.schema({"id": pa.string(), "thumbnail": pa.binary()})


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
            *(layout.FORMAT_VERSION, self.encoder.name, self.encoder.revision),
            *(self.max_side, self.max_pixels, str(self.schema)),
        )
        return hashlib.sha256(json.dumps([made_by, listed]).encode()).hexdigest()[:32]

    def prepare(self, entry: Entry) -> "Prepared | Reject":
        """Read, decode and shrink one picture, or say why not."""
        try:
            data = self.collection.read(entry)
            image = images.decode(data, max_pixels=self.max_pixels, max_side=self.max_side)
            stored = images.stored(data, image, self.max_side)
            return Prepared(entry, image, stored, images.thumbnail(image))
        except PictureError as error:
            return Reject(entry.id, str(error))


@dataclass(frozen=True)
class Prepared:
    """One picture, ready to be encoded and stored."""

    entry: Entry
    image: PILImage.Image
    stored: bytes
    thumbnail: bytes


def write_parts(job: Job, folder: Path, progress: Progress, watch: Stopwatch) -> list[Path]:
    """Make the parts of a job in `folder`, but for those that are there; give all, in order."""
    parts = []
    for start in range(0, len(job.collection), SIZE):
        entries = job.collection.entries[start : start + SIZE]
        part = folder / job.key(entries)
        if part.is_dir():
            progress.update(len(entries))
        else:
            _write_part(job, entries, part, progress, watch)
        parts.append(part)
    return parts


def read_rejects(part: Path) -> list[Reject]:
    """The pictures of a part that cannot be used."""
    return [Reject(id, reason) for id, reason in json.loads((part / "rejects.json").read_text())]


def read_vectors(parts: list[Path], dim: int) -> Vectors:
    """The embeddings of all parts, (n, dim)."""
    columns = [pq.read_table(p / "data.parquet", columns=["embeddings"]) for p in parts]
    chunks = [chunk for column in columns for chunk in column.column("embeddings").chunks]
    return np.concatenate([c.flatten().to_numpy().reshape(-1, dim) for c in chunks])


def sample(parts: list[Path], count: int) -> Iterator[bytes]:
    """`count` pictures, or all there are, spread over parts and row groups."""
    chosen = parts[:: -(-len(parts) // count)]
    each = -(-count // len(chosen))
    for part in chosen:
        with pq.ParquetFile(part / "data.parquet") as parquet:
            groups = range(0, parquet.num_row_groups, -(-parquet.num_row_groups // each))
            rows = -(-each // len(groups))
            for group in groups:
                column = parquet.read_row_group(group, columns=["image"]).column("image")
                yield from (image["bytes"] for image in column.slice(0, rows).to_pylist())


def _write_part(
    job: Job, entries: list[Entry], part: Path, progress: Progress, watch: Stopwatch
) -> None:
    rows: list[dict[str, Any]] = []
    thumbnails: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            with watch.stage("decode"):
                outcomes = list(pool.map(job.prepare, chunk))
            rejects += [o for o in outcomes if isinstance(o, Reject)]
            prepared = [o for o in outcomes if isinstance(o, Prepared)]
            with watch.stage("encode"):
                vectors = job.encoder.encode_images([p.image for p in prepared])
            for p, vector in zip(prepared, vectors, strict=True):
                image = {"bytes": p.stored, "path": None}
                rows.append(
                    {"id": p.entry.id, "image": image, **p.entry.metadata, "embeddings": vector}
                )
                thumbnails.append({"id": p.entry.id, "thumbnail": p.thumbnail})
            progress.update(len(chunk))
    with watch.stage("write"):
        half = part.with_name(f"{part.name}.tmp")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        if rows:
            _write_parquet(half / "data.parquet", rows, job.schema)
            _write_parquet(half / "thumbnails.parquet", thumbnails, THUMBNAILS)
        (half / "rejects.json").write_text(json.dumps([[r.id, r.reason] for r in rejects]))
        half.replace(part)


def _write_parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    # No dictionaries: every id, picture and vector is its own, they would only cost time.
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema),
        path,
        row_group_size=layout.ROW_GROUP,
        use_dictionary=False,
    )


def _state_of(path: Path) -> tuple[int, int]:
    """Size and time of change of a file; of one that has vanished meanwhile, neither."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
