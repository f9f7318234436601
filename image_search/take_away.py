"""What was found, as a file to carry off: a table, JSON, or entries for BibTeX.

The sheet of pictures is in contact_sheet.py. Each file says by itself what was asked, of which
version of which collection, and what the rights are.
"""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal

from image_search.citation import of_picture, of_search
from image_search.fields import Field, Role
from image_search.provenance import Provenance, rights_of, source_of
from image_search.results import Results

Format = Literal["csv", "json", "bibtex", "sheet"]


@dataclass(frozen=True)
class FileType:
    """How a file of a format is sent and called."""

    media_type: str
    suffix: str


FILE_TYPES: dict[Format, FileType] = {
    "csv": FileType("text/csv; charset=utf-8", ".csv"),
    "json": FileType("application/json", ".json"),
    "bibtex": FileType("application/x-bibtex; charset=utf-8", ".bib"),
    "sheet": FileType("image/png", ".png"),
}

Addresses = Callable[[str], str]
"""The absolute address of a picture, by its id; nothing if it has none."""


def nowhere(id: str) -> str:
    """The address of a picture that nobody serves."""
    return ""


_BEFORE = ("rank", "id", "score", "title")
_AFTER = (
    "rights",
    "credit",
    "source",
    "picture",
    "notice",
    "query",
    "retrieved",
    "collection",
    "dataset",
    "artifact_version",
    "model",
)
_TOLD_BY: dict[Role, str] = {
    "title": "title",
    "rights": "rights",
    "credit": "credit",
    "source_url": "source",
}
"""Which column says, of every picture, what the field with a role says of some."""

_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
_WITHIN = re.compile(r"([;\t\r\n]\s*)(?=[=+\-@＝＋－＠])(?![+-]?\d+([.,]\d+)*\s*(;|$))", re.ASCII)
"""Where a spreadsheet that parts columns by semicolons or tabs would begin another cell: quotation
marks do not keep it from that, unless they stand where it begins one itself."""
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*", re.ASCII)


def as_csv(results: Results, provenance: Provenance, address_of: Addresses = nowhere) -> bytes:
    """A table with a row for each picture, for a spreadsheet: UTF-8 with a mark that Excel wants.

    Between `title` and `rights` stand the fields of the collection by their names. A field that is
    what the column of its name holds (the title called `title`) stands there once; another one
    that happens to be called so is `model (field)`. Lists are joined by "; ", what is unknown is
    empty. Text that a spreadsheet would run as a formula begins with an apostrophe, also within a
    cell, where one begins for spreadsheets that part them by semicolons; numbers do not.
    """
    fields = [field for field in provenance.fields if not _stands_already(field)]
    file = StringIO(newline="")
    table = csv.writer(file)
    table.writerow([*_BEFORE, *_headings(fields), *_AFTER])
    for hit in results:
        cells = [
            hit.rank,
            hit.id,
            _rounded(hit.score),
            hit.title,
            *(hit.metadata.get(field.name) for field in fields),
            rights_of(hit, provenance),
            hit.credit,
            source_of(hit, provenance),
            address_of(hit.id),
            hit.notice,
            results.query,
            provenance.retrieved.isoformat(),
            provenance.collection,
            provenance.dataset,
            provenance.artifact_version,
            provenance.model,
        ]
        table.writerow([_cell(cell) for cell in cells])
    return file.getvalue().encode("utf-8-sig", "replace")


def as_json(results: Results, provenance: Provenance, address_of: Addresses = nowhere) -> bytes:
    """All that is known of the search and of each picture, for programs."""
    told = {
        "search": {
            "query": results.query,
            "retrieved": provenance.retrieved.isoformat(),
            "collection": provenance.collection,
            "dataset": provenance.dataset,
            "artifact_version": provenance.artifact_version,
            "model": provenance.model,
            "revision": provenance.revision,
            "rights": provenance.rights,
            "address": provenance.address,
            "total": results.total,
            "notices": results.notices,
            "citation": of_search(results, provenance).text,
        },
        "results": [
            {
                "rank": hit.rank,
                "id": hit.id,
                "score": _rounded(hit.score),
                "title": hit.title,
                "credit": hit.credit,
                "rights": rights_of(hit, provenance),
                "source": source_of(hit, provenance),
                "picture": address_of(hit.id),
                "notice": hit.notice,
                "citation": of_picture(hit, provenance, address_of(hit.id)).text,
                "metadata": hit.metadata,
            }
            for hit in results
        ],
    }
    text = json.dumps(told, indent=2, ensure_ascii=False)
    return f"{text}\n".encode("utf-8", "replace")


def as_bibtex(results: Results, provenance: Provenance, address_of: Addresses = nowhere) -> bytes:
    """Entries for BibTeX: the search, then every picture."""
    pictures = (of_picture(hit, provenance, address_of(hit.id)) for hit in results)
    entries = [of_search(results, provenance).bibtex, *(picture.bibtex for picture in pictures)]
    return "\n".join(entries).encode("utf-8", "replace")


def _stands_already(field: Field) -> bool:
    return field.role is not None and _TOLD_BY.get(field.role) == field.name.casefold()


def _headings(fields: list[Field]) -> list[str]:
    """What the columns of the fields are called: no two columns of the table alike."""
    taken = {*_BEFORE, *_AFTER}
    headings: list[str] = []
    for field in fields:
        heading = str(_cell(field.name))
        while heading.casefold() in taken:
            heading += " (field)"
        taken.add(heading.casefold())
        headings.append(heading)
    return headings


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _cell(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    runs = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    text = _WITHIN.sub(r"\1'", text)
    return f"'{text}" if runs else text
