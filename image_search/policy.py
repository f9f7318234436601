"""What may be asked: rules in three tiers, read from a file that a keeper can write.

Knows words and rules, neither vectors nor questions; `guard` holds questions against it.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
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


class _File(BaseModel):
    """A policy as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: dict[str, tuple[str, ...]] = {}
    """Words that phrases share, by the name that these call them by."""
    as_they_are: tuple[str, ...] = Field(default=(), alias="as-they-are")
    """Words that are no misspelling of any other."""
    rules: tuple[Rule, ...] = Field(default=(), alias="rule")


@dataclass(frozen=True)
class _Understood:
    """A rule with its phrases, ready to be looked for."""

    rule: Rule
    phrases: tuple[Phrase, ...]
    unless: tuple[Phrase, ...]

    def is_met_by(self, line: str) -> bool:
        if not any(one.is_in(line) for one in self.phrases):
            return False
        for free in self.unless:
            if len(free.parts) > 1 and free.is_in(line):
                return False
            line = free.taken_from(line)
        return any(one.is_in(line) for one in self.phrases)


class Policy:
    """Rules, ready to be held against words."""

    def __init__(self, rules: Sequence[_Understood], wording: Wording) -> None:
        """Made by `open` and `parse`."""
        self.rules = tuple(one.rule for one in rules)
        self._understood = rules
        self._wording = wording

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
            return _parsed(text)
        except ValueError as error:
            raise ConfigError(f"The policy {path} cannot be used: {error}.") from None

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Understand a policy. Raises ValueError with the rule and its line."""
        told = tomllib.loads(text)
        try:
            file = _File.model_validate(told)
        except ValidationError as error:
            raise ValueError("; ".join(_told(one, told, text) for one in error.errors())) from None
        names = [rule.name for rule in file.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the rule “{name}”{_line(text, name)} stands there twice")
        understood = [
            _Understood(
                rule,
                tuple(_phrase(one, rule, file, text) for one in rule.phrases),
                tuple(_phrase(one, rule, file, text) for one in rule.unless),
            )
            for rule in file.rules
        ]
        looked_for = (one for rule in file.rules for one in rule.phrases)
        vocabulary = {word for one in looked_for for word in words_of(one, file.words)}
        return cls(understood, Wording(vocabulary, file.as_they_are))

    def met_by(self, texts: Sequence[str]) -> list[Rule]:
        """The rules whose phrases are in one of these texts, in the order of the file."""
        lines = [lined(self._wording.read(text)) for text in texts]
        return [one.rule for one in self._understood if any(map(one.is_met_by, lines))]


@lru_cache(4)
def _parsed(text: str) -> Policy:
    return Policy.parse(text)  # half a second: whoever opens several collections has it once


def _phrase(one: str, rule: Rule, file: _File, text: str) -> Phrase:
    try:
        return phrase(one, file.words)
    except ValueError as error:
        where = f"“{rule.name}”{_line(text, one)}"
        raise ValueError(f"rule {where}, “{one}”: {error}") from None


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
