"""How far judges agree, beyond what chance would bring."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from image_search.judgements import Judgement


@dataclass(frozen=True)
class Pair:
    """Two judges: what both have judged, and on how much of it they agree."""

    judges: tuple[str, str]
    both: int
    agreed: float
    """The share of what both have judged, 0 to 1."""
    kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """Of all judges: `kappa` is the mean of the pairs' (Light, 1971), None if there is none."""

    pairs: list[Pair]
    kappa: float | None


def agreement(judgements: Iterable[Judgement]) -> Agreement:
    """Of every two judges who have judged a picture in common, and of all.

    Unsure is an answer as the other two are.
    """
    said: dict[str, dict[tuple[str, str], str]] = {}
    for one in judgements:
        said.setdefault(one.by, {})[one.class_name, one.id] = one.answer
    pairs = []
    for first, second in combinations(sorted(said), 2):
        a, b = said[first], said[second]
        both = [(a[judged], b[judged]) for judged in a if judged in b]
        if both:
            agreed = sum(x == y for x, y in both) / len(both)
            pairs.append(Pair((first, second), len(both), agreed, cohen_kappa(both)))
    kappas = [pair.kappa for pair in pairs if pair.kappa is not None]
    return Agreement(pairs, sum(kappas) / len(kappas) if kappas else None)


def cohen_kappa(both: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa (1960) of two judges' answers to the same things: 1 at most, 0 as by chance.

    None where it has no value: nothing was judged, or both said one and the same throughout.
    """
    if not both:
        return None
    observed = sum(a == b for a, b in both) / len(both)
    first, second = Counter(a for a, _ in both), Counter(b for _, b in both)
    expected = sum(first[answer] * second[answer] for answer in first) / len(both) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)
