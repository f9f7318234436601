"""/mcp: the real client of the Model Context Protocol against the real app.py."""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from conftest import serving
from gated import Gated, by_password, gated, soon
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult
from PIL import Image

from image_search.answers import MCP, OUT_OF_ORDER, OUT_OF_REACH, PREFIX, UNFORESEEN
from image_search.errors import ArtifactError, EncoderError, EngineError, HubError, NotFoundError
from image_search.mcp_door import LONGEST_CALL, READ_ON
from image_search.mcp_tools import Tools
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.state import State

RED, ORANGE, BLUE = "warm/red.png", "warm/orange.png", "cold/blue.png"

INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "a test", "version": "1"},
}


def talk(
    address: str, say: Callable[[ClientSession], Awaitable[Any]], headers: dict[str, str] | None
) -> Any:
    """A conversation by the official client, in a thread of its own: the browser's tests may have
    an event loop in this one."""

    async def whole() -> Any:
        async with (
            httpx.AsyncClient(headers=headers, timeout=30) as client,
            streamable_http_client(f"{address}{MCP}", http_client=client) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await say(session)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, whole).result()


def call(
    address: str, tool: str, headers: dict[str, str] | None = None, **arguments: Any
) -> CallToolResult:
    answer = talk(address, lambda session: session.call_tool(tool, arguments), headers)
    assert isinstance(answer, CallToolResult)
    return answer


def told(answer: CallToolResult) -> dict[str, Any]:
    assert not answer.isError, answer.content
    assert answer.structuredContent is not None
    return answer.structuredContent


def ids(answer: CallToolResult) -> list[str]:
    return [hit["id"] for hit in told(answer)["hits"]]


def said(answer: CallToolResult) -> str:
    return "\n".join(block.text for block in answer.content if block.type == "text")


def pictures(answer: CallToolResult) -> list[Image.Image]:
    found = [block for block in answer.content if block.type == "image"]
    assert {block.mimeType for block in found} <= {"image/jpeg"}
    return [Image.open(BytesIO(base64.b64decode(block.data))) for block in found]


@pytest.fixture(scope="module")
def address(searcher: Searcher) -> Iterator[str]:
    with serving(searcher.artifact.path) as address:
        yield address


def test_the_tools_say_what_they_do_and_what_the_model_cannot(address: str) -> None:
    offered = talk(address, lambda session: session.list_tools(), None).tools
    assert [one.name for one in offered] == ["search_pictures", "get_picture",
                                             "describe_collection"]  # fmt: skip
    for one in offered:
        assert one.annotations.readOnlyHint
        assert one.inputSchema["additionalProperties"] is False
        assert all(field["description"] for field in one.inputSchema["properties"].values())
    search = offered[0].description
    for word in ("names", "dates", "handwriting", "counts", "“not”", "English", "surveillance"):
        assert word in search, word
    started = talk(address, lambda session: session.initialize(), None)
    assert started.serverInfo.name == "image-search"
    assert "describe_collection" in started.instructions


def test_words_find_pictures_with_all_that_is_known_of_them(address: str) -> None:
    answer = call(address, "search_pictures", text="red", k=2)
    expected = httpx.get(f"{address}{PREFIX}/search?text=red&k=2").json()
    found = told(answer)
    assert found | {"seconds": 0, "hits": 0} == expected | {"seconds": 0, "hits": 0}
    first = found["hits"][0]
    assert (first["id"], first["rank"], first["title"]) == (RED, 1, "A red thing")
    assert first["metadata"] == expected["hits"][0]["metadata"]
    assert (first["source"], first["rights"]) == ("https://example.org/1", "")
    assert first["score"] == expected["hits"][0]["score"]
    for name in ("thumbnail", "picture"):  # a client has no page to start from
        assert first[name] == address + expected["hits"][0][name]
        assert httpx.get(first[name]).status_code == 200


def test_each_thumbnail_follows_the_words_that_belong_to_it(address: str) -> None:
    answer = call(address, "search_pictures", text="red", k=2)
    assert [block.type for block in answer.content] == ["text", "text", "image", "text", "image"]
    about, red, _, orange, _ = answer.content
    assert "5 pictures, the nearest first; 2 of them" in about.text
    assert "cursor" in about.text
    assert red.text.startswith(f"1. A red thing (id {RED}; score 1.0000); ")
    assert "source: https://example.org/1" in red.text
    assert "keywords: fire, blood" in red.text
    assert orange.text.startswith(f"2. An orange (id {ORANGE}; score ")
    colours = [picture.getpixel((4, 4)) for picture in pictures(answer)]
    for shown, wanted in zip(colours, ((255, 0, 0), (255, 127, 0)), strict=True):
        assert all(abs(one - other) < 6 for one, other in zip(shown, wanted, strict=True))


def test_a_question_is_refined_filtered_and_gone_on_with(address: str) -> None:
    assert ids(call(address, "search_pictures", like=[RED], k=1)) == [ORANGE]
    both = call(address, "search_pictures", text="red", unlike=[RED])
    assert RED not in ids(both)
    filtered = call(address, "search_pictures", text="red", where=["year:1880..1900"])
    assert ids(filtered) == [ORANGE, BLUE]
    assert told(filtered)["filters"][0]["said"] == "year 1880–1900"
    listed = call(address, "search_pictures", contains="sea")
    assert ids(listed) == [BLUE]
    assert told(listed)["hits"][0]["score"] is None
    first = call(address, "search_pictures", text="red", k=2)
    cursor = told(first)["cursor"]
    rest = call(address, "search_pictures", text="red", k=20, cursor=cursor)
    assert told(rest)["hits"][0]["rank"] == 3
    assert len({*ids(first), *ids(rest)}) == 5
    assert told(rest)["cursor"] is None


def test_a_list_of_one_may_be_a_text_and_nothing_may_be_null(address: str) -> None:
    answer = call(address, "search_pictures", text="red", where="year:1888", like=None, k="1")
    assert ids(answer) == [ORANGE]


def test_a_picture_is_handed_over_large_enough_and_no_larger(address: str) -> None:
    answer = call(address, "get_picture", id=RED)
    [picture] = pictures(answer)
    assert picture.size == (48, 32)
    record = told(answer)
    assert record["id"] == RED
    assert record["metadata"]["keywords"] == ["fire", "blood"]
    assert record["artifact_version"]
    assert record["source"] == "https://example.org/1"


def test_the_collection_describes_itself(address: str, searcher: Searcher) -> None:
    answer = call(address, "describe_collection")
    about = told(answer)
    assert about["pictures"] == 5
    assert about["artifact_version"] == searcher.artifact.version
    fields = {field["name"]: field for field in about["fields"]}
    assert fields["title"]["kind"] == "text"
    years = fields["year"]["values"]
    assert [span["count"] for span in years] == [1, 1, 1]
    assert years[0]["from"] <= 1872 <= years[0]["to"] < years[1]["from"]
    assert {"value": "sea", "count": 1} in fields["keywords"]["values"]
    assert fields["keywords"]["different"] == 5
    assert about["model"]["name"] == searcher.artifact.manifest.encoder.name
    assert "OR" in about["query_language"]
    for word in ("keywords", "year", "surveillance", "like:ID"):
        assert word in said(answer)


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [("search_pictures", {}, "Type what you are looking for"),
     ("search_pictures", {"text": " "}, "Type what you are looking for"),
     ("search_pictures", {"text": 'a cat +"red'}, "at character"),
     ("search_pictures", {"text": "x" * 2001}, "2,001 characters"),
     ("search_pictures", {"text": "red", "where": ["colour:red"]}, "names no field"),
     ("search_pictures", {"text": "red", "cursor": "x.y.z"}, "was not given out here"),
     ("search_pictures", {"like": ["none"]}, "has no picture “none”"),
     ("search_pictures", {"text": "red", "k": 21}, "k: Input should be less than or equal to 20"),
     ("search_pictures", {"text": "red", "k": 0}, "k: "),
     ("search_pictures", {"text": ["red"]}, "text: "),
     ("search_pictures", {"text": "red", "picture": "/etc/hostname"}, "picture: "),
     ("search_pictures", {"like": [{"path": "x"}]}, "like.0: "),
     ("get_picture", {"id": "../../etc/hostname"}, "has no picture"),
     ("get_picture", {}, "id: Field required"),
     ("describe_collection", {"x": 1}, "x: "),
     ("drop_collection", {}, "There is no tool “drop_collection”")],
)  # fmt: skip
def test_what_cannot_be_answered_is_told_in_words(
    address: str, tool: str, arguments: dict[str, Any], expected: str
) -> None:
    answer = call(address, tool, **arguments)
    assert answer.isError
    assert expected in said(answer)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ArtifactError("row 5 of /data/x"), OUT_OF_ORDER), (EncoderError("x.onnx"), OUT_OF_ORDER),
     (EngineError("The database is busy.", "host-7"), "The database is busy."),
     (HubError("host-7"), OUT_OF_REACH), (ZeroDivisionError("host-7"), UNFORESEEN)],
)  # fmt: skip
def test_what_is_the_operators_is_told_to_them_alone(
    searcher: Searcher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    expected: str,
) -> None:
    def broken(*_: object) -> None:
        raise error

    state = State.open(tmp_path)
    monkeypatch.setattr(Searcher, "answer", broken)
    answer = Tools(searcher, SearchLog(state)).call("search_pictures", {"text": "red"}, "", "")
    state.close()
    assert answer.isError
    assert said(answer) == expected
    assert isinstance(error, HubError) or str(error) in capsys.readouterr().err


@pytest.mark.parametrize("error", [HubError("host-7"), NotFoundError("gone")])
def test_a_thumbnail_that_cannot_be_had_does_not_take_the_answer_along(
    searcher: Searcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> bytes:
        raise error

    state = State.open(tmp_path)
    monkeypatch.setattr(Searcher, "thumbnail", broken)
    tools = Tools(searcher, SearchLog(state))
    answer = tools.call("search_pictures", {"text": "red", "k": 1}, "", "")
    state.close()
    assert ids(answer) == [RED]
    assert pictures(answer) == []
    assert "host-7" not in said(answer)


def test_large_pictures_are_made_smaller(tmp_path: Path, colours: Any) -> None:
    from conftest import build_folder

    import image_search

    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (3000, 1500), "red").save(folder / "large.png")
    state = State.open(tmp_path / "state")
    built = image_search.open(build_folder(folder, colours, tmp_path / "built"))
    answer = Tools(built, SearchLog(state)).call("get_picture", {"id": "large.png"}, "", "")
    state.close()
    assert max(pictures(answer)[0].size) <= 1024


# Behind the gate


@pytest.fixture(scope="module")
def house(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    quick = {"IMAGE_SEARCH_REQUESTS_PER_MINUTE": "1000000"}
    with by_password(searcher, tmp_path_factory.mktemp("state"), **quick) as found:
        yield found


def post(address: str, method: str, headers: dict[str, str] | None = None, **params: Any) -> Any:
    """One call, as it is written."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    accept = {"Accept": "application/json, text/event-stream"}
    return httpx.post(f"{address}{MCP}", json=message, headers={**accept, **(headers or {})})


def test_who_is_not_let_in_gets_401_in_json(house: Gated) -> None:
    for accept in ("application/json, text/event-stream", "text/html"):
        for method in ("GET", "POST", "DELETE"):
            answer = httpx.request(method, f"{house.address}{MCP}", headers={"Accept": accept})
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert post(house.address, "tools/list").status_code == 401
    with pytest.raises(ExceptionGroup):
        call(house.address, "describe_collection")


@pytest.mark.parametrize("header", ["X-Image-Search-Token", "Authorization"])
def test_a_token_opens_the_door_until_it_is_revoked(house: Gated, header: str) -> None:
    token = house.token("member")
    headers = {header: f"Bearer {token}" if header == "Authorization" else token}
    assert soon(lambda: post(house.address, "ping", headers).status_code == 200)
    assert ids(call(house.address, "search_pictures", headers, text="red"))[0] == RED
    house.access.tokens.revoke(token.split("_")[1])
    assert soon(lambda: post(house.address, "ping", headers).status_code == 401)


def test_another_site_cannot_ask_in_a_members_name(house: Gated) -> None:
    trap = {**house.cookie("mary"), "Origin": "https://evil.example"}
    assert post(house.address, "tools/list", trap).status_code == 403
    assert post(house.address, "tools/list", house.cookie("mary")).status_code == 200


def test_by_another_name_nothing_is_open_here(address: str) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "203.0.113.7"}):
        assert post(address, "tools/list", headers).status_code == 421
    assert post(address, "tools/list", {"Origin": "https://evil.example"}).status_code == 403


def test_a_search_is_on_record_under_its_callers_pseudonym(
    searcher: Searcher, tmp_path: Path
) -> None:
    with by_password(searcher, tmp_path) as house:
        mine = house.cookie("mary")
        call(house.address, "search_pictures", mine, text="red", where=["year:1800..1900"], k=2)
        log = SearchLog(house.state)
        assert soon(lambda: list(house.state.searches()))
        [line] = house.state.searches()
    assert line["by"] == log.pseudonym("mary")
    assert (line["words"], line["filters"]) == ("red", ["year:1800..1900"])
    assert line["shown"] == [RED, ORANGE]


def test_withdrawn_pictures_appear_nowhere(searcher: Searcher, tmp_path: Path) -> None:
    with by_password(searcher, tmp_path) as house:
        headers = house.cookie("carl")
        with house.client(headers) as carl:
            wanted = {"ids": [RED], "reason": "a test"}
            assert carl.post(f"{PREFIX}/withdrawals", json=wanted).status_code == 200
        found = call(house.address, "search_pictures", headers, text="red", k=20)
        about = call(house.address, "describe_collection", headers)
        one = call(house.address, "get_picture", headers, id=RED)
        like = call(house.address, "search_pictures", headers, text=f"like:{RED}")
    assert len(ids(found)) == len(pictures(found)) == 4
    assert told(about)["pictures"] == 4
    for answer in (found, about):
        for word in (RED, "A red thing", "fire", "1872"):
            assert word not in said(answer)
            assert word not in json.dumps(answer.structuredContent)
    assert one.isError
    assert like.isError
    assert "has no picture" in said(one)


def test_several_callers_at_once_get_their_own_answers(house: Gated) -> None:
    wanted = {"red": RED, "blue": BLUE, "green": "cold/green.png", "yellow": "warm/yellow.png"}

    def ask(colour: str) -> list[list[str]]:
        async def several(session: ClientSession) -> list[list[str]]:
            calls = [session.call_tool("search_pictures", {"text": colour}) for _ in range(5)]
            return [ids(answer) for answer in await asyncio.gather(*calls)]

        found = talk(house.address, several, house.cookie("mary"))
        assert isinstance(found, list)
        return found

    with ThreadPoolExecutor(len(wanted)) as pool:
        for colour, answers in zip(wanted, pool.map(ask, wanted), strict=True):
            assert {answer[0] for answer in answers} == {wanted[colour]}


# What is no call

JUNK = [
    (b"", 400), (b"{", 400), (b"[" * 60_000, 400), (b"\xff\xfe{}", 400), (b"1" * 9_999, 400),
    (b"null", 400), (b"[]", 400), (b'"x"', 400), (b"NaN", 400), (b"{}", 400),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400),
    (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', 400),
    (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', 400),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', 400),
    (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', 400),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', 400),
    (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', 202),
    (b'{"jsonrpc":"2.0","method":"nonsense","params":{"x":1}}', 202),
    (b'{"jsonrpc":"2.0","id":1,"result":{}}', 202),
    (b'{"jsonrpc":"2.0","id":1,"method":"resources/list"}', 200),
    (b'{"jsonrpc":"2.0","id":1,"method":"x\\u001b[31m"}', 200),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}', 200),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}', 200),
    (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}', 200),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_picture",'
     b'"arguments":{"id":' + b"[" * 900 + b"]" * 900 + b"}}}", 200),
]  # fmt: skip


def test_what_is_no_call_is_answered_and_leaves_nothing_in_the_log(
    searcher: Searcher, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    accept = {"Content-Type": "application/json", "Accept": "application/json"}
    with gated(searcher, tmp_path) as house, house.client(accept) as client:
        for body, status in JUNK:
            answer = client.post(MCP, content=body)
            assert answer.status_code == status, (body[:99], answer.text)
            if status == 200:
                code = answer.json()["error"]["code"]
                assert code in (-32601, -32602), (body[:99], answer.text)
            elif status == 400:
                assert answer.json()["error"]["message"].startswith("This is no")
            assert "Traceback" not in answer.text
        for body in (b"x" * (LONGEST_CALL + 1), b"x" * (READ_ON // 2)):
            assert client.post(MCP, content=body).status_code == 413
        chunks = (b"x" * 8192 for _ in range(20))
        assert client.post(MCP, content=chunks).status_code == 413
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = client.request(method, MCP, headers={"Accept": "text/event-stream"})
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
        for kind in ("text/plain", "", "multipart/form-data; boundary=x"):
            answer = client.post(MCP, content=b"{}", headers={"Content-Type": kind})
            assert answer.status_code == 400
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        assert client.post(MCP, content=ping, headers={"Accept": "text/html"}).status_code == 406
        version = {"MCP-Protocol-Version": "1999-01-01"}
        assert client.post(MCP, content=ping, headers=version).status_code == 400
        assert client.post(f"{MCP}/", content=ping).status_code == 404
        assert client.post(f"/gradio_api{MCP}/", content=ping).status_code == 404
        assert client.post(MCP, content=ping).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert capfd.readouterr().err == ""


def test_no_other_command_loads_the_protocol() -> None:
    code = "import sys, image_search.search, image_search.cli; print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
