"""Asking a database: one statement at a time, from any thread, within a time limit.

What goes wrong becomes an EngineError with a sentence for visitors. No answer is ever a part of
one: a shard that does not answer, and a time limit that is reached, are errors.
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_search.engine.address import Address
from image_search.errors import ConfigError, EngineError

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY = Path(":memory:")
"""In the place of a folder: an embedded database that is gone with the process."""

PATIENCE = 10
"""Seconds within which a question is answered."""

PIECE = 100_000
"""Bytes of one value that is bound in a statement."""

LONG = 12 * 3600
"""The same for what a load does: merging and indexing many millions of rows."""

_WHOLE = {
    # A server may have other defaults, with which an answer could lack rows.
    "skip_unavailable_shards": 0,
    "timeout_overflow_mode": "throw",
    "result_overflow_mode": "throw",
    "read_overflow_mode": "throw",
    # What was inserted is there when the statement ends, on every shard.
    "distributed_foreground_insert": 1,
    "async_insert": 0,
}

FOR_PEOPLE: dict[str, Any] = {
    # Of what the graph finds, a condition such as photo_id != '…' takes some away again.
    "vector_search_index_fetch_multiplier": 2,
    "vector_search_with_rescoring": 1,
    # A join over shards: the smaller side is sent to all of them.
    "distributed_product_mode": "global",
}
"""With these, statements as people write them give what they mean."""

_TOLD: tuple[tuple[frozenset[int | None], str], ...] = (
    (
        frozenset({159, 160}),
        f"The search took longer than {PATIENCE} seconds and was stopped. Try again in a while.",
    ),
    (
        frozenset({32, 198, 209, 210, 236, 279, 394, 425, 519}),
        "A part of the collection cannot be reached at the moment, so this was not answered: it "
        "would miss pictures without saying so. Try again in a while.",
    ),
    (frozenset({192, 193, 194, 497, 516}), "The database does not let this program in."),
    (frozenset({60, 81}), "The database does not hold this collection, or not all of it."),
    (frozenset({241}), "The database has too little memory for this. Try again in a while."),
    (frozenset({None}), "The database does not answer at the moment. Try again in a while."),
)
"""ClickHouse's codes, None where there is no answer, and what is said of them."""


_NO_ANSWER = re.compile(
    "Connection refused|Name or service not known|No address associated|Failed to resolve|"
    "timed out|No route to host|Connection reset|Connection aborted"
)


class Connection:
    """One server, or the folder of an embedded database; `patience` is in seconds.

    Names of tables without their database are of `database`, else of the server's default.
    """

    def __init__(
        self, address: Address, host: int = 0, patience: int = PATIENCE, database: str | None = None
    ) -> None:
        self.address = address
        self.name = (
            str(address.folder) if address.folder else ":".join(map(str, address.hosts[host]))
        )
        self.patience = patience
        self._host = host
        self._database = database
        self._mine = threading.local()
        self._shared: Any = None
        self._lock = threading.Lock()

    def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> Sequence[Sequence[Any]]:
        """The rows that a question gives. Raises EngineError."""
        with self._telling():
            found: Sequence[Sequence[Any]] = (
                self._client()
                .query(sql, parameters=parameters, settings=self._limits(settings))
                .result_rows
            )
        return found

    def table(
        self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> "pa.Table":
        """The same as a table with names and types. Raises EngineError."""
        with self._telling():
            return self._client().query_arrow(
                sql, parameters=parameters, settings=self._limits(settings)
            )

    def command(self, sql: str, **settings: Any) -> None:
        """Have something done. Raises EngineError."""
        with self._telling():
            self._client().command(sql, settings=self._limits(settings))

    def insert(self, table: str, rows: "pa.Table", **settings: Any) -> None:
        """Append rows to a table, by name of column. Raises EngineError."""
        with self._telling():
            self._client().insert_arrow(table, rows, settings=self._limits(settings))

    def _limits(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**_WHOLE, "max_execution_time": self.patience, **settings}

    def _client(self) -> Any:
        """The client for this thread: an embedded one takes one question at a time."""
        if not self.address.folder:
            if self._shared is None:  # not within a lock: a server that is silent is waited for
                self._shared = self._connect()
            return self._shared
        if not hasattr(self._mine, "client"):
            self._mine.client = self._connect()
            with self._lock:  # as long as there is one, the database stays open
                self._shared = self._shared or self._mine.client
        return self._mine.client

    def _connect(self) -> Any:
        connect = _library()
        if self.address.folder:
            _check_folder(self.address.folder)
            return connect.get_client(
                interface="chdb", path=str(self.address.folder), database=self._database
            )
        host, port = self.address.hosts[self._host]
        return connect.get_client(
            host=host,
            port=port,
            database=self._database,
            username=self.address.user,
            password=self.address.password,
            secure=self.address.secure,
            connect_timeout=min(5, self.patience),
            send_receive_timeout=self.patience + 2,
            autogenerate_session_id=False,  # else it would take one question at a time
            query_retries=0,
            form_encode_query_params=True,  # a vector is too long for an address
            client_name="image-search",
        )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the client raises into an EngineError."""
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith("clickhouse_connect"):
                raise
            raise self._told(error) from None

    def _told(self, error: Any) -> EngineError:
        said = " ".join(str(error).split())
        code = error.code
        if code is None and (why := _NO_ANSWER.search(said)):
            said = f"{why[0]}; is ClickHouse there, and is that its HTTP port, mostly 8123?"
        detail = f"{self.name}: {_shortened(said)}"
        if "Unable to open the chdb engine" in said:
            return EngineError(
                f"The database in {self.name} cannot be opened: another process uses it. Only one "
                "at a time can: stop the other one, or use a server."
            )
        for codes, told in _TOLD:
            if code in codes:
                return EngineError(told, detail, code)
        return EngineError("The database could not answer this.", detail, code)


def in_pieces(texts: Sequence[str]) -> Iterator[list[str]]:
    """Some at a time: a server takes 128 KB as one value, with every odd character escaped."""
    piece: list[str] = []
    size = 0
    for text in texts:
        size += 3 * len(text.encode()) + 4
        if piece and size > PIECE:
            yield piece
            piece, size = [], 3 * len(text.encode()) + 4
        piece.append(text)
    if piece:
        yield piece


def _shortened(text: str) -> str:
    """Its first words, not the whole log of a server."""
    return text if len(text) < 400 else f"{text[:400].rpartition(' ')[0]} …"


def make_folder(folder: Path) -> None:
    """Make the folder of an embedded database, unless there is one; it holds nothing yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / "metadata").mkdir()


def _check_folder(folder: Path) -> None:
    """Raise ConfigError if it is not of an embedded database, which would make one of any."""
    if folder != MEMORY and not (folder / "metadata").is_dir():
        what = "holds something else than a database" if folder.exists() else "does not exist"
        raise ConfigError(
            f"{folder} {what}. `engine load ARTIFACT --to chdb://FOLDER` makes one in a new folder."
        )


def _library() -> Any:
    """The client. Raises ConfigError if it is not installed."""
    try:
        import chdb  # noqa: F401
        import clickhouse_connect
    except ImportError:
        raise ConfigError(
            "For this a database is needed that is not installed: "
            "pip install -r requirements-engine.txt"
        ) from None
    # What went wrong is told once, by us.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    return clickhouse_connect


def is_installed() -> bool:
    """Whether the database's client and the embedded database are there."""
    return all(find_spec(name) for name in ("chdb", "clickhouse_connect"))
