"""What a keeper's word for a source means.

    a folder                          the pictures in it; or the dataset that was saved there
    a file, or a pattern in quotes    archives of pictures (zip, tar), or the parts of one table
    https://…                         an archive or a table, which is fetched into the cache
    user/name[@revision][:split]      a dataset of the Hub; also its page's address there

What is here comes before what is on the Hub. A file is a table if it is called so, else an archive.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from huggingface_hub import constants
from tqdm import tqdm

from image_search.archive import open_archives
from image_search.arrow import open_parquet
from image_search.collection import Collection
from image_search.download import Downloader
from image_search.errors import CollectionError, ConfigError
from image_search.folder import open_folder
from image_search.links import is_url, open_links
from image_search.members import SUFFIX
from image_search.table import files_of, format_of

UNDERSTOOD = (
    "What can be read: a folder, archives (zip, tar), a table (csv, tsv, jsonl, parquet), the "
    "https:// address of one of these files, or a dataset of the Hub (user/name)"
)

_REPO = r"\w[\w.-]*/\w[\w.-]*?"
_DATASET = re.compile(rf"({_REPO})(?:@([^\s:]+))?(?::(\w+(?:\.\w+)*))?")
_DATASET_PAGE = re.compile(rf"/datasets/({_REPO})(?:/tree/([^/?#]+))?/?(?:[?#].*)?()")

_SPREADSHEETS = {".xlsx", ".xls", ".ods", ".numbers"}


@dataclass(frozen=True)
class Options:
    """How a source is to be read; some are for some kinds of sources only."""

    metadata: Path | None = None
    filename_pattern: str | None = None
    fields: Path | None = None
    image_column: str | None = None
    id_column: str | None = None
    url_suffix: str = ""
    allow_private: bool = False
    config: str | None = None


_FILES = frozenset({"metadata", "filename_pattern", "fields"})
_LINKS = frozenset({"fields", "image_column", "id_column", "url_suffix", "allow_private"})
_DATASETS = frozenset({"fields", "image_column", "id_column", "config"})


def open_source(sources: Sequence[str], options: Options, cache: Path) -> Collection:
    """The collection that these words mean; several are archives, or parts of one table.

    `cache` is a folder for what is fetched or unpacked. Raises ConfigError if an option does not
    apply, CollectionError or HubError if the source cannot be read.
    """
    if not all(sources):  # to the system it is the current folder
        raise ConfigError(f"The source is an empty text. {UNDERSTOOD}.")
    if len(sources) == 1:
        [source] = sources
        if Path(source).is_dir():
            return _open_folder(Path(source), options)
        if (dataset := _dataset(source)) is not None:
            return _open_dataset(dataset[0], options, dataset[1], dataset[2])
    files: list[Path] = []
    fetched: dict[Path, str] = {}
    for source in sources:
        found = _files(source, options, cache)
        fetched |= {file: source for file in found if is_url(source)}
        files += found
    with _called_as_given(fetched):
        return _open_files(files, options, cache, bool(fetched))


@contextmanager
def _called_as_given(fetched: Mapping[Path, str]) -> Iterator[None]:
    """Errors name the addresses that the keeper gave, not the files in the cache."""
    try:
        yield
    except CollectionError as error:
        text = str(error)
        for file, source in fetched.items():
            text = text.replace(str(file), source)
        raise CollectionError(text) from error


def _open_files(files: list[Path], options: Options, cache: Path, fetched: bool) -> Collection:
    tables = [file for file in files if format_of(file)]
    if len(tables) == len(files):
        if all(map(_holds_pictures, files)):
            return _open_dataset(files, options)
        return _open_links(files, options)
    if tables:
        other = next(file for file in files if file not in tables)
        raise ConfigError(
            f"{tables[0].name} is a table and {other.name} is none; a source is one or the other. "
            "Name the right files."
        )
    _check(options, _FILES | ({"allow_private"} if fetched else set()), "archives")
    return open_archives(files, cache, options.metadata, options.filename_pattern, options.fields)


def _open_folder(folder: Path, options: Options) -> Collection:
    if _is_saved_dataset(folder):
        return _open_dataset(str(folder), options)
    _check(options, _FILES, "a folder")
    return open_folder(folder, options.metadata, options.filename_pattern, options.fields)


def _open_links(files: list[Path], options: Options) -> Collection:
    _check(options, _LINKS, "a table")
    return open_links(
        files,
        options.image_column,
        options.id_column,
        options.url_suffix,
        options.allow_private,
        options.fields,
    )


def _open_dataset(
    source: str | list[Path],
    options: Options,
    revision: str | None = None,
    split: str | None = None,
) -> Collection:
    from image_search.dataset import open_dataset  # `datasets` takes a second to import

    _check(options, _DATASETS, "a dataset")
    return open_dataset(
        source,
        revision,
        split,
        options.config,
        options.image_column,
        options.id_column,
        options.fields,
    )


def _check(options: Options, allowed: frozenset[str], kind: str) -> None:
    for field in fields_of(options):
        if field.name not in allowed and getattr(options, field.name) != field.default:
            names = ", ".join(sorted(f"--{name.replace('_', '-')}" for name in allowed))
            raise ConfigError(
                f"--{field.name.replace('_', '-')} means nothing for {kind}; there it can be "
                f"{names}. Leave it out."
            )


# What is meant


def _dataset(source: str) -> tuple[str, str | None, str | None] | None:
    """The repository, revision and split that a word means, if it means a dataset of the Hub."""
    if source.startswith(f"{constants.ENDPOINT}/"):
        page = _DATASET_PAGE.fullmatch(source.removeprefix(constants.ENDPOINT))
        return (page[1], page[2], None) if page else None
    match = _DATASET.fullmatch(source)
    path = Path(source)
    # photos/1872 is a folder that is misspelt if there is a folder photos
    if match is None or path.exists() or path.parent.is_dir():
        return None
    if SUFFIX.search(source) or format_of(path):
        return None
    return match[1], match[2], match[3]


def _files(source: str, options: Options, cache: Path) -> list[Path]:
    if is_url(source):
        return [fetch(source, cache, options.allow_private)]
    if Path(source).is_dir():
        raise ConfigError(f"{source} is a folder, and has to be the only source. Give it alone.")
    if Path(source).suffix.lower() in _SPREADSHEETS:
        raise CollectionError(
            f'{source} is a spreadsheet. Open it, save the sheet as "CSV UTF-8", and give that.'
        )
    try:
        return files_of(source)
    except CollectionError:
        of_hub = ""
        if _DATASET.fullmatch(source):  # but there is a folder called as the user
            of_hub = f" If it is a dataset of the Hub: {constants.ENDPOINT}/datasets/{source}."
        raise CollectionError(
            f"There is no {source} here. Check the spelling of the path.{of_hub} {UNDERSTOOD}."
        ) from None


def _is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` saved it, or it holds Parquet files with pictures."""
    if any((folder / name).exists() for name in ("dataset_dict.json", "state.json")):
        return True
    files = [*folder.glob("*.parquet"), *folder.glob("data/*.parquet")]
    return any(_holds_pictures(file) for file in sorted(files)[:1])


def _holds_pictures(path: Path) -> bool:
    """Whether a file is Parquet with a column of pictures, as `datasets` stores them."""
    if format_of(path) != "parquet":
        return False
    with open_parquet(path) as file:
        types = [field.type for field in file.schema_arrow]
    return any(
        pa.types.is_struct(type) and {field.name for field in type} == {"bytes", "path"}
        for type in types
    )


# By URL


def fetch(url: str, cache: Path, allow_private: bool = False) -> Path:
    """A file of the web in the cache; fetched only if it is another one there now.

    What was broken off goes on. Raises CollectionError.
    """
    name = re.sub(r"[^\w.() -]", "_", unquote(urlsplit(url).path).rpartition("/")[2])
    name = name[-100:].lstrip(".") or "download"
    path = cache / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside a file that is not whole yet, fetch_to keeps which version of it that is. This is kept
    # here when it is whole: as the start of itself it is asked for its rest, of which there is none
    # unless the file is another one.
    part = path.with_name(f"{path.name}.part")
    version, kept = part.with_name(f"{part.name}.json"), path.with_name(f"{path.name}.version")
    if path.exists() and kept.exists():
        with suppress(ValueError, TypeError):  # torn: then it is fetched again
            version.write_text(json.dumps({**json.loads(kept.read_bytes()), "whole": True}))
        kept.unlink()
        path.replace(part)
    with tqdm(desc=path.name, unit="B", unit_scale=True) as bar:

        def tell(count: int) -> None:
            bar.update(count)
            if count < 0:
                kept.unlink(missing_ok=True)
            elif not kept.exists():
                with suppress(FileNotFoundError):
                    shutil.copyfile(version, kept)

        with Downloader(allow_private=allow_private) as downloader:
            downloader.fetch_to(url, path, tell)
    return path
