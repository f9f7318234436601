"""A question → results: the only place where encoder, index and metadata meet.

Knows nothing of Gradio, of HTTP and of the command line; they are thin layers over it.
"""

import time
from collections.abc import Sequence, Set
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from image_search.artifact import Artifact
from image_search.catalogue import Catalogue, Known
from image_search.encoder import Encoder, Vectors, unit
from image_search.errors import NotFoundError, QueryError
from image_search.fields import Role
from image_search.index.protocol import Index, Rows
from image_search.results import Hit, Record, Results
from image_search.settings import settings
from image_search.tidy import tidy

if TYPE_CHECKING:
    from image_search.engine.engine import Engine
    from image_search.engine.questions import Count, Questions

MAX_CHARACTERS = 2_000
"""A question in words; the models read about 60 words, so more can only be a mistake."""

MAX_RESULTS = 1_000
"""How many pictures a question can bring, over all its pages."""

MAX_LIKE = 20
"""How many known pictures a question may name."""

QUERY_SIDE = 1024
"""Longest side, in pixels, to which a picture that is searched with is decoded; the models see
less, and it is what a collection's own pictures are shrunk to."""


class Searcher:
    """Searches one collection by words, by pictures, or by both. Safe to use from several threads.

    The pictures whose ids are in `withdrawn` are as if they were not there. The set is looked into
    at every question, so what is added to it counts from then on.
    """

    def __init__(
        self,
        artifact: Artifact,
        encoder: Encoder,
        index: Index,
        catalogue: Catalogue,
        withdrawn: Set[str] = frozenset(),
        engine: "Engine | None" = None,
    ) -> None:
        self.artifact = artifact
        self.encoder = encoder
        self.index = index
        self.catalogue = catalogue
        self._engine = engine
        self.withdrawn = withdrawn
        self._hidden: tuple[frozenset[str], frozenset[int]] = (frozenset(), frozenset())
        self._roles = {field.role: field.name for field in artifact.manifest.fields}

    @classmethod
    def open(
        cls,
        artifact: str | Path | None = None,
        withdrawn: Set[str] | None = None,
        model: str | None = None,
    ) -> "Searcher":
        """Open a folder, or `user/name[@revision]` of the Hub; without one the setting
        IMAGE_SEARCH_ARTIFACT, else the demo.

        Without `withdrawn` it leaves out what the state says (IMAGE_SEARCH_STATE). `model` is
        what made the embeddings of a dataset that no build of ours wrote. Raises
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
        opened = Artifact.open(chosen, searched=not settings().engine)
        if settings().engine:
            from image_search.engine.engine import Engine

            held = Engine.open(
                settings().engine, opened.manifest, opened.version, opened.files.name
            )
            return cls(opened, opened.encoder(), held.index, held.catalogue, withdrawn, held)
        return cls(opened, opened.encoder(), opened.index, opened.catalogue, withdrawn)

    def __len__(self) -> int:
        """How many pictures can be found."""
        return len(self.catalogue) - len(self._withdrawn_rows())

    def search(
        self,
        text: str | None = None,
        *,
        image: Image.Image | None = None,
        like: Sequence[str] | str = (),
        k: int = 9,
        offset: int = 0,
    ) -> Results:
        """The k pictures nearest to a text, to a picture of any size and mode, to known pictures.

        `like` holds ids; those pictures are not among the results. What is given together is
        looked for together: the mean of the unit vectors, made a unit vector again. The first
        `offset` results are left out; none beyond MAX_RESULTS is given. Raises QueryError, in
        words for the visitor, if there is nothing to search for, and ArtifactError if the
        collection was built again since it was opened.
        """
        start = time.perf_counter()
        like = [like] if isinstance(like, str) else like
        if image is not None and not isinstance(image, Image.Image):
            raise QueryError(
                f"A picture to search with is one of Pillow's, not {image!r}: "
                "PIL.Image.open(...) opens a file."
            )
        if not (1 <= k <= MAX_RESULTS and 0 <= offset < MAX_RESULTS):
            raise QueryError(
                f"Between 1 and {MAX_RESULTS:,} pictures can be asked for, not {offset + k}."
            )
        self.artifact.check_current()
        notices: list[str] = []
        if len(like) > MAX_LIKE:
            raise QueryError(f"Up to {MAX_LIKE} pictures can be searched with, not {len(like)}.")
        named = self._rows(like)
        asked: list[str] = []
        vectors: list[Vectors] = []
        if (text and text.strip()) or (image is None and not named):
            words = _checked(text)
            asked.append(words)
            read = self.encoder.read_part(words)
            if read != words:
                notices.append(f"That is more than the model can read. It searched for: “{read}”.")
            vectors.append(self.encoder.encode_texts([words])[0])
        if image is not None:
            asked.append("a picture")
            vectors.append(self.encoder.encode_images([_upright(image)])[0])
        for record, row in zip(self._records(named), named, strict=True):
            asked.append(f"like {record.title or record.id}")
            vectors.append(self.index.vector(row))
        hidden = {*named, *self._withdrawn_rows()}
        total = min(len(self.catalogue) - len(hidden), MAX_RESULTS)
        rows, scores = self.index.search(_mean(vectors), min(offset + k, MAX_RESULTS), hidden)
        only_words = image is None and not named
        threshold = self.artifact.manifest.no_match.threshold
        no_match = only_words and len(scores) > 0 and float(scores[0]) < threshold
        if no_match and not offset:
            notices.append("Nothing here is close to that; these are the nearest pictures.")
        return Results(
            query=", ".join(asked),
            hits=self._hits(rows[offset:], scores[offset:], offset + 1),
            total=total,
            notices=notices,
            no_match=no_match,
            seconds=time.perf_counter() - start,
            artifact_version=self.artifact.version,
        )

    def _hits(self, rows: Rows, scores: Vectors, first: int) -> list[Hit]:
        """The pictures of some rows as results, ranked from `first` on."""
        shown = [int(row) for row in rows]
        self.artifact.expect(shown)
        records = self._records(shown)
        return [
            Hit(**vars(record), score=float(score), rank=rank)
            for rank, (record, score) in enumerate(zip(records, scores, strict=True), start=first)
        ]

    def record(self, id: str) -> Record:
        """All that is known of a picture. Raises NotFoundError if the collection has none such."""
        return self._records(self._rows([id]))[0]

    def overview(self) -> list[Record]:
        """Pictures that stand for the whole collection, chosen when it was built."""
        withdrawn = self._withdrawn_rows()
        shown = [row for row in self._overview_rows if row not in withdrawn]
        self.artifact.expect(shown)
        return self._records(shown)

    def picture(self, id: str) -> bytes:
        """The picture file of an id. Raises NotFoundError if the collection has none such."""
        return self.artifact.picture(self.row(id), id)

    def thumbnail(self, id: str) -> bytes:
        """The small picture (WebP) of an id. Raises NotFoundError if there is none such."""
        return self.artifact.thumbnail(self.row(id), id)

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

    def _withdrawn_rows(self) -> frozenset[int]:
        # A copy first: another thread may be adding to it. Finding a row takes a while, so they
        # are found again only if the ids are others.
        ids = frozenset(tuple(self.withdrawn))
        known, rows = self._hidden
        if ids != known:
            rows = frozenset(self.catalogue.rows(ids).values())
            self._hidden = ids, rows
        return rows

    def _records(self, rows: list[int]) -> list[Record]:
        return [self._made(known) for known in self.catalogue.known(rows)]

    def _made(self, known: Known) -> Record:
        title, credit = (self._said(known.metadata, role) for role in ("title", "credit"))
        return Record(
            id=known.id,
            metadata=known.metadata,
            title=title or PurePosixPath(known.id).name,
            credit=credit,
            width=known.width,
            height=known.height,
        )

    def _said(self, fields: dict[str, Any], role: Role) -> str:
        name = self._roles.get(role)
        return str(fields[name]) if name and fields[name] is not None else ""


def _upright(image: Image.Image) -> Image.Image:
    """As `images.decode` does for the collection: a telephone stores which side is up."""
    if not all(image.size):
        raise QueryError("That picture has no pixels. Choose another one.")
    return ImageOps.exif_transpose(image)


def _mean(vectors: list[Vectors]) -> Vectors:
    """One unit vector in the middle of several."""
    return vectors[0] if len(vectors) == 1 else unit(np.mean(vectors, axis=0, keepdims=True))[0]


def _checked(text: str | None) -> str:
    """A question in words, tidied. Raises QueryError if it is empty or far too long."""
    words = tidy(text or "")
    if not words:
        raise QueryError("Type what you are looking for, or choose a picture to search with.")
    if len(words) > MAX_CHARACTERS:
        raise QueryError(
            f"That is {len(words):,} characters; a question may have {MAX_CHARACTERS:,}. "
            "A short sentence in English works best."
        )
    return words
