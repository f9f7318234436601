"""A collection on a server, asked as one here: the same answers, and a sentence for what fails."""

import csv
import dataclasses
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from gated import Gated, by_password, environment, soon
from odd_server import serving_oddly
from PIL import Image
from test_cli import one_line_error, run

import image_search
from image_search import answers, client, exports, gate
from image_search.client import API, MOST_BYTES, TOKEN_HEADER, Client
from image_search.desk import Here
from image_search.errors import (
    ConfigError,
    NotFoundError,
    QueryError,
    QuerySyntaxError,
    ServerError,
)
from image_search.filters import Between, Words
from image_search.images import decode
from image_search.question import Question, question
from image_search.results import Results
from image_search.search import Searcher
from image_search.take_away import Format

RED, ORANGE, BLUE = "warm/red.png", "warm/orange.png", "cold/blue.png"


@pytest.fixture(scope="module")
def server(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    with by_password(searcher, tmp_path_factory.mktemp("state")) as served:
        yield served


@pytest.fixture(scope="module")
def token(server: Gated) -> str:
    text = server.token("member")
    headers = {TOKEN_HEADER: text}
    with server.client(headers) as asks:  # another process has to hear of it
        assert soon(lambda: asks.get(f"{API}/you").status_code == 200)
    return text


@pytest.fixture(scope="module")
def remote(server: Gated, token: str) -> Iterator[Client]:
    with image_search.connect(server.address, token) as connected:
        yield connected


def asked(text: str = "", image: Image.Image | None = None, **more: Any) -> Question:
    return question(text, image, **more)


QUESTIONS = {
    "words": asked("red"),
    "algebra": asked("red +2:green -blue"),
    "alternatives": asked("a red OR a blue thing"),
    "a picture in words": asked(f"green like:{RED}"),
    "like and unlike": asked("yellow", like=[RED], unlike=BLUE),
    "filters": asked("red", where=["year:1870..1890", "keywords:fire", "keywords:food"]),
    "a condition": asked(where=[Between("year", 1870, 1890)]),
    "only filters": asked(where="keywords:fruit"),
    "words of a title": asked(contains="thing"),
    "quotes": asked('"red -blue" +„green“'),
    "a picture": asked(image=Image.new("RGB", (3000, 20), "blue")),
    "a transparent picture and words": asked("green", Image.new("RGBA", (9, 9), (255, 0, 0, 90))),
    "nothing": asked("red", where="year:3000"),
}


def told(results: Results) -> dict[str, Any]:
    return {**results.to_dict(), "seconds": 0}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_server_answers_as_a_collection_here(
    searcher: Searcher, remote: Client, name: str
) -> None:
    here, there = (one.answer(QUESTIONS[name], 4) for one in (searcher, remote))
    assert told(here) == told(there)
    assert here.understood == there.understood
    assert [(hit.width, hit.height) for hit in here] == [(hit.width, hit.height) for hit in there]
    assert searcher.facets(QUESTIONS[name]) == remote.facets(QUESTIONS[name])


def test_more_pictures_than_one_answer_holds_come_in_several(
    remote: Client, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    assert [hit.rank for hit in remote.search("red", k=4)] == [1, 2, 3, 4]
    assert told(remote.search("red", k=9)) == told(searcher.search("red", k=9))
    with pytest.raises(QueryError, match="Between 1 and 1,000"):
        remote.search("red", k=1001)


def test_all_pictures_are_counted_without_a_question(searcher: Searcher, remote: Client) -> None:
    assert remote.facets() == searcher.facets()
    assert remote.facets("red") == searcher.facets(asked("red"))


@pytest.mark.parametrize("format", ["csv", "json", "bibtex", "sheet"])
def test_files_are_the_same_byte_for_byte(
    searcher: Searcher, remote: Client, format: Format
) -> None:
    results = searcher.search("red", like=BLUE, k=3)
    about = exports.provenance(searcher, remote.address, answers.Asked("red", like=(BLUE,)))
    here = exports.file_of(results, format, about, searcher, remote.address)
    assert remote.export(asked("red", like=BLUE), format, 3) == here


def test_a_table_made_here_differs_in_addresses_alone(searcher: Searcher, remote: Client) -> None:
    def rows(data: bytes) -> list[dict[str, str]]:
        return list(csv.DictReader(StringIO(data.decode("utf-8-sig"), newline="")))

    mine, theirs = (rows(one.export(asked("red"), "csv")) for one in (Here(searcher), remote))
    assert [row.pop("picture") for row in mine] == [""] * 5
    assert theirs[0].pop("picture") == f"{remote.address}{API}/pictures/warm%2Fred.png"
    assert mine[0] == theirs[0]


def test_citations(searcher: Searcher, remote: Client) -> None:
    here = Here(searcher)
    mine, theirs = here.cite(asked("red"), 3), remote.cite("red", 3)
    assert mine.text.startswith("Search for “red” in ")
    assert "3 pictures of 5" in mine.text
    assert theirs.text.startswith(mine.text.removesuffix("."))
    assert f"<{remote.address}/?text=red&version=" in theirs.text
    picture = Image.new("RGB", (9, 9), "blue")
    assert remote.cite(asked(image=picture), 3) == here.cite(asked(image=picture), 3)
    assert remote.cite_picture(RED).text.startswith(here.cite_picture(RED).text.removesuffix("."))


def test_a_picture_and_what_is_known_of_it(searcher: Searcher, remote: Client) -> None:
    assert remote.record(RED) == searcher.record(RED)
    assert remote.picture(RED) == searcher.picture(RED)
    assert remote.thumbnail(RED) == searcher.thumbnail(RED)
    for ask in (remote.record, remote.picture, remote.thumbnail, remote.cite_picture):
        with pytest.raises(NotFoundError, match="no picture “none/ä&[?].png”"):
            ask("none/ä&?.png")


def test_a_picture_is_sent_without_what_its_file_says(remote: Client) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    file = BytesIO()
    Image.new("RGB", (20, 10), "red").save(file, "JPEG", exif=exif)
    with Image.open(BytesIO(file.getvalue())) as opened:
        sent = client._png(asked(image=opened))
    assert sent is not None
    assert b"where I live" in file.getvalue()
    assert b"where I live" not in sent
    assert decode(sent).size == (20, 10)


def test_questions_are_refused_in_the_same_words(searcher: Searcher, remote: Client) -> None:
    for wrong in ({"like": "none"}, {"where": "nowhere:1"}, {"where": "year:then"}):
        with pytest.raises(QueryError) as here:
            searcher.search("red", **wrong)  # type: ignore[arg-type]
        with pytest.raises(type(here.value)) as there:
            remote.search("red", **wrong)  # type: ignore[arg-type]
        assert str(here.value) == str(there.value)
    with pytest.raises(QuerySyntaxError):
        remote.search('"red')
    with pytest.raises(QueryError, match="by `contains` alone"):
        remote.search(where=[Words(("title",), "red")])
    with pytest.raises(QueryError, match="no pixels"):
        remote.search(image=Image.new("RGB", (0, 5)))
    with pytest.raises(QueryError, match="cannot be sent"):
        remote.search(where="title:\udcff")


def test_who_is_not_known_is_told_what_to_do(server: Gated, token: str) -> None:
    with Client(server.address) as nobody, pytest.raises(ServerError, match="set IMAGE_SEARCH_TOK"):
        nobody.search("red")
    with (
        Client(server.address, "ist_wrong") as wrong,
        pytest.raises(ServerError, match="does not know this token, or it has ended") as error,
    ):
        wrong.search("red")
    assert "ist_wrong" not in str(error.value)
    with environment(IMAGE_SEARCH_TOKEN=f" {token}\n"), image_search.connect(server.address) as one:
        assert len(one.search("red")) == 5


def test_the_names_are_those_of_the_server() -> None:
    assert (API, TOKEN_HEADER) == (answers.PREFIX, gate.TOKEN_HEADER)
    assert client.PAGE == answers.MAX_PAGE


# The command line


def test_the_command_line_prints_the_same_here_and_there(
    searcher: Searcher, server: Gated, token: str, tmp_path: Path
) -> None:
    collection = searcher.artifact.path
    picture = tmp_path / "query.jpg"
    Image.new("RGB", (2000, 1500), "orange").save(picture)
    for command in (
        ("search", "red -blue", "--k", "4", "--unlike", ORANGE, "--where", "year:1800.."),
        ("search", "--image", picture, "--contains", "thing"),
        ("facets", "red", "--where", "year:1870..1890"),
        ("record", RED),
        ("record", RED, "--json"),
    ):
        here = run(*command, "--artifact", collection)
        there = run(*command, "--server", server.address, IMAGE_SEARCH_TOKEN=token)
        assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
        assert here.stdout == there.stdout
    sheet = tmp_path / "red.png"
    done = run(
        *("search", "red", "--cite", "--json", "--out", sheet),
        IMAGE_SEARCH_SERVER=server.address,
        IMAGE_SEARCH_TOKEN=token,
    )
    assert f"{server.address}/?text=red" in json.loads(done.stdout)["citation"]["text"]
    with Image.open(sheet) as page:
        assert server.address in page.text["Description"]  # type: ignore[attr-defined]
    named = run("search", "red", "-a", collection, "--k", "1", IMAGE_SEARCH_SERVER="nonsense")
    assert named.stdout == "  1   1.000  warm/red.png  A red thing\n"


def test_the_command_line_says_in_one_line_what_is_wrong(server: Gated) -> None:
    said = one_line_error(run("search", "red", "--server", server.address))
    assert "lets in only those it knows" in said
    wrong = {"IMAGE_SEARCH_TOKEN": "ist_wrong"}
    said = one_line_error(run("facets", "--server", "http://example.org", **wrong))
    assert "would travel in the clear to http://example.org" in said
    assert "ist_wrong" not in said
    assert run("cite", "x", "--server", server.address, "-a", "x").returncode == 2


# Servers that are none, or that fail


class Canned:
    """A server that gives one answer to everything, and remembers what was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.asked: list[tuple[str, str | None]] = []
        self.address = ""

    def says(self, status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> "Canned":
        problem = isinstance(body, dict)
        kind = "application/problem+json" if problem and status >= 400 else "application/json"
        self.status = status
        self.headers = {"Content-Type": kind if problem else "text/html"}
        self.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.body = json.dumps(body).encode() if isinstance(body, dict) else body
        return self


@contextmanager
def serving_canned() -> Iterator[Canned]:
    canned = Canned()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            canned.asked.append((self.path, self.headers[TOKEN_HEADER]))
            self.send_response(canned.status)
            for name, value in {**canned.headers, "Content-Length": str(len(canned.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(canned.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        canned.address = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield canned
        listening.shutdown()
        thread.join()


@pytest.fixture
def canned() -> Iterator[Canned]:
    with serving_canned() as one:
        yield one


def problem(detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": "x", "status": 0, "detail": detail}


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "message"),
    [
        (400, problem("Say\x1b[2J it\nanew."), {}, QueryError, r"^Say \[2J it anew\.$"),
        (413, problem("Too large."), {}, QueryError, "^Too large.$"),
        (404, problem("No picture “x”."), {}, NotFoundError, "^No picture “x”.$"),
        (404, problem("Not Found"), {}, ServerError, "Is the address right"),
        (404, b"<html>", {}, ServerError, "Is the address right"),
        (401, b"<html>", {}, ServerError, "does not know this token"),
        (403, b"<html>", {}, ServerError, "does not know this token"),
        (403, problem("Only a curator may."), {}, ServerError, "^Only a curator may.$"),
        (421, problem("Open to itself."), {}, ServerError, "^Open to itself.$"),
        (429, problem("Too much."), {"Retry_After": "7"}, ServerError, "^Too much. Try again in 7"),
        (429, b"", {}, ServerError, "too much at once. Try again in a while"),
        (500, problem("It broke; try again."), {}, ServerError, "^It broke; try again.$"),
        (502, b"<html>", {}, ServerError, r"is out of order \(HTTP 502\). Try again in a while"),
        (503, {"detail": "x"}, {"Content_Type": "text/x"}, ServerError, r"\(HTTP 503\)"),
        (200, b"<html>", {}, ServerError, "does not answer as an image search"),
        (200, {"hits": 1}, {}, ServerError, "of this version"),
        (200, {"hits": []}, {}, ServerError, "of this version"),
        (200, b"[]", {"Content_Type": "application/json"}, ServerError, "of this version"),
        (200, b"{", {"Content_Type": "application/json"}, ServerError, "of this version"),
        (400, b"{", {"Content_Type": "application/problem+json"}, ServerError, "of this version"),
        (204, b"", {}, ServerError, "of this version"),
    ],
)  # fmt: skip
def test_what_a_server_says_becomes_an_error_of_ours(
    canned: Canned,
    status: int,
    body: bytes | dict[str, Any],
    headers: dict[str, str],
    kind: type[Exception],
    message: str,
) -> None:
    canned.says(status, body, **headers)
    with Client(canned.address, "ist_secret") as asks:
        with pytest.raises(kind, match=message) as error:
            asks.search("red")
        assert type(error.value) is kind
        assert "ist_secret" not in str(error.value)


def test_a_token_goes_to_no_other_address(canned: Canned) -> None:
    with serving_canned() as other:
        canned.says(307, b"", Location=f"{other.address}{API}/search")
        with (
            Client(canned.address, "ist_secret") as asks,
            pytest.raises(ServerError, match=f"sends on to {other.address}/api.*Nothing was sent"),
        ):
            asks.search("red")
        assert canned.asked[0][1] == "ist_secret"
        assert other.asked == []


def test_an_answer_without_end_is_cut_off(canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_BYTES > 100_000_000
    monkeypatch.setattr(client, "MOST_BYTES", 1000)
    canned.says(200, b"x" * 5000, Content_Type="image/webp")
    with Client(canned.address) as asks, pytest.raises(ServerError, match="more than any answer"):
        asks.thumbnail("x")


def test_a_cursor_that_brings_nothing_ends_it(canned: Canned) -> None:
    page = {
        "query": "a", "hits": [], "cursor": "more", "total": 9, "terms": [], "notices": ["a\x07b"],
        "no_match": False, "seconds": 0, "artifact_version": "v", "filters": [],
    }  # fmt: skip
    with Client(canned.says(200, page).address) as asks:
        results = asks.search("red")
    assert (len(results), results.notices, len(canned.asked)) == (0, ["a b"], 1)


def test_nobody_answers() -> None:
    with serving_canned() as gone:
        pass
    with Client(gone.address) as asks, pytest.raises(ServerError, match="Nothing answers at"):
        asks.search("red")
    with (
        Client("https://no-such-machine.invalid") as asks,
        pytest.raises(ServerError, match="no-such-machine.invalid"),
    ):
        asks.search("red")


def test_who_is_silent_or_breaks_off(canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(address) as asks, pytest.raises(ServerError, match="did not answer in time"):
            asks.search("red")
    canned.says(200, b"x" * 99, Content_Type="image/webp", Transfer_Encoding="chunked")
    with Client(canned.address) as asks, pytest.raises(ServerError, match="broke off"):
        asks.thumbnail("x")


def test_certificates_are_checked(tmp_path: Path, canned: Canned) -> None:
    if not shutil.which("openssl"):
        pytest.skip("NO TLS TESTS: openssl is not installed (apt-get install openssl)")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=good.example", "-keyout", "key", "-out", "cert"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with (
        serving_oddly(tls=tls) as odd,
        Client(f"https://127.0.0.1:{odd.port}", "ist_x") as asks,
        pytest.raises(ServerError, match="cannot prove that it is what it says .*Nothing was sent"),
    ):
        asks.search("red")
    with (
        Client(canned.address.replace("http:", "https:")) as asks,
        pytest.raises(ServerError, match="does not speak https"),
    ):
        asks.search("red")


@pytest.mark.parametrize(
    ("address", "token", "message"),
    [
        ("search.example.org", "", "Write it as https://"),
        ("ftp://example.org", "", "Write it as https://"),
        ("https://example.org:port", "", "Write it as https://"),
        ("https://", "", "Write it as https://"),
        ("https://example.org/?text=red", "", "without a user"),
        ("https://carl:secret@example.org", "", "an anchor: https://example.org$"),
        ("http://example.org", "ist_x", "in the clear"),
        ("https://example.org", "ist_ö", "no token"),
        ("https://example.org", "ist_x\r\nHost: y", "no token"),
    ],
)
def test_addresses_and_tokens_that_cannot_be_used(address: str, token: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Client(address, token)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "token"),
    [
        ("http://example.org/", ""),
        ("https://example.org/search/", "ist_x"),
        ("http://localhost:7860", "ist_x"),
        ("http://[::1]:7860", "ist_x"),
    ],
)
def test_addresses_and_tokens_that_can(address: str, token: str) -> None:
    with Client(address, token) as asks:
        assert asks.address == address.rstrip("/")
        assert "ist_x" not in repr(vars(asks))


def test_every_field_of_results_is_told(searcher: Searcher, remote: Client) -> None:
    def names(make: Callable[..., Results]) -> set[str]:
        results = make("red +green", like=BLUE, where="year:1800..", contains="thing")
        return {f.name for f in dataclasses.fields(results) if getattr(results, f.name)}

    assert names(remote.search) == names(searcher.search)


ANSWER = {
    "query": "a", "hits": [], "cursor": None, "total": 9, "terms": [], "notices": [],
    "no_match": False, "seconds": 0, "artifact_version": "v", "filters": [],
}  # fmt: skip


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "br"])
def test_what_is_packed_is_not_unpacked(canned: Canned, coding: str) -> None:
    packed = gzip.compress(gzip.compress(bytes(10_000_000)))
    canned.says(200, packed, Content_Type="image/webp", Content_Encoding=coding)
    with Client(canned.address) as asks, pytest.raises(ServerError, match="of this version"):
        asks.thumbnail("x")


def test_what_drips_is_cut_off(canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST_WAIT", -1)
    with (
        Client(canned.says(200, dict(ANSWER)).address) as asks,
        pytest.raises(ServerError, match="did not answer in time"),
    ):
        asks.search("red")


def test_what_is_parsed_is_bounded_more(canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_OF_JSON", 100)
    for status in (200, 400):
        canned.says(status, {**ANSWER, "query": "x" * 1000})
        with Client(canned.address) as asks, pytest.raises(ServerError, match="more than any"):
            asks.search("red")


@pytest.mark.parametrize(
    "changed",
    [
        {"total": float("inf")},
        {"terms": [[{"text": "a", "weight": "x", "picture": None}]]},
        {"terms": [[{"text": "a", "weight": None, "picture": None}]]},
    ],
)
def test_numbers_that_are_none(canned: Canned, changed: dict[str, Any]) -> None:
    body = json.dumps({**ANSWER, **changed}).replace("Infinity", "1e999").encode()
    canned.says(200, body, Content_Type="application/json")
    with Client(canned.address) as asks, pytest.raises(ServerError, match="of this version"):
        asks.search("red")


def test_terms_that_are_none_can_be_printed(canned: Canned) -> None:
    terms = [[], [{"text": ["x"], "weight": 2, "picture": 1}]]
    with Client(canned.says(200, {**ANSWER, "terms": terms}).address) as asks:
        assert "like:" in asks.search("red").to_dict()["understood"]


def test_no_bar_is_longer_than_the_longest(canned: Canned) -> None:
    bins = [{"low": 0, "high": 1, "count": -1}, {"low": 1, "high": 2, "count": -(10**12)}]
    facet = {
        "field": "x", "kind": "number", "role": None, "different": 2, "choices": [], "bins": bins,
        "unknown": 0, "low": None, "high": None,
    }  # fmt: skip
    told = {"pictures": 1, "nearest": False, "facets": [facet], "artifact_version": "v"}
    canned.says(200, told)
    ran = run("facets", "--server", canned.address)
    assert ran.returncode == 0
    assert "█" not in ran.stdout


def test_json_holds_nothing_that_a_terminal_obeys(canned: Canned) -> None:
    odd = "\x1b[2J\x7f\x9b31m\u202e\u2028ü"
    hit = {
        "id": odd, "title": odd, "credit": "", "width": 1, "height": 1, "metadata": {odd: odd},
        "rank": 1, "score": 0.5,
    }  # fmt: skip
    canned.says(200, {**ANSWER, "hits": [hit]})
    ran = run("search", "red", "--json", "--server", canned.address)
    assert json.loads(ran.stdout)["hits"][0]["metadata"] == {odd: odd}
    assert all(c.isprintable() or c == "\n" for c in ran.stdout)
    assert "ü" in ran.stdout
