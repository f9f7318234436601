"""Zips and tars as collections: as the folder they would be, and whatever may be wrong in them."""

import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from odd_files import encoded, make_odd_files

from image_search import archive as module
from image_search.archive import open_archives
from image_search.collection import Collection
from image_search.errors import CollectionError, PictureError
from image_search.fields import Value
from image_search.folder import open_folder

JPEG = encoded("JPEG")
KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")
Open = Callable[..., Collection]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens archives, with a cache."""
    return lambda *paths, **options: open_archives(list(paths), tmp_path / "cache", **options)


def packed(folder: Path, kind: str) -> Path:
    """A folder as an archive, in which it is the top folder."""
    form = {"zip": "zip", "tar": "tar"}.get(kind, f"{kind[4:]}tar".replace("bz2", "bz"))
    made = shutil.make_archive(
        str(folder) + "-packed", form, root_dir=folder.parent, base_dir=folder.name
    )
    return Path(made)


def zipped(path: Path, members: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def ids(found: Collection) -> list[str]:
    return [entry.id for entry in found]


def reasons(found: Collection) -> dict[str, str]:
    return {reject.id: reject.reason for reject in found.rejects}


def read(found: Collection, id: str) -> bytes:
    [place] = [entry.place for entry in found if entry.id == id]
    return found.reader.read(place)


def column(found: Collection, name: str) -> list[Value]:
    values: list[Value] = found.metadata.column(name).to_pylist()
    return values


# As a folder


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Books as the British Library has them, and what an unpacked archive of a Mac has besides."""
    folder = tmp_path / "embellishments"
    for name in (
        "1920/000499442_0_000579_1_[The Ring and the Book  etc ]_1920.jpg",
        "1872/000003177_020_Roughing It_1872.jpg",
        unicodedata.normalize("NFD", "1872/Büste.jpg"),
        "a.jpg",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG + name.encode())
    (folder / "metadata.csv").write_text("file_name,title\na.jpg,The sea\n")
    (folder / "fields.toml").write_text('[folder]\nkind = "text"\n')
    (folder / ".DS_Store").write_bytes(b"Bud1")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_as_the_folder_that_it_was(opened: Open, books: Path, kind: str) -> None:
    folder, found = open_folder(books), opened(packed(books, kind))
    assert found.kind == "archive"
    assert found.name == "embellishments-packed"
    assert ids(found) == ids(folder)
    assert found.fields == folder.fields
    assert found.metadata == folder.metadata
    assert reasons(found) == reasons(folder)
    assert found.notices == folder.notices
    reader = pickle.loads(pickle.dumps(found.reader))
    for entry, original in zip(found, folder, strict=True):
        assert reader.read(entry.place) == folder.reader.read(original.place)
    assert len({entry.state for entry in found}) > 1
    assert found.readers == (4 if kind == "zip" else 0)
    reader.check()
    reader.close()
    found.reader.close()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_every_odd_file_is_a_picture_or_has_its_reason(
    opened: Open, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "odd").mkdir()
    expected = make_odd_files(tmp_path / "odd")
    if kind == "zip":  # cannot hold these
        del expected["pipe.jpg"], expected[r"caf\xe9.jpg"], expected["again/"], expected["lost.jpg"]
        (tmp_path / "odd" / "pipe.jpg").unlink()
        (tmp_path / "odd" / "again").unlink()
        (tmp_path / "odd" / "lost.jpg").unlink()
        os.unlink(os.fsencode(tmp_path / "odd") + b"/caf\xe9.jpg")
    else:
        expected |= {"link to a picture.jpg": "a link", "lost.jpg": "a link", "again": "a link"}
        del expected["again/"]
    found = opened(packed(tmp_path / "odd", kind))
    outcome: dict[str, str | None] = dict(reasons(found))
    for entry in found:
        try:
            module.check_head(found.reader.read(entry.place))
            outcome[entry.id] = None
        except PictureError as error:
            outcome[entry.id] = str(error)
    assert set(outcome) == set(expected)
    for id, reason in expected.items():
        if not (reason or "").startswith(("damaged", "too large")):  # found out when decoding
            assert (outcome[id] is None) == (reason is None), id
            assert (outcome[id] or "").startswith(reason or ""), id


# Members


def test_the_top_folder_is_taken_off_if_all_share_it(opened: Open, tmp_path: Path) -> None:
    mac = {"__MACOSX/in/._a.jpg": b"x", "in/.hidden/b.jpg": JPEG, ".DS_Store": b"x"}
    found = opened(zipped(tmp_path / "a.zip", {"in/a.jpg": JPEG, "in/x/b.jpg": JPEG, **mac}))
    assert ids(found) == ["a.jpg", "x/b.jpg"]
    assert reasons(found) == {
        "__MACOSX/in/._a.jpg": "hidden: what macOS adds about files",
        ".hidden/b.jpg": "hidden: its name, or that of a folder it is in, begins with a dot",
        ".DS_Store": "hidden: its name, or that of a folder it is in, begins with a dot",
    }
    found = opened(zipped(tmp_path / "b.zip", {"1872/a.jpg": JPEG, "1888/b.jpg": JPEG}))
    assert ids(found) == ["1872/a.jpg", "1888/b.jpg"]
    assert column(found, "folder") == ["1872", "1888"]
    found = opened(zipped(tmp_path / "c.zip", {"in/a.jpg": JPEG, "b.jpg": JPEG}))
    assert ids(found) == ["b.jpg", "in/a.jpg"]
    found = opened(zipped(tmp_path / "d.zip", {"a/b/c.jpg": JPEG}))
    assert ids(found) == ["b/c.jpg"]


def test_several_archives_are_one_collection(opened: Open, books: Path, tmp_path: Path) -> None:
    tar = packed(books, "tar")
    other = zipped(tmp_path / "more.zip", {"embellishments/1900/b.jpg": JPEG})
    found = opened(tar, other)
    assert ids(found) == sorted([*ids(open_folder(books)), "1900/b.jpg"])
    assert found.readers == 4
    assert read(found, "1900/b.jpg") == JPEG
    assert read(found, "a.jpg") == (books / "a.jpg").read_bytes()
    again = pickle.loads(pickle.dumps(found.reader))
    assert [again.read(e.place) for e in found] == [found.reader.read(e.place) for e in found]
    again.close()
    found.reader.close()


def test_paths_are_cleaned_or_refused(opened: Open, tmp_path: Path) -> None:
    members = dict.fromkeys(
        ["./a.jpg", "x//b.jpg", "/etc/c.jpg", "../d.jpg", "x/../../e.jpg", "C:/f.jpg", "x/./g.jpg"],
        JPEG,
    )
    found = opened(zipped(tmp_path / "a.zip", members))
    assert ids(found) == ["a.jpg", "x/b.jpg", "x/g.jpg"]
    away = "its path leads out of the archive"
    assert reasons(found) == dict.fromkeys(
        ["/etc/c.jpg", "../d.jpg", "x/../../e.jpg", "C:/f.jpg"], away
    )
    with tarfile.open(tmp_path / "b.tar", "w") as file:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = len(JPEG)
            file.addfile(info, io.BytesIO(JPEG))
    tar = opened(tmp_path / "b.tar")
    assert (ids(tar), reasons(tar)) == (ids(found), reasons(found))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_members_of_one_name_the_last_counts(opened: Open, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    versions = [JPEG + b"old", JPEG + b"new"]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as zip:
            for data in versions:
                zip.writestr("a.jpg", data)
    else:
        with tarfile.open(path, "w") as tar:
            for data in versions:
                info = tarfile.TarInfo("a.jpg")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    found = opened(path)
    assert ids(found) == ["a.jpg"]
    assert read(found, "a.jpg") == JPEG + b"new"
    assert reasons(found) == {"a.jpg": "a later member of the same name counts"}


def test_what_is_no_plain_file_is_a_reject(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    kinds = {
        "s": tarfile.SYMTYPE,
        "h": tarfile.LNKTYPE,
        "p": tarfile.FIFOTYPE,
        "c": tarfile.CHRTYPE,
    }
    with tarfile.open(path, "w") as file:
        for name, kind in {**kinds, "d": tarfile.DIRTYPE}.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            file.addfile(info)
        info = tarfile.TarInfo("a.jpg")
        info.size = len(JPEG)
        file.addfile(info, io.BytesIO(JPEG))
    found = opened(path)
    assert ids(found) == ["a.jpg"]
    device = "not a file but a pipe, a socket or a device"
    link = "a link, not followed"
    assert reasons(found) == {"s": link, "h": link, "p": device, "c": device}

    path = zipped(tmp_path / "b.zip", {"a.jpg": JPEG})
    with zipfile.ZipFile(path, "a") as zip:
        info_ = zipfile.ZipInfo("to a.jpg")
        info_.external_attr = 0o120777 << 16
        zip.writestr(info_, "a.jpg")
    assert reasons(opened(path)) == {"to a.jpg": link}


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> Path:
    """A zip with other bytes in every header of a kind."""
    data = bytearray(path.read_bytes())
    at = data.find(signature)
    while at >= 0:
        data[at + offset : at + offset + len(value)] = value
        at = data.find(signature, at + 4)
    path.write_bytes(bytes(data))
    return path


DIRECTORY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def test_encrypted_members_are_named(opened: Open, tmp_path: Path) -> None:
    secret = zipped(tmp_path / "a.zip", {"a.jpg": JPEG})
    patched(patched(secret, DIRECTORY, 8, b"\x01"), LOCAL, 6, b"\x01")
    other = zipped(tmp_path / "b.zip", {"b.jpg": JPEG})
    found = opened(secret, other)
    assert ids(found) == ["b.jpg"]
    assert reasons(found) == {"a.jpg": "encrypted; unpack it with its password first"}


def test_unknown_packing_is_named(opened: Open, tmp_path: Path) -> None:
    odd = zipped(tmp_path / "a.zip", {"a.jpg": JPEG})
    patched(patched(odd, DIRECTORY, 10, b"\x63"), LOCAL, 8, b"\x63")
    found = opened(zipped(tmp_path / "b.zip", {"b.jpg": JPEG}), odd)
    with pytest.raises(
        PictureError, match="^packed in a way that is unknown here; unpack it first"
    ):
        read(found, "a.jpg")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2,
                                    zipfile.ZIP_LZMA])  # fmt: skip
def test_damaged_members_are_named_and_the_rest_is_read(
    opened: Open, tmp_path: Path, method: int
) -> None:
    members = {f"{n}.jpg": JPEG + os.urandom(3000) for n in range(3)}
    path = zipped(tmp_path / "a.zip", members, compression=method)
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("1.jpg")
    data = bytearray(path.read_bytes())
    middle = info.header_offset + 1500
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(bytes(data))
    found = opened(path)
    for id in ("0.jpg", "2.jpg"):
        assert read(found, id) == members[id]
    with pytest.raises(PictureError, match="^damaged: (bad checksum|it cannot be unpacked)$"):
        read(found, "1.jpg")


def test_bombs_are_refused_by_their_header_or_while_unpacking(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = JPEG + bytes(5_000_000)
    options = {"compression": zipfile.ZIP_DEFLATED}
    honest = zipped(tmp_path / "a.zip", {"a.jpg": bomb}, **options)
    lying = zipped(tmp_path / "b.zip", {"b.jpg": bomb}, **options)
    said = len(JPEG) + 1000
    patched(
        patched(lying, DIRECTORY, 24, struct.pack("<I", said)), LOCAL, 22, struct.pack("<I", said)
    )
    found = opened(honest, lying)
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    with pytest.raises(
        PictureError, match=r"^too large: 500\d+ bytes \(the limit is 1000000 bytes"
    ):
        read(found, "a.jpg")
    with pytest.raises(PictureError, match="^damaged: bad checksum$"):
        read(found, "b.jpg")


# Names


def test_names_that_are_not_unicode_do_not_stop_anything(opened: Open, tmp_path: Path) -> None:
    """Info-ZIP and macOS write UTF-8 without saying so, old programs what their system has."""
    path = zipped(tmp_path / "a.zip", {"B?ste.jpg": JPEG, "M??we.jpg": JPEG, "x?b.jpg": JPEG})
    data = path.read_bytes()
    data = data.replace(b"M??we", "Möwe".encode()).replace(b"B?ste", "Büste".encode("cp850"))
    path.write_bytes(data.replace(b"x?b.jpg", b"x\\b.jpg"))
    patched(path, DIRECTORY, 5, b"\x00")  # made on a Windows machine
    assert ids(opened(path)) == ["Büste.jpg", "Möwe.jpg", "x/b.jpg"]
    with tarfile.open(tmp_path / "b.tar", "w") as file:
        for name in (b"caf\xe9.jpg", b"a.jpg"):
            info = tarfile.TarInfo(os.fsdecode(name))
            info.size = len(JPEG)
            file.addfile(info, io.BytesIO(JPEG))
    found = opened(tmp_path / "b.tar")
    assert ids(found) == ["a.jpg"]
    assert reasons(found) == {r"caf\xe9.jpg": "name is not UTF-8; rename the file"}


def test_names_that_are_not_what_they_say_are_explained(opened: Open, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"ü.jpg": JPEG})
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xff\xff"))
    with pytest.raises(CollectionError, match="a.zip cannot be read as a zip: 'utf-8' codec can't"):
        opened(path)


# What is no archive, or not a whole one


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.zip", b"", "a.zip is no zip and no tar, it is empty"),
        ("a.zip", b"\n<!DOCTYPE html>", "it looks like a web page: it was not downloaded"),
        ("a.zip", b"7z\xbc\xaf'\x1c", "a 7-Zip archive; unpack it, and give the folder"),
        ("a.zip", b"Rar!\x1a\x07", "a RAR archive; unpack it, and give the folder"),
        ("a.tar.zst", b"\x28\xb5\x2f\xfd", "unpack it with `unzstd`, and give the tar"),
        ("a.zip", b"hello", "it begins with “hello”"),
        ("a.zip", b"PK\x03\x04" + bytes(500), "a.zip cannot be read as a zip: .* it was cut short"),
        ("a.zip", b"PK\x05\x06" + bytes(18), "There are no pictures in a.zip"),
        ("a.tar", bytes(10240), "There are no pictures in a.tar"),
        ("a.tar.gz", b"\x1f\x8b\x08" + bytes(50), "a.tar.gz cannot be unpacked to .*cut short"),
    ],
)
def test_what_is_no_archive_is_explained(
    opened: Open, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CollectionError, match=message):
        opened(tmp_path / name)
    assert list((tmp_path / "cache").glob("*")) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.3, 0.7, 0.85])
def test_archives_that_are_cut_short_are_refused(
    opened: Open, tmp_path: Path, kind: str, part: float
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(20):
        (tmp_path / "in" / f"{n}.jpg").write_bytes(JPEG + os.urandom(2000))
    path = packed(tmp_path / "in", kind)
    whole = len(path.read_bytes())
    os.truncate(path, int(whole * part))
    with pytest.raises(CollectionError, match="cut short"):
        opened(path)


def test_a_tar_is_looked_at_up_to_its_end(opened: Open, tmp_path: Path) -> None:
    """tarfile itself ends without a word at what is no header."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as file:
        for n in range(5):
            info = tarfile.TarInfo(f"in/{n}.jpg")
            info.size = len(JPEG)
            file.addfile(info, io.BytesIO(JPEG))
    data = path.read_bytes()
    at = data.index(b"in/3.jpg")
    path.write_bytes(data[:at] + b"garbage!" + data[at + 8 :])
    with pytest.raises(
        CollectionError, match="a.tar is damaged or cut short after 3 members: what"
    ):
        opened(path)
    path.write_bytes(data[: at + 100])
    with pytest.raises(
        CollectionError, match="a.tar is damaged or cut short after 3 members: what"
    ):
        opened(path)
    path.write_bytes(data[:at])
    found = opened(path)
    assert ids(found) == ["0.jpg", "1.jpg", "2.jpg"]
    assert found.notices == ["a.tar has no end mark: it may have been cut short"]


def test_a_compressed_file_that_is_no_tar_is_explained(opened: Open, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"a,b"))
    with pytest.raises(CollectionError, match="a.tsv.gz holds no tar. Unpack it, and give what is"):
        opened(tmp_path / "a.tsv.gz")
    assert list((tmp_path / "cache").glob("*")) == []


def test_archives_without_pictures_are_refused(opened: Open, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": b"hello", "b.txt": b""})
    with pytest.raises(
        CollectionError, match="None of the 2 files in a.zip is a picture. a.txt: not"
    ):
        opened(path)
    path = zipped(tmp_path / "b.zip", {"README.md": b"hello", "photos.tsv000": b"photo_id"})
    with pytest.raises(
        CollectionError, match="photos.tsv000 has the addresses of pictures, unpack"
    ):
        opened(path)
    with pytest.raises(CollectionError, match="nowhere.zip cannot be read: No such file"):
        opened(tmp_path / "nowhere.zip")


# Metadata


def test_what_is_wrong_in_the_metadata_is_named_by_the_archive(
    opened: Open, tmp_path: Path
) -> None:
    members = {"in/a.jpg": JPEG, "in/metadata.csv": b"file_name,n\na.jpg,1,2\n"}
    with pytest.raises(CollectionError, match="^a.zip/metadata.csv, line 2: 3 values under 2"):
        opened(zipped(tmp_path / "a.zip", members))
    members = {"in/a.jpg": JPEG, "b.jpg": JPEG, "fields.toml": b"[x]"}
    with pytest.raises(CollectionError, match="^b.zip/fields.toml: there is no column 'x'"):
        opened(zipped(tmp_path / "b.zip", members))
    members = {"a.jpg": JPEG, "metadata.csv": b"", "metadata.tsv": b""}
    with pytest.raises(
        CollectionError, match="c.zip has metadata.csv and metadata.tsv. Unpack the"
    ):
        opened(zipped(tmp_path / "c.zip", members))


def test_given_metadata_and_a_pattern_count(opened: Open, books: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("file_name,place\na.jpg,Rome\n")
    path = packed(books, "zip")
    found = opened(
        path, metadata=tmp_path / "list.csv", filename_pattern=r".*_(?P<year>\d{4})\.jpg"
    )
    assert dict(zip(ids(found), column(found, "place"), strict=True))["a.jpg"] == "Rome"
    assert {year for year in column(found, "year") if year} == {1872, 1920}
    assert "metadata.csv" in ids(found)  # refused when it is read, as in a folder


# Again


def test_what_has_not_changed_keeps_its_state(opened: Open, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"in/a.jpg": JPEG, "in/b.jpg": JPEG + b"b"})
    before = {entry.id: entry.state for entry in opened(path)}
    path = zipped(tmp_path / "a.zip", {"in/0.jpg": JPEG, "in/b.jpg": JPEG + b"B", "in/a.jpg": JPEG})
    after = {entry.id: entry.state for entry in opened(path)}
    assert after["a.jpg"] == before["a.jpg"]
    assert after["b.jpg"] != before["b.jpg"]


def test_a_compressed_tar_is_unpacked_once(opened: Open, books: Path, tmp_path: Path) -> None:
    path = packed(books, "tar.gz")
    opened(path)
    [tar] = (tmp_path / "cache").iterdir()
    made = tar.stat().st_mtime_ns
    opened(path)
    assert [tar.stat().st_mtime_ns] == [
        p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()
    ]
    assert tar.stat().st_mtime_ns == made
    os.utime(path, ns=(1, 1))
    opened(path)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_an_archive_that_is_gone_or_another_ends_the_reading(opened: Open, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.jpg": JPEG})
    found = opened(path)
    found.reader.check()
    zipped(path, {"a.jpg": JPEG, "b.jpg": JPEG})
    with pytest.raises(CollectionError, match="a.zip is gone, or another file now"):
        found.reader.check()
    path.unlink()
    with pytest.raises(CollectionError, match="a.zip is gone"):
        found.reader.check()


def test_a_closed_reader_says_so(opened: Open, tmp_path: Path) -> None:
    found = opened(zipped(tmp_path / "a.zip", {"a.jpg": JPEG}))
    found.reader.close()
    with pytest.raises(PictureError, match="^cannot be read: stopped"):
        found.reader.read(found.entries[0].place)


# Many


def test_threads_share_a_zip(opened: Open, tmp_path: Path) -> None:
    members = {f"{n}.jpg": JPEG + os.urandom(20_000) for n in range(200)}
    found = opened(zipped(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda entry: (entry.id, found.reader.read(entry.place)), found))
    assert dict(read) == members
    found.reader.close()


@pytest.mark.parametrize(("kind", "count"), [("zip", 70_000), ("tar", 30_000)])
def test_many_members_are_listed_in_seconds(tmp_path: Path, kind: str, count: int) -> None:
    """More than a zip could have without Zip64 (65,535); in a process of its own for the memory."""
    path = tmp_path / f"many.{kind}"
    names = [f"many/{n % 100:02d}/{n:06d} a picture of a book.jpg" for n in range(count)]
    if kind == "zip":
        zipped(path, dict.fromkeys(names, JPEG[:200]))
    else:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 200
                file.addfile(info, io.BytesIO(JPEG[:200]))
    script = """if True:
        import resource, sys, time
        from pathlib import Path
        from image_search.archive import open_archives
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        found = open_archives([Path(sys.argv[1])], Path("nowhere"))
        seconds = time.monotonic() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert found.entries[7].id == "00/000700 a picture of a book.jpg"
        print(len(found), seconds, grown)
    """
    said = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    ).stdout
    found, seconds, megabytes = map(float, said.split())
    assert found == count
    assert seconds < 30  # on an idle machine with 2 cores 3
    assert megabytes < 300
