"""Which collection a test was made on: its encoder, and a sample of its pictures.

Of the pictures only hashes of ids are kept, and at most MOST of them: those whose hash falls below
a threshold that is a power of two. The same ids always fall below it, so that another collection,
cut by the same threshold, shows what was added and taken away: exactly where all fit, else about.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from image_search.manifest import ENCODER, Manifest

MOST = 4_000
"""Hashes that are kept: as text that is 27 KB of a record's 100."""

WIDTH = 5
"""Bytes of a hash: that one of a million new pictures falls together with one of the sample by
chance happens in one of 250 cases."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class EncoderIdentity(_Record):
    """What makes two encoders the same: name and revision, numbers, and every byte of its files."""

    name: str
    revision: str
    precision: str
    sha256: str

    @classmethod
    def of(cls, manifest: Manifest) -> "EncoderIdentity":
        """That of a built collection."""
        digest = hashlib.sha256()
        for name, info in sorted(manifest.files.items()):
            if name.startswith(f"{ENCODER}/"):
                digest.update(f"{name} {info.sha256}\n".encode())
        encoder = manifest.encoder
        return cls(
            name=encoder.name,
            revision=encoder.revision,
            precision=encoder.precision,
            sha256=digest.hexdigest(),
        )

    def difference(self, other: "EncoderIdentity") -> str:
        """What is other about another one, in words; empty if it is the same."""
        if (self.name, self.revision) != (other.name, other.revision):
            return f"another model: {other.name}, revision {other.revision}"
        if self.precision != other.precision:
            return f"the same model in other numbers: {other.precision}"
        return "" if self.sha256 == other.sha256 else "another export of the same model"


@dataclass(frozen=True)
class Change:
    """How many pictures came and went since a test."""

    added: int
    removed: int
    is_exact: bool


def _whole(hashes: str) -> str:
    """Base64 of whole hashes. Raises ValueError."""
    if len(base64.b64decode(hashes, validate=True)) % WIDTH:
        raise ValueError(f"they are not of {WIDTH} bytes each")
    return hashes


class Extent(_Record):
    """The pictures that were there when a collection was tested."""

    ids_sha256: str
    pictures: int
    shift: Annotated[int, Field(ge=0, lt=8 * WIDTH)]
    """Hashes that begin with so many zero bits are kept: one of 2**shift."""
    hashes: Annotated[str, AfterValidator(_whole)]
    """WIDTH bytes each, in order, as base64."""

    @classmethod
    def of(cls, ids: Iterable[str], ids_sha256: str, most: int = MOST) -> "Extent":
        """What is kept of these ids."""
        known = [_hash(id) for id in ids]
        return cls(
            ids_sha256=ids_sha256, pictures=len(known), shift=0, hashes=_packed(known)
        ).fewer(most)

    @property
    def count(self) -> int:
        """How many hashes are kept."""
        return len(self._held)

    def fewer(self, most: int) -> "Extent":
        """The same with no more hashes than these."""
        shift, kept = self.shift, self._held
        while len(kept) > most:
            shift += 1
            kept = _below(kept, shift)
        return self.model_copy(update={"shift": shift, "hashes": _packed(kept)})

    def change(self, ids: Iterable[str]) -> Change:
        """What came and went, if these are the pictures now."""
        held = set(self._held)
        now = set(_below(list(map(_hash, ids)), self.shift))
        scale = 1 << self.shift
        return Change(len(now - held) * scale, len(held - now) * scale, self.shift == 0)

    @property
    def _held(self) -> list[int]:
        packed = base64.b64decode(self.hashes)
        starts = range(0, len(packed), WIDTH)
        return [int.from_bytes(packed[start : start + WIDTH], "big") for start in starts]


def _packed(hashes: list[int]) -> str:
    packed = b"".join(one.to_bytes(WIDTH, "big") for one in sorted(hashes))
    return base64.b64encode(packed).decode()


def _hash(id: str) -> int:
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:WIDTH], "big")


def _below(hashes: list[int], shift: int) -> list[int]:
    threshold = 1 << (8 * WIDTH - shift)
    return [one for one in hashes if one < threshold]
