"""Searching, with an encoder whose scores are known."""

import subprocess
import sys

import pytest
from PIL import Image

from image_search.errors import NotFoundError, QueryError
from image_search.search import Searcher


def test_words_find_their_colour_with_known_scores(searcher: Searcher) -> None:
    results = searcher.search("Red", k=3)
    assert [(hit.rank, hit.id) for hit in results] == [
        (1, "warm/red.png"),
        (2, "warm/orange.png"),
        (3, "warm/yellow.png"),
    ]
    assert [hit.score for hit in results] == pytest.approx([1, 0.895, 0.707], abs=1e-3)


def test_a_hit_carries_every_field(searcher: Searcher) -> None:
    known, unknown = searcher.search("red", k=3)[0], searcher.search("red", k=3)[2]
    assert known.metadata == {
        "title": "A red thing",
        "year": 1872,
        "keywords": ["fire", "blood"],
        "source_url": "https://example.org/1",
        "folder": "warm",
    }
    assert unknown.metadata["title"] is None
    assert unknown.metadata["folder"] == "warm"


def test_a_picture_of_any_mode_finds_itself(searcher: Searcher) -> None:
    blue = Image.new("RGBA", (300, 20), (0, 0, 255, 255))
    hit = searcher.search(image=blue, k=1)[0]
    assert (hit.id, hit.score) == ("cold/blue.png", pytest.approx(1, abs=1e-3))
    nothing = Image.new("RGBA", (9, 9), (255, 0, 0, 0))  # wholly transparent: white
    assert searcher.search(image=nothing, k=5)[0].score == pytest.approx(0.816, abs=1e-3)


def test_more_than_there_are_gives_all(searcher: Searcher) -> None:
    assert len(searcher.search("red", k=100)) == 5


@pytest.mark.parametrize("text", ["", "   ", "\x00\x07\n", None])
def test_nothing_to_search_for_is_said(searcher: Searcher, text: str | None) -> None:
    with pytest.raises(QueryError, match="Type what you are looking for"):
        searcher.search(text)


def test_ten_thousand_characters_are_refused_with_their_number(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="10,000 characters"):
        searcher.search("x" * 10_000)


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_senseless_number_of_results_is_refused(searcher: Searcher, k: int) -> None:
    with pytest.raises(QueryError, match="Between 1 and 1,000"):
        searcher.search("red", k=k)


def test_what_is_given_together_is_looked_for_together(searcher: Searcher) -> None:
    """Red and green in equal parts are yellow; half of red alone would be orange."""
    green = Image.new("RGB", (9, 9), (0, 255, 0))
    results = searcher.search("red", image=green, k=1)
    assert (results[0].id, results.query) == ("warm/yellow.png", "red, a picture")
    assert results[0].score == pytest.approx(1, abs=1e-3)


def test_a_known_picture_finds_its_like_but_not_itself(searcher: Searcher) -> None:
    results = searcher.search(like=["warm/red.png"], k=9)
    assert [hit.id for hit in results][:2] == ["warm/orange.png", "warm/yellow.png"]
    assert (len(results), results.total, results.query) == (4, 4, "like A red thing")


def test_an_unknown_picture_is_said(searcher: Searcher) -> None:
    with pytest.raises(NotFoundError, match="no picture “none”"):
        searcher.search(like=["none"])
    with pytest.raises(NotFoundError):
        searcher.thumbnail("none")


def test_results_can_be_had_in_pages(searcher: Searcher) -> None:
    pages = [searcher.search("red", k=2, offset=start) for start in (0, 2, 4)]
    assert [hit.rank for page in pages for hit in page] == [1, 2, 3, 4, 5]
    assert {page.total for page in pages} == {5}
    with pytest.raises(QueryError, match="Between 1 and 1,000"):
        searcher.search("red", offset=1000)


def test_withdrawn_pictures_are_as_if_they_were_not_there(searcher: Searcher) -> None:
    withdrawn = {"warm/red.png"}
    hidden = Searcher(
        searcher.artifact, searcher.encoder, searcher.index, searcher.catalogue, withdrawn
    )
    assert hidden.search("red", k=9)[0].id == "warm/orange.png"
    assert len(hidden.search("red", k=9)) == len(hidden) == 4
    assert "warm/red.png" not in {record.id for record in hidden.overview()}
    for look in (hidden.record, hidden.picture, hidden.thumbnail):
        with pytest.raises(NotFoundError):
            look("warm/red.png")
    withdrawn.update(searcher.artifact.catalogue.ids())  # looked into at every question
    assert hidden.search("red").hits == []
    assert len(searcher.search("red", k=9)) == 5


def test_a_record_knows_the_size_of_its_picture(searcher: Searcher) -> None:
    record = searcher.record("cold/blue.png")
    assert (record.width, record.height, record.title) == (48, 32, "The sea, at noon")


def test_a_text_over_the_limit_is_cut_and_the_visitor_told(searcher: Searcher) -> None:
    results = searcher.search("red green blue red green blue red green blue blue", k=1)
    assert results.notices[0] == (
        "That is more than the model can read. It searched for: "
        "“red green blue red green blue red green”."
    )
    assert searcher.search("red green", k=1).notices == []


def test_control_characters_are_as_good_as_blanks(searcher: Searcher) -> None:
    assert searcher.search("\x00red\n\t", k=1).query == "red"


def test_what_is_close_to_nothing_is_said(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = searcher.artifact.manifest
    strict = manifest.no_match.model_copy(update={"threshold": 0.9})
    monkeypatch.setattr(
        searcher.artifact, "manifest", manifest.model_copy(update={"no_match": strict})
    )
    assert searcher.search("red", k=1).notices == []
    assert "Nothing here is close" in searcher.search("red green blue", k=1).notices[0]


def test_the_threshold_is_what_nearly_all_everyday_questions_reach(searcher: Searcher) -> None:
    """Words it does not know are all the same to this encoder: a little of every colour."""
    told = searcher.artifact.manifest.no_match
    assert told.threshold == pytest.approx(searcher.search("wood", k=1)[0].score, abs=1e-3)
    assert (told.percentile, told.texts) == (10, 128)


def test_a_strip_of_a_picture_takes_no_more_memory_than_another(searcher: Searcher) -> None:
    strip = Image.new("RGB", (1, 60_000), "blue")
    assert searcher.search(image=strip, k=1)[0].id == "cold/blue.png"


def test_a_picture_without_pixels_is_refused(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="has no pixels"):
        searcher.search(image=Image.new("RGB", (0, 5)))


def test_results_quote_the_version_of_the_collection(searcher: Searcher) -> None:
    results = searcher.search("red")
    assert results.artifact_version == searcher.artifact.version
    assert results.to_dict()["hits"][0]["id"] == "warm/red.png"


def test_an_id_alone_and_a_file_name_are_understood_or_refused(searcher: Searcher) -> None:
    [first, *_] = searcher.search(like="warm/red.png")
    assert first.id == searcher.search(like=["warm/red.png"])[0].id
    with pytest.raises(QueryError, match=r"Pillow's, not 'photo.jpg': PIL.Image.open"):
        searcher.search(image="photo.jpg")  # type: ignore[arg-type]


def test_searching_loads_neither_torch_nor_gradio() -> None:
    code = (
        "import sys, image_search.search; "
        "print([m for m in ('torch', 'gradio', 'sentence_transformers', 'datasets') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
