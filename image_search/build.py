"""Pictures and an encoder → an artifact. Knows neither the command line nor the Hub.

Work is cut into parts of PART pictures. A finished part is a folder named after everything that
went into it, so the same command goes on where it was stopped and nothing is mixed: another
model, another size or a changed file is another name. The artifact appears at its place only
when it is whole.
"""

import csv
import hashlib
import json
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value
from filelock import FileLock, Timeout
from PIL import Image as PILImage

import image_search
from image_search import artifact as layout
from image_search import images, probes
from image_search.artifact import CollectionInfo, Manifest
from image_search.card import card
from image_search.collection import Entry, FolderCollection, Reject
from image_search.encoder import Encoder, OnnxEncoder, Vectors
from image_search.errors import ArtifactError, CollectionError, PictureError
from image_search.export import Agreement, write_encoder
from image_search.fields import arrow_schema
from image_search.index import KIND, METRIC, ExactIndex, FaissIndex

PART = 1000
"""Pictures of a part: what is done again, at most, when a build was killed."""

CHUNK = 64
"""Pictures that are decoded at once: what keeps the memory flat."""

SAMPLE = 32
"""Pictures on which the artifact's encoder is compared with the original."""


class Progress(Protocol):
    """What a build tells while it works; tqdm is one."""

    def update(self, n: int) -> Any: ...


class Quiet:
    """No progress."""

    def update(self, n: int) -> None:
        pass


@dataclass
class Summary:
    """What a build did."""

    rows: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    """Reason → pictures left out."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → wall-clock seconds."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Part of the artifact → bytes."""
    version: str = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def build(
    collection: FolderCollection,
    encoder: Encoder,
    out: Path,
    info: CollectionInfo | None = None,
    max_side: int = 1024,
    max_pixels: int = images.MAX_PIXELS,
    options: dict[str, str | int | None] | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Write the artifact of a collection to the folder `out`, whole or not at all.

    `max_side` is the longest side of a stored picture, in pixels; `options` is recorded as it is.
    `progress` is told how many pictures were dealt with. Stopped at any moment, the same call
    goes on where it was. Raises CollectionError if no picture can be used, ArtifactError if `out`
    holds something else.
    """
    check_target(out)
    info = info or CollectionInfo(name=collection.name)
    progress = progress or Quiet()
    work = out.with_name(f"{out.name}.partial")
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", blocking=False):
            return _build(
                collection, encoder, out, work, info, max_side, max_pixels, options or {}, progress
            )
    except Timeout:
        raise ArtifactError(
            f"{out} is being built by another process. Wait for it, or stop it first."
        ) from None


def _build(
    collection: FolderCollection,
    encoder: Encoder,
    out: Path,
    work: Path,
    info: CollectionInfo,
    max_side: int,
    max_pixels: int,
    options: dict[str, str | int | None],
    progress: Progress,
) -> Summary:
    summary = Summary()
    schema = _schema(collection, encoder.dim)
    parts: list[Path] = []
    for start in range(0, len(collection.entries), PART):
        entries = collection.entries[start : start + PART]
        part = work / "parts" / _part_key(entries, encoder, schema, max_side)
        parts.append(part)
        if part.is_dir():
            progress.update(len(entries))
        else:
            _write_part(
                part, entries, collection, encoder, schema, max_side, max_pixels, progress, summary
            )
    rejects = sorted(
        [*collection.rejects, *(r for part in parts for r in _read_rejects(part))],
        key=lambda reject: reject.id,
    )
    parts = [part for part in parts if (part / "data.parquet").exists()]
    if not parts:
        first = f" The first: {rejects[0].id}: {rejects[0].reason}." if rejects else ""
        raise CollectionError(
            f"None of the {len(rejects):,} files can be used as a picture.{first}"
        )
    done = work / "artifact"
    _assemble(done, parts, rejects, collection, encoder, info, max_side, options, summary)
    _put_in_place(done, out, work)
    return summary


def check_target(out: Path) -> None:
    """Raise ArtifactError if `out` holds something else than a built collection."""
    if not out.exists() or (out / layout.MANIFEST).is_file():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise ArtifactError(
            f"{out} exists and is not a built collection; nothing was written over. "
            "Name a new folder with --out, or empty this one first."
        )


def _schema(collection: FolderCollection, dim: int) -> pa.Schema:
    """The columns of data/: what `datasets` reads as pictures, metadata and embeddings."""
    metadata = arrow_schema(collection.fields, [entry.metadata for entry in collection.entries])
    features = Features(
        {
            "id": Value("string"),
            "image": Image(),
            **Features.from_arrow_schema(metadata),
            "embeddings": List(Value("float32"), length=dim),
        }
    )
    return features.arrow_schema


def _part_key(entries: list[Entry], encoder: Encoder, schema: pa.Schema, max_side: int) -> str:
    """A name for a part that changes with anything that would change its contents."""
    listed = [(entry.id, *_state_of(entry.path), entry.metadata) for entry in entries]
    made_by = (layout.FORMAT_VERSION, encoder.name, encoder.revision, max_side, str(schema))
    return hashlib.sha256(json.dumps([made_by, listed], default=str).encode()).hexdigest()[:32]


def _state_of(path: Path) -> tuple[int, int]:
    """Size and time of change of a file; of one that has vanished meanwhile, neither."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True)
class _Prepared:
    """One picture, ready to be encoded and stored."""

    entry: Entry
    image: PILImage.Image
    stored: bytes
    thumbnail: bytes


def _write_part(
    part: Path,
    entries: list[Entry],
    collection: FolderCollection,
    encoder: Encoder,
    schema: pa.Schema,
    max_side: int,
    max_pixels: int,
    progress: Progress,
    summary: Summary,
) -> None:
    def prepare(entry: Entry) -> _Prepared | Reject:
        try:
            data = collection.read(entry)
            image = images.decode(data, max_pixels=max_pixels, max_side=max_side)
            return _Prepared(
                entry, image, images.stored(data, image, max_side), images.thumbnail(image)
            )
        except PictureError as error:
            return Reject(entry.id, str(error))

    rows: list[dict[str, Any]] = []
    thumbnails: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            with summary.stage("decode"):
                outcomes = list(pool.map(prepare, chunk))
            rejects += [o for o in outcomes if isinstance(o, Reject)]
            prepared = [o for o in outcomes if isinstance(o, _Prepared)]
            with summary.stage("encode"):
                vectors = encoder.encode_images([p.image for p in prepared])
            for p, vector in zip(prepared, vectors, strict=True):
                image = {"bytes": p.stored, "path": None}
                rows.append(
                    {"id": p.entry.id, "image": image, **p.entry.metadata, "embeddings": vector}
                )
                thumbnails.append({"id": p.entry.id, "thumbnail": p.thumbnail})
            progress.update(len(chunk))
    with summary.stage("write"):
        half = part.with_name(f"{part.name}.tmp")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        if rows:
            _write_parquet(half / "data.parquet", rows, schema)
            _write_parquet(half / "thumbnails.parquet", thumbnails, _THUMBNAILS)
        (half / "rejects.json").write_text(json.dumps([[r.id, r.reason] for r in rejects]))
        half.replace(part)


_THUMBNAILS = pa.schema({"id": pa.string(), "thumbnail": pa.binary()})


def _write_parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    # No dictionaries: every id, picture and vector is its own, they would only cost time.
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema),
        path,
        row_group_size=layout.ROW_GROUP,
        use_dictionary=False,
    )


def _read_rejects(part: Path) -> list[Reject]:
    return [Reject(id, reason) for id, reason in json.loads((part / "rejects.json").read_text())]


def _assemble(
    done: Path,
    parts: list[Path],
    rejects: list[Reject],
    collection: FolderCollection,
    encoder: Encoder,
    info: CollectionInfo,
    max_side: int,
    options: dict[str, str | int | None],
    summary: Summary,
) -> None:
    """Make the whole artifact at `done` out of finished parts."""
    shutil.rmtree(done, ignore_errors=True)
    for folder, name in layout.PART_FILES.items():
        (done / folder).mkdir(parents=True)
        for number, part in enumerate(parts):
            _link(part / f"{folder}.parquet", done / name(number, len(parts)))
    with summary.stage("index"):
        counts = [pq.read_metadata(part / "data.parquet").num_rows for part in parts]
        vectors = _read_vectors(parts, encoder.dim)
        ids = _write_metadata(done, parts, collection)
        (done / layout.INDEX).parent.mkdir()
        index = FaissIndex.build(encoder.dim)
        index.add(vectors)
        index.write(done / layout.INDEX)
    with summary.stage("query encoder"):
        agreement = _write_query_encoder(done, parts, encoder, vectors)
    with summary.stage("measure"):
        query_encoder = OnnxEncoder(done / layout.ENCODER)
        recall = probes.measure_recall(index, ExactIndex(vectors), query_encoder, vectors)
        texts = query_encoder.encode_texts(probes.TEXTS)
        sampled = vectors[probes.picture_rows(len(vectors))]
    _write_rejects(done / layout.REJECTS, rejects)
    reasons = Counter(reason_group(reject.reason) for reject in rejects)
    manifest = Manifest(
        format_version=layout.FORMAT_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        collection=info,
        source=layout.Source(
            name=collection.name,
            files=len(collection.entries) + len(collection.rejects),
            options={**options, "max_side": max_side},
        ),
        rows=len(ids),
        parts=counts,
        rejects=dict(sorted(reasons.items())),
        ids_sha256=layout.ids_sha256(ids),
        encoder=layout.EncoderInfo(
            name=encoder.name,
            revision=encoder.revision,
            dim=encoder.dim,
            preprocessing=query_encoder.spec.image,
            agreement=agreement,
        ),
        index=layout.IndexInfo(
            kind=KIND,
            metric=METRIC,
            recall=layout.Recall(**recall, queries=len(probes.TEXTS)),
        ),
        fields=list(collection.fields),
        no_match=layout.NoMatch(
            threshold=probes.no_match_threshold(texts, sampled),
            percentile=probes.PERCENTILE,
            texts=len(texts),
            pictures=len(sampled),
        ),
        files={},
        versions=_versions(),
    )
    (done / layout.CARD).write_text(card(manifest, query_encoder.spec.notice), encoding="utf-8")
    with summary.stage("hash"):
        paths = sorted(p for p in done.rglob("*") if p.is_file())
        files = {p.relative_to(done).as_posix(): layout.file_info(p) for p in paths}
        layout.write_manifest(done, manifest.model_copy(update={"files": files}))
    summary.rows = len(ids)
    summary.rejects = reasons
    for path, file in files.items():
        top = path.partition("/")[0]
        summary.sizes[top] = summary.sizes.get(top, 0) + file.bytes
    summary.version = layout.Artifact.open(done).version


def reason_group(reason: str) -> str:
    """A reject's reason without its particulars, to count by: what stands before the colon."""
    return reason.partition(":")[0].partition(" (")[0]


def _read_vectors(parts: list[Path], dim: int) -> Vectors:
    vectors = [
        chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        for part in parts
        for chunk in pq.read_table(part / "data.parquet", columns=["embeddings"])
        .column("embeddings")
        .chunks
    ]
    return np.concatenate(vectors)


def _write_metadata(done: Path, parts: list[Path], collection: FolderCollection) -> list[str]:
    columns = ["id", *(f.name for f in collection.fields)]
    table = pa.concat_tables(pq.read_table(p / "data.parquet", columns=columns) for p in parts)
    pq.write_table(table.replace_schema_metadata(None), done / layout.METADATA, compression="zstd")
    ids: list[str] = table.column("id").to_pylist()
    return ids


def _write_query_encoder(
    done: Path, parts: list[Path], encoder: Encoder, vectors: Vectors
) -> Agreement:
    """Export the encoder and try it on pictures out of the collection itself."""
    pictures = [images.decode(data) for data in _sample(parts)]
    return write_encoder(encoder, done / layout.ENCODER, probes.TEXTS, pictures, vectors)


def _sample(parts: list[Path]) -> Iterator[bytes]:
    """SAMPLE pictures, or all there are, spread over parts and row groups."""
    chosen = parts[:: -(-len(parts) // SAMPLE)]
    each = -(-SAMPLE // len(chosen))
    for part in chosen:
        with pq.ParquetFile(part / "data.parquet") as parquet:
            groups = range(0, parquet.num_row_groups, -(-parquet.num_row_groups // each))
            rows = -(-each // len(groups))
            for group in groups:
                column = parquet.read_row_group(group, columns=["image"]).column("image")
                yield from (image["bytes"] for image in column.slice(0, rows).to_pylist())


def _write_rejects(path: Path, rejects: list[Reject]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "reason"])
        writer.writerows([reject.id, reject.reason] for reject in rejects)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "image-search": image_search.__version__}
    for package in (
        "datasets", "faiss-cpu", "numpy", "onnxruntime", "pillow", "pyarrow",
        "sentence-transformers", "tokenizers", "torch", "transformers",
    ):  # fmt: skip
        try:
            versions[package] = installed(package)
        except PackageNotFoundError:
            continue
    return versions


def _link(source: Path, target: Path) -> None:
    """A second name for a finished file: no copy, and the part stays if the build is killed now."""
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _put_in_place(done: Path, out: Path, work: Path) -> None:
    old = work / "old"
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.replace(old)
    done.replace(out)
    shutil.rmtree(work)
