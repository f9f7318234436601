"""Which pictures of a collection are judged for a class, and in which order.

Nobody can look at every picture for every class. As in the evaluation of text retrieval (pooling:
Spärck Jones and van Rijsbergen, 1975; TREC), what the search itself brings highest for any of the
prompts is judged: all that precision is counted of. A pool of that alone would be the model's
choice: what it never finds nobody would ever see, and recall would look better than it is. So some
pictures that chance chose are judged with them. What share of these shows the class says how many
such pictures the collection has in all, found or not.

Judges see both kinds mixed, each judge in another order, without rank and score: else they would
believe the search where they ought to test it.
"""

import hashlib
from collections.abc import Iterable, Set
from functools import lru_cache
from random import Random

from image_search.errors import PolicyError, QueryError
from image_search.results import Results
from image_search.search import Searcher
from image_search.taxonomy import Class, Taxonomy

DEPTH = 50
"""Of each prompt: as deep as precision is counted."""

BY_CHANCE = 20
"""Pictures of a class that chance chose."""


class Pools:
    """The pools of one collection. They are the same after a restart, and on every server.

    Withdrawn pictures are in none. When one is withdrawn the next nearest takes its place.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._made = lru_cache(256)(self._make)

    def of(self, taxonomy: Taxonomy, one: Class) -> frozenset[str]:
        """The ids of a class's pool. Raises QueryError if one of its prompts cannot be asked."""
        return self._made(taxonomy.name, one, frozenset(tuple(self._searcher.withdrawn)))

    def _make(self, taxonomy: str, one: Class, withdrawn: Set[str]) -> frozenset[str]:
        found: set[str] = set()
        for prompt in one.prompts:
            try:
                found |= {hit.id for hit in nearest(self._searcher, prompt, DEPTH)}
            except QueryError as error:
                raise QueryError(f"The prompt “{prompt}” of “{one.name}”: {error}") from None
        return frozenset(found | self._by_chance(f"{taxonomy}\n{one.name}", withdrawn))

    def _by_chance(self, seed: str, withdrawn: Set[str]) -> set[str]:
        """Pictures that chance chose: the same for a class as long as the collection is."""
        catalogue = self._searcher.catalogue
        hidden = set(catalogue.rows(withdrawn).values())
        wanted = min(BY_CHANCE, len(catalogue) - len(hidden))
        dice = Random(hashlib.sha256(seed.encode()).digest())
        rows: set[int] = set()
        while len(rows) < wanted:  # one by one: who is withdrawn is replaced, the others stay
            row = dice.randrange(len(catalogue))
            if row not in hidden:
                rows.add(row)
        return {known.id for known in catalogue.known(sorted(rows))}


def nearest(searcher: Searcher, prompt: str, k: int) -> Results:
    """The k pictures nearest to a prompt of a taxonomy.

    A warning of the policy stops nobody here: a curator wrote the prompt, and what is hard to look
    at has to be tested too. A refusal does. Raises QueryError.
    """
    warned: list[str] = []
    while True:
        try:
            return searcher.search(prompt, k=k, acknowledged=warned)
        except PolicyError as error:
            if error.tier == "refuse" or error.rule in warned:
                raise
            warned.append(error.rule)


def in_order(ids: Iterable[str], judge: str, one: Class, key: bytes) -> list[str]:
    """Ids as one judge is shown them: always alike, and as good as by chance.

    With a key, so that nobody can reckon the order of others.
    """

    def place(id: str) -> bytes:
        said = "\n".join([judge.lower(), one.question, id])
        return hashlib.blake2b(said.encode(), key=key, digest_size=16).digest()

    return sorted(ids, key=place)
