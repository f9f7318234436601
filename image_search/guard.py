"""Holds every question against the policy, before anything is searched.

Knows questions and vectors. It stands within Searcher, so that no caller gets round it.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from image_search.encoder import Encoder, Vectors
from image_search.errors import PolicyError
from image_search.filters import Condition, OneOf, Words
from image_search.index.protocol import Index
from image_search.nearness import Nearness
from image_search.policy import Policy, Rule
from image_search.question import Question
from image_search.settings import settings

SENTENCE = 3
"""Words from which on a text is compared by its meaning: a word alone is near to anything."""


@dataclass(frozen=True)
class Passed:
    """What there is to say of a question that may be asked."""

    notices: tuple[str, ...] = ()
    acknowledged: tuple[str, ...] = ()
    """The rules that would have warned, had the visitor not said to go on."""


class Guard:
    """One collection's policy. Safe to use from several threads."""

    def __init__(self, encoder: Encoder, index: Index, model: str) -> None:
        """Reads the policy of the settings; `model` tells this encoder from others. Raises
        ConfigError."""
        self._policy = Policy.open()
        name = hashlib.sha256(model.encode()).hexdigest()[:12]
        kept = settings().cache / "policy" / f"{name}.npz"
        self._nearness = Nearness(self._policy, encoder, index, kept)

    def prepare(self) -> None:
        """Do before the first question what it would wait for: a second or two."""
        self._policy.met_by(["a guitar"])
        self._nearness.prepare()

    def check(
        self,
        question: Question,
        where: Iterable[Condition],
        vector_of: Callable[[str], Vectors],
        picture: Vectors | None,
    ) -> Passed:
        """What the policy says of a question whose own picture has this vector.

        Raises PolicyError where it is refused, or where the visitor is to be asked first.
        """
        asked = words_of(question)
        where = tuple(where)
        filters = [one.words for one in where if isinstance(one, Words)]
        # A value of a field is no question by itself, but it may be the rest of one.
        values = [str(value) for one in where if isinstance(one, OneOf) for value in one.values]
        wholes = _wholes(question, [*filters, *values])
        found = self._policy.met_by([*dict.fromkeys([*asked, *filters, *wholes])])
        _refuse(found, question.acknowledged)  # what is refused is not even encoded
        for text in dict.fromkeys([*asked, *_wholes(question)]):
            if len(text.split()) < SENTENCE:
                continue
            found += self._nearness.met_by_words(vector_of(text))
        if picture is not None:
            found += self._nearness.met_by_picture(picture)
        found = list(dict.fromkeys(found))
        _refuse(found, question.acknowledged)
        return Passed(
            tuple(rule.reason for rule in found if rule.tier == "note"),
            tuple(rule.name for rule in found if rule.tier == "warn"),
        )


def words_of(question: Question) -> list[str]:
    """What is asked for in words, piece by piece; pictures by their ids are none."""
    return [term.text for term in question.query.terms if not term.is_picture]


def _wholes(question: Question, further: Sequence[str] = ()) -> list[str]:
    """All pieces together, and what is wanted of each way to choose: signs and quotes may cut a
    sentence anywhere."""
    wanted = (
        [term.text for term in choice if term.weight > 0 and not term.is_picture]
        for choice in question.query.choices()
    )
    together = [words_of(question), *wanted]
    return [
        " ".join(dict.fromkeys([*pieces, *further])) for pieces in together if pieces or further
    ]


def _refuse(rules: Sequence[Rule], acknowledged: Sequence[str]) -> None:
    """Raise PolicyError for the gravest rule that stands in the way, if one does."""
    for tier in ("refuse", "warn"):
        for rule in rules:
            if rule.tier == tier and (tier == "refuse" or rule.name not in acknowledged):
                source = rule.source
                raise PolicyError(rule.reason, rule.name, tier, source.title, source.address)
