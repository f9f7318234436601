"""Where the files of a built collection lie: in a folder here, or on the Hub (see remote)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from image_search.errors import ArtifactError
from image_search.manifest import (
    EVALUATION,
    MANIFEST_HASH,
    FileInfo,
    Manifest,
    broken,
    file_info,
    read_manifest,
    telling_damage,
)
from image_search.repo import REPO

MOST_OF_A_REPORT = 10_000_000
"""Bytes of a report that is read."""


@dataclass(frozen=True)
class Group:
    """Some neighbouring rows of one column, and their ids: what is read at once."""

    file: str
    number: int
    """Which row group of the parquet file."""
    column: str


class Files(Protocol):
    """The files of a built collection; never changed, wherever they lie."""

    name: str
    """What the collection is called in messages: a path, or user/name@revision."""
    published: str
    """Where others find it: user/name[@revision], or nothing."""
    folder: Path
    """The folder of what `local` gives."""

    def manifest(self) -> tuple[Manifest, str]:
        """The manifest and the version. Raises ArtifactError."""

    def check(self, manifest: Manifest, needed: Sequence[str]) -> None:
        """Raise ArtifactError if a file is not as the manifest says, as far as is seen quickly.

        Afterwards the files that are needed lie in `folder`.
        """

    def names(self) -> set[str]:
        """All files there are, of this build or not."""

    def reports(self) -> list[bytes]:
        """The reports that lie beside the collection, as far as they can be had."""

    def local(self, name: str) -> Path:
        """A whole file, on this machine."""

    def holds(self, name: str, info: FileInfo) -> bool:
        """Whether every byte of a file is as it was built, or may differ."""

    def rows(self, group: Group) -> pa.Table:
        """The columns `id` and `group.column` of a row group."""

    def expect(self, groups: Sequence[Group]) -> None:
        """Learn that whoever asks for one of these will ask for the others too."""

    def fill(self, names: Sequence[str]) -> None:
        """Fetch files in the background, in this order, unless they are here."""

    def close(self) -> None:
        """Stop what `fill` began."""

    def check_current(self, version: str) -> None:
        """Raise ArtifactError if this is another build by now."""

    def reordered(self, name: str) -> ArtifactError:
        """The error for a file whose rows are not those of the manifest."""

    def broken(self, what: str) -> ArtifactError:
        """The error for a damaged collection, with what to do about it."""


def files_of(place: str | Path) -> Files:
    """The files of a folder or of `user/name[@revision]`; a folder that exists comes first.

    Raises HubError if that is on the Hub and cannot be read.
    """
    named = REPO.fullmatch(str(place))
    if named is None or isinstance(place, Path) or Path(place).exists():
        return Folder(Path(place))
    from image_search.remote import HubFiles  # the Hub's client takes a second to load

    return HubFiles(named["repo"], named["revision"])


class Folder:
    """The files of a built collection in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)
        self.published = ""
        self.broken = partial(broken, folder)

    def manifest(self) -> tuple[Manifest, str]:
        return read_manifest(self.folder)

    def check(self, manifest: Manifest, needed: Sequence[str]) -> None:
        for name, info in manifest.files.items():
            try:
                size = self.local(name).stat().st_size
            except OSError:
                raise self.broken(f"{name} is missing") from None
            if size != info.bytes:
                raise self.broken(f"{name} has {size:,} bytes instead of {info.bytes:,}")

    def names(self) -> set[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix() for path in found}

    def reports(self) -> list[bytes]:
        found = sorted((self.folder / EVALUATION).glob("*.json"))
        return [path.read_bytes() for path in found if path.stat().st_size <= MOST_OF_A_REPORT]

    def local(self, name: str) -> Path:
        return self.folder / name

    def holds(self, name: str, info: FileInfo) -> bool:
        return file_info(self.local(name)) == info

    def rows(self, group: Group) -> pa.Table:
        return read_rows(self.local(group.file), group)

    def expect(self, groups: Sequence[Group]) -> None:
        pass  # reading here is quick

    def fill(self, names: Sequence[str]) -> None:
        pass

    def close(self) -> None:
        pass

    def check_current(self, version: str) -> None:
        with telling_damage(self.broken):
            told = self.local(MANIFEST_HASH).read_text(encoding="ascii")
        if not told.startswith(version):
            raise self._rebuilt()

    def reordered(self, name: str) -> ArtifactError:
        return self._rebuilt()  # or else `verify` tells

    def _rebuilt(self) -> ArtifactError:
        return ArtifactError(
            f"The collection {self.name} was built again since it was opened. "
            "Start this program again."
        )


def read_rows(path: Path, group: Group) -> pa.Table:
    """The columns `id` and `group.column` of a row group of a file on this machine."""
    with pq.ParquetFile(path, memory_map=True) as parquet:
        return parquet.read_row_group(group.number, columns=["id", group.column], use_threads=False)
