"""Columns of Arrow and Parquet as the values that metadata has: texts, numbers, lists of texts."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from image_search.errors import CollectionError
from image_search.fields import Value


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file; raises CollectionError wherever it proves to be damaged."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise CollectionError(f"{path} cannot be read as Parquet: {error}") from error


def is_metadata(type: pa.DataType) -> bool:
    """Whether a column of a type can be shown: texts, numbers, times, lists of texts."""
    if pa.types.is_dictionary(type):
        return is_metadata(type.value_type)
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return _is_text(type.value_type)
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    others = (pa.types.is_date, pa.types.is_timestamp, pa.types.is_time, pa.types.is_null)
    return _is_text(type) or any(is_type(type) for is_type in (*tests, *others))


def arrow_values(column: pa.ChunkedArray) -> list[Value]:
    """A column for which `is_metadata` holds, as texts, numbers and lists of texts."""
    type = column.type
    if pa.types.is_dictionary(type):
        return arrow_values(column.cast(type.value_type))
    if pa.types.is_integer(type):
        return list(column.to_pylist())
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return [[t for t in texts if t] or None if texts else None for texts in column.to_pylist()]
    if pa.types.is_timestamp(type):
        column = pc.cast(column, pa.timestamp("us", type.tz), safe=False)
    texts = pc.cast(column, pa.string()).to_pylist()
    if pa.types.is_floating(type):  # by way of text: 0.1 in 32 bits is 0.10000000149011612 in 64
        return [None if text is None else decimal(float(text)) for text in texts]
    if pa.types.is_timestamp(type):
        texts = [text and text.replace(".000000", "") for text in texts]
        if all(text is None or text.endswith(" 00:00:00") for text in texts):  # pandas' dates
            texts = [text and text.removesuffix(" 00:00:00") for text in texts]
    return [None if text is None else text.strip() or None for text in texts]


def decimal(number: float) -> str | None:
    """A number without exponent, of 15 decimal places at most; None if it is infinite or NaN."""
    if not math.isfinite(number):
        return None
    text = repr(round(number, 15))
    return (f"{number:.15f}".rstrip("0") if "e" in text else text.removesuffix("0")).rstrip(".")


def _is_text(type: pa.DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))
