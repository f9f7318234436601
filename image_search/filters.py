"""Conditions on the fields of a picture, as every index understands them.

A filter is a number of conditions, all of which hold. A picture of which the field is not known
fulfils none. `matching` is how it is meant; what answers faster has to agree with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True)
class Between:
    """The field lies between two values, both included; None leaves that end open.

    Numbers are compared as numbers; dates, as ISO 8601 writes them, as texts, of which only as much
    counts at the upper end as it has: up to 1870 is all of 1870.
    """

    field: str
    low: float | str | None = None
    high: float | str | None = None


@dataclass(frozen=True)
class OneOf:
    """The field is one of some values; of a list, at least one is."""

    field: str
    values: tuple[float | str, ...]


@dataclass(frozen=True)
class Words:
    """Every word that `words` has begins a word of one of the fields; case and accents do not
    count. Of a list, any of its values."""

    fields: tuple[str, ...]
    words: str


Condition = Between | OneOf | Words
Filter = Sequence[Condition]

ACCENTS = r"\p{M}+"
NO_WORD = r"[^\p{L}\p{N}]+"


def simplified(texts: pa.Array) -> pa.Array:
    """Texts in small letters without accents, every word after one blank: “ deja vu”."""
    plain = pc.utf8_normalize(texts, "NFKD")
    plain = pc.utf8_lower(pc.replace_substring_regex(plain, ACCENTS, ""))
    return pc.replace_substring_regex(pc.binary_join_element_wise("", plain, " "), NO_WORD, " ")


def words_of(condition: Words) -> list[str]:
    """The words to be found, simplified."""
    text: str = simplified(pa.array([condition.words]))[0].as_py()
    return text.split()


def matching(filter: Filter, table: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a table fulfil all conditions. Raises ValueError for a field it lacks."""
    kept = np.ones(table.num_rows, np.bool_)
    for condition in filter:
        for field in fields_of(condition):
            if field not in table.column_names:
                raise ValueError(f"there is no field {field!r}")
        if isinstance(condition, Words):
            kept &= _with_words(condition, table)
        else:
            kept &= fulfilling(condition, table.column(condition.field).combine_chunks())
    return kept


def fields_of(condition: Condition) -> tuple[str, ...]:
    """The names of the fields that a condition looks at."""
    return condition.fields if isinstance(condition, Words) else (condition.field,)


def is_on(condition: Condition, field: str) -> bool:
    """Whether values of this very field are chosen by a condition: words may be of several."""
    return not isinstance(condition, Words) and condition.field == field


def _with_words(condition: Words, table: pa.Table) -> NDArray[np.bool_]:
    texts = [text_of(table.column(field).combine_chunks()) for field in condition.fields]
    kept = np.ones(table.num_rows, np.bool_)
    for word in words_of(condition):
        found = np.zeros(table.num_rows, np.bool_)
        for text in texts:
            has = pc.match_substring(simplified(text), f" {word}").fill_null(False)
            found |= np.asarray(has.to_numpy(zero_copy_only=False), np.bool_)
        kept &= found
    return kept


def text_of(column: pa.Array) -> pa.Array:
    """A column as texts: of lists all values, one after the other."""
    return pc.binary_join(column, " ") if pa.types.is_list(column.type) else column


def fulfilling(condition: Between | OneOf, column: pa.Array) -> NDArray[np.bool_]:
    """Which values of a column fulfil a condition."""
    if isinstance(condition, OneOf) and pa.types.is_list(column.type):
        values = pa.array(condition.values, column.type.value_type)
        kept = np.zeros(len(column), np.bool_)
        kept[pc.list_parent_indices(column).filter(pc.is_in(column.flatten(), values))] = True
        return kept
    if not pa.types.is_string(column.type):
        # 1.5 is none of whole numbers; those above 2^53 are rounded, as JSON's are.
        column = column.cast(pa.float64(), safe=False)
    if isinstance(condition, OneOf):
        found = pc.is_in(column, pa.array(condition.values, column.type), skip_nulls=True)
    else:
        found = pc.is_valid(column)
        if condition.low is not None:
            found = pc.and_(found, pc.greater_equal(column, condition.low))
        if condition.high is not None:
            if isinstance(condition.high, str):
                column = pc.utf8_slice_codeunits(column, 0, len(condition.high))
            found = pc.and_(found, pc.less_equal(column, condition.high))
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)
