"""Words as the policy compares them: one form, whichever way they are written.

Case, accents, look-alike letters, British spelling, inflection and small misspellings make no
difference. `phrases` says how what comes out is matched.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

LONG, LONGER = 5, 9
"""Letters from which on a word of the policy is known with one slip in it, and with two."""

DROPPED = ("Mn", "Mc", "Me", "Cf")
"""Kinds of characters that are no letters: accents, and what is not seen."""

# Letters of other scripts that look like Latin ones, and what they are taken for.
_LOOK_ALIKE = str.maketrans(
    "аеорсухіјѕһԁԛԝкмтвнαονρτικυχηωβεɡɑıℓ",
    "aeopcyxijshdqwkmtbhaovptikuxnwbegail",
)
_DIGITS = str.maketrans("013457@$!|", "oieastasil")
_DISGUISED = re.compile(r"(?=\w*[a-z])(?=[\w$!|]*[\d@$!|])[\w@$!|]+")
_IS = re.compile(r"\b(who|what|where|that|he|she|it|there)\s?['’`´]\s?s\b")
_POSSESSIVE = re.compile(r"['’`´](?:s\b|(?!\w))")
_HAN = re.compile("[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_WHO_IS = {"whos": ("who", "is"), "whats": ("what", "is"), "wheres": ("where", "is")}
_WORD = re.compile(r"[^\W_]+")
_MANY = re.compile(r"(.)\1{2,}")
_BRITISH = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"is(e|ed|es|er|ing|ation|able)$", r"iz\1"),
        (r"ys(e|ed|es|er|ing)$", r"yz\1"),
        (r"(?<=[a-z]{3})our(?=$|e|i|s|h|l)", "or"),
        (r"^paed", "ped"),
        (r"ll(ed|ing|er)$", r"l\1"),
        (r"(?<=[a-z]{2})tre$", "ter"),
        (r"ogue$", "og"),
    )
]


@dataclass(frozen=True)
class Word:
    """A word as it was written (but for case and the like), and its form in a dictionary."""

    raw: str
    lemma: str


class Wording:
    """Reads texts, with the words of a policy in mind: slips in these are put right.

    `kept` are words that are none of these, however near they come (Niger).
    """

    def __init__(self, vocabulary: Iterable[str], kept: Iterable[str] = ()) -> None:
        self._long = sorted({word for word in vocabulary if len(word) >= LONG})
        self._all = frozenset(vocabulary)
        self._kept = frozenset(kept)

    def read(self, text: str) -> list[Word]:
        """The words of a text."""
        found = []
        pieces = _joined(split(text))
        place = 0
        while place < len(pieces):
            both = "".join(pieces[place : place + 2])
            if self._is_cut(pieces[place : place + 2]):  # sur veillance
                found.append(Word(both, lemma(both)))
                place += 2
                continue
            raw = self._righted(pieces[place])
            found.append(Word(raw, lemma(raw)))
            place += 1
        return found

    def _is_cut(self, pieces: list[str]) -> bool:
        both = "".join(pieces)
        if len(pieces) < 2 or len(both) <= LONG:
            return False
        is_ours = both in self._all or lemma(both) in self._all
        return is_ours and not all(map(is_known, pieces))

    def _righted(self, word: str) -> str:
        """The word of the policy that this one stands for, if it is none of English."""
        if word in self._all or word in self._kept or len(word) < LONG or is_known(word):
            return word
        if lemma(word) in self._all or not word.isalpha():
            return word
        slips = 2 if len(word) >= LONGER else 1
        near = process.extractOne(
            word, self._long, scorer=OSA.distance, score_cutoff=slips, processor=None
        )
        # Whoever mistypes a word seldom does so at its first letter.
        return str(near[0]) if near and near[0][0] == word[0] else word


def split(text: str) -> list[str]:
    """The words of a text, without what only makes them look otherwise."""
    text = unicodedata.normalize("NFKD", text)
    # What the models' own reading drops, too: it would part a word here and not there.
    text = "".join(c for c in text if unicodedata.category(c) not in DROPPED and c != "\ufffd")
    text = _HAN.sub(" ", text.casefold())
    text = text.translate(_LOOK_ALIKE)
    text = _IS.sub(r"\1 is", text)
    text = _POSSESSIVE.sub("", text)
    text = _DISGUISED.sub(_undisguised, text)
    return [part for word in _WORD.findall(text) for part in _WHO_IS.get(word, (word,))]


@lru_cache(4096)
def lemma(word: str) -> str:
    """The form that a dictionary has, in American spelling."""
    import simplemma

    if word.endswith("s") and len(word) >= LONG and not is_known(word):
        return lemma(word[:-1])  # what a dictionary does not have, may have an end all the same
    known = word
    for _ in range(3):  # strangers → stranger → strange: so that both are the same
        known = simplemma.lemmatize(known, lang="en").lower()
    for pattern, new in _BRITISH:
        known = pattern.sub(new, known)
    return known


@lru_cache(4096)
def is_known(word: str) -> bool:
    """Whether a dictionary of English has the word."""
    import simplemma

    return bool(simplemma.is_known(word, lang="en"))


def _undisguised(found: re.Match[str]) -> str:
    """p0rn as porn; what is no English then stays as it is, such as b17 and 1850s."""
    text = found[0].rstrip("!|")
    plain = _MANY.sub(r"\1", text.translate(_DIGITS))
    return plain if is_known(plain) else text


def _joined(words: list[str]) -> list[str]:
    """n u d e as nude; and a letter that stands three times or more, once."""
    found: list[str] = []
    letters = ""
    for word in [*words, ""]:
        if len(word) == 1 and word.isalpha():
            letters += word
            continue
        found += [letters] if len(letters) > 3 else list(letters)
        letters = ""
        if word:
            found.append(word if is_known(word) else _MANY.sub(r"\1", word))
    return found
