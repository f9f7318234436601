"""What a collection is tested for: a fixed list of classes with a version, each with its prompts.

The model card asks for testing “with a specific, fixed class taxonomy”. It is a small TOML file:

    name = "What our readers look for"
    version = "1"
    about = "From a year of letters to the reading room."    # may be left out

    [[class]]
    name = "a musical instrument"
    about = "Also as part of a scene; not the musician alone."    # may be left out
    prompts = ["a musical instrument", "a guitar OR a drum"]

Judges are asked “Does this show: a musical instrument?”, with what is `about` it at hand. They
never see the prompts: these are the questions of the search that is being tested, in the language
of `query`.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NoReturn

from image_search.errors import QueryError
from image_search.question import question
from image_search.state import State
from image_search.tidy import tidy

KIND = "taxonomy"

LONGEST = 40_000
"""Bytes of the file: a record of the state may have 100,000, where some take two."""

MOST_CLASSES = 50
MOST_PROMPTS = 12
"""Of a class: every prompt brings pictures that people have to judge."""

LONGEST_NAME = 100
LONGEST_ABOUT = 500
LONGEST_PROMPT = 200
"""Characters; the models read about 60 words."""

_HEADING = re.compile(r"""\s*\[\[\s*(["']?)class\1\s*\]\]""")
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(frozen=True)
class Class:
    """Something that is looked for in a collection, and how it is asked for."""

    name: str
    prompts: tuple[str, ...]
    about: str = ""

    @cached_property
    def question(self) -> str:
        """The sha256 of what judges are asked: the name, and what is said about it.

        Judgements are tied to this, and not to the whole file: correcting one class, or its
        prompts, leaves what was said of the others, and of the pictures it brought before.
        """
        return _digest([self.name, self.about])


@dataclass(frozen=True)
class Taxonomy:
    """Classes to test a collection with."""

    name: str
    version: str
    about: str
    classes: tuple[Class, ...]
    text: str
    """The file."""

    @cached_property
    def sha256(self) -> str:
        """Of all that decides a test: comments, order of lines and `about` of the file do not."""
        classes = [[one.name, one.about, *one.prompts] for one in self.classes]
        return _digest([self.name, self.version, classes])

    def named(self, name: str) -> Class:
        """The class of a name. Raises QueryError."""
        for one in self.classes:
            if one.name == name:
                return one
        raise QueryError(f"The taxonomy “{self.name}” has no class “{name[:LONGEST_NAME]}”.")

    @staticmethod
    def parse(text: str) -> "Taxonomy":
        """Read the text of a file. Raises QueryError, which names the line."""
        return _parse(text)


@dataclass(frozen=True)
class Kept:
    """A taxonomy of the state, since when, and whose."""

    taxonomy: Taxonomy
    by: str
    time: str


class Taxonomies:
    """The taxonomies that were ever used with a collection; the newest counts.

    They are in the state, as a Space has no other place for a file.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def latest(self) -> Kept | None:
        """The one that counts. Raises QueryError if somebody wrote it past this program."""
        records = self._state.records(KIND)
        if not records:
            return None
        newest = records[-1]
        return Kept(Taxonomy.parse(newest.said["text"]), newest.said["by"], newest.time)

    def current(self) -> Taxonomy:
        """The same alone. Raises QueryError if there is none."""
        latest = self.latest()
        if latest is None:
            raise QueryError("There is no taxonomy yet. A curator writes one in the tab “Judge”.")
        return latest.taxonomy

    def of(self, sha256: str) -> Taxonomy | None:
        """One that counts or did so."""
        for record in reversed(self._state.records(KIND)):
            taxonomy = Taxonomy.parse(record.said["text"])
            if taxonomy.sha256 == sha256:
                return taxonomy
        return None

    def set(self, text: str, by: str) -> tuple[Taxonomy, bool]:
        """Have a file count from now on; whether that is kept by now. Raises QueryError."""
        taxonomy = Taxonomy.parse(text)
        latest = self.latest()
        same = latest is not None and latest.taxonomy.text == text
        return taxonomy, same or self._state.add(KIND, text=text, by=by)


@lru_cache(64)
def _parse(text: str) -> Taxonomy:
    size = len(text.encode("utf-8", "replace"))
    if size > LONGEST:
        raise QueryError(f"The taxonomy has {size:,} bytes; it may have {LONGEST:,}.")
    return _Reader(text).taxonomy()


class _Reader:
    """Reads one file, and says where it is wrong."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.splitlines()
        headings = [n for n, line in enumerate(self.lines) if _HEADING.match(line)]
        self.blocks = list(pairwise([*headings, len(self.lines)]))

    def taxonomy(self) -> Taxonomy:
        told = self._toml()
        self._expect_keys(told, ("name", "version", "about", "class"))
        version = told.get("version", "")
        if isinstance(version, int) and not isinstance(version, bool):
            version = str(version)
        listed = told.get("class", [])
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            self._refuse("A class begins with a line [[class]], in two pairs of brackets.", "class")
        if not listed:
            self._refuse("There is no class. One begins with a line [[class]].")
        if len(listed) > MOST_CLASSES:
            self._refuse(
                f"These are {len(listed)} classes; there may be {MOST_CLASSES}.",
                number=MOST_CLASSES,
            )
        taxonomy = Taxonomy(
            name=self._words(told.get("name"), "name", LONGEST_NAME),
            version=self._words(version, "version", LONGEST_NAME),
            about=self._words(told.get("about", ""), "about", LONGEST_ABOUT, may_lack=True),
            classes=tuple(self._class(number, one) for number, one in enumerate(listed)),
            text=self.text,
        )
        self._expect_no_doubles(taxonomy.classes)
        return taxonomy

    def _toml(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text.removeprefix("\ufeff"))
        except tomllib.TOMLDecodeError as error:
            place = _PLACE.search(str(error))
            why = str(error).removesuffix(place[0]) if place else str(error)
            at = f"Line {place[1]}, column {place[2]}: " if place else ""
            raise QueryError(
                f'{at}This cannot be read ({why}). Texts stand in straight quotes ("…"), with '
                "commas between them."
            ) from None
        except ValueError:
            raise QueryError("This is not a taxonomy: a number in it is too long.") from None
        except RecursionError:
            raise QueryError("This is not a taxonomy: too many brackets.") from None

    def _class(self, number: int, told: dict[str, Any]) -> Class:
        self._expect_keys(told, ("name", "about", "prompts"), number)
        name = self._words(told.get("name"), "name", LONGEST_NAME, number)
        about = self._words(told.get("about", ""), "about", LONGEST_ABOUT, number, may_lack=True)
        prompts = told.get("prompts")
        if not isinstance(prompts, list) or not prompts:
            self._refuse(
                f"The class “{name}” has no prompts; they stand in brackets: "
                'prompts = ["a guitar", "…"].',
                name,
                number,
            )
        if len(prompts) > MOST_PROMPTS:
            self._refuse(
                f"The class “{name}” has {len(prompts)} prompts; it may have {MOST_PROMPTS}.",
                "prompts",
                number,
            )
        return Class(name, tuple(self._prompt(prompt, name, number) for prompt in prompts), about)

    def _prompt(self, told: Any, name: str, number: int) -> str:
        prompt = self._words(told, f"prompt of “{name}”", LONGEST_PROMPT, number)
        try:
            asked = question(prompt)
        except QueryError as error:
            self._refuse(f"The prompt “{prompt}” of “{name}”: {error}", str(told), number)
        if asked.named:
            self._refuse(
                f"The prompt “{prompt}” of “{name}” names a picture; a prompt is words.",
                str(told),
                number,
            )
        return prompt

    def _expect_no_doubles(self, classes: Iterable[Class]) -> None:
        names: set[str] = set()
        prompts: dict[str, str] = {}
        for number, one in enumerate(classes):
            if one.name.casefold() in names:
                self._refuse(f"There are two classes “{one.name}”.", one.name, number)
            names.add(one.name.casefold())
            for prompt in one.prompts:
                if (other := prompts.get(prompt.casefold())) is not None:
                    where = f"twice in “{one.name}”" if other == one.name else f"in “{other}” too"
                    self._refuse(f"The prompt “{prompt}” stands {where}.", prompt, number)
                prompts[prompt.casefold()] = one.name

    def _words(
        self, told: Any, what: str, longest: int, number: int | None = None, may_lack: bool = False
    ) -> str:
        of = "the file" if number is None else f"class {number + 1}"
        if told is None or told == "":
            if may_lack:
                return ""
            self._refuse(f"The {what} of {of} is missing.", what, number)
        if not isinstance(told, str):
            self._refuse(f"The {what} of {of} is {told!r}; write it in quotes.", what, number)
        words = tidy(told)
        if not words:
            self._refuse(f"The {what} of {of} is empty.", what, number)
        if len(words) > longest:
            self._refuse(
                f"The {what} of {of} has {len(words)} characters; it may have {longest}.",
                told[:40],
                number,
            )
        return words

    def _expect_keys(
        self, told: dict[str, Any], known: tuple[str, ...], number: int | None = None
    ) -> None:
        for key in told:
            if key not in known:
                names = ", ".join(known)
                self._refuse(
                    f"“{tidy(key)[:40]}” means nothing here; there are {names}.", key, number
                )

    def _refuse(self, why: str, near: str = "", number: int | None = None) -> NoReturn:
        """Raise QueryError with the line where something stands: of a class, or before them."""
        first, last = 0, self.blocks[0][0] if self.blocks else len(self.lines)
        if number is not None and number < len(self.blocks):
            first, last = self.blocks[number]
        elif number is not None:  # written on one line, as class = [{…}]
            last = len(self.lines)
        block = range(first, last) if near else range(0)
        there = [
            n for said in (f'"{near}"', f"'{near}'", near) for n in block if said in self.lines[n]
        ]
        line = there[0] if there else first if number is not None else None
        raise QueryError(why if line is None else f"Line {line + 1}: {why}")


def _digest(told: list[Any]) -> str:
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()
