"""The commands `engine load`, `engine status`, `engine sql` and `engine drop`."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from image_search.engine.address import Address, parse
from image_search.errors import ConfigError, EngineError
from image_search.options import AsJson
from image_search.settings import settings
from image_search.tidy import tidy

if TYPE_CHECKING:
    from image_search.engine.connection import Connection
    from image_search.engine.holdings import Holding

engine = typer.Typer(help="A database that searches, for collections beyond one machine.")

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="The database: chdb://FOLDER, or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE. "
        "Default: the setting IMAGE_SEARCH_ENGINE, where a password is in nobody's sight.",
    ),
]
Where = Annotated[
    str | None,
    typer.Argument(metavar="ENGINE", help="The database. Default: IMAGE_SEARCH_ENGINE."),
]


_GIVES_ROWS = re.compile(r"[\s(]*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS)\b", re.IGNORECASE)


@engine.command("load")
def load_engine(
    artifact: Annotated[
        str,
        typer.Argument(
            metavar="COLLECTION", help="The built collection: a folder, or user/name@revision."
        ),
    ],
    to: To = None,
    as_json: AsJson = False,
) -> None:
    """Load a built collection into a database, whole, and make it the current one.

    Stopped at any moment, the same command goes on. Who reads the version before goes on doing so.
    """
    from tqdm import tqdm

    from image_search.artifact import Artifact
    from image_search.engine.load import load

    address = _address(to)
    opened = Artifact.open(artifact)
    shown = sys.stderr.isatty()
    with tqdm(total=len(opened), desc="Loading", unit=" pictures", disable=not shown) as progress:
        try:
            loaded = load(
                address, opened, progress, lambda text: tqdm.write(f"{text} …", sys.stderr)
            )
        except KeyboardInterrupt:
            print("Stopped. The same command goes on from here.", file=sys.stderr)
            raise
    if as_json:
        print(json.dumps({"engine": str(address), "version": opened.version, **vars(loaded)}))
        return
    print(f"{loaded.rows:,} pictures are in {address}, {loaded.inserted:,} of them new.")
    for name, rows in loaded.tables.items():
        print(f"Table {name}: {rows:,} rows.")
    if loaded.replaced:
        print(
            f"note: `photos` in SQL meant {loaded.replaced} until now, which can still be searched."
        )
    for version in loaded.dropped:
        print(f"Dropped: version {version[:12]}, older than the one before.")
    place = shlex.quote(artifact)
    print(
        f"Next: IMAGE_SEARCH_ENGINE={shlex.quote(str(address))} IMAGE_SEARCH_ARTIFACT={place} "
        "python app.py"
    )
    if address.password or address.user != "default":
        print("      (with the user and the password in it, which are not shown here)")


@engine.command("status")
def engine_status(where: Where = None, as_json: AsJson = False) -> None:
    """Say what a database holds, on each server, and whether its index is built and used."""
    from image_search.engine.connection import PATIENCE
    from image_search.engine.holdings import holdings

    address = _address(where)
    held, troubles = [], []
    for host in _hosts(address, PATIENCE):
        try:
            held += holdings(host)
        except EngineError as error:
            troubles.append(str(error))
    if as_json:
        print(json.dumps([_plain(one) for one in held], ensure_ascii=False, indent=2))
    elif not held and not troubles:
        print(f"{address} holds no collection.")
    for one in held if not as_json else ():
        print("\n".join(_lines(one)))
    for trouble in troubles:
        print(f"error: {trouble}", file=sys.stderr)
    if troubles:
        raise typer.Exit(1)


@engine.command("sql")
def engine_sql(
    statement: Annotated[str, typer.Argument(metavar="STATEMENT", help="One, such as SELECT …")],
    where: Annotated[
        str | None, typer.Option("--engine", help="The database. Default: IMAGE_SEARCH_ENGINE.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a database in SQL, with the rights that its address gives."""
    from pyarrow import ArrowInvalid

    from image_search.engine.connection import FOR_PEOPLE, LONG, Connection

    address = _address(where)
    connection = Connection(address, patience=LONG, database=address.database)
    if not statement.strip():
        raise typer.BadParameter("the statement is empty")
    Connection(address).rows("SELECT 1")  # so that a silent server is not waited for for hours
    try:
        if not _GIVES_ROWS.match(statement):
            connection.command(statement)
            print("Done.", file=sys.stderr)
            return
        found = connection.table(statement, **FOR_PEOPLE)
    except EngineError as error:  # here it is the statement, more often than the database
        raise ConfigError(error.detail or error.told) from None
    except (ArrowInvalid, OSError):
        raise ConfigError(
            "That gave no table. Send one statement at a time, without INTO OUTFILE and FORMAT; "
            "--json prints JSON."
        ) from None
    if as_json:
        print(json.dumps(found.to_pylist(), ensure_ascii=False, indent=2, default=str))
        return
    print("\t".join(found.column_names))
    for row in found.to_pylist():
        print("\t".join(tidy(_cell(value)) for value in row.values()))


@engine.command("drop")
def drop_engine(
    where: Where = None,
    version: Annotated[
        str | None, typer.Option(help="Only this version, as `engine status` shows it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop the tables of collections from a database; the built collection itself stays."""
    from image_search.engine.connection import LONG, PATIENCE
    from image_search.engine.holdings import drop_version, holdings

    address = _address(where)
    if version == "":
        raise typer.BadParameter("--version is empty; without it all versions are dropped")
    for host in _hosts(address, PATIENCE):
        host.rows("SELECT 1")  # so that a silent server is not waited for for hours
    hosts = _hosts(address, LONG)
    held = {one.about.version: one for host in hosts for one in holdings(host)}
    chosen = [one for one in held.values() if one.about.version.startswith(version or "")]
    if not chosen:
        there = ", ".join(one[:12] for one in held)
        raise ConfigError(
            f"{address} holds no version {version}, but {there}."
            if held
            else f"{address} holds no collection."
        )
    for one in chosen:
        use = ", which is the current one" if one.current else ""
        print(
            f"{one.about.collection}, version {one.about.version[:12]}, {one.about.rows:,} "
            f"pictures{use}"
        )
    if not yes:
        what = "this version" if len(chosen) == 1 else f"these {len(chosen)} versions"
        typer.confirm(f"Drop {what} from {address}? Built collections stay.", abort=True)
    for host in hosts:
        for one in chosen:
            drop_version(host, one.about.version)
    print("Dropped. `engine load` loads a built collection again.")


def _address(text: str | None) -> Address:
    chosen = text or settings().engine
    if not chosen:
        raise typer.BadParameter(
            "which database? Name chdb://FOLDER, or clickhouse://USER:PASSWORD@HOST:PORT/DATABASE, "
            "or set IMAGE_SEARCH_ENGINE"
        )
    return parse(chosen)


def _hosts(address: Address, patience: int) -> list["Connection"]:
    from image_search.engine.connection import Connection

    return [Connection(address, host, patience) for host in range(max(1, len(address.hosts)))]


def _plain(one: "Holding") -> dict[str, Any]:
    return {**vars(one), "about": one.about.model_dump()}


def _lines(one: "Holding") -> Iterator[str]:
    standing = "current" if one.current else "not current"
    whole = "whole" if one.about.whole else "not whole: its load was stopped, or goes on"
    version = one.about.version[:12]
    yield f"{one.host}: {one.about.collection}, version {version} ({standing}, {whole})"
    yield f"  {one.rows:,} of {one.about.rows:,} pictures, {one.bytes / 1e6:,.1f} MB"
    used = "used by searches" if one.index_used else "not used: searches look at every vector"
    yield f"  index {one.index_bytes / 1e6:,.1f} MB, {used}"
    for name, rows in one.tables.items():
        yield f"  {name}: {rows:,} rows"


def _cell(value: object) -> str:
    if isinstance(value, list) and len(value) > 8:
        return f"[{', '.join(map(str, value[:3]))}, … {len(value)} values]"
    return str(value)
