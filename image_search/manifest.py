"""What a built collection says of itself: manifest.json, its records and its hash.

The sha256 of manifest.json is the version of the collection: whoever quotes a result quotes it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from image_search.encoder import Preprocessing
from image_search.errors import ArtifactError, EncoderError
from image_search.export import Agreement
from image_search.fields import Field

FORMAT_VERSION = 3

MANIFEST = "manifest.json"
MANIFEST_HASH = "manifest.json.sha256"
"""The manifest cannot hold its own hash; this is a line as `sha256sum -c` reads it."""
CARD = "README.md"
METADATA = "metadata.parquet"
SIZES = "sizes.parquet"
"""Width and height of every stored picture, in the order of the rows: a page that knows them does
not jump. Not in metadata.parquet: a keeper's own columns may be called so."""
REJECTS = "rejects.csv"
INDEX = "index/vectors.faiss"
ENCODER = "encoder"
TABLES = "tables"
EVALUATION = "evaluation/"
"""Reports on a test of the collection lie beside it: made later, they are no part of a build."""

BY_HAND = (
    "If it is a dataset made by hand, of pictures and a column `embeddings`, name the model that "
    "made these: --model MODEL, or IMAGE_SEARCH_MODEL."
)

ROW_GROUP = 16
"""Rows of a row group: so that one picture is read with 15 neighbours, not with a thousand."""


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

    kind: Literal["folder", "archive", "links", "dataset"]
    name: str
    files: int
    options: dict[str, str | int | None]


class TableInfo(_Record):
    """A table beside the pictures: tables/<name>.parquet."""

    name: str
    key: str
    """Its column that holds ids of pictures."""
    rows: int
    columns: list[str] = []
    """Its other columns, those of texts first: what can be asked of it. None in collections of
    former releases."""


class EncoderInfo(_Record):
    """Which model made the vectors, how it was fed, and how near the query encoder comes to it."""

    name: str
    revision: str
    dim: int
    precision: str
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

    Measured at building: of `texts` everyday questions, this percentage has no better picture.
    """

    threshold: float
    percentile: float
    texts: int


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
    part_keys: list[str]
    """What each part was made of, as a hash: a part that would be made of the same is kept."""
    recipe: str
    """A hash of all but the pictures that the rows were made of: model, preprocessing, sizes."""
    rejects: dict[str, int]
    """Reason → how many pictures were left out for it; rejects.csv names each."""
    ids_sha256: str
    encoder: EncoderInfo
    index: IndexInfo
    fields: list[Field]
    tables: list[TableInfo] = []
    no_match: NoMatch
    overview: list[str]
    """Ids of pictures that stand for the whole collection, spread over its vectors."""
    files: dict[str, FileInfo]
    versions: dict[str, str]

    @field_validator("files")
    @classmethod
    def _lie_within(cls, files: dict[str, FileInfo]) -> dict[str, FileInfo]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"the file {name} does not lie in the collection")
        return files


def ids_sha256(ids: pa.StringArray | pa.ChunkedArray) -> str:
    """A hash over the ids in the order of the rows; the index is in that order too."""
    digest = hashlib.sha256()
    for start in range(0, len(ids), 10_000):  # as Python's strings they take three times the room
        some = "\n".join(ids.slice(start, 10_000).to_pylist())
        digest.update(f"\n{some}".encode() if start else some.encode())
    return digest.hexdigest()


def file_info(path: Path) -> FileInfo:
    """Hash and size of a file."""
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


def own_files(path: Path) -> set[str] | None:
    """The names of the files that a build wrote into a folder; None if it is no built collection.

    Of any format: what counts is that the manifest is there and was not touched.
    """
    try:
        data = (path / MANIFEST).read_bytes()
        if (path / MANIFEST_HASH).read_bytes() != _hash_line(hashlib.sha256(data).hexdigest()):
            return None
        return {MANIFEST, MANIFEST_HASH, *json.loads(data)["files"]}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """The manifest of a built collection in a folder, and the version. Raises ArtifactError."""
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
            f"Build one into a new folder: python build_index.py FOLDER --out NEW. {BY_HAND}"
        ) from None
    return parse_manifest(data, told, str(path), partial(broken, path))


def parse_manifest(
    data: bytes, told: bytes, name: str, broken: Callable[[str], ArtifactError]
) -> tuple[Manifest, str]:
    """The manifest out of the contents of its two files, and the version. Raises ArtifactError.

    `name` is what the collection is called; `broken` makes the error for a damaged one.
    """
    version = hashlib.sha256(data).hexdigest()
    if told != _hash_line(version):
        raise broken(f"{MANIFEST} is not what was built (its sha256 differs)")
    try:
        raw = json.loads(data)
    except ValueError:
        raise broken(f"{MANIFEST} is not JSON") from None
    format_version = raw.get("format_version") if isinstance(raw, dict) else None
    if format_version != FORMAT_VERSION:
        newer = isinstance(format_version, int) and format_version > FORMAT_VERSION
        remedy = (
            "Use a newer release of this program."
            if newer
            else "Build it again with python build_index.py."
        )
        raise ArtifactError(
            f"The collection {name} has format {format_version}; this program reads format "
            f"{FORMAT_VERSION}. {remedy}"
        )
    try:
        return Manifest.model_validate(raw), version
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise broken(f"{MANIFEST}, {place}: {first['msg'].lower()}") from None


@contextmanager
def telling_damage(broken: Callable[[str], ArtifactError]) -> Iterator[None]:
    """Say of whatever a damaged file makes the libraries raise that the collection is damaged."""
    try:
        yield
    except (ArtifactError, EncoderError, OSError, ValueError, LookupError, MemoryError) as error:
        # pyarrow's and Unicode's errors are ValueErrors, LookupErrors or OSErrors
        raise broken(str(error).rstrip(".")) from None


def broken(path: Path, what: str) -> ArtifactError:
    """The error for a damaged collection in a folder, with what to do about it."""
    return ArtifactError(
        f"The collection {path} is damaged: {what}. Copy it again from where it came, or build "
        f"it again: python build_index.py FOLDER --out {path}. "
        f"To see all that is wrong: python -m image_search verify {path}"
    )
