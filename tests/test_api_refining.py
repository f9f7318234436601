"""Refined questions and facets over /api/v1, and through gradio_client."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import serving
from gradio_client import Client
from gradio_client.exceptions import AppError
from test_api import RED, api_of, ids, picture, said

from image_search.search import Searcher

ORANGE, YELLOW = "warm/orange.png", "warm/yellow.png"
GREEN, BLUE = "cold/green.png", "cold/blue.png"
SEARCH, FACETS = "/api/v1/search", "/api/v1/facets"


@pytest.fixture(scope="module")
def client(searcher: Searcher) -> Iterator[httpx.Client]:
    with api_of(searcher) as client:
        yield client


def test_an_answer_says_what_was_understood(client: httpx.Client) -> None:
    asked = {
        "text": f"red OR 2:white -like:{BLUE}",
        "like": [ORANGE],
        "unlike": [GREEN],
        "where": ["year:1800..", "folder:warm", "folder:cold"],
        "contains": "Thing",
    }
    told = client.get(SEARCH, params=asked).json()
    terms = [[(t["text"], t["weight"], t["without"]) for t in group] for group in told["terms"]]
    assert terms == [
        [("red", 1, f"2:white -like:{BLUE}"), ("white", 2, f"red -like:{BLUE}")],
        [(BLUE, -1, "red OR 2:white")],
    ]
    pictures = [term["picture"] for group in told["terms"] for term in group]
    assert [one and one["id"] for one in pictures] == [None, None, BLUE]
    assert pictures[2]["thumbnail"].startswith("/api/v1/thumbnails/cold%2Fblue.png?v=")
    assert [[one["id"] for one in told[name]] for name in ("like", "unlike")] == [[ORANGE], [GREEN]]
    assert told["filters"] == [
        {"where": "year:1800..", "said": "year from 1800"},
        {"where": "folder:warm", "said": "folder: warm"},
        {"where": "folder:cold", "said": "folder: cold"},
    ]
    assert told["contains"] == "Thing"
    assert [hit["id"] for hit in told["hits"]] == [RED]
    assert (told["total"], told["cursor"]) == (1, None)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"text": "red -blue"}, [RED, ORANGE, YELLOW, GREEN, BLUE]),
        ({"text": "red", "unlike": [ORANGE, YELLOW]}, [RED, BLUE, GREEN]),
        ({"text": "red", "where": "folder:cold"}, [BLUE, GREEN]),
        ({"text": "red", "where": ["year:..1880", "year:1860.."]}, [RED]),
        ({"text": "red", "contains": "sea noon"}, [BLUE]),
        ({"where": ["keywords:sea", "keywords:fire"]}, [BLUE, RED]),
        ({"where": "year:2000.."}, []),
    ],
)
def test_every_parameter_counts_with_a_picture_too(
    client: httpx.Client, asked: dict[str, Any], found: list[str]
) -> None:
    answer = client.get(SEARCH, params=asked)
    assert ids(answer) == found
    assert answer.json()["total"] == len(found)
    counted = client.get(FACETS, params=asked).json()
    assert counted["pictures"] == len(found)
    # The picture is a grey one: it moves the scores and takes none away.
    sent = client.post(SEARCH, params=asked, content=picture("#808080"))
    assert sorted(ids(sent)) == sorted(found)
    assert client.post(FACETS, params=asked, content=picture("red")).json() == counted


def test_what_is_only_filtered_has_no_score(client: httpx.Client) -> None:
    hits = client.get(SEARCH, params={"where": "folder:cold"}).json()["hits"]
    assert [(hit["rank"], hit["score"]) for hit in hits] == [(1, None), (2, None)]


@pytest.mark.parametrize("path", [SEARCH, FACETS])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"where": "decade:1850"}, 400, "Its fields are: "),
        ({"where": "year:old"}, 400, "“old” is no number: write year:1850..1870"),
        ({"where": "year:"}, 400, "no value behind the colon"),
        ({"where": ["year:1"] * 101}, 400, "Up to 100 filters"),
        ({"contains": "..."}, 400, "no word that could be found"),
        ({"contains": "x" * 2_001}, 400, "2,001 characters"),
        ({"text": 'red "blue'}, 400, 'at character 5: red ▸"blue'),
        ({"text": "red OR"}, 400, "OR needs something after it"),
        ({"text": "red", "unlike": "none"}, 404, "no picture “none”"),
        ({"text": "like:none"}, 404, "no picture “none”"),
        ({"text": "red", "like": [RED], "unlike": [RED]}, 400, "both liked and disliked"),
    ],
)
def test_a_wrong_question_is_refused_with_a_helpful_sentence(
    client: httpx.Client, path: str, method: str, asked: dict[str, Any], status: int, words: str
) -> None:
    content = picture("red") if method == "POST" else None
    assert words in said(client.request(method, path, params=asked, content=content), status)


@pytest.mark.parametrize(
    "other",
    [{"where": "folder:cold"}, {"where": ["folder:warm", "year:1.."]}, {"contains": "a"},
     {"unlike": BLUE}, {"like": BLUE}, {"text": "blue"}],
)  # fmt: skip
def test_a_cursor_is_refused_for_another_filter(
    client: httpx.Client, other: dict[str, Any]
) -> None:
    asked = {"text": "red", "where": "folder:warm", "k": 1}
    cursor = client.get(SEARCH, params=asked).json()["cursor"]
    assert ids(client.get(SEARCH, params={**asked, "cursor": cursor})) == [ORANGE]
    answer = client.get(SEARCH, params={**asked, **other, "cursor": cursor})
    assert "belongs to another question" in said(answer, 400)
    # It holds for no other picture either.
    sent = client.post(SEARCH, params={**asked, "cursor": cursor}, content=picture("red"))
    assert "belongs to another question" in said(sent, 400)


def test_facets_of_everything_need_no_question(client: httpx.Client) -> None:
    told = client.get(FACETS).json()
    assert (told["pictures"], told["nearest"]) == (5, False)
    by_name = {facet["field"]: facet for facet in told["facets"]}
    assert by_name["folder"]["choices"] == [
        {"value": "warm", "count": 3, "chosen": False},
        {"value": "cold", "count": 2, "chosen": False},
    ]
    assert sum(one["count"] for one in by_name["year"]["bins"]) == 3


# gradio_client


@pytest.fixture(scope="module")
def by_name(searcher: Searcher) -> Iterator[tuple[Client, str]]:
    with serving(searcher.artifact.path) as address:
        yield Client(address, verbose=False, download_files=False), address


def test_programs_ask_the_endpoints_by_name_with_lists(by_name: tuple[Client, str]) -> None:
    client, address = by_name
    asked: dict[str, Any] = {
        "like": [ORANGE], "unlike": [BLUE], "where": ["folder:warm", "year:1800.."],
    }  # fmt: skip
    answer = client.predict("red -white", k=2, **asked, api_name="/search")
    plain = httpx.get(f"{address}{SEARCH}", params={"text": "red -white", "k": 2, **asked}).json()
    assert answer == {**plain, "seconds": answer["seconds"]}
    assert [hit["id"] for hit in answer["hits"]] == [RED]
    first = client.predict("red", 2, api_name="/search")
    rest = client.predict("red", 2, cursor=first["cursor"], api_name="/search")
    assert [hit["rank"] for hit in rest["hits"]] == [3, 4]
    [found] = client.predict(contains="noon", api_name="/search")["hits"]
    assert (found["id"], found["score"]) == (BLUE, None)
    counted = client.predict("red", where=["folder:cold"], api_name="/facets")
    told = httpx.get(f"{address}{FACETS}", params={"text": "red", "where": "folder:cold"})
    assert counted == told.json()
    assert client.predict(api_name="/facets")["pictures"] == 5
    record = client.predict(RED, api_name="/record")
    assert record == httpx.get(f"{address}/api/v1/records/{RED}").json()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"like": RED}, "like is a list of texts"),
        ({"where": "folder:warm"}, "where is a list of texts"),
        ({"where": ["decade:1"]}, "names no field"),
        ({"unlike": ["none"]}, "no picture “none”"),
        ({"contains": 5}, "contains is a text"),
        ({"words": 'red "'}, "not closed"),
    ],
)
def test_what_an_endpoint_cannot_use_is_said(
    by_name: tuple[Client, str], how: dict[str, Any], words: str
) -> None:
    for name in ("/search", "/facets"):
        with pytest.raises(AppError, match=words):
            by_name[0].predict(**{"words": "red", **how}, api_name=name)


def test_an_unknown_record_is_said(by_name: tuple[Client, str]) -> None:
    with pytest.raises(AppError, match="no picture “none”"):
        by_name[0].predict("none", api_name="/record")
