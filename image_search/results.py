"""What a search found: hits in order, what the visitor must be told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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
    notice: str | None = None
    """Why the picture is covered until somebody asks for it, if it is."""


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
                    "notice": hit.notice,
                    "metadata": hit.metadata,
                }
                for hit in self.hits
            ],
        }
