"""The sheet of pictures: what is drawn where, and what it bears."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import found
import pytest
from PIL import Image

from image_search import contact_sheet, lettering
from image_search.citation import of_search
from image_search.contact_sheet import CELL, GAP, MARGIN, MOST, as_sheet, sheet
from image_search.errors import HubError, NotFoundError
from image_search.search import Searcher

Thumbnail = Callable[[str], bytes]
RED, GREEN = (255, 0, 0), (0, 255, 0)


def picture(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (CELL, 192)) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, format="PNG")
    return file.getvalue()


def area(page: Image.Image, colour: tuple[int, int, int]) -> int:
    """How many pixels of a page are of a colour."""
    return next((count for count, found in page.getcolors(1 << 24) or [] if found == colour), 0)


def many(count: int, **changes: Any) -> Any:
    return found.results(*(found.hit(f"{n}.png", n, **changes) for n in range(1, count + 1)))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, float]]:
    """Every line that is written on a sheet, and the right and lower edges of its ink."""
    lines: list[tuple[str, float, float]] = []
    write = contact_sheet.write

    def recorded(draw: Any, block: Any, left: int, top: int) -> None:
        for line in block.lines:
            box = draw.textbbox((left, top + line.top), line.text, lettering._font(line.size))
            lines.append((line.text, box[2], box[3]))
        write(draw, block, left, top)

    monkeypatch.setattr(contact_sheet, "write", recorded)
    return lines


def test_the_pictures_of_a_search_stand_in_a_grid(searcher: Searcher) -> None:
    page = sheet(searcher.search("red", k=5), searcher.thumbnail, "red " * 99)
    assert page.width == 3 * CELL + 2 * GAP + 2 * MARGIN
    reds = [page.getpixel((MARGIN + 10, y)) for y in range(page.height)]
    rows = [y for y, colour in enumerate(reds) if colour == pytest.approx((254, 0, 0), abs=3)]
    assert len(rows) == rows[-1] - rows[0] + 1 == 32  # the whole thumbnail, at the left edge


@pytest.mark.parametrize(
    ("count", "columns"), [(0, 3), (1, 3), (3, 3), (9, 3), (10, 5), (23, 5), (MOST, 5)]
)
def test_every_picture_is_drawn_whole(count: int, columns: int) -> None:
    page = sheet(many(count), lambda id: picture(size=(8, 8)), "red")
    assert page.width == columns * CELL + (columns - 1) * GAP + 2 * MARGIN
    assert area(page, RED) == count * 64


def test_more_than_a_sheet_holds_is_said(drawn: list[tuple[str, float, float]]) -> None:
    page = sheet(many(MOST + 3), lambda id: picture(size=(8, 8)), "red")
    assert area(page, RED) == MOST * 64
    assert drawn[1][0] == f"The first {MOST} of {MOST + 3} pictures"


def test_captions_say_all_that_must_be_said(drawn: list[tuple[str, float, float]]) -> None:
    results = found.results(found.known_hit(), found.hit("b.png", 2, score=None))
    as_sheet(results, found.provenance(), lambda id: picture())
    said = [text for text, *_ in drawn]
    assert said[:9] == [
        "a guitar",
        "2 pictures · Prints & Drawings · 2026-11-21",
        "1. A guitar",
        "Ann Lee and Smith and Sons, 1872",
        "Gift of a friend",
        "CC0 1.0",
        "Score 0.500",
        "2. b.png",  # of which no more is known, nor how near it is
        said[8],
    ]
    foot = of_search(results, found.provenance()).text
    assert "".join(said[8:-1]).replace(" ", "") == foot.replace(" ", "")
    assert said[-1] == "Rights: All rights reserved"


def test_without_a_provenance_there_are_title_credit_and_score(
    drawn: list[tuple[str, float, float]],
) -> None:
    hit = found.hit(title="A guitar", credit_line="A guitar. Gift of a friend")
    sheet(found.results(hit), lambda id: picture(), "guitars")
    assert [text for text, *_ in drawn] == [
        "guitars",
        "1 picture",
        "1. A guitar",
        "Gift of a friend",
        "Score 0.500",
    ]


@pytest.mark.parametrize("text", ["word " * 500, "unbroken" * 500, "日本" * 500, "i" * 3000])
def test_long_text_is_wrapped_within_its_cell_and_then_cut(
    text: str, drawn: list[tuple[str, float, float]]
) -> None:
    results = many(5, credit_line=text)
    page = sheet(results, lambda id: picture(), "red", found.provenance())
    credit = [line for line in drawn if set(line[0]) <= {*text, "…"}]
    assert len(credit) == 3 * len(results)
    for place, (_, right, _) in enumerate(credit):
        column = place // 3 % 3
        assert right <= MARGIN + column * (CELL + GAP) + CELL + 1
    assert [line[0].endswith("…") for line in credit] == [False, False, True] * len(results)
    end = max(lower for *_, lower in drawn)
    assert end == pytest.approx(page.height - MARGIN - GAP // 2, abs=5)  # nothing overlaps


@pytest.mark.parametrize("text", found.HOSTILE)
def test_strange_text_is_drawn_within_the_page(
    text: str, drawn: list[tuple[str, float, float]]
) -> None:
    hit = found.hit(title=text * 9, artist=[text], rights=text * 9, credit_line=text * 9)
    provenance = found.provenance(collection=text * 9, rights=text * 99, address=text * 99)
    data = as_sheet(found.results(hit, query=text * 99), provenance, lambda id: picture())
    with Image.open(BytesIO(data)) as page:
        page.load()
    assert max(right for _, right, _ in drawn) <= page.width - MARGIN + 1
    assert max(lower for *_, lower in drawn) <= page.height


def test_a_picture_of_any_size_and_mode_stays_in_its_cell() -> None:
    file = BytesIO()
    Image.new("LA", (900, 300), (0, 255)).save(file, format="PNG")
    given = {"1.png": picture(), "2.png": file.getvalue(), "3.png": picture(GREEN, (900, 300))}
    page = sheet(many(3), given.__getitem__, "red")
    assert area(page, RED) == CELL * 192
    assert area(page, GREEN) == CELL * (CELL // 3)
    middle = MARGIN + CELL + GAP
    assert page.getpixel((middle, 32 + 73 + 190)) == (0, 0, 0)
    assert page.getpixel((middle + CELL, 32 + 73 + 190)) == (255, 255, 255)


@pytest.mark.parametrize(
    "broken",
    [NotFoundError("gone"), HubError("away"), OSError("disk"), b"", b"no picture", picture()[:60]],
)
def test_a_picture_that_cannot_be_read_leaves_the_others(
    broken: Exception | bytes, drawn: list[tuple[str, float, float]]
) -> None:
    def thumbnail(id: str) -> bytes:
        if id != "2.png":
            return picture()
        if isinstance(broken, Exception):
            raise broken
        return broken

    page = sheet(many(3), thumbnail, "red", found.provenance())
    assert area(page, RED) == 2 * CELL * 192
    said = [text for text, *_ in drawn]
    assert said.count("This picture could not be read.") == 1
    assert "2. 2.png" in said


def test_a_mistake_of_ours_is_not_hidden() -> None:
    def thumbnail(id: str) -> bytes:
        raise TypeError(id)

    with pytest.raises(TypeError):
        sheet(many(1), thumbnail, "red")


def test_the_file_holds_its_citation_as_text() -> None:
    results, provenance = many(2), found.provenance()
    with Image.open(BytesIO(as_sheet(results, provenance, lambda id: picture()))) as page:
        assert page.format == "PNG"
        assert page.info["Title"] == "a guitar"
        assert page.info["Description"] == of_search(results, provenance).text
        assert page.info["Copyright"] == "All rights reserved"
        assert area(page.convert("RGB"), RED) == 2 * CELL * 192


@pytest.mark.parametrize("fonts", [lettering.FONTS, ()], ids=["of the system", "Pillow's own"])
def test_captions_have_no_boxes(monkeypatch: pytest.MonkeyPatch, fonts: tuple[str, ...]) -> None:
    monkeypatch.setattr(lettering, "FONTS", fonts)
    lettering._font.cache_clear()
    font = lettering._font(13)
    [title] = lettering._wrapped("Fig. 13.—Höhe “x” ⅔ … Œ 日本", font, 1000, 1)
    lettering._font.cache_clear()
    if fonts:
        assert title.startswith("Fig. 13.—Höhe")
    else:
        assert title == "Fig. 13.-Hohe “x” 2?3 ... ? ??"
        box = bytes(font.getmask("\uffff"))
        assert all(bytes(font.getmask(c)) != box for c in title)
