"""Figures of rankings: by hand, and the same as scikit-learn's over random lists."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    ndcg_score,
    precision_score,
    recall_score,
)

from image_search.agreement import cohen_kappa
from image_search.metrics import (
    average_precision,
    interval,
    judged_at,
    mean_interval,
    ndcg_at,
    precision_at,
    recall_at,
)

RANKING = [True, None, False, True]


def test_by_hand() -> None:
    assert precision_at(RANKING, 2) == 0.5
    assert precision_at(RANKING, 10) == 0.2  # six places are empty
    assert judged_at(RANKING, 2) == 0.5
    assert judged_at(RANKING, 10) == 0.75
    assert recall_at(RANKING, 2, relevant=4) == 0.25
    assert average_precision(RANKING, relevant=4) == (1 / 1 + 2 / 4) / 4  # two were not found
    best = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert ndcg_at(RANKING, 10, relevant=3) == pytest.approx((1 + 1 / np.log2(5)) / best)


def test_what_cannot_be_said_is_not_said() -> None:
    for figure in (recall_at(RANKING, 2, 0), average_precision([], 0), ndcg_at([], 10, 0)):
        assert figure is None
    assert mean_interval([0.5]) is None
    assert interval(np.array([np.nan, np.nan, 0.5])) is None


@pytest.mark.parametrize("seed", range(30))
def test_the_same_as_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 120))
    hits = random.random(size) < random.choice([0.05, 0.3, 0.8])
    hits[random.integers(size)] = True
    ranking = [bool(hit) if hit or random.random() < 0.5 else None for hit in hits]
    scores = np.linspace(1, 0, size)
    relevant = int(hits.sum())
    assert average_precision(ranking, relevant) == pytest.approx(
        average_precision_score(hits, scores)
    )
    for k in (1, 10, 50):
        found = np.arange(size) < k
        assert recall_at(ranking, k, relevant) == pytest.approx(recall_score(hits, found))
        assert ndcg_at(ranking, k, relevant) == pytest.approx(ndcg_score([hits], [scores], k=k))
        if k <= size:
            assert precision_at(ranking, k) == pytest.approx(precision_score(hits, found))
    first, second = random.choice(["yes", "no", "unsure"], (2, size), p=[0.5, 0.4, 0.1]).tolist()
    if len({*first, *second}) > 1:
        assert cohen_kappa(list(zip(first, second, strict=True))) == pytest.approx(
            cohen_kappa_score(first, second)
        )


def test_an_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    held = 0
    for number in range(200):
        found = mean_interval(random.random(40).tolist(), seed=number)
        assert found
        held += found.low <= 0.5 <= found.high
    assert 180 <= held <= 198
    assert mean_interval([0.1, 0.9, 0.4]) == mean_interval([0.1, 0.9, 0.4])
