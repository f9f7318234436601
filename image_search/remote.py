"""A built collection on the Hub, read at one commit.

What a search needs is fetched when it is opened; pictures when they are shown, some neighbours at
once; thumbnails also in the background. All of it goes into huggingface_hub's own cache. The
network may fail afterwards: searching needs it no more.
"""

import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]
from tqdm import tqdm

from image_search.errors import ArtifactError, HubError
from image_search.fetch import Helpers, Kept, Piece, Wire
from image_search.files import MOST_OF_A_REPORT, Group, read_rows
from image_search.fill import Filler
from image_search.hub import ATTRIBUTES, PATIENCE, client, look, telling
from image_search.manifest import (
    BY_HAND,
    CARD,
    EVALUATION,
    MANIFEST,
    MANIFEST_HASH,
    FileInfo,
    Manifest,
    file_info,
    parse_manifest,
)
from image_search.say import say

LOOSE = {CARD}
"""Files that may differ from what was built: people edit a card on the Hub."""

TAIL = 64 * 1024
"""Bytes of the end of a parquet file that are fetched to learn where what lies in it."""

KEPT_THUMBNAILS, KEPT_PICTURES, KEPT_FOOTERS = 64_000_000, 32_000_000, 16_000_000
"""Bytes of what was fetched by range that stay in memory."""

AT_ONCE = 12
"""Row groups that are fetched at the same time before anyone asked for them."""

REMEMBERED = 32
"""How many groups of thumbnails that are shown together are known at a time."""


class HubFiles:
    """The files of a built collection in a dataset's repository."""

    def __init__(self, repo: str, revision: str | None = None) -> None:
        """Find the commit that a revision means now; raises HubError.

        Whatever fails here is an error: an older commit may be in the cache, but nobody asked
        for that one.
        """
        self.name = self.published = f"{repo}@{revision}" if revision else repo
        self.repo = repo
        state = look(repo, revision)
        self.commit = state.commit
        self._gated = state.gated
        self._entries = state.entries
        self._infos: dict[str, FileInfo] = {}
        self._wire = Wire(repo, state.commit)
        self._whole: dict[str, Path | None] = {}
        self._footers = Kept[str, pq.FileMetaData](KEPT_FOOTERS, lambda f: f.serialized_size)
        self._rows = {
            "thumbnail": Kept[Group, pa.Table](KEPT_THUMBNAILS, lambda table: table.nbytes),
            "image": Kept[Group, pa.Table](KEPT_PICTURES, lambda table: table.nbytes),
        }
        self._lock = threading.Lock()
        self._together: deque[frozenset[Group]] = deque(maxlen=REMEMBERED)
        self._helpers = Helpers(AT_ONCE)
        self._filler: Filler | None = None
        self._fetching = 0
        self._quiet = threading.Condition()

    # Opening

    def manifest(self) -> tuple[Manifest, str]:
        if self._gated:  # the Hub lists its files to everybody, and they may be in the cache here
            self._check_access()
        data, told = (self._manifest_file(name).read_bytes() for name in (MANIFEST, MANIFEST_HASH))
        manifest, version = parse_manifest(data, told, self.name, self.broken)
        self._infos = manifest.files
        return manifest, version

    def _manifest_file(self, name: str) -> Path:
        if name not in self._entries:
            self._check_access()
            raise ArtifactError(
                f"{self.name} is not a collection that this program pushed ({name} is "
                f"missing). Push one: python -m image_search push DIR {self.repo}. {BY_HAND}"
            )
        path = self._fetch_whole(name)
        if not self._entries[name].holds(path, file_info(path)):
            path = self._fetch_whole(name, again=True)  # the cache was damaged
        self.folder = path.parent
        return path

    def _check_access(self) -> None:
        with telling(self.repo):
            client().auth_check(self.repo, repo_type="dataset")

    def check(self, manifest: Manifest, needed: Sequence[str]) -> None:
        for name, info in manifest.files.items():
            if name in LOOSE:
                continue
            entry = self._entries.get(name)
            if entry is None:
                raise self.broken(f"{name} is missing")
            if entry.size != info.bytes:
                raise self.broken(f"{name} has {entry.size:,} bytes instead of {info.bytes:,}")
            if entry.sha256 not in (None, info.sha256):
                raise self.broken(f"{name} is not what was built (its sha256 differs)")
        self._download(needed)

    def _download(self, names: Sequence[str]) -> None:
        """Fetch whole files, with one progress bar, and check that they are what was built."""
        missing = [name for name in names if self._cached(name) is None]
        total = sum(self._entries[name].size for name in missing)
        if missing and not sys.stderr.isatty():
            say(f"Fetching what a search needs of {self.name}: {total / 1e6:,.1f} MB.")
        hidden = None if missing else True  # None: where it is no terminal
        pool = ThreadPoolExecutor(4)
        with tqdm(
            desc=f"Fetching {self.repo}", total=total, unit="B", unit_scale=True, disable=hidden
        ) as bar:
            feed = _feeding(bar)
            try:
                list(pool.map(lambda name: self._take(name, feed), names))
            finally:  # at once: Ctrl+C does not wait for half a gigabyte, or for a silent Hub
                pool.shutdown(wait=False, cancel_futures=True)

    def names(self) -> set[str]:
        return set(self._entries) - {ATTRIBUTES}

    def reports(self) -> list[bytes]:
        try:
            return published_reports(self.repo)
        except HubError as error:
            say(f"warning: reports on tests of {self.repo} cannot be read: {error}")
            return []

    def local(self, name: str) -> Path:
        known = name in self._infos and name not in LOOSE
        return self._whole.get(name) or (self._take(name) if known else self._fetch_whole(name))

    def holds(self, name: str, info: FileInfo) -> bool:
        try:
            return name in LOOSE or self._take(name) is not None
        except ArtifactError:
            return False

    def _fetch_whole(self, name: str, bar: Any = None, again: bool = False) -> Path:
        """A file in the cache, fetched if it is not there. Raises HubError."""
        with telling(self.repo):
            return Path(
                hf_hub_download(
                    self.repo,
                    name,
                    repo_type="dataset",
                    revision=self.commit,
                    etag_timeout=PATIENCE,
                    force_download=again,
                    tqdm_class=bar or _feeding(None),
                )
            )

    def _take(self, name: str, bar: Any = None) -> Path:
        """A file in the cache that is what was built. Raises HubError or ArtifactError."""
        path = self._fetch_whole(name, bar)
        if file_info(path) != self._infos[name]:
            path = self._fetch_whole(name, again=True)  # the cache was damaged, or the way here
            if file_info(path) != self._infos[name]:
                raise self.broken(f"{name} is not what was built (its sha256 differs)")
        self._whole[name] = path
        return path

    def _cached(self, name: str) -> Path | None:
        path = try_to_load_from_cache(self.repo, name, repo_type="dataset", revision=self.commit)
        return Path(path) if isinstance(path, str) else None

    # Reading pictures

    def rows(self, group: Group) -> pa.Table:
        kept = self._rows[group.column]
        if group not in kept:
            if path := self._here(group.file):
                return read_rows(path, group)
            self._fetch_those_beside(group)
        return kept.get(group, lambda: self._fetch(group))

    def expect(self, groups: Sequence[Group]) -> None:
        with self._lock:
            self._together.appendleft(frozenset(groups))

    def _fetch_those_beside(self, group: Group) -> None:
        """Have what is shown together with a row group fetched now too."""
        with self._lock:
            shown = next((groups for groups in self._together if group in groups), None)
            if shown is None:
                return
            self._together.remove(shown)
        for other in shown - {group}:
            self._helpers.do(partial(self.rows, other))

    def _here(self, name: str) -> Path | None:
        """A whole file, if it is in the cache and as it was built."""
        path = self._whole.get(name)
        if path is not None and not path.exists():
            del self._whole[name]  # somebody cleared the cache
        if name not in self._whole:
            path = self._cached(name)
            if path is None:
                return None
            self._whole[name] = path if file_info(path) == self._infos[name] else None
        return self._whole[name]

    def _fetch(self, group: Group) -> pa.Table:
        """Read a row group by range. Raises HubError."""
        with self._visiting():
            footer = self._footers.get(group.file, lambda: self._fetch_footer(group.file))
            start, end = _span(footer, group)
            data = self._wire.read(group.file, start, end)
        piece = Piece(self._entries[group.file].size, start, data)
        with pq.ParquetFile(piece, metadata=footer) as parquet:
            return parquet.read_row_group(
                group.number, columns=["id", group.column], use_threads=False
            )

    def _fetch_footer(self, name: str) -> pq.FileMetaData:
        size = self._entries[name].size
        start = max(size - TAIL, 0)
        data = self._wire.read(name, start, size)
        needed = max(size - 8 - int.from_bytes(data[-8:-4], "little"), 0)
        if needed < start:
            data = self._wire.read(name, needed, start) + data
            start = needed
        return pq.read_metadata(Piece(size, start, data))

    @contextmanager
    def _visiting(self) -> Iterator[None]:
        """Have the filler wait meanwhile."""
        with self._quiet:
            self._fetching += 1
        try:
            yield
        finally:
            with self._quiet:
                self._fetching -= 1
                self._quiet.notify_all()

    # In the background

    def fill(self, names: Sequence[str]) -> None:
        if self._filler is None:
            self._filler = Filler(names, self._fill_in)
            self._filler.start()

    def _fill_in(self, name: str) -> None:
        """Fetch a whole file once no visitor's fetch runs."""
        with self._quiet:
            self._quiet.wait_for(lambda: self._fetching == 0, timeout=PATIENCE)
        if self._here(name) is None:
            self._take(name)

    def close(self) -> None:
        if self._filler is not None:
            self._filler.stop()

    # Trouble

    def check_current(self, version: str) -> None:
        pass  # a commit never changes

    def reordered(self, name: str) -> ArtifactError:
        return self.broken(f"the rows of {name} are not those that were built")

    def broken(self, what: str) -> ArtifactError:
        return ArtifactError(
            f"The collection {self.name} on the Hub is damaged: {what}. Push it again: "
            f"python -m image_search push DIR {self.repo}, or name an older version of it: "
            f"{self.repo}@version-…"
        )


def published_reports(repo: str) -> list[bytes]:
    """The reports in the newest commit of a repository: a test is made, and published, after the
    version that it is of. Raises HubError."""
    now = look(repo)
    found = []
    for name, entry in sorted(now.entries.items()):
        wanted = name.startswith(EVALUATION) and name.endswith(".json")
        if wanted and entry.size <= MOST_OF_A_REPORT:
            with telling(repo), disable_progress_bars():
                path = hf_hub_download(
                    repo, name, repo_type="dataset", revision=now.commit, etag_timeout=PATIENCE
                )
            found.append(Path(path).read_bytes())
    return found


def _span(footer: pq.FileMetaData, group: Group) -> tuple[int, int]:
    """Where in its file the ids and the column of a row group begin and end."""
    row_group = footer.row_group(group.number)
    chunks = (row_group.column(number) for number in range(row_group.num_columns))
    wanted = [c for c in chunks if c.path_in_schema.split(".")[0] in ("id", group.column)]
    starts = [
        min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset) for c in wanted
    ]
    ends = [s + c.total_compressed_size for s, c in zip(starts, wanted, strict=True)]
    return min(starts), max(ends)


def _feeding(bar: "tqdm[Any] | None") -> Any:
    """What the Hub's client takes for a progress bar of its own; it moves `bar`, if any."""
    lock = threading.Lock()

    class Feed:
        def __init__(self, *args: Any, initial: int = 0, **options: Any) -> None:
            self.update(initial)

        def update(self, n: float | None = 1) -> None:
            if bar is not None:
                with lock:
                    bar.update(n or 0)

        def update_transfer(self, n: float | None = 1) -> None:
            pass  # Xet tells of the same bytes twice: on the way, and here

        def set_postfix_str(self, *args: Any, **options: Any) -> None:
            pass

        set_transfer_postfix_str = set_postfix_str

        def close(self) -> None:
            pass

        def __enter__(self) -> "Feed":
            return self

        def __exit__(self, *args: object) -> None:
            pass

    return Feed
