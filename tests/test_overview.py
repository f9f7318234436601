"""Which pictures stand for a collection."""

import numpy as np

from image_search.encoder import unit
from image_search.index.faiss_index import FaissIndex
from image_search.overview import representative


def groups(count: int, each: int, dim: int = 32) -> tuple[FaissIndex, np.ndarray]:
    """`count` tight groups of `each` vectors, one group after the other."""
    generator = np.random.default_rng(0)
    centres = np.repeat(unit(generator.normal(size=(count, dim)).astype(np.float32)), each, axis=0)
    noise = generator.normal(size=centres.shape).astype(np.float32) * 0.01
    vectors = unit(centres + noise)
    index = FaissIndex.build(dim)
    index.add(vectors)
    return index, vectors


def test_a_small_collection_shows_itself_whole() -> None:
    assert sorted(representative(*groups(5, 2))) == list(range(10))


def test_a_large_one_shows_something_of_nearly_everything() -> None:
    rows = representative(*groups(60, 50))
    shown = {row // 50 for row in rows}
    assert len(rows) == len(set(rows)) <= 60
    assert len(shown) > 45  # at random it would be 38
    assert len({row // 50 for row in rows[:20]}) > 17


def test_the_same_collection_shows_itself_in_the_same_way() -> None:
    index, vectors = groups(100, 20)
    assert representative(index, vectors) == representative(index, vectors)


def test_pictures_that_are_all_the_same_are_no_trouble() -> None:
    vectors = np.tile(unit(np.ones((1, 8), np.float32)), (200, 1))
    index = FaissIndex.build(8)
    index.add(vectors)
    assert 1 <= len(representative(index, vectors)) <= 60


def test_one_picture_is_no_trouble() -> None:
    assert representative(*groups(1, 1)) == [0]
