"""What is near in meaning to a rule's examples, by the very model that answers questions.

How near is near differs from model to model. So it is measured, when the first question comes:
a rule is met only beyond what any ordinary text, or any picture of the collection, reaches.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from zipfile import BadZipFile

import numpy as np

from image_search.encoder import Encoder, Vectors
from image_search.index.protocol import Index
from image_search.policy import Policy, Rule
from image_search.probes import TEXTS, picture_rows

MARGIN = 0.2
"""How much of the way from the nearest ordinary text to the example itself has to be gone beyond
that text."""

MARGIN_OF_PICTURES = 0.05
"""The same of a picture. A text and a picture are never very near: a share of the way would be too
much to ask."""

ORDINARY = [
    "a man", "a woman", "an old man with a beard", "a young woman in a white dress", "people",
    "people in a street", "a crowd at a market", "a group of men at a table",
    "children in a school", "a family in a garden", "a portrait of a lady",
    "a portrait of a gentleman with a dog",
    "a self-portrait", "a bust of an emperor", "a nude figure", "Venus bathing", "Adam and Eve",
    "the judgement of Paris", "a saint at prayer", "the crucifixion", "the beheading of a saint",
    "a battle at sea", "the battle of Waterloo", "a wounded soldier", "a hospital ward",
    "an execution in a square", "a prison", "a prisoner in a cell", "a policeman", "a court room",
    "a thief", "a detective", "a spy", "a guard at a gate", "a night watchman", "a lighthouse",
    "railway tracks", "a railway station", "animal tracks in snow", "a telescope", "a camera",
    "an old photograph", "a wanted poster", "a passport", "a caricature", "a newspaper",
    "the face of a clock", "a mask", "a skull", "a skeleton", "an anatomical drawing",
    "a doctor and a patient", "a surgeon", "a witch", "a beggar", "a sleeping child",
    "a baby in a cradle", "a mother with a child", "girls dancing", "boys bathing in a river",
    "bathers on a beach", "a wedding", "a funeral", "a church service", "a synagogue", "a mosque",
    "a temple in Japan", "a street in Cairo", "a village in Africa", "a camp of Indians",
    "a caravan in the desert", "a plantation", "a harvest", "workers in a factory", "a strike",
    "a parade", "a demonstration for the vote", "a king on his throne", "a queen with her court",
    "Napoleon on horseback", "George Washington", "a letter with a signature", "a name on a grave",
    "a coat of arms", "a title page", "a hunting scene", "a dead hare", "a slaughtered ox",
    "a butcher's shop", "a fight", "a duel", "a murder", "a shipwreck", "a house on fire",
    "a map of the world", "a plan of a town", "a diagram of a machine", "a steam engine",
    "a loom", "a kitchen", "a drunken man", "a mad king", "a poor family", "a rich merchant",
]  # fmt: skip


@dataclass(frozen=True)
class _Bound:
    """A rule's examples as vectors, and from where on something is near to them."""

    rule: Rule
    examples: Vectors
    others: Vectors
    """What it does not mean."""
    limit: float

    def is_met_by(self, vector: Vectors) -> bool:
        near = float((self.examples @ vector).max())
        return near > self.limit and near > float((self.others @ vector).max(initial=-1.0))


class Nearness:
    """Which rules are met by nearness. Safe to use from several threads."""

    def __init__(self, policy: Policy, encoder: Encoder, index: Index, kept: Path) -> None:
        """`kept` is a file for the vectors of the examples, which every start would make anew."""
        self._policy = policy
        self._encoder = encoder
        self._index = index
        self._kept = kept
        self._lock = Lock()

    def prepare(self) -> None:
        """Measure what is near now, and not when the first question comes."""
        with self._lock:
            self._of_words  # noqa: B018

    def met_by_words(self, vector: Vectors) -> list[Rule]:
        """The rules whose examples a question is near to."""
        with self._lock:
            bounds = self._of_words
        return [bound.rule for bound in bounds if bound.is_met_by(vector)]

    def met_by_picture(self, vector: Vectors) -> list[Rule]:
        """The rules that a visitor's own picture meets."""
        with self._lock:
            bounds = self._of_pictures
        return [bound.rule for bound in bounds if bound.is_met_by(vector)]

    @cached_property
    def _of_words(self) -> list[_Bound]:
        ordinary = self._encoded([*TEXTS, *ORDINARY])
        found = []
        for rule in self._policy.rules:
            if not rule.examples:
                continue
            examples = self._encoded(rule.examples)
            others = np.concatenate([ordinary, self._encoded(rule.ordinary)])
            # The rule's own ordinary questions are chosen to come near: a question has only to be
            # nearer to the examples than to these.
            reached = float((ordinary @ examples.T).max())
            found.append(_Bound(rule, examples, others, reached + MARGIN * (1 - reached)))
        return found

    @cached_property
    def _of_pictures(self) -> list[_Bound]:
        rules = [rule for rule in self._policy.rules if rule.pictures]
        rows = picture_rows(len(self._index)) if rules else []
        pictures = np.stack([self._index.vector(row) for row in rows]) if rows else None
        found = []
        for rule in rules:
            examples = self._encoded(rule.pictures)
            reached = -1.0 if pictures is None else float((pictures @ examples.T).max())
            limit = reached + MARGIN_OF_PICTURES * (1 - reached)
            found.append(_Bound(rule, examples, self._encoded(rule.ordinary), limit))
        return found

    def _encoded(self, texts: Sequence[str]) -> Vectors:
        """The unit vectors of some of the policy's texts."""
        places = [self._places[text] for text in texts]
        return self._vectors[places]

    @cached_property
    def _places(self) -> dict[str, int]:
        texts = [*TEXTS, *ORDINARY]
        for rule in self._policy.rules:
            texts += [*rule.examples, *rule.ordinary, *rule.pictures]
        return {text: place for place, text in enumerate(dict.fromkeys(texts))}

    @cached_property
    def _vectors(self) -> Vectors:
        """Of all texts, made at once, or read where they were made before."""
        texts = list(self._places)
        digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
        try:
            with self._kept.open("rb") as file, np.load(file, allow_pickle=False) as known:
                vectors: Vectors = known["vectors"]
                if str(known["texts"]) == digest and self._is_of_this_encoder(texts, vectors):
                    return vectors
        except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile):
            pass  # not made yet, by another version, or damaged
        # Texts of one length are read together: none is filled up to the length of another.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place].split()))
        made = self._encoder.encode_texts([texts[place] for place in order])
        vectors = np.empty_like(made)
        vectors[order] = made
        self._keep(digest, vectors)
        return vectors

    def _is_of_this_encoder(self, texts: list[str], vectors: Vectors) -> bool:
        """Whether one text, encoded again, comes out as it was kept."""
        first = self._encoder.encode_texts(texts[:1])
        if vectors.shape != (len(texts), first.shape[1]) or vectors.dtype != first.dtype:
            return False
        is_unit = np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
        return bool(is_unit and np.allclose(vectors[0], first[0], atol=1e-3))

    def _keep(self, digest: str, vectors: Vectors) -> None:
        half = self._kept.with_name(f"{self._kept.name}.{os.getpid()}.tmp")
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as file:
                np.savez(file, texts=digest, vectors=vectors)
            half.replace(self._kept)
        except OSError:  # a disk that cannot be written to: then they are made at each start
            with suppress(OSError):
                half.unlink(missing_ok=True)
