"""What a search found: hits in order, what the visitor must be told, a sheet of pictures."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from image_search.query import Query


@dataclass(frozen=True, kw_only=True)
class Record:
    """One picture and all that is known of it."""

    id: str
    metadata: dict[str, Any]
    """The fields of the picture; None where nothing is known."""
    title: str
    """What to call the picture: the field with the role title, else its file's name."""
    credit: str
    """The line that has to stand with the picture where it is shown, or nothing."""
    width: int
    height: int
    """The size of the stored picture, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Hit(Record):
    """One picture that was found."""

    score: float | None
    """Cosine of query and picture, -1 to 1, higher is nearer; None where nothing was asked, and
    pictures were only chosen by what is known of them."""
    rank: int
    """1 is the nearest."""


@dataclass(frozen=True)
class Results:
    """The hits of one search, best first."""

    query: str
    """What was asked, in words; for a picture, that it was one."""
    hits: list[Hit]
    total: int = 0
    """How many pictures the question brings, over all its pages."""
    notices: list[str] = field(default_factory=list)
    """Sentences for the visitor, such as that a long text was cut."""
    no_match: bool = False
    """Whether even the best is less close than nearly all everyday questions get."""
    seconds: float = 0.0
    """Time taken to encode the query and search."""
    artifact_version: str = ""
    understood: Query = field(default_factory=Query)
    """What was understood of the words."""
    like: tuple[str, ...] = ()
    """Ids of the pictures that were liked."""
    unlike: tuple[str, ...] = ()
    """Ids of those that were not."""
    where: tuple[str, ...] = ()
    """The filters, as they may be typed."""
    contains: str = ""
    """Words that the title or the keywords had to have."""

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, place: int) -> Hit:
        return self.hits[place]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "query": self.query,
            "artifact_version": self.artifact_version,
            "seconds": round(self.seconds, 4),
            "notices": self.notices,
            "no_match": self.no_match,
            "total": self.total,
            "understood": str(self.understood),
            "like": list(self.like),
            "unlike": list(self.unlike),
            "where": list(self.where),
            "contains": self.contains,
            "hits": [
                {
                    "rank": hit.rank,
                    "id": hit.id,
                    "score": None if hit.score is None else round(hit.score, 4),
                    "title": hit.title,
                    "credit": hit.credit,
                    "metadata": hit.metadata,
                }
                for hit in self.hits
            ],
        }


CELL = 256
"""Side of a cell of a sheet, in pixels: a thumbnail's longest side."""
MARGIN = 16
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "Arial.ttf", "arial.ttf")
"""What Linux, macOS and Windows have, the first one that is there."""
CAPTION = 36


def sheet(
    results: Results, thumbnail: Callable[[str], bytes], title: str, columns: int = 3
) -> Image.Image:
    """The pictures of a search in a grid under its title, each with its rank, caption and score.

    `thumbnail` gives a picture file by id; `title` is drawn above. Made for paper: ink on white.
    """
    count = max(1, len(results))
    columns = min(columns, count)
    rows = -(-count // columns)
    head = 56
    width = columns * (CELL + MARGIN) + MARGIN
    height = head + rows * (CELL + CAPTION + MARGIN) + MARGIN
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    draw.text(
        (MARGIN, MARGIN), _fit(draw, title, _font(24), width - 2 * MARGIN), "black", _font(24)
    )
    for place, hit in enumerate(results):
        left = MARGIN + place % columns * (CELL + MARGIN)
        top = head + place // columns * (CELL + CAPTION + MARGIN)
        with Image.open(BytesIO(thumbnail(hit.id))) as picture:
            page.paste(
                picture.convert("RGB"),
                (left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2),
            )
        caption = _fit(draw, f"{hit.rank}  {hit.title}", _font(13), CELL)
        draw.text((left, top + CELL + 4), caption, "black", _font(13))
        credit = hit.credit.removeprefix(f"{hit.title}. ")  # which stands above
        nearness = "" if hit.score is None else f"{hit.score:.3f}  "
        below = _fit(draw, f"{nearness}{credit}", _font(11), CELL)
        draw.text((left, top + CELL + 20), below, "#666666", _font(11))
    return page


@lru_cache
def _font(size: int) -> Any:
    for name in FONTS:
        with suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def _drawable(text: str, font: Any) -> str:
    """The text in letters that the font has: Pillow's own has little beyond ASCII."""
    if str(getattr(font, "path", "")).endswith(FONTS):
        return text
    plain = unicodedata.normalize("NFKD", re.sub("[‐-―]", "-", text))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return "".join(c if c.isascii() or c in "‘’“”…" else "?" for c in plain)


def _fit(draw: ImageDraw.ImageDraw, text: str, font: Any, width: int) -> str:
    """The text on one line, with … where it would be wider than `width` pixels."""
    text = _drawable(" ".join(text.split())[:200], font)  # no line of a sheet holds more
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"
