"""What a keeper's word for a source means, and what is fetched for it."""

import io
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import odd_server
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from odd_files import encoded
from odd_server import Asked, OddServer, serving_oddly
from PIL import Image

from image_search import source as module
from image_search.collection import Collection
from image_search.download import Downloader, Limits
from image_search.errors import CollectionError, ConfigError, HubError
from image_search.source import Options, open_source

JPEG = encoded("JPEG")
ARTICLE = "000499442_0_000579_1_[The Ring and the Book  etc ]_1920.jpg"
PATTERN = (
    r"(?P<book>\d+)_(?P<volume>\d+)_(?P<page>\d+)_(?P<plate>\d+)_\[?(?P<title>.+?) ?\]?"
    r"_(?P<year>\d{4})\.\w+"
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("1872/a.jpg", "b.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG)
    return folder


def opened(cache: Path, *sources: str | Path, **options: Any) -> Collection:
    return open_source([str(source) for source in sources], Options(**options), cache)


def ids(found: Collection) -> list[str]:
    return [entry.id for entry in found]


# Here


def test_a_folder_archives_or_a_table(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    assert opened(cache, pictures).kind == "folder"
    for form in ("zip", "tar", "gztar"):
        shutil.make_archive(str(tmp_path / f"all {form}"), form, tmp_path, "pictures")
    monkeypatch.chdir(tmp_path)
    for name in ("all zip.zip", "all tar.tar", "all gztar.tar.gz"):
        found = opened(cache, name)
        assert (found.kind, ids(found)) == ("archive", ["1872/a.jpg", "b.jpg"])
    shutil.copy("all zip.zip", "no ending")
    assert opened(cache, "no ending").kind == "archive"
    for name in ("photos.tsv000", "photos.tsv001", "photos [1].csv"):
        Path(name).write_text(
            f"id\timage\n{name}\thttp://a/1.jpg\n".replace("\t", "\t,"[".csv" in name])
        )
    found = opened(cache, "photos.tsv*", url_suffix="?w=200")
    assert (found.kind, ids(found)) == ("links", ["photos.tsv000", "photos.tsv001"])
    assert found.entries[0].place == "http://a/1.jpg?w=200"
    assert ids(opened(cache, "photos.tsv001", "photos.tsv000")) == [
        "photos.tsv001",
        "photos.tsv000",
    ]
    assert ids(opened(cache, "photos [1].csv")) == ["photos [1].csv"]
    one = {"images/x.jpg": JPEG, "images/y.jpg": JPEG}
    for n, (name, data) in enumerate(one.items()):
        with zipfile.ZipFile(f"part-{n}.zip", "w") as file:
            file.writestr(name, data)
    assert ids(opened(cache, "part-*.zip")) == ["x.jpg", "y.jpg"]


def test_parquet_with_pictures_in_it_is_a_dataset(pictures: Path, tmp_path: Path) -> None:
    rows = {"image": [{"bytes": JPEG, "path": "x.jpg"}], "n": [1]}
    (tmp_path / "d" / "data").mkdir(parents=True)
    pq.write_table(pa.table(rows), tmp_path / "d" / "data" / "train-0.parquet")
    for place in (tmp_path / "d", tmp_path / "d" / "data" / "train-0.parquet"):
        found = opened(tmp_path / "cache", place)
        assert (found.kind, ids(found)) == ("dataset", ["x.jpg"])
        assert found.reader.read(found.entries[0].place) == JPEG
    pq.write_table(pa.table({"file_name": ["b.jpg"], "n": [5]}), pictures / "metadata.parquet")
    found = opened(tmp_path / "cache", pictures)
    assert (found.kind, found.metadata.column("n").to_pylist()) == ("folder", [None, 5])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("pictures", {"url_suffix": "?w=1"}, "--url-suffix means nothing for a folder; there it"),
        ("pictures", {"allow_private": True}, "--allow-private means nothing for a folder"),
        ("t.csv", {"metadata": Path("m.csv")}, "--metadata means nothing for a table; there it can "
         "be --allow-private, --fields, --id-column, --image-column, --url-suffix. Leave it out"),
        ("t.csv", {"filename_pattern": "x"}, "--filename-pattern means nothing for a table"),
        ("a.zip", {"image_column": "x"}, "--image-column means nothing for archives"),
        ("a.zip", {"allow_private": True}, "--allow-private means nothing for archives"),
        ("d.parquet", {"url_suffix": "x"}, "--url-suffix means nothing for a dataset"),
    ],
)  # fmt: skip
def test_options_of_other_kinds_are_refused(
    pictures: Path, tmp_path: Path, kind: str, options: Any, message: str
) -> None:
    (tmp_path / "t.csv").write_text("id,image\n1,http://a/1.jpg\n")
    shutil.make_archive(str(tmp_path / "a"), "zip", pictures)
    rows = {"image": [{"bytes": JPEG, "path": "x.jpg"}]}
    pq.write_table(pa.table(rows), tmp_path / "d.parquet")
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path / "cache", tmp_path / kind, **options)


def test_what_is_not_understood_is_explained(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("id,image\n1,http://a/1.jpg\n")
    shutil.make_archive("a", "zip", pictures)
    for word in (
        "nowhere",
        "pictures/1873",
        "nowhere/a.zip",
        "x/photos.tsv*",
        "/no/where",
        " ",
        "a/b/c",
    ):
        with pytest.raises(
            CollectionError, match="There is no .* here. Check the spelling.*What can"
        ):
            opened(cache, word)
    with pytest.raises(ConfigError, match="t.csv is a table and a.zip is none; a source is one or"):
        opened(cache, "a.zip", "t.csv")
    with pytest.raises(ConfigError, match="pictures is a folder, and has to be the only source"):
        opened(cache, "a.zip", "pictures")
    with pytest.raises(
        ConfigError, match="The source is an empty text. What can be read: a folder"
    ):
        opened(cache, "")
    Path("notes.txt").write_text("hello")
    with pytest.raises(
        CollectionError, match="notes.txt is no zip and no tar, it begins with “hello”"
    ):
        opened(cache, "notes.txt")
    with pytest.raises(
        CollectionError, match="list.xlsx is a spreadsheet. Open it, save the sheet as"
    ):
        opened(cache, "list.xlsx")
    with pytest.raises(
        CollectionError, match="b.jpg is no zip and no tar, it is a picture; give the"
    ):
        opened(cache, "pictures/b.jpg")
    os.mkfifo("pipe")
    with pytest.raises(CollectionError, match="There is no pipe here"):
        opened(cache, "pipe")


# On the Hub


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("user/name", ("user/name", None, None)),
        ("user/name@v1", ("user/name", "v1", None)),
        ("user/name:train", ("user/name", None, "train")),
        (
            "user/na.me-2@refs/convert/parquet:train",
            ("user/na.me-2", "refs/convert/parquet", "train"),
        ),
        ("https://hub.test/datasets/user/name", ("user/name", None, None)),
        ("https://hub.test/datasets/user/name/", ("user/name", None, None)),
        ("https://hub.test/datasets/user/name?x=1", ("user/name", None, None)),
        ("https://hub.test/datasets/user/name/tree/v1", ("user/name", "v1", None)),
    ],
)
def test_words_for_datasets_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, expected: Any
) -> None:
    asked: list[Any] = []

    def open_dataset(source: str, revision: str, split: str, *others: object) -> None:
        asked.append((source, revision, split))
        raise HubError("enough")

    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.test")
    monkeypatch.setattr("image_search.dataset.open_dataset", open_dataset)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubError, match="enough"):
        opened(tmp_path, word)
    assert asked == [expected]


# By URL


def article_zip(extra: int = 0) -> bytes:
    """The article's sample: a folder a year, file names that say what the picture is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for year in (1872, 1900, 1920 + extra):
            picture = io.BytesIO()
            Image.new("RGB", (40, 30), (year % 256, 80, 120)).save(picture, "JPEG")
            name = ARTICLE.replace("1920", str(year))
            file.writestr(f"embellishments_sample/{year}/{name}", picture.getvalue())
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OddServer]:
    """Serves the article's sample, by parts if asked so; breaks off after `break_after` bytes."""

    async def sample(server: OddServer, asked: Asked) -> None:
        data = article_zip(int(server.version.strip('"')))
        monkeypatch.setattr(odd_server, "LARGE", data)
        await odd_server.ODD["/file"](server, asked)

    for path in ("/data/embellishments_sample.zip", "/download", "/table.csv", "/page.zip"):
        monkeypatch.setitem(odd_server.ODD, path, sample)
    table = odd_server.response(200, b"id,image\n1,https://a.test/1.jpg\n")
    monkeypatch.delitem(odd_server.ODD, "/table.csv")
    monkeypatch.setitem(odd_server.PLAIN, "/table.csv", table)
    monkeypatch.setitem(odd_server.PLAIN, "/page.zip", odd_server.response(200, odd_server.HTML))
    with serving_oddly() as server:
        yield server


def test_the_article_s_command(
    server: OddServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.url("/data/embellishments_sample.zip")
    options = {"filename_pattern": PATTERN, "allow_private": True}
    found = opened(tmp_path / "cache", url, **options)
    assert "embellishments_sample.zip: " in capsys.readouterr().err
    assert found.name == "embellishments_sample"
    assert ids(found) == [
        f"{year}/{ARTICLE.replace('1920', year)}" for year in ("1872", "1900", "1921")
    ]
    assert found.metadata.to_pylist()[0] == {
        "book": "000499442",
        "volume": 0,
        "page": "000579",
        "plate": 1,
        "title": "The Ring and the Book  etc",
        "year": 1872,
        "folder": "1872",
    }
    assert Image.open(io.BytesIO(found.reader.read(found.entries[0].place))).size == (40, 30)
    assert found.rejects == []

    again = opened(tmp_path / "cache", url, **options)
    assert again.entries == found.entries
    first, second = server.asked
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={len(article_zip(1))}-"  # of which there is nothing

    server.version = '"5"'
    other = opened(tmp_path / "cache", url, **options)
    assert ids(other)[2].startswith("1925/")
    assert other.entries[0] == found.entries[0]
    assert ids(opened(tmp_path / "cache", url, **options)) == ids(other)


def test_a_download_that_broke_off_goes_on(
    server: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Downloader", partial(Downloader, Limits(pause=0.01)))
    server.break_after = 500
    found = opened(tmp_path / "cache", server.url("/download"), allow_private=True)
    assert len(found) == 3
    assert len(server.asked) > 2
    assert "range" in server.asked[1].headers


def test_what_is_fetched_may_be_a_table_or_nothing_useful(
    server: OddServer, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    found = opened(cache, server.url("/table.csv"), allow_private=True)
    assert (found.kind, found.name, ids(found)) == ("links", "table", ["1"])
    with pytest.raises(
        CollectionError, match=r"^http://127.0.0.1:\d+/page.zip is no zip and no tar, it looks like"
    ):
        opened(cache, server.url("/page.zip"), allow_private=True)
    with pytest.raises(
        CollectionError, match=r"127.0.0.1:\d+/nowhere.zip: not downloaded: HTTP 404"
    ):
        opened(cache, server.url("/nowhere.zip"), allow_private=True)
    with pytest.raises(CollectionError, match="not downloaded: address not allowed"):
        opened(cache, server.url("/table.csv"))


def test_a_server_without_ranges_is_not_asked_for_the_same_file_again(tmp_path: Path) -> None:
    served, cache = tmp_path / "served", tmp_path / "cache"
    served.mkdir()
    (served / "books.zip").write_bytes(article_zip(1))
    answers: list[int] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            answers.append(int(code))

    handler = partial(Handler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{httpd.server_port}/books.zip"
        first = ids(opened(cache, url, allow_private=True))
        assert ids(opened(cache, url, allow_private=True)) == first
        assert ids(opened(cache, url, allow_private=True)) == first
        assert answers == [200, 304, 304]
        (served / "books.zip").write_bytes(article_zip(5))
        os.utime(served / "books.zip", (2e9, 2e9))
        assert ids(opened(cache, url, allow_private=True)) != first
        assert answers[3:] == [200]
        httpd.shutdown()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/x/my%20books.zip?download=1", "my books.zip"),
        ("/x/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("/..", "download"),
        ("/", "download"),
        ("/a%00b%0A.zip", "a_b_.zip"),
        ("/" + "x" * 300 + ".zip", "x" * 96 + ".zip"),
    ],
)
def test_names_in_the_cache_are_tame(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, name: str
) -> None:
    def fetch_to(self: object, url: str, path: Path, progress: object) -> None:
        path.write_bytes(b"x")

    monkeypatch.setattr("image_search.download.Downloader.fetch_to", fetch_to)
    path = module.fetch(f"https://a.test{url}", tmp_path)
    assert path.name == name
    assert path.parent.parent == tmp_path
    assert path.read_bytes() == b"x"
