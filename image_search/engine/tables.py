"""The tables of a collection in the database: their names, columns and statements.

    photos_VERSION        the pictures: _row, id, photo_embed, _width, _height, and their fields
    NAME_VERSION          a table beside them, such as conversions_VERSION
    photos, NAME          the same of the version that is current, whichever it is

On a cluster each is spread over the shards by the id of the picture, what belongs to a picture
beside it: there `…_VERSION_local` holds a shard's own rows, and `…_VERSION_all` asks all of them.
`photo_id` is a second name of `id`, and `distance(a, b)` one of cosineDistance, so that statements
of MyScale's tutorial run as they stand.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from image_search.manifest import Manifest, TableInfo

PHOTOS = "photos"
ROW, VECTOR, WIDTH, HEIGHT = "_row", "photo_embed", "_width", "_height"
DISTANCE_OF = "_distance"
OWN = frozenset({"id", "photo_id", ROW, VECTOR, WIDTH, HEIGHT, DISTANCE_OF})
"""Columns that no field may be called like."""

INDEX = "by_meaning"

_HNSW = "'bf16', 32, 128"
"""16-bit floats; links of a node, and rows in view while the graph is made, as ClickHouse has
them."""

DISTANCE = "CREATE FUNCTION IF NOT EXISTS distance AS (a, b) -> cosineDistance(a, b)"


class About(BaseModel):
    """What a table says of itself, as its comment."""

    model_config = ConfigDict(frozen=True)

    made_by: str = "image-search"
    collection: str
    version: str
    rows: int
    dim: int = 0
    whole: bool = False
    """Whether all of it is there: said last."""


def about(comment: str) -> About | None:
    """What a table's comment says; None if it is none of ours."""
    try:
        told = About.model_validate_json(comment)
    except ValidationError:
        return None
    return told if told.made_by == "image-search" else None


@dataclass(frozen=True)
class Names:
    """What a table of one version is called, with its database."""

    database: str
    name: str
    version: str
    cluster: str

    @property
    def local_name(self) -> str:
        """What holds the rows of one server, without the database."""
        return f"{self.name}_{self.version[:12]}{'_local' if self.cluster else ''}"

    @property
    def local(self) -> str:
        return f"{self.database}.{self.local_name}"

    @property
    def whole(self) -> str:
        """What is asked, on a server for its rows, on a cluster for those of all shards."""
        return f"{self.database}.{self.name}_{self.version[:12]}{'_all' if self.cluster else ''}"

    @property
    def plain(self) -> str:
        """The same of the current version, whichever it is."""
        return f"{self.database}.{self.name}"


def quoted(name: str) -> str:
    """A name in SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def text(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def comment(told: About) -> str:
    return text(json.dumps(told.model_dump()))


def columns_of(names: Sequence[str], taken: Collection[str] = OWN) -> dict[str, str]:
    """What fields are called in the database: most of them as they are.

    Not those of `taken`, and none with a dot, which would be a part of another one there.
    """
    columns = {name: name for name in names if "." not in name and name not in taken}
    for name in names:
        column = name.replace(".", "_")
        while name not in columns and (column in taken or column in columns.values()):
            column = f"field_{column}"
        columns.setdefault(name, column)
    return columns


def fields_of(schema: pa.Schema) -> dict[str, tuple[str, str]]:
    """Field → column and type in the database; null is None, of a list an empty one."""
    names = [name for name in schema.names if name != "id"]
    columns = columns_of(names)
    return {name: (columns[name], type_of(schema.field(name).type)) for name in names}


def type_of(type: pa.DataType) -> str:
    """The type of a column in the database; what has none there becomes a text."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return "Array(String)"
    plain = "String"
    if pa.types.is_boolean(type):
        plain = "Bool"
    elif pa.types.is_unsigned_integer(type):
        plain = "UInt64"
    elif pa.types.is_integer(type):
        plain = "Int64"
    elif pa.types.is_floating(type):
        plain = "Float64"
    elif pa.types.is_timestamp(type):
        plain = "DateTime64(6, 'UTC')"  # without a zone too: else the server's own would count
    elif pa.types.is_date(type):
        plain = "Date32"
    return f"Nullable({plain})"


def photos_statement(names: Names, fields: Mapping[str, tuple[str, str]], told: About) -> str:
    """Makes what holds the pictures of one server."""
    columns = [
        f"{ROW} UInt64",
        "id String",
        "photo_id String ALIAS id",
        f"{VECTOR} Array(Float32) CODEC(NONE)",  # incompressible
        f"{WIDTH} UInt32",
        f"{HEIGHT} UInt32",
        *(f"{quoted(column)} {type}" for column, type in fields.values()),
        f"CONSTRAINT of_{told.dim}_numbers CHECK length({VECTOR}) = {told.dim}",
        "INDEX by_id id TYPE bloom_filter(0.001) GRANULARITY 8",
    ]
    # Few rows a granule: of what the graph finds, a row is read alone.
    return (
        f"CREATE TABLE IF NOT EXISTS {names.local} ({', '.join(columns)}) ENGINE = MergeTree "
        f"ORDER BY {ROW} SETTINGS index_granularity = 128 COMMENT {comment(told)}"
    )


def index_statement(names: Names, dim: int) -> str:
    """Has the vectors of one server indexed."""
    return (
        f"ALTER TABLE {names.local} ADD INDEX IF NOT EXISTS {INDEX} {VECTOR} "
        f"TYPE vector_similarity('hnsw', 'cosineDistance', {dim}, {_HNSW}) GRANULARITY 100000000"
    )


def extra_names(infos: Iterable[TableInfo]) -> dict[str, str]:
    """What the tables beside the pictures are called in the database: only `photos` otherwise."""
    return columns_of([info.name for info in infos], {PHOTOS})


def extra_statement(names: Names, columns: Mapping[str, str], key: str, told: About) -> str:
    """Makes what holds the rows of a table beside the pictures, of one server."""
    listed = ", ".join(f"{quoted(name)} {type}" for name, type in columns.items())
    return (
        f"CREATE TABLE IF NOT EXISTS {names.local} ({listed}) ENGINE = MergeTree "
        f"ORDER BY {quoted(key)} COMMENT {comment(told)}"
    )


def extra_columns(schema: pa.Schema, info: TableInfo) -> dict[str, str]:
    """Column → type of a table beside the pictures."""
    columns = columns_of(schema.names, ())
    return {
        columns[name]: "String" if name == info.key else type_of(schema.field(name).type)
        for name in schema.names
    }


def as_stored(rows: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """Rows as the database takes them: what it has no type for becomes a text."""
    rows = rows.rename_columns(list(columns))
    for place, (name, type) in enumerate(columns.items()):
        column = rows.column(place)
        if "String" in type and not pa.types.is_string(column.type):
            wanted = pa.list_(pa.string()) if type.startswith("Array") else pa.string()
            rows = rows.set_column(place, name, _as_texts(column, wanted))
    return rows


def _as_texts(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # such as rows within rows
        values = (None if value is None else str(value) for value in column.to_pylist())
        if pa.types.is_list(wanted):
            return pa.array(([value] if value else None for value in values), wanted)
        return pa.array(values, wanted)


def over_shards(names: Names, called: str, key: str, told: About) -> str:
    """Makes what asks all shards; a picture and what belongs to it have the same one."""
    return (
        f"CREATE OR REPLACE TABLE {called} AS {names.local} ENGINE = Distributed("
        f"{names.cluster}, {names.database}, {names.local_name}, cityHash64({quoted(key)})) "
        f"COMMENT {comment(told)}"
    )


def current(names: Names, key: str, told: About) -> str:
    """Has the plain name mean this version, from one moment to the next."""
    if names.cluster:
        return over_shards(names, names.plain, key, told)
    return (
        f"CREATE OR REPLACE TABLE {names.plain} ENGINE = Alias({text(names.database)}, "
        f"{text(names.local_name)}) COMMENT {comment(told)}"
    )


def about_of(manifest: Manifest, version: str, whole: bool = False) -> About:
    """What the table of the pictures says of itself."""
    return About(
        collection=manifest.collection.name,
        version=version,
        rows=manifest.rows,
        dim=manifest.encoder.dim,
        whole=whole,
    )
