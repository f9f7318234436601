"""Finished parts → an artifact: index, query encoder, metadata, manifest with every file's hash."""

import csv
import platform
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PILImage

import image_search
from image_search import manifest as layout
from image_search import overview, probes
from image_search.artifact import data_file, thumbnail_file
from image_search.card import card
from image_search.collection import Collection, Reject, in_order, reason_group
from image_search.encoder import OnnxEncoder, Vectors
from image_search.errors import ArtifactError, CollectionError
from image_search.export import Agreement, try_int8
from image_search.extra import Extra, write_extra
from image_search.index.exact import ExactIndex
from image_search.index.faiss_index import KIND, METRIC, FaissIndex
from image_search.kept import link
from image_search.manifest import CollectionInfo, Manifest
from image_search.parts import DATA, THUMBNAILS, Recipe, Told, read_told, read_vectors
from image_search.progress import Stopwatch
from image_search.to_disk import to_disk

Options = dict[str, str | int | bool | None]


@dataclass(frozen=True)
class Ingredients:
    """What an artifact is made of, beside its parts."""

    collection: Collection
    recipe: Recipe
    extras: Sequence[Extra]
    info: CollectionInfo
    options: Options
    agreement: Agreement
    pictures: list[PILImage.Image]
    """Some of the collection, to try the query encoder on."""
    notices: list[str]
    """Lines for the keeper are added to it."""
    former: Manifest | None = None
    """What is going to be replaced."""


def assemble(made: Ingredients, parts: list[Path], work: Path, watch: Stopwatch) -> Manifest:
    """Make the whole artifact at `work`/artifact; gives its manifest.

    Raises CollectionError if there is not one picture.
    """
    told = [_told(part) for part in parts]
    rejects = in_order(
        [*made.collection.rejects, *(Reject(*pair) for t in told for pair in t.rejects.items())]
    )
    full = [(part, t) for part, t in zip(parts, told, strict=True) if t.rows]
    if not full:
        raise CollectionError(
            f"None of the {len(rejects):,} files can be used as a picture. "
            f"The first: {_named(rejects[0], made.collection)}: {rejects[0].reason}."
        )
    parts, told = [part for part, _ in full], [t for _, t in full]
    done = work / "artifact"
    shutil.rmtree(done, ignore_errors=True)
    _link_parts(done, parts)
    with watch.stage("index"):
        rows = sum(t.rows for t in told)
        vectors = _vectors(work / "vectors.npy", parts, rows, made.recipe.dim)
        ids = _write_metadata(done, parts, made.collection)
        index = FaissIndex.build(made.recipe.dim)
        index.add(vectors)
        (done / layout.INDEX).parent.mkdir()
        index.write(done / layout.INDEX)
    with watch.stage("query encoder"):
        folder = done / layout.ENCODER
        _copy_encoder(work / "encoder", folder)
        agreement = try_int8(folder, probes.TEXTS, made.pictures, vectors, made.agreement)
    query_encoder = OnnxEncoder(folder)
    with watch.stage("measure"):
        index_info, no_match = _measure(index, vectors, query_encoder)
        shown_first = overview.representative(index, vectors)
    with watch.stage("tables"):
        tables = [_write_table(done, extra, ids.to_pylist(), made.notices) for extra in made.extras]
    _write_rejects(done / layout.REJECTS, rejects, made.collection.wheres)
    manifest = Manifest(
        format_version=layout.FORMAT_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        collection=made.info,
        source=layout.Source(
            kind=made.collection.kind,
            name=made.collection.name,
            files=len(made.collection) + len(made.collection.rejects),
            options={**made.options, "max_side": made.recipe.max_side},
        ),
        rows=rows,
        parts=[t.rows for t in told],
        part_keys=[part.name for part in parts],
        recipe=made.recipe.key,
        rejects=dict(sorted(Counter(reason_group(r.reason) for r in rejects).items())),
        ids_sha256=layout.ids_sha256(ids),
        encoder=layout.EncoderInfo(
            name=made.recipe.model,
            revision=made.recipe.revision,
            dim=made.recipe.dim,
            precision=made.recipe.precision,
            preprocessing=query_encoder.spec.image,
            agreement=agreement,
        ),
        index=index_info,
        fields=made.collection.fields,
        tables=tables,
        no_match=no_match,
        overview=[ids[row].as_py() for row in shown_first],
        files={},
        versions=_versions(),
    )
    manifest = _dated(manifest, made.former)
    (done / layout.CARD).write_text(card(manifest, query_encoder.notice), encoding="utf-8")
    with watch.stage("hash"):
        return _seal(done, manifest, _known_hashes(told))


def _dated(manifest: Manifest, former: Manifest | None) -> Manifest:
    """With the former one's date if it says the same: then nothing is new, nor is the version."""
    if former is None:
        return manifest
    dated = manifest.model_copy(update={"created": former.created})
    return dated if dated.model_copy(update={"files": former.files}) == former else manifest


def _told(part: Path) -> Told:
    told = read_told(part)
    if told is None:
        raise ArtifactError(f"{part} has vanished while the collection was put together.")
    return told


def _link_parts(done: Path, parts: list[Path]) -> None:
    for folder, file, place in (
        ("data", DATA, data_file),
        ("thumbnails", THUMBNAILS, thumbnail_file),
    ):
        (done / folder).mkdir(parents=True)
        for number, part in enumerate(parts):
            link(part / file, done / place(number, len(parts)))


def _copy_encoder(source: Path, target: Path) -> None:
    """Not a second name: what is tried with 8 bits is written over."""
    target.mkdir()
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)


def _vectors(path: Path, parts: list[Path], rows: int, dim: int) -> Vectors:
    """All embeddings, (n, dim), in a file: a million of them are 2 GB."""
    # Written, not mapped: on a full disk writing says so, where touching a mapped page kills.
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in read_vectors(parts, dim):
            chunk.tofile(file)
    held: Vectors = np.load(path, mmap_mode="r")
    return held


def _write_metadata(done: Path, parts: list[Path], collection: Collection) -> pa.ChunkedArray:
    """Write metadata.parquet and sizes.parquet; gives the ids."""
    columns = ["id", *(f.name for f in collection.fields)]
    table = pa.concat_tables(pq.read_table(p / DATA, columns=columns) for p in parts)
    pq.write_table(table.replace_schema_metadata(None), done / layout.METADATA, compression="zstd")
    sizes = pa.concat_tables(
        pq.read_table(p / THUMBNAILS, columns=["width", "height"]) for p in parts
    )
    pq.write_table(sizes, done / layout.SIZES, compression="zstd")
    return table.column("id")


def _measure(
    index: FaissIndex, vectors: Vectors, encoder: OnnxEncoder
) -> tuple[layout.IndexInfo, layout.NoMatch]:
    """What the index finds of what there is to find, and below which score nothing is close."""
    recall = probes.measure_recall(index, ExactIndex(vectors), encoder, vectors)
    threshold = probes.no_match_threshold(index, encoder.encode_texts(probes.TEXTS))
    questions = len(probes.TEXTS)
    return (
        layout.IndexInfo(
            kind=KIND, metric=METRIC, recall=layout.Recall(**recall, queries=questions)
        ),
        layout.NoMatch(threshold=threshold, percentile=probes.PERCENTILE, texts=questions),
    )


def _write_table(done: Path, extra: Extra, ids: list[str], notices: list[str]) -> layout.TableInfo:
    path = done / layout.TABLES / f"{extra.name}.parquet"
    path.parent.mkdir(exist_ok=True)
    rows = write_extra(extra, ids, path, notices)
    schema = pq.read_schema(path)
    others = [n for n in schema.names if n != extra.key and can_be_asked(schema.field(n).type)]
    columns = sorted(others, key=lambda name: "string" not in str(schema.field(name).type))
    return layout.TableInfo(name=extra.name, key=extra.key, rows=rows, columns=columns)


def can_be_asked(type: pa.DataType) -> bool:
    """Whether the values of a column have one way to be written."""
    plain = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating,
        pa.types.is_boolean, pa.types.is_timestamp, pa.types.is_date,
    )  # fmt: skip
    return any(is_plain(type) for is_plain in plain)


def _named(reject: Reject, collection: Collection) -> str:
    where = collection.wheres.get(reject.id)
    return f"{reject.id} ({where})" if where else reject.id


def _write_rejects(path: Path, rejects: list[Reject], wheres: Mapping[str, str]) -> None:
    rows = [[reject.id, reject.reason] for reject in rejects]
    header = ["id", "reason"]
    if wheres:
        header.append("where")
        rows = [[*row, wheres.get(row[0], "")] for row in rows]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _known_hashes(told: list[Told]) -> dict[str, str]:
    """The hashes of the parts' files, by the names that these have in the artifact."""
    places = {DATA: data_file, THUMBNAILS: thumbnail_file}
    return {
        place(number, len(told)): t.sha256[name]
        for number, t in enumerate(told)
        for name, place in places.items()
    }


def _seal(done: Path, manifest: Manifest, known: dict[str, str]) -> Manifest:
    """Write the manifest with every file's hash, and all to the disk.

    The hashes of parts are `known`: taken when they were written, and compared before a part of
    an earlier build was used.
    """
    files = {}
    for path in sorted(p for p in done.rglob("*") if p.is_file()):
        name = path.relative_to(done).as_posix()
        if name in known:
            files[name] = layout.FileInfo(sha256=known[name], bytes=path.stat().st_size)
        else:
            files[name] = layout.file_info(path)
    sealed = manifest.model_copy(update={"files": files})
    layout.write_manifest(done, sealed)
    for path in done.rglob("*"):
        to_disk(path)
    return sealed


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "image-search": image_search.__version__}
    for package in (
        "datasets", "faiss-cpu", "numpy", "onnxruntime", "pillow", "pyarrow",
        "sentence-transformers", "simplejpeg", "tokenizers", "torch", "transformers",
    ):  # fmt: skip
        try:
            versions[package] = installed(package)
        except PackageNotFoundError:
            continue
    return versions
