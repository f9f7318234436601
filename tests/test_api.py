"""/api/v1 over HTTP, from a real uvicorn on loopback."""

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from conftest import build_folder
from fastapi import FastAPI
from PIL import Image

import image_search
from image_search import api
from image_search.answers import PREFIX
from image_search.api import create_api
from image_search.encoder import OnnxEncoder
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.state import State
from image_search.withdrawal import Withdrawals

RED = "warm/red.png"


@contextmanager
def api_of(searcher: Searcher) -> Iterator[httpx.Client]:
    """A client of the API of a collection, served by a thread of this process."""
    app = FastAPI()
    state = State.open(tempfile.mkdtemp(dir=os.environ["IMAGE_SEARCH_STATE"]))
    app.mount(PREFIX, create_api(searcher, Withdrawals(state), SearchLog(state)))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(searcher: Searcher) -> Iterator[httpx.Client]:
    with api_of(searcher) as client:
        yield client


def picture(colour: str, format: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, format)
    return buffer.getvalue()


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def said(answer: httpx.Response, status: int) -> str:
    """What a problem tells a person."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert set(problem) == {"type", "title", "status", "detail"}
    assert "Traceback" not in answer.text
    detail: str = problem["detail"]
    return detail


def test_words_find_pictures_with_all_that_is_known(client: httpx.Client) -> None:
    answer = client.get("/api/v1/search", params={"text": "red", "k": 2})
    assert ids(answer) == [RED, "warm/orange.png"]
    hit = answer.json()["hits"][0]
    assert (hit["rank"], hit["score"], hit["title"]) == (1, 1, "A red thing")
    assert (hit["width"], hit["height"]) == (48, 32)
    assert hit["metadata"]["keywords"] == ["fire", "blood"]


def test_a_picture_finds_its_like_and_nothing_is_kept(client: httpx.Client) -> None:
    for format in ("PNG", "JPEG", "GIF", "TIFF"):
        answer = client.post("/api/v1/search", params={"k": 1}, content=picture("blue", format))
        assert ids(answer) == ["cold/blue.png"]


def test_an_id_finds_the_others_but_not_itself(client: httpx.Client) -> None:
    found = ids(client.get("/api/v1/search", params={"like": RED}))
    assert found[0] == "warm/orange.png"
    assert RED not in found
    assert len(found) == 4


def test_words_ids_and_a_picture_can_be_mixed(client: httpx.Client) -> None:
    """Red and green in equal parts are yellow, whatever they are given as."""
    red, green = {"text": "red"}, {"text": "like:cold/green.png"}
    for answer in (
        client.get("/api/v1/search", params={"text": "red +like:cold/green.png", "k": 1}),
        client.post("/api/v1/search", params={**red, "k": 1}, content=picture("#00ff00")),
        client.post("/api/v1/search", params={**green, "k": 1}, content=picture("red")),
        client.get("/api/v1/search", params={"like": [RED, "cold/green.png"], "k": 1}),
    ):
        assert ids(answer) == ["warm/yellow.png"]
        assert answer.json()["hits"][0]["score"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("content", [None, picture("red")], ids=["words", "picture"])
def test_pages_follow_each_other_without_gap_or_double(
    client: httpx.Client, content: bytes | None
) -> None:
    method = "POST" if content else "GET"
    question = {"text": "blue"} if content is None else {}

    def ask(**parameters: str | int) -> httpx.Response:
        return client.request(
            method, "/api/v1/search", params={**question, **parameters}, content=content
        )

    whole = ids(ask(k=5))
    pages, cursor = [], ""
    while cursor is not None:
        answer = ask(k=2, cursor=cursor)
        ranks = [hit["rank"] for hit in answer.json()["hits"]]
        assert ranks == list(range(len(pages) + 1, len(pages) + len(ranks) + 1))
        pages += ids(answer)
        cursor = answer.json()["cursor"]
    assert pages == whole
    assert len(whole) == 5


def test_a_cursor_holds_for_its_question_only(client: httpx.Client) -> None:
    cursor = client.get("/api/v1/search", params={"text": "blue", "k": 2}).json()["cursor"]
    other = client.get("/api/v1/search", params={"text": "red", "cursor": cursor})
    assert "belongs to another question" in said(other, 400)
    version, question, _ = cursor.split(".")
    for wrong in ("x", "..", f"{version}.{question}.-1", f"{version}.{question}.1000"):
        answer = client.get("/api/v1/search", params={"text": "blue", "cursor": wrong})
        assert "was not given out here" in said(answer, 400)
    old = client.get("/api/v1/search", params={"text": "blue", "cursor": f"old.{question}.2"})
    assert "was built again since" in said(old, 400)


@pytest.mark.parametrize(
    ("parameters", "status", "words"),
    [
        ({}, 400, "Type what you are looking for"),
        ({"text": "  \n "}, 400, "Type what you are looking for"),
        ({"text": "\x00\x07"}, 400, "Type what you are looking for"),
        ({"text": "x" * 10_000}, 400, "10,000 characters"),
        ({"text": "red", "k": 0}, 422, "k is '0'"),
        ({"text": "red", "k": 201}, 422, "k is '201'"),
        ({"text": "red", "k": "many"}, 422, "k is 'many'"),
        ({"like": "none.png"}, 404, "no picture “none.png”"),
        ({"like": [f"{n}" for n in range(21)]}, 400, "Up to 20 pictures"),
    ],
)
def test_a_senseless_question_is_said(
    client: httpx.Client, parameters: dict[str, str], status: int, words: str
) -> None:
    assert words in said(client.get("/api/v1/search", params=parameters), status)
    assert ids(client.get("/api/v1/search", params={"text": "red", "k": 1})) == [RED]


def bomb() -> bytes:
    """A PNG of 30,000 by 30,000 pixels in a few hundred KB."""
    buffer = BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "empty file"),
        (b"Dear Sir,", 400, "not a picture (looks like text)"),
        (picture("red")[:60], 400, "damaged"),
        (bytes(50_000_000), 413, "has 50 MB; it may have 20 MB"),
        (bomb(), 400, "too large: 30000 × 30000 pixels"),
    ],
    ids=["empty", "text", "truncated", "50 MB", "bomb"],
)
def test_a_file_that_cannot_be_searched_with_is_said(
    client: httpx.Client, content: bytes, status: int, words: str
) -> None:
    assert words in said(client.post("/api/v1/search", content=content), status)
    assert ids(client.post("/api/v1/search", params={"k": 1}, content=picture("red"))) == [RED]


def test_a_picture_that_stops_arriving_is_not_waited_for(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PATIENCE", 0.2)
    url = client.base_url
    with socket.create_connection((url.host, url.port or 0), timeout=10) as raw:
        raw.sendall(b"POST /api/v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nabc")
        told = b""
        while b"}" not in told:
            told += raw.recv(10_000)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive in time" in told


def test_a_form_is_refused_with_what_to_do_instead(client: httpx.Client) -> None:
    answer = client.post("/api/v1/search", files={"picture": picture("red")})
    capitals = {"Content-Type": "Multipart/Form-Data; boundary=x"}
    assert client.post("/api/v1/search", content=b"x", headers=capitals).status_code == 415
    assert "Send the picture file itself" in said(answer, 415)


def test_an_animated_gif_is_searched_with_by_its_first_frame(client: httpx.Client) -> None:
    buffer = BytesIO()
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert ids(client.post("/api/v1/search", params={"k": 1}, content=buffer.getvalue())) == [RED]


def test_a_record_is_what_a_hit_says(client: httpx.Client) -> None:
    hit = client.get("/api/v1/search", params={"text": "red", "k": 1}).json()["hits"][0]
    record = client.get(f"/api/v1/records/{quote(RED, safe='')}").json()
    assert record == {k: v for k, v in hit.items() if k not in ("rank", "score")}
    assert client.get(f"/api/v1/records/{RED}").json() == record  # a slash as it is will do
    assert "no picture “red.png”" in said(client.get("/api/v1/records/red.png"), 404)


def test_files_have_their_type_and_may_be_kept_for_a_minute(client: httpx.Client) -> None:
    hit = client.get("/api/v1/search", params={"text": "red", "k": 1}).json()["hits"][0]
    for address, media_type in ((hit["thumbnail"], "image/webp"), (hit["picture"], "image/png")):
        file = client.get(address)
        assert (file.status_code, file.headers["content-type"]) == (200, media_type)
        assert file.headers["cache-control"] == "private, max-age=60, must-revalidate"
        with Image.open(BytesIO(file.content)) as image:
            assert image.size == (48, 32)
        tag = file.headers["etag"]
        for held in (tag, f'"other", W/{tag}'):
            again = client.get(address, headers={"If-None-Match": held})
            assert (again.status_code, again.content) == (304, b"")
        assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
        assert client.get(address.partition("?")[0]).headers["etag"] == tag


@pytest.mark.parametrize("id", ["nothing.png", "..%2f..%2fetc%2fpasswd", "%00", "", "a%ff"])
@pytest.mark.parametrize("what", ["records", "thumbnails", "pictures"])
def test_an_unknown_picture_is_a_404(client: httpx.Client, what: str, id: str) -> None:
    assert said(client.get(f"/api/v1/{what}/{id}"), 404)


def test_anything_else_is_a_problem_too(client: httpx.Client) -> None:
    assert said(client.get("/api/v1/nonsense"), 404)
    refused = client.delete("/api/v1/search")
    assert said(refused, 405)
    assert refused.headers["allow"]
    assert said(client.get("/api/v1/search/"), 404)  # not sent on to where the caller says


def test_the_overview_is_pictures_of_the_collection(client: httpx.Client) -> None:
    pictures = client.get("/api/v1/overview").json()["pictures"]
    assert len({picture["id"] for picture in pictures}) == 5
    assert all(client.get(picture["thumbnail"]).status_code == 200 for picture in pictures)


def test_the_collection_is_described(client: httpx.Client, searcher: Searcher) -> None:
    told = client.get("/api/v1/collection").json()
    assert told["pictures"] == 5
    assert told["artifact_version"] == searcher.artifact.version
    assert told["model"]["name"] == "colours"
    assert {"name": "title", "kind": "text", "role": "title"} in told["fields"]
    assert told["limits"] == {
        "characters": 2000, "bytes": 20_000_000, "pixels": 50_000_000, "like": 20, "k": 200,
        "total": 1000,
    }  # fmt: skip


def test_the_interface_describes_itself(client: httpx.Client) -> None:
    told = client.get("/api/v1/openapi.json").json()
    assert set(told["paths"]) == {
        "/search", "/overview", "/records/{id}", "/thumbnails/{id}", "/pictures/{id}",
        "/collection", "/health", "/you", "/withdrawals", "/withdrawals/{id}", "/near-copies/{id}",
        "/tables/{table}/counts", "/tables/{table}/top/{id}", "/facets",
        "/export/{format}", "/citation", "/citations/{id}",
    }  # fmt: skip
    assert told["servers"] == [{"url": "/api/v1"}]
    assert "requestBody" in told["paths"]["/search"]["post"]
    assert client.get("/api/v1/docs").status_code == 404  # its script lies elsewhere


def test_health_looks_at_the_collection(built: Path) -> None:
    with api_of(image_search.open(built)) as client:
        assert client.get("/api/v1/health").json() == {"status": "ok"}
        (built / "manifest.json.sha256").unlink()
        assert "Whoever runs it" in said(client.get("/api/v1/health"), 503)
        assert "Whoever runs it" in said(client.get("/api/v1/search", params={"text": "a"}), 503)


def test_withdrawn_pictures_appear_nowhere(searcher: Searcher) -> None:
    withdrawn: set[str] = set()
    hidden = Searcher(
        searcher.artifact, searcher.encoder, searcher.index, searcher.catalogue, withdrawn
    )
    with api_of(hidden) as client:
        hit = client.get("/api/v1/search", params={"text": "red", "k": 1}).json()["hits"][0]
        tag = client.get(hit["thumbnail"]).headers["etag"]
        withdrawn.update([RED, "never/was.png"])  # while it is being served
        for question in (
            client.get("/api/v1/search", params={"text": "red"}),
            client.get("/api/v1/search", params={"like": "warm/orange.png"}),
            client.post("/api/v1/search", content=picture("red")),
        ):
            assert RED not in ids(question)
            assert RED not in question.text
        assert len(ids(client.get("/api/v1/search", params={"text": "red"}))) == 4
        assert RED not in client.get("/api/v1/overview").text
        assert client.get("/api/v1/collection").json()["pictures"] == 4
        for address in (hit["thumbnail"], hit["picture"], f"/api/v1/records/{RED}"):
            assert said(client.get(address), 404)
            assert said(client.get(address, headers={"If-None-Match": tag}), 404)
        assert said(client.get("/api/v1/search", params={"like": RED}), 404)


def test_withdrawing_while_others_search_is_no_error(searcher: Searcher) -> None:
    withdrawn = {f"none {n}" for n in range(5_000)}
    hidden = Searcher(
        searcher.artifact, searcher.encoder, searcher.index, searcher.catalogue, withdrawn
    )
    done = threading.Event()

    def withdraw() -> None:
        n = 0
        while not done.is_set():
            withdrawn.add(f"further {n % 1000}")
            withdrawn.discard(f"further {(n + 500) % 1000}")
            n += 1

    thread = threading.Thread(target=withdraw)
    thread.start()
    try:
        for _ in range(50):
            assert len(hidden.search("red", k=9)) == 5
    finally:
        done.set()
        thread.join()


def test_odd_names_and_texts_come_through(tmp_path: Path, colours: OnnxEncoder) -> None:
    id = "a folder/50% of #7? “Ärger” & <b>.png"
    title = "${1+1} `x` <img src=x onerror=alert(1)> \u202eabc {{y}}"
    folder = tmp_path / "pictures"
    (folder / id).parent.mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(folder / id)
    (folder / "metadata.csv").write_text(f"file_name,title\n{id},{title}\n", encoding="utf-8")
    odd = image_search.open(build_folder(folder, colours, tmp_path / "out"))
    with api_of(odd) as client:
        [hit] = client.get("/api/v1/search", params={"text": "red"}).json()["hits"]
        assert (hit["id"], hit["title"]) == (id, title)
        assert client.get(hit["picture"]).headers["content-type"] == "image/png"
        assert client.get(hit["thumbnail"]).headers["content-type"] == "image/webp"
        assert client.get(f"/api/v1/records/{quote(id, safe='')}").json()["id"] == id
        alone = client.get("/api/v1/search", params={"like": id})
        assert (ids(alone), alone.json()["cursor"]) == ([], None)


def test_twenty_searches_at_once_are_not_mixed_up(demo: Searcher) -> None:
    things = ["a guitar", "a bird", "a house", "the moon", "flowers", "a ship", "a king", "fish"]
    with api_of(demo) as client:
        address = str(client.base_url)

        def ask(thing: str) -> tuple[str, list[str]]:
            with httpx.Client(base_url=address, timeout=60) as own:
                answer = own.get("/api/v1/search", params={"text": thing, "k": 60})
                return answer.json()["query"], ids(answer)

        alone = dict(map(ask, things))
        asked = [things[n % len(things)] for n in range(200)]
        with ThreadPoolExecutor(20) as pool:
            together = list(pool.map(ask, asked))
    assert [query for query, _ in together] == asked
    assert all(found == alone[query] for query, found in together)
