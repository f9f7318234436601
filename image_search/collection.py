"""What is to be built: pictures, what is known of each, and what is left out.

Where the pictures come from is a matter of the module that opens them (`folder`, `archive`,
`links`, `dataset`); here is what they all give. Every picture found is an entry or a reject with
its reason.
"""

import dataclasses
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import pyarrow as pa

from image_search.encoder import Vectors
from image_search.fields import (
    RESERVED,
    Field,
    Override,
    Value,
    arrow_schema,
    convert,
    infer,
    read_overrides,
)
from image_search.table import some

Kind = Literal["folder", "archive", "links", "dataset"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What may be a picture."""

    id: str
    place: Any
    """Where the collection's reader finds it: a path, a member of an archive, an address, a row."""
    state: str
    """Is another when the picture behind it is another, so that unchanged ones can be kept."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A file, or with "/" at its end a folder, that is left out, and why; plain UTF-8 both."""

    id: str
    reason: str


class Reader(Protocol):
    """Fetches pictures. It is handed to other processes, so it can be pickled."""

    def read(self, place: Any) -> bytes:
        """The bytes of a picture, or only its head if that is not a picture's.

        Raises PictureError; one that begins with `cannot be read` may pass and is tried again.
        """

    def check(self) -> None:
        """Raise CollectionError if nothing can be read any more: a disk that was unplugged."""

    def close(self) -> None:
        """Have other threads' reads end soon, and let go of what is open; for good."""


@dataclass(frozen=True)
class Collection:
    """The pictures of a source, in the order of the built collection."""

    kind: Kind
    name: str
    fields: list[Field]
    entries: list[Entry]
    metadata: pa.Table
    """The fields, converted; a row for each entry."""
    rejects: list[Reject]
    """Sorted by id."""
    notices: list[str]
    """Lines for the keeper."""
    reader: Reader
    readers: int = 0
    """How many threads of the building process read. 0: the processes that decode read themselves,
    which is faster where reading is no waiting and the reader is light to hand over."""
    id_column: str = "id"
    """What the source calls the ids: tables beside it may use the same name for them."""
    wheres: Mapping[str, str] = field(default_factory=dict)
    """Id → where it stands in the source, such as a file and a line; if ids do not tell."""
    vectors: Vectors | None = None
    """Embeddings that the source has already, (n, dim) unit vectors in the order of the entries."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def first(self, count: int) -> Self:
        """The collection as if it had only its first `count` entries."""
        return dataclasses.replace(
            self,
            entries=self.entries[:count],
            metadata=self.metadata.slice(0, count),
            vectors=None if self.vectors is None else self.vectors[:count],
        )


def reason_group(reason: str) -> str:
    """A reject's reason without its particulars, to count by: what stands before the colon."""
    return reason.partition(":")[0].partition(" (")[0]


def describe(
    columns: Mapping[str, Sequence[Value]], fields: Path | None, rows: int, notices: list[str]
) -> tuple[list[Field], pa.Table]:
    """Fields and converted values out of raw columns, each of `rows` values.

    `fields` is a fields.toml. Columns called as the artifact's own are renamed; what the keeper
    should know is added to `notices`. Raises CollectionError if fields.toml is wrong.
    """
    columns = {_unreserved(name, columns, notices): columns[name] for name in columns}
    overrides = read_overrides(fields, columns) if fields else {}
    if "folder" in columns and (override := overrides.get("folder", Override())).kind is None:
        overrides["folder"] = dataclasses.replace(override, kind="category")
    inferred = infer(columns, overrides)
    if not inferred:
        return [], pa.table({"": pa.nulls(rows)}).select([])
    # each into Arrow at once: there it takes a tenth of the memory
    return inferred, pa.table({f.name: _converted(f, columns[f.name], notices) for f in inferred})


@dataclass(frozen=True, slots=True)
class Found:
    """Something with a name in a folder or an archive; with a `reason` it cannot be a picture."""

    name: str
    """As it is spelled there; folders end in "/"."""
    place: Any = None
    state: str = ""
    reason: str | None = None


def by_id(items: Iterable[Found]) -> tuple[dict[str, Entry], list[Reject]]:
    """What was found, as entries by id, their name in NFC; and what cannot be one."""
    rejects: list[Reject] = []
    good: list[tuple[bool, str, Found]] = []
    for found in items:
        name = found.name
        if found.reason:
            rejects.append(Reject(printable(name), found.reason))
        elif name != printable(name):
            rejects.append(Reject(printable(name), "name is not UTF-8; rename the file"))
        elif has_controls(name):
            seen = "".join(c if unicodedata.category(c) != "Cc" else repr(c)[1:-1] for c in name)
            rejects.append(Reject(seen, "name has a line break or the like; rename it"))
        else:
            good.append((unicodedata.normalize("NFC", name) != name, name, found))
    entries: dict[str, Entry] = {}
    for _, name, found in sorted(good, key=lambda item: item[:2]):  # in NFC first: their own ids
        id = unicodedata.normalize("NFC", name)
        if id in entries:
            reason = "its name differs from another file's in Unicode normalisation only; rename it"
            rejects.append(Reject(name, reason))
        else:
            entries[id] = Entry(id, found.place, found.state)
    return entries, rejects


def id_of(value: Value) -> str | None:
    """A value of a table as an id: its text in NFC, without blanks around; None if it is empty."""
    id = convert(value, Field("id", "text"))
    return None if id is None else str(id)


def is_hidden(name: str) -> str | None:
    """Why a path is left out that the system hides, or None if it does not."""
    if "/." in f"/{name}":
        return "hidden: its name, or that of a folder it is in, begins with a dot"
    return None


def has_controls(text: str) -> bool:
    """Whether a text has line breaks, tabs or other control characters in it."""
    return not text.isprintable() and any(unicodedata.category(c) == "Cc" for c in text)


def printable(name: str) -> str:
    """A file name without the surrogates that stand for bytes that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def in_order(rejects: Sequence[Reject]) -> list[Reject]:
    """Rejects as they stand in rejects.csv."""
    return sorted(rejects, key=lambda reject: (reject.id, reject.reason))


def _unreserved(name: str, columns: Mapping[str, Any], notices: list[str]) -> str:
    if name.lower() not in RESERVED:
        return name
    new = f"original_{name}"
    while new in columns:
        new = f"original_{new}"
    notices.append(f"column {name!r} is called {new!r} here: {name!r} is reserved")
    return new


def _converted(field: Field, values: Sequence[Value], notices: list[str]) -> pa.Array:
    converted = [convert(value, field) for value in values]
    lost = [v for v, c in zip(values, converted, strict=True) if v and c is None]
    if lost:
        fault = f"not of the kind {field.kind!r} and left empty"
        notices.append(some(lost, f"value of the column {field.name!r}", fault))
    return pa.array(converted, arrow_schema([field], {field.name: converted}).types[0])
