"""What the web interface gives to carry off: files of what was found, and citations.

Knows addresses, but no requests; `origin` is what stands before an address of ours, https:// and
the host.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote

from pydantic import BaseModel

from image_search import citation
from image_search.answers import PREFIX, Asked, found
from image_search.contact_sheet import MOST as MOST_OF_A_SHEET
from image_search.contact_sheet import as_sheet
from image_search.errors import QueryError
from image_search.permalink import permalink, picture_link
from image_search.provenance import Provenance
from image_search.results import Results
from image_search.search import MAX_RESULTS, Searcher
from image_search.search_log import SearchLog
from image_search.take_away import FILE_TYPES, Format, as_bibtex, as_csv, as_json, nowhere

MAX_CHOSEN = 200
"""How many of the results can be chosen one by one."""


@dataclass(frozen=True)
class File:
    """A file to be stored."""

    data: bytes
    media_type: str
    name: str


class Citation(BaseModel):
    """How to cite a search, or a picture: as a sentence, and as an entry for BibTeX."""

    text: str
    bibtex: str


def export(
    searcher: Searcher,
    log: SearchLog,
    by: str,
    origin: str,
    asked: Asked,
    format: Format,
    k: int,
    chosen: Sequence[str] = (),
) -> File:
    """The first k pictures that a question brings, or the chosen ones of all, as a file.

    It goes on record as a search by the member of that name. Raises QueryError, among others if one
    that is chosen is not among them.
    """
    k = fitting(format, k)
    results = found(searcher, log, by, asked, MAX_RESULTS if chosen else k)
    if chosen:
        results = _only(results, chosen)
    data = file_of(results, format, provenance(searcher, origin, asked), searcher, origin)
    kind = FILE_TYPES[format]
    return File(data, kind.media_type, f"{_slug(results.query)}{kind.suffix}")


def fitting(format: Format, k: int) -> int:
    """How many pictures a file holds of which k are wanted. Raises QueryError."""
    if not 1 <= k <= MAX_RESULTS:
        raise QueryError(f"Between 1 and {MAX_RESULTS:,} pictures can be carried off, not {k:,}.")
    return min(k, MOST_OF_A_SHEET) if format == "sheet" else k


def file_of(
    results: Results, format: Format, about: Provenance, searcher: Searcher, origin: str
) -> bytes:
    """What was found as a file; without an `origin` pictures have no address in it."""
    if format == "sheet":
        return as_sheet(results, about, searcher.thumbnail)

    def address_of(id: str) -> str:
        return f"{origin}{PREFIX}/pictures/{quote(id, safe='')}"

    write = {"csv": as_csv, "json": as_json, "bibtex": as_bibtex}[format]
    return write(results, about, address_of if origin else nowhere)


def cite_search(
    searcher: Searcher, log: SearchLog, by: str, origin: str, asked: Asked, k: int | None = None
) -> Citation:
    """How to cite what a question brings, or only the first k pictures of it."""
    results = found(searcher, log, by, asked, k or 1)
    about = provenance(searcher, origin, asked)
    return Citation(**vars(citation.of_search(results, about, whole=k is None)))


def cite_picture(searcher: Searcher, origin: str, id: str) -> Citation:
    """How to cite one picture. Raises NotFoundError."""
    about = provenance(searcher, origin, None)
    link = f"{origin}{picture_link(id)}" if origin else ""
    return Citation(**vars(citation.of_picture(searcher.record(id), about, link)))


def provenance(searcher: Searcher, origin: str, asked: Asked | None) -> Provenance:
    """Where what is found comes from; of a search with a visitor's own picture without an address,
    since nobody else can see it again."""
    artifact, manifest = searcher.artifact, searcher.artifact.manifest
    address = ""
    if asked and not asked.picture and origin:
        address = f"{origin}{permalink(asked, artifact.short_version)}"
    return Provenance(
        collection=manifest.collection.name,
        dataset=artifact.files.published,
        artifact_version=artifact.version,
        model=manifest.encoder.name,
        revision=manifest.encoder.revision,
        rights=manifest.collection.rights,
        address=address,
        retrieved=datetime.now(UTC).date(),
        fields=list(manifest.fields),
    )


def _only(results: Results, chosen: Sequence[str]) -> Results:
    if len(chosen) > MAX_CHOSEN:
        raise QueryError(f"Up to {MAX_CHOSEN} pictures can be chosen, not {len(chosen)}.")
    hits = [hit for hit in results if hit.id in chosen]
    if lost := set(chosen) - {hit.id for hit in hits}:
        raise QueryError(
            f"“{min(lost)}” is not among the first {len(results):,} pictures of this search."
        )
    return replace(results, hits=hits)


def _slug(text: str) -> str:
    """A name for a file that every system takes."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(["pictures", *words])[:60].rstrip("-")
