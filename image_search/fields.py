"""What a column of metadata is: its kind, its role, its values.

The kind of a column, by its values that are not empty; the first line that fits counts (a column
with a value that is a list already, as JSON has them, is a list):

    url       all begin with http:// or https:// and hold no blank
    number    all are plain decimal numbers, up to 15 digits before the point, as 1872 or 0.5. Not
              000499442, which is a code; not 1,234 or 1.234,5, which mean different things to
              different readers
    date      all are ISO 8601 dates (1872, 1872-05, 1872-05-03, 1872-05-03T10:00), and not all are
              years only
    list      half of the values hold ";" or "|" and no part is longer than 60 characters; one
              value is enough in columns called keywords, tags, subjects, topics or genres
    category  on average each value stands twice or more, there are at most 1,000 different ones,
              and none is longer than 100 characters
    text      everything else, and every title

The role of a column goes by its name (`_ROLES`): the first column, in the order of the names there,
whose kind fits. A fields.toml overrides both, by tables called like the columns:

    [plate]
    kind = "text"

    [author_of_book]
    role = "creator"        # role = "none" takes a role away
"""

import math
import re
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

import pyarrow as pa

from image_search.errors import CollectionError

Kind = Literal["text", "category", "list", "number", "date", "url"]
Role = Literal["title", "creator", "year", "rights", "source_url", "credit"]
Value = str | float | int | list[str] | None

KINDS: tuple[Kind, ...] = get_args(Kind)
ROLES: tuple[Role, ...] = get_args(Role)

# Columns that an artifact has of its own.
RESERVED = frozenset({"id", "image", "embeddings", "thumbnail", "score", "rank"})

_ROLES: dict[Role, tuple[tuple[str, ...], frozenset[Kind]]] = {
    "title": (("title", "name", "caption"), frozenset(KINDS)),
    "creator": (
        ("creator", "author", "artist", "maker", "photographer", "illustrator"),
        frozenset({"text", "category", "list"}),
    ),
    "year": (("year", "date"), frozenset({"number", "date"})),
    "rights": (("rights", "license", "licence"), frozenset({"text", "category", "url"})),
    # only url: what is shown as a link must be one
    "source_url": (("source_url", "url", "link", "page"), frozenset({"url"})),
    "credit": (
        ("credit", "credit_line", "attribution", "courtesy"),
        frozenset({"text", "category"}),
    ),
}
_LIST_NAMES = frozenset({"keywords", "tags", "subjects", "topics", "genres"})
_SEPARATOR = re.compile("[;|]")
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,20})?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?P<time>[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Field:
    """One column of metadata; no two fields of a collection share a name or a role."""

    name: str
    kind: Kind
    role: Role | None = None


@dataclass(frozen=True)
class Override:
    """What a fields.toml says of one column; None is what it does not say."""

    kind: Kind | None = None
    role: Role | Literal["none"] | None = None


def infer(
    columns: Mapping[str, Sequence[Value]], overrides: Mapping[str, Override] | None = None
) -> list[Field]:
    """The fields of a table, in the order of its columns, by the rules at the top of this file.

    Raises CollectionError if an override gives a role that the kind of its column cannot have.
    """
    overrides = overrides or {}
    kinds = {name: _kind(name, values) for name, values in columns.items()}
    kinds |= {name: override.kind for name, override in overrides.items() if override.kind}
    roles: dict[str, Role] = {}
    for name, override in overrides.items():
        if override.role is not None and override.role != "none":
            allowed = _ROLES[override.role][1]
            if kinds[name] not in allowed:
                raise CollectionError(
                    f"The column {name!r} cannot have the role {override.role!r}: it is of the "
                    f"kind {kinds[name]!r}, the role needs {_any_of(sorted(allowed))}. Give it "
                    "another kind or no role in fields.toml."
                )
            roles[name] = override.role
    for role, (names, allowed) in _ROLES.items():
        free = [
            name
            for wanted in names
            for name in columns
            if _plain(name) == wanted
            and kinds[name] in allowed
            and name not in roles
            and (name not in overrides or overrides[name].role is None)
        ]
        if free and role not in roles.values():
            roles[free[0]] = role
    for name, role in roles.items():
        if role == "title" and (name not in overrides or overrides[name].kind is None):
            kinds[name] = "text"
    return [Field(name, kinds[name], roles.get(name)) for name in columns]


def read_overrides(path: Path, columns: Collection[str]) -> dict[str, Override]:
    """What a fields.toml says, by column; `columns` are the names that it may mention.

    Raises CollectionError for anything unknown or doubled, and names what would be right.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise CollectionError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CollectionError(f"{path} is not valid TOML: {error}.") from error
    overrides: dict[str, Override] = {}
    for name, table in tables.items():
        if name not in columns:
            raise CollectionError(
                f"{path}: there is no column {name!r}; the columns are {_any_of(columns)}."
            )
        if not isinstance(table, dict):
            raise CollectionError(
                f'{path}: {name!r} must be a table. Write [{name}], and below it kind = "{table}".'
            )
        for key, value in table.items():
            valid = {"kind": KINDS, "role": (*ROLES, "none")}.get(key)
            if valid is None:
                raise CollectionError(
                    f"{path}: the column {name!r} has {key!r}; there are only 'kind' and 'role'."
                )
            if value not in valid:
                raise CollectionError(
                    f"{path}: the column {name!r} has the {key} {value!r}; "
                    f"it can be {_any_of(valid)}."
                )
            for other, override in overrides.items():
                if key == "role" and value != "none" and override.role == value:
                    raise CollectionError(
                        f"{path}: the columns {other!r} and {name!r} both have the role {value!r}; "
                        "a role can be given once."
                    )
        overrides[name] = Override(**cast("dict[str, Any]", table))
    return overrides


def convert(value: Value, field: Field) -> Value:
    """A value as its field wants it, in Unicode NFC and without blanks around; None if it is empty.

    Numbers are int where they are integral. A value that is no number in a number field, or no
    link in a url field (both happen by overriding only), is None. Dates stay as they are written.
    """
    if field.kind == "list":
        parts = value if isinstance(value, list) else _SEPARATOR.split(_text(value))
        return [text for part in parts if (text := _text(part))] or None
    text = _text(value)
    if field.kind == "number":
        return _number(text)
    if field.kind == "url" and not _URL.fullmatch(text):
        return None
    return text or None


def arrow_schema(fields: Sequence[Field], columns: Mapping[str, Sequence[Value]]) -> pa.Schema:
    """The Arrow schema of converted columns: string, list<string>, for numbers int64 or float64.

    All values are looked at: a number field is int64 only if none of them has a fraction, so that
    every part of a table gets the same schema.
    """

    def arrow_type(field: Field) -> pa.DataType:
        if field.kind == "list":
            return pa.list_(pa.string())
        if field.kind == "number":
            fractions = any(isinstance(value, float) for value in columns[field.name])
            return pa.float64() if fractions else pa.int64()
        return pa.string()

    return pa.schema([(field.name, arrow_type(field)) for field in fields])


def _kind(name: str, values: Sequence[Value]) -> Kind:
    texts = [text for value in values if (text := _text(value))]
    if not texts:
        return "text"
    if any(isinstance(value, list) for value in values):
        return "list"
    tests: dict[Kind, Callable[[list[str]], bool]] = {
        "url": lambda texts: all(_URL.fullmatch(text) for text in texts),
        "number": lambda texts: all(_NUMBER.fullmatch(text) for text in texts),
        "date": lambda texts: all(map(_is_date, texts)) and any(len(text) > 4 for text in texts),
        "list": lambda texts: _are_lists(name, texts),
        "category": _repeat,
    }
    return next((kind for kind, fits in tests.items() if fits(texts)), "text")


def _are_lists(name: str, texts: list[str]) -> bool:
    separated = sum(1 for text in texts if _SEPARATOR.search(text))
    if _plain(name) in _LIST_NAMES:
        return separated > 0
    return separated * 2 >= len(texts) and all(
        len(part) <= 60 for text in texts for part in _SEPARATOR.split(text)
    )


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    try:
        date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
        if match["time"]:
            datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _repeat(texts: list[str]) -> bool:
    different = set(texts)
    return (
        len(different) * 2 <= len(texts)
        and len(different) <= 1000
        and all(len(text) <= 100 for text in different)
    )


def _number(text: str) -> int | float | None:
    # leading zeros pass here: only who overrides the kind gets this far with them
    if not re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,20})?", text, re.ASCII):
        return None
    number = float(text)
    return int(number) if number.is_integer() else number


def _text(value: Value) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, list):
        return "; ".join(_text(part) for part in value)
    # lone surrogates, which JSON can hold, cannot be written as UTF-8
    text = str(value).strip().encode("utf-8", "replace").decode()
    return unicodedata.normalize("NFC", text)


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _any_of(names: Iterable[str]) -> str:
    if not (quoted := [repr(name) for name in names]):
        return "none"
    *rest, last = quoted
    return f"{', '.join(rest)} or {last}" if rest else last
