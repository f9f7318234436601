"""A dataset's splits, from the Hub or this machine: loaded, or a sentence on what to do.

A dataset of the Hub is read as of one commit, which is asked for first: `load_dataset` alone, when
it cannot reach the Hub, takes what its cache has of any other commit without a word.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import datasets
import httpx2
import pyarrow as pa
from datasets.exceptions import (
    DatasetGenerationCastError,
    DatasetGenerationError,
    DatasetsError,
)
from datasets.table import CastError
from datasets.utils.info_utils import NonMatchingSplitsSizesError

from image_search.errors import CollectionError, HubError
from image_search.hub import PATIENCE, client, telling

Splits = dict[str, datasets.Dataset]


def load_splits(
    source: str | Sequence[Path],
    revision: str | None,
    config: str | None,
    split: str | None,
    notices: list[str],
) -> Splits:
    """The splits by name, in their order; of `user/name` on the Hub, a folder or Parquet files.

    Raises HubError if the Hub is out of reach or refuses it, CollectionError if it is no dataset.
    """
    if not isinstance(source, str):
        with _explained(source[0].name):
            files = [str(path) for path in source]
            return {"train": datasets.load_dataset("parquet", data_files=files, split="train")}
    if Path(source).exists():
        with _explained(source):
            return _load_folder(source, config, split, notices)
    with telling(source, revision):
        commit = client().dataset_info(source, revision=revision, timeout=PATIENCE).sha
        client().auth_check(source, repo_type="dataset")  # where gated: the rest would say it worse
    notices.append(f"{source} is read as of its commit {commit}")
    with _explained(source):
        return _load_by_card(source, config, split, notices, commit)


def _load_folder(source: str, config: str | None, split: str | None, notices: list[str]) -> Splits:
    if any(Path(source, name).exists() for name in ("dataset_dict.json", "state.json")):
        saved = _by_name(datasets.load_from_disk(source), None)
        if split is not None and split not in saved:
            raise CollectionError(f"{source} has no split {split!r}, only {', '.join(saved)}.")
        return saved if split is None else {split: saved[split]}
    return _load_by_card(source, config, split, notices, None)


def _load_by_card(
    source: str, config: str | None, split: str | None, notices: list[str], commit: str | None
) -> Splits:
    """What load_dataset gives; or the data alone where the card is wrong about them.

    "Load, add embeddings, push again", as in the article, leaves a card with the old columns.
    """
    try:
        with _quiet():
            loaded = datasets.load_dataset(source, config, split=split, revision=commit)
    except (DatasetGenerationError, NonMatchingSplitsSizesError) as error:
        if not _is_the_card_s_fault(error):
            raise
    else:
        splits = _by_name(loaded, split)
        files = [file["filename"] for part in splits.values() for file in part.cache_files]
        if commit and not all(commit in name for name in files):
            raise HubError(
                f"{source} cannot be fetched from the Hub now; only another version of it is on "
                "this machine. Try again later."
            )
        return splits
    found = datasets.load_dataset_builder(source, config, revision=commit).config.data_files
    data_files = {name: list(paths) for name, paths in found.items()}
    loaded = datasets.load_dataset("parquet", data_files=data_files, split=split)
    notices.append(
        f"the card of {source} (README.md) is wrong about the columns, as it is when a dataset was "
        "pushed again with one more, and makes `load_dataset` fail; so the pictures were read "
        "without it. To mend it: in README.md, between the two lines of ---, delete the line "
        "`dataset_info:` and all that is indented below it. To push without breaking it: "
        "DatasetDict({'train': dataset}).push_to_hub(…)"
    )
    return _by_name(loaded, split)


def _is_the_card_s_fault(error: Exception) -> bool:
    kinds = DatasetGenerationCastError | NonMatchingSplitsSizesError
    return isinstance(error, kinds) or isinstance(error.__cause__, CastError)


def _by_name(loaded: datasets.DatasetDict | datasets.Dataset, split: str | None) -> Splits:
    return dict(loaded) if isinstance(loaded, dict) else {split or "train": loaded}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of `datasets`, which tells of every failure at length."""
    before = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Turn what can go wrong into what it means, and what to do."""
    try:
        yield
    except httpx2.HTTPError as error:
        with telling(source):
            raise error
    except (OSError, ValueError, DatasetsError, pa.ArrowException) as error:
        lines = str(error.__cause__ or error).partition("Example of usage")[0].strip().splitlines()
        why = " ".join(line.strip() for line in lines[:3])
        if "Config name is missing" in why:
            why += ". Name one with --config."
        raise CollectionError(f"{source} cannot be read as a dataset: {why}") from error
