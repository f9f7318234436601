"""A filter in SQL."""

from collections.abc import Mapping
from typing import Any

from image_search.engine.tables import quoted
from image_search.filters import (
    ACCENTS,
    NO_WORD,
    Condition,
    Filter,
    OneOf,
    Words,
    fields_of,
    words_of,
)


def where(filter: Filter, fields: Mapping[str, tuple[str, str]]) -> tuple[str, dict[str, Any]]:
    """Conditions with AND between, and what is bound in them; `fields` has the column and the type
    of each. Raises ValueError for a field that there is not."""
    parts: list[str] = []
    bound: dict[str, Any] = {}

    def bind(value: Any, type: str) -> str:
        bound[name := f"c{len(bound)}"] = value
        return f"{{{name}:{type}}}"

    def conditions(condition: Condition) -> list[str]:
        for field in fields_of(condition):
            if field not in fields:
                raise ValueError(f"there is no field {field!r}")
        if isinstance(condition, Words):
            texts = [_simplified(*fields[field]) for field in condition.fields]
            found = []
            for word in words_of(condition):
                begins = bind(f" {word}", "String")
                found.append(" OR ".join(f"position({text}, {begins}) > 0" for text in texts))
            return [f"({one})" for one in found]
        name, type = fields[condition.field]
        column, is_list = quoted(name), type.startswith("Array")
        plain = "String" if "String" in type else "Float64"
        if isinstance(condition, OneOf):
            values = bind(list(condition.values), f"Array({plain})")
            return [f"hasAny({column}, {values})" if is_list else f"{column} IN {values}"]
        limits = []
        if condition.low is not None:
            limits.append(f"{column} >= {bind(condition.low, plain)}")
        if condition.high is not None:
            text = isinstance(condition.high, str)
            compared = f"substringUTF8({column}, 1, {len(str(condition.high))})" if text else column
            limits.append(f"{compared} <= {bind(condition.high, plain)}")
        return limits or [f"{'notEmpty' if is_list else 'isNotNull'}({column})"]

    for condition in filter:
        parts += conditions(condition)
    return " AND ".join(parts), bound


def _simplified(name: str, type: str) -> str:
    """What `filters.simplified` makes of a column."""
    column = quoted(name)
    text = f"arrayStringConcat({column}, ' ')" if type.startswith("Array") else column
    accents, no_word = (pattern.replace("\\", "\\\\") for pattern in (ACCENTS, NO_WORD))
    plain = f"lowerUTF8(replaceRegexpAll(normalizeUTF8NFKD({text}), '{accents}', ''))"
    return f"replaceRegexpAll(concat(' ', ifNull({plain}, '')), '{no_word}', ' ')"
