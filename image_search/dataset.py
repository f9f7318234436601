"""A dataset with a column of pictures, from the Hub or a folder, as a collection.

picture   The column that is named; else the only one of pictures, or the one called image.
id        The column that is named; else id, file_name, fname … (`_IDS`), the first with another
          value in every row; else the file names of the pictures, if they tell the rows apart;
          else split and row, as train/0000012: another's in a later version, perhaps.
state     The hash (xxh3) of the picture's bytes.
order     The dataset's; all splits one after the other, or the one that is named.
metadata  All other columns of texts, numbers, dates and lists of texts; labels by their names;
          `split`, if there are several.
vectors   The column `embeddings`, if there is one.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from image_search.arrow import arrow_values, is_metadata
from image_search.collection import (
    Collection,
    Entry,
    Reject,
    describe,
    has_controls,
    id_of,
    in_order,
)
from image_search.encoder import Vectors
from image_search.errors import CollectionError, PictureError
from image_search.fields import Value
from image_search.folder import MAX_BYTES, read_file
from image_search.images import HEAD_BYTES, check_head
from image_search.splits import Splits, load_splits
from image_search.table import Columns, find_column, some

EMBEDDINGS = "embeddings"

Place = tuple[str, int]
"""A split, and a row of it."""

# As `datasets` writes the path of a file in a zip: never one at a web address.
_IN_ARCHIVE = re.compile("zip://(.+?)::(/.+)")
_IDS = ("id", "file_name", "filename", "fname", "path", "__key__")


@dataclass(frozen=True)
class DatasetReader:
    """Reads pictures out of memory-mapped files."""

    splits: Splits
    """Each of one column, of pictures not decoded."""

    def read(self, place: Place) -> bytes:
        split, row = place
        [picture] = self.splits[split][row].values()
        data, path = picture["bytes"], picture["path"]
        if data is None and not _IN_ARCHIVE.match(path):
            return read_file(Path(path))
        data = _read_from_archive(path) if data is None else data
        check_head(data[:HEAD_BYTES])
        if len(data) > MAX_BYTES:
            raise PictureError(f"too large: {len(data)} bytes (the limit is {MAX_BYTES} bytes)")
        return bytes(data)

    def check(self) -> None:
        for split in self.splits.values():
            for file in split.cache_files:
                if not Path(file["filename"]).exists():
                    raise CollectionError(f"{file['filename']} is gone. Start again.")

    def close(self) -> None:
        pass


def open_dataset(
    source: str | Sequence[Path],
    revision: str | None = None,
    split: str | None = None,
    config: str | None = None,
    image_column: str | None = None,
    id_column: str | None = None,
    fields: Path | None = None,
) -> Collection:
    """The pictures of a dataset: of `user/name` on the Hub, of a folder, or of Parquet files.

    `revision` is a branch, a tag or a commit of the Hub; `split` one of the splits, else all count;
    `config` one of the configurations; `fields` a fields.toml. Raises CollectionError.
    """
    notices: list[str] = []
    name = source if isinstance(source, str) else source[0].name
    splits = load_splits(source, revision, config, split, notices)
    places = [(split, row) for split, part in splits.items() for row in range(len(part))]
    if not places:
        raise CollectionError(f"{name} has no rows.")
    image_column = _image_column(name, splits, image_column)
    pictures = {split: _undecoded(part, image_column) for split, part in splits.items()}
    seen = [picture for part in pictures.values() for picture in _look_at(part)]
    columns = _columns(splits, image_column, notices)
    vectors, has_vector = _vectors(splits)
    id_column, ids = _ids(name, columns, id_column, places, seen, notices)
    rows = _Rows()
    for row, (place, id, picture) in enumerate(zip(places, ids, seen, strict=True)):
        rows.add(row, place, id, picture, bool(has_vector[row]))
    if not rows.entries:
        raise CollectionError(f"{name} has no row that can be used: {rows.rejects[0].reason}.")
    if len(splits) > 1 and find_column(columns, "split") is None:
        columns["split"] = [split for split, _ in places]
    columns = {name: [values[row] for row in rows.kept] for name, values in columns.items()}
    described, metadata = describe(columns, fields, len(rows.kept), notices)
    return Collection(
        kind="dataset",
        name=name.rstrip("/").rpartition("/")[2].partition(".")[0] or "collection",
        fields=described,
        entries=list(rows.entries.values()),
        metadata=metadata,
        rejects=in_order(rows.rejects),
        notices=notices,
        reader=DatasetReader(pictures),
        id_column=id_column or "id",
        vectors=None if vectors is None else vectors[rows.kept],
    )


class _Rows:
    """What becomes of the rows."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.kept: list[int] = []
        """The rows of the entries."""
        self.rejects: list[Reject] = []

    def add(
        self, row: int, place: Place, id: str | None, picture: "_Picture", has_vector: bool
    ) -> None:
        if not picture.state:
            fault = "no picture in its row"
        elif id is None:
            fault = "no id in its row"
        elif has_controls(id):
            fault = "its id has a line break or the like in it"
        elif id in self.entries:
            fault = "an earlier row has the same id"
        elif not has_vector:
            fault = f"no vector in its column {EMBEDDINGS!r}"
        else:
            self.entries[id] = Entry(id, place, picture.state)
            self.kept.append(row)
            return
        where = f"{place[0]}, row {place[1]}"
        self.rejects.append(Reject(where if id is None else f"{id} ({where})", fault))


# Columns


def _image_column(name: str, splits: Splits, wanted: str | None) -> str:
    features = next(iter(splits.values())).features
    found = [str(column) for column, feature in features.items() if _is_of_pictures(feature)]
    if wanted is None and ("image" in found or len(found) == 1):
        return "image" if "image" in found else found[0]
    if wanted is not None and wanted in found:
        return wanted
    what = "Which column has the pictures?" if wanted is None else f"{wanted!r} has no pictures."
    raise CollectionError(
        f"{name}: {what} Such columns are: {', '.join(found) or 'none'}. All columns are: "
        f"{', '.join(features)}. Name one with --image-column. (If one has addresses of pictures, "
        "give the file with them as the source: it is a table.)"
    )


def _is_of_pictures(feature: Any) -> bool:
    """Also where other programs wrote the file, and did not say that the bytes are pictures."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, datasets.Image) or feature == datasets.Value("binary")


def _undecoded(part: datasets.Dataset, column: str) -> datasets.Dataset:
    return part.select_columns([column]).cast_column(column, datasets.Image(decode=False))


@dataclass(frozen=True, slots=True)
class _Picture:
    state: str
    """Empty if there is none."""
    path: str | None


def _look_at(pictures: datasets.Dataset) -> Iterator[_Picture]:
    """Every picture of a split."""
    for chunk in pictures.data.column(0).chunks:
        there, paths = chunk.is_valid().to_pylist(), chunk.field("path").to_pylist()
        for is_there, data, path in zip(there, chunk.field("bytes"), paths, strict=True):
            if not is_there:
                yield _Picture("", None)
            elif data.is_valid:
                yield _Picture(xxhash.xxh3_128_hexdigest(data.as_buffer()), path)
            else:
                yield _Picture(_hash_of_file(path), path)


def _hash_of_file(path: str | None) -> str:
    """The hash of a file; of one that cannot be read, anything: reading tells why."""
    if not path:
        return ""
    try:
        is_packed = _IN_ARCHIVE.match(path)
        data = _read_from_archive(path) if is_packed else Path(path).read_bytes()
        return str(xxhash.xxh3_128_hexdigest(data))
    except (OSError, PictureError):
        return "unknown"


def _read_from_archive(path: str) -> bytes:
    """A file in a zip of the dataset, which `datasets` does not unpack. Raises PictureError."""
    match = _IN_ARCHIVE.fullmatch(path)
    try:
        if match is None:
            raise KeyError(path)
        with _zip(match[2]).open(match[1]) as file:
            return bytes(file.read(MAX_BYTES + 1))
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError) as error:
        raise PictureError("damaged: it cannot be unpacked") from error


@lru_cache(maxsize=8)
def _zip(path: str) -> zipfile.ZipFile:
    """Opened once for a process: `datasets` itself would read the directory for every picture."""
    return zipfile.ZipFile(path)


def _columns(splits: Splits, image: str, notices: list[str]) -> Columns:
    """The metadata, of all splits together."""
    names = dict.fromkeys(name for part in splits.values() for name in part.column_names)
    taken = {image, EMBEDDINGS} if _embeddings(splits) else {image}
    others = [name for name in names if name not in taken and name != "__url__"]  # WebDataset's
    columns: Columns = {}
    for name in others:
        parts = [_values(part, name) for part in splits.values()]
        if None not in parts:
            columns[name] = [value for values in parts for value in values or ()]
    if left_out := [name for name in others if name not in columns]:
        notices.append(some(left_out, "column of the dataset", "no metadata and left out"))
    return columns


def _values(part: datasets.Dataset, name: str) -> list[Value] | None:
    """A column; None if it is no metadata."""
    if name not in part.column_names:
        return [None] * len(part)
    feature, column = part.features[name], part.data.column(name)
    if isinstance(feature, datasets.ClassLabel):
        names = feature.names  # -1 stands for none
        return [names[n] if n is not None and n >= 0 else None for n in column.to_pylist()]
    return arrow_values(column) if is_metadata(column.type) else None


def _ids(
    name: str,
    columns: Columns,
    wanted: str | None,
    places: Sequence[Place],
    seen: Sequence[_Picture],
    notices: list[str],
) -> tuple[str | None, Sequence[str | None]]:
    """The column of the ids, which is taken out of the others, if it is one; and the ids."""
    column = wanted and find_column(columns, wanted)
    if wanted and column is None:
        raise CollectionError(
            f"{name} has no column {wanted!r} for ids; there are {', '.join(columns) or 'none'}."
        )
    candidates = [found for known in _IDS if (found := find_column(columns, known))]
    for candidate in [column] if column else candidates:
        ids = [id_of(value) for value in columns[candidate]]
        if column or _tell_apart(ids):
            notices.append(f"the ids are those of the column {candidate!r}")
            del columns[candidate]
            return candidate, ids
    ids = [id_of(_file_name(picture.path)) for picture in seen]
    if _tell_apart(ids):
        notices.append("the ids are the pictures' file names")
        return None, ids
    notices.append(
        "the ids are numbers of rows: nothing in the dataset tells all rows apart. If a later "
        "version has other rows, they are other pictures'. --id-column names a column of ids"
    )
    return None, [f"{split}/{row:07d}" for split, row in places]


def _file_name(path: str | None) -> str | None:
    """A path within a dataset as it is; of one on this machine only the last part."""
    if path and (match := _IN_ARCHIVE.match(path)):
        return match[1]
    return PurePosixPath(path).name if path and path.startswith("/") else path


def _tell_apart(ids: list[str | None]) -> bool:
    return None not in ids and len(set(ids)) == len(ids)


def _vectors(splits: Splits) -> tuple[Vectors | None, NDArray[np.bool_]]:
    """The embeddings of all rows, made unit vectors; and which rows have one."""
    count = sum(map(len, splits.values()))
    chunks = _embeddings(splits)
    lengths = [pc.drop_null(pc.list_value_length(chunk)).to_numpy() for chunk in chunks]
    dim = int(np.bincount(np.concatenate(lengths)).argmax()) if any(map(len, lengths)) else 0
    if not dim:
        return None, np.ones(count, bool)
    vectors, has_vector = np.zeros((count, dim), np.float32), np.zeros(count, bool)
    start = 0
    for chunk in chunks:
        whole = pc.fill_null(pc.equal(pc.list_value_length(chunk), dim), False)
        rows = start + np.flatnonzero(whole.to_numpy(zero_copy_only=False))
        numbers = chunk.filter(whole).flatten().to_numpy(zero_copy_only=False)
        found = numbers.astype(np.float32).reshape(-1, dim)
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        good = (np.isfinite(norms) & (norms > 0))[:, 0]
        vectors[rows[good]] = found[good] / norms[good]
        has_vector[rows[good]] = True
        start += len(chunk)
    return vectors, has_vector


def _embeddings(splits: Splits) -> list[pa.Array]:
    """The column `embeddings` of all splits; nothing if one has none, or of something else."""
    is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    chunks: list[pa.Array] = []
    for part in splits.values():
        column = part.data.column(EMBEDDINGS) if EMBEDDINGS in part.column_names else None
        if column is None or not any(test(column.type) for test in is_list):
            return []
        if not pa.types.is_floating(column.type.value_type):
            return []
        chunks += column.chunks
    return chunks
