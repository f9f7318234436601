"""What a database holds: which versions of which collections, per server, and whether indexed."""

from collections.abc import Iterator
from dataclasses import dataclass

from image_search.engine.connection import Connection
from image_search.engine.tables import INDEX, PHOTOS, ROW, VECTOR, About, Names, about, quoted
from image_search.errors import EngineError

NOT_USED = 277
"""ClickHouse's code for an index that was asked for and would not be used."""


@dataclass(frozen=True)
class Holding:
    """The pictures of one version on one server."""

    host: str
    about: About
    current: bool
    """Whether the plain names mean this version there."""
    rows: int
    """Of this server; all of them together are `about.rows`."""
    parts: int
    bytes: int
    """On the disk, without the index."""
    index_bytes: int
    index_used: bool
    tables: dict[str, int]
    """Table beside the pictures → rows on this server."""


def holdings(host: Connection, cluster: str | None = None) -> list[Holding]:
    """What one server holds, the current version first, then the newest."""
    listed = host.rows(
        "SELECT name, comment, total_rows, engine FROM system.tables "
        "WHERE database = {d:String} ORDER BY metadata_modification_time DESC, name",
        {"d": host.address.database},
    )
    ours = [(name, told, rows, kind) for name, text, rows, kind in listed if (told := about(text))]
    current = next((told.version for name, told, _, _ in ours if name == PHOTOS), "")
    found = []
    for name, told, rows, kind in ours:
        names = Names(host.address.database, PHOTOS, told.version, host.address.cluster)
        if kind != "MergeTree" or name != names.local_name:
            continue
        suffix = names.local_name.removeprefix(PHOTOS)
        tables = {
            other.removesuffix(suffix): int(count)
            for other, of, count, kind in ours
            if kind == "MergeTree" and of.version == told.version and other != name
        }
        found.append(_holding(host, names, told, told.version == current, int(rows), tables))
    return sorted(found, key=lambda held: not held.current)


def _holding(
    host: Connection, names: Names, told: About, current: bool, rows: int, tables: dict[str, int]
) -> Holding:
    where = {"d": host.address.database, "t": names.local_name}
    parts, size = host.rows(
        "SELECT count(), sum(data_compressed_bytes) FROM system.parts WHERE active "
        "AND database = {d:String} AND table = {t:String}",
        where,
    )[0]
    index = host.rows(
        "SELECT sum(data_compressed_bytes) FROM system.data_skipping_indices "
        f"WHERE database = {{d:String}} AND table = {{t:String}} AND name = '{INDEX}'",
        where,
    )[0][0]
    return Holding(
        host=host.name,
        about=told,
        current=current,
        rows=rows,
        parts=int(parts),
        bytes=int(size),
        index_bytes=int(index),
        index_used=is_used(host, names),
        tables=tables,
    )


def is_used(host: Connection, names: Names) -> bool:
    """Whether a search on one server uses the index: it is asked to, or to say that it does not.

    Also of a server that holds no picture, which has nothing to index.
    """
    found = host.rows(f"SELECT {VECTOR} FROM {names.local} LIMIT 1")
    if not found:
        return True
    try:
        host.rows(
            f"SELECT {ROW} FROM {names.local} "
            f"ORDER BY cosineDistance({VECTOR}, {{vector:Array(Float32)}}) LIMIT 1",
            {"vector": list(found[0][0])},
            force_data_skipping_indices=INDEX,
        )
    except EngineError as error:
        if error.code == NOT_USED:
            return False
        raise
    # It counts as used also where it was not made yet, and every vector is looked at.
    return _indexed_parts(host, names)


def _indexed_parts(host: Connection, names: Names) -> bool:
    made = host.rows(
        "SELECT sum(data_compressed_bytes) FROM system.data_skipping_indices "
        f"WHERE database = {{d:String}} AND table = {{t:String}} AND name = '{INDEX}'",
        {"d": host.address.database, "t": names.local_name},
    )[0][0]
    return bool(made)


def drop_version(host: Connection, version: str) -> None:
    """Drop all tables of a version on one server; the plain names too, if they mean it."""
    for name in _tables_of(host, version):
        host.command(f"DROP TABLE IF EXISTS {quoted(host.address.database)}.{quoted(name)} SYNC")


def _tables_of(host: Connection, version: str) -> Iterator[str]:
    """Those that ask others before those that are asked, and last what `holdings` goes by."""
    listed = host.rows(
        "SELECT name, comment FROM system.tables WHERE database = {d:String} "
        f"ORDER BY engine = 'MergeTree', startsWith(name, '{PHOTOS}_'), name",
        {"d": host.address.database},
    )
    for name, text in listed:
        told = about(text)
        if told and told.version == version:
            yield name
