"""What is in a zip or a tar: the members, and the bytes of each.

What comes out are names as they are spelled there and the faults that a member has by itself;
`archive` makes a collection of them. Compressed tars become an uncompressed one in the cache, once:
in them a member cannot be reached but by reading all before it.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from tqdm import tqdm

from image_search.collection import Found
from image_search.errors import CollectionError, PictureError
from image_search.images import media_type

SUFFIX = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)
"""How the names of archives end."""

_CHUNK = 1 << 20
# What unpacking leaves free on the disk, in bytes.
_SPARE = 1 << 30
_CUT_SHORT = "If it was cut short, copy or download it again"


class Archive(Protocol):
    """An archive, of which every member is known by a number; can be pickled."""

    @property
    def path(self) -> Path: ...

    def members(self, notices: list[str]) -> Iterator[Found]:
        """All but folders; a place is a number and a size in bytes. Raises CollectionError."""

    def read(self, number: int, size: int) -> bytes:
        """The first bytes of a member, of which it has as many. Raises PictureError."""

    def close(self) -> None: ...


def open_archive(path: Path, cache: Path) -> Archive:
    """An archive of the kind that its first bytes say. Raises CollectionError."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CollectionError(f"{path} cannot be read: {error.strerror or error}.") from error
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Zip(path)
    for magic, unpacker in _UNPACKERS.items():
        if head.startswith(magic):
            return _unpacked(path, unpacker, cache)
    if head[257:262] != b"ustar" and zipfile.is_zipfile(path):  # with a program before it
        return Zip(path)
    if not head or not tarfile.is_tarfile(path):
        raise CollectionError(f"{path} is no zip and no tar, {_what_else(head)}.")
    return Tar(path, path)


_UNPACKERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_OTHERS = {
    b"\x28\xb5\x2f\xfd": "but a Zstandard file; unpack it with `unzstd`, and give the tar",
    b"7z\xbc\xaf": "but a 7-Zip archive; unpack it, and give the folder",
    b"Rar!": "but a RAR archive; unpack it, and give the folder",
    b"<": "it looks like a web page: it was not downloaded as it should, or asks for a login",
}


def _what_else(head: bytes) -> str:
    if not head:
        return "it is empty"
    if media_type(head).startswith("image/"):
        return "it is a picture; give the folder that it is in"
    what = next((what for magic, what in _OTHERS.items() if head.lstrip().startswith(magic)), None)
    begins = head[:20].decode("ascii", "replace").replace("\ufffd", "?")
    return what or f"it begins with “{' '.join(begins.split())}”"


class Zip:
    """A zip, open in one place for all threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file: zipfile.ZipFile | None = None
        self._is_closed = False

    def __reduce__(self) -> tuple[type["Zip"], tuple[Path]]:
        return Zip, (self.path,)

    def members(self, notices: list[str]) -> Iterator[Found]:
        try:
            infos = self._open().infolist()
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError) as error:
            raise CollectionError(
                f"{self.path} cannot be read as a zip: {error}. {_CUT_SHORT}."
            ) from error
        for number, info in enumerate(infos):
            name = _zip_name(info)
            if not name.endswith("/"):
                state = f"{info.CRC:08x}-{info.file_size}"
                yield Found(name, (number, info.file_size), state, _zip_fault(info))

    def read(self, number: int, size: int) -> bytes:
        try:
            zip = self._open()
            with zip.open(zip.infolist()[number]) as member:
                data = member.read(size)
        except zipfile.BadZipFile as error:
            what = "checksum" if "CRC" in str(error) else "header"
            raise PictureError(f"damaged: bad {what}") from error
        except NotImplementedError as error:
            raise PictureError("packed in a way that is unknown here; unpack it first") from error
        except (zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
            if self._is_closed:
                raise PictureError("cannot be read: stopped") from error
            if isinstance(error, OSError) and error.errno:  # bz2's have none
                raise PictureError(f"cannot be read: {error.strerror}") from error
            raise PictureError("damaged: it cannot be unpacked") from error
        return _whole(data, size)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()

    def _open(self) -> zipfile.ZipFile:
        with self._lock:
            if self._file is None:
                self._file = zipfile.ZipFile(self.path)
            return self._file


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name. Some programs write UTF-8 without saying so, some backslashes."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if info.create_system == 0 and "/" not in name else name


def _zip_fault(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 0x1:
        return "encrypted; unpack it with its password first"
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK:
        return "a link, not followed"
    return "not a file but a pipe, a socket or a device" if mode not in (0, stat.S_IFREG) else None


@dataclass(frozen=True)
class Tar:
    """A tar that is not compressed."""

    path: Path
    named: Path
    """What the keeper calls it."""

    def members(self, notices: list[str]) -> Iterator[Found]:
        count = 0
        try:
            with tarfile.open(self.path, "r:") as file:
                while (info := file.next()) is not None:
                    file.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                    count += 1
                    if not info.isdir():
                        state = f"{info.size}-{info.mtime}"
                        place = info.offset_data, info.size
                        yield Found(info.name, place, state, _tar_fault(info))
            self._check_end(file.offset, notices)
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            raise CollectionError(
                f"{self.named} is damaged or cut short after {count:,} members: {error}. Copy or "
                "download it again."
            ) from error

    def _check_end(self, position: int, notices: list[str]) -> None:
        """Raise ValueError if something follows the last member; tarfile passes over that."""
        with self.path.open("rb") as file:
            file.seek(position)
            block = file.read(tarfile.BLOCKSIZE)
        if block.strip(b"\0"):
            raise ValueError("what follows is no member")
        if not block:
            notices.append(f"{self.named.name} has no end mark: it may have been cut short")

    def read(self, number: int, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(number)
                return _whole(file.read(size), size)
        except OSError as error:
            raise PictureError(f"cannot be read: {error.strerror or error}") from error

    def close(self) -> None:
        pass


def _tar_fault(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "a link, not followed"
    if info.issparse():
        return "stored with holes (sparse); unpack it first"
    return None if info.isreg() else "not a file but a pipe, a socket or a device"


def _whole(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise PictureError("damaged: truncated")
    return data


def state_of(path: Path) -> str:
    """Is another when the file is another; empty if there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


# Compressed tars


def _unpacked(path: Path, unpacker: Callable[[Path], Any], cache: Path) -> Tar:
    """The tar in a compressed one: from the cache, or put there."""
    key = hashlib.sha256(
        f"{os.path.abspath(path)} {state_of(path)}".encode(errors="surrogateescape")
    )
    tar = cache / f"{SUFFIX.sub('', path.name)}-{key.hexdigest()[:16]}.tar"
    if not tar.exists():
        half = tar.with_name(f"{tar.name}.{os.getpid()}")
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with unpacker(path) as packed, half.open("wb") as file:
                _copy(packed, file, path)
            if not tarfile.is_tarfile(half):
                raise CollectionError(f"{path} holds no tar. Unpack it, and give what is in it.")
            half.replace(tar)
        except (zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            raise CollectionError(
                f"{path} cannot be unpacked to {cache}: {error}. {_CUT_SHORT}."
            ) from error
        finally:
            half.unlink(missing_ok=True)
    return Tar(tar, path)


def _copy(packed: IO[bytes], file: IO[bytes], path: Path) -> None:
    """Unpack all of it, as long as there is room."""
    options: dict[str, Any] = {"unit": "B", "unit_scale": True, "delay": 1}
    with tqdm(desc=f"Unpacking {path.name}", **options) as progress:
        while chunk := packed.read(_CHUNK):
            if shutil.disk_usage(os.path.dirname(file.name)).free < _SPARE:
                raise OSError("there is too little room on the disk")
            file.write(chunk)
            progress.update(len(chunk))
