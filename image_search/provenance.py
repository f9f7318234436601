"""Where found pictures come from: what a citation and a file that is carried off have to say.

Knows neither the searcher nor HTTP: whoever holds these says what they are.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from image_search.fields import Field, Role
from image_search.results import Record
from image_search.tidy import tidy

SHORT = 12
"""As many characters of a collection's version as a sentence can bear; they tell it from others."""

_LINK = re.compile(r"https?://\S+", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(-\d\d.*)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Which collection was searched, in which version, with what, and when."""

    collection: str
    """Its name."""
    dataset: str
    """Where it is on the Hub, as `user/name@revision`; empty for a folder, of which nobody
    outside can make anything."""
    artifact_version: str
    """The sha256 of its manifest, in hex."""
    model: str
    revision: str
    """Of the model."""
    rights: str
    """What the keeper says of the rights in the whole collection, or nothing."""
    address: str
    """Where the same search can be seen again, with https:// and host, or nothing."""
    retrieved: date
    fields: list[Field]
    """What the metadata of a picture consists of."""

    @property
    def short_version(self) -> str:
        return self.artifact_version[:SHORT]


def rights_of(record: Record, provenance: Provenance) -> str:
    """The rights in a picture: its own, else the collection's; nothing if nobody says."""
    return _said(record, provenance, "rights") or tidy(provenance.rights)


def source_of(record: Record, provenance: Provenance) -> str:
    """The page that a picture comes from, as its keeper names it; nothing but a link."""
    link = _said(record, provenance, "source_url")
    return link if _LINK.fullmatch(link) else ""


def creators_of(record: Record, provenance: Provenance) -> list[str]:
    """Who made a picture; one text is one name, however many people it mentions."""
    value = _value(record, provenance, "creator")
    names = value if isinstance(value, list) else [value]
    return [name for one in names if (name := _text(one))]


def creator_of(record: Record, provenance: Provenance) -> str:
    """Who made a picture, in words: A, B and C."""
    *first, last = creators_of(record, provenance) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def year_of(record: Record, provenance: Provenance) -> str:
    """The year of a picture, as in 1872 or 987; what is no ISO date stays as it is written."""
    text = _said(record, provenance, "year")
    day = _DATE.fullmatch(text)
    return str(int(day[1])) if day else text


def further_credit(record: Record, provenance: Provenance) -> str:
    """The credit line without the creator, title and year it begins with: for where these stand
    already."""
    rest = tidy(record.credit)
    said = [creator_of(record, provenance), tidy(record.title), year_of(record, provenance)]
    while known := [text for text in said if text and rest.startswith(f"{text}. ")]:
        rest = rest.removeprefix(f"{max(known, key=len)}. ")
    return "" if rest.rstrip(".") in said else rest


def _value(record: Record, provenance: Provenance, role: Role) -> Any:
    name = next((field.name for field in provenance.fields if field.role == role), None)
    return None if name is None else record.metadata.get(name)


def _said(record: Record, provenance: Provenance, role: Role) -> str:
    value = _value(record, provenance, role)
    parts = value if isinstance(value, list) else [value]
    return "; ".join(text for part in parts if (text := _text(part)))


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # a column with fractions has no integers
        value = int(value)
    return "" if value is None else tidy(str(value))
