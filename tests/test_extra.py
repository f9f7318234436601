"""Tables beside the pictures: the rows of kept pictures, with sensible types, in little memory."""

import json
import subprocess
import sys
import unicodedata
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_search.errors import CollectionError, ConfigError
from image_search.extra import open_extra, write_extra

# The columns of Unsplash's conversions (github.com/unsplash/datasets, DOCS.md).
CONVERSIONS = (
    "converted_at\tconversion_type\tkeyword\tphoto_id\tanonymous_user_id\tconversion_country\n"
)


def conversion(photo_id: str, keyword: str, at: str = "2020-02-28 00:00:00.123") -> str:
    return f'{at}\tdownload\t{keyword}\t{photo_id}\t0b49cf22f5f14a2a8b5d{photo_id}\t"US"\n'


def written(
    text: str, ids: set[str], out: Path, id_column: str = "id"
) -> tuple[pa.Table, list[str]]:
    notices: list[str] = []
    count = write_extra(open_extra(text, id_column), ids, out, notices)
    table = pq.read_table(out)
    assert len(table) == count
    assert [path.name for path in out.parent.glob(f"{out.name}*")] == [out.name]
    return table, notices


def from_csv(tmp_path: Path, text: str, ids: set[str]) -> pa.Table:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    return written(f"t={tmp_path}/t.csv", ids, tmp_path / "t.parquet")[0]


def test_unsplash_s_conversions_are_restricted_to_the_kept_photos(tmp_path: Path) -> None:
    (tmp_path / "conversions.tsv000").write_text(
        CONVERSIONS
        + conversion("Qgb9urMZ8lw", "bee")
        + conversion("f0OL01IHbCM", "golden hour")
        + conversion("Qgb9urMZ8lw", '"5"" nail"')
    )
    (tmp_path / "conversions.tsv001").write_text(
        CONVERSIONS + conversion("Qgb9urMZ8lw", "007", "2020-02-29 12:00:00")
    )
    text = f"conversions={tmp_path}/conversions.tsv*"
    extra = open_extra(text, "photo_id")
    assert (extra.name, extra.key) == ("conversions", "photo_id")
    assert [path.name for path in extra.paths] == ["conversions.tsv000", "conversions.tsv001"]
    table, notices = written(text, {"Qgb9urMZ8lw", "x"}, tmp_path / "c.parquet", "photo_id")
    assert notices == []
    assert table.column_names == CONVERSIONS.split()
    assert table.column("keyword").to_pylist() == ["bee", '5" nail', "007"]
    assert table.schema.field("converted_at").type == pa.timestamp("us")
    assert table.column("converted_at").to_pylist()[2] == datetime(2020, 2, 29, 12)
    assert set(table.column("photo_id").to_pylist()) == {"Qgb9urMZ8lw"}
    assert (
        pq.ParquetFile(tmp_path / "c.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    )


@pytest.mark.parametrize(
    ("values", "type", "expected"),
    [
        (["1", "-20", "", "0"], pa.int64(), [1, -20, None, 0]),
        (["1", "2.50", "1e-7"], pa.float64(), [1.0, 2.5, 1e-7]),
        (["01", "2"], pa.string(), ["01", "2"]),
        (["01.5", "2"], pa.string(), ["01.5", "2"]),
        (["999999999999999999", "1"], pa.int64(), [999999999999999999, 1]),
        (["9999999999999999999", "1"], pa.string(), ["9999999999999999999", "1"]),
        (["1", "x"], pa.string(), ["1", "x"]),
        (["", " "], pa.string(), [None, None]),
        (["t", "f"], pa.string(), ["t", "f"]),
        (["nan", "inf"], pa.string(), ["nan", "inf"]),
        (["1,5", "2"], pa.string(), ["1,5", "2"]),
        (["2020-02-29", "2020-01-02 03:04:05.5"], pa.timestamp("us"),
         [datetime(2020, 2, 29), datetime(2020, 1, 2, 3, 4, 5, 500000)]),
        (["2020-02-30", "2020-01-02"], pa.string(), ["2020-02-30", "2020-01-02"]),
        (["2020-01-02T03:04:05Z", "2020-01-02 03:04:05+02:00"], pa.timestamp("us", "UTC"),
         [datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2020, 1, 2, 1, 4, 5, tzinfo=UTC)]),
        (["2020-01-02T03:04:05Z", "2020-01-02 03:04:05"], pa.string(),
         ["2020-01-02T03:04:05Z", "2020-01-02 03:04:05"]),
        (["1872", "1888"], pa.int64(), [1872, 1888]),
    ],
)  # fmt: skip
def test_a_type_is_taken_only_if_all_values_have_it(
    tmp_path: Path, values: list[str], type: pa.DataType, expected: list[Any]
) -> None:
    rows = "".join(f'a,"{value}"\n' for value in values)
    table = from_csv(tmp_path, f"id,n\n{rows}b,not of a kept picture\n", {"a"})
    assert table.schema.field("n").type == type
    assert table.column("n").to_pylist() == expected


def test_one_value_in_many_batches_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("image_search.extra._ROWS", 10)
    rows = "".join(f"{n % 7},{n},{n}\n" for n in range(1000))
    table = from_csv(tmp_path, f"id,a,b\n{rows}3,x,1.5\n", {"3", "4"})
    assert table.schema.types == [pa.string(), pa.string(), pa.float64()]
    expected = [n for n in range(1000) if n % 7 in (3, 4)]
    assert table.column("a").to_pylist() == [*map(str, expected), "x"]
    assert table.column("b").to_pylist() == [*map(float, expected), 1.5]


def test_ids_are_texts_in_nfc_whatever_they_look_like(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "Büste")
    table = from_csv(tmp_path, f"id,n\n 007 ,1\n7,2\n{name},3\n", {"007", "Büste"})
    assert table.schema.field("id").type == pa.string()
    assert table.column("n").to_pylist() == [1, 3]


@pytest.mark.parametrize(
    ("columns", "id_column", "expected"),
    [
        ("keyword,PHOTO_ID", "photo_id", "PHOTO_ID"),
        ("id,photo_id", "photo_id", "photo_id"),
        ("id,keyword", "photo_id", "id"),
        ("keyword,File_Name", "id", "File_Name"),
    ],
)
def test_the_column_with_the_ids(
    tmp_path: Path, columns: str, id_column: str, expected: str
) -> None:
    (tmp_path / "t.csv").write_text(f"{columns}\n1,2\n")
    assert open_extra(f"t={tmp_path}/t.csv", id_column).key == expected


def test_rows_of_the_wrong_length_are_left_out_and_told_of(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,n\na,1\na\na,2,3\na,4,,\n\nb,5,6\na,7\n")
    table, notices = written(f"t={tmp_path}/t.csv", {"a"}, tmp_path / "t.parquet")
    assert table.column("n").to_pylist() == [1, 4, 7]
    assert notices == [
        "t.csv: rows with too many or too few values are left out, 3 in all; the first one ends "
        "in line 3"
    ]


def test_a_table_about_other_pictures_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,n\na,1\n")
    table, notices = written(f"t={tmp_path}/t.csv", {"x", "y"}, tmp_path / "t.parquet")
    assert (len(table), table.column_names) == (0, ["id", "n"])
    assert notices == [
        "no row of the table 't' is about a picture that is kept: its column 'id' should have the "
        "pictures' ids, such as 'x'"
    ]


def test_lines_of_json(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"id": "a", "n": 1, "tags": ["x", "y"], "on": True},
        {"id": "b", "n": "x"},
        {"id": "a", "n": 2.5, "late": "2020-01-02"},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    table, _ = written(f"t={tmp_path}/t.jsonl", {"a"}, tmp_path / "t.parquet")
    assert table.to_pylist() == [
        {"id": "a", "n": 1.0, "tags": "x; y", "on": "true", "late": None},
        {"id": "a", "n": 2.5, "tags": None, "on": None, "late": datetime(2020, 1, 2)},
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    first = {"id": [7, 8], "day": [date(2020, 1, 2), None], "code": ["01", "2"], "v": [[0.5], []]}
    pq.write_table(pa.table(first), tmp_path / "t0.parquet")
    pq.write_table(pa.table({"v": [[1.5]], "id": [7], "day": [None], "code": ["x"]}),
                   tmp_path / "t1.parquet")  # fmt: skip
    table, _ = written(f"t={tmp_path}/t?.parquet", {"7"}, tmp_path / "out.parquet")
    assert table.to_pylist() == [
        {"id": "7", "day": date(2020, 1, 2), "code": "01", "v": [0.5]},
        {"id": "7", "day": None, "code": "x", "v": [1.5]},
    ]
    pq.write_table(pa.table({"id": [7], "day": ["?"], "code": ["x"], "v": [[1.5]]}),
                   tmp_path / "t1.parquet")  # fmt: skip
    with pytest.raises(CollectionError, match="t1.parquet cannot be read as Parquet: "):
        written(f"t={tmp_path}/t?.parquet", {"7"}, tmp_path / "out.parquet")


@pytest.mark.parametrize("text", ["", "x", "=x.csv", "x=", "Big=x.csv", "a-b=x.csv", "1a=x.csv",
                                  "../a=x.csv", f"{'a' * 64}=x.csv"])  # fmt: skip
def test_what_is_no_table_argument_is_explained(text: str) -> None:
    with pytest.raises(ConfigError, match="write NAME=FILE, such as 'conversions=conversions.tsv"):
        open_extra(text)


def test_tables_that_cannot_be_used_are_explained(tmp_path: Path) -> None:
    def says(name: str, data: str, message: str) -> None:
        (tmp_path / name).write_text(data)
        with pytest.raises(CollectionError, match=message):
            open_extra(f"t={tmp_path}/{name}", "photo_id")

    says(
        "a.csv", "x,y\n1,2\n", "which column of a.csv has the ids of the pictures.* there are x, y"
    )
    says("b.csv", "", "which column of b.csv has the ids")
    says("c.txt", "id\n", "c.txt is no table: it must end in .csv, .tsv, .jsonl or .parquet")
    says("d.csv", "id,id\n", "d.csv has two columns 'id'")
    says("e.parquet", "hello", "e.parquet cannot be read as Parquet")
    says("f.jsonl", "[1]", "f.jsonl, line 1 is not an object")
    says("photos[1].csv", "x\n", "which column")
    with pytest.raises(CollectionError, match="There is no file .*/nowhere"):
        open_extra(f"t={tmp_path}/nowhere*.csv")
    (tmp_path / "p.csv0").write_text("id,x\n1,2\n")
    (tmp_path / "p.csv1").write_text("id,y\n1,2\n")
    with pytest.raises(
        CollectionError, match="p.csv1 are no parts of one table: p.csv1 has no col"
    ):
        open_extra(f"t={tmp_path}/p.csv*")
    (tmp_path / "q.csv").write_text('id,n\n1,"x\n1,2\n')
    with pytest.raises(CollectionError, match="q.csv, line 3: unexpected end of data"):
        written(f"t={tmp_path}/q.csv", {"1"}, tmp_path / "q.parquet")
    assert not list(tmp_path.glob("q.parquet*"))


def test_many_rows_take_little_memory(tmp_path: Path) -> None:
    """In a process of its own. Unsplash Lite has some ten million conversions."""
    block = "".join(conversion(f"{n:07d}abcd", "bee") for n in range(1000))
    with (tmp_path / "c.tsv000").open("w") as file:
        file.write(CONVERSIONS)
        for _ in range(300):
            file.write(block)
    script = """if True:
        import resource, sys
        from pathlib import Path
        from image_search.extra import open_extra, write_extra
        folder = Path(sys.argv[1])
        extra = open_extra(f"c={folder}/c.tsv*", "photo_id")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count = write_extra(extra, [f"{n:07d}abcd" for n in range(500)], folder / "c.parquet")
        print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    said = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
    ).stdout
    count, megabytes = map(float, said.split())
    assert count == 150_000
    assert megabytes < 200
