"""One contract, every index; the exact one is the oracle."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clickhouse_node
import numpy as np
import pyarrow as pa
import pytest

from image_search.columns import Columns
from image_search.encoder import unit
from image_search.engine import tables
from image_search.engine.address import parse
from image_search.engine.connection import Connection
from image_search.engine.holdings import drop_version
from image_search.engine.load import load
from image_search.engine.tables import PHOTOS, Names
from image_search.errors import ArtifactError
from image_search.filters import Between, OneOf, Words
from image_search.index.clickhouse import ClickHouseIndex
from image_search.index.exact import ExactIndex, recall
from image_search.index.faiss_index import FaissIndex
from image_search.index.protocol import Index
from image_search.progress import Quiet

VECTORS = unit(np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]], np.float32))

KINDS = ("exact", "faiss", "chdb", "cluster")

Make = Callable[..., Index]


def in_database(address: str, vectors: np.ndarray, fields: pa.Table) -> ClickHouseIndex:
    """Vectors in a real database, put there as a collection is."""
    count, dim = vectors.shape
    version = hashlib.sha256(vectors.tobytes() + str(fields).encode()).hexdigest()
    manifest: Any = SimpleNamespace(
        rows=count,
        encoder=SimpleNamespace(dim=dim),
        collection=SimpleNamespace(name="vectors"),
        tables=[],
    )
    ids = pa.array([f"{n}.jpg" for n in range(count)])
    table = pa.table({"id": ids, **{n: fields.column(n) for n in fields.column_names}})
    catalogue = SimpleNamespace(
        table=table, sizes=pa.table({"width": [1] * count, "height": [1] * count})
    )
    artifact: Any = SimpleNamespace(
        manifest=manifest,
        version=version,
        catalogue=catalogue,
        vectors=lambda start, rows: vectors[start : start + rows],
    )
    parsed = parse(address)
    load(parsed, artifact, Quiet(), lambda text: None)
    names = Names(parsed.database, PHOTOS, version, parsed.cluster)
    types = tables.fields_of(table.schema)
    return ClickHouseIndex(Connection(parsed), names.whole, count, dim, types)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an index of one kind out of vectors and their fields."""
    kind = request.param
    address = ""
    if kind == "chdb":
        address = request.getfixturevalue("database")
    elif kind == "cluster":
        address = clickhouse_node.address(request.getfixturevalue("cluster"))

    def make(vectors: np.ndarray, fields: pa.Table | None = None) -> Index:
        if address:
            return in_database(address, vectors, pa.table({}) if fields is None else fields)
        if kind == "exact":
            return ExactIndex(vectors, fields)
        index = FaissIndex.build(vectors.shape[1])
        index.add(vectors)
        return FaissIndex(index._index, None if fields is None else Columns(fields))

    return make


@pytest.fixture
def index(make: Make) -> Index:
    return make(VECTORS)


def test_best_first_and_ties_by_row(index: Index) -> None:
    rows, scores = index.search(np.array([0, 1, 0], np.float32), 4)
    assert rows.tolist() == [1, 3, 2, 0]
    assert scores == pytest.approx([1, 1, 0.5**0.5, 0], abs=1e-3)


def test_ties_go_by_row_at_the_edge_too(make: Make) -> None:
    """Else a picture would be on two pages of results, and another on none."""
    same = unit(np.ones((100, 3), np.float32))
    best = unit(np.array([[1, 0, 0]], np.float32))
    index = make(np.concatenate([same, best]))
    for k in (1, 2, 5, 50, 101):
        rows, _ = index.search(best[0], k)
        assert rows.tolist() == [100, *range(k - 1)]
    rows, _ = index.search(best[0], 3, exclude=[0, 100])
    assert rows.tolist() == [1, 2, 3]


def test_k_beyond_the_collection_gives_all(index: Index) -> None:
    rows, _ = index.search(np.array([1, 0, 0], np.float32), 99)
    assert sorted(rows.tolist()) == [0, 1, 2, 3]


def test_k_below_one_is_refused(index: Index) -> None:
    with pytest.raises(ValueError, match="k is 0"):
        index.search(np.array([1, 0, 0], np.float32), 0)


def test_a_vector_of_another_length_is_refused(index: Index) -> None:
    with pytest.raises(ValueError, match="3 numbers"):
        index.search(np.ones(4, np.float32), 1)


def test_excluded_rows_are_as_if_they_were_not_there(index: Index) -> None:
    query = np.array([0, 1, 0], np.float32)
    assert index.search(query, 2, exclude={1})[0].tolist() == [3, 2]
    assert index.search(query, 9, exclude=[0, 3])[0].tolist() == [1, 2]
    rows, scores = index.search(query, 9, exclude=range(4))
    assert (len(rows), len(scores)) == (0, 0)


def test_a_row_gives_its_vector(index: Index) -> None:
    assert index.vector(2) == pytest.approx(VECTORS[2], abs=1e-3)


def test_a_field_that_is_not_there_is_refused(index: Index) -> None:
    with pytest.raises(ValueError, match="no field 'year'"):
        index.search(np.array([1, 0, 0], np.float32), 1, where=[Between("year", 1, 2)])


# More rows than a batch has or a graph would look at.

ROWS, DIM = 12_000, 32


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    generator = np.random.default_rng(0)
    return unit(generator.normal(size=(ROWS, DIM)).astype(np.float32))


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return unit(np.random.default_rng(1).normal(size=(30, DIM)).astype(np.float32))


@pytest.fixture(scope="module")
def fields() -> pa.Table:
    """Of every row its place, a word of two, a list, and a year that one in ten lacks."""
    numbers = range(ROWS)
    return pa.table(
        {
            "place": pa.array(numbers, pa.int64()),
            "half": [("left", "right")[n % 2] for n in numbers],
            "title": [f"Vue Nº {n}, l'Été. Ships" if n % 4 else None for n in numbers],
            "date": [f"{1800 + n % 100}-{1 + n % 12:02}" for n in numbers],
            "tags": [[f"tag {n % 1000}", "any"] if n % 3 else None for n in numbers],
            "year": pa.array([1800 + n % 100 if n % 10 else None for n in numbers], pa.float64()),
        }
    )


def test_it_finds_what_the_oracle_finds(
    make: Make, vectors: np.ndarray, queries: np.ndarray, fields: pa.Table
) -> None:
    index = make(vectors, fields)
    assert recall(index, ExactIndex(vectors), queries) > 0.99
    # The measure itself can fail: an index over other vectors finds next to nothing.
    assert recall(index, ExactIndex(vectors[::-1]), queries) < 0.1


def test_the_query_itself_is_left_out_and_k_come_back(
    make: Make, vectors: np.ndarray, fields: pa.Table
) -> None:
    index = make(vectors, fields)
    for row in (0, 5_000, ROWS - 1):
        rows, _ = index.search(index.vector(row), 10, exclude={row})
        assert len(rows) == 10
        assert row not in rows


def test_many_withdrawn_rows_are_left_out(
    make: Make, vectors: np.ndarray, queries: np.ndarray, fields: pa.Table
) -> None:
    """The nearest of all, so that what is asked for first brings nothing."""
    index, exact = make(vectors, fields), ExactIndex(vectors)
    nearest = exact.search(queries[0], 3_000)[0]
    rows, scores = index.search(queries[0], 20, exclude=set(nearest.tolist()))
    wanted, best = exact.search(queries[0], 20, exclude=set(nearest.tolist()))
    assert len(set(rows.tolist()) & set(wanted.tolist())) >= 19
    assert scores == pytest.approx(best, abs=2e-3)


@pytest.mark.parametrize(
    ("where", "share"),
    [
        ([OneOf("half", ("left",))], 0.5),
        ([Between("place", low=ROWS * 0.9)], 0.1),
        ([Between("place", 100, 219)], 0.01),
        ([Between("place", 100, 111)], 0.001),
        ([OneOf("tags", ("tag 7", "tag 8"))], 0.0015),
        ([OneOf("half", ("left",)), Between("year", 1850, 1859)], 0.05),
        ([Between("place", high=-1)], 0),
        ([Between("date", "1890", "1890")], 0.01),
        ([Between("date", None, "1809-12")], 0.1),
        ([Words(("title", "tags"), "ÉTE ship!")], 0.75),
        ([Words(("title", "tags"), "tag 77")], 0.0073),
        ([Words(("title",), "hip")], 0),
        ([Words(("title", "tags"), "vue any"), OneOf("half", ("right",))], 1 / 3),
    ],
)
def test_a_filter_gives_the_nearest_that_match(
    make: Make,
    vectors: np.ndarray,
    queries: np.ndarray,
    fields: pa.Table,
    where: list[Any],
    share: float,
) -> None:
    """Exactly these: not the matches among the nearest."""
    index, exact = make(vectors, fields), ExactIndex(vectors, fields)
    for query in queries[:5]:
        wanted, best = exact.search(query, 10, where=where)
        rows, scores = index.search(query, 10, where=where)
        assert len(rows) == len(wanted) == min(10, round(share * ROWS))
        assert scores == pytest.approx(best, abs=1e-3)
        if not isinstance(index, FaissIndex):  # which rounds to 16 bits
            assert rows.tolist() == wanted.tolist()
        if len(wanted):
            assert wanted[0] not in index.search(query, 10, {int(wanted[0])}, where)[0]


def test_a_database_finds_the_same_when_it_is_opened_again(
    database: str, cluster: list[clickhouse_node.Node], vectors: np.ndarray, fields: pa.Table
) -> None:
    for address in (database, clickhouse_node.address(cluster)):
        first = in_database(address, vectors, fields)
        again = in_database(address, vectors, fields)
        query = vectors[7]
        assert first.search(query, 20)[0].tolist() == again.search(query, 20)[0].tolist()
        parsed = parse(address)
        for host in range(max(1, len(parsed.hosts))):
            version = hashlib.sha256(vectors.tobytes() + str(fields).encode()).hexdigest()
            drop_version(Connection(parsed, host), version)


def test_faiss_survives_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "vectors.faiss"
    written = FaissIndex.build(3)
    written.add(VECTORS)
    written.write(path)
    read = FaissIndex.read(path)
    assert (len(read), read.dim) == (4, 3)
    query = np.array([1, 0, 0], np.float32)
    assert read.search(query, 4)[0].tolist() == written.search(query, 4)[0].tolist()


def test_a_file_that_is_no_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.faiss"
    path.write_bytes(b"not an index at all")
    with pytest.raises(ArtifactError, match=r"vectors\.faiss cannot be read"):
        FaissIndex.read(path)
