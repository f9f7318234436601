"""Pictures that may be the same as another one: scaled, cut, printed twice."""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from image_search.results import Hit
from image_search.search import Searcher

LOOKED_AT = 30
"""How many of the nearest pictures are compared."""

ALIKE = 0.8
"""From which mean of two likenesses on a picture is proposed: that of the vectors and that of the
brightness, each 1 at most. On the demo it finds copies that are smaller, grey, blurred or cut by
5 % a side, and of 591 pictures takes 19 pairs for copies that are none; a person decides."""

SIDE = 16
"""Pixels a side of what is compared."""


def near_copies(searcher: Searcher, id: str) -> list[Hit]:
    """Pictures of the collection that look like copies of one, the nearest first.

    Raises NotFoundError if there is none of this id.
    """
    own = _brightness(searcher.thumbnail(id, shown=True))  # compared, not shown
    found = searcher.search(like=[id], k=LOOKED_AT)
    return [hit for hit in found if ((hit.score or 0) + _likeness(searcher, hit, own)) / 2 >= ALIKE]


def _likeness(searcher: Searcher, hit: Hit, own: npt.NDArray[np.float32]) -> float:
    """The correlation of the brightness of two pictures, -1 to 1."""
    return float(_brightness(searcher.thumbnail(hit.id, shown=True)) @ own)


def _brightness(thumbnail: bytes) -> npt.NDArray[np.float32]:
    with Image.open(BytesIO(thumbnail)) as picture:
        small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.array(small, dtype=np.float32).ravel()
    values -= values.mean()
    values /= np.linalg.norm(values) or 1  # a picture of one colour
    return values
