"""Search a collection of undescribed pictures by words or by picture.

import image_search
collection = image_search.open("my-artifact")  # without a name: the demo
for hit in collection.search("a guitar", k=9):
    print(hit.rank, hit.score, hit.id, hit.metadata)
"""

import os
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

# FAISS and ONNX Runtime otherwise spin between queries and fight over the cores: measured, a
# query of 20 ms became one of 870 ms. Read when their libraries load, so it stands before them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# ONNX Runtime otherwise reports to Microsoft what runs here, and how often.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from image_search.client import Client
    from image_search.notices import Noticed
    from image_search.search import Searcher

__version__ = "0.1.0"

__all__ = ["connect", "open"]


def open(
    artifact: str | Path | None = None,
    withdrawn: Set[str] | None = None,
    model: str | None = None,
    notices: "Noticed | None" = None,
) -> "Searcher":
    """Open a built collection for searching.

    `artifact` is the folder that build_index.py wrote, or `user/name[@revision]` of the Hugging
    Face Hub; without it the setting IMAGE_SEARCH_ARTIFACT counts, and without that the demo, which
    is built on first use. The pictures whose ids are in `withdrawn` are as if they were not there;
    what is added to the set counts from then on. Without it those are left out that were withdrawn
    by `python -m image_search suppress` or on the page. What one of the `notices` is for is found,
    but covered, by default as the state says: `picture` and `thumbnail` have `shown=True` for that.
    `model` is only for a dataset made by hand, of pictures and a column `embeddings`: what made
    these (or IMAGE_SEARCH_MODEL). Raises ArtifactError if it is missing, damaged or of another
    format, HubError if it is on the Hub and cannot be read.
    """
    from image_search.search import Searcher

    return Searcher.open(artifact, withdrawn, model, notices)


def connect(address: str, token: str | None = None) -> "Client":
    """Ask an image search on another machine: search, facets, files to carry off, citations.

    Without a `token` the setting IMAGE_SEARCH_TOKEN counts; an empty one is none. Raises
    ConfigError if the address is none, or if the token would travel in the clear.
    """
    from image_search.client import Client
    from image_search.settings import settings

    if token is None:
        kept = settings().token
        token = kept.get_secret_value().strip() if kept else ""
    return Client(address, token)
