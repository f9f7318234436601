"""Conditions on the fields of a picture, as every index understands them.

A filter is a number of conditions, all of which hold. A picture of which the field is not known
fulfils none.
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

    Numbers are compared as numbers; dates, as ISO 8601 writes them, as texts.
    """

    field: str
    low: float | str | None = None
    high: float | str | None = None


@dataclass(frozen=True)
class OneOf:
    """The field is one of some values; of a list, at least one is."""

    field: str
    values: tuple[float | str, ...]


Condition = Between | OneOf
Filter = Sequence[Condition]


def matching(filter: Filter, table: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a table fulfil all conditions. Raises ValueError for a field it lacks."""
    kept = np.ones(table.num_rows, np.bool_)
    for condition in filter:
        if condition.field not in table.column_names:
            raise ValueError(f"there is no field {condition.field!r}")
        kept &= _fulfilling(condition, table.column(condition.field).combine_chunks())
    return kept


def _fulfilling(condition: Condition, column: pa.Array) -> NDArray[np.bool_]:
    if isinstance(condition, OneOf) and pa.types.is_list(column.type):
        values = pa.array(condition.values, column.type.value_type)
        kept = np.zeros(len(column), np.bool_)
        kept[pc.list_parent_indices(column).filter(pc.is_in(column.flatten(), values))] = True
        return kept
    if isinstance(condition, OneOf):
        if not pa.types.is_string(column.type):  # 1.5 is none of whole numbers
            column = column.cast(pa.float64())
        found = pc.is_in(column, pa.array(condition.values, column.type), skip_nulls=True)
    else:
        found = pc.is_valid(column)
        if condition.low is not None:
            found = pc.and_(found, pc.greater_equal(column, condition.low))
        if condition.high is not None:
            found = pc.and_(found, pc.less_equal(column, condition.high))
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)
