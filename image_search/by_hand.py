"""Datasets made by hand, as in the articles: pictures and a column `embeddings`, and no more.

They become built collections, in the cache, the first time they are opened: nothing is encoded, but
thumbnails and an index are made, and the query encoder out of the model that made the embeddings.
"""

import hashlib
import shutil
import sys
from pathlib import Path

from tqdm import tqdm

from image_search.artifact import Artifact
from image_search.errors import ArtifactError, CollectionError
from image_search.files import files_of
from image_search.manifest import FORMAT_VERSION, MANIFEST
from image_search.repo import REPO
from image_search.settings import settings


def is_by_hand(place: str | Path) -> bool:
    """Whether there is something, and no build of ours wrote it. Raises HubError."""
    return bool(names := files_of(place).names()) and MANIFEST not in names


def ensure_built(place: str | Path, model: str) -> Path:
    """The folder of the collection that a dataset became; builds it if it is not there yet.

    `place` is a folder or `user/name[@revision]`, `model` what made its embeddings. Raises
    CollectionError if it has none, or they are not of this model.
    """
    from image_search.build import Builder
    from image_search.build_command import model_revision, open_encoder
    from image_search.hub import look
    from image_search.source import Options, open_source

    named = None if Path(place).exists() else REPO.fullmatch(str(place))
    version = look(named["repo"], named["revision"]).commit if named else _state(Path(place))
    told = f"{FORMAT_VERSION} {place} {version} {model} {model_revision(model)}"
    key = hashlib.sha256(told.encode()).hexdigest()[:12]
    out = settings().cache / f"by-hand-{key}"
    try:
        return Artifact.open(out).path
    except ArtifactError:  # not built yet, or damaged: it is ours to build again
        shutil.rmtree(out, ignore_errors=True)
    source = f"{named['repo']}@{version}" if named else str(place)
    collection = open_source([source], Options(), settings().cache / "sources")
    for line in collection.notices:
        print(f"note: {line}", file=sys.stderr)
    if collection.vectors is None:
        raise CollectionError(
            f"{place} has no column `embeddings`. Build a collection from its pictures: "
            f"python build_index.py {place} --model {model} --out my-collection"
        )
    with Builder(collection, open_encoder(model), out) as builder:
        if builder.encodes:
            raise CollectionError(
                f"The embeddings of {place} were not made by {model}. Name the model that made "
                f"them, or have its pictures encoded: python build_index.py {place} --model "
                f"{model} --out my-collection"
            )
        with tqdm(total=len(collection), desc="Making an index", unit=" pictures") as progress:
            builder.run(progress)
    return out


def _state(folder: Path) -> str:
    """What changes with the files of a folder."""
    stats = ((str(path), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return str([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
