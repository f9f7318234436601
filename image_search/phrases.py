"""What a rule of the policy looks for in words: a small notation, and how it is matched.

facial recognition            these words one after the other, inflected or not
who is (this|that) man        either of them
who is the? man               with or without
find ... name                 up to four words between
{person}                      any of the words of that name under [words]
naked & {child}               both, anywhere and in any order
=indians                      only this form: not “Indian”
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from image_search.wording import Word, lemma, split

BETWEEN = 4
"""Words that `...` may stand for."""

_TOKEN = re.compile(r"\s*(\.\.\.|\{[\w-]+\}|[()|?]|=?[^\s(){}|?&=]+)")


@dataclass(frozen=True)
class Phrase:
    """A pattern of words."""

    text: str
    parts: tuple[re.Pattern[str], ...]

    def is_in(self, line: str) -> bool:
        """Whether it is in a text, as `lined` has it."""
        return all(part.search(line) for part in self.parts)

    def taken_from(self, line: str) -> str:
        """A text without what this matches."""
        return self.parts[0].sub("/ ", line) if len(self.parts) == 1 else line


def lined(words: Sequence[Word]) -> str:
    """Words as phrases are matched with them: each as lemma/raw and a blank."""
    return " " + "".join(f"{word.lemma}/{word.raw} " for word in words)


def phrase(text: str, sets: Mapping[str, Sequence[str]]) -> Phrase:
    """Understand a phrase. Raises ValueError, in words for whoever wrote it."""
    parts = tuple(re.compile("(?<= )" + _sequence(part, sets)) for part in text.split("&"))
    return Phrase(text, parts)


def words_of(text: str, sets: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """All words that a phrase names, as written and as a dictionary has them."""
    for name in re.findall(r"\{([\w-]+)\}", text):
        for one in sets.get(name, ()):
            yield from words_of(one, {})
    for word in split(re.sub(r"\{[\w-]+\}", " ", text)):
        yield word
        yield lemma(word)


def _sequence(text: str, sets: Mapping[str, Sequence[str]]) -> str:
    """A pattern for words one after the other."""
    tokens, place, text = [], 0, text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found:
            raise ValueError(f"“{text[place:].strip()}” is not understood")
        tokens.append(found[1])
        place = found.end()
    if not tokens:
        raise ValueError("it is empty, or has nothing beside an &")
    made, rest = _choice(tokens, sets)
    if rest:
        raise ValueError("a bracket is closed that was not opened")
    return made


def _choice(tokens: list[str], sets: Mapping[str, Sequence[str]]) -> tuple[str, list[str]]:
    """A pattern for alternatives, up to where they end, and what follows."""
    made = [""]
    while tokens and tokens[0] != ")":
        token, *tokens = tokens
        if token == "|":
            made.append("")
            continue
        if token == "(":
            item, tokens = _choice(tokens, sets)
            if not tokens:
                raise ValueError("a bracket is not closed")
            tokens = tokens[1:]
        else:
            item = _item(token, sets)
        if tokens and tokens[0] == "?":
            item, tokens = f"(?:{item})?", tokens[1:]
        made[-1] += item
    if not all(made):
        raise ValueError("there is nothing on one side of a | or within brackets")
    return f"(?:{'|'.join(made)})", tokens


def _item(token: str, sets: Mapping[str, Sequence[str]]) -> str:
    if token == "?":
        raise ValueError("there is nothing before a ?")
    if token == "...":
        return rf"(?:\S+ ){{0,{BETWEEN}}}?"
    if token.startswith("{"):
        name = token.strip("{}")
        if name not in sets:
            raise ValueError(f"there is no {token} under [words], but {', '.join(sets) or 'none'}")
        return f"(?:{'|'.join(''.join(map(_word, one.split())) for one in sets[name])})"
    return _word(token)


def _word(text: str) -> str:
    pieces = split(text)
    if not pieces:
        raise ValueError(f"“{text}” has no word")
    if text.startswith("="):
        return "".join(rf"\S*/{re.escape(piece)} " for piece in pieces)
    return "".join(rf"{re.escape(lemma(piece))}/\S* " for piece in pieces)
