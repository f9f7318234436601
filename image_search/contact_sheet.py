"""The pictures of a search on one sheet, for paper: ink on white, each with what must be said.

The sheet ends with how to cite the search, so that it can be traced when it lies on a desk.
"""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from PIL import Image, ImageDraw, PngImagePlugin

from image_search.citation import of_search
from image_search.errors import ImageSearchError
from image_search.lettering import Text, block, write
from image_search.provenance import Provenance, creator_of, further_credit, rights_of, year_of
from image_search.results import Hit, Results
from image_search.tidy import tidy

MOST = 200
"""How many pictures a sheet holds; that is a picture of some 60 million pixels."""
CELL = 256
"""Side of a cell, in pixels: a thumbnail's longest side."""
GAP = 24
MARGIN = 32
INK = "#111111"
GREY = "#5a5a5a"
PALE = "#d8d8d8"


def as_sheet(results: Results, provenance: Provenance, thumbnail: Callable[[str], bytes]) -> bytes:
    """The sheet of a search as a PNG, which holds its citation as text too.

    `thumbnail` gives a picture file by id.
    """
    citation = of_search(results, provenance).text
    told = PngImagePlugin.PngInfo()
    told.add_itxt("Title", tidy(results.query))
    told.add_itxt("Description", citation)
    if provenance.rights:
        told.add_itxt("Copyright", tidy(provenance.rights))
    file = BytesIO()
    page = sheet(results, thumbnail, results.query, provenance)
    page.save(file, format="PNG", pnginfo=told)
    return file.getvalue()


def sheet(
    results: Results,
    thumbnail: Callable[[str], bytes],
    title: str,
    provenance: Provenance | None = None,
) -> Image.Image:
    """The first MOST pictures of a search in a grid under a title, each with its caption.

    `thumbnail` gives a picture file by id; where it cannot, or the file is none, the sheet says so
    in that place. Without `provenance` the captions lack creator, year and rights, and the citation
    at the foot is missing.
    """
    hits = results.hits[:MOST]
    columns = 3 if len(hits) <= 9 else 5
    width = columns * CELL + (columns - 1) * GAP + 2 * MARGIN
    wide = width - 2 * MARGIN
    head = block([(title, 24, 2, INK), (_summary(results, provenance), 13, 2, GREY)], wide)
    foot = block(_foot(results, provenance), wide)
    rows = [hits[start : start + columns] for start in range(0, len(hits), columns)]
    pictures = [[_picture(hit, thumbnail) for hit in row] for row in rows]
    captions = [[block(_caption(hit, provenance), CELL) for hit in row] for row in rows]
    tall = [max(CELL // 2 if p is None else p.height for p in row) for row in pictures]
    deep = [max(caption.height for caption in row) for row in captions]
    above = MARGIN + head.height + GAP
    below = foot.height + GAP if foot.lines else 0
    grid = sum(tall) + sum(deep) + len(rows) * (8 + GAP)
    page = Image.new("RGB", (width, above + grid + below + MARGIN), "white")
    draw = ImageDraw.Draw(page)
    write(draw, head, MARGIN, MARGIN)
    top = above
    for row, height, depth in zip(zip(pictures, captions, strict=True), tall, deep, strict=True):
        for column, (picture, caption) in enumerate(zip(*row, strict=True)):
            left = MARGIN + column * (CELL + GAP)
            if picture is None:
                _write_missing(draw, left, top + height)
            else:  # they stand on one line, close to their captions
                page.paste(picture, (left, top + height - picture.height))
            write(draw, caption, left, top + height + 8)
        top += height + depth + 8 + GAP
    if foot.lines:
        draw.line((MARGIN, top, width - MARGIN, top), PALE)
        write(draw, foot, MARGIN, top + GAP // 2)
    return page


def _summary(results: Results, provenance: Provenance | None) -> str:
    """What stands under the title."""
    shown = min(len(results), MOST)
    if not shown:
        count = "No pictures"
    elif shown < len(results):
        count = f"The first {shown:,} of {len(results):,} pictures"
    else:
        count = f"{shown:,} picture{'' if shown == 1 else 's'}"
    if provenance is None:
        return count
    return f"{count} · {provenance.collection} · {provenance.retrieved.isoformat()}"


def _caption(hit: Hit, provenance: Provenance | None) -> list[Text]:
    score: float | None = hit.score
    head: Text = (f"{hit.rank}. {hit.title}", 13, 2, INK)
    near = "" if score is None else f"Score {score:.3f}"
    if provenance is None:
        credit = tidy(hit.credit).removeprefix(f"{tidy(hit.title)}. ")  # which stands above
        return [head, (credit, 11, 3, GREY), (near, 11, 1, GREY)]
    credit, rights = further_credit(hit, provenance), rights_of(hit, provenance)
    made = ", ".join(
        part for part in (creator_of(hit, provenance), year_of(hit, provenance)) if part
    )
    own = rights != tidy(provenance.rights)  # the collection's stands at the foot
    return [
        head,
        (made, 11, 2, INK),
        (credit, 11, 3, GREY),
        (rights if own and rights.casefold() not in credit.casefold() else "", 11, 2, GREY),
        (near, 11, 1, GREY),
    ]


def _foot(results: Results, provenance: Provenance | None) -> list[Text]:
    if provenance is None:
        return []
    citation = of_search(results, provenance).text
    rights = f"Rights: {provenance.rights}" if provenance.rights else ""
    return [(citation, 12, 8, INK), (rights, 12, 3, GREY)]


def _picture(hit: Hit, thumbnail: Callable[[str], bytes]) -> Image.Image | None:
    """A small picture of a hit; None if it cannot be had: the others are worth having."""
    with suppress(ImageSearchError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        with Image.open(BytesIO(thumbnail(hit.id))) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((CELL, CELL))
        return picture
    return None


def _write_missing(draw: ImageDraw.ImageDraw, left: int, bottom: int) -> None:
    top = bottom - CELL // 2
    draw.rectangle((left, top, left + CELL - 1, bottom - 1), outline=PALE)
    write(draw, block([("This picture could not be read.", 11, 2, GREY)], CELL), left + 8, top + 8)
