"""A table of URLs or paths as a collection, and how its pictures are read."""

import hashlib
import json
import pickle
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from odd_files import encoded
from odd_server import BROKEN, PICTURE, PLAIN, OddServer, serving_oddly

from image_search.collection import Collection
from image_search.download import Limits
from image_search.errors import CollectionError, PictureError
from image_search.fields import Value
from image_search.links import open_links, with_suffix

JPEG = encoded("JPEG")
QUICK = Limits(connect=2, read=0.5, total=2, size=100_000, tries=2, pause=0.01)

# The columns of Unsplash's Lite dataset (github.com/unsplash/datasets, DOCS.md).
HEADER = """
photo_id photo_url photo_image_url photo_submitted_at photo_featured photo_width photo_height
photo_aspect_ratio photo_description photographer_username photographer_first_name
photographer_last_name exif_camera_make exif_camera_model exif_iso exif_aperture_value
exif_focal_length exif_exposure_time photo_location_name photo_location_latitude
photo_location_longitude photo_location_country photo_location_city stats_views stats_downloads
ai_description ai_primary_landmark_name ai_primary_landmark_latitude ai_primary_landmark_longitude
ai_primary_landmark_confidence blur_hash
"""
PHOTOS = HEADER.split()
SUFFIX = "?q=75&fm=jpg&w=200&fit=max"


def photo(id: str, image: str = "https://images.unsplash.com/photo-") -> dict[str, str]:
    """A row of Unsplash's photos.tsv."""
    n = sum(id.encode())
    row = dict.fromkeys(PHOTOS, "")
    return row | {
        "photo_id": id,
        "photo_url": f"https://unsplash.com/photos/{id}",
        "photo_image_url": image + id,
        "photo_submitted_at": f"2019-08-07 06:12:{n % 60:02d}.123456",
        "photo_featured": "t",
        "photo_width": str(1000 + n),
        "photo_description": f'The "{id}"\nin two lines' if n % 2 else "",
        "photographer_first_name": "Zoë" if n % 3 else "Ann",
        "photo_location_latitude": "44.054123456789",
        "exif_aperture_value": "1.8",
    }


def write_tsv(path: Path, rows: list[dict[str, str]]) -> Path:
    lines = ["\t".join(rows[0])]
    for row in rows:
        values = (
            '"' + v.replace('"', '""') + '"' if set(v) & set('"\n') else v for v in row.values()
        )
        lines.append("\t".join(values))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def ids(found: Collection) -> list[str]:
    return [entry.id for entry in found]


def column(found: Collection, name: str) -> list[Value]:
    values: list[Value] = found.metadata.column(name).to_pylist()
    return values


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture
def server() -> Iterator[OddServer]:
    with serving_oddly() as server:
        yield server


# Unsplash


def test_unsplash_s_own_table_opens_without_a_word(tmp_path: Path) -> None:
    names = ["XMyPniM9LF0", "rDLBArZUl1c", "cNDGZ2sQ3Bo", "0001234", "Qgb9urMZ8lw"]
    parts = [
        write_tsv(tmp_path / "photos.tsv000", [photo(id) for id in names[:3]]),
        write_tsv(tmp_path / "photos.tsv001", [photo(id) for id in names[3:]]),
    ]
    found = open_links(parts, url_suffix=SUFFIX)
    assert found.kind == "links"
    assert found.name == "photos"
    assert ids(found) == names
    assert found.id_column == "photo_id"
    assert found.readers == 32
    assert found.rejects == []
    assert found.notices == [
        "the pictures' addresses are those of the column 'photo_image_url', their ids those of "
        "'photo_id'"
    ]
    address = "https://images.unsplash.com/photo-XMyPniM9LF0" + SUFFIX
    assert (found.entries[0].place, found.entries[0].state) == (address, address)
    kinds = {field.name: field.kind for field in found.fields}
    assert list(kinds) == PHOTOS[1:]
    assert kinds["photo_image_url"] == kinds["photo_url"] == "url"
    assert kinds["photo_width"] == kinds["photo_location_latitude"] == "number"
    assert kinds["photo_submitted_at"] == "date"
    assert column(found, "photo_image_url")[0] == "https://images.unsplash.com/photo-XMyPniM9LF0"
    told = dict(zip(names, column(found, "photo_description"), strict=True))
    assert told["0001234"] is None
    assert told["XMyPniM9LF0"] == 'The "XMyPniM9LF0"\nin two lines'
    first = found.first(2)
    assert ids(first) == names[:2]
    assert first.metadata.num_rows == 2


def test_the_suffix_is_asked_for_and_nothing_else(server: OddServer, tmp_path: Path) -> None:
    table = write(tmp_path, f"id,image\na,{server.url('/echo')}\n")
    found = open_links([table], url_suffix=SUFFIX, allow_private=True)
    assert found.reader.read(found.entries[0].place).startswith(PICTURE)
    found.reader.close()
    assert [(asked.path, asked.query) for asked in server.asked] == [
        ("/echo", {"q": "75", "fm": "jpg", "w": "200", "fit": "max"})
    ]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a/b", "http://a/b?w=2&h=3"),
        ("http://a/b?c=1", "http://a/b?c=1&w=2&h=3"),
        ("http://a/b#here", "http://a/b?w=2&h=3#here"),
    ],
)
def test_suffixes_are_added_where_they_belong(url: str, expected: str) -> None:
    assert with_suffix(url, "?w=2&h=3") == expected
    assert with_suffix(url, "") == url


# Downloads


def test_every_one_of_500_odd_urls_is_a_picture_or_has_its_reason(tmp_path: Path) -> None:
    good = {"/picture", "/no-length", "/echo", "/redirect-relative"}
    odd = [path for path in (*PLAIN, *BROKEN) if path not in good]
    odd += ["/reset", "/status?code=404", "/status?code=503&after=1", "/endless-page"]
    odd += ["/dripping-body", "/endless-picture"]
    # All of 127.* is this machine, and as many hosts to the downloader. The good ones have hosts of
    # their own: what an odd answer leaves behind would spoil the next one on the same connection.
    paths = [odd[n // 4 % len(odd)] if n % 4 == 0 else sorted(good)[n // 5 % 4] for n in range(500)]
    hosts = [f"127.0.{n % 4 == 0:d}.{1 + n % 50}" for n in range(500)]
    with serving_oddly("0.0.0.0") as server:
        urls = [server.url(path, host) for path, host in zip(paths, hosts, strict=True)]
        rows = [{"nr": n, "picture": url} for n, url in enumerate(urls)]
        table = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "table.jsonl")
        found = open_links([table], id_column="nr", allow_private=True, limits=QUICK)
        assert len(found) + len(found.rejects) == 500
        reader = pickle.loads(pickle.dumps(found.reader))

        def read(place: str) -> bytes | str:
            try:
                return bytes(reader.read(place))
            except PictureError as error:
                return str(error)

        with ThreadPoolExecutor(found.readers) as pool:
            outcomes = list(pool.map(read, [entry.place for entry in found]))
        reader.close()
    assert len(outcomes) == 500
    for outcome, path in zip(outcomes, paths, strict=True):
        if path in good:
            assert isinstance(outcome, bytes), (path, outcome)
            assert outcome.startswith(PICTURE)
        elif isinstance(outcome, str):
            assert re.match("cannot be read|not downloaded|not a picture|too large|empty", outcome)
            assert "127.0.0" not in outcome
    assert sum(isinstance(outcome, bytes) for outcome in outcomes) >= 375


def test_private_addresses_are_not_asked_unless_allowed(server: OddServer, tmp_path: Path) -> None:
    table = write(tmp_path, f"id,image\na,{server.url('/picture')}\n")
    found = open_links([table])
    with pytest.raises(PictureError, match=r"address not allowed \(127.0.0.1; --allow-p"):
        found.reader.read(found.entries[0].place)
    assert server.asked == []
    found.reader.close()


def test_closing_ends_what_is_under_way(server: OddServer, tmp_path: Path) -> None:
    rows = "".join(f"{n},{server.url('/slow')}?n={n}\n" for n in range(20))
    found = open_links([write(tmp_path, f"id,image\n{rows}")], allow_private=True, limits=QUICK)
    with ThreadPoolExecutor(8) as pool:
        reading = [pool.submit(found.reader.read, entry.place) for entry in found]
        while server.at_once < 8:
            pass
        found.reader.close()
        for future in reading:
            assert isinstance(future.exception(timeout=5), PictureError)
    with pytest.raises(PictureError, match="^cannot be read: stopped$"):
        found.reader.read(found.entries[0].place)


# Paths


def test_paths_are_relative_to_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "1872").mkdir(parents=True)
    decomposed = unicodedata.normalize("NFD", "ü.jpg")
    for name in ("a.jpg", "1872/b.jpg", decomposed):
        (folder / name).write_bytes(JPEG)
    (folder / "link.jpg").symlink_to("a.jpg")
    (folder / "up.jpg").mkdir()
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    paths = ["./a.jpg", "1872\\b.jpg", decomposed, "link.jpg", "gone.jpg", "up.jpg",
             "../secret.jpg", str(tmp_path / "secret.jpg"), "1872/../../secret.jpg", "",
             "file:///etc/passwd", "data:image/png;base64,AAAA", "a.jpg"]  # fmt: skip
    rows = "".join(f'"{path}",{n}\n' for n, path in enumerate(paths))
    table = write(folder, f"file_name,n\n{rows}")
    found = open_links([table])
    assert ids(found) == ["a.jpg", "1872/b.jpg", "ü.jpg", "link.jpg"]
    assert all(found.reader.read(entry.place) == JPEG for entry in found)
    assert found.readers == 0
    assert column(found, "n") == [0, 1, 2, 3]
    away = "its path leads out of the table's folder"
    assert [(reject.id, reject.reason) for reject in found.rejects] == sorted(
        [
            ("gone.jpg (table.csv, line 6)", "cannot be read: No such file or directory"),
            ("up.jpg (table.csv, line 7)", "not a file"),
            ("../secret.jpg (table.csv, line 8)", away),
            (f"{tmp_path}/secret.jpg (table.csv, line 9)", away),
            ("1872/../../secret.jpg (table.csv, line 10)", away),
            ("table.csv, line 11", "no address in its row"),
            (
                "file:///etc/passwd (table.csv, line 12)",
                "not a web address: it begins with neither http:// nor https://",
            ),
            (
                "data:image/png;base64,AAAA (table.csv, line 13)",
                "not a web address: it begins with neither http:// nor https://",
            ),
            ("a.jpg (table.csv, line 14)", "an earlier row has the same id"),
        ]
    )
    allowed = open_links([table], allow_private=True)
    assert "../secret.jpg" in ids(allowed)
    pickle.loads(pickle.dumps(found.reader)).check()
    folder.rename(tmp_path / "away")
    with pytest.raises(CollectionError, match="in is gone. Is its disk still there"):
        found.reader.check()


def test_a_file_that_changes_is_another_state(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    table = write(tmp_path, "file_name\na.jpg\n")
    before = open_links([table]).entries[0].state
    (tmp_path / "a.jpg").write_bytes(JPEG + b"!")
    assert open_links([table]).entries[0].state != before


# Columns


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("n,url", "1,http://a/1", "url"),
        ("photo_url,photo_image_url", "http://a/1,http://a/2", "photo_image_url"),
        ("page,scan", "http://a/1,http://a/2.TIF?x=1", "scan"),
        ("title,where", "The sea,scans/1.jpg", "where"),
        ("image_page,image_file", "http://a/1,http://a/1.png", "image_file"),
        ("Path,title", "scans/000017,The sea", "Path"),
    ],
)
def test_the_column_of_pictures_is_found(
    tmp_path: Path, header: str, row: str, expected: str
) -> None:
    for name in ("scans/1.jpg", "scans/000017"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(JPEG)
    [notice] = open_links([write(tmp_path, f"{header}\n{row}\n")]).notices
    assert f"of the column {expected!r}" in notice


def test_which_column_is_asked_if_there_are_several_or_none(tmp_path: Path) -> None:
    table = write(tmp_path, "front,back,title\nhttp://a/1.jpg,http://a/2.jpg,x\n")
    with pytest.raises(CollectionError, match="several: front, back. Say it with --image-column; "):
        open_links([table])
    assert open_links([table], image_column="BACK").entries[0].place == "http://a/2.jpg"
    with pytest.raises(
        CollectionError, match="no column 'side'; its columns are front, back, title"
    ):
        open_links([table], image_column="side")
    with pytest.raises(
        CollectionError, match="none. Say it with --image-column; the columns are a"
    ):
        open_links([write(tmp_path, "a\nhello\n")])
    with pytest.raises(CollectionError, match="table.csv has no rows"):
        open_links([write(tmp_path, "id,image\n")])
    with pytest.raises(
        CollectionError, match="No row of table.csv leads to a picture. hello.*'a' the"
    ):
        open_links([write(tmp_path, "a\nhello\n")], image_column="a")


@pytest.mark.parametrize(
    ("header", "rows", "expected", "column"),
    [
        ("ID,image", ["7,http://a/1", "008,http://a/2"], ["7", "008"], "ID"),
        ("set_id,photo_id,image", ["1,x,http://a/1", "1,y,http://a/2"], ["x", "y"], "photo_id"),
        ("n_id,image", [",http://a/1", "y,http://a/2"], None, "id"),
        ("image", ["http://a/1", "http://a/2"], None, "id"),
    ],
)
def test_ids_are_a_column_or_made_of_the_addresses(
    tmp_path: Path, header: str, rows: list[str], expected: list[str] | None, column: str
) -> None:
    found = open_links([write(tmp_path, "\n".join([header, *rows]))])
    hashes = [hashlib.sha256(f"http://a/{n}".encode()).hexdigest()[:16] for n in (1, 2)]
    assert ids(found) == (expected or hashes)
    assert found.id_column == column
    assert column == "id" or column not in found.metadata.column_names


def test_one_mistake_in_a_hundred_does_not_make_ids_of_addresses(tmp_path: Path) -> None:
    rows = [f"{n},http://a/{n}" for n in range(99)]
    found = open_links([write(tmp_path, "\n".join(["photo_id,image", *rows, "7,http://a/99"]))])
    assert found.id_column == "photo_id"
    assert [reject.id for reject in found.rejects] == ["7 (table.csv, line 101)"]
    found = open_links(
        [write(tmp_path, "\n".join(["photo_id,image", *rows[:40], "7,http://a/99"]))]
    )
    assert found.id_column == "id"
    assert len(found) == 41


def test_rows_without_id_or_with_another_s_are_rejects(tmp_path: Path) -> None:
    rows = 'a,http://a/1\n,http://a/2\na,http://a/3\n"b\nc",http://a/4\ne\u0301,http://a/5\n\u00e9,http://a/6'
    found = open_links([write(tmp_path, f"nr,image\n{rows}\n")], id_column="nr")
    assert ids(found) == ["a", "\u00e9"]
    assert [(reject.id, reject.reason) for reject in found.rejects] == [
        ("a (table.csv, line 4)", "an earlier row has the same id"),
        ("b\nc (table.csv, line 6)", "its id or address has a line break or the like in it"),
        ("table.csv, line 3", "no id in its row"),
        ("\u00e9 (table.csv, line 8)", "an earlier row has the same id"),
    ]
    with pytest.raises(CollectionError, match="no column 'x'; its columns are nr, image"):
        open_links([tmp_path / "table.csv"], id_column="x")


def test_fields_toml_beside_the_table_counts(tmp_path: Path) -> None:
    table = write(tmp_path, "id,image,year\n1,http://a/1,1872\n")
    write(tmp_path, '[year]\nkind = "text"\n', "fields.toml")
    assert open_links([table]).fields[1].kind == "text"
    write(tmp_path, '[year]\nkind = "number"\n', "other.toml")
    assert open_links([table], fields=tmp_path / "other.toml").fields[1].kind == "number"


# Tables


@pytest.mark.parametrize("kind", ["csv", "tsv", "tsv000", "jsonl", "parquet"])
def test_all_kinds_of_tables_say_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"table.{kind}"
    rows = [{"id": "007", "image": "http://a/1", "year": 1872, "title": "Ä"},
            {"id": "8", "image": "http://a/2", "year": None, "title": None}]  # fmt: skip
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        texts = [{name: str(v or "") for name, v in row.items()} for row in rows]
        write_tsv(path, texts)
        if kind == "csv":
            path.write_text(path.read_text().replace("\t", ";"))
    found = open_links([path])
    assert ids(found) == ["007", "8"]
    assert column(found, "year") == [1872, None]
    assert column(found, "title") == ["Ä", None]


def test_parts_need_the_same_columns(tmp_path: Path) -> None:
    parts = [write(tmp_path, "id,image\n1,http://a/1\n", "t.csv.0"),
             write(tmp_path, "image,id\nhttp://a/2,2\n", "t.csv.1")]  # fmt: skip
    assert ids(open_links(parts)) == ["1", "2"]
    parts.append(write(tmp_path, "3,http://a/3\n", "t.csv.2"))
    with pytest.raises(
        CollectionError, match="t.csv.2 are no parts of one table: t.csv.0 has no col"
    ):
        open_links(parts)
    lines = [write(tmp_path, '{"id": 1, "image": "http://a/1"}', "a.jsonl"),
             write(tmp_path, '{"id": 2, "image": "http://a/2", "n": 5}', "b.jsonl")]  # fmt: skip
    assert column(open_links(lines), "n") == [None, 5]


def test_errors_name_the_file_and_the_line(tmp_path: Path) -> None:
    good = write(tmp_path, "id,image\n1,http://a/1\n", "t.csv0")
    bad = tmp_path / "t.csv1"
    for data, message in (
        (b"id,image\n2,a,b\n", "t.csv1, line 2: 3 values under 2"),
        (b'id,image\n2,"a\n', "t.csv1, line 2: unexpected end"),
        (b"id,image\n2,\xfc\n", "t.csv1 is not UTF-8: byte 0xfc at position 11, line 2"),
        (b"id,id\n2,3\n", "t.csv1 has two columns 'id'"),
    ):
        bad.write_bytes(data)
        with pytest.raises(CollectionError, match=message):
            open_links([good, bad])
    (tmp_path / "t.parquet").write_bytes(b"hello")
    with pytest.raises(CollectionError, match="t.parquet cannot be read as Parquet: "):
        open_links([tmp_path / "t.parquet"])


def test_parquet_values_are_what_they_are(tmp_path: Path) -> None:
    from datetime import date, datetime
    from decimal import Decimal

    columns: dict[str, Any] = {
        "image": ["http://a/1", "http://a/2"],
        "whole": pa.array([1872.0, None], pa.float64()),
        "short": pa.array([0.1, 2.5], pa.float32()),
        "long": [0.12345678901234568, 1e-7],
        "none": pa.array([float("nan"), float("inf")]),
        "money": [Decimal("1.50"), Decimal("2.00")],
        "day": [date(1872, 5, 3), None],
        "time": pa.array([datetime(2020, 1, 2, 3, 4, 5, 6), None], pa.timestamp("ns")),
        "midnight": [datetime(2020, 1, 2), datetime(2020, 1, 3)],
        "zone": pa.array([datetime(2020, 1, 2), None], pa.timestamp("s", "UTC")),
        "kind": pa.array(["a", "a"]).dictionary_encode(),
        "tags": [["x", ""], []],
        "vector": pa.array([[0.5], [1.5]], pa.list_(pa.float32())),
        "blob": [b"x", b"y"],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = open_links([tmp_path / "t.parquet"])
    assert {n: column(found, n) for n in found.metadata.column_names if n != "original_image"} == {
        "whole": [1872, None],
        "short": [0.1, 2.5],
        "long": [0.123456789012346, 1e-7],
        "none": [None, None],
        "money": [1.5, 2],
        "day": ["1872-05-03", None],
        "time": ["2020-01-02 03:04:05.000006", None],
        "midnight": ["2020-01-02", "2020-01-03"],
        "zone": ["2020-01-02 00:00:00Z", None],
        "kind": ["a", "a"],
        "tags": [["x"], None],
    }
    assert (
        "2 columns of t.parquet are no metadata and left out: for example 'vector'" in found.notices
    )
    assert {f.name: f.kind for f in found.fields}["zone"] == "date"


def test_a_hundred_thousand_rows_are_listed_in_little_memory(tmp_path: Path) -> None:
    """Unsplash Lite has 25,000. In a process of its own."""
    rows = [photo(f"{n:07d}_-xY") for n in range(1000)]
    write_tsv(tmp_path / "photos.tsv000", rows)
    lines = (tmp_path / "photos.tsv000").read_text().split("\n", 1)
    with (tmp_path / "photos.tsv001").open("w") as file:
        file.write(lines[0] + "\n")
        for n in range(99):
            file.write(re.sub(r"(\d{7})_-xY", rf"\g<1>_{n:02d}Y", lines[1]))
    script = """if True:
        import resource, sys, time
        from pathlib import Path
        from image_search.links import open_links
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        found = open_links(sorted(Path(sys.argv[1]).glob("photos.tsv*")), url_suffix="?w=200")
        seconds = time.monotonic() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(len(found), len(found.rejects), seconds, grown)
    """
    said = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    ).stdout
    entries, rejects, seconds, megabytes = map(float, said.split())
    assert (entries, rejects) == (100_000, 0)
    assert seconds < 60  # 6 on 2 idle cores
    assert megabytes < 500
