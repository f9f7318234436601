"""What earlier builds made and this one keeps: whole parts, and single rows of others.

They lie in two places: the place of work, if a build was stopped, and the built collection that is
to be replaced. Nothing of either is used before its bytes were found to be those that were written.
"""

import csv
import dataclasses
import os
import shutil
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from image_search.artifact import data_file, thumbnail_file
from image_search.errors import ArtifactError
from image_search.manifest import METADATA, REJECTS, ROW_GROUP, file_info, read_manifest
from image_search.parts import (
    DATA,
    THUMBNAILS,
    TOLD,
    UNREADABLE,
    Job,
    Row,
    Slice,
    Told,
    read_told,
    write_told,
)

HASHERS = 4
"""Files whose bytes are checked at a time: a disk is faster than one processor at it."""


@dataclass(frozen=True)
class Done:
    """A finished part of an earlier build."""

    key: str
    data: Path
    thumbnails: Path
    told: Told

    def is_sound(self) -> bool:
        """Whether its bytes are those that were written; reads them all."""
        files = {DATA: self.data, THUMBNAILS: self.thumbnails}
        try:
            return all(file_info(files[n]).sha256 == told for n, told in self.told.sha256.items())
        except OSError:
            return False

    def put(self, part: Path) -> None:
        """Have it lie at `part`, with the same files under a second name."""
        if part == self.data.parent:
            return
        half = part.with_name(f"{part.name}.tmp")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        if self.told.rows:
            link(self.data, half / DATA)
            link(self.thumbnails, half / THUMBNAILS)
        write_told(half, self.told)
        shutil.rmtree(part, ignore_errors=True)  # what a kill left of one that was cleared away
        half.replace(part)


@dataclass(frozen=True)
class Step:
    """What is to be done for one part."""

    slice: Slice
    whole: Done | None
    """The part as it was made before."""
    rows: Mapping[int, tuple[Done, int]]
    """Entry → the row of an earlier part that is about it and still true."""

    @property
    def new(self) -> list[int]:
        """The entries that have to be decoded and encoded."""
        if self.whole:
            return []
        return [n for n in range(self.slice.start, self.slice.stop) if n not in self.rows]

    @property
    def kept(self) -> int:
        """The pictures that were made before."""
        return self.whole.told.rows if self.whole else len(self.rows)


def find(out: Path, work: Path, recipe: str) -> list[Done]:
    """All parts that earlier builds by the same recipe left."""
    _group.cache_clear()  # the files of a collection that was replaced have the old names
    return [*_in_work(work, recipe), *_in_artifact(out, recipe)]


def dropped(out: Path, job: Job) -> tuple[int, int] | None:
    """How many of the pictures at `out` are not in the collection any more, and how many are there.

    None if there is no built collection.
    """
    try:
        read_manifest(out)
        ids = pq.read_table(out / METADATA, columns=["id"]).column("id").to_pylist()
    except (ArtifactError, OSError, pa.ArrowException):
        return None
    return len(set(ids).difference(entry.id for entry in job.collection.entries)), len(ids)


def plan(job: Job, parts: Iterable[Done]) -> list[Step]:
    """What is to be done for each part of a job."""
    parts = list(parts)
    by_key = {part.key: part for part in reversed(parts)}
    slices = job.slices()
    known: dict[tuple[str, str], tuple[Done, int]] = {}
    if any(slice.key not in by_key for slice in slices):
        for part in parts:
            known |= {about: (part, row) for row, about in enumerate(_abouts(part))}
    return [_step(job, slice, by_key.get(slice.key), known) for slice in slices]


def damaged(
    steps: Iterable[Step], sound: set[Path], checked: Callable[[int], object]
) -> list[Done]:
    """The parts that the steps want to use and must not; `checked` is told the rows of each.

    Those that were found sound are added to `sound`, and not read again.
    """
    used = {part.data: part for step in steps for part in _used(step) if part.data not in sound}

    def check(part: Done) -> bool:
        good = part.is_sound()
        checked(part.told.rows)
        return good

    with ThreadPoolExecutor(HASHERS) as pool:
        results = list(zip(used.values(), pool.map(check, used.values()), strict=True))
    sound |= {part.data for part, good in results if good}
    return [part for part, good in results if not good]


def read_row(part: Done, row: int, index: int) -> Row:
    """A row of an earlier part, for the entry `index` of a collection."""
    group, place = divmod(row, ROW_GROUP)
    pictures, vectors, thumbnails, widths, heights = _group(part.data, part.thumbnails, group)
    return Row(
        index, pictures[place], thumbnails[place], widths[place], heights[place], vectors[place]
    )


def stored_pictures(
    job: Job, steps: Iterable[Step], places: Iterable[int]
) -> dict[int, bytes | None]:
    """The pictures of those of some entries that are kept; None for one that was left out."""
    wanted = sorted(places)
    found: dict[int, bytes | None] = {}
    for step in steps:
        start, stop = (bisect_left(wanted, end) for end in (step.slice.start, step.slice.stop))
        rows = step.rows
        if step.whole and start < stop:
            rejects = step.whole.told.rejects
            all = range(step.slice.start, step.slice.stop)
            good = (n for n in all if job.collection.entries[n].id not in rejects)
            rows = {n: (step.whole, row) for row, n in enumerate(good)}
        for place in wanted[start:stop]:
            if place in rows:
                found[place] = read_row(*rows[place], place).stored
            elif step.whole:
                found[place] = None
    return found


def link(source: Path, target: Path) -> None:
    """A second name for a finished file: no copy, and the first one stays."""
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


@lru_cache(maxsize=4)  # rows are asked for in order, from few parts at a time
def _group(data: Path, thumbnails: Path, group: int):  # type: ignore[no-untyped-def]
    with pq.ParquetFile(data) as file:
        table = file.read_row_group(group, columns=["image", "embeddings"])
    with pq.ParquetFile(thumbnails) as file:
        small = file.read_row_group(group, columns=["thumbnail", "width", "height"])
    vectors = np.stack(table.column("embeddings").to_numpy())
    pictures = [image["bytes"] for image in table.column("image").to_pylist()]
    return pictures, vectors, *(small.column(name).to_pylist() for name in small.column_names)


def _step(
    job: Job, slice: Slice, whole: Done | None, known: Mapping[tuple[str, str], tuple[Done, int]]
) -> Step:
    if whole and (told := _told_of(job, slice, whole)):
        return Step(slice, dataclasses.replace(whole, told=told), {})
    entries, states = job.collection.entries, job.states
    abouts = ((n, (entries[n].id, states[n])) for n in range(slice.start, slice.stop))
    own = {} if whole is None else {a: (whole, row) for row, a in enumerate(_abouts(whole))}
    found = ((n, own.get(about) or known.get(about)) for n, about in abouts)
    return Step(slice, None, {n: row for n, row in found if row})


def _told_of(job: Job, slice: Slice, whole: Done) -> Told | None:
    """What the part says of the entries of this slice; None if that may be otherwise now."""
    reasons = whole.told.rejects
    ids = (entry.id for entry in job.collection.entries[slice.start : slice.stop])
    rejects = {id: reasons[id] for id in ids if id in reasons}
    complete = whole.told.rows + len(rejects) == slice.stop - slice.start
    if not complete or any(reason.startswith(UNREADABLE) for reason in rejects.values()):
        return None
    return dataclasses.replace(whole.told, rejects=rejects)


def _used(step: Step) -> Iterator[Done]:
    if step.whole:
        yield step.whole
    yield from (part for part, _ in step.rows.values())


def _abouts(part: Done) -> Iterator[tuple[str, str]]:
    """Id and state of every row."""
    if not part.told.rows:
        return iter(())
    try:
        table = pq.read_table(part.thumbnails, columns=["id", "state"])
        return zip(*(column.to_pylist() for column in table.columns), strict=True)
    except Exception:  # damaged: pyarrow and Unicode raise anything
        return iter(())


def _in_work(work: Path, recipe: str) -> Iterator[Done]:
    for path in sorted(work.glob(f"parts/*/{TOLD}")):
        part = path.parent
        told = read_told(part)
        if told and told.recipe == recipe and not part.name.endswith(".tmp"):
            yield Done(part.name, part / DATA, part / THUMBNAILS, told)


def _in_artifact(out: Path, recipe: str) -> Iterator[Done]:
    try:
        manifest, _ = read_manifest(out)
        if manifest.recipe != recipe:
            return
        with (out / REJECTS).open(encoding="utf-8", newline="") as file:
            reasons = {row["id"]: row["reason"] for row in csv.DictReader(file) if row["reason"]}
    except (ArtifactError, OSError, ValueError, LookupError):
        return  # there is none, of this format, that could be kept
    count = len(manifest.parts)
    for number, (rows, key) in enumerate(zip(manifest.parts, manifest.part_keys, strict=True)):
        names = {DATA: data_file(number, count), THUMBNAILS: thumbnail_file(number, count)}
        hashes = {name: manifest.files[file].sha256 for name, file in names.items()}
        told = Told(recipe, rows, reasons, hashes)
        yield Done(key, out / names[DATA], out / names[THUMBNAILS], told)
