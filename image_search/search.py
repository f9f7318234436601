"""A question → results: the only place where encoder, index and metadata meet.

Knows nothing of Gradio, of HTTP and of the command line; they are thin layers over it.
"""

import time
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, ImageOps

from image_search.artifact import Artifact
from image_search.encoder import Encoder, Vectors
from image_search.errors import QueryError
from image_search.fields import Role
from image_search.index import Index
from image_search.results import Hit, Results
from image_search.settings import settings

MAX_CHARACTERS = 2_000
"""A question in words; the models read about 60 words, so more can only be a mistake."""

MAX_RESULTS = 1_000

QUERY_SIDE = 1024
"""Longest side, in pixels, to which a picture that is searched with is decoded; the models see
less, and it is what a collection's own pictures are shrunk to."""


class Searcher:
    """Searches one collection by words or by picture. Safe to use from several threads."""

    def __init__(self, artifact: Artifact, encoder: Encoder, index: Index) -> None:
        self.artifact = artifact
        self.encoder = encoder
        self.index = index
        self._roles = {field.role: field.name for field in artifact.manifest.fields}

    @classmethod
    def open(cls, artifact: str | Path | None = None) -> "Searcher":
        """Open a folder; without one the setting IMAGE_SEARCH_ARTIFACT, else the demo.

        Raises ArtifactError if the collection is missing or damaged.
        """
        chosen = artifact or settings().artifact
        if not chosen:
            from image_search.demo import ensure_demo

            chosen = ensure_demo()
        opened = Artifact.open(Path(chosen))
        return cls(opened, opened.encoder(), opened.index)

    def search(
        self, text: str | None = None, *, image: Image.Image | None = None, k: int = 9
    ) -> Results:
        """The k pictures nearest to a text or to a picture of any size and mode.

        Raises QueryError, in words for the visitor, if there is nothing to search for, and
        ArtifactError if the collection was built again since it was opened.
        """
        start = time.perf_counter()
        if not 1 <= k <= MAX_RESULTS:
            raise QueryError(f"Between 1 and {MAX_RESULTS:,} pictures can be asked for, not {k}.")
        self.artifact.check_current()
        notices: list[str] = []
        if image is not None:
            if text and text.strip():
                raise QueryError("Search with words or with a picture, not with both at once.")
            asked = "a picture"
            if not all(image.size):
                raise QueryError("That picture has no pixels. Choose another one.")
            # As `images.decode` does for the collection: a telephone stores which side is up.
            upright = ImageOps.exif_transpose(image)
            vector = self.encoder.encode_images([upright])[0]
        else:
            asked = _checked(text)
            read = self.encoder.read_part(asked)
            if read != asked:
                notices.append(f"That is more than the model can read. It searched for: “{read}”.")
            vector = self.encoder.encode_texts([asked])[0]
        hits = self._nearest(vector, k)
        threshold = self.artifact.manifest.no_match.threshold
        if image is None and hits[0].score < threshold:
            notices.append("Nothing here is close to that; these are the nearest pictures.")
        return Results(
            query=asked,
            hits=hits,
            notices=notices,
            seconds=time.perf_counter() - start,
            artifact_version=self.artifact.version,
        )

    def _nearest(self, vector: Vectors, k: int) -> list[Hit]:
        rows, scores = self.index.search(vector, k)
        found = [int(row) for row in rows]
        metadata: list[dict[str, Any]] = self.artifact.catalogue.metadata(found)
        return [
            self._hit(rank, self.artifact.catalogue.ids[row], float(score), fields)
            for rank, (row, score, fields) in enumerate(
                zip(found, scores, metadata, strict=True), start=1
            )
        ]

    def _hit(self, rank: int, id: str, score: float, fields: dict[str, Any]) -> Hit:
        title, credit = (self._said(fields, role) for role in ("title", "credit"))
        return Hit(id, score, rank, fields, title or PurePosixPath(id).name, credit)

    def _said(self, fields: dict[str, Any], role: Role) -> str:
        name = self._roles.get(role)
        return str(fields[name]) if name and fields[name] is not None else ""

    def picture(self, id: str) -> bytes | None:
        """The picture file of an id, or None if the collection has no such picture."""
        row = self.artifact.catalogue.row(id)
        return None if row is None else self.artifact.picture(row)

    def thumbnail(self, id: str) -> bytes | None:
        """The small picture (WebP) of an id, or None if the collection has no such picture."""
        row = self.artifact.catalogue.row(id)
        return None if row is None else self.artifact.thumbnail(row)


def _checked(text: str | None) -> str:
    """A question in words, tidied. Raises QueryError if it is empty or far too long."""
    # Control characters come along when text is pasted; they mean nothing to the model.
    tidy = " ".join("".join(c if c.isprintable() else " " for c in text or "").split())
    if not tidy:
        raise QueryError("Type what you are looking for, or choose a picture to search with.")
    if len(tidy) > MAX_CHARACTERS:
        raise QueryError(
            f"That is {len(tidy):,} characters; a question may have {MAX_CHARACTERS:,}. "
            "A short sentence in English works best."
        )
    return tidy
