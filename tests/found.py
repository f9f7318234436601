"""What a search may have found, made by hand: no collection needs to be built for it."""

from datetime import date
from typing import Any

from image_search.fields import Field
from image_search.provenance import Provenance
from image_search.results import Hit, Results

VERSION = "0123456789abcdef" * 4

FIELDS = [
    Field("title", "text", "title"),
    Field("artist", "list", "creator"),
    Field("made", "date", "year"),
    Field("rights", "category", "rights"),
    Field("page", "url", "source_url"),
    Field("credit_line", "text", "credit"),
    Field("keywords", "list"),
]

HOSTILE = [
    "}, note={x",
    "}}\n\n@misc{mine, title={x}}\n",
    r"\input{/etc/passwd}",
    r"\immediate\write18{rm -rf ~}",
    "^^5cinput{/etc/passwd}",
    "100% of a & b # c_d $x$ ~ ^ < > |",
    "\\",
    "ends with \\",
    "{{{",
    "}}}",
    '"} # {"',
    "@comment{",
    "%",
    "a\r\nb\tc",
    "🎸 and 日本 and Ærøskøbing",
    "כותרת \u202eof two ways\u202c مرحبا",
    "=1+1",
]
"""Titles that a keeper's table may hold, by mistake or by somebody's will."""


def provenance(**changes: Any) -> Provenance:
    known: dict[str, Any] = {
        "collection": "Prints & Drawings",
        "dataset": "museum/prints@v2",
        "artifact_version": VERSION,
        "model": "openai/clip_vit",
        "revision": "4af1",
        "rights": "All rights reserved",
        "address": "https://example.org/?q=a%20guitar&page=1#top",
        "retrieved": date(2026, 11, 21),
        "fields": FIELDS,
    }
    return Provenance(**{**known, **changes})


def hit(id: str = "prints/a guitar.png", rank: int = 1, **changes: Any) -> Hit:
    """A picture that was found; what is no part of a hit is metadata."""
    own = {key: changes.pop(key) for key in ("score", "credit") if key in changes}
    metadata: dict[str, Any] = {field.name: None for field in FIELDS} | changes
    title = metadata["title"] or id.rpartition("/")[2]
    told: dict[str, Any] = {"score": 0.5, "credit": metadata["credit_line"] or "", **own}
    return Hit(id=id, rank=rank, metadata=metadata, title=title, width=4, height=3, **told)


def known_hit() -> Hit:
    """A picture of which everything is known."""
    return hit(
        title="A guitar",
        artist=["Ann Lee", "Smith and Sons"],
        made="1872-05-03",
        rights="CC0 1.0",
        page="https://museum.org/1_2",
        credit_line="Ann Lee and Smith and Sons. A guitar. 1872. Gift of a friend",
        keywords=["music", "strings"],
    )


def results(*hits: Hit, query: str = "a guitar") -> Results:
    return Results(query, list(hits), total=max(60, len(hits)), artifact_version=VERSION)
