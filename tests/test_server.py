"""Pictures by id, health, and the page's endpoints, over HTTP from the real app.py."""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
     "/gradio_api/proxy=https://example.org", "/gradio_api/process_recording",
     "/gradio_api/component_server", "/gradio_api/vibe-edit", "/gradio_api/monitoring"],
)  # fmt: skip
def test_what_gradio_has_beyond_the_page_is_shut(address: str, path: str) -> None:
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{address}{path}")
        assert answer.status_code == 404
        assert "Nothing is served here" in answer.json()["detail"]


def test_no_file_of_the_server_can_be_asked_for(address: str) -> None:
    """A caller who names a file where words are wanted gets none of it."""
    endpoint = f"{address}/gradio_api/call/search"
    named = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    event = httpx.post(endpoint, json={"data": [named, 1]})
    told = httpx.get(f"{endpoint}/{event.json()['event_id']}").text if event.is_success else ""
    assert "hits" not in told
    assert Path("/etc/hostname").read_text().strip() not in told


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
