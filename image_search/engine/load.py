"""A built collection → the tables of a database.

Everything is made beside what is there, under names that hold the version, and becomes current at
the end, from one moment to the next; whoever reads the former version goes on doing so. Stopped at
any moment, the same call goes on: of rows that were inserted before, none is inserted twice.
"""

import getpass
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from image_search.artifact import Artifact
from image_search.encoder import Vectors
from image_search.engine import tables
from image_search.engine.address import Address
from image_search.engine.connection import LONG, Connection, make_folder
from image_search.engine.holdings import drop_version, holdings, is_used
from image_search.engine.tables import HEIGHT, INDEX, PHOTOS, ROW, VECTOR, WIDTH, Names, quoted
from image_search.errors import ConfigError, EngineError
from image_search.manifest import TABLES, TableInfo
from image_search.progress import Progress

OLDEST = (26, 9)
"""Of ClickHouse: before, a search over shards looked at every vector."""

BATCH = 10_000
"""Pictures that are inserted at a time; their vectors are 20 MB."""

EXTRA_BATCH = 200_000
"""Rows of a table beside them."""

LOOK = 0.5
"""Seconds between two looks at whether an index is made."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Loaded:
    """What a load did."""

    rows: int
    inserted: int
    tables: dict[str, int]
    """Table beside the pictures → rows."""
    dropped: list[str]
    """Versions before the former one, whose tables are gone."""
    replaced: str
    """Another collection that the plain names meant until now."""


def load(address: Address, artifact: Artifact, progress: Progress, say: Say) -> Loaded:
    """Load a collection, whole, and make it the current one.

    `progress` is told how many pictures are in, `say` what else is going on. Raises EngineError,
    and ConfigError if another process of this machine loads into the same database.
    """
    with _alone(address):
        return _Loader(address, artifact, progress, say).run()


@contextmanager
def _alone(address: Address) -> Iterator[None]:
    name = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    try:
        path = Path(tempfile.gettempdir()) / f"image-search-{getpass.getuser()}-{name}.lock"
        with FileLock(path, blocking=False):
            yield
    except Timeout:
        raise ConfigError(
            f"Another process loads into {address} at the moment. Wait for it, or stop it first."
        ) from None


class _Loader:
    def __init__(self, address: Address, artifact: Artifact, progress: Progress, say: Say) -> None:
        self._address = address
        self._artifact = artifact
        self._progress = progress
        self._say = say
        self._hosts = [Connection(address, n, LONG) for n in range(max(1, len(address.hosts)))]
        self._first = self._hosts[0]
        self._about = tables.about_of(artifact.manifest, artifact.version)
        self._photos = self._names(PHOTOS)
        self._extras = artifact.manifest.tables
        self._called = tables.extra_names(self._extras)
        self._columns: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def run(self) -> Loaded:
        self._prepare()
        current = next((held.about for held in holdings(self._first) if held.current), self._about)
        inserted = self._insert_photos()
        self._check_photos()
        self._everywhere(self._index)
        extras = {info.name: self._load_extra(info) for info in self._extras}
        self._finish()
        replaced = "" if current.collection == self._about.collection else current.collection
        return Loaded(self._about.rows, inserted, extras, self._drop_old(current), replaced)

    def _names(self, name: str) -> Names:
        return Names(self._address.database, name, self._artifact.version, self._address.cluster)

    def _everywhere(self, work: Callable[[Connection], object]) -> None:
        """Have something done on all servers at the same time."""
        with ThreadPoolExecutor(len(self._hosts)) as pool:
            list(pool.map(work, self._hosts))

    def _prepare(self) -> None:
        if self._address.folder:
            make_folder(self._address.folder)
        for number, host in enumerate(self._hosts):
            version = str(Connection(self._address, number).rows("SELECT version()")[0][0])
            if tuple(map(int, version.split(".")[:2])) < OLDEST:
                raise EngineError(f"{host.name} is ClickHouse {version}; 26.9 or newer is needed.")
            host.command(f"CREATE DATABASE IF NOT EXISTS {quoted(self._address.database)}")
            self._check_names(host)
            host.command(tables.DISTANCE)
        if self._address.cluster:
            self._check_cluster()

    def _check_names(self, host: Connection) -> None:
        """Raise ConfigError if a table of somebody else's has a name that becomes ours."""
        wanted = [PHOTOS, *self._called.values()]
        found = host.rows(
            "SELECT name, comment FROM system.tables "
            "WHERE database = {d:String} AND name IN {names:Array(String)}",
            {"d": self._address.database, "names": wanted},
        )
        for name, comment in found:
            if tables.about(comment) is None:
                raise ConfigError(
                    f"The database {self._address.database} on {host.name} has a table {name} that "
                    "`engine load` did not make. Name another database in the address."
                )

    def _check_cluster(self) -> None:
        for host in self._hosts:
            shards = host.rows(
                "SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {name:String}",
                {"name": self._address.cluster},
            )[0][0]
            if shards != len(self._hosts):
                raise ConfigError(
                    f"The cluster {self._address.cluster} has {shards} shards as {host.name} knows "
                    f"it, and the address names {len(self._hosts)} hosts. Name one of each shard."
                )

    def _make(self, names: Names, local: str, key: str) -> None:
        """Make a table on all servers, unless it is there."""
        for host in self._hosts:
            host.command(local)
        if self._address.cluster:
            for host in self._hosts:
                host.command(tables.over_shards(names, names.whole, key, self._about))

    # The pictures

    def _insert_photos(self) -> int:
        """Insert what is not there; gives the number of rows."""
        fields = tables.fields_of(self._artifact.catalogue.table.schema)
        self._columns = {name: column for name, (column, _) in fields.items()}
        statement = tables.photos_statement(self._photos, fields, self._about)
        self._make(self._photos, statement, "id")
        there = self._batches_there()
        inserted = 0
        for start in range(0, self._about.rows, BATCH):
            count = min(BATCH, self._about.rows - start)
            if not there.get(start):
                if start in there:  # some of it: a load was stopped
                    self._delete(start)
                self._first.insert(self._photos.whole, self._rows(start, count))
                inserted += count
            self._progress.update(count)
        return inserted

    def _batches_there(self) -> dict[int, bool]:
        """First row of each batch of which something is there → whether all of it is."""
        found = self._first.rows(
            f"SELECT intDiv({ROW}, {BATCH}) * {BATCH} AS start, count(), uniqExact({ROW}) "
            f"FROM {self._photos.whole} GROUP BY start"
        )
        return {
            start: rows == distinct == min(BATCH, self._about.rows - start)
            for start, rows, distinct in found
        }

    def _delete(self, start: int) -> None:
        statement = (
            f"ALTER TABLE {self._photos.local} "
            f"DELETE WHERE {ROW} >= {start} AND {ROW} < {start + BATCH}"
        )
        for host in self._hosts:
            host.command(statement, mutations_sync=2)

    def _rows(self, start: int, count: int) -> pa.Table:
        catalogue = self._artifact.catalogue
        fields = catalogue.table.slice(start, count)
        sizes = catalogue.sizes.slice(start, count)
        vectors = self._artifact.vectors(start, count)
        columns = {
            ROW: pa.array(np.arange(start, start + count, dtype=np.uint64)),
            VECTOR: _lists(vectors),
            WIDTH: sizes.column("width"),
            HEIGHT: sizes.column("height"),
        }
        for name in fields.column_names:
            columns["id" if name == "id" else self._columns[name]] = fields.column(name)
        return pa.table(columns)

    def _check_photos(self) -> None:
        rows, distinct, last = self._first.rows(
            f"SELECT count(), uniqExact({ROW}), max({ROW}) FROM {self._photos.whole}"
        )[0]
        if not rows == distinct == last + 1 == self._about.rows:
            raise EngineError(
                f"The database holds {rows:,} rows, {distinct:,} different ones, instead of "
                f"{self._about.rows:,}. Does another machine load the same collection? If not, "
                "give the command again."
            )

    # The index

    def _index(self, host: Connection) -> None:
        """Have one server's vectors merged and indexed, unless they are."""
        if is_used(host, self._photos):
            return
        self._say(f"{host.name}: making the index")
        if not self._is_indexing(host):
            # Merged first: an index over many small parts would be made again at each merge.
            host.command(f"OPTIMIZE TABLE {self._photos.local} FINAL")
            host.command(tables.index_statement(self._photos, self._about.dim))
            host.command(
                f"ALTER TABLE {self._photos.local} MATERIALIZE INDEX {INDEX}", mutations_sync=0
            )
        told = 0
        while self._is_indexing(host):
            if (percent := self._percent(host)) >= told + 10:
                told = percent
                self._say(f"{host.name}: {percent} % of the index is made")
            time.sleep(LOOK)
        if not is_used(host, self._photos):
            raise EngineError(f"{host.name} does not use the index that it was told to make.")

    def _is_indexing(self, host: Connection) -> bool:
        """Whether an index is being made there; it goes on though a load was stopped."""
        found = host.rows(
            "SELECT latest_fail_reason FROM system.mutations WHERE database = {d:String} "
            "AND table = {t:String} AND NOT is_done AND command LIKE '%MATERIALIZE INDEX%'",
            {"d": self._address.database, "t": self._photos.local_name},
        )
        for (reason,) in found:
            if reason:
                raise EngineError(f"{host.name} cannot make the index: {reason[:300]}")
        return bool(found)

    def _percent(self, host: Connection) -> int:
        done = host.rows(
            "SELECT max(progress) FROM system.merges WHERE database = {d:String} "
            "AND table = {t:String} AND is_mutation",
            {"d": self._address.database, "t": self._photos.local_name},
        )[0][0]
        return int(100 * done)

    # The tables beside them

    def _load_extra(self, info: TableInfo) -> int:
        """Have a table there as a whole; gives the number of its rows."""
        names = self._names(self._called[info.name])
        with pq.ParquetFile(self._artifact.files.local(f"{TABLES}/{info.name}.parquet")) as file:
            columns = tables.extra_columns(file.schema_arrow, info)
            key = tables.columns_of(file.schema_arrow.names, ())[info.key]
            self._make(names, tables.extra_statement(names, columns, key, self._about), key)
            self._keys[names.name] = key
            if self._count(names) == info.rows:
                return info.rows
            self._say(f"Loading {info.name}")
            self._everywhere(lambda host: host.command(f"TRUNCATE TABLE {names.local}"))
            for batch in file.iter_batches(EXTRA_BATCH):
                rows = tables.as_stored(pa.Table.from_batches([batch]), columns)
                self._first.insert(names.whole, rows)
        if (count := self._count(names)) != info.rows:
            raise EngineError(
                f"The database holds {count:,} rows of {info.name} instead of {info.rows:,}. Give "
                "the command again."
            )
        return info.rows

    def _count(self, names: Names) -> int:
        return int(self._first.rows(f"SELECT count() FROM {names.whole}")[0][0])

    # The end

    def _finish(self) -> None:
        """Say that all is there, then have it be the current version."""
        told = self._about.model_copy(update={"whole": True})
        keys = {PHOTOS: "id", **self._keys}
        self._check_photos()  # another load may have added to it since
        for host in self._hosts:
            for name in keys:
                local = self._names(name).local
                host.command(f"ALTER TABLE {local} MODIFY COMMENT {tables.comment(told)}")
        for host in self._hosts:
            for name, key in keys.items():
                host.command(tables.current(self._names(name), key, told))

    def _drop_old(self, former: tables.About) -> list[str]:
        """Drop all of this collection but this version and the one before, which may be read."""
        if former.version == self._about.version:
            return []
        kept = {former.version, self._about.version}
        old = [
            held.about.version
            for held in holdings(self._first)
            if held.about.collection == self._about.collection and held.about.version not in kept
        ]
        for host in self._hosts:
            for version in old:
                drop_version(host, version)
        return old


def _lists(vectors: Vectors) -> pa.ListArray:
    rows, dim = vectors.shape
    offsets = pa.array(np.arange(0, rows * dim + 1, dim, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1)))
