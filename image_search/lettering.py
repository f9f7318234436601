"""Words drawn into a picture: wrapped, cut where there is no room, in a font that is there."""

import re
import unicodedata
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import ImageDraw, ImageFont

from image_search.tidy import tidy

FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "Arial.ttf", "arial.ttf")
"""What Linux, macOS and Windows have, the first one that is there."""


@dataclass(frozen=True)
class Line:
    """One line of text, and where its upper edge is."""

    text: str
    size: int
    top: int
    ink: str


@dataclass(frozen=True)
class Block:
    """Lines below one another."""

    lines: list[Line]
    height: int


Text = tuple[str, int, int, str]
"""What to write: text, size in pixels, most lines, ink."""


def block(texts: list[Text], width: int) -> Block:
    """Texts below one another, none wider than `width` pixels; an empty one takes no room."""
    lines: list[Line] = []
    top = 0
    for text, size, most, ink in texts:
        for line in _wrapped(text, _font(size), width, most):
            lines.append(Line(line, size, top, ink))
            top += size * 4 // 3
    return Block(lines, top)


def write(draw: ImageDraw.ImageDraw, block: Block, left: int, top: int) -> None:
    """Draw them with their upper left corner there."""
    for line in block.lines:
        draw.text((left, top + line.top), line.text, line.ink, _font(line.size))


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


def _wrapped(text: str, font: Any, width: int, most: int) -> list[str]:
    """The text in up to `most` lines of `width` pixels, with … at the end if it is longer."""
    longest = width // 2 * most  # no letter but is wider than two pixels
    words = _drawable(tidy(text)[:longest], font).split()
    lines: list[str] = []
    while words and len(lines) < most:
        words = _fill_line(lines, words, font, width)
    if words:
        last = lines[-1]
        while last and font.getlength(f"{last}…") > width:
            last = last[:-1].rstrip()
        lines[-1] = f"{last}…"
    return lines


def _fill_line(lines: list[str], words: list[str], font: Any, width: int) -> list[str]:
    """Add one more line, of as many words as it holds; gives the words that are left."""

    def too_wide(line: str) -> bool:
        return bool(font.getlength(line) > width)

    count = 1
    while count < len(words) and not too_wide(" ".join(words[: count + 1])):
        count += 1
    line = " ".join(words[:count])
    if not too_wide(line):
        lines.append(line)
        return words[count:]
    # one word that is too wide alone, as addresses and hashes are: it is cut
    [word, *rest] = words
    fits = max(1, bisect_right(range(1, len(word)), 0, key=lambda n: too_wide(word[:n])))
    lines.append(word[:fits])
    return [word[fits:], *rest]
