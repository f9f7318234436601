"""Rank-biased overlap: cases that are known, worked values, and what defines it."""

import random

import pytest

from image_search.overlap import rank_biased_overlap


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("length", [1, 2, 50])
def test_the_same_list_is_one_and_another_is_nought(length: int, p: float) -> None:
    first, other = list(range(length)), list(range(100, 100 + length))
    assert rank_biased_overlap(first, first, p) == pytest.approx(1, abs=1e-12)
    assert rank_biased_overlap(first, first, p) <= 1
    assert rank_biased_overlap(first, other, p) == 0


def test_lists_without_anything() -> None:
    assert rank_biased_overlap([], []) == 1
    assert rank_biased_overlap([], "ab") == rank_biased_overlap("ab", []) == 0


def test_the_lists_of_the_paper() -> None:
    # Table I of Webber et al. gives their overlap at each depth: 0 0 2 2 2 2 2.
    worked = 0.1 * sum(x / d * 0.9 ** (d - 1) for d, x in enumerate([0, 0, 2, 2, 2, 2, 2], 1))
    worked += 2 / 7 * 0.9**7
    assert rank_biased_overlap("abcdefg", "zcavwxy", 0.9) == pytest.approx(worked)


@pytest.mark.parametrize(
    ("first", "second", "p", "known"),
    [
        # by the library rbo 0.1.3, which is no longer kept
        ("abcdefg", "zcavwxy", 0.9, 0.28821728571428573),
        ("abcdefg", "bacdefg", 0.9, 0.9),
        ("abcde", "abd", 0.9, 0.879445),
        ("abcdefghijklmnopqrstuvwxyz", "kxcnarvmwyp", 0.99, 0.52939174745252),
    ],
)
def test_known_values(first: str, second: str, p: float, known: float) -> None:
    assert rank_biased_overlap(first, second, p) == pytest.approx(known, abs=1e-12)
    assert rank_biased_overlap(second, first, p) == pytest.approx(known, abs=1e-12)


def test_it_is_what_a_reader_sees_who_goes_on_for_ever() -> None:
    # Equal lengths: beyond their end the share that is in both stays as it was there.
    random.seed(3)
    for _ in range(50):
        k = random.randint(1, 20)
        first, second = random.sample(range(30), k), random.sample(range(30), k)
        at = [len({*first[:d]} & {*second[:d]}) / d for d in range(1, k + 1)]
        seen = sum(0.1 * 0.9**d * at[min(d, k - 1)] for d in range(500))
        assert rank_biased_overlap(first, second, 0.9) == pytest.approx(seen, abs=1e-9)


def test_a_change_at_the_top_counts_more() -> None:
    same = "abcdefgh"
    assert rank_biased_overlap(same, "bacdefgh") < rank_biased_overlap(same, "abcdefhg") < 1


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        rank_biased_overlap("aba", "abc")
    for p in (0, 1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            rank_biased_overlap("ab", "ab", p)
