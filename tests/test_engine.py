"""A database in the place of FAISS: real ClickHouse, embedded and as a cluster of two shards."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_node
import httpx
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_node import Node
from conftest import build_folder, serving, write_pictures
from gated import environment
from test_index import in_database

import image_search
from image_search.artifact import Artifact
from image_search.build import build
from image_search.encoder import OnnxEncoder, unit
from image_search.engine import holdings, tables
from image_search.engine import load as loading
from image_search.engine.address import parse
from image_search.engine.connection import Connection
from image_search.engine.load import load
from image_search.errors import ConfigError, EngineError
from image_search.filters import Between, OneOf
from image_search.folder import open_folder
from image_search.index.exact import ExactIndex
from image_search.index.faiss_index import FaissIndex
from image_search.manifest import CollectionInfo
from image_search.progress import Quiet
from image_search.search import Searcher

QUESTIONS = ("a guitar", "an animal", "a house by the sea", "the moon", "flowers")


def command(*arguments: str, engine: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "image_search", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "IMAGE_SEARCH_ENGINE": engine},
    )


def loaded(address: str, artifact: Path) -> Any:
    return load(parse(address), Artifact.open(artifact), Quiet(), lambda text: None)


def opened(address: str, artifact: Path) -> Searcher:
    with environment(IMAGE_SEARCH_ENGINE=address, IMAGE_SEARCH_STATE=os.environ[STATE]):
        return image_search.open(artifact, withdrawn=set())


STATE = "IMAGE_SEARCH_STATE"


@pytest.fixture
def shards(cluster: list[Node]) -> Iterator[str]:
    """The address of two shards that hold nothing."""
    address = clickhouse_node.address(cluster)
    yield address
    for host in range(2):
        connection = Connection(parse(address), host, 60)
        for held in holdings.holdings(connection):
            holdings.drop_version(connection, held.about.version)


# Addresses


@pytest.mark.parametrize(
    ("text", "hosts", "database", "cluster"),
    [
        ("clickhouse://db.example.org", (("db.example.org", 8123),), "image_search", ""),
        ("clickhouse://u:p@db:1/images", (("db", 1),), "images", ""),
        ("clickhouse://db/images?secure=1", (("db", 8443),), "images", ""),
        ("clickhouse://[::1]:9/images", (("::1", 9),), "images", ""),
        ("clickhouse://a,b:9/images?cluster=two", (("a", 8123), ("b", 9)), "images", "two"),
    ],
)
def test_an_address_says_where(text: str, hosts: Any, database: str, cluster: str) -> None:
    found = parse(text)
    assert (found.hosts, found.database, found.cluster) == (hosts, database, cluster)


def test_an_address_keeps_its_password_to_itself() -> None:
    found = parse("clickhouse://mary:p%40ss@db/images")
    assert (found.user, found.password) == ("mary", "p@ss")
    assert "ss" not in str(found).replace("clickhouse", "")
    with pytest.raises(ConfigError) as told:
        parse("clickhouse://mary:secret@db,other/images")
    assert "secret" not in str(told.value)
    assert "cluster" in str(told.value)
    for odd in ("#", "/", "?"):
        with pytest.raises(ConfigError, match="%2F, %23 and %3F") as told:
            parse(f"clickhouse://mary:secret{odd}more@db/images")
        assert "secret" not in str(told.value)
        assert "more" not in str(told.value)
    assert "p@ss" not in repr(found)
    assert parse(str(parse("clickhouse://[::1]:9/images"))).hosts == (("::1", 9),)


@pytest.mark.parametrize(
    "text",
    ["clickhouse://db/x?secure=true", "chdb://a?b", "", "chdb://",
     "clickhouse://", "postgres://db", "clickhouse://db:99999", "clickhouse://d b",
     "clickhouse://db/a b", "clickhouse://db/x?cluster=a'b", "clickhouse://db/x?user=me", "chdb"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        parse(text)


def test_without_the_database_installed_it_says_what_to_install(searcher: Searcher) -> None:
    code = (
        "import sys; sys.modules['chdb'] = None; sys.argv = ['x', 'search', 'red', '-a', "
        f"{str(searcher.artifact.path)!r}]; from image_search.cli import main; main()"
    )
    with environment(IMAGE_SEARCH_STATE=os.environ[STATE], IMAGE_SEARCH_ENGINE="chdb://nowhere"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install -r requirements-engine.txt" in done.stderr


# A collection in a cluster


def test_two_shards_answer_as_faiss_does(demo: Searcher, shards: str) -> None:
    done = command("engine", "load", str(demo.artifact.path), "--to", shards, "--json")
    assert json.loads(done.stdout)["inserted"] == len(demo), done.stderr
    ours = opened(shards, demo.artifact.path)
    some = demo.search("a house", k=3)[2].id
    for question in QUESTIONS:
        for how in ({"k": 60}, {"k": 7, "offset": 9}, {"like": [some], "k": 20}):
            expected, found = (each.search(question, **how) for each in (demo, ours))  # type: ignore[arg-type]
            assert [hit.score for hit in found] == pytest.approx(
                [hit.score for hit in expected], abs=2e-3
            )
            # FAISS's 16 bits may turn round two that are as near as can be told.
            assert len({hit.id for hit in found} & {hit.id for hit in expected}) >= len(found) - 1
            for hit in found:
                assert vars(ours.record(hit.id)) == vars(demo.record(hit.id))
            assert (found.total, found.notices, found.query) == (
                expected.total,
                expected.notices,
                expected.query,
            )
    assert [r.id for r in ours.overview()] == [r.id for r in demo.overview()]
    assert ours.thumbnail(some) == demo.thumbnail(some)


def test_status_says_what_is_where_and_drop_asks(demo: Searcher, shards: str) -> None:
    assert "holds no collection" in command("engine", "status", shards).stdout
    loaded(shards, demo.artifact.path)
    told = json.loads(command("engine", "status", shards, "--json").stdout)
    assert len(told) == 2
    assert sum(host["rows"] for host in told) == len(demo)
    for host in told:
        assert len(demo) * 0.3 < host["rows"] < len(demo) * 0.7
        assert host["current"]
        assert host["index_used"]
        assert host["index_bytes"] > 500 * host["rows"]
        assert host["about"]["version"] == demo.artifact.version
    shown = command("engine", "status", engine=shards).stdout
    assert shown.count("used by searches") == 2
    refused = subprocess.run(
        [sys.executable, "-m", "image_search", "engine", "drop", shards],
        input="n\n",
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert len(json.loads(command("engine", "status", shards, "--json").stdout)) == 2
    assert command("engine", "drop", shards, "--version", "zz").returncode == 1
    assert command("engine", "drop", shards, "--version", "", "--yes").returncode == 2
    assert command("engine", "drop", shards, "--yes").returncode == 0
    assert "holds no collection" in command("engine", "status", shards).stdout
    missing = command("search", "a guitar", "-a", str(demo.artifact.path), engine=shards)
    assert missing.returncode == 1
    assert "python -m image_search engine load" in missing.stderr


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """20,000 vectors as CLIP's lie: in a narrow cone, differing in few directions much."""
    generator = np.random.default_rng(0)
    latent = generator.standard_normal((20_000, 48)).astype(np.float32)
    spread = latent @ generator.standard_normal((48, 256)).astype(np.float32)
    noise = generator.standard_normal((20_000, 256)).astype(np.float32)
    return unit(spread + noise + 3 * generator.standard_normal(256).astype(np.float32))


def test_20000_vectors_on_two_shards_are_found_by_the_index(many: np.ndarray, shards: str) -> None:
    index = in_database(shards, many, pa.table({"n": range(len(many))}))
    exact, faiss = ExactIndex(many), FaissIndex.build(256)
    faiss.add(many)
    generator = np.random.default_rng(1)
    queries = unit(many[generator.choice(len(many), 20)] + generator.normal(0, 0.05, (20, 256)))
    found = 0
    for query in queries.astype(np.float32):
        rows, scores = index.search(query, 20)
        wanted, best = exact.search(query, 20)
        assert scores == pytest.approx(np.asarray(many[rows] @ query), abs=1e-5)  # those of exact
        assert scores == pytest.approx(best, abs=0.02)
        found += len(set(rows) & set(wanted))
        assert len(set(faiss.search(query, 20)[0]) & set(rows)) >= 19
    assert found >= 0.995 * 20 * len(queries)
    # Proven on each shard: it is an error if a search would not use it.
    parsed = parse(shards)
    for host in range(2):
        connection = Connection(parsed, host)
        (held,) = holdings.holdings(connection)
        assert held.index_used
        assert 9_000 < held.rows < 11_000
    sql = (
        f"SELECT {tables.ROW} FROM image_search.photos "
        f"ORDER BY cosineDistance({tables.VECTOR}, {{v:Array(Float32)}}) LIMIT 10"
    )
    first = Connection(parsed)
    asked = {"v": queries[0].tolist()}
    first.rows(sql, asked, force_data_skipping_indices=tables.INDEX)
    plan = first.rows(f"EXPLAIN indexes = 1, distributed = 1 {sql}", asked)
    assert "\n".join(str(line[0]) for line in plan).count(f"Name: {tables.INDEX}") == 2
    with pytest.raises(EngineError, match="not used"):  # so it can fail
        first.rows(
            sql.replace("LIMIT", ", 1 LIMIT"), asked, force_data_skipping_indices=tables.INDEX
        )


def test_a_dead_shard_is_told_and_all_is_back_after_its_restart(
    demo: Searcher, shards: str, cluster: list[Node]
) -> None:
    loaded(shards, demo.artifact.path)
    ours = opened(shards, demo.artifact.path)
    before = [hit.id for hit in ours.search("a guitar")]
    with environment(**{STATE: os.environ[STATE], "IMAGE_SEARCH_ENGINE": shards}):  # noqa: SIM117
        with serving(demo.artifact.path) as address:
            asked = f"{address}/api/v1/search?text=a+guitar"
            for node in (1, 0):
                assert httpx.get(asked, timeout=30).status_code == 200
                cluster[node].kill()
                try:
                    began = time.monotonic()
                    answer = httpx.get(asked, timeout=30)
                    with pytest.raises(EngineError, match="Try again in a while"):
                        ours.search("a guitar")
                    assert time.monotonic() - began < 15
                finally:
                    cluster[node].start()
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
                assert "Try again in a while" in answer.json()["detail"]
                assert "127.0.0.1" not in answer.text  # no names of machines for visitors
            assert [hit.id for hit in ours.search("a guitar")] == before
            assert httpx.get(asked, timeout=30).status_code == 200


def test_a_shard_that_hangs_is_not_waited_for_for_ever(
    demo: Searcher, shards: str, cluster: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(shards, demo.artifact.path)
    ours = opened(shards, demo.artifact.path)
    ours.search("a guitar")
    monkeypatch.setattr(ours.index._connection, "patience", 2)  # type: ignore[attr-defined]
    ours.index._connection._shared = None  # type: ignore[attr-defined]
    cluster[1].signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(EngineError, match="Try again in a while"):
            ours.search("a guitar")
        assert time.monotonic() - began < 10
    finally:
        cluster[1].signal(signal.SIGCONT)
    assert ours.search("a guitar")


def test_a_shard_that_came_back_without_its_rows_is_no_whole_answer(
    demo: Searcher, shards: str
) -> None:
    loaded(shards, demo.artifact.path)
    ours = opened(shards, demo.artifact.path)
    assert len(ours.search("a guitar", k=9)) == 9
    name = f"image_search.photos_{demo.artifact.version[:12]}_local"
    Connection(parse(shards), 1).command(f"TRUNCATE TABLE {name}")
    lost = Connection(parse(shards)).rows(f"SELECT id FROM {name.removesuffix('_local')}_all")
    there = {str(id) for (id,) in lost}
    gone = [id for id in demo.artifact.catalogue.ids() if id not in there][:6]
    ours.withdrawn = set(gone)
    fresh = opened(shards, demo.artifact.path)  # which remembers no picture
    for ask in (
        lambda: fresh.search("a guitar"),
        lambda: fresh.record(gone[0]),
        fresh.overview,
        lambda: ours.search("a guitar"),
    ):
        with pytest.raises(EngineError, match="A part of the collection is missing"):
            ask()
    assert loaded(shards, demo.artifact.path).inserted > 0  # the remedy that it names
    assert len(fresh.search("a guitar", k=9)) == 9
    assert len(fresh.overview()) == len(demo.overview())
    assert len(ours) == len(demo) - 6  # what is withdrawn did not come back with it
    assert not {hit.id for hit in ours.search("a guitar", k=585)} & set(gone)


def test_many_and_long_ids_are_no_trouble(demo: Searcher, shards: str) -> None:
    loaded(shards, demo.artifact.path)
    ours = opened(shards, demo.artifact.path)
    known = demo.artifact.catalogue.ids()[3]
    ours.withdrawn = {
        known,
        *(f"{n:05} a name in one language or another, ü" for n in range(6_000)),
    }
    assert len(ours) == len(demo) - 1
    assert ours.search("a guitar")
    assert ours.catalogue.rows(["x" * 1_000 + str(n) for n in range(200)]) == {}
    assert ours.catalogue.rows(["\ud800", known]) == {known: 3}


# Loading


@pytest.fixture(scope="module")
def versions(
    tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder
) -> Callable[[int], Path]:
    """Versions of one small collection."""
    folder = tmp_path_factory.mktemp("versions")
    pictures = write_pictures(folder / "pictures")

    def version(number: int) -> Path:
        out = folder / str(number)
        if not out.exists():
            build(
                open_folder(pictures),
                colours,
                out,
                CollectionInfo(name="colours", description=str(number)),
            )
        return out

    return version


@pytest.mark.parametrize("embedded", [True, False])
def test_a_new_version_becomes_current_without_an_interruption(
    versions: Callable[[int], Path], database: str, shards: str, embedded: bool
) -> None:
    address = database if embedded else shards
    loaded(address, versions(1))
    reader = opened(address, versions(1))
    connection = Connection(parse(address))
    counts: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            counts.append(connection.rows("SELECT count() FROM image_search.photos")[0][0])

    asking = threading.Thread(target=ask)
    asking.start()
    loaded(address, versions(2))
    stop.set()
    asking.join()
    assert set(counts) == {5}
    assert len(counts) > 3
    assert reader.search("red")[0].id == "warm/red.png"  # of the former version
    first = holdings.holdings(connection)[0]
    assert (first.about.version, first.current) == (Artifact.open(versions(2)).version, True)
    time.sleep(1.1)  # the time of a change has whole seconds
    assert loaded(address, versions(3)).dropped == [Artifact.open(versions(1)).version]
    assert opened(address, versions(2)).search("red")
    with pytest.raises(ConfigError, match="Load it: python -m image_search engine load"):
        opened(address, versions(1))
    # Back to a version that is still there: nothing is inserted.
    assert loaded(address, versions(2)).inserted == 0
    assert holdings.holdings(connection)[0].about == first.about


def test_tables_of_somebody_else_are_left_alone(
    versions: Callable[[int], Path], shards: str
) -> None:
    first = Connection(parse(shards))
    first.command("CREATE DATABASE IF NOT EXISTS image_search")
    first.command("CREATE TABLE image_search.photos (a Int8) ENGINE = MergeTree ORDER BY a")
    try:
        with pytest.raises(ConfigError, match="a table photos that `engine load` did not make"):
            loaded(shards, versions(1))
        assert command("engine", "drop", shards, "--yes").returncode == 1
        assert first.rows("SELECT count() FROM image_search.photos")
    finally:
        first.command("DROP TABLE image_search.photos SYNC")


def test_what_is_served_is_not_dropped_for_a_load_that_was_stopped(
    versions: Callable[[int], Path], shards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(shards, versions(1))
    reader = opened(shards, versions(1))
    with monkeypatch.context() as broken:
        broken.setattr(loading._Loader, "_finish", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loaded(shards, versions(2))
    assert loaded(shards, versions(3)).dropped == [Artifact.open(versions(2)).version]
    assert reader.search("red")


def test_one_server_and_later_a_cluster_over_it_are_apart(
    demo: Searcher, shards: str, cluster: list[Node]
) -> None:
    alone = clickhouse_node.address(cluster[:1])
    loaded(alone, demo.artifact.path)
    reader = opened(alone, demo.artifact.path)
    assert loaded(shards, demo.artifact.path).inserted == len(demo)
    assert len(reader.search("a guitar", k=300)) == 300
    assert len(opened(shards, demo.artifact.path).search("a guitar", k=300)) == 300
    assert loaded(alone, demo.artifact.path).inserted == 0  # and back


KILLED = """
import os, signal, sys
from image_search.artifact import Artifact
from image_search.engine import load, tables
from image_search.engine.address import parse
from image_search.engine.connection import Connection
from image_search.progress import Quiet

load.BATCH = 100
left = int(sys.argv[3])
insert, command = Connection.insert, Connection.command

def count_down():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def killed_insert(self, table, rows, **settings):
    insert(self, table, rows.slice(0, rows.num_rows // 2), **settings)
    count_down()
    insert(self, table, rows.slice(rows.num_rows // 2), **settings)
    count_down()

def killed_command(self, sql, **settings):
    command(self, sql, **settings)
    count_down()

if left:
    Connection.insert, Connection.command = killed_insert, killed_command
done = load.load(parse(sys.argv[1]), Artifact.open(sys.argv[2]), Quiet(), lambda text: None)
print(done.rows, done.inserted)
"""


@pytest.mark.parametrize("embedded", [True, False])
def test_a_load_that_is_killed_anywhere_and_repeated_is_whole(
    demo: Searcher, tmp_path: Path, shards: str, embedded: bool
) -> None:
    """After every statement, and in the middle of what an insert brings."""
    address = f"chdb://{tmp_path}/database" if embedded else shards
    artifact = str(demo.artifact.path)

    def run(left: int) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", KILLED, address, artifact, str(left)]
        return subprocess.run(arguments, capture_output=True, text=True)

    # Each is killed a statement later than the one before, and goes on from where that was.
    left, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        left += 1
        ended = run(left).returncode
    assert ended == 0
    assert left > 8
    done = run(0)
    assert done.stdout.split()[0] == str(len(demo)), done.stderr
    found = json.loads(
        command(
            "engine", "sql", "--json", "--engine", address,
            "SELECT count() AS c, uniqExact(_row) AS r, uniqExact(id) AS i FROM photos",
        ).stdout
    )  # fmt: skip
    assert found == [{"c": len(demo), "r": len(demo), "i": len(demo)}]
    asked = ("search", "a guitar", "-a", artifact)
    assert command(*asked, engine=address).stdout == command(*asked).stdout


def test_two_processes_do_not_load_into_the_same_at_once(
    versions: Callable[[int], Path], database: str
) -> None:
    from image_search.engine.load import _alone

    with _alone(parse(database)), pytest.raises(ConfigError, match="Another process loads"):
        loaded(database, versions(1))


def test_a_database_that_another_process_holds_says_so(
    versions: Callable[[int], Path], database: str
) -> None:
    loaded(database, versions(1))
    held = Connection(parse(database))
    held.rows("SELECT 1")
    done = command("engine", "status", database)
    assert done.returncode == 1
    assert "another process uses it" in done.stderr


def test_a_server_that_is_not_there_is_told_in_a_line(versions: Callable[[int], Path]) -> None:
    address = "clickhouse://mary:secret@127.0.0.1:1/images"
    for arguments in (
        ("engine", "status", address),
        ("engine", "load", str(versions(1)), "--to", address),
        ("engine", "sql", "SELECT 1", "--engine", address),
    ):
        done = command(*arguments)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1, done.stderr
        assert "does not answer" in done.stderr
        assert "secret" not in done.stderr + done.stdout


def test_fields_of_every_kind_come_back_as_they_were(
    tmp_path: Path, colours: OnnxEncoder, database: str
) -> None:
    pictures = write_pictures(tmp_path / "pictures")
    (pictures / "metadata.csv").write_text(
        "file_name,title,year,size,keywords,date,photo_embed,_row,it's `odd`,dc.subject,dc.type,"
        "dc_type,distance,photo_id\n"
        'warm/red.png,"O\'Hara; \\ `x`",1872,0.5,fire; blood,1872-05,x,y,z,a; b,c; d,e,11,p3\n'
        "warm/orange.png,نص,,,,,,,,,,,,\n",
        encoding="utf-8",
    )
    (pictures / "fields.toml").write_text("['dc.subject']\nkind='list'\n['dc.type']\nkind='list'\n")
    built = build_folder(pictures, colours, tmp_path / "built")
    loaded(database, built)
    ours, theirs = opened(database, built), image_search.open(built, withdrawn=set())
    for id in theirs.artifact.catalogue.ids():
        assert vars(ours.record(id)) == vars(theirs.record(id))
    query = theirs.encoder.encode_texts(["red"])[0]
    for where in (
        [Between("distance", 10, 12)],
        [OneOf("distance", (11.0,))],
        [OneOf("distance", (11.5,))],
        [OneOf("photo_id", ("p3",))],
        [OneOf("_row", ("y",))],
        [OneOf("dc.type", ("d",))],
        [OneOf("dc_type", ("e",))],
        [Between("dc.subject")],
    ):
        expected, found = (each.index.search(query, 5, (), where)[0] for each in (theirs, ours))
        assert found.tolist() == expected.tolist(), where
        assert len(found) == (where != [OneOf("distance", (11.5,))])


def test_a_folder_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "nothing"):
        done = command("engine", "status", f"chdb://{folder}")
        assert done.returncode == 1
        assert "makes one in a new folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["picture.jpg"]


def test_any_statement_can_be_sent(versions: Callable[[int], Path], tmp_path: Path) -> None:
    address = f"chdb://{tmp_path}/database"
    assert command("engine", "load", str(versions(1)), "--to", address).returncode == 0
    for statement, said in (
        ("CREATE VIEW ids AS SELECT id FROM photos", ""),
        ("select id from ids order by id limit 1", "id\ncold/blue.png\n"),
        ("DROP VIEW ids", ""),
    ):
        done = command("engine", "sql", statement, "--engine", address)
        assert (done.returncode, done.stdout) == (0, said), done.stderr
    wrong = command("engine", "sql", "SELECT nothing FROM photos", engine=address)
    assert wrong.returncode == 1
    assert "nothing" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_the_app_serves_from_an_embedded_database_and_ends_when_told(
    versions: Callable[[int], Path], tmp_path: Path
) -> None:
    address = f"chdb://{tmp_path}/database"
    assert command("engine", "load", str(versions(1)), "--to", address).returncode == 0
    variables = {STATE: os.environ[STATE], "IMAGE_SEARCH_ENGINE": address}
    with environment(**variables), serving(versions(1)) as served:
        with ThreadPoolExecutor(8) as pool:
            asked = [f"{served}/api/v1/search?text={c}" for c in ("red", "blue", "green") * 10]
            found = list(
                pool.map(lambda a: httpx.get(a, timeout=30).json()["hits"][0]["id"], asked)
            )
        assert found == ["warm/red.png", "cold/blue.png", "cold/green.png"] * 10
        assert httpx.get(f"{served}/api/v1/health").status_code == 200
        began = time.monotonic()
    assert time.monotonic() - began < 10  # it was told to end by SIGTERM
