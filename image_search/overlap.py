"""How alike two lists of results are: rank-biased overlap.

Own code, of a dozen lines: of the libraries for it none was kept for years.
"""

from collections.abc import Hashable, Sequence

PERSISTENCE = 0.9
"""The first ten ranks then have 86% of the weight (Webber et al. 2010, section 4.3)."""


def rank_biased_overlap(
    first: Sequence[Hashable], second: Sequence[Hashable], p: float = PERSISTENCE
) -> float:
    """The extrapolated overlap of two lists, best first: 0 if they share nothing, 1 if the same.

    Equation 32 (RBO_EXT) of Webber, Moffat & Zobel 2010, A Similarity Measure for Indefinite
    Rankings, doi:10.1145/1852102.1852106: what a reader sees of both lists alike who reads on with
    the probability `p` after each rank; beyond the end of the lists as much is taken to be shared
    as at their end. They may be of different lengths and hold each thing once; ties are put in
    order before. Two empty lists are the same; of an empty and another one nothing is shared.
    """
    if not 0 < p < 1:
        raise ValueError(f"p lies between 0 and 1, not {p}")
    short, long = sorted((first, second), key=len)
    if len(set(short)) < len(short) or len(set(long)) < len(long):
        raise ValueError("a list names something twice")
    if not short:
        return 1.0 if not long else 0.0
    seen_short: set[Hashable] = set()
    seen_long: set[Hashable] = set()
    shared = at_short = 0
    total = 0.0
    for depth, item in enumerate(long, start=1):
        seen_long.add(item)
        shared += item in seen_short
        if depth <= len(short):
            seen_short.add(short[depth - 1])
            shared += short[depth - 1] in seen_long
            at_short = shared
        # Of the part of the short list that is not known, as much is shared as at its end.
        unknown = at_short * max(0, depth - len(short)) / len(short)
        total += (shared + unknown) / depth * p**depth
    end = (shared - at_short) / len(long) + at_short / len(short)
    return min(1.0, (1 - p) / p * total + end * p ** len(long))
