"""What may be asked: rules in three tiers, read from a file that a keeper can write.

Knows words and rules, neither vectors nor questions; `guard` holds questions against it.
"""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from image_search.errors import ConfigError
from image_search.phrases import Phrase, lined, phrase, words_of
from image_search.settings import ROOT, settings
from image_search.wording import Wording

STARTER = ROOT / "assets" / "policy.toml"
"""The policy that counts where the operator names none."""

Tier = Literal["note", "warn", "refuse"]


class Source(BaseModel):
    """Where a visitor can read why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1)
    address: str = Field(pattern=r"^https?://\S+$")


class Rule(BaseModel):
    """What is not asked here, or not without a word; see the head of the starter policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    tier: Tier
    reason: str = Field(min_length=1)
    """A sentence for the visitor."""
    source: Source
    phrases: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    """Questions that it means; what is near to them in meaning counts too."""
    ordinary: tuple[str, ...] = ()
    """Questions that it does not mean, though they come near."""
    pictures: tuple[str, ...] = ()
    """What a visitor's own picture shows, in words."""

    @model_validator(mode="after")
    def _can_be_met(self) -> "Rule":
        if not (self.phrases or self.examples or self.pictures):
            raise ValueError("it needs phrases, examples or pictures to be met by")
        if self.pictures and self.tier == "refuse":
            raise ValueError("nobody is refused for a picture alone: make it a rule of its own")
        return self


class Policy(BaseModel):
    """Rules, and the words that they share."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    words: dict[str, tuple[str, ...]] = {}
    as_they_are: tuple[str, ...] = Field(default=(), alias="as-they-are")
    """Words that are no misspelling of any other."""
    rules: tuple[Rule, ...] = Field(default=(), alias="rule")

    @classmethod
    def open(cls, path: Path | None = None) -> "Policy":
        """The policy of a file; without one that of the settings, else the starter. Raises
        ConfigError with the rule and its line."""
        path = path or settings().policy or STARTER
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The policy {path} cannot be read: {error}.") from None
        try:
            return cls.parse(text)
        except ValueError as error:
            raise ConfigError(f"The policy {path} cannot be used: {error}.") from None

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Understand a policy. Raises ValueError with the rule and its line."""
        told = tomllib.loads(text)
        try:
            made = cls.model_validate(told)
        except ValidationError as error:
            raise ValueError("; ".join(_told(one, told, text) for one in error.errors())) from None
        names = [rule.name for rule in made.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the rule “{name}”{_line(text, name)} stands there twice")
        for rule in made.rules:
            for one in (*rule.phrases, *rule.unless):
                try:
                    phrase(one, made.words)
                except ValueError as error:
                    where = f"“{rule.name}”{_line(text, one)}"
                    raise ValueError(f"rule {where}, “{one}”: {error}") from None
        return made

    def met_by(self, texts: Sequence[str]) -> list[Rule]:
        """The rules whose phrases are in one of these texts, in the order of the file."""
        lines = [lined(self._wording.read(text)) for text in texts]
        return [
            rule
            for rule, looked_for, free in self._understood
            if any(_meets(line, looked_for, free) for line in lines)
        ]

    @cached_property
    def _wording(self) -> Wording:
        return Wording(set(self._vocabulary()), self.as_they_are)

    @cached_property
    def _understood(self) -> list[tuple[Rule, list[Phrase], list[Phrase]]]:
        return [
            (
                rule,
                [phrase(one, self.words) for one in rule.phrases],
                [phrase(one, self.words) for one in rule.unless],
            )
            for rule in self.rules
        ]

    def _vocabulary(self) -> Iterator[str]:
        for rule in self.rules:
            for one in rule.phrases:
                yield from words_of(one, self.words)


def _meets(line: str, looked_for: Sequence[Phrase], free: Sequence[Phrase]) -> bool:
    if not any(one.is_in(line) for one in looked_for):
        return False
    for one in free:
        if len(one.parts) > 1 and one.is_in(line):
            return False
        line = one.taken_from(line)
    return any(one.is_in(line) for one in looked_for)


def _told(error: ErrorDetails, told: dict[str, object], text: str) -> str:
    """One of pydantic's errors, for whoever wrote the file."""
    place = list(error["loc"])
    said = str(error["msg"]).removeprefix("Value error, ")
    rules = told.get("rule")
    if place[:1] == ["rule"] and len(place) > 1 and isinstance(rules, list):
        rule = rules[number := int(place[1])]
        name = str(rule.get("name", "")) if isinstance(rule, dict) else ""
        called = f"“{name}”{_line(text, name)}" if name else f"number {number + 1}"
        at = ".".join(map(str, place[2:]))
        return f"rule {called}{', ' + at if at else ''}: {said}"
    return f"{'.'.join(map(str, place))}: {said}"


def _line(text: str, what: str) -> str:
    """In which line something stands first."""
    for number, line in enumerate(text.splitlines(), start=1):
        if f'"{what}"' in line or f"'{what}'" in line:
            return f" (line {number})"
    return ""
