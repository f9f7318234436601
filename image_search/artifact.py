"""A built collection on disk: its files, its manifest, opening and verifying it.

An artifact is a folder that is never changed after it was written. The sha256 of its
manifest.json is its version: whoever quotes a result quotes it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from image_search.catalogue import Catalogue
from image_search.encoder import EncoderSpec, OnnxEncoder, Preprocessing, Vectors
from image_search.errors import ArtifactError
from image_search.export import Agreement
from image_search.fields import Field
from image_search.index import ExactIndex, FaissIndex

FORMAT_VERSION = 1

MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.json.sha256"
"""The manifest cannot hold its own hash; this is a line as `sha256sum -c` reads it."""
CARD = "README.md"
METADATA = "metadata.parquet"
REJECTS = "rejects.csv"
INDEX = "index/vectors.faiss"
ENCODER = "encoder"

ROW_GROUP = 16
"""Rows of a row group: small, so that one picture can be read without its neighbours' megabytes."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CollectionInfo(_Record):
    """What the keeper says of the collection."""

    name: str
    description: str = ""
    contact: str = ""
    rights: str = ""
    notice: str = ""


class Source(_Record):
    """Where the pictures came from and how they were read."""

    kind: Literal["folder"] = "folder"
    name: str
    files: int
    options: dict[str, str | int | None]


class EncoderInfo(_Record):
    """Which model made the vectors, how it was fed, and how near the query encoder comes to it."""

    name: str
    revision: str
    dim: int
    preprocessing: Preprocessing
    agreement: Agreement


class Recall(_Record):
    """Share of the exact ten nearest that the index finds, for words and for pictures."""

    text_at_10: float
    picture_at_10: float
    queries: int


class IndexInfo(_Record):
    kind: str
    metric: str
    parameters: dict[str, int | str] = {}
    recall: Recall


class NoMatch(_Record):
    """Below this best score nothing in the collection is close to a text.

    Measured at building: the `percentile` of the cosines between `texts` everyday words and
    `pictures` pictures drawn at random.
    """

    threshold: float
    percentile: float
    texts: int
    pictures: int


class FileInfo(_Record):
    sha256: str
    bytes: int


class Manifest(_Record):
    """What an artifact says of itself."""

    format_version: int
    created: str
    collection: CollectionInfo
    source: Source
    rows: int
    parts: list[int]
    """Rows of each parquet part, in order."""
    rejects: dict[str, int]
    """Reason → how many pictures were left out for it; rejects.csv names each."""
    ids_sha256: str
    encoder: EncoderInfo
    index: IndexInfo
    fields: list[Field]
    tables: list[str] = []
    no_match: NoMatch
    files: dict[str, FileInfo]
    versions: dict[str, str]


class Artifact:
    """An opened artifact: manifest, metadata, and pictures read one by one."""

    def __init__(self, path: Path, manifest: Manifest, version: str) -> None:
        self.path = path
        self.manifest = manifest
        self.version = version
        """sha256 of manifest.json, 64 hexadecimal digits."""
        self.catalogue = Catalogue.read(path / METADATA)

    @classmethod
    def open(cls, path: Path) -> "Artifact":
        """Open a folder that build_index.py wrote.

        Checks what takes no time: the manifest, every file's size, the number and order of rows.
        `verify` reads every byte. Raises ArtifactError with what to do about it.
        """
        manifest, version = _read_manifest(path)
        for name, info in manifest.files.items():
            try:
                size = (path / name).stat().st_size
            except OSError:
                raise _broken(path, f"{name} is missing") from None
            if size != info.bytes:
                raise _broken(path, f"{name} has {size:,} bytes instead of {info.bytes:,}")
        artifact = cls(path, manifest, version)
        if ids_sha256(artifact.catalogue.ids) != manifest.ids_sha256:
            raise _broken(path, f"the rows of {METADATA} are not those that were built")
        return artifact

    def __len__(self) -> int:
        return self.manifest.rows

    @cached_property
    def index(self) -> FaissIndex:
        """The index as built. Raises ArtifactError if it does not belong to these rows."""
        index = FaissIndex.read(self.path / INDEX)
        if (len(index), index.dim) != (self.manifest.rows, self.manifest.encoder.dim):
            raise _broken(
                self.path,
                f"its index holds {len(index):,} vectors of {index.dim} numbers instead of "
                f"{self.manifest.rows:,} of {self.manifest.encoder.dim}",
            )
        return index

    def encoder(self) -> OnnxEncoder:
        """The encoder for questions. Raises EncoderError if it cannot be loaded."""
        return OnnxEncoder(self.path / ENCODER)

    def encoder_spec(self) -> EncoderSpec:
        return EncoderSpec.model_validate_json((self.path / ENCODER / "encoder.json").read_bytes())

    def picture(self, row: int) -> bytes:
        """The picture of a row, as a file in a format that a browser shows."""
        image: dict[str, bytes] = self._cell(_data_file, row, "image")
        return image["bytes"]

    def thumbnail(self, row: int) -> bytes:
        """The small picture of a row: WebP, at most 256 pixels a side."""
        thumbnail: bytes = self._cell(_thumbnail_file, row, "thumbnail")
        return thumbnail

    def vectors(self) -> Vectors:
        """All embeddings, (n, dim) float32, in the order of the rows; read from the parts."""
        parts = [table.column("embeddings") for table in self._parts(_data_file, ["embeddings"])]
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
        with pq.ParquetFile(path, memory_map=True) as parquet:
            group = parquet.read_row_group(offset // ROW_GROUP, columns=[column], use_threads=False)
        return group.column(column)[offset % ROW_GROUP].as_py()

    def _parts(self, file: Callable[[int, int], str], columns: list[str]) -> Iterator[pa.Table]:
        count = len(self.manifest.parts)
        for part in range(count):
            yield pq.read_table(self.path / file(part, count), columns=columns, memory_map=True)


def _data_file(part: int, parts: int) -> str:
    return f"data/train-{part:05d}-of-{parts:05d}.parquet"


def _thumbnail_file(part: int, parts: int) -> str:
    return f"thumbnails/train-{part:05d}-of-{parts:05d}.parquet"


PART_FILES = {"data": _data_file, "thumbnails": _thumbnail_file}
"""Folder of the artifact → the name of its nth part out of how many."""


def ids_sha256(ids: list[str]) -> str:
    """A hash over the ids in the order of the rows; the index is in that order too."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def file_info(path: Path) -> FileInfo:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileInfo(sha256=digest, bytes=path.stat().st_size)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write manifest.json and its hash: the last files of a build."""
    data = (manifest.model_dump_json(indent=2) + "\n").encode()
    (path / MANIFEST).write_bytes(data)
    (path / MANIFEST_HASH).write_bytes(_hash_line(hashlib.sha256(data).hexdigest()))


def _hash_line(version: str) -> bytes:
    return f"{version}  {MANIFEST}\n".encode()


def verify(path: Path, progress: Callable[[str], object] = lambda name: None) -> list[str]:
    """Read every byte of an artifact and say what is wrong with it; an empty list is a good one.

    Checks each file's sha256, that there is no file besides, that data, thumbnails, metadata and
    index are in one order, and that the index finds what it was built from. `progress` is told
    each file's name.
    """
    try:
        manifest, _ = _read_manifest(path)
    except ArtifactError as error:
        return [str(error)]
    problems = []
    known = {MANIFEST, MANIFEST_HASH, *manifest.files}
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    problems += [f"{name}: is not of this build" for name in sorted(found - known)]
    for name, info in manifest.files.items():
        progress(name)
        if name not in found:
            problems.append(f"{name}: is missing")
        elif file_info(path / name) != info:
            problems.append(f"{name}: is not what was built (its sha256 differs)")
    if problems:
        return problems
    return _verify_order(Artifact.open(path))


def _verify_order(artifact: Artifact) -> list[str]:
    problems = []
    for folder, file in PART_FILES.items():
        ids = [i for t in artifact._parts(file, ["id"]) for i in t.column("id").to_pylist()]
        if ids_sha256(ids) != artifact.manifest.ids_sha256:
            problems.append(f"{folder}: its rows are not in the order of the manifest")
    if problems:
        return problems
    vectors = artifact.vectors()
    step = max(1, len(vectors) // 100)
    exact = ExactIndex(vectors)
    for row in range(0, len(vectors), step):
        _, scores = artifact.index.search(vectors[row], 1)
        best = exact.search(vectors[row], 1)[1][0]
        # A picture may stand in a collection twice: then either copy is right.
        if abs(scores[0] - best) > 1e-2:
            name = artifact.catalogue.ids[row]
            problems.append(f"{INDEX}: does not find the picture {name} by its own vector")
            break
    return problems


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    if not path.is_dir():
        raise ArtifactError(
            f"There is no built collection at {path}. "
            f"Build one: python build_index.py FOLDER --out {path}"
        )
    try:
        data = (path / MANIFEST).read_bytes()
        told = (path / MANIFEST_HASH).read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path} is not a collection that build_index.py wrote "
            f"({Path(error.filename).name} is missing). "
            f"Build one: python build_index.py FOLDER --out {path}"
        ) from None
    version = hashlib.sha256(data).hexdigest()
    if told != _hash_line(version):
        raise _broken(path, f"{MANIFEST} is not what was built (its sha256 differs)")
    raw = json.loads(data)
    format_version = raw.get("format_version") if isinstance(raw, dict) else None
    if format_version != FORMAT_VERSION:
        newer = isinstance(format_version, int) and format_version > FORMAT_VERSION
        remedy = (
            "Use a newer release of this program."
            if newer
            else "Build it again with python build_index.py."
        )
        raise ArtifactError(
            f"The collection {path} has format {format_version}; this program reads format "
            f"{FORMAT_VERSION}. {remedy}"
        )
    try:
        return Manifest.model_validate(raw), version
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _broken(path, f"{MANIFEST}, {place}: {first['msg'].lower()}") from None


def _broken(path: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"The collection {path} is damaged: {what}. Copy it again from where it came, or build "
        f"it again: python build_index.py FOLDER --out {path}. "
        f"To see all that is wrong: python -m image_search verify {path}"
    )
