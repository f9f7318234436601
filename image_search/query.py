"""A question as it is typed → terms with weights. Knows neither vectors nor pictures.

    a harbour at night               one term: words are read together, as a sentence
    a harbour +fog -boats            several: looked for together; less of what has a minus
    2:a harbour +0.5:fog             weights; without one it is 1
    a cat OR a dog                   the better of the two
    a drawing of a cat or a dog      the same, sharing the words before it: “a drawing of a cat”,
                                     “a drawing of a dog”
    like:ID  -like:ID                a picture of the collection, by its id
    "red -blue"                      quotes turn all of that off

A sign counts where a blank, or nothing, stands before it and neither that nor a number behind it:
well-known, 1850 -1900 and “London - a view” are words. (A plus may have blanks on both sides.) A
weight has up to three digits before the point: “2:30” and “1850:portrait” are words. OR binds more
tightly than signs: in `a cat OR a dog -snow` both are without snow, and `-cat OR dog` is less of
either.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from itertools import product
from math import prod

from image_search.alternatives import alternatives
from image_search.errors import QuerySyntaxError

MAX_TERMS = 20
"""Terms of a question, alternatives included; each is read by the model by itself."""

MAX_CHOICES = 16
"""Ways to choose one of each group of alternatives; each is a search by itself."""

MAX_WEIGHT = 100.0

OPENING = '"“„'
CLOSING = '"”“'
MINUS = "−-"

_BLANKS = re.compile(r"\s*")
_NUMBER = r"(\d{1,3}(?:[.,]\d+)?):(?=[^\s\d])"
_WEIGHT = re.compile(_NUMBER)
_SIGN = re.compile(rf"([{MINUS}])(?=[^\s\d+{MINUS}]|{_NUMBER})|\+(?![\s+{MINUS}]|$)|\+(?=\s+\S)")
_PICTURE = re.compile(r"like:(?=\S)")
_OR = re.compile(r"OR(?=\s|$)")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Term:
    """One thing that is looked for, or less of which is wanted."""

    text: str
    """Words, or the id of a picture."""
    weight: float = 1.0
    """Below 0: less of it."""
    is_picture: bool = False

    def __str__(self) -> str:
        """As it may be typed, but for the sign."""
        amount = abs(self.weight)
        number = "" if amount == 1 else f"{_decimal(amount)}:"
        if self.is_picture:
            is_one_word = _WORD.fullmatch(self.text) is not None
            return f"{number}like:{self.text if is_one_word else _quoted(self.text)}"
        sign = "-" if self.weight < 0 else "+"
        return number + (self.text if _is_plain(sign, number, self.text) else _quoted(self.text))


Group = tuple[Term, ...]
"""Terms of which the best is taken; most often one."""


@dataclass(frozen=True)
class Query:
    """Groups of terms that are looked for together."""

    groups: tuple[Group, ...] = ()

    def choices(self) -> list[tuple[Term, ...]]:
        """Every way to take one term of each group: the best of these counts."""
        return [tuple(choice) for choice in product(*self.groups)]

    @property
    def terms(self) -> list[Term]:
        return [term for group in self.groups for term in group]

    @property
    def is_plain(self) -> bool:
        """Whether it is one sentence, or the better of several: nothing weighed or subtracted."""
        return len(self.groups) == 1 and all(
            term.weight == 1 and not term.is_picture for term in self.groups[0]
        )

    def without(self, group: int, term: int) -> "Query":
        """The same without one of its terms."""
        rest = self.groups[group][:term] + self.groups[group][term + 1 :]
        kept = (rest,) if rest else ()
        return Query(self.groups[:group] + kept + self.groups[group + 1 :])

    def __str__(self) -> str:
        """As it may be typed: parsed again, it is the same."""
        parts = []
        for place, group in enumerate(self.groups):
            sign = "-" if group[0].weight < 0 else "+" if place else ""
            others = (f"{'-' if term.weight < 0 else ''}{term}" for term in group[1:])
            parts.append(" OR ".join([f"{sign}{group[0]}", *others]))
        return " ".join(parts)


def parse(text: str) -> Query:
    """Understand a question. Raises QuerySyntaxError, which points at the place."""
    groups: list[list[_Open]] = []
    joined = False  # by an OR that stands before what comes next
    for token in _tokens(text):
        if token.kind == "or":
            if joined or not groups or not groups[-1][-1].words:
                raise _error(text, token.start, "OR needs something before it", "OR")
            joined = True
            continue
        fresh = token.kind == "begin" or not groups or groups[-1][-1].is_whole
        if fresh or joined:
            opened = _Open(token.weight, token.is_picture, token.kind == "begin")
            if joined:
                groups[-1].append(opened)
            else:
                groups.append([opened])
            joined = False
        if token.kind == "word":
            groups[-1][-1].words.append(token)
    if joined:
        raise _error(text, len(text), "OR needs something after it", "OR")
    made = [group for opened in groups for group in _closed(opened)]
    if sum(map(len, made)) > MAX_TERMS or prod(map(len, made)) > MAX_CHOICES:
        raise _error(
            text,
            len(text),
            f"These are too many things at once: up to {MAX_TERMS} terms, and {MAX_CHOICES} "
            "ways to choose between them with OR",
        )
    return Query(tuple(made))


@dataclass(frozen=True)
class _Token:
    kind: str
    """begin (of a term that has a sign, a weight or an id), word, or."""
    start: int
    text: str = ""
    quoted: bool = False
    weight: float = 1.0
    is_picture: bool = False


class _Open:
    """A term whose words are being read."""

    def __init__(self, weight: float, is_picture: bool, is_begun: bool) -> None:
        self.weight = weight
        self.is_picture = is_picture
        self.words: list[_Token] = []
        self.is_begun = is_begun

    @property
    def is_whole(self) -> bool:
        """Whether what follows is something else: an id is one word, and so is -"two words"."""
        closed = self.is_picture or (self.is_begun and bool(self.words) and self.words[0].quoted)
        return closed and bool(self.words)


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while (place := _after(_BLANKS, text, place)) < len(text):
        start = place
        if _OR.match(text, place):
            yield _Token("or", start)
            place += len("OR")
            continue
        sign = _SIGN.match(text, place)
        place = _after(_BLANKS, text, sign.end()) if sign else place
        weight = _WEIGHT.match(text, place)
        place = weight.end() if weight else place
        picture = _PICTURE.match(text, place)
        place = picture.end() if picture else place
        if sign or weight or picture:
            value = float(weight[1].replace(",", ".")) if weight else 1.0
            if not 0 < value <= MAX_WEIGHT:
                told = f"A weight is a number above 0 and up to {MAX_WEIGHT:.0f}"
                raise _error(text, start, told, weight[0] if weight else "")
            value = -value if sign and sign[0] in MINUS else value
            yield _Token("begin", start, weight=value, is_picture=bool(picture))
        start = place
        if text[place] in OPENING:
            end = _closing(text, place)
            yield _Token("word", start, text[place + 1 : end], quoted=True)
            place = end + 1
        else:
            place = _after(_WORD, text, place)
            yield _Token("word", start, text[start:place])


def _closing(text: str, opening: int) -> int:
    for place in range(opening + 1, len(text)):
        if text[place] in CLOSING:
            return place
    raise _error(text, opening, "This quotation mark is not closed", text[opening])


def _after(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _closed(opened: Sequence[_Open]) -> list[Group]:
    """The group of some terms; several where less is wanted of each of several things."""
    if opened[0].weight < 0:
        # Less of “a cat or a dog” is less of the one and less of the other.
        return [
            (replace(term, weight=-abs(term.weight)),) for one in opened for term in _terms(one)
        ]
    group = tuple(term for one in opened for term in _terms(one))
    return [group] if group else []


def _terms(opened: _Open) -> list[Term]:
    """A term; several where a plain “or” stands between things."""
    if opened.is_picture:
        id = opened.words[0].text
        return [Term(id, opened.weight, True)] if id else []
    words = [(" ".join(word.text.split()), word.quoted) for word in opened.words]
    words = [word for word in words if word[0]]
    if not words:
        return []
    return [Term(text, opened.weight) for text in alternatives(words)]


def _decimal(amount: float) -> str:
    """A weight as it is typed: in full, and never as 1e-05."""
    return f"{Decimal(repr(amount)):f}".removesuffix(".0")


@lru_cache(256)  # of a question with many alternatives the same are asked again and again
def _is_plain(sign: str, number: str, text: str) -> bool:
    """Whether the words, typed as they are, are understood as one term; behind a sign too."""
    try:
        alone, signed = parse(text), parse(f"{sign}{number}{text}")
    except QuerySyntaxError:
        return False
    return [term.text for term in (*alone.terms, *signed.terms)] == [text, text]


def _quoted(text: str) -> str:
    """In quotes; those within are lost, since nothing stands for them."""
    return '"' + re.sub(f"[{OPENING}{CLOSING}]", "", text) + '"'


def _error(text: str, place: int, told: str, what: str = "") -> QuerySyntaxError:
    return QuerySyntaxError(told, text, place, len(what))
