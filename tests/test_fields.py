"""Kinds and roles by the documented table, overrides, conversion."""

from pathlib import Path

import pyarrow as pa
import pytest

from image_search.errors import CollectionError
from image_search.fields import (
    KINDS,
    ROLES,
    Field,
    Kind,
    Override,
    Value,
    arrow_schema,
    convert,
    infer,
    read_overrides,
)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        # url
        (["https://example.org/1", "HTTP://example.org"], "url"),
        (["https://example.org/a;b", None], "url"),
        (["https://example.org/a b"], "text"),
        (["https://example.org", "see the shelf"], "text"),
        (["javascript:alert(1)"], "text"),
        # number
        (["1872", "-3", "0.5", "0", None, ""], "number"),
        ([1872, 0.5], "number"),
        (["000499442", "1"], "text"),
        (["1,234"], "text"),
        (["1.234,5"], "text"),
        (["1e5"], "text"),
        (["9007199254740993"], "text"),  # 16 digits: a float would round it
        (["1872", "ca. 1872"], "text"),
        (["١٨٧٢"], "text"),
        # date
        (["1872-05", "1872-05-03"], "date"),
        (["1872", "1872-05"], "date"),
        (["1872-05-03T10:00", "1872-05-03 10:00:59.5+01:00", "1872-05-03T10:00Z"], "date"),
        (["1872-13"], "text"),
        (["1872-02-30"], "text"),
        (["1872-05-03T25:00"], "text"),
        (["3.5.1872"], "text"),
        # list
        (["fire; blood", "sea"], "list"),
        (["fire|blood", "sea|salt"], "list"),
        (["fire; blood", "sea", "salt"], "text"),
        (["a " * 40 + "; and so on"], "text"),
        ([["fire"], None], "list"),
        # category
        (["oil", "ink", "oil", "ink"], "category"),
        (["oil", "ink", "oil"], "text"),
        (["x" * 101] * 4, "text"),
        ([str(n) + "x" for n in range(1000)] * 2, "category"),
        ([str(n) + "x" for n in range(1001)] * 2, "text"),
        # text
        ([None, "", "  "], "text"),
        ([], "text"),
    ],
)
def test_the_kind_follows_the_values(values: list[Value], kind: Kind) -> None:
    assert infer({"column": values}) == [Field("column", kind)]


@pytest.mark.parametrize("name", ["keywords", "Tags", "subjects"])
def test_one_separator_is_enough_where_the_name_says_list(name: str) -> None:
    assert infer({name: ["fire; blood", "sea", "salt"]})[0].kind == "list"
    assert infer({name: ["fire", "sea", "salt"]})[0].kind == "text"


@pytest.mark.parametrize(
    ("name", "value", "role"),
    [
        ("title", "The sea", "title"),
        ("Caption", "The sea", "title"),
        ("photographer", "A. Adams", "creator"),
        ("year", "1872", "year"),
        ("date", "1872-05", "year"),
        ("date", "spring 1872", None),
        ("licence", "CC0", "rights"),
        ("rights", "https://creativecommons.org/publicdomain/zero/1.0/", "rights"),
        ("Source URL", "https://example.org", "source_url"),
        ("url", "javascript:alert(1)", None),
        ("page", "000579", None),
        ("credit-line", "Gift of a friend", "credit"),
        ("shelf mark", "A 12", None),
    ],
)
def test_the_role_follows_the_name_if_the_kind_fits(name: str, value: str, role: str) -> None:
    assert infer({name: [value]})[0].role == role


def test_a_role_is_given_once_by_the_order_of_names_not_of_columns() -> None:
    columns: dict[str, list[Value]] = {"name": ["A"], "title": ["B"], "date": ["1"], "year": ["2"]}
    assert [(f.name, f.role) for f in infer(columns)] == [
        ("name", None),
        ("title", "title"),
        ("date", None),
        ("year", "year"),
    ]


def test_a_title_is_text_even_if_titles_repeat() -> None:
    assert infer({"title": ["Map", "Map", "Map; or, chart", "1"]}) == [
        Field("title", "text", "title")
    ]
    override = {"title": Override(kind="category")}
    assert infer({"title": ["Map"]}, override) == [Field("title", "category", "title")]


def test_overrides_win_over_values_and_names() -> None:
    columns: dict[str, list[Value]] = {
        "title": ["A"],
        "plate": ["1"],
        "heading": ["B"],
        "credit": ["5"],
    }
    overrides = {
        "plate": Override(kind="text"),
        "heading": Override(role="title"),
        "credit": Override(role="none"),
    }
    assert infer(columns, overrides) == [
        Field("title", "text"),
        Field("plate", "text"),
        Field("heading", "text", "title"),
        Field("credit", "number"),
    ]


def test_a_role_needs_its_kind() -> None:
    with pytest.raises(CollectionError, match="'link' cannot have the role 'source_url'.*'url'"):
        infer({"link": ["shelf 5"]}, {"link": Override(role="source_url")})


def toml(folder: Path, text: str) -> Path:
    path = folder / "fields.toml"
    path.write_text(text, encoding="utf-8-sig")  # as Notepad writes it
    return path


def test_overrides_are_read(tmp_path: Path) -> None:
    path = toml(
        tmp_path,
        '[plate]\nkind = "text"\n["call number"]\nkind = "category"\nrole = "credit"\n'
        '[title]\nrole = "none"\n',
    )
    assert read_overrides(path, ["plate", "call number", "title"]) == {
        "plate": Override("text"),
        "call number": Override("category", "credit"),
        "title": Override(None, "none"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[nowhere]", "there is no column 'nowhere'; the columns are 'title' or 'year'"),
        (
            '[year]\nkind = "integer"',
            f"kind 'integer'; it can be {KINDS[0]!r}, .* or {KINDS[-1]!r}",
        ),
        ('[year]\nrole = "when"', f"role 'when'; it can be {ROLES[0]!r}, .* or 'none'"),
        ("[year]\nkind = 5", "kind 5; it can be"),
        ("[year]\nkind = []", r"kind \[\]; it can be"),
        ('[year]\ntype = "number"', "has 'type'; there are only 'kind' and 'role'"),
        ('year = "number"', r"'year' must be a table. Write \[year\]"),
        ('[year]\nrole = "title"\n[title]\nrole = "title"', "both have the role 'title'"),
        ("[year]\nkind = number", "is not valid TOML: .*line 2"),
    ],
)
def test_wrong_overrides_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CollectionError, match=message):
        read_overrides(toml(tmp_path, text), ["title", "year"])


def test_overrides_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="cannot be read: No such file"):
        read_overrides(tmp_path / "fields.toml", [])
    (tmp_path / "latin.toml").write_bytes(b"[k\xfcnstler]")
    with pytest.raises(CollectionError, match="not valid TOML"):
        read_overrides(tmp_path / "latin.toml", [])


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", "  The sea ", "The sea"),
        ("text", "", None),
        ("text", None, None),
        ("text", float("nan"), None),
        ("text", 5, "5"),
        ("text", ["a", "b"], "a; b"),
        ("text", "cafe\u0301", "caf\u00e9"),
        ("text", "\ud800!", "?!"),
        ("category", "oil", "oil"),
        ("date", "1872-05", "1872-05"),
        ("number", "1872", 1872),
        ("number", "1872.0", 1872),
        ("number", "0.5", 0.5),
        ("number", 1872.0, 1872),
        ("number", "-3", -3),
        ("number", "007", 7),
        ("number", "0.12345678901234567", 0.12345678901234567),
        ("number", "ca. 1872", None),
        ("number", "nan", None),
        ("number", "1_000", None),
        ("url", "https://example.org", "https://example.org"),
        ("url", "javascript:alert(1)", None),
        ("list", "fire; blood |sea;;", ["fire", "blood", "sea"]),
        ("list", ["fire ", "", "a;b"], ["fire", "a;b"]),
        ("list", " ; ", None),
        ("list", None, None),
    ],
)
def test_values_are_converted(kind: Kind, value: Value, expected: Value) -> None:
    converted = convert(value, Field("column", kind))
    assert converted == expected
    assert type(converted) is type(expected)


def test_the_arrow_schema_looks_at_all_rows() -> None:
    fields = [Field(kind, kind) for kind in KINDS] + [
        Field("size", "number"),
        Field("none", "number"),
    ]
    columns: dict[str, list[Value]] = {name: [None] * 3 for name in (*KINDS, "none")}
    columns |= {"number": [1872, None, None], "size": [1, 0.5, None]}
    assert arrow_schema(fields, columns) == pa.schema(
        [
            ("text", pa.string()),
            ("category", pa.string()),
            ("list", pa.list_(pa.string())),
            ("number", pa.int64()),
            ("date", pa.string()),
            ("url", pa.string()),
            ("size", pa.float64()),
            ("none", pa.int64()),
        ]
    )
    table = pa.table(columns, schema=arrow_schema(fields, columns))
    assert table["size"].to_pylist() == [1.0, 0.5, None]


def test_a_fields_toml_where_there_are_no_columns_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "fields.toml"
    path.write_text("[year]\n")
    with pytest.raises(CollectionError, match="no column 'year'; the columns are none"):
        read_overrides(path, [])
