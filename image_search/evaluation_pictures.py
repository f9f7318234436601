"""The first pictures of each prompt, for the report: within its file, or by the app's addresses."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from urllib.parse import quote

from image_search import images
from image_search.errors import ImageSearchError, QueryError
from image_search.evaluation_html import First, Firsts
from image_search.evaluation_report import Report
from image_search.pool import nearest
from image_search.search import Searcher
from image_search.verdicts import Verdicts

SIDE = 112
"""Longest side, in pixels, of a picture within a file: 3 KB each."""

TEN = 10


def within_file(report: Report, searcher: Searcher) -> Firsts:
    """Those of the report, each a small WebP in the file itself."""
    known = {
        (one.name, prompt.prompt): prompt.first for one in report.classes for prompt in one.prompts
    }
    made: dict[str, str] = {}

    def firsts(class_name: str, prompt: str) -> Sequence[First]:
        shown = []
        for one in known[class_name, prompt]:
            if one.id not in made:
                made[one.id] = _data(searcher, one.id)
            shown.append(First(made[one.id], one.id, one.verdict))
        return shown

    return firsts


def by_address(searcher: Searcher, base: str, verdicts: Mapping[str, Verdicts]) -> Firsts:
    """Those that the prompts bring now, with these verdicts; `base` is before /thumbnails.

    A prompt that may not be asked here has none.
    """

    def firsts(class_name: str, prompt: str) -> Sequence[First]:
        said = verdicts.get(class_name, Verdicts())
        try:
            hits = nearest(searcher, prompt, TEN)
        except QueryError:
            return []
        version = searcher.artifact.short_version
        return [
            First(
                f"{base}/thumbnails/{quote(hit.id, safe='')}?v={version}",
                hit.title,
                said.of(hit.id),
            )
            for hit in hits
        ]

    return firsts


def _data(searcher: Searcher, id: str) -> str:
    """A picture as a data: URI; nothing if it cannot be had."""
    try:
        picture = images.decode(searcher.thumbnail(id))
    except ImageSearchError:
        return ""
    picture.thumbnail((SIDE, SIDE))
    file = BytesIO()
    picture.save(file, format="WEBP", quality=60)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
