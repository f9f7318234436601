"""Citations, and what a stranger's metadata can do to them: read back by a parser of BibTeX."""

import re
from datetime import date

import found
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pybtex.database import Entry, parse_string

from image_search.citation import Citation, of_picture, of_search
from image_search.provenance import creators_of, rights_of, source_of, year_of
from image_search.tidy import tidy

PRINTED = {
    "textbackslash": "\\",
    "textbraceleft": "{",
    "textbraceright": "}",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
}
"""What LaTeX prints for the only commands that may stand in an entry."""


def parsed(citation: Citation) -> Entry:
    """The only entry of a citation."""
    data = parse_string(citation.bibtex, "bibtex")
    assert len(data.entries) == 1
    return next(iter(data.entries.values()))


def printed(tex: str) -> str:
    """The text as LaTeX prints it; fails at any sign that would do something else than print."""
    text = ""
    while tex:
        read = re.match(r"\\([a-z]+)\{\}|\\([$&%#_])|([^\\{}$&%#_~^<>|])", tex)
        assert read, f"TeX would not print {tex[:30]!r}"
        text += PRINTED[read[1]] if read[1] else read[2] or read[3]
        tex = tex[read.end() :]
    return text


def unbraced(value: str) -> str:
    assert value.startswith("{")
    assert value.endswith("}")
    assert not value.startswith("{\\")  # of which BibTeX would change the capitals
    return value[1:-1].removeprefix("{}")


def test_a_picture_is_cited_with_all_that_is_known() -> None:
    citation = of_picture(found.known_hit(), found.provenance(), "https://example.org/p/1")
    assert citation.text == (
        "Ann Lee and Smith and Sons. A guitar (1872). Gift of a friend. <https://museum.org/1_2>. "
        "CC0 1.0. Found in Prints & Drawings, artifact version 0123456789ab…, 2026-11-21. "
        "<https://example.org/p/1>."
    )
    entry = parsed(citation)
    assert entry.type == "misc"
    assert [str(person) for person in entry.persons["author"]] == ["{Ann Lee}", "{Smith and Sons}"]
    fields = dict(entry.fields)
    assert {name: fields[name] for name in ("title", "year", "url", "urldate")} == {
        "title": "{A guitar}",
        "year": "1872",
        "url": "https://museum.org/1_2",
        "urldate": "2026-11-21",
    }
    assert printed(fields["howpublished"]) == (
        "Found in Prints & Drawings, artifact version 0123456789ab…"
    )
    assert printed(fields["note"]) == (
        "Gift of a friend. Rights: CC0 1.0. <https://example.org/p/1>."
    )


def test_what_is_unknown_is_left_out() -> None:
    nothing = found.provenance(rights="", address="", dataset="", revision="", fields=[])
    citation = of_picture(found.hit(), nothing)
    assert citation.text == (
        "a guitar.png. Found in Prints & Drawings, artifact version 0123456789ab…, 2026-11-21."
    )
    assert set(parsed(citation).fields) == {"key", "title", "howpublished", "urldate"}
    assert not parsed(citation).persons
    search = of_search(found.results(), nothing)
    assert search.text == (
        "Search for “a guitar” in Prints & Drawings, 2026-11-21: 0 pictures of 60. "
        f"Artifact version {found.VERSION}. Model openai/clip_vit."
    )
    assert "url" not in parsed(search).fields


def test_a_search_is_cited_so_that_it_can_be_asked_again() -> None:
    hits = [found.hit(f"{n}.png", n) for n in (1, 2)]
    citation = of_search(found.results(*hits), found.provenance())
    assert citation.text == (
        "Search for “a guitar” in Prints & Drawings, 2026-11-21: 2 pictures of 60. Dataset "
        f"museum/prints@v2, artifact version {found.VERSION}. Model openai/clip_vit, revision "
        "4af1. <https://example.org/?q=a%20guitar&page=1#top>."
    )
    fields = parsed(citation).fields
    assert printed(unbraced(fields["title"])) == "Search for “a guitar” in Prints & Drawings"
    assert printed(fields["note"]) == "2 pictures of 60. Model openai/clip_vit, revision 4af1."
    assert fields["url"] == "https://example.org/?q=a%20guitar&page=1#top"
    listed = of_search(found.results(*hits, query=""), found.provenance())
    assert listed.text.startswith("Pictures of Prints & Drawings, 2026-11-21: 2 pictures of 60.")


@pytest.mark.parametrize("text", found.HOSTILE)
def test_no_metadata_ends_an_entry_or_runs(text: str) -> None:
    hit = found.hit(
        title=text, artist=[text, text], made=text, rights=text, page=f"https://x/{text}"
    )
    shown = tidy(text)
    entry = parsed(of_picture(hit, found.provenance(collection=text), text))
    assert set(entry.fields) <= {"title", "year", "howpublished", "note", "url", "urldate"}
    assert printed(unbraced(entry.fields["title"])) == shown
    authors = [str(person) for person in entry.persons["author"]]
    assert [printed(author[1:-1]) for author in authors] == [shown, shown]
    assert printed(entry.fields["howpublished"]).startswith(f"Found in {shown}, artifact")
    assert f"Rights: {shown}" in printed(entry.fields["note"])
    assert re.fullmatch(r"[!-~]+", entry.fields["url"])
    assert not set(entry.fields["url"]) & set('{}\\^"<>| ')
    search = parsed(
        of_search(found.results(query=text), found.provenance(model=text, dataset=text))
    )
    assert printed(unbraced(search.fields["title"])).startswith(f"Search for “{shown}” in ")
    assert printed(search.fields["howpublished"]).startswith(f"Dataset {shown}, artifact")


@pytest.mark.parametrize("text", ["a\n\nb", "a\r\x0bb", "a\u2028b\x85c"])
def test_an_entry_has_a_line_for_each_field(text: str) -> None:
    """Some programs read line by line, and take an @ at the start of one for an entry."""
    hit = found.hit(title=text, made=text, rights=text)
    provenance = found.provenance(collection=text, dataset=text, model=text, revision=text)
    for citation in (
        of_picture(hit, provenance, f"https://x/{text}"),
        of_search(found.results(query=text), provenance),
    ):
        _, *fields, end, nothing = re.split(r"[\n\r\x0b\x85\u2028]", citation.bibtex)
        assert all(re.fullmatch(r"  [a-z]+ += \{.+\},", field) for field in fields)
        assert (end, nothing) == ("}", "")


@given(st.text())
def test_any_title_can_be_read_back(title: str) -> None:
    entry = parsed(of_picture(found.hit(title=title), found.provenance()))
    shown = tidy(title or "a guitar.png")
    assert printed(unbraced(entry.fields.get("title", "{}"))) == shown


@pytest.mark.parametrize("title", found.HOSTILE)
def test_a_citation_is_one_line(title: str) -> None:
    text = of_picture(found.hit(title=title), found.provenance()).text
    assert text.isprintable()
    assert text.startswith(tidy(title))


def test_keys_tell_pictures_apart_and_stay() -> None:
    ids = ["a/x.png", "b/x.png", "x.png", "X.png", "日本.png", "本日.png", "%}{,.png", "x y", "x-y"]
    keys = [parsed(of_picture(found.hit(id), found.provenance())).key for id in ids]
    assert len(set(keys)) == len(ids)
    assert all(re.fullmatch("[a-z0-9-]+", key) for key in keys)
    later = found.provenance(artifact_version="f" * 64, retrieved=date(2030, 1, 1), fields=[])
    renamed = [parsed(of_picture(found.hit(id, 9, title="New"), later)).key for id in ids]
    assert renamed == keys
    elsewhere = of_picture(found.hit(ids[0]), found.provenance(collection="Maps"))
    assert parsed(elsewhere).key != keys[0]


def test_searches_of_other_days_and_versions_have_other_keys() -> None:
    changes = [{}, {"retrieved": date(2030, 1, 1)}, {"artifact_version": "f" * 64}]
    keys = {
        parsed(of_search(found.results(query=query), found.provenance(**change))).key
        for query in ("red", "blue")
        for change in changes
    }
    assert len(keys) == 6
    again = parsed(of_search(found.results(query="red"), found.provenance())).key
    assert again in keys


@pytest.mark.parametrize(
    ("made", "year"),
    [
        (1872, "1872"),
        (1872.0, "1872"),
        (1872.5, "1872.5"),
        (987, "987"),
        (-44, "-44"),
        (0, "0"),
        ("0987-05", "987"),
        ("1872-05-03T10:00", "1872"),
        ("1850–55", "1850–55"),
        ("c. 1500", "c. 1500"),
        ("17890", "17890"),
        (None, ""),
    ],
)
def test_a_year_is_what_the_keeper_wrote(made: str | float | None, year: str) -> None:
    hit = found.hit(made=made)
    assert year_of(hit, found.provenance()) == year
    fields = parsed(of_picture(hit, found.provenance())).fields
    assert fields.get("year", "") == year
    assert (f" ({year})." in of_picture(hit, found.provenance()).text) == bool(year)


def test_creators_are_as_many_as_the_list_has() -> None:
    for value, names in [
        (["A", "B", "C"], ["A", "B", "C"]),
        ("A and B", ["A and B"]),
        (["", " "], []),
        (None, []),
    ]:
        hit = found.hit(artist=value)
        assert creators_of(hit, found.provenance()) == names
        persons = parsed(of_picture(hit, found.provenance())).persons.get("author", [])
        assert [str(person) for person in persons] == [f"{{{name}}}" for name in names]
    text = of_picture(found.hit(artist=["A", "B", "C"]), found.provenance()).text
    assert text.startswith("A, B and C. a guitar.png.")


def test_rights_are_the_pictures_own_before_the_collections() -> None:
    assert rights_of(found.hit(rights="CC0"), found.provenance()) == "CC0"
    assert rights_of(found.hit(), found.provenance()) == "All rights reserved"
    assert rights_of(found.hit(), found.provenance(rights="")) == ""
    assert "All rights reserved. Found in" in of_picture(found.hit(), found.provenance()).text


@pytest.mark.parametrize("page", ["javascript:alert(1)", "file:///etc/passwd", "see there", None])
def test_a_source_is_a_link_or_nothing(page: str | None) -> None:
    hit = found.hit(page=page)
    assert source_of(hit, found.provenance()) == ""
    assert "url" not in parsed(of_picture(hit, found.provenance())).fields


def test_a_title_that_is_the_whole_credit_is_said_once() -> None:
    hit = found.hit(title="A guitar", credit_line="A guitar.")
    assert of_picture(hit, found.provenance()).text.count("A guitar") == 1
