"""One contract, every index; the exact one is the oracle."""

import numpy as np
import pytest

from image_search.encoder import unit
from image_search.errors import ArtifactError
from image_search.index import ExactIndex, FaissIndex, Index, recall

VECTORS = unit(np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]], np.float32))


def make(kind: str, vectors: np.ndarray) -> Index:
    if kind == "exact":
        return ExactIndex(vectors)
    index = FaissIndex.build(vectors.shape[1])
    index.add(vectors)
    return index


@pytest.fixture(params=["exact", "faiss"])
def index(request: pytest.FixtureRequest) -> Index:
    return make(request.param, VECTORS)


def test_best_first_and_ties_by_row(index: Index) -> None:
    rows, scores = index.search(np.array([0, 1, 0], np.float32), 4)
    assert rows.tolist() == [1, 3, 2, 0]
    assert scores == pytest.approx([1, 1, 0.5**0.5, 0], abs=1e-3)


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_ties_go_by_row_at_the_edge_too(kind: str) -> None:
    """Else a picture would be on two pages of results, and another on none."""
    same = unit(np.ones((100, 3), np.float32))
    best = unit(np.array([[1, 0, 0]], np.float32))
    index = make(kind, np.concatenate([same, best]))
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


def test_faiss_finds_what_the_oracle_finds() -> None:
    generator = np.random.default_rng(0)
    vectors = unit(generator.normal(size=(2000, 64)).astype(np.float32))
    queries = unit(generator.normal(size=(50, 64)).astype(np.float32))
    assert recall(make("faiss", vectors), ExactIndex(vectors), queries) > 0.99
    # The measure itself can fail: an index over other vectors finds next to nothing.
    assert recall(make("faiss", vectors[::-1]), ExactIndex(vectors), queries) < 0.1


def test_faiss_survives_writing_and_reading(tmp_path) -> None:
    path = tmp_path / "vectors.faiss"
    written = make("faiss", VECTORS)
    assert isinstance(written, FaissIndex)
    written.write(path)
    read = FaissIndex.read(path)
    assert (len(read), read.dim) == (4, 3)
    query = np.array([1, 0, 0], np.float32)
    assert read.search(query, 4)[0].tolist() == written.search(query, 4)[0].tolist()


def test_a_file_that_is_no_index_is_refused(tmp_path) -> None:
    path = tmp_path / "vectors.faiss"
    path.write_bytes(b"not an index at all")
    with pytest.raises(ArtifactError, match=r"vectors\.faiss cannot be read"):
        FaissIndex.read(path)
