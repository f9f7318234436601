"""Which pictures of a collection are covered, and what stands in their place."""

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from image_search.catalogue import Among, Catalogue
from image_search.conditions import conditions
from image_search.errors import QueryError
from image_search.fields import Field
from image_search.lettering import Text, block, write
from image_search.notices import Notice
from image_search.say import say

TILE = 1024
"""Longest side, in pixels, of what stands in the place of a picture."""
SMALL_TILE = 256
"""The same of a thumbnail."""

PAPER, EDGE, INK, QUIET = "#e7e4dd", "#c9c4b9", "#26231f", "#5c574f"


class Covers:
    """Why pictures are covered, by id and row: found out once for the notices that there are."""

    def __init__(
        self, notices: Sequence[Notice], catalogue: Catalogue, fields: Sequence[Field]
    ) -> None:
        self._own: dict[str, list[str]] = {}
        self._valued: list[tuple[str, NDArray[np.bool_]]] = []
        self._all: list[str] = []
        for notice in reversed(notices):  # the oldest first, as their words are read
            if notice.pictures:
                for id in notice.pictures:
                    self._own.setdefault(id, []).append(notice.text)
            elif notice.where:
                self._add(notice, catalogue, fields)
            else:
                self._all.append(notice.text)

    def _add(self, notice: Notice, catalogue: Catalogue, fields: Sequence[Field]) -> None:
        try:
            rows = rows_of(notice.where, catalogue, fields)
        except QueryError as error:
            # Built anew with other fields, it would else show what somebody took care to cover.
            say(
                f"warning: the notice {notice.id} covers every picture until it is removed: {error}"
            )
            self._all.append(notice.text)
            return
        covered = np.zeros(len(catalogue), np.bool_)
        covered[rows] = True
        self._valued.append((notice.text, covered))

    def __bool__(self) -> bool:
        return bool(self._own or self._valued or self._all)

    def why(self, id: str, row: int) -> str | None:
        """The notice that covers a picture; of several all, but one for all pictures only where
        no other says more."""
        texts = [
            *self._own.get(id, ()),
            *(text for text, covered in self._valued if covered[row]),
        ]
        return " · ".join(dict.fromkeys(texts or self._all)) or None


def rows_of(where: Sequence[str], catalogue: Catalogue, fields: Sequence[Field]) -> list[int]:
    """The rows of which something is known. Raises QueryError for a field that there is not."""
    wanted = conditions(where, "", fields)
    return catalogue.listed(Among(where=wanted), len(catalogue), 0) if len(catalogue) else []


@lru_cache(256)
def tile(notice: str, width: int, height: int, longest: int = TILE) -> bytes:
    """A plain picture (WebP) of these proportions that says why the real one is covered.

    At most `longest` pixels a side.
    """
    scale = min(1.0, longest / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=EDGE)
    letters = max(11, min(size) // 16)
    margin = letters
    if size[0] > 6 * letters and size[1] > 3 * letters:  # else there is no room for words
        lines: list[Text] = [
            ("Covered", letters * 4 // 5 if letters > 14 else 11, 1, QUIET),
            (notice, letters, max(1, (size[1] - 3 * letters) // (letters * 4 // 3)), INK),
        ]
        words = block(lines, size[0] - 2 * margin)
        write(draw, words, margin, max(0, (size[1] - words.height) // 2))
    file = BytesIO()
    picture.save(file, format="WEBP", quality=80, method=0)
    return file.getvalue()
