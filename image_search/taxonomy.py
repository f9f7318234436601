"""A taxonomy: classes of pictures, each with the prompts that are to find them."""

import hashlib
import json
import tomllib
from dataclasses import dataclass

from image_search.errors import ConfigError


@dataclass(frozen=True)
class Class:
    """A class of pictures, and the prompts that are to find them."""

    name: str
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Taxonomy:
    """Classes, under a name and a version."""

    name: str
    version: str
    classes: tuple[Class, ...]
    sha256: str
    text: str

    @classmethod
    def parse(cls, text: str) -> "Taxonomy":
        """The taxonomy that a file holds. Raises ConfigError."""
        try:
            raw = tomllib.loads(text)
            classes = tuple(Class(c["name"], tuple(c["prompts"])) for c in raw["class"])
            name, version = str(raw["name"]), str(raw["version"])
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise ConfigError(f"This is no taxonomy: {error}.") from None
        content = json.dumps([name, version, [[c.name, c.prompts] for c in classes]])
        return cls(name, version, classes, hashlib.sha256(content.encode()).hexdigest(), text)
