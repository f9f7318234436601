"""The arithmetic of questions, against numbers computed by hand."""

import numpy as np
import pytest

from image_search.compose import moved, together
from image_search.encoder import Vectors
from image_search.errors import QueryError

X, Y, Z = np.eye(3, dtype=np.float32)


def exactly(*numbers: float) -> object:
    return pytest.approx(np.array(numbers), abs=1e-6)


def test_one_vector_stays_as_it_is_bit_by_bit() -> None:
    vector = np.array([0.1, 0.7, -0.7], np.float32)
    assert together([(0.3, vector)]) is vector


@pytest.mark.parametrize(
    ("weighted", "made"),
    [
        ([(1, X), (1, Y)], (0.5**0.5, 0.5**0.5, 0)),
        ([(1, X), (-1, Y)], (0.5**0.5, -(0.5**0.5), 0)),
        ([(3, X), (4, Y)], (0.6, 0.8, 0)),
        ([(2, X), (1, Y), (-2, Z)], (2 / 3, 1 / 3, -2 / 3)),
        ([(-5, X)], (-1, 0, 0)),
        ([(1, X), (1, X)], (1, 0, 0)),
        ([(2, X), (-1, X)], (1, 0, 0)),
        ([(100, X), (0.01, Y)], (1, 1e-4, 0)),
    ],
)
def test_a_weighted_sum_is_a_unit_vector(
    weighted: list[tuple[float, Vectors]], made: tuple[float, ...]
) -> None:
    found = together(weighted)
    assert found == exactly(*made)
    assert (found.dtype, found.shape) == (np.float32, (3,))
    # The order does not matter, nor a factor of all weights.
    assert together(weighted[::-1]) == exactly(*made)
    assert together([(7 * weight, vector) for weight, vector in weighted]) == exactly(*made)


@pytest.mark.parametrize(
    "weighted",
    [[(1, X), (-1, X)], [(1, X), (1, Y), (-1, X), (-1, Y)], [(0.3, X), (0.6, X), (-0.9, X)],
     [(1, X), (-0.9995, X)]],
)  # fmt: skip
def test_what_cancels_out_is_said(weighted: list[tuple[float, Vectors]]) -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        together(weighted)


def test_liked_and_disliked_pictures_move_a_query_by_rocchios_rule() -> None:
    """q' = q + β · mean(liked) - γ · mean(disliked), then of length 1."""
    half = together([(1, X), (1, Y)])
    # (1, 0, 0) + 0.75 (0, 1, 0) - 0.15 (0, 0, 1) = (1, 0.75, -0.15)
    length = (1 + 0.75**2 + 0.15**2) ** 0.5
    assert moved(X, [Y], [Z], 0.75, 0.15) == exactly(1 / length, 0.75 / length, -0.15 / length)
    # The mean of two: (1, 0, 0) + 0.75 (0, ½, ½)
    length = (1 + 2 * 0.375**2) ** 0.5
    assert moved(X, [Y, Z], [], 0.75, 0.15) == exactly(1 / length, 0.375 / length, 0.375 / length)
    # The mean of (1, 0, 0) and (√½, √½, 0) is (½ + √½/2, √½/2, 0).
    a, b = 1 / 2 + 0.5**0.5 / 2, 0.5**0.5 / 2
    length = (1 + 0.25 * (a * a + b * b)) ** 0.5
    expected = (-0.5 * a / length, -0.5 * b / length, 1 / length)
    assert moved(Z, [], [X, half], 0.75, 0.5) == exactly(*expected)


def test_without_a_question_the_liked_pictures_are_it() -> None:
    assert moved(None, [X, Y], [], 0.75, 0.15) == exactly(0.5**0.5, 0.5**0.5, 0)
    length = (0.75**2 + 0.15**2) ** 0.5
    assert moved(None, [X], [Y], 0.75, 0.15) == exactly(0.75 / length, -0.15 / length, 0)
    assert moved(None, [], [X], 0.75, 0.15) == exactly(-1, 0, 0)


def test_many_pictures_draw_no_farther_than_one() -> None:
    assert moved(X, [Y] * 20, [Z] * 20, 0.75, 0.15) == exactly(*moved(X, [Y], [Z], 0.75, 0.15))


def test_no_weight_moves_nothing() -> None:
    assert moved(X, [Y], [Z], 0, 0) == exactly(1, 0, 0)
    with pytest.raises(QueryError, match="cancel each other out"):
        moved(None, [X], [], 0, 0)
    with pytest.raises(QueryError, match="cancel each other out"):
        moved(X, [], [X], 0.75, 1)
