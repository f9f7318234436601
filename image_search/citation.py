"""How to cite a picture, or a search: in a sentence, and as an entry for BibTeX.

What stands in metadata was written by others. In an entry every sign that means something to TeX
or to BibTeX is written as the command that prints it, so that no title ends an entry or runs.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from image_search.provenance import (
    Provenance,
    creator_of,
    creators_of,
    further_credit,
    rights_of,
    source_of,
    year_of,
)
from image_search.results import Record, Results
from image_search.tidy import tidy

# Not \{ and \}: BibTeX counts those braces as any other, and an entry would end at one.
_TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\textbraceleft{}",
        "}": r"\textbraceright{}",
        "$": r"\$",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)


@dataclass(frozen=True)
class Citation:
    """One thing to cite."""

    text: str
    """One line."""
    bibtex: str
    """One @misc entry in UTF-8, with a line break at its end."""


def of_picture(record: Record, provenance: Provenance, address: str = "") -> Citation:
    """How to cite a picture; `address` is where this collection shows it, if that is known.

    The key of the entry depends on the collection's name and the picture's id alone.
    """
    creators = creators_of(record, provenance)
    title, year = tidy(record.title), year_of(record, provenance)
    rights, source = rights_of(record, provenance), source_of(record, provenance)
    found = f"Found in {tidy(provenance.collection)}, artifact version {provenance.short_version}…"
    credit = further_credit(record, provenance)
    day = provenance.retrieved.isoformat()
    text = _sentences(
        creator_of(record, provenance),
        f"{title} ({year})" if year else title,
        credit,
        _link(source),
        rights,
        f"{found}, {day}",
        _link(address),
    )
    beside = _sentences(
        credit,
        f"Rights: {rights}" if rights else "",
        f"Notice: {record.notice}" if record.notice else "",
        _link(address) if source else "",
    )
    fields = {
        "author": " and ".join(f"{{{_tex(name)}}}" for name in creators),
        "key": "" if creators else _tex(provenance.collection),
        "title": _as_written(title),
        "year": _tex(year),
        "howpublished": _tex(found),
        "note": _tex(beside),
        "url": _url(source or address),
        "urldate": day,
    }
    key = _key(PurePosixPath(record.id).stem, provenance.collection, record.id)
    return Citation(text, _entry(key, fields))


def of_search(results: Results, provenance: Provenance, whole: bool = False) -> Citation:
    """How to cite a search: all that somebody needs to ask the same again.

    It counts the pictures that are there, or with `whole` all that the question brings.

    The key of the entry is another for every question, version of the collection and day.
    """
    collection, query = tidy(provenance.collection), tidy(results.query)
    day = provenance.retrieved.isoformat()
    # listed without a question, there is none to quote
    title = f"Search for “{query}” in {collection}" if query else f"Pictures of {collection}"
    model = tidy(provenance.model)
    revision = tidy(provenance.revision)
    made_with = f"Model {model}, revision {revision}" if revision else f"Model {model}"
    dataset = f"dataset {tidy(provenance.dataset)}, " if provenance.dataset else ""
    version = f"{dataset}artifact version {provenance.artifact_version}"
    version = version[0].upper() + version[1:]
    count = _pictures(results.total) if whole else _count(results)
    fields = {
        "key": _tex(collection),
        "title": _as_written(title),
        "year": str(provenance.retrieved.year),
        "howpublished": _tex(version),
        "note": _tex(_sentences(count, made_with)),
        "url": _url(provenance.address),
        "urldate": day,
    }
    key = _key(
        f"search-{query}",
        provenance.collection,
        results.query,
        provenance.artifact_version,
        day,
        provenance.address,
    )
    return Citation(
        _sentences(f"{title}, {day}: {count}", version, made_with, _link(provenance.address)),
        _entry(key, fields),
    )


def _count(results: Results) -> str:
    shown = _pictures(len(results))
    return f"{shown} of {results.total:,}" if results.total > len(results) else shown


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def _link(address: str) -> str:
    """An address within a sentence, in the signs that RFC 3986, appendix C, has for its ends."""
    return f"<{address}>" if address else ""


def _sentences(*parts: str) -> str:
    """What is not empty, each with one full stop at its end."""
    tidied = (tidy(part) for part in parts)
    return " ".join(
        part if part.endswith((".", "!", "?")) else f"{part}." for part in tidied if part
    )


def _tex(text: str) -> str:
    """Text as LaTeX prints it, in one line and with its braces in pairs."""
    return tidy(text).translate(_TEX)


def _as_written(title: str) -> str:
    """A title whose capitals BibTeX leaves alone."""
    tex = _tex(title)
    # a brace before a backslash is one letter with an accent to BibTeX, and not left alone
    return f"{{{{}}{tex}}}" if tex.startswith("\\") else f"{{{tex}}}"


def _url(address: str) -> str:
    """An address as `url` holds it, which styles print as it stands: only signs of addresses."""
    return quote(tidy(address), safe=":/?#[]@!$&'()*+,;=%-._~")


def _key(readable: str, *parts: str) -> str:
    """A name of an entry in ASCII: some words for the eye, and a hash that tells it from others."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
    words = re.sub("[^a-z0-9]+", "-", readable.lower())[:24].strip("-")
    return "-".join(part for part in (words, digest[:12]) if part)


def _entry(key: str, fields: dict[str, str]) -> str:
    lines: Iterable[str] = (
        f"  {name:12} = {{{value}}},\n" for name, value in fields.items() if value not in ("", "{}")
    )
    return f"@misc{{{key},\n{''.join(lines)}}}\n"
