"""What the web interface answers: its records, and how results become them.

Knows addresses, but no requests: /api/v1 and the page's endpoint both stand on `answer`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from PIL import Image
from pydantic import BaseModel

from image_search import images
from image_search.conditions import in_words
from image_search.engine.connection import is_installed as can_ask
from image_search.errors import PictureError, QueryError
from image_search.facets import Facets
from image_search.manifest import CollectionInfo, IndexInfo, NoMatch
from image_search.query import Term
from image_search.question import MAX_CHARACTERS, MAX_LIKE, QUERY_SIDE, Question, question
from image_search.results import Hit, Record, Results
from image_search.search import MAX_RESULTS, Searcher
from image_search.search_log import SearchLog
from image_search.settings import settings
from image_search.tidy import tidy

PREFIX = "/api/v1"
MCP = "/mcp"

OUT_OF_ORDER = "This collection was changed or damaged. Whoever runs it has to look at it."

OUT_OF_REACH = "This picture cannot be fetched at the moment. Try again in a while."

UNFORESEEN = "Something went wrong here. It was written down; try again."

MAX_PAGE = 200
"""How many pictures one answer can hold."""


class FieldInfo(BaseModel):
    name: str
    kind: str
    role: str | None


class PictureRecord(BaseModel):
    """One picture and all that is known of it; `thumbnail` and `picture` are addresses.

    Of one that is `covered` they give a plain picture with the `notice` that says why, unless
    `shown=1` is added to them."""

    id: str
    title: str
    credit: str
    width: int
    height: int
    metadata: dict[str, Any]
    thumbnail: str
    picture: str
    covered: bool
    notice: str | None


class PictureHit(PictureRecord):
    """`score` is a cosine, -1 to 1, higher is nearer; it is no probability. It is null where
    nothing was asked and pictures were only filtered."""

    rank: int
    score: float | None


class AskedTerm(BaseModel):
    """Something that is looked for; `weight` below 0: less of it. `picture` is set in the place of
    words. `without` is the text of the question without it."""

    text: str
    weight: float
    picture: PictureRecord | None
    without: str


class AskedFilter(BaseModel):
    """A condition: as it may be typed, and in words."""

    where: str
    said: str


class SearchAnswer(BaseModel):
    """`total` is how many pictures the question brings; `cursor` brings those after these, and is
    null if there are none. `terms` are what was understood of the words: of each group the best
    counts. `like` and `unlike` are the known pictures that were searched with."""

    query: str
    terms: list[list[AskedTerm]]
    like: list[PictureRecord]
    unlike: list[PictureRecord]
    filters: list[AskedFilter]
    contains: str
    total: int
    notices: list[str]
    no_match: bool
    hits: list[PictureHit]
    cursor: str | None
    artifact_version: str
    seconds: float


class Overview(BaseModel):
    """Pictures that stand for the whole collection."""

    pictures: list[PictureRecord]
    artifact_version: str


class Model(BaseModel):
    name: str
    revision: str
    dim: int
    precision: str
    notice: str | None


class AskedTable(BaseModel):
    """A table beside the pictures that can be asked; `columns` begins with the one that is asked
    unless another is named."""

    name: str
    rows: int
    columns: list[str]


class Counted(BaseModel):
    """An id or a value, and in how many rows it stands."""

    value: str
    count: int


class Counts(BaseModel):
    """Of the pictures that were named, or of the values of a column, most first."""

    table: str
    column: str
    counts: list[Counted]
    artifact_version: str


class Limits(BaseModel):
    """What a question may be: characters of words; bytes and pixels of a picture; ids of `like`;
    pictures of one answer, and of all together."""

    characters: int
    bytes: int
    pixels: int
    like: int
    k: int
    total: int


class Collection(CollectionInfo):
    """This collection in numbers."""

    pictures: int
    created: str
    artifact_version: str
    model: Model
    index: IndexInfo
    no_match: NoMatch
    fields: list[FieldInfo]
    tables: list[AskedTable]
    rejects: dict[str, int]
    limits: Limits


@dataclass(frozen=True)
class Asked:
    """A question as it arrives: `picture` is a file."""

    text: str = ""
    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    where: Sequence[str] = ()
    contains: str = ""
    picture: bytes | None = None

    def question(self) -> Question:
        """The same, understood. Raises QueryError."""
        image = None if self.picture is None else _decoded(self.picture)
        return question(self.text, image, self.like, self.unlike, self.where, self.contains)

    def fingerprint(self) -> str:
        """A short name of the question: a cursor holds for one only."""
        said = [self.text, *map(list, (self.like, self.unlike, self.where)), self.contains]
        digest = hashlib.sha256(repr(said).encode())
        digest.update(self.picture or b"")
        return digest.hexdigest()[:12]


def answer(
    searcher: Searcher,
    log: SearchLog,
    by: str,
    base: str,
    asked: Asked,
    k: int | None = None,
    cursor: str = "",
) -> SearchAnswer:
    """One page of results; `base` is what stands before /thumbnails in an address.

    It goes on record as a search by the member of that name.
    """
    version = searcher.artifact.short_version
    offset = _offset(cursor, version, asked.fingerprint()) if cursor else 0
    results = found(searcher, log, by, asked, settings().results if k is None else k, offset)
    fields = searcher.artifact.manifest.fields
    return SearchAnswer(
        query=results.query,
        terms=_terms(searcher, base, results),
        like=[record(searcher, base, id) for id in results.like],
        unlike=[record(searcher, base, id) for id in results.unlike],
        filters=[AskedFilter(where=one, said=in_words(one, fields)) for one in results.where],
        contains=results.contains,
        total=results.total,
        notices=results.notices,
        no_match=results.no_match,
        hits=hits(searcher, base, results),
        cursor=_cursor(results, offset, version, asked.fingerprint()),
        artifact_version=results.artifact_version,
        seconds=round(results.seconds, 4),
    )


def found(
    searcher: Searcher, log: SearchLog, by: str, asked: Asked, k: int, offset: int = 0
) -> Results:
    """What a question brings; it goes on record."""
    results = searcher.answer(asked.question(), k, offset)
    log.keep(
        by,
        words=tidy(asked.text),
        like=results.like,
        unlike=results.unlike,
        filters=[*results.where, *([f"contains:{results.contains}"] if results.contains else [])],
        picture=asked.picture,
        version=results.artifact_version,
        shown=[hit.id for hit in results],
        seconds=results.seconds,
    )
    return results


def facets(searcher: Searcher, asked: Asked) -> Facets:
    """What is known of the pictures of a question, or of all, counted. Raises QueryError."""
    return searcher.facets(None if asked == Asked() else asked.question())


def _terms(searcher: Searcher, base: str, results: Results) -> list[list[AskedTerm]]:
    query = results.understood

    def told(group: int, place: int, term: Term) -> AskedTerm:
        picture = record(searcher, base, term.text) if term.is_picture else None
        without = str(query.without(group, place))
        return AskedTerm(text=term.text, weight=term.weight, picture=picture, without=without)

    return [
        [told(number, place, term) for place, term in enumerate(group)]
        for number, group in enumerate(query.groups)
    ]


def hits(searcher: Searcher, base: str, found: Iterable[Hit]) -> list[PictureHit]:
    """Results with the addresses of their pictures."""
    return [PictureHit(**_told(searcher, base, hit)) for hit in found]


def overview(searcher: Searcher, base: str) -> Overview:
    """Pictures that stand for the whole collection."""
    pictures = [PictureRecord(**_told(searcher, base, r)) for r in searcher.overview()]
    return Overview(pictures=pictures, artifact_version=searcher.artifact.version)


def record(searcher: Searcher, base: str, id: str) -> PictureRecord:
    """One picture and all that is known of it. Raises NotFoundError if there is none such."""
    return PictureRecord(**_told(searcher, base, searcher.record(id)))


def describe(searcher: Searcher) -> Collection:
    """What a collection says of itself; withdrawn pictures are not counted."""
    manifest = searcher.artifact.manifest
    encoder = manifest.encoder
    return Collection(
        **manifest.collection.model_dump(),
        pictures=len(searcher),
        created=manifest.created,
        artifact_version=searcher.artifact.version,
        model=Model(
            name=encoder.name,
            revision=encoder.revision,
            dim=encoder.dim,
            precision=encoder.precision,
            notice=searcher.encoder.notice,
        ),
        index=manifest.index,
        no_match=manifest.no_match,
        fields=[FieldInfo(**vars(field)) for field in manifest.fields],
        tables=_tables(searcher),
        rejects=manifest.rejects,
        limits=Limits(
            characters=MAX_CHARACTERS,
            bytes=max_upload_bytes(),
            pixels=settings().max_pixels,
            like=MAX_LIKE,
            k=MAX_PAGE,
            total=MAX_RESULTS,
        ),
    )


def counts(searcher: Searcher, table: str, ids: list[str]) -> Counts:
    """In how many rows of a table each picture stands. Raises QueryError, NotFoundError."""
    found = [Counted(**vars(one)) for one in searcher.counts(table, ids)]
    key = searcher.questions.tables[table].key
    return Counts(table=table, column=key, counts=found, artifact_version=searcher.artifact.version)


def top(searcher: Searcher, table: str, id: str, column: str | None, k: int) -> Counts:
    """The values that stand most often with a picture. Raises QueryError, NotFoundError."""
    found = [Counted(**vars(one)) for one in searcher.top(table, id, column, k)]
    column = column or searcher.questions.tables[table].columns[0]
    return Counts(
        table=table, column=column, counts=found, artifact_version=searcher.artifact.version
    )


def _tables(searcher: Searcher) -> list[AskedTable]:
    """Those that can be asked: none where what asks them is not installed."""
    if not searcher.artifact.manifest.tables or not can_ask():
        return []
    rows = {info.name: info.rows for info in searcher.artifact.manifest.tables}
    return [
        AskedTable(name=name, rows=rows[name], columns=list(asked.columns))
        for name, asked in searcher.questions.tables.items()
    ]


def max_upload_bytes() -> int:
    """The largest picture file that may be searched with."""
    return settings().max_upload_mb * 1_000_000


def _decoded(data: bytes) -> Image.Image:
    try:
        return images.decode(data, max_pixels=settings().max_pixels, max_side=QUERY_SIDE)
    except PictureError as error:
        raise QueryError(
            f"This file cannot be searched with: {error}. Choose another picture."
        ) from None


def _told(searcher: Searcher, base: str, record: Record | Hit) -> dict[str, Any]:
    """A record or a hit, with the addresses of its pictures."""
    address = f"{quote(record.id, safe='')}?v={searcher.artifact.short_version}"
    told = {
        **vars(record),
        "thumbnail": f"{base}/thumbnails/{address}",
        "picture": f"{base}/pictures/{address}",
        "covered": record.notice is not None,
    }
    if isinstance(record, Hit) and record.score is not None:
        told["score"] = round(record.score, 4)
    return told


def _cursor(results: Results, offset: int, version: str, question: str) -> str | None:
    given = offset + len(results)
    return f"{version}.{question}.{given}" if given < results.total else None


def _offset(cursor: str, version: str, question: str) -> int:
    """How many pictures a cursor says were given before."""
    of_version, _, rest = cursor.partition(".")
    of_question, _, offset = rest.partition(".")
    if not (
        offset.isascii() and offset.isdigit() and len(offset) < 5 and int(offset) < MAX_RESULTS
    ):
        raise QueryError("This cursor was not given out here. Search again without it.")
    if of_version != version:
        raise QueryError("The collection was built again since. Search again.")
    if of_question != question:
        raise QueryError("This cursor belongs to another question. Search again without it.")
    return int(offset)
