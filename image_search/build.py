"""Pictures and an encoder → an artifact. Knows neither the command line nor the Hub.

The artifact appears at its place only when it is whole; until then everything lies in a folder
beside it, `<out>.partial`, from which the same call goes on after a stop.
"""

import csv
import os
import platform
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from PIL import Image as PILImage

import image_search
from image_search import images, overview, probes
from image_search import manifest as layout
from image_search.artifact import Artifact, data_file, thumbnail_file
from image_search.card import card
from image_search.collection import FolderCollection, Reject
from image_search.encoder import Encoder, OnnxEncoder, Vectors
from image_search.errors import ArtifactError, CollectionError
from image_search.export import Agreement, export_encoder, try_int8
from image_search.index import KIND, METRIC, ExactIndex, FaissIndex
from image_search.manifest import CollectionInfo, Manifest
from image_search.parts import Job, read_rejects, read_vectors, to_disk, try_pictures, write_parts
from image_search.progress import Progress, Quiet, Stopwatch

SAMPLE = 32
"""Pictures on which the artifact's encoder is compared with the original."""

Options = dict[str, str | int | None]


@dataclass
class Summary:
    """What a build did."""

    rows: int
    rejects: Counter[str]
    """Reason → files left out."""
    version: str
    sizes: dict[str, int] = field(default_factory=dict)
    """Part of the artifact → bytes."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → wall-clock seconds."""


def build(
    collection: FolderCollection,
    encoder: Encoder,
    out: Path,
    info: CollectionInfo | None = None,
    max_side: int = 1024,
    max_pixels: int = images.MAX_PIXELS,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Write the artifact of a collection to the folder `out`, whole or not at all.

    `max_side` is the longest side of a stored picture, in pixels; `options` is recorded as it is.
    `progress` is told how many pictures were dealt with. Stopped at any moment, the same call
    goes on where it was. Raises CollectionError if no picture can be used, ArtifactError if `out`
    holds something else or is being built by another process.
    """
    out = out.resolve()
    check_target(out)
    job = Job(collection, encoder, max_side, max_pixels)
    work = out.with_name(f"{out.name}.partial")
    _check_work(work)
    work.mkdir(parents=True, exist_ok=True)  # before the lock: it says why, if it cannot be
    lock = FileLock(out.with_name(f"{out.name}.lock"), blocking=False)
    try:
        with lock:
            _restore(out, work)
            watch = Stopwatch()
            pictures = try_pictures(job, SAMPLE)
            with watch.stage("query encoder"):
                # First: a model that cannot be exported fails now, not after hours of encoding.
                shutil.rmtree(work / "encoder", ignore_errors=True)
                agreement = export_encoder(encoder, work / "encoder", probes.TEXTS, pictures)
            parts = write_parts(job, work / "parts", progress or Quiet(), watch)
            info = info or CollectionInfo(name=collection.name)
            summary = _assemble(job, parts, work, pictures, agreement, info, options or {}, watch)
            _put_in_place(work, out)
            Path(lock.lock_file).unlink(missing_ok=True)
            return summary
    except Timeout:
        raise ArtifactError(
            f"{out} is being built by another process. Wait for it, or stop it first."
        ) from None


def check_target(out: Path) -> None:
    """Raise ArtifactError if anything would be lost by putting a collection in the place of `out`.

    What a build wrote may be written over, and nothing else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    own = layout.own_files(out)
    if own is None:
        raise ArtifactError(
            f"{out} exists and is not a built collection, or a damaged one; nothing was written "
            "over. Name a new folder with --out, or remove this one yourself."
        )
    found = {p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir()}
    if strange := sorted(found - own):
        raise ArtifactError(
            f"{out} holds files that no build wrote, for example {strange[0]}; nothing was written "
            "over. Move them elsewhere, or name a new folder with --out."
        )


def _check_work(work: Path) -> None:
    """Raise ArtifactError if the folder that is worked in, and removed, holds anything else."""
    found = {path.name for path in work.iterdir()} if work.is_dir() else set()
    if strange := sorted(found - {"artifact", "encoder", "old", "parts"}):
        raise ArtifactError(
            f"{work} is where a build works, and it holds something else ({strange[0]}); nothing "
            "was touched. Name another folder with --out, or rename this one."
        )


def _assemble(
    job: Job,
    parts: list[Path],
    work: Path,
    pictures: list[PILImage.Image],
    agreement: Agreement,
    info: CollectionInfo,
    options: Options,
    watch: Stopwatch,
) -> Summary:
    """Make the whole artifact at `work`/artifact out of finished parts."""
    rejects = [*job.collection.rejects, *(r for part in parts for r in read_rejects(part))]
    rejects.sort(key=lambda reject: reject.id)
    parts = [part for part in parts if (part / "data.parquet").exists()]
    if not parts:
        raise CollectionError(
            f"None of the {len(rejects):,} files can be used as a picture. "
            f"The first: {rejects[0].id}: {rejects[0].reason}."
        )
    done = work / "artifact"
    shutil.rmtree(done, ignore_errors=True)
    for folder, place in (("data", data_file), ("thumbnails", thumbnail_file)):
        (done / folder).mkdir(parents=True)
        for number, part in enumerate(parts):
            _link(part / f"{folder}.parquet", done / place(number, len(parts)))
    with watch.stage("index"):
        counts = [pq.read_metadata(part / "data.parquet").num_rows for part in parts]
        vectors = read_vectors(parts, job.encoder.dim)
        ids = _write_metadata(done, parts, job.collection)
        _write_sizes(done, parts)
        (done / layout.INDEX).parent.mkdir()
        index = FaissIndex.build(job.encoder.dim)
        index.add(vectors)
        index.write(done / layout.INDEX)
    with watch.stage("query encoder"):
        shutil.copytree(work / "encoder", done / layout.ENCODER)
        agreement = try_int8(done / layout.ENCODER, probes.TEXTS, pictures, vectors, agreement)
    query_encoder = OnnxEncoder(done / layout.ENCODER)
    with watch.stage("measure"):
        index_info, no_match = _measure(index, vectors, query_encoder)
        shown_first = overview.representative(index, vectors)
    _write_rejects(done / layout.REJECTS, rejects)
    reasons = Counter(reason_group(reject.reason) for reject in rejects)
    manifest = Manifest(
        format_version=layout.FORMAT_VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        collection=info,
        source=layout.Source(
            name=job.collection.name,
            files=len(job.collection) + len(job.collection.rejects),
            options={**options, "max_side": job.max_side},
        ),
        rows=len(ids),
        parts=counts,
        rejects=dict(sorted(reasons.items())),
        ids_sha256=layout.ids_sha256(ids),
        encoder=layout.EncoderInfo(
            name=job.encoder.name,
            revision=job.encoder.revision,
            dim=job.encoder.dim,
            precision=job.encoder.precision,
            preprocessing=query_encoder.spec.image,
            agreement=agreement,
        ),
        index=index_info,
        fields=job.collection.fields,
        no_match=no_match,
        overview=[ids[row] for row in shown_first],
        files={},
        versions=_versions(),
    )
    (done / layout.CARD).write_text(card(manifest, query_encoder.notice), encoding="utf-8")
    with watch.stage("hash"):
        sizes = _seal(done, manifest)
    return Summary(len(ids), reasons, Artifact.open(done).version, sizes, watch.seconds)


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


def _seal(done: Path, manifest: Manifest) -> dict[str, int]:
    """Write the manifest with every file's hash, and all to the disk; the bytes of each part."""
    paths = sorted(p for p in done.rglob("*") if p.is_file())
    files = {p.relative_to(done).as_posix(): layout.file_info(p) for p in paths}
    layout.write_manifest(done, manifest.model_copy(update={"files": files}))
    for path in done.rglob("*"):
        to_disk(path)
    sizes: Counter[str] = Counter()
    for name, file in files.items():
        sizes[name.partition("/")[0]] += file.bytes
    return dict(sizes)


def reason_group(reason: str) -> str:
    """A reject's reason without its particulars, to count by: what stands before the colon."""
    return reason.partition(":")[0].partition(" (")[0]


def _write_metadata(done: Path, parts: list[Path], collection: FolderCollection) -> list[str]:
    columns = ["id", *(f.name for f in collection.fields)]
    table = pa.concat_tables(pq.read_table(p / "data.parquet", columns=columns) for p in parts)
    pq.write_table(table.replace_schema_metadata(None), done / layout.METADATA, compression="zstd")
    ids: list[str] = table.column("id").to_pylist()
    return ids


def _write_sizes(done: Path, parts: list[Path]) -> None:
    columns = ["width", "height"]
    table = pa.concat_tables(
        pq.read_table(p / "thumbnails.parquet", columns=columns) for p in parts
    )
    pq.write_table(table, done / layout.SIZES, compression="zstd")


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


def _put_in_place(work: Path, out: Path) -> None:
    """Swap the finished artifact for what is at `out`, and clear up."""
    old = work / "old"
    if out.exists():
        out.replace(old)
    (work / "artifact").replace(out)
    shutil.rmtree(work)


def _restore(out: Path, work: Path) -> None:
    """Put the former collection back if a build was killed between the two renames above."""
    old = work / "old"
    if old.exists() and not out.exists():
        old.replace(out)
    shutil.rmtree(old, ignore_errors=True)
