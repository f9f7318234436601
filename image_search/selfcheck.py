"""Is a model fit to build with? Loads it, builds the demo with it, asks labelled questions.

Made for the first machine that has CLIP's own weights: the project was built on machines that
could not have them.
"""

import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from image_search.build import build
from image_search.build_command import open_encoder
from image_search.demo import INFO, LABELLED, open_collection
from image_search.results import Hit
from image_search.search import Searcher

LEAST_PRECISION = 0.6
"""Share of the first five pictures that must show what was asked for, on average over the labelled
questions. The embedded encoder is above it, a model with random weights is near zero."""

FIRST = 5


@dataclass
class Report:
    """What was measured, and whether it is as it should be."""

    model: str
    revision: str
    dim: int
    pictures: int
    agreement: dict[str, Any]
    precision: dict[str, float] = field(default_factory=dict)
    """Question → share of the first five pictures that show it."""

    @property
    def mean_precision(self) -> float:
        return sum(self.precision.values()) / len(self.precision)

    @property
    def ok(self) -> bool:
        return self.mean_precision >= LEAST_PRECISION

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mean_precision": round(self.mean_precision, 3), "ok": self.ok}

    def __str__(self) -> str:
        lines = [
            f"Model {self.model}, revision {self.revision}, {self.dim} numbers a picture.",
            "How well the query encoder agrees with the original:",
            *(f"  {name.replace('_', ' ')}: {value}" for name, value in self.agreement.items()),
            f"Of the first {FIRST} pictures, out of {self.pictures:,}, this share shows:",
            *(f"  {share:4.0%}  {question}" for question, share in self.precision.items()),
            f"On average {self.mean_precision:.0%}; at least {LEAST_PRECISION:.0%} is expected.",
            "All is as it should be."
            if self.ok
            else "This is NOT as it should be: the model loads and exports, but does not find what "
            "was asked for. Do not build a collection with it.",
        ]
        return "\n".join(lines)


def check_model(model: str) -> Report:
    """Build the demo with a model and measure it. Raises EncoderError if that cannot be done."""
    encoder = open_encoder(model)
    collection = open_collection()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "selfcheck"
        with tqdm(total=len(collection), desc="Building", unit=" pictures") as progress:
            build(collection, encoder, out, INFO, progress=progress)
        searcher = Searcher.open(out)
        info = searcher.artifact.manifest.encoder
        return Report(
            model=encoder.name,
            revision=encoder.revision,
            dim=encoder.dim,
            pictures=len(searcher.artifact),
            agreement=info.agreement.model_dump(),
            precision={
                question: sum(shows(hit, label) for hit in searcher.search(question, k=FIRST))
                / FIRST
                for question, label in LABELLED.items()
            },
        )


def shows(hit: Hit, label: str) -> bool:
    """Whether a demo picture's title or keywords hold a labelled word (a regular expression)."""
    words = [hit.metadata.get("title") or "", *(hit.metadata.get("keywords") or [])]
    return re.search(rf"\b({label})", " ".join(words), re.IGNORECASE) is not None
