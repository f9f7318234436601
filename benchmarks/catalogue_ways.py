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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import Figures, memory, percentiles, tell
from numpy.typing import NDArray
from ways import texts

from image_search.catalogue import Among, TableCatalogue
from image_search.conditions import worded
from image_search.encoder import OnnxEncoder, Vectors
from image_search.facets import facet
from image_search.fields import Field, Value, arrow_schema, convert
from image_search.filters import Between, Filter, OneOf, Words, matching, simplified, text_of
from image_search.index.faiss_index import FaissIndex
from image_search.question import question
from image_search.search import MAX_RESULTS, Searcher

K = 60
"""Pictures of a page of results."""

WARM_UP = 5
"""Rounds before those that are measured."""

SHARES = (0.5, 0.1, 0.01, 0.001)
"""Of the rows, what a condition should leave."""

WORD_SHARES = (0.2, 0.09, 0.01, 0.001)
"""The same of a word: hardly one leaves more."""

WITHDRAWN = 0.01
"""Of the pictures, those that are withdrawn where many are."""

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

CHOSEN = [field for field in FIELDS if field.kind in ("category", "list")]
SCALED = [field for field in FIELDS if field.kind == "number"]
"""Fields that are counted value by value, and in a histogram."""

PLAIN, WHOLE = "by vector", "by words"
"""What the index does, and all of `Searcher.search`."""

PLAIN_MOST, WHOLE_MOST = (f"{name}, {MAX_RESULTS:,} pictures" for name in (PLAIN, WHOLE))


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
class Asked:
    text: str
    vector: Vectors


@dataclass(frozen=True)
class Way:
    """Something that is asked in every round."""

    ask: Callable[[Asked], Any]
    against: str | None = None
    """The way whose median this one's is set beside."""
    share: float | None = None
    """Of the rows, what its conditions leave."""
    first: bool = True
    """Whether it is asked as if for the first time; else what was asked last is asked again."""


def measure(folder: Path, model: Path, rounds: int) -> dict[str, Any]:
    """Medians of every way over the rounds, and what was made before, once."""
    pa.set_cpu_count(1)
    searcher = opened(folder, model)
    once = first_uses(searcher)
    ways = {**plain(searcher), **filtered(searcher), **counted(searcher)}
    encode = searcher.encoder.encode_texts
    questions = [Asked(text, encode([text])[0]) for text in texts(WARM_UP + rounds)]
    seconds = _in_rounds(ways, questions, searcher)
    medians = {name: percentiles(taken[WARM_UP:]) for name, taken in seconds.items()}
    for name, way in ways.items():
        if way.share is not None:
            medians[name]["kept, %"] = 100 * way.share
        if way.against:
            before = medians[way.against]["query p50, ms"]
            medians[name]["times as long"] = medians[name]["query p50, ms"] / before
    held = {"rows": len(searcher), "memory": memory()}
    return {"medians": medians, "once": once, "seconds": seconds, **held}


def opened(folder: Path, model: Path) -> Searcher:
    """A searcher over the rows, of which there are no pictures."""
    ones = np.ones(pq.read_metadata(folder / "rows.parquet").num_rows, np.int32)
    pq.write_table(pa.table({"width": ones, "height": ones}), folder / "sizes.parquet")
    catalogue = TableCatalogue.read(folder / "rows.parquet", folder / "sizes.parquet")
    artifact: Any = SimpleNamespace(
        manifest=SimpleNamespace(
            fields=list(FIELDS),
            no_match=SimpleNamespace(threshold=-1.0),
            encoder=SimpleNamespace(name="benchmark", revision="", precision="float32"),
        ),
        version="0" * 64,
        # What these do of a folder takes no time: one small file is read, and nothing is fetched.
        check_current=lambda: None,
        expect=lambda rows: None,
    )
    index = FaissIndex.read(folder / "vectors.faiss", catalogue.columns)
    return Searcher(artifact, OnnxEncoder(model / "encoder"), index, catalogue)


def first_uses(searcher: Searcher) -> dict[str, Figures]:
    """What is made when it is first asked for: how long it takes, and what it leaves in memory."""
    catalogue = _table(searcher)
    uses: dict[str, Callable[[], Any]] = {"a question": lambda: searcher.search("a map", k=K)}
    for field in (*CHOSEN, *SCALED):
        count = partial(facet, catalogue, field, Among([0]), ())
        uses[f"{field.name}, made ready to count"] = count
    words = Words(worded(FIELDS), "map")
    find = partial(catalogue.columns.matching, [words])
    uses[f"{' and '.join(words.fields)}, made ready for words"] = find
    made = {}
    for name, use in uses.items():
        own = memory()["of its own, MB"]
        begin = time.perf_counter()
        use()
        seconds = time.perf_counter() - begin
        pa.default_memory_pool().release_unused()
        made[name] = {"seconds": seconds, "MB": memory()["of its own, MB"] - own}
    return made


def _in_rounds(
    ways: dict[str, Way], questions: list[Asked], searcher: Searcher
) -> dict[str, list[float]]:
    """What each way took, question by question: no way always comes after the same other one."""
    columns = _table(searcher).columns
    chance = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for asked in questions:
        for name in chance.sample(list(ways), len(ways)):
            columns._masks.clear()
            searcher._encoded.cache_clear()
            if not ways[name].first:
                ways[name].ask(asked)
            begin = time.perf_counter()
            ways[name].ask(asked)
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def plain(searcher: Searcher) -> dict[str, Way]:
    """The question alone, and where many pictures were withdrawn."""
    known = _table(searcher)
    some = set(known.ids()[:: round(1 / WITHDRAWN)])
    without = Searcher(searcher.artifact, searcher.encoder, searcher.index, known, some)
    return {
        PLAIN: Way(lambda asked: searcher.index.search(asked.vector, K)),
        PLAIN_MOST: Way(lambda asked: searcher.index.search(asked.vector, MAX_RESULTS), PLAIN),
        WHOLE: Way(lambda asked: searcher.search(asked.text, k=K)),
        WHOLE_MOST: Way(lambda asked: searcher.search(asked.text, k=MAX_RESULTS), WHOLE),
        f"{WHOLE}, {len(some):,} are withdrawn": Way(
            lambda asked: without.search(asked.text, k=K), WHOLE, 1 - len(some) / len(known)
        ),
    }


def filtered(searcher: Searcher) -> dict[str, Way]:
    """The same with conditions, for every kind of field and every share."""
    table = _table(searcher).table
    chosen: dict[str, Filter] = {}
    for field in ("year", "genre", "creator", "keywords"):
        choose = years if field == "year" else values
        column = table.column(field).combine_chunks()
        for share in SHARES:
            condition = choose(field, column, share)
            chosen[f"{field}: {_said(condition)}"] = [condition]
    for word in words(table, WORD_SHARES):
        chosen[f"words: {word}"] = [Words(worded(FIELDS), word)]
    by_field = {key.partition(":")[0]: where[0] for key, where in reversed(chosen.items())}
    chosen["year, genre, keywords and a word"] = together = [*by_field.values()]
    ways = {}
    for name, where in chosen.items():
        kept = matching(where, table)
        share = float(kept.mean())
        ways[f"{PLAIN}, {name}"] = Way(_with(searcher, where, kept), PLAIN, share)
        ways[f"{WHOLE}, {name}"] = Way(_whole(searcher, where), WHOLE, share)
    ways[f"{WHOLE}, the same again"] = Way(_whole(searcher, together), WHOLE, share, first=False)
    return ways


def _whole(searcher: Searcher, where: Filter) -> Callable[[Asked], Any]:
    return lambda asked: searcher.search(asked.text, where=where, k=K)


def _with(searcher: Searcher, where: Filter, kept: NDArray[np.bool_]) -> Callable[[Asked], Any]:
    """Asks with conditions, and makes sure that only what fulfils them comes."""

    def ask(asked: Asked) -> None:
        rows, _ = searcher.index.search(asked.vector, K, where=where)
        if len(rows) != min(K, kept.sum()) or not kept[rows].all():
            raise SystemExit(f"not what was asked for: {where}")

    return ask


def counted(searcher: Searcher) -> dict[str, Way]:
    """What is known of some pictures or of all, counted: alone, and with all that is done for it.

    With a condition two searches are made: the field that it is on is counted without it.
    """
    known = _table(searcher)
    rows, _ = searcher.index.search(searcher.encoder.encode_texts(["a map"])[0], MAX_RESULTS)
    genre = values("genre", known.table.column("genre").combine_chunks(), SHARES[0])

    def count(fields: Sequence[Field], among: Among) -> Callable[[Asked], Any]:
        return lambda _: [facet(known, field, among, ()) for field in fields]

    ways = {}
    hidden = frozenset(range(0, len(known), round(1 / WITHDRAWN)))
    amongs = {
        f"the nearest {MAX_RESULTS:,}": Among(rows.tolist()),
        "all": Among(),
        "all that fulfil one": Among(None, [genre]),
        f"all but {len(hidden):,}": Among(None, (), hidden),
    }
    for name, among in amongs.items():
        ways[f"of {name}: categories and lists"] = Way(count(CHOSEN, among), PLAIN)
        ways[f"of {name}: histogram of the years"] = Way(count(SCALED, among), PLAIN)

    def facets(where: Filter) -> Callable[[Asked], Any]:
        return lambda asked: searcher.facets(question(asked.text, where=where))

    for said, where in {"": [], ", one filter": [genre]}.items():
        for against in (WHOLE, WHOLE_MOST):
            beside = "" if against == WHOLE else f" beside {against}"
            ways[f"Searcher.facets{said}{beside}"] = Way(facets(where), against)
        # As after the search of the same question, of which the words and filters are remembered.
        ways[f"Searcher.facets{said}, again"] = Way(facets(where), WHOLE, first=False)
    only = question("", where=[genre])
    ways["Searcher.facets of all"] = Way(lambda _: searcher.facets(), WHOLE)
    ways["Searcher.facets of all, one filter"] = Way(lambda _: searcher.facets(only), WHOLE)
    return ways


def _table(searcher: Searcher) -> TableCatalogue:
    assert isinstance(searcher.catalogue, TableCatalogue)
    return searcher.catalogue


# Conditions that leave a share of the rows


def words(table: pa.Table, shares: Sequence[float]) -> list[str]:
    """For each share the word that so many rows have in their titles or keywords, or nearly."""
    columns = [text_of(table.column(field).combine_chunks()) for field in worded(FIELDS)]
    has: Counter[str] = Counter()
    for texts_of_row in zip(*(simplified(column).to_pylist() for column in columns), strict=True):
        has.update(set(" ".join(text or "" for text in texts_of_row).split()))
    letters = [(word, n / len(table)) for word, n in has.items() if word.isalpha()]
    return [min(letters, key=lambda item: abs(item[1] - share))[0] for share in shares]


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


def _said(condition: Between | OneOf) -> str:
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
