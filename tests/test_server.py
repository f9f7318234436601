"""Pictures by id, health, and the page's endpoints, over HTTP from the real app.py."""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from conftest import build_folder, serving
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

import image_search
from image_search.encoder import OnnxEncoder
from image_search.search import Searcher

ODD = "a folder/50% of #7? “Ärger” & <b>.png"


@pytest.fixture(scope="module")
def odd_searcher(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Searcher:
    folder = tmp_path_factory.mktemp("odd") / "pictures"
    (folder / ODD).parent.mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(folder / ODD)
    return image_search.open(build_folder(folder, colours, folder.with_name("out")))


@pytest.fixture(scope="module")
def address(odd_searcher: Searcher) -> Iterator[str]:
    with serving(odd_searcher.artifact.path) as address:
        yield address


def test_health_tells_a_stranger_nothing(address: str) -> None:
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}


def test_the_interface_stands_beside_the_page(address: str) -> None:
    assert httpx.get(f"{address}/api/v1/health").json() == {"status": "ok"}
    [hit] = httpx.get(f"{address}/api/v1/search?text=red").json()["hits"]
    assert httpx.get(f"{address}{hit['thumbnail']}").headers["content-type"] == "image/webp"


def test_the_page_can_be_asked_by_programs(address: str) -> None:
    client = Client(address, verbose=False, download_files=False)
    answer = client.predict("red", api_name="/search")
    assert answer == {
        **httpx.get(f"{address}/api/v1/search?text=red").json(),
        "seconds": answer["seconds"],
    }
    [hit] = client.predict("red", 1, api_name="/search")["hits"]
    assert hit["id"] == ODD
    with pytest.raises(AppError, match="Type what you are looking for"):
        client.predict(" ", api_name="/search")
    with pytest.raises(AppError, match="k is 201"):
        client.predict("red", 201, api_name="/search")


def test_an_answer_on_an_open_connection_does_not_wait(address: str) -> None:
    """Without TCP_NODELAY each would take 40 ms more than on a connection of its own."""

    def median_of(ask: Callable[[], object]) -> float:
        times = []
        for _ in range(15):
            start = time.perf_counter()
            ask()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    with httpx.Client() as open_connection, httpx.Client() as other:
        own_connection = {"Connection": "close"}
        kept = median_of(lambda: open_connection.get(f"{address}/healthz"))
        own = median_of(lambda: other.get(f"{address}/healthz", headers=own_connection))
    assert kept < 4 * own


def test_the_pages_head_is_ours(address: str) -> None:
    html = httpx.get(f"{address}/").text
    assert html.count("<title>") == 1
    assert "og:" not in html
    assert "twitter:" not in html
    assert '<meta name="robots" content="noindex">' in html
    assert html.index('src="/ui/page.js"') < html.index("gradio_config")
    assert "<noscript><p>This page needs JavaScript." in html


def test_every_answer_says_that_nothing_may_leave(address: str) -> None:
    for path in ("/", "/healthz", "/ui/page.js", "/api/v1/collection", "/api/v1/none", "/config"):
        headers = httpx.get(f"{address}{path}").headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    ["/upload", "/gradio_api/upload", "/gradio_api/file=/etc/hostname", "/gradio_api/file/app.py",
     "/gradio_api/proxy=https://example.org", "/gradio_api/process_recording", "/login", "/token",
     "/gradio_api/component_server", "/gradio_api/vibe-edit", "/gradio_api/monitoring",
     "/gradio_api/run/search", "/gradio_api/api/search", "/gradio_api/call/v2/search",
     "/api", "/api/v1", "//api/v1/search", "/API/v1/search", "/docs", "/openapi.json",
     "/mcp/", "/mcp/sse", "/gradio_api/mcp", "/gradio_api/mcp/sse"],
)  # fmt: skip
def test_what_the_page_does_not_need_is_shut(address: str, path: str) -> None:
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{address}{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Nothing is served here" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["call/search", "queue/join"])
@pytest.mark.parametrize("file", ["/etc/hostname", "http://127.0.0.1:9/x", "https://example.org/x"])
def test_gradio_is_handed_words_and_numbers_only(address: str, path: str, file: str) -> None:
    """It would take anything else for a file, and fetch it from wherever the caller says."""
    named = {"path": file, "meta": {"_type": "gradio.FileData"}}
    for data in ([named, 1], ["red", named], [[named]], [["a", named]], {"w": named}, "red", None):
        call = {"data": data, "fn_index": 0, "session_hash": "a"}
        answer = httpx.post(f"{address}/gradio_api/{path}", json=call)
        assert answer.status_code == 400
        assert "lists of texts" in answer.json()["detail"]
    for body in (b"", b"{", b"[" * 100_000, b'{"data":["' + b"x" * 70_000 + b'"]}'):
        assert httpx.post(f"{address}/gradio_api/{path}", content=body).status_code == 400


def test_a_head_request_is_answered_as_a_get(address: str) -> None:
    for path in ("/", "/healthz", "/api/v1/search?text=red", "/ui/page.js"):
        head, get = httpx.head(f"{address}{path}"), httpx.get(f"{address}{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]


def test_what_is_no_http_is_a_problem_too(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall("GET /api/v1/search?text=été HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        told = raw.makefile("rb").read().decode()
    assert told.startswith("HTTP/1.1 400 ")
    assert "content-type: application/problem+json" in told
    assert "percent-encoded" in json.loads(told.partition("\r\n\r\n")[2])["detail"]


def test_nothing_is_reported_and_nothing_left_on_the_disk(
    odd_searcher: Searcher, tmp_path: Path
) -> None:
    """ONNX Runtime by itself reports to its makers, and leaves a database for that."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    picture = BytesIO()
    Image.new("RGB", (2000, 2000), "red").save(picture, "BMP")  # 12 MB
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", environment)
        with serving(odd_searcher.artifact.path) as address:
            for content in (picture.getvalue(), b"Dear Sir", bytes(30_000_000)):
                httpx.post(f"{address}/api/v1/search", content=content, timeout=30)
            httpx.get(f"{address}/api/v1/search?text=red")
            Client(address, verbose=False, download_files=False).predict("red", api_name="/search")
            time.sleep(1)
            left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []


def test_a_taken_port_is_one_line_with_the_remedy(odd_searcher: Searcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {
            **os.environ,
            "IMAGE_SEARCH_ARTIFACT": str(odd_searcher.artifact.path),
            "IMAGE_SEARCH_PORT": str(taken.getsockname()[1]),
        }
        done = subprocess.run(
            [sys.executable, "app.py"], env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "Choose another with IMAGE_SEARCH_PORT" in line
