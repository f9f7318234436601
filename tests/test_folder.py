"""A folder as a collection: ids, metadata, and a reason for everything that is left out."""

import csv
import os
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from odd_files import encoded, make_odd_files
from PIL import Image

from image_search import folder as module
from image_search import images
from image_search.collection import Collection, Entry, Reject
from image_search.errors import CollectionError, PictureError
from image_search.fields import Field, Value
from image_search.folder import open_folder

JPEG = encoded("JPEG")
MakeFolder = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> MakeFolder:
    """Writes pictures by these names, and text files by keyword: metadata_csv="…"."""

    def write(*names: str, **texts: str | bytes) -> Path:
        folder = tmp_path / "plates"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(JPEG)
        for name, text in texts.items():
            data = text.encode() if isinstance(text, str) else text
            (folder / name.replace("_", ".")).write_bytes(data)
        return folder

    return write


def ids(found: Collection) -> list[str]:
    return [entry.id for entry in found]


def column(found: Collection, name: str) -> list[Value]:
    values: list[Value] = found.metadata.column(name).to_pylist()
    return values


# Files


def test_every_odd_file_is_a_picture_or_has_its_reason(tmp_path: Path) -> None:
    expected = make_odd_files(tmp_path)
    found = open_folder(tmp_path)
    outcome: dict[str, str | None] = {reject.id: reject.reason for reject in found.rejects}
    for entry in found:
        try:
            images.decode(found.reader.read(entry.place), max_side=1024)
            outcome[entry.id] = None
        except PictureError as error:
            outcome[entry.id] = str(error)
    assert set(outcome) == set(expected)
    for id, reason in expected.items():
        assert (outcome[id] is None) == (reason is None), id
        assert (outcome[id] or "").startswith(reason or ""), id
    with (tmp_path / "rejects.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(outcome.items())


def test_ids_are_paths_in_nfc_and_sorted(make: MakeFolder) -> None:
    decomposed = unicodedata.normalize("NFD", "é/ü.jpg")
    folder = make("b.jpg", "a/2.jpg", "a/10.jpg", "A.jpg", decomposed, "test/x", "training/y.png")
    found = open_folder(folder)
    assert ids(found) == [
        "A.jpg",
        "a/10.jpg",
        "a/2.jpg",
        "b.jpg",
        "test/x",
        "training/y.png",
        "é/ü.jpg",
    ]
    assert found.entries[-1].place == decomposed
    assert found.reader.read(found.entries[-1].place) == JPEG
    assert len(found) == 7
    assert (found.name, found.rejects, found.notices) == ("plates", [], [])
    assert open_folder(folder).entries == found.entries


def test_names_that_differ_in_normalisation_only_are_told_apart(make: MakeFolder) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    found = open_folder(make(decomposed, composed))
    assert [(e.id, e.place) for e in found] == [(composed, composed)]
    assert [r.id for r in found.rejects] == [decomposed]
    assert "Unicode normalisation" in found.rejects[0].reason


def test_what_is_not_a_file_of_its_own_is_a_reject(make: MakeFolder, tmp_path: Path) -> None:
    folder = make("a.jpg", "in/b.jpg")
    (folder / "in" / "up").symlink_to(folder)
    (folder / "ring").symlink_to("ring")
    (folder / "gone.jpg").symlink_to(os.fsdecode(b"nowhere\xff"))
    (folder / "same.jpg").symlink_to("a.jpg")
    os.mkfifo(folder / "pipe")
    (folder / "to the pipe").symlink_to("pipe")
    (folder / os.fsdecode(b"\xe9")).mkdir()
    (folder / os.fsdecode(b"\xe9") / "c.jpg").write_bytes(JPEG)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        found = open_folder(folder)
    assert ids(found) == ["a.jpg", "in/b.jpg", "same.jpg"]
    assert found.rejects == [
        Reject(r"\xe9/c.jpg", "name is not UTF-8; rename the file"),
        Reject("gone.jpg", r"link to nothing: nowhere\xff"),
        Reject("in/up/", "link to a folder, not followed"),
        Reject("pipe", "not a file but a pipe, a socket or a device"),
        Reject("ring", "cannot be read: Too many levels of symbolic links"),
        Reject("socket", "not a file but a pipe, a socket or a device"),
        Reject("to the pipe", "not a file but a pipe, a socket or a device"),
    ]


def test_folders_that_cannot_be_read_are_named(
    make: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make("a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("locked/"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # the tests may run as root, who may read all
    found = open_folder(folder)
    assert ids(found) == ["a.jpg"]
    assert found.rejects == [Reject("locked/", "folder cannot be read: Permission denied")]


def test_reading_gives_the_reason(make: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make("a.jpg", "b.jpg", "c.mp4")
    (folder / "c.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    os.truncate(folder / "c.mp4", 5 << 30)  # 5 GB, of which none is on the disk
    found = open_folder(folder)
    (folder / "b.jpg").unlink()
    with pytest.raises(PictureError, match="^cannot be read: No such file or directory$"):
        found.reader.read(found.entries[1].place)
    with pytest.raises(PictureError, match=r"^not a picture \(a video\)$"):
        found.reader.read(found.entries[2].place)
    monkeypatch.setattr(module, "MAX_BYTES", len(JPEG))
    assert found.reader.read(found.entries[0].place) == JPEG
    monkeypatch.setattr(module, "MAX_BYTES", len(JPEG) - 1)
    with pytest.raises(PictureError, match=r"^too large: \d+ bytes \(the limit is \d+ bytes\)$"):
        found.reader.read(found.entries[0].place)


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="There is no folder .*/nowhere"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(CollectionError, match="There are no pictures in"):
        open_folder(tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(CollectionError, match="is a file; give the folder"):
        open_folder(tmp_path / "a.txt")
    (tmp_path / "metadata.csv").write_text("file_name\n")
    with pytest.raises(CollectionError, match=r"None of the 1 files .* a.txt: not a picture"):
        open_folder(tmp_path)


def test_the_folder_s_own_name_is_the_collection_s(
    make: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make("a.jpg"))
    assert open_folder(Path(".")).name == "plates"


# Folders as a field


def test_folder_names_are_a_category(make: MakeFolder) -> None:
    found = open_folder(make("1872/a.jpg", "1872/x/b.jpg", "c.jpg", "test/d.jpg"))
    assert found.fields == [Field("folder", "category")]
    assert column(found, "folder") == ["1872", "1872/x", None, "test"]


def test_without_folders_there_is_no_such_field(make: MakeFolder) -> None:
    found = open_folder(make("a.jpg"))
    assert found.fields == []
    assert found.entries == [Entry("a.jpg", "a.jpg", found.entries[0].state)]
    assert (found.metadata.num_rows, found.metadata.column_names) == (1, [])


# Metadata


def test_metadata_of_the_folder_is_used_and_is_no_picture(make: MakeFolder) -> None:
    table = "file_name,title,year\na.jpg,The sea,1872\nx/b.jpg,,1888\n"
    found = open_folder(
        make("a.jpg", "x/b.jpg", metadata_csv=table, fields_toml='[year]\nkind = "text"')
    )
    assert found.fields == [
        Field("title", "text", "title"),
        Field("year", "text"),
        Field("folder", "category"),
    ]
    assert found.metadata.to_pylist() == [
        {"title": "The sea", "year": "1872", "folder": None},
        {"title": None, "year": "1888", "folder": "x"},
    ]
    assert found.rejects == [
        Reject("fields.toml", "read as metadata, not a picture"),
        Reject("metadata.csv", "read as metadata, not a picture"),
    ]
    assert found.notices == []


def test_given_metadata_counts_instead(make: MakeFolder, tmp_path: Path) -> None:
    folder = make("a.jpg", metadata_csv="file_name,title\na.jpg,one\n")
    other = folder / "x" / "list.tsv"
    other.parent.mkdir()
    other.write_text("image\ttitle, and more\na.jpg\ttwo\n")
    found = open_folder(folder, metadata=other)
    assert column(found, "title, and more") == ["two", None]
    assert [reject.id for reject in found.rejects] == ["x/list.tsv"]
    assert ids(found) == ["a.jpg", "metadata.csv"]  # refused when it is read
    with pytest.raises(PictureError, match="looks like text"):
        found.reader.read(found.entries[1].place)


def test_two_tables_in_the_folder_are_one_too_many(make: MakeFolder) -> None:
    folder = make("a.jpg", metadata_csv="file_name\na.jpg", metadata_jsonl="{}")
    with pytest.raises(CollectionError, match=r"has metadata.csv and metadata.jsonl. Keep one"):
        open_folder(folder)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_delimiters(
    make: MakeFolder, encoding: str, delimiter: str, newline: str
) -> None:
    rows = [["title", "file_name"], [f'Büste{delimiter} "Ö"\nim Profil', "ä.jpg"], ["", ""]]
    lines = (delimiter.join('"' + c.replace('"', '""') + '"' for c in row) for row in rows)
    folder = make("ä.jpg", metadata_csv=newline.join(lines).encode(encoding))
    found = open_folder(folder)
    assert column(found, "title") == [f'Büste{delimiter} "Ö"\nim Profil']
    assert found.notices == []


@pytest.mark.parametrize("name", ["file_name", "FileName", "file", "path", "image", "ID"])
def test_the_column_that_names_the_file(make: MakeFolder, name: str) -> None:
    found = open_folder(make("a.jpg", metadata_csv=f"title,{name}\nThe sea,a.jpg\n"))
    assert found.metadata.to_pylist() == [{"title": "The sea"}]


def test_files_are_found_by_path_then_base_name_then_stem(make: MakeFolder) -> None:
    table = (
        "file_name,n\n./x/a.jpg,1\nx\\b.jpg,2\nc.jpg,3\nD:\\scans\\1991.12.3,4\ntwice.jpg,5\n"
        "nowhere.jpg,6\ne\u0301.jpg,7\n"
    )
    folder = make(
        "x/a.jpg", "x/b.jpg", "x/c.jpg", "y/1991.12.3.jpg", "x/twice.jpg", "y/twice.jpg",
        "\u00e9.jpg", metadata_csv=table,
    )  # fmt: skip
    found = open_folder(folder)
    assert dict(zip(ids(found), column(found, "n"), strict=True)) == {
        "x/a.jpg": 1,
        "x/b.jpg": 2,
        "x/c.jpg": 3,
        "y/1991.12.3.jpg": 4,
        "x/twice.jpg": None,
        "y/twice.jpg": None,
        "\u00e9.jpg": 7,
    }
    assert found.notices == [
        "2 rows of metadata.csv are for no file of the folder: for example 'twice.jpg'",
        "2 files are without a row in metadata.csv: for example 'x/twice.jpg'",
    ]


def test_a_backslash_may_be_part_of_a_name(make: MakeFolder) -> None:
    found = open_folder(make("a\\b.jpg", metadata_csv="file,n\na\\b.jpg,1\n"))
    assert column(found, "n") == [1]


def test_the_first_of_two_rows_counts_and_base_names_take_nothing_away(make: MakeFolder) -> None:
    table = "file,n\na.jpg,1\na.jpg,2\nelsewhere/a.jpg,3\nx/b.jpg,4\ny/b.jpg,5\n"
    found = open_folder(make("a.jpg", "b.jpg", metadata_csv=table))
    assert column(found, "n") == [1, None]
    assert found.notices == [
        "3 rows of metadata.csv are for no file of the folder: for example 'elsewhere/a.jpg'",
        "1 row of metadata.csv is for a file that has a row already, and passed over: 'a.jpg'",
        "1 file is without a row in metadata.csv: 'b.jpg'",
    ]


def test_ragged_and_empty_rows_and_columns(make: MakeFolder) -> None:
    table = "file,,n,,\n\na.jpg,left,1,,\n , ,\nb.jpg\n"
    found = open_folder(make("a.jpg", "b.jpg", metadata_csv=table))
    assert found.metadata.to_pylist() == [
        {"column_2": "left", "n": 1},
        {"column_2": None, "n": None},
    ]
    assert found.notices == ["1 row of metadata.csv is too short: 'line 5'"]


def test_reserved_names_are_changed(make: MakeFolder) -> None:
    table = "file_name,id,original_id,Score\na.jpg,7,x,0.5\n"
    found = open_folder(make("a.jpg", metadata_csv=table))
    assert found.metadata.to_pylist()[0] == {
        "original_original_id": 7,
        "original_id": "x",
        "original_Score": 0.5,
    }
    assert found.notices == [
        "column 'id' is called 'original_original_id' here: 'id' is reserved",
        "column 'Score' is called 'original_Score' here: 'Score' is reserved",
    ]


def test_a_column_called_folder_wins_over_the_folders(make: MakeFolder) -> None:
    found = open_folder(make("x/a.jpg", metadata_csv="file,folder\nx/a.jpg,Box 5\n"))
    assert column(found, "folder") == ["Box 5"]
    assert found.notices == ["column 'folder' is the metadata's, not where the files lie"]


def test_json_lines_keep_lists_and_the_digits_of_numbers(make: MakeFolder) -> None:
    lines = (
        '\ufeff{"file_name": "a.jpg", "year": 1872, "size": 0.50, "tags": ["sea", 5, null, ""]}\n'
        "\n"
        '{"file_name": "b.jpg", "year": null, "shelf": {"room": 1}, "new": true, "x": "\\ud800"}\n'
        '{"file_name": "c.jpg", "size": NaN, "tags": []}'
    )
    found = open_folder(make("a.jpg", "b.jpg", "c.jpg", metadata_jsonl=lines))
    assert [(field.name, field.kind) for field in found.fields] == [
        ("year", "number"),
        ("size", "number"),
        ("tags", "list"),
        ("shelf", "text"),
        ("new", "text"),
        ("x", "text"),
    ]
    empty = dict.fromkeys(("year", "size", "tags", "shelf", "new", "x"))
    assert found.metadata.to_pylist() == [
        empty | {"year": 1872, "size": 0.5, "tags": ["sea", "5"]},
        empty | {"shelf": '{"room": "1"}', "new": "true", "x": "?"},
        empty,
    ]
    assert found.notices == []


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.csv", b"file,n\na.jpg,1,2\n", r"line 2: 3 values under 2 column names. .* ',' in it"),
        ("m.csv", b'file,n\na.jpg,"1\n', "line 2: unexpected end of data.*quotation mark"),
        ("m.csv", b'file,n\na.jpg,"x"y"\n', "line 2: .*quotation mark"),
        ("m.csv", b"file,n, n\na.jpg,1,2\n", "two columns 'n'"),
        ("m.csv", b"name,n\na.jpg,1\n", r"Call it file_name \(or filename, .* columns are name, n"),
        ("m.csv", b"", "its columns are none"),
        ("m.csv", b"file,n\n", "No row of m.csv is about a file of the folder: it is empty"),
        ("m.csv", b"file,n\nb.jpg,1\n", "it names 'b.jpg', the folder has 'a.jpg'"),
        ("m.csv", b"file,n\na.jpg,B\xfcste\n", "not UTF-8: byte 0xfc at position 14, line 2. Save"),
        ("m.csv", b"\xff\xfef", "not UTF-16: byte 0x66"),
        ("m.xlsx", b"PK", 'must end in .csv, .tsv, .jsonl or .parquet.*"CSV UTF-8"'),
        ("m.jsonl", b'{"file": "a.jpg"}\n{"file": ', "line 2 is not JSON: "),
        ("m.jsonl", b'["a.jpg"]', "line 1 is not an object"),
        ("m.jsonl", b"[" * 100_000, "line 1 is not JSON: "),
        ("m.jsonl", b"", "its columns are none"),
    ],
)
def test_metadata_that_cannot_be_used_is_explained(
    make: MakeFolder, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CollectionError, match=message):
        open_folder(make("a.jpg"), metadata=tmp_path / name)


def test_missing_metadata_and_wrong_fields_are_explained(make: MakeFolder, tmp_path: Path) -> None:
    folder = make("a.jpg", metadata_csv="file,year\na.jpg,1872\n")
    with pytest.raises(CollectionError, match=r"m.csv cannot be read: No such file"):
        open_folder(folder, metadata=tmp_path / "m.csv")
    (tmp_path / "f.toml").write_text("[yaer]")
    with pytest.raises(CollectionError, match="no column 'yaer'; the columns are 'year'"):
        open_folder(folder, fields=tmp_path / "f.toml")


def test_values_that_an_override_makes_void_are_counted(make: MakeFolder) -> None:
    found = open_folder(
        make(
            "a.jpg",
            "b.jpg",
            metadata_csv="file,year\na.jpg,ca. 1872\nb.jpg,1888\n",
            fields_toml='[year]\nkind = "number"\nrole = "year"',
        )
    )
    assert column(found, "year") == [None, 1888]
    assert found.notices == [
        "1 value of the column 'year' is not of the kind 'number' and left empty: 'ca. 1872'"
    ]


def test_a_vague_year_is_text(make: MakeFolder) -> None:
    found = open_folder(make("a.jpg", metadata_csv="file,year\na.jpg,ca. 1872\n"))
    assert found.fields == [Field("year", "text")]


# File name patterns

BOOKS = (
    r"(?P<book>\d+)_(?P<volume>\d+)_(?P<page>\d+)_(?P<plate>\d+)_(?P<title>.+)_(?P<year>\d{4})\.\w+"
)


def test_groups_of_the_pattern_become_fields(make: MakeFolder) -> None:
    found = open_folder(
        make("x/000499442_0_000579_1_[The Ring and the Book  etc ]_1920.jpg"),
        filename_pattern=BOOKS,
    )
    assert found.fields == [
        Field("book", "text"),
        Field("volume", "number"),
        Field("page", "text"),
        Field("plate", "number"),
        Field("title", "text", "title"),
        Field("year", "number", "year"),
        Field("folder", "category"),
    ]
    assert found.metadata.to_pylist()[0] == {
        "book": "000499442",
        "volume": 0,
        "page": "000579",
        "plate": 1,
        "title": "[The Ring and the Book  etc ]",
        "year": 1920,
        "folder": "x",
    }


def test_metadata_wins_over_the_pattern_where_both_have_a_value(make: MakeFolder) -> None:
    found = open_folder(
        make("a_1872.jpg", "b_1888.jpg", "c.jpg", metadata_csv="file,Year\na_1872.jpg,1999\n"),
        filename_pattern=r"(?P<letter>.)_(?P<year>\d+)(?P<id>x)?\.jpg",
    )
    assert column(found, "Year") == [1999, 1888, None]
    assert column(found, "letter") == ["a", "b", None]
    assert found.notices == [
        "2 files are without a row in metadata.csv: for example 'b_1888.jpg'",
        "1 file name is not matched by the pattern: 'c.jpg'",
        "column 'id' is called 'original_id' here: 'id' is reserved",
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(?P<a>\d+", r"is broken: missing \), unterminated subpattern here:  --> \(\?P<a>"),
        (r"x(?P<a>[z-a])", r"is broken: bad character range z-a here: x\(\?P<a>\[ --> z-a\]\)"),
        (r"(\d+).jpg", r"\(\\d\+\).jpg has no named groups.*Write \(\?P<year>"),
        (r"(?P<a>\d+)", r"matches none of 1 file names, for example '1.jpg'. .*extension included"),
    ],
)
def test_patterns_that_cannot_be_used_are_explained(
    make: MakeFolder, pattern: str, message: str
) -> None:
    with pytest.raises(CollectionError, match=message):
        open_folder(make("1.jpg"), filename_pattern=pattern)


def test_the_text_of_a_whole_page_may_stand_in_one_cell(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    page = "x" * 200_000
    (tmp_path / "metadata.csv").write_text(f"file_name,text\na.png,{page}\n")
    found = open_folder(tmp_path)
    assert column(found, "text") == [page]


def test_a_column_without_a_name_does_not_take_anothers(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,column_3,\na.png,kept,other\n")
    with pytest.raises(CollectionError, match="two columns 'column_3'"):
        open_folder(tmp_path)


def test_a_line_break_in_a_name_is_a_reject(tmp_path: Path) -> None:
    for name in ("a\nb.png", "c.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    collection = open_folder(tmp_path)
    assert [entry.id for entry in collection] == ["c.png"]
    assert [(r.id, r.reason) for r in collection.rejects] == [
        ("a\\nb.png", "name has a line break or the like; rename it")
    ]
