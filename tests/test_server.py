"""Pictures by id, health, and the page's endpoints, over HTTP from the real app.py."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from conftest import build_folder, serving
from gradio_client import Client
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


def test_health(address: str) -> None:
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok", "pictures": 1}


def test_a_picture_and_its_thumbnail_are_served_by_id(address: str) -> None:
    id = quote(ODD, safe="")
    picture = httpx.get(f"{address}/pictures/{id}")
    small = httpx.get(f"{address}/thumbnails/{id}?v=1")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
    assert "private" in small.headers["cache-control"]


@pytest.mark.parametrize("id", ["nothing.png", "..%2f..%2fetc%2fpasswd", "%00", ""])
def test_an_unknown_picture_is_a_404(address: str, id: str) -> None:
    assert httpx.get(f"{address}/thumbnails/{id}").status_code == 404


def test_the_page_can_be_asked_by_programs(address: str) -> None:
    client = Client(address, verbose=False, download_files=False)
    message, found = client.predict("red", api_name="/search")
    assert "nearest picture" in message
    [picture] = found
    url = picture["image"]["url"]
    assert httpx.get(url).headers["content-type"] == "image/webp"
    assert re.search(r"<b>\.png · 1\.00$", picture["caption"])


def search_with(address: str, path: str) -> str:
    """What the server answers to a caller who names a file instead of uploading one."""
    endpoint = f"{address}/gradio_api/call/search_picture"
    payload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event = httpx.post(endpoint, json={"data": [payload]}).json()["event_id"]
    return httpx.get(f"{endpoint}/{event}").text


def test_no_file_of_the_server_can_be_searched_with(address: str) -> None:
    answer = search_with(address, "/etc/hostname")
    assert "event: error" in answer
    assert "not a picture" not in answer  # it was not even opened


def test_no_address_is_fetched_to_search_with(address: str) -> None:
    assert "addresses are not fetched" in search_with(address, "https://example.org/a.png")


def test_only_an_address_with_the_version_is_kept_for_long(
    address: str, odd_searcher: Searcher
) -> None:
    thumbnail = f"{address}/thumbnails/{quote(ODD, safe='')}"
    version = odd_searcher.artifact.short_version
    kept = httpx.get(f"{thumbnail}?v={version}").headers["cache-control"]
    asked_again = httpx.get(f"{thumbnail}?v=another").headers["cache-control"]
    assert ("immutable" in kept, "immutable" in asked_again) == (True, False)


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
