"""What `catalogue.py` measures, each in a process of its own.

python benchmarks/catalogue_ways.py records PACKAGE PARQUET
python benchmarks/catalogue_ways.py material FOLDER MODEL PARQUET ROWS
python benchmarks/catalogue_ways.py measure FOLDER MODEL ROUNDS
"""

import json
import random
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import memory, percentiles, tell
from numpy.typing import NDArray
from ways import texts

from image_search.catalogue import TableCatalogue
from image_search.encoder import OnnxEncoder, Vectors
from image_search.fields import Field, Value, arrow_schema, convert
from image_search.filters import Between, Condition, OneOf, matching
from image_search.index.faiss_index import FaissIndex
from image_search.search import Searcher

K = 60
"""Pictures of a page of results."""

WARM_UP = 5
"""Rounds before those that are measured."""

SHARES = (0.5, 0.1, 0.01, 0.001)
"""Of the rows, what a condition should leave."""

NEAR_ENOUGH = 0.05
"""By how much of the share it may be less; real values come in lumps."""

ITEMS = "data/pd_items.ndjson"

FIELDS = (
    Field("title", "text", "title"),
    Field("creator", "category", "creator"),
    Field("year", "number", "year"),
    Field("genre", "category"),
    Field("keywords", "list"),
    Field("resource_type", "category"),
    Field("source_url", "url", "source_url"),
    Field("rights", "category", "rights"),
)
"""With 9,035 names `creator` would be a text if nobody said otherwise."""

PLAIN, WHOLE = "by vector", "by words: Searcher.search"


# Records


def read_records(package: Path, out: Path) -> int:
    """Write the records of the npm package as a table, and say how many there are."""
    columns: dict[str, list[Value]] = {name: [] for name in ("id", *(f.name for f in FIELDS))}
    for item in _items(package):
        for name, value in _row(item).items():
            columns[name].append(value)
    schema = arrow_schema((Field("id", "text"), *FIELDS), columns)
    pq.write_table(pa.table(columns, schema=schema), out, compression="zstd")
    return len(columns["id"])


def _items(package: Path) -> Iterator[dict[str, Any]]:
    with tarfile.open(package) as archive:
        lines = archive.extractfile(f"package/{ITEMS}")
        assert lines is not None
        yield from map(json.loads, lines)


def _row(item: dict[str, Any]) -> dict[str, Value]:
    """Our fields of one record. Of several genres or names the first is taken, whatever its role;
    years and doubled keywords are as they were written, the year 4154 among them."""
    subjects = ("subjectTopical", "subjectGeographic", "subjectName")
    values: dict[str, Value] = {
        "title": item["title"],
        "creator": _first([each["contributorName"] for each in item["contributor"]]),
        "year": item["dateStart"],
        "genre": _first([each["text"] for each in item["genre"]]),
        "keywords": [each["text"] for subject in subjects for each in item[subject]],
        "resource_type": _first(item["resourceType"]),
        "source_url": item["digitalCollectionsURL"],
        "rights": "Public domain",  # the records do not say so: all of the package are
    }
    return {"id": item["UUID"], **{f.name: convert(values[f.name], f) for f in FIELDS}}


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


# Material


def make(folder: Path, model: Path, records: Path, rows: int) -> None:
    """The table and the index of so many rows."""
    from material import _vectors  # here, or what it imports would be in the measured process too

    folder.mkdir(parents=True)
    pq.write_table(repeated(pq.read_table(records), rows), folder / "rows.parquet")
    index = FaissIndex.build(512)
    index.add(_vectors(rows, OnnxEncoder(model / "encoder")))
    index.write(folder / "vectors.faiss")


def repeated(records: pa.Table, rows: int) -> pa.Table:
    """As many rows, in the order of the records; when they begin again, their ids are others."""
    places = np.arange(rows)
    table = records.take(pa.array(places % len(records)))
    turn = pa.array(places // len(records)).cast(pa.string())
    ids = pc.binary_join_element_wise(table.column("id"), turn, "-")
    return table.set_column(0, "id", ids).combine_chunks()


# Measured


@dataclass(frozen=True)
class Question:
    text: str
    vector: Vectors


@dataclass(frozen=True)
class Way:
    """Something that is asked in every round."""

    ask: Callable[[Question], Any]
    against: str | None = None
    """The way whose median this one's is set beside."""
    share: float | None = None
    """Of the rows, what its condition leaves."""


def measure(folder: Path, model: Path, rounds: int) -> dict[str, Any]:
    """Medians of every way over the rounds, and what the process took."""
    pa.set_cpu_count(1)
    searcher = opened(folder, model)
    assert isinstance(searcher.catalogue, TableCatalogue)
    ways = {**plain(searcher), **filtered(searcher, searcher.catalogue.table)}
    questions = [
        Question(text, searcher.encoder.encode_texts([text])[0]) for text in texts(WARM_UP + rounds)
    ]
    seconds = _in_rounds(ways, questions)
    medians = {name: percentiles(taken[WARM_UP:]) for name, taken in seconds.items()}
    for name, way in ways.items():
        if way.share is not None:
            medians[name]["kept, %"] = 100 * way.share
        if way.against:
            before = medians[way.against]["query p50, ms"]
            medians[name]["times as long"] = medians[name]["query p50, ms"] / before
    return {"medians": medians, "seconds": seconds, "rows": len(searcher), "memory": memory()}


def opened(folder: Path, model: Path) -> Searcher:
    """A searcher over the rows, of which there are no pictures."""
    ones = np.ones(pq.read_metadata(folder / "rows.parquet").num_rows, np.int32)
    pq.write_table(pa.table({"width": ones, "height": ones}), folder / "sizes.parquet")
    catalogue = TableCatalogue.read(folder / "rows.parquet", folder / "sizes.parquet")
    artifact: Any = SimpleNamespace(
        manifest=SimpleNamespace(fields=list(FIELDS), no_match=SimpleNamespace(threshold=-1.0)),
        version="0" * 64,
        # What these do of a folder takes no time: one small file is read, and nothing is fetched.
        check_current=lambda: None,
        expect=lambda rows: None,
    )
    index = FaissIndex.read(folder / "vectors.faiss", catalogue.table)
    return Searcher(artifact, OnnxEncoder(model / "encoder"), index, catalogue)


def _in_rounds(ways: dict[str, Way], questions: list[Question]) -> dict[str, list[float]]:
    """What each way took, question by question: no way always comes after the same other one."""
    chance = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for question in questions:
        for name in chance.sample(list(ways), len(ways)):
            begin = time.perf_counter()
            ways[name].ask(question)
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def plain(searcher: Searcher) -> dict[str, Way]:
    """The question alone: what the index does, and all that is done of words."""
    return {
        PLAIN: Way(lambda question: searcher.index.search(question.vector, K)),
        WHOLE: Way(lambda question: searcher.search(question.text, k=K)),
    }


def filtered(searcher: Searcher, table: pa.Table) -> dict[str, Way]:
    """The same with one condition, for every kind of field and every share."""
    ways = {}
    for field in ("year", "genre", "creator", "keywords"):
        column = table.column(field).combine_chunks()
        choose = years if field == "year" else values
        for share in SHARES:
            condition = choose(field, column, share)
            kept = matching([condition], table)
            name = f"by vector, {field}: {_said(condition)}"
            ways[name] = Way(_with(searcher, condition, kept), PLAIN, float(kept.mean()))
    return ways


def _with(
    searcher: Searcher, condition: Condition, kept: NDArray[np.bool_]
) -> Callable[[Question], Any]:
    """Asks with a condition, and makes sure that only what fulfils it comes."""

    def ask(question: Question) -> None:
        rows, _ = searcher.index.search(question.vector, K, where=[condition])
        if len(rows) != min(K, kept.sum()) or not kept[rows].all():
            raise SystemExit(f"not what was asked for: {condition}")

    return ask


# Conditions that leave a share of the rows


def years(field: str, column: pa.Array, share: float) -> Between:
    """The years from one to another, of which there are nearly as many as wanted."""
    known, counts = np.unique(column.drop_null().to_numpy(), return_counts=True)
    before = np.concatenate([[0], counts.cumsum()])
    found = before[None, 1:] - before[:-1, None]  # from the one year to the other, both included
    first, last = np.unravel_index(np.abs(found - share * len(column)).argmin(), found.shape)
    return Between(field, float(known[first]), float(known[last]))


def values(field: str, column: pa.Array, share: float) -> OneOf:
    """The most frequent values that together leave nearly as many rows as wanted."""
    if pa.types.is_list(column.type):
        rows, flat = pc.list_parent_indices(column).to_numpy(), column.flatten()
    else:
        rows, flat = np.flatnonzero(column.is_valid()), column.drop_null()
    wanted, kept, chosen = share * len(column), np.zeros(len(column), np.bool_), []
    for value in flat.value_counts().sort("descending", by="counts").field("values"):
        more = kept.copy()
        more[rows[pc.equal(flat, value).to_numpy(zero_copy_only=False)]] = True
        if more.sum() <= wanted:
            kept = more
            chosen.append(value.as_py())
        if kept.sum() >= wanted * (1 - NEAR_ENOUGH):
            break
    return OneOf(field, tuple(chosen))


def _said(condition: Condition) -> str:
    if isinstance(condition, Between):
        return f"{condition.low:.0f} to {condition.high:.0f}"
    first = textwrap.shorten(str(condition.values[0]), 20, placeholder="…")
    return first if len(condition.values) == 1 else f"{first} + {len(condition.values) - 1}"


def main() -> None:
    kind, name, *rest = sys.argv[1:]
    if kind == "records":
        tell({"records": read_records(Path(name), Path(rest[0]))})
    elif kind == "material":
        make(Path(name), Path(rest[0]), Path(rest[1]), int(rest[2]))
        tell({})
    else:
        tell(measure(Path(name), Path(rest[0]), int(rest[1])))


if __name__ == "__main__":
    main()
