"""A question → results: the only place where encoder, index and metadata meet.

Knows nothing of Gradio, of HTTP and of the command line; they are thin layers over it.
"""

import re
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from image_search.artifact import Artifact
from image_search.catalogue import Among, Catalogue, Known
from image_search.compose import moved, together
from image_search.conditions import conditions, typed
from image_search.covers import SMALL_TILE, TILE, Covers, rows_of, tile
from image_search.encoder import Encoder, Vectors
from image_search.errors import NotFoundError, QueryError
from image_search.facets import COUNTED, Facets, facet
from image_search.fields import Role
from image_search.filters import Condition, is_on
from image_search.index.protocol import Index
from image_search.notices import NoNotices, Notice, Noticed, notices_now
from image_search.query import Term
from image_search.question import MAX_RESULTS as MAX_RESULTS
from image_search.question import Question, question
from image_search.results import Hit, Record, Results
from image_search.settings import settings

if TYPE_CHECKING:
    from image_search.engine.engine import Engine
    from image_search.engine.questions import Count, Questions

_NEGATION = re.compile(r"\b(?:not|without|except)\b", re.IGNORECASE)

REMEMBERED = 64
"""Texts whose vectors are remembered: the facets of a question and its next page are asked with
the same words."""


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A question as it is searched for."""

    where: tuple[Condition, ...]
    hidden: frozenset[int]
    """Rows that are as if they were not there: those withdrawn, and those that are named."""
    vectors: Sequence[Vectors] = ()
    """Unit vectors, (dim,); the nearest to any of them are wanted. None: pictures are listed."""
    said: str = ""
    """What is asked, in words."""
    notices: Sequence[str] = ()
    is_plain: bool = False
    """Whether scores are those of everyday questions in words."""

    @property
    def among(self) -> Among:
        """The pictures that match."""
        return Among(None, self.where, self.hidden)


class Searcher:
    """Searches one collection by words, by pictures, or by both. Safe to use from several threads.

    The pictures whose ids are in `withdrawn` are as if they were not there; those that one of the
    `notices` covers are found, but shown only to who asks for that. Both are looked into at every
    question, so what is added to them counts from then on.
    """

    def __init__(
        self,
        artifact: Artifact,
        encoder: Encoder,
        index: Index,
        catalogue: Catalogue,
        withdrawn: Set[str] = frozenset(),
        engine: "Engine | None" = None,
        notices: Noticed | None = None,
    ) -> None:
        self.artifact = artifact
        self.encoder = encoder
        self.index = index
        self.catalogue = catalogue
        self._engine = engine
        self.withdrawn = withdrawn
        self.notices = notices or NoNotices()
        self._covering: tuple[tuple[Notice, ...], Covers] = (), Covers((), catalogue, ())
        self._hidden: tuple[frozenset[str], frozenset[int]] = (frozenset(), frozenset())
        self._roles = {field.role: field.name for field in artifact.manifest.fields}
        self._encoded = lru_cache(REMEMBERED)(self._encode)

    @classmethod
    def open(
        cls,
        artifact: str | Path | None = None,
        withdrawn: Set[str] | None = None,
        model: str | None = None,
        notices: Noticed | None = None,
    ) -> "Searcher":
        """Open a folder, or `user/name[@revision]` of the Hub; without one the setting
        IMAGE_SEARCH_ARTIFACT, else the demo.

        Without `withdrawn` and `notices` what the state says counts (IMAGE_SEARCH_STATE).
        `model` is what made the embeddings of a dataset that no build of ours wrote. Raises
        ArtifactError if the collection is missing or damaged, HubError if it is on the Hub and
        cannot be read.
        """
        chosen = artifact or settings().artifact
        model = model or settings().model
        if not chosen:
            from image_search.demo import ensure_demo

            chosen = ensure_demo()
        elif model:
            from image_search.by_hand import ensure_built, is_by_hand

            chosen = ensure_built(chosen, model) if is_by_hand(chosen) else chosen
        if withdrawn is None:
            from image_search.withdrawal import withdrawn_now

            withdrawn = withdrawn_now()
        if notices is None:
            notices = notices_now()
        opened = Artifact.open(chosen, searched=not settings().engine)
        if settings().engine:
            from image_search.engine.engine import Engine

            held = Engine.open(
                settings().engine, opened.manifest, opened.version, opened.files.name
            )
            return cls(
                opened, opened.encoder(), held.index, held.catalogue, withdrawn, held, notices
            )
        return cls(
            opened, opened.encoder(), opened.index, opened.catalogue, withdrawn, notices=notices
        )

    def __len__(self) -> int:
        """How many pictures can be found."""
        return len(self.catalogue) - len(self.withdrawn_rows())

    def search(
        self,
        text: str | None = None,
        *,
        image: Image.Image | None = None,
        like: Sequence[str] | str = (),
        unlike: Sequence[str] | str = (),
        where: Sequence[str | Condition] | str = (),
        contains: str = "",
        k: int = 9,
        offset: int = 0,
    ) -> Results:
        """The k pictures nearest to a text, to a picture of any size and mode, to known pictures.

        `text` is in the language of `query`. `like` and `unlike` hold ids of pictures more or less
        like which are wanted. Pictures that are named are not among the results. What is given
        together is looked for together, by the arithmetic of `compose`. `where` holds filters as
        `conditions` has them, `contains` words that the title or the keywords have to have: the
        nearest of the pictures that match are given, and, where nothing else is asked, these
        pictures in the order of the collection. The first `offset` results are left out; none
        beyond MAX_RESULTS is given. Raises QueryError, in words for the visitor, if there is
        nothing to search for, and ArtifactError if the collection was built again since it was
        opened.
        """
        return self.answer(question(text, image, like, unlike, where, contains), k, offset)

    def answer(self, question: Question, k: int = 9, offset: int = 0) -> Results:
        """The same of a question that was put together before."""
        start = time.perf_counter()
        if not (1 <= k <= MAX_RESULTS and 0 <= offset < MAX_RESULTS):
            raise QueryError(
                f"Between 1 and {MAX_RESULTS:,} pictures can be asked for, not {offset + k}."
            )
        self.artifact.check_current()
        sought = self._sought(question)
        wanted = min(offset + k, MAX_RESULTS)
        scores: Sequence[float | None]
        if sought.vectors:
            rows, scores = self._nearest(sought, wanted)
            rows, scores = rows[offset:], scores[offset:]
        else:
            rows = self.catalogue.listed(sought.among, wanted - offset, offset)
            scores = [None] * len(rows)
        notices = list(sought.notices)
        best = scores[0] if rows and not offset else None
        threshold = self.artifact.manifest.no_match.threshold
        no_match = best is not None and sought.is_plain and best < threshold
        if no_match:
            notices.append("Nothing here is close to that; these are the nearest pictures.")
        if not rows and not offset and sought.where:
            notices.append("No picture matches these filters. Take one away, or widen it.")
        fields = self.artifact.manifest.fields
        return Results(
            query=sought.said,
            hits=self._hits(rows, scores, offset + 1),
            total=min(self._count(sought), MAX_RESULTS),
            notices=notices,
            no_match=no_match,
            seconds=time.perf_counter() - start,
            artifact_version=self.artifact.version,
            understood=question.query,
            like=question.like,
            unlike=question.unlike,
            where=tuple(text for one in sought.where for text in typed(one, fields)),
            contains=question.contains,
        )

    def facets(self, question: Question | None = None) -> Facets:
        """What is known of the pictures that a question brings, counted field by field.

        Of a question's own pictures the nearest MAX_RESULTS are counted; of all pictures, or of
        those that match filters, every one. Conditions on a field do not count for that field, so
        that other values of it can be chosen.
        """
        self.artifact.check_current()
        hidden = self.withdrawn_rows()
        sought = self._sought(question) if question else Sought(where=(), hidden=hidden)
        some: dict[tuple[Condition, ...], Among] = {}

        def among(where: tuple[Condition, ...]) -> Among:
            if where not in some:
                others = replace(sought, where=where)
                rows = self._nearest(others, MAX_RESULTS)[0] if sought.vectors else None
                some[where] = Among(rows, where, others.hidden)
            return some[where]

        found = []
        for field in self.artifact.manifest.fields:
            if field.kind in COUNTED:
                own = [one for one in sought.where if is_on(one, field.name)]
                others = tuple(one for one in sought.where if one not in own)
                found.append(facet(self.catalogue, field, among(others), own, hidden))
        counted = self.catalogue.count(among(tuple(sought.where)))
        return Facets(
            pictures=counted,
            nearest=bool(sought.vectors) and self._count(sought) > MAX_RESULTS,
            facets=[one for one in found if one.is_useful],
            artifact_version=self.artifact.version,
        )

    def _sought(self, question: Question) -> "Sought":
        """What is searched with, and among which pictures. Raises QueryError."""
        where = conditions(question.where, question.contains, self.artifact.manifest.fields)
        named = dict(zip(question.named, self._rows(question.named), strict=True))
        said: list[str] = [question.text] if question.text else []
        notices: list[str] = []
        vectors: list[Vectors] = []
        if question.is_asked:
            vectors, notices = self._composed(question, named)
        if question.image is not None:
            said.append("a picture")
        likes = [(id, "like") for id in question.like] + [
            (id, "less like") for id in question.unlike
        ]
        titled = zip(likes, self._records([named[id] for id, _ in likes]), strict=True)
        said += [f"{how} {record.title or record.id}" for (_, how), record in titled]
        said += [text for one in where for text in typed(one, self.artifact.manifest.fields)]
        said += [f"with “{question.contains}”"] if question.contains else []
        return Sought(
            where=where,
            hidden=frozenset({*named.values(), *self.withdrawn_rows()}),
            vectors=vectors,
            said=", ".join(said),
            notices=notices,
            is_plain=question.query.is_plain and question.image is None and not (named or where),
        )

    def _composed(
        self, question: Question, named: dict[str, int]
    ) -> tuple[list[Vectors], list[str]]:
        """The unit vectors of which the best counts, and what there is to say of them."""
        notices: list[str] = []
        known: dict[Term, Vectors] = {}
        for term in dict.fromkeys(replace(term, weight=1) for term in question.query.terms):
            if term.is_picture:
                known[term] = self.index.vector(named[term.text])
                continue
            read, known[term] = self._encoded(term.text)
            if negation := _NEGATION.search(read):
                notices.append(
                    f"The model does not understand “{negation[0]}”. To have less of something, "
                    "put a minus before it: cats -dogs."
                )
            if read != term.text:
                notices.append(f"That is more than the model can read. It searched for: “{read}”.")
        picture: list[tuple[float, Vectors]] = []
        if question.image is not None:
            picture = [(1.0, self.encoder.encode_images([_upright(question.image)])[0])]
        liked = [self.index.vector(named[id]) for id in question.like]
        disliked = [self.index.vector(named[id]) for id in question.unlike]
        made = []
        for choice in question.query.choices():
            terms = [(term.weight, known[replace(term, weight=1)]) for term in choice]
            query = together([*terms, *picture]) if terms or picture else None
            if liked or disliked:
                query = moved(query, liked, disliked, settings().like, settings().unlike)
            if query is not None:
                made.append(query)
        return made, notices

    def _encode(self, text: str) -> tuple[str, Vectors]:
        """What the model reads of a text, and its vector."""
        return self.encoder.read_part(text), self.encoder.encode_texts([text])[0]

    def _nearest(self, sought: "Sought", k: int) -> tuple[list[int], list[float]]:
        """The k rows nearest to any of the vectors, best first, ties by row."""
        best: dict[int, float] = {}
        for vector in sought.vectors:
            # The k best of all are among the k best of one of them.
            rows, scores = self.index.search(vector, k, sought.hidden, sought.where)
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
                best[row] = max(score, best.get(row, -1.0))
        ordered = sorted(best, key=lambda row: (-best[row], row))[:k]
        return ordered, [best[row] for row in ordered]

    def _count(self, sought: "Sought") -> int:
        if sought.where:
            return self.catalogue.count(sought.among)
        return len(self.catalogue) - len(sought.hidden)

    def _hits(self, rows: Sequence[int], scores: Sequence[float | None], first: int) -> list[Hit]:
        """The pictures of some rows as results, ranked from `first` on."""
        self.artifact.expect(rows)
        records = self._records(list(rows))
        return [
            Hit(**vars(record), score=score, rank=rank)
            for rank, (record, score) in enumerate(zip(records, scores, strict=True), start=first)
        ]

    def record(self, id: str) -> Record:
        """All that is known of a picture. Raises NotFoundError if the collection has none such."""
        return self._records(self._rows([id]))[0]

    def overview(self) -> list[Record]:
        """Pictures that stand for the whole collection, chosen when it was built."""
        withdrawn = self.withdrawn_rows()
        shown = [row for row in self._overview_rows if row not in withdrawn]
        self.artifact.expect(shown)
        return self._records(shown)

    def picture(self, id: str, shown: bool = False) -> bytes:
        """The picture file of an id. Raises NotFoundError if the collection has none such.

        Of one that is covered it is a plain picture with the notice, unless it is to be `shown`.
        """
        row = self.row(id)
        cover = None if shown else self._cover(id, row, TILE)
        return self.artifact.picture(row, id) if cover is None else cover

    def thumbnail(self, id: str, shown: bool = False) -> bytes:
        """The small picture (WebP) of an id, covered as `picture` is."""
        row = self.row(id)
        cover = None if shown else self._cover(id, row, SMALL_TILE)
        return self.artifact.thumbnail(row, id) if cover is None else cover

    def notice(self, id: str) -> str | None:
        """Why a picture is covered. Raises NotFoundError if there is none such."""
        row = self.row(id)
        return self._covers().why(id, row)

    def count_covered(self, where: Sequence[str]) -> int:
        """How many pictures a notice for these values would cover. Raises QueryError."""
        return len(rows_of(where, self.catalogue, self.artifact.manifest.fields))

    def _cover(self, id: str, row: int, side: int) -> bytes | None:
        """What stands in the place of a picture, if something does."""
        why = self._covers().why(id, row)
        if why is None:
            return None
        [known] = self.catalogue.known([row])
        return tile(why, known.width, known.height, side)

    def _covers(self) -> Covers:
        """Finding rows takes a while, so they are found again only if the notices are others."""
        notices = self.notices.all()
        known, covers = self._covering
        if notices is not known:
            covers = Covers(notices, self.catalogue, self.artifact.manifest.fields)
            self._covering = notices, covers
        return covers

    def row(self, id: str) -> int:
        """Where a picture stands in the collection. Raises NotFoundError if there is none such."""
        return self._rows([id])[0]

    @property
    def answers_from(self) -> str:
        """The database that answers questions, if it is not this process."""
        return str(self._engine.connection.address) if self._engine else ""

    def check(self) -> None:
        """Raise ArtifactError or EngineError if questions cannot be answered now."""
        self.artifact.check_current()
        if self._engine:
            self._engine.check()

    @cached_property
    def questions(self) -> "Questions":
        """The tables beside the pictures, to be asked by `counts` and `top`.

        Raises ConfigError if what asks them is not installed.
        """
        from image_search.engine.questions import Questions, tables_of

        if self._engine:
            infos = tables_of(self.artifact)
            return Questions.of_database(self._engine.connection, infos, self._engine.tables)
        return Questions.of_files(self.artifact)

    def counts(self, table: str, ids: Sequence[str]) -> "list[Count]":
        """In how many rows of a table each of these pictures stands, most first.

        Raises NotFoundError if there is no such picture, QueryError if there is no such table.
        """
        self._rows(ids)
        return self.questions.counts(table, ids)

    def top(self, table: str, id: str, column: str | None = None, k: int = 5) -> "list[Count]":
        """The values that stand most often with a picture in a table, most first.

        Without `column` its keywords, or its first column of texts. Raises as `counts` does.
        """
        self._rows([id])
        return self.questions.top(table, id, column, k)

    def fill(self) -> None:
        """Fetch all thumbnails in the background, first those of the overview."""
        self.artifact.fill(self._overview_rows)

    @cached_property
    def _overview_rows(self) -> list[int]:
        ids = self.artifact.manifest.overview
        found = self.catalogue.rows(ids)
        return [found[id] for id in ids if id in found]

    def _rows(self, ids: Sequence[str]) -> list[int]:
        found = self.catalogue.rows(ids)
        for id in ids:
            if id not in found or id in self.withdrawn:
                raise NotFoundError(f"This collection has no picture “{id[:200]}”.")
        return [found[id] for id in ids]

    def withdrawn_rows(self) -> frozenset[int]:
        """The rows of what is withdrawn at this moment."""
        # A copy first: another thread may be adding to it. Finding a row takes a while, so they
        # are found again only if the ids are others.
        ids = frozenset(tuple(self.withdrawn))
        known, rows = self._hidden
        if ids != known:
            rows = frozenset(self.catalogue.rows(ids).values())
            self._hidden = ids, rows
        return rows

    def _records(self, rows: list[int]) -> list[Record]:
        covers = self._covers()
        if not covers:
            return [self._made(known) for known in self.catalogue.known(rows)]
        return [
            self._made(known, covers.why(known.id, row))
            for known, row in zip(self.catalogue.known(rows), rows, strict=True)
        ]

    def _made(self, known: Known, notice: str | None = None) -> Record:
        title, credit = (self._said(known.metadata, role) for role in ("title", "credit"))
        return Record(
            id=known.id,
            metadata=known.metadata,
            title=title or PurePosixPath(known.id).name,
            credit=credit,
            width=known.width,
            height=known.height,
            notice=notice,
        )

    def _said(self, fields: dict[str, Any], role: Role) -> str:
        name = self._roles.get(role)
        return str(fields[name]) if name and fields[name] is not None else ""


def _upright(image: Image.Image) -> Image.Image:
    """As `images.decode` does for the collection: a telephone stores which side is up."""
    if not all(image.size):
        raise QueryError("That picture has no pixels. Choose another one.")
    return ImageOps.exif_transpose(image)
