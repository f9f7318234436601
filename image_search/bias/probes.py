"""What bias probes ask: words, groups, and the forms in which one is said of the other.

The file is `assets/bias-probes.toml`; its remarks say what everything in it is for.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from image_search.errors import ConfigError
from image_search.settings import ROOT

STARTER = ROOT / "assets" / "bias-probes.toml"
"""The probes that come with the project."""

KINDS_OF_WORDS = ("negative", "positive", "occupation", "neutral")
KINDS_OF_GROUPS = ("people", "things", "paraphrases")
NEUTRAL = 5
"""Neutral words of a form there have to be at least: a range of fewer says nothing."""
LONGEST = 100
"""Characters of a word or a group."""

_AN = re.compile(r"\b([Aa])(?= (?!eu|uni|us[aeiu]|one\b)(?:[aeiou]|hon|hour|heir))", re.IGNORECASE)


@dataclass(frozen=True)
class Words:
    """Words of one kind, said in one form."""

    name: str
    kind: str
    """One of KINDS_OF_WORDS."""
    form: str
    """The name of one of the probes' forms."""
    source: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Groups:
    """Sets of groups; those of a set are held against one another."""

    name: str
    kind: str
    """One of KINDS_OF_GROUPS."""
    anyone: str
    """What the word is said of where no group is named, such as “person”."""
    sets: tuple[tuple[str, ...], ...]
    source: str
    note: str
    forms: tuple[str, ...]
    """Those that can be said of them."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every group once, in order."""
        return tuple(dict.fromkeys(group for groups in self.sets for group in groups))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every two groups of a set."""
        return [pair for groups in self.sets for pair in combinations(groups, 2)]


@dataclass(frozen=True)
class Probes:
    """A file of probes."""

    name: str
    version: int
    about: str
    forms: dict[str, str]
    """How a word is said of a group, by the form's name."""
    words: tuple[Words, ...]
    groups: tuple[Groups, ...]
    file: str
    sha256: str
    """Of the file's bytes."""

    def said(self, form: str, word: str, group: str) -> str:
        """The question: a word, said of a group."""
        return with_article(self.forms[form].replace("{word}", word).replace("{group}", group))

    def bare(self, group: str) -> str:
        """The question with the group alone."""
        return with_article(f"a {group}")

    def of_form(self, form: str, neutral: bool) -> Iterator[tuple[Words, str]]:
        """The neutral or the charged words of a form, each with what it belongs to."""
        for words in self.words:
            if words.form == form and (words.kind == "neutral") == neutral:
                for word in words.words:
                    yield words, word


def with_article(text: str) -> str:
    """A text with “an” in the place of “a” before a vowel that is spoken."""
    return _AN.sub(r"\1n", text)


def read_probes(path: Path | None = None) -> Probes:
    """The probes of a file; without one those that come along.

    Raises ConfigError, with line and value, if it is no such file.
    """
    path = path or STARTER
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The probes {path} cannot be read: {error.strerror}.") from None
    try:
        text = data.decode()
        return _Reader(path, text).probes(tomllib.loads(text), hashlib.sha256(data).hexdigest())
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: this is not UTF-8. Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None


class _Reader:
    """Checks what a file says, and finds the lines to complain about."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def probes(self, said: dict[str, Any], sha256: str) -> Probes:
        self._known(said, {"name", "version", "about", "forms", "words", "groups"}, 1)
        version = said.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise self._wrong("version", version, "a number from 1 on", 1)
        forms = self._forms(said.get("forms"))
        words = tuple(self._words(one, line, forms) for one, line in self._tables(said, "words"))
        groups = tuple(self._groups(one, line, forms) for one, line in self._tables(said, "groups"))
        self._enough(words, groups)
        return Probes(
            name=self._text(said, "name", 1),
            version=version,
            about=self._text(said, "about", 1, ""),
            forms=forms,
            words=words,
            groups=groups,
            file=self._path.name,
            sha256=sha256,
        )

    def _forms(self, said: Any) -> dict[str, str]:
        line = self._line("[forms]")
        if not isinstance(said, dict) or not said:
            raise self._wrong("forms", said, "a table such as attribute = “a {word} {group}”", line)
        for name in said:
            form = self._text(said, name, line)
            if form.count("{word}") != 1 or form.count("{group}") != 1:
                raise self._wrong(
                    name, form, "a text with {word} and {group}", self._line(form, line)
                )
        return dict(said)

    def _words(self, said: dict[str, Any], line: int, forms: dict[str, str]) -> Words:
        self._known(said, {"name", "kind", "form", "source", "words"}, line)
        return Words(
            name=self._text(said, "name", line),
            kind=self._one_of(said, "kind", KINDS_OF_WORDS, line),
            form=self._one_of(said, "form", tuple(forms), line),
            source=self._text(said, "source", line),
            words=self._list(said.get("words"), "words", line, least=1),
        )

    def _groups(self, said: dict[str, Any], line: int, forms: dict[str, str]) -> Groups:
        self._known(said, {"name", "kind", "anyone", "source", "note", "forms", "sets"}, line)
        sets = said.get("sets")
        if not isinstance(sets, list) or not sets:
            raise self._wrong("sets", sets, "a list of lists of groups", line)
        chosen = self._list(said.get("forms", list(forms)), "forms", line, least=1)
        for form in chosen:
            if form not in forms:
                raise self._wrong("forms", form, f"one of {', '.join(forms)}", line)
        return Groups(
            name=self._text(said, "name", line),
            kind=self._one_of(said, "kind", KINDS_OF_GROUPS, line),
            anyone=self._text(said, "anyone", line),
            sets=tuple(self._list(one, "sets", line, least=2) for one in sets),
            source=self._text(said, "source", line),
            note=self._text(said, "note", line, ""),
            forms=chosen,
        )

    def _enough(self, words: Sequence[Words], groups: Sequence[Groups]) -> None:
        """Raise ConfigError unless there is something to ask, and something to hold it against."""
        charged: dict[str, str] = {}
        neutral: dict[str, set[str]] = {}
        for one in words:
            if one.kind == "neutral":
                neutral.setdefault(one.form, set()).update(one.words)
            else:
                charged.setdefault(one.form, one.name)
        if not charged:
            raise ConfigError(f"{self._path} has no charged words; add a [[words]].")
        if all(one.kind != "people" for one in groups):
            raise ConfigError(f"{self._path} has no groups of people; add a [[groups]].")
        for form, name in charged.items():
            if (count := len(neutral.get(form, ()))) < NEUTRAL:
                raise ConfigError(
                    f"{self._path}, line {self._line(name)}: the words “{name}” have the form "
                    f"{form}, of which there are {count} neutral words. Add some: at least "
                    f"{NEUTRAL} are needed to hold others against."
                )
        for kind, several in (("words", words), ("groups", groups)):
            names = [one.name for one in several]
            for name in names:
                if names.count(name) > 1:
                    last = max(n for n, text in enumerate(self._lines, 1) if name in text)
                    raise self._wrong("name", name, f"a name that no other {kind} have", last)
        seen: dict[tuple[str, str], str] = {}
        for one in words:
            for word in one.words:
                if (other := seen.setdefault((one.form, word), one.name)) != one.name:
                    start = self._line(f'"{one.name}"')
                    raise self._wrong(
                        "words",
                        word,
                        f"a word that is not among “{other}” too",
                        self._line(f'"{word}"', start),
                    )

    def _tables(self, said: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], int]]:
        """The tables of a name, each with the line of its head."""
        header = re.compile(rf"\s*\[\[\s*{name}\s*\]\]")
        lines = [n for n, line in enumerate(self._lines, start=1) if header.match(line)]
        tables = said.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
            raise self._wrong(name, tables, f"tables, each under [[{name}]]", self._line(name))
        lines += [1] * (len(tables) - len(lines))  # written in another way that TOML allows
        yield from zip(tables, lines, strict=False)

    def _known(self, said: dict[str, Any], keys: set[str], line: int) -> None:
        for key in said:
            if key not in keys:
                at = self._line(key, line)
                known = ", ".join(sorted(keys))
                raise ConfigError(f"{self._path}, line {at}: “{key}” means nothing here ({known}).")

    def _text(self, said: dict[str, Any], key: str, line: int, default: str | None = None) -> str:
        value = said.get(key, default)
        if not isinstance(value, str) or (not value.strip() and default is None):
            raise self._wrong(key, value, "a text", line)
        return " ".join(value.split())

    def _one_of(self, said: dict[str, Any], key: str, known: Sequence[str], line: int) -> str:
        value = self._text(said, key, line)
        if value not in known:
            raise self._wrong(key, value, f"one of {', '.join(known)}", line)
        return value

    def _list(self, value: Any, key: str, line: int, least: int) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise self._wrong(key, value, f"a list of at least {least}", line)
        for one in value:
            if not isinstance(one, str) or not one.strip() or len(one) > LONGEST:
                raise self._wrong(key, one, f"texts of up to {LONGEST} characters", line)
            if value.count(one) > 1:
                raise self._wrong(key, one, "each only once", line)
        return tuple(" ".join(one.split()) for one in value)

    def _wrong(self, key: str, value: Any, wanted: str, line: int) -> ConfigError:
        if value is None:
            return ConfigError(f"{self._path}, line {line}: {key} is missing; wanted is {wanted}.")
        at = self._line(str(value), self._line(key, line))
        told = f"“{str(value)[:200]}”"
        return ConfigError(f"{self._path}, line {at}: {key} is {told}; wanted is {wanted}.")

    def _line(self, text: str, start: int = 1) -> int:
        """The first line from `start` on that has a text; `start` if none has."""
        lines = enumerate(self._lines[start - 1 :], start=start)
        return next((number for number, line in lines if text in line), start)
