"""What can be asked: words, pictures, and conditions on what is known of the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from image_search.errors import QueryError
from image_search.filters import Condition
from image_search.query import Query, parse
from image_search.tidy import printable, tidy

MAX_CHARACTERS = 2_000
"""A question in words; the models read about 60 words of a term, so more can only be a mistake."""

MAX_LIKE = 20
"""How many known pictures a question may name."""

MAX_RESULTS = 1_000
"""How many pictures a question can bring, over all its pages."""

QUERY_SIDE = 1024
"""Longest side, in pixels, to which a picture that is searched with is decoded; the models see
less, and it is what a collection's own pictures are shrunk to."""


@dataclass(frozen=True)
class Question:
    """One question, as it was asked."""

    text: str = ""
    """Words in the language of `query`."""
    image: Image.Image | None = None
    like: tuple[str, ...] = ()
    """Ids of pictures that are liked."""
    unlike: tuple[str, ...] = ()
    """Ids of pictures that are not."""
    where: tuple[str | Condition, ...] = ()
    """Conditions, as `conditions` has them."""
    contains: str = ""
    """Words of the title or the keywords."""
    acknowledged: tuple[str, ...] = ()
    """Rules of the policy that the visitor was warned by, and goes on all the same."""
    query: Query = field(init=False)
    """What was understood of the text. Raises QueryError where that is nothing."""

    def __post_init__(self) -> None:
        if self.image is not None and not isinstance(self.image, Image.Image):
            raise QueryError(
                f"A picture to search with is one of Pillow's, not {self.image!r}: "
                "PIL.Image.open(...) opens a file."
            )
        words = tidy(self.text)
        for some in (words, tidy(self.contains)):
            if len(some) > MAX_CHARACTERS:
                raise QueryError(
                    f"That is {len(some):,} characters; a question may have {MAX_CHARACTERS:,}. "
                    "A short sentence in English works best."
                )
        object.__setattr__(self, "contains", tidy(self.contains))
        object.__setattr__(self, "query", parse(printable(self.text)))
        object.__setattr__(self, "text", words)
        if len(self.named) > MAX_LIKE:
            raise QueryError(
                f"Up to {MAX_LIKE} pictures can be searched with, not {len(self.named)}."
            )
        if both := set(self.like) & set(self.unlike):
            raise QueryError(f"“{min(both)}” cannot be both liked and disliked.")
        if not (self.is_asked or self.where or self.contains):
            raise QueryError("Type what you are looking for, or choose a picture to search with.")

    @property
    def is_asked(self) -> bool:
        """Whether it says what is looked for; else pictures are only chosen by what is known."""
        return bool(self.query.groups or self.image is not None or self.like or self.unlike)

    @property
    def named(self) -> list[str]:
        """The ids of all pictures that it names."""
        terms = [term.text for term in self.query.terms if term.is_picture]
        return list(dict.fromkeys([*self.like, *self.unlike, *terms]))


def question(
    text: str | None,
    image: Image.Image | None = None,
    like: Sequence[str] | str = (),
    unlike: Sequence[str] | str = (),
    where: Sequence[str | Condition] | str = (),
    contains: str = "",
    acknowledged: Sequence[str] | str = (),
) -> Question:
    """A question of what a caller gave: one text may stand for a list of one."""
    conditions: Sequence[str | Condition] = [where] if isinstance(where, str) else where
    return Question(
        text or "", image, _ids(like), _ids(unlike), tuple(conditions), contains, _ids(acknowledged)
    )


def _ids(given: Sequence[str] | str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([given] if isinstance(given, str) else given))
