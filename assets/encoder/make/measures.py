"""Retrieval measures on plain arrays, each with what blind chance would give."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Recall:
    """How often a right picture is among the first ones."""

    at_1: float
    at_10: float
    chance_at_10: float
    queries: int
    pool: int


def grouped(titles: list[str]) -> dict[str, list[int]]:
    """Return, for each title, the pictures that carry it: any of them is a right answer."""
    groups: dict[str, list[int]] = {}
    for number, title in enumerate(titles):
        groups.setdefault(title, []).append(number)
    return groups


def chance_within(first: int, right: int, pool: int) -> float:
    """Return the probability that a blind order has a right picture among its first ones."""
    missed = 1.0
    for place in range(first):
        missed *= max(pool - right - place, 0) / (pool - place)
    return 1 - missed


def title_recall(scores: np.ndarray, groups: dict[str, list[int]]) -> Recall:
    """Measure scores of shape (queries, pool); the queries are the groups in their order."""
    ranks = []
    for row, right in zip(scores, groups.values(), strict=True):
        ranks.append(1 + int((row > row[right].max()).sum()))
    places = np.array(ranks)
    pool = scores.shape[1]
    chance = np.mean([chance_within(10, len(right), pool) for right in groups.values()])
    return Recall(
        float((places <= 1).mean()), float((places <= 10).mean()), float(chance), len(places), pool
    )


def category_precision(
    scores: np.ndarray, patterns: list[str], folders: list[str], least: int = 10
) -> tuple[float, float, int]:
    """Return mean precision of the first ten, the base rate, and how many queries counted.

    A query counts when at least `least` pictures lie in folders that its pattern matches.
    """
    precisions, rates = [], []
    for row, pattern in zip(scores, patterns, strict=True):
        right = np.array([re.match(rf"({pattern})(/|$)", folder) is not None for folder in folders])
        if right.sum() >= least:
            first = np.argsort(-row, kind="stable")[:10]
            precisions.append(right[first].mean())
            rates.append(right.mean())
    return float(np.mean(precisions)), float(np.mean(rates)), len(precisions)


def copy_recall(originals: np.ndarray, copies: np.ndarray) -> float:
    """Return how often a copy's nearest picture is its original."""
    nearest = (copies @ originals.T).argmax(1)
    return float((nearest == np.arange(len(originals))).mean())
