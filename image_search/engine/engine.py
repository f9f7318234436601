"""One version of a collection in a database: what searches it, and what is known of it there."""

import shlex

from image_search.engine import tables
from image_search.engine.address import parse
from image_search.engine.catalogue import EngineCatalogue
from image_search.engine.connection import Connection
from image_search.engine.tables import PHOTOS, Names
from image_search.errors import ConfigError
from image_search.index.clickhouse import ClickHouseIndex
from image_search.manifest import Manifest


class Engine:
    """A version that was loaded as a whole."""

    def __init__(self, connection: Connection, names: Names, manifest: Manifest) -> None:
        self.connection = connection
        listed = connection.rows(
            "SELECT name, type FROM system.columns WHERE database = {d:String} "
            "AND table = {t:String}",
            {"d": names.database, "t": names.local_name},
        )
        types = {str(name): str(type) for name, type in listed}
        columns = tables.columns_of([field.name for field in manifest.fields])
        fields = {name: (column, types[column]) for name, column in columns.items()}
        self.index = ClickHouseIndex(
            connection, names.whole, manifest.rows, manifest.encoder.dim, fields
        )
        self.catalogue = EngineCatalogue(
            connection, names.whole, manifest.rows, fields, self.index.count
        )
        self.tables = {
            name: Names(names.database, called, names.version, names.cluster).whole
            for name, called in tables.extra_names(manifest.tables).items()
        }
        """Table beside the pictures → what it is called in the database."""

    def check(self) -> None:
        """Raise EngineError if the database does not answer, or not as a whole."""
        self.index.count()

    @classmethod
    def open(cls, address: str, manifest: Manifest, version: str, place: str) -> "Engine":
        """Open a version, of the collection at `place`.

        Raises ConfigError for a wrong address, or if the version is not there; EngineError if the
        database does not answer.
        """
        parsed = parse(address)
        connection = Connection(parsed)
        names = Names(parsed.database, PHOTOS, version, parsed.cluster)
        found = connection.rows(
            "SELECT name, comment FROM system.tables "
            "WHERE database = {d:String} AND name IN {names:Array(String)}",
            {"d": names.database, "names": [names.local_name, PHOTOS]},
        )
        told = {name: tables.about(comment) for name, comment in found}
        about, current = told.get(names.local_name), told.get(PHOTOS)
        if about is None or not about.whole or about.version != version:
            held = "nothing"
            if about:
                held = "a part of it: its load was stopped, or goes on"
            elif current:
                held = f"version {current.version[:12]} of {current.collection}"
            raise ConfigError(
                f"{parsed} holds {held}; {place} is version {version[:12]} of "
                f"{manifest.collection.name}. Load it: python -m image_search engine load "
                f"{shlex.quote(place)} --to {shlex.quote(str(parsed))}"
            )
        return cls(connection, names, manifest)
