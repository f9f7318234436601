"""Questions that are refined: terms, alternatives, known pictures, filters, with known scores."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import build_folder
from gated import environment
from PIL import Image

import image_search
from image_search.encoder import OnnxEncoder
from image_search.errors import NotFoundError, QueryError, QuerySyntaxError
from image_search.facets import Facets
from image_search.filters import Between, OneOf
from image_search.question import question
from image_search.results import Results
from image_search.search import Searcher
from image_search.settings import settings

RED, ORANGE, YELLOW = "warm/red.png", "warm/orange.png", "warm/yellow.png"
GREEN, BLUE = "cold/green.png", "cold/blue.png"

HALF = 0.5**0.5


def ids(results: Results) -> list[str]:
    return [hit.id for hit in results]


def scores(results: Results) -> dict[str, float]:
    return {hit.id: hit.score or 0.0 for hit in results}


def without(searcher: Searcher, *withdrawn: str) -> Searcher:
    """The same with some pictures withdrawn."""
    parts = (searcher.artifact, searcher.encoder, searcher.index, searcher.catalogue)
    return Searcher(*parts, set(withdrawn))


# Terms


def test_less_of_a_colour_is_less_of_it(searcher: Searcher) -> None:
    """(1, 0, -1) / √2 with each picture."""
    results = searcher.search("red -blue", k=9)
    assert ids(results) == [RED, ORANGE, YELLOW, GREEN, BLUE]
    assert list(scores(results).values()) == pytest.approx(
        [HALF, HALF * 255 / (255**2 + 127**2) ** 0.5, 0.5, 0, -HALF], abs=1e-3
    )
    assert results.query == "red -blue"
    assert str(results.understood) == "red -blue"


def test_weights_weigh(searcher: Searcher) -> None:
    found = scores(searcher.search("2:red +blue", k=9))
    assert found[RED] == pytest.approx(2 / 5**0.5, abs=1e-3)
    assert found[BLUE] == pytest.approx(1 / 5**0.5, abs=1e-3)
    assert ids(searcher.search("red +0.5:blue", k=9)) == ids(searcher.search("2:red +blue", k=9))
    alone = scores(searcher.search("2:red", k=9))
    assert alone == pytest.approx(scores(searcher.search("red", k=9)), abs=1e-6)


@pytest.mark.parametrize("text", ["red OR blue", "red or blue", "blue OR red", "a OR red or blue"])
def test_the_better_of_two_counts(searcher: Searcher, text: str) -> None:
    results = searcher.search(text, k=9)
    alone = [scores(searcher.search(one, k=9)) for one in text.replace("OR", "or").split(" or ")]
    best = {id: max(one[id] for one in alone) for id in alone[0]}
    order = sorted(best, key=lambda id: (-best[id], searcher.row(id)))
    assert ids(results) == order
    assert [hit.score for hit in results] == [best[id] for id in order]
    assert results.total == 5


def test_both_of_what_is_chosen_between_are_without_what_is_subtracted(searcher: Searcher) -> None:
    found = scores(searcher.search("red OR blue -green", k=9))
    for colour, id in (("red", RED), ("blue", BLUE)):
        alone = scores(searcher.search(f"{colour} -green", k=9))
        assert found[id] == alone[id] == pytest.approx(HALF, abs=1e-3)


def test_what_cancels_out_is_said(searcher: Searcher) -> None:
    for text in ("red -red", "red -like:warm/red.png", "like:cold/blue.png -blue"):
        with pytest.raises(QueryError, match="cancel each other out"):
            searcher.search(text)


def test_a_mistake_is_pointed_at(searcher: Searcher) -> None:
    with pytest.raises(QuerySyntaxError, match='at character 5: red ▸"blue') as error:
        searcher.search('red "blue')
    assert error.value.place == 4


def test_control_characters_do_not_move_the_place_of_a_mistake(searcher: Searcher) -> None:
    with pytest.raises(QuerySyntaxError) as error:
        searcher.search('  red\x00\n "blue')
    assert error.value.place == 8


# Pictures of the collection


def test_a_named_picture_is_a_term_and_no_result(searcher: Searcher) -> None:
    results = searcher.search(f"like:{RED}", k=9)
    assert ids(results) == [ORANGE, YELLOW, BLUE, GREEN]
    assert results.total == 4
    found = searcher.search(f"-like:{RED}", k=9)
    assert ids(found) == [BLUE, GREEN, YELLOW, ORANGE]
    assert found[0].score == pytest.approx(0, abs=1e-3)
    assert found[3].score == pytest.approx(-0.895, abs=1e-3)
    # A picture that only one of two choices names is no result either.
    assert RED not in ids(searcher.search(f"blue OR like:{RED}", k=9))


def test_words_a_picture_and_known_pictures_go_together(searcher: Searcher) -> None:
    """(1, 0, 0) + (0, 1, 0) + ½ (0, 0, 1) - 2 (1, 0, 0)"""
    green = Image.new("RGB", (9, 9), (0, 255, 0))
    results = searcher.search(f"red +0.5:like:{BLUE} -2:like:{RED}", image=green, k=9)
    found = scores(results)
    assert set(found) == {ORANGE, YELLOW, GREEN}
    length = (1 + 1 + 0.25) ** 0.5
    assert found[GREEN] == pytest.approx(1 / length, abs=1e-3)
    assert found[YELLOW] == pytest.approx(0, abs=1e-3)
    assert results.total == 3


def test_liked_and_disliked_pictures_move_the_question_as_the_settings_say(
    searcher: Searcher,
) -> None:
    """green + 0.75 blue - 0.15 red, with yellow: (-0.15 + 1) / √2, over the length."""

    def found() -> Results:
        return searcher.search("green", like=[BLUE], unlike=[RED], k=9)

    length = (1 + 0.75**2 + 0.15**2) ** 0.5
    assert set(ids(found())) == {GREEN, YELLOW, ORANGE}
    assert scores(found())[GREEN] == pytest.approx(1 / length, abs=1e-3)
    assert scores(found())[YELLOW] == pytest.approx(0.85 * HALF / length, abs=1e-3)
    assert found().query == "green, like The sea, at noon, less like A red thing"
    with environment(IMAGE_SEARCH_LIKE="2", IMAGE_SEARCH_UNLIKE="1"):
        length = (1 + 4 + 1) ** 0.5
        assert scores(found())[GREEN] == pytest.approx(1 / length, abs=1e-3)
    settings.cache_clear()


def test_a_tray_puts_results_in_another_order(searcher: Searcher) -> None:
    assert ids(searcher.search("white", k=9))[0] == YELLOW
    assert ids(searcher.search("white", like=[ORANGE], k=1)) == [YELLOW]
    assert ids(searcher.search("white", unlike=[YELLOW], k=1)) == [ORANGE]
    with environment(IMAGE_SEARCH_UNLIKE="1"):  # of white, without yellow, blue is left
        assert ids(searcher.search("white", unlike=[YELLOW], k=1)) == [BLUE]
    settings.cache_clear()
    assert ids(searcher.search(unlike=[RED], k=9)) == [BLUE, GREEN, YELLOW, ORANGE]


def test_the_same_picture_twice_counts_once(searcher: Searcher) -> None:
    once = searcher.search("green", like=[BLUE])
    assert scores(searcher.search("green", like=[BLUE, BLUE])) == scores(once)
    with pytest.raises(QueryError, match="cannot be both liked and disliked"):
        searcher.search("green", like=[BLUE], unlike=[RED, BLUE])


def test_pictures_that_are_not_there_are_said_wherever_they_are_named(searcher: Searcher) -> None:
    for how in ({"text": "like:none"}, {"text": "red -like:none"}, {"unlike": ["none"]}):
        with pytest.raises(NotFoundError, match="no picture “none”"):
            searcher.search(**how)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        without(searcher, BLUE).search(f"red -like:{BLUE}")
    with pytest.raises(NotFoundError):
        without(searcher, BLUE).search("red", unlike=[BLUE])


def test_more_pictures_than_20_are_refused_however_they_are_named(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="Up to 20 pictures can be searched with, not 21"):
        searcher.search("like:none", like=[f"{n}" for n in range(10)],
                        unlike=[f"u{n}" for n in range(10)])  # fmt: skip


# Whether anything is near


def test_only_a_plain_question_can_be_near_to_nothing(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = searcher.artifact.manifest
    strict = manifest.no_match.model_copy(update={"threshold": 1.5})
    monkeypatch.setattr(
        searcher.artifact, "manifest", manifest.model_copy(update={"no_match": strict})
    )

    def is_far(text: str = "", **how: Any) -> bool:
        results = searcher.search(text, **how)
        assert results.no_match == any("Nothing here is close" in said for said in results.notices)
        return results.no_match

    assert is_far("red")
    assert is_far("red OR blue")
    assert is_far("red or blue")
    assert not is_far("red", where=["folder:cold"])  # fewer pictures, and the best less near
    for text in ("red -blue", "red +blue", "2:red", f"like:{RED}"):
        assert not is_far(text)
    assert not is_far("red", like=[RED])
    assert not is_far("red", unlike=[RED])
    assert not is_far("red", image=Image.new("RGB", (9, 9)))
    assert not is_far(where=["folder:cold"])
    assert not is_far("red", offset=1)


@pytest.mark.parametrize("text", ["red without blue", "Not red", "green except yellow"])
def test_who_says_not_is_told_of_the_minus(searcher: Searcher, text: str) -> None:
    notice = searcher.search(text).notices[0]
    assert notice.startswith("The model does not understand “")
    assert notice.endswith("put a minus before it: cats -dogs.")
    assert not searcher.search("red -blue knot").notices


# Filters


def test_a_filter_alone_lists_in_the_order_of_the_collection(searcher: Searcher) -> None:
    results = searcher.search(where=["folder:warm"], k=2)
    order = [id for id in searcher.artifact.catalogue.ids() if id.startswith("warm/")]
    assert ids(results) == order[:2]
    assert ids(searcher.search(where="folder:warm", k=2, offset=2)) == order[2:]
    assert [(hit.rank, hit.score) for hit in results] == [(1, None), (2, None)]
    assert (results.total, results.query, results.where) == (3, "folder:warm", ("folder:warm",))
    assert results.to_dict()["hits"][0]["score"] is None


def test_a_filter_keeps_the_nearest_that_match(searcher: Searcher) -> None:
    results = searcher.search("red", where=["year:1880..1900"], k=9)
    assert ids(results) == [ORANGE, BLUE]
    assert results.total == 2
    assert scores(results)[ORANGE] == scores(searcher.search("red", k=9))[ORANGE]
    assert ids(searcher.search("red", where=["keywords:sea", "keywords:fire"])) == [RED, BLUE]
    assert ids(searcher.search("red", where=["folder:warm", "keywords:sea"])) == []
    assert ids(searcher.search("red", where=[Between("year", high=1872)])) == [RED]
    assert ids(searcher.search("red", where=[OneOf("folder", ("cold",))])) == [BLUE, GREEN]
    assert ids(searcher.search("red", contains="THING")) == [RED]
    assert ids(searcher.search("red", contains="sea noon")) == [BLUE]
    assert ids(searcher.search("red OR blue", where=["folder:cold"], k=9)) == [BLUE, GREEN]


def test_a_named_picture_is_not_counted_among_what_matches(searcher: Searcher) -> None:
    results = searcher.search(like=[RED], where=["folder:warm"], k=9)
    assert (ids(results), results.total) == ([ORANGE, YELLOW], 2)


def test_filters_that_nothing_matches_are_told(searcher: Searcher) -> None:
    for text in ("", "red"):
        results = searcher.search(text, where=["year:2000.."])
        assert (results.total, results.hits, results.no_match) == (0, [], False)
        assert results.notices == ["No picture matches these filters. Take one away, or widen it."]


def test_withdrawn_pictures_count_nowhere(searcher: Searcher) -> None:
    hidden = without(searcher, ORANGE, GREEN, "never/was.png")
    for how, total in (
        ({"text": "red"}, 3),
        ({"text": "red OR blue"}, 3),
        ({"where": ["folder:warm"]}, 2),
        ({"text": "red", "where": ["folder:warm"]}, 2),
        ({"text": "like:" + RED}, 2),
        ({"like": [RED], "where": ["folder:warm"]}, 1),
        ({"contains": "orange"}, 0),
    ):
        results = hidden.search(**how, k=9)  # type: ignore[arg-type]
        assert (results.total, len(results)) == (total, total), how
        assert not {ORANGE, GREEN} & set(ids(results))
        asked = question(**{"text": None, **how})  # type: ignore[arg-type]
        assert hidden.facets(asked).pictures == total
    assert counted(hidden.facets(), "keywords") == {"blood": 1, "fire": 1, "sea": 1}
    assert hidden.facets().pictures == len(hidden) == 3


def counted(facets: Facets, field: str) -> dict[str, int]:
    [found] = [one for one in facets.facets if one.field == field]
    return {choice.value: choice.count for choice in found.choices}


# Odd ids


ODD = (
    "a blank.png",
    "two  blanks.png",
    "like:colon: 2:30.png",
    "single 'quotes'.png",
    "Ärger/☃ 地図 🦊.png",
    "-minus.png",
    "OR.png",
    "a OR b.png",
    'mid"quote.png',
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Searcher:
    folder = tmp_path_factory.mktemp("odd") / "pictures"
    for place, id in enumerate([*ODD, 'a "b" c.png']):
        (folder / id).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (255, 0, 0) if place % 2 else (0, 0, 255)).save(folder / id)
    return image_search.open(build_folder(folder, colours, folder.with_name("out")))


@pytest.mark.parametrize("id", ODD)
def test_every_id_can_be_named_in_words(odd: Searcher, id: str) -> None:
    typed = f'like:"{id}"' if " " in id else f"like:{id}"
    for text in (typed, f"red +{typed} -0.5:green", f"-{typed}"):
        results = odd.search(text, k=99)
        assert id not in ids(results)
        assert len(results) == results.total == len(odd) - 1
        again = odd.search(str(results.understood), k=99)
        assert scores(again) == scores(results)
    assert scores(odd.search(typed, k=99)) == scores(odd.search(like=[id], k=99))


def test_an_id_with_quotes_and_blanks_is_named_beside_the_words(odd: Searcher) -> None:
    assert 'a "b" c.png' not in ids(odd.search(like='a "b" c.png', k=99))
    assert 'a "b" c.png' not in ids(odd.search("red", unlike=['a "b" c.png'], k=99))


# Pages of what is chosen between


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Searcher:
    """40 pictures of five colours: most have the score of others."""
    folder = tmp_path_factory.mktemp("many") / "pictures"
    folder.mkdir()
    palette = ((255, 0, 0), (0, 0, 255), (255, 255, 0), (0, 255, 0), (255, 0, 255))
    lines = ["file_name,year,kind"]
    for n in range(40):
        Image.new("RGB", (8 + n, 8), palette[n * 7 % 5]).save(folder / f"{n:02}.png")
        lines.append(f"{n:02}.png,{1800 + n},{'print' if n % 3 else 'map'}")
    (folder / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    return image_search.open(build_folder(folder, colours, folder.with_name("out")))


@pytest.mark.parametrize("where", [(), ("kind:print",), ("year:1803..1830",)])
@pytest.mark.parametrize("hidden", [(), ("03.png", "04.png", "10.png")])
@pytest.mark.parametrize("text", ["red OR blue", "red or blue or green -yellow", "blue", ""])
def test_pages_have_no_gap_and_no_double(
    many: Searcher, text: str, where: Sequence[str], hidden: Sequence[str]
) -> None:
    if not text and not where:
        where = ("year:..3000",)
    searcher = without(many, *hidden)
    whole = searcher.search(text, where=where, k=99)
    assert whole.total == len(whole) == len(set(ids(whole)))
    rows = {id: row for row, id in enumerate(many.artifact.catalogue.ids())}
    keys = [(-(hit.score or 0.0), rows[hit.id]) for hit in whole]
    assert keys == sorted(keys)
    for size in (1, 3, 7):
        pages = [
            searcher.search(text, where=where, k=size, offset=start)
            for start in range(0, len(whole) + size, size)
        ]
        assert [hit.id for page in pages for hit in page] == ids(whole)
        assert [hit.rank for page in pages for hit in page] == list(range(1, len(whole) + 1))
        assert [hit.score for page in pages for hit in page] == [hit.score for hit in whole]
        assert {page.total for page in pages} == {len(whole)}


def test_facets_count_what_a_question_brings(many: Searcher) -> None:
    hidden = without(many, "03.png", "04.png", "10.png")
    years = [n for n in range(40) if n not in (3, 4, 10)]
    for text in ("", "red OR blue", "red -blue"):
        facets = hidden.facets(question(text, where=["kind:map", "year:1805..1820"]))
        kinds = Counter("print" if n % 3 else "map" for n in years if 5 <= n <= 20)
        assert counted(facets, "kind") == dict(kinds)  # of both: it is its own condition
        [year] = [one for one in facets.facets if one.field == "year"]
        assert sum(one.count for one in year.bins) == sum(1 for n in years if n % 3 == 0)
        assert (year.low, year.high) == (1805, 1820)
        assert facets.pictures == sum(1 for n in years if n % 3 == 0 and 5 <= n <= 20)
        assert not facets.nearest
