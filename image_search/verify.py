"""Is a built collection as it was built? Every byte, every row, and what its index finds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from image_search import probes
from image_search.artifact import Artifact, data_file, thumbnail_file
from image_search.encoder import Vectors
from image_search.errors import ArtifactError
from image_search.files import files_of
from image_search.index.exact import ExactIndex
from image_search.manifest import (
    EVALUATION,
    INDEX,
    MANIFEST,
    MANIFEST_HASH,
    METADATA,
    SIZES,
    ids_sha256,
    telling_damage,
)

VERIFY_ROWS = 10_000
"""Rows of the index that `verify` compares at once."""

FP16_ERROR = 1e-3
"""Most by which 16 bits change a number of a unit vector (measured: 1.2e-4)."""

RECALL_SLACK = 0.01
"""Less recall than at building that is put down to another processor's rounding."""


def verify(place: str | Path, progress: Callable[[str], object] = lambda name: None) -> list[str]:
    """Read every byte of an artifact and say what is wrong with it; an empty list is a good one.

    Checks each file's sha256, that there is no file besides, that data, thumbnails, metadata and
    index are in one order, and that the index finds what it was built from. One on the Hub is
    fetched as a whole for that. `progress` is told each file's name. Raises HubError.
    """
    files = files_of(place)
    try:
        manifest, _ = files.manifest()
        problems = []
        known = {MANIFEST, MANIFEST_HASH, *manifest.files}
        found = files.names()
        strange = (name for name in sorted(found - known) if not name.startswith(EVALUATION))
        problems += [f"{name}: is not of this build" for name in strange]
        for name, info in manifest.files.items():
            progress(name)
            if name not in found:
                problems.append(f"{name}: is missing")
            elif not files.holds(name, info):
                problems.append(f"{name}: is not what was built (its sha256 differs)")
        return problems or _verify_order(Artifact.of(files))
    except ArtifactError as error:
        return [str(error)]


def _verify_order(artifact: Artifact) -> list[str]:
    """Whether data, thumbnails, metadata and index say the same of every row."""
    problems = []
    columns = ["id", *(field.name for field in artifact.manifest.fields)]
    with telling_damage(artifact.files.broken):
        data = pa.concat_tables(artifact.parts(data_file, columns))
        thumbnails = pa.concat_tables(artifact.parts(thumbnail_file, ["id", "width", "height"]))
        vectors = artifact.vectors()
    if ids_sha256(data.column("id")) != artifact.manifest.ids_sha256:
        problems.append("data: its rows are not in the order of the manifest")
    elif not data.replace_schema_metadata(None).equals(artifact.catalogue.table):
        problems.append(f"{METADATA}: does not say the same as data")
    if ids_sha256(thumbnails.column("id")) != artifact.manifest.ids_sha256:
        problems.append("thumbnails: its rows are not in the order of the manifest")
    elif not thumbnails.drop_columns(["id"]).equals(artifact.catalogue.sizes):
        problems.append(f"{SIZES}: does not say the same as thumbnails")
    held = (
        artifact.index.vectors(start, min(VERIFY_ROWS, len(vectors) - start))
        for start in range(0, len(vectors), VERIFY_ROWS)
    )
    if any(
        not np.allclose(part, vectors[n * VERIFY_ROWS :][: len(part)], atol=FP16_ERROR)
        for n, part in enumerate(held)
    ):
        problems.append(f"{INDEX}: does not hold the embeddings of data in their order")
    return problems or _verify_recall(artifact, vectors)


def _verify_recall(artifact: Artifact, vectors: Vectors) -> list[str]:
    told = artifact.manifest.index.recall
    with telling_damage(artifact.files.broken):
        found = probes.measure_recall(
            artifact.index, ExactIndex(vectors), artifact.encoder(), vectors
        )
    shares = {"text_at_10": told.text_at_10, "picture_at_10": told.picture_at_10}
    return [
        f"{INDEX}: its recall {what} is {found[what]:.1%} and was {share:.1%} when it was built"
        for what, share in shares.items()
        if found[what] < share - RECALL_SLACK
    ]
