"""Filters as they are typed → conditions, by the fields of a collection.

    year:1850..1870   year:1850..   year:..1870   year:1866      a number, or a date (1866-05)
    institution:The Metropolitan Museum of Art                   a category, a text, one of a list

What is said of one field several times: one of these values, or all of these ranges.
"""

import math
from collections.abc import Iterable, Sequence

from image_search.errors import QueryError
from image_search.fields import Field
from image_search.filters import Between, Condition, OneOf, Words, words_of

RANGED = ("number", "date")
MAX_CONDITIONS = 100
MAX_WORDS = 50
"""Of `contains`; a database looks for each by itself, and takes no statement of any length."""


def conditions(
    where: Iterable[str | Condition], contains: str, fields: Sequence[Field]
) -> tuple[Condition, ...]:
    """The conditions of a question; `contains` are words of the title or the keywords.

    Raises QueryError, in words for the visitor.
    """
    where = list(where)
    if len(where) > MAX_CONDITIONS:
        raise QueryError(f"Up to {MAX_CONDITIONS} filters can be set, not {len(where)}.")
    ranges: list[Condition] = []
    values: dict[str, list[float | str]] = {}
    for one in where:
        if isinstance(one, str):
            field, value = _split(_whole(one), fields)
            if field.kind in RANGED:
                ranges.append(_between(field, value))
            else:
                values.setdefault(field.name, []).append(value)
        else:
            ranges.append(one)
    made = [*ranges, *(OneOf(name, tuple(some)) for name, some in values.items())]
    if contains.strip():
        words = Words(worded(fields), contains)
        if not words_of(words):
            raise QueryError(f"“{contains}” has no word that could be found in a title.")
        if (count := len(words_of(words))) > MAX_WORDS:
            raise QueryError(f"Up to {MAX_WORDS} words can be looked for, not {count:,}.")
        if not words.fields:
            raise QueryError("The pictures of this collection have no texts to be filtered by.")
        made.append(words)
    return tuple(made)


def worded(fields: Sequence[Field]) -> tuple[str, ...]:
    """The fields whose words are looked for: titles and lists of keywords, else all texts."""
    chosen = [field.name for field in fields if field.role == "title" or field.kind == "list"]
    return tuple(chosen or (field.name for field in fields if field.kind == "text"))


def typed(condition: Condition, fields: Sequence[Field]) -> list[str]:
    """A condition on one field as it may be typed, several times where it has several values."""
    if isinstance(condition, OneOf):
        return [f"{condition.field}:{value}" for value in condition.values]
    if isinstance(condition, Between):
        low, high = (_number(end) for end in (condition.low, condition.high))
        return [f"{condition.field}:{low if low == high else f'{low}..{high}'}"]
    return []


def in_words(where: str, fields: Sequence[Field]) -> str:
    """A filter for a reader: “year 1850–1870”, “institution: The Met”."""
    field, value = _split(where, fields)
    name = field.name.replace("_", " ")
    if field.kind not in RANGED:
        return f"{name}: {value}"
    low, dots, high = value.partition("..")
    if not dots:
        return f"{name} {low}"
    return (
        f"{name} {low}–{high}"
        if low and high
        else f"{name} {f'from {low}' if low else f'up to {high}'}"
    )


def _number(end: float | str | None) -> str:
    if end is None:
        return ""
    return end if isinstance(end, str) else f"{end:.15g}"


def _whole(text: str) -> str:
    """Text with ? in the place of half a character, as JSON may have it: no value has one."""
    return text.encode("utf-8", "replace").decode()


def _split(text: str, fields: Sequence[Field]) -> tuple[Field, str]:
    """The field and the value: the longest name counts, since names may have a colon."""
    found = [field for field in fields if text.startswith(f"{field.name}:")]
    if not found:
        known = ", ".join(field.name for field in fields)
        raise QueryError(
            f"The filter “{text[:200]}” names no field of this collection. "
            + (f"Its fields are: {known}. Write FIELD:VALUE." if known else "It has none.")
        )
    field = max(found, key=lambda field: len(field.name))
    value = text[len(field.name) + 1 :].strip()
    if not value:
        raise QueryError(f"The filter “{text[:200]}” has no value behind the colon.")
    return field, value


def _between(field: Field, value: str) -> Between:
    low, dots, high = (part.strip() for part in value.partition(".."))
    if not dots:
        high = low
    ends = [_end(field, end) if end else None for end in (low, high)]
    if ends == [None, None]:
        raise QueryError(f"“{field.name}:{value}” has neither a beginning nor an end.")
    first, last = ends
    if first is not None and last is not None and _is_before(last, first):
        raise QueryError(f"“{field.name}:{value}” ends before it begins. Exchange the two.")
    return Between(field.name, *ends)


def _is_before(last: float | str, first: float | str) -> bool:
    if isinstance(last, str) or isinstance(first, str):
        return str(last) < str(first)[: len(str(last))]
    return last < first


def _end(field: Field, text: str) -> float | str:
    if field.kind == "date":
        if not (text[:4].isdecimal() and len(text) >= 4):
            raise QueryError(f"“{text}” is no date: write {field.name}:1850-05..1870, for example.")
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise QueryError(f"“{text}” is no number: write {field.name}:1850..1870, for example.")
    return number
