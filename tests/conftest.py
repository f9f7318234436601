"""What several tests start from."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import clickhouse_node
import colour_encoder
import pytest
from clickhouse_node import Node
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import image_search
from image_search.build import build
from image_search.encoder import OnnxEncoder
from image_search.folder import open_folder
from image_search.search import Searcher

# Mean colours whose cosines with "red" differ: 1, .894, .707, 0, 0.
PICTURES = {
    "warm/red.png": (255, 0, 0),
    "warm/orange.png": (255, 127, 0),
    "warm/yellow.png": (255, 255, 0),
    "cold/green.png": (0, 255, 0),
    "cold/blue.png": (0, 0, 255),
}

METADATA = """\
file_name,title,year,keywords,source_url
warm/red.png,A red thing,1872,fire; blood,https://example.org/1
warm/orange.png,An orange,1888,fruit; food,https://example.org/2
cold/blue.png,"The sea, at noon",1900,sea,https://example.org/3
"""


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    """The encoder that knows colours."""
    return OnnxEncoder(colour_encoder.write(tmp_path_factory.mktemp("colours")), threads=2)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of five plain pictures with metadata for three of them."""
    return write_pictures(tmp_path / "pictures")


@pytest.fixture
def built(pictures: Path, colours: OnnxEncoder, tmp_path: Path) -> Path:
    """The artifact of these pictures, for a test that may damage it."""
    return build_folder(pictures, colours, tmp_path / "built")


@pytest.fixture(scope="session")
def searcher(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Searcher:
    """The same, opened, for tests that only read."""
    folder = tmp_path_factory.mktemp("searcher")
    return image_search.open(
        build_folder(write_pictures(folder / "pictures"), colours, folder / "built")
    )


@pytest.fixture(scope="session")
def demo() -> Searcher:
    """The demo with the embedded encoder, built once on this machine."""
    from image_search.demo import ensure_demo

    return image_search.open(ensure_demo())


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """A real ClickHouse cluster of two shards on loopback."""
    nodes = clickhouse_node.start(tmp_path_factory.mktemp("cluster"), 2)
    yield nodes
    for node in nodes:
        node.stop()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of an embedded database: a process can open only one."""
    return f"chdb://{tmp_path_factory.mktemp('database')}"


@pytest.fixture(scope="session")
def random_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """Folders with a randomly initialised CLIP, made once each: small or of genuine size."""
    import random_clip

    made: dict[bool, Path] = {}

    def make(small: bool) -> Path:
        if small not in made:
            made[small] = random_clip.save(tmp_path_factory.mktemp("clip") / "random-clip", small)
        return made[small]

    return make


def write_pictures(folder: Path) -> Path:
    for name, colour in PICTURES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 32), colour).save(path)
    (folder / "metadata.csv").write_text(METADATA, encoding="utf-8")
    return folder


def build_folder(folder: Path, encoder: OnnxEncoder, out: Path) -> Path:
    build(open_folder(folder), encoder, out)
    return out


# What people add would else be kept in the project itself.
os.environ["IMAGE_SEARCH_STATE"] = tempfile.mkdtemp(prefix="image-search-tests-")
atexit.register(shutil.rmtree, os.environ["IMAGE_SEARCH_STATE"], ignore_errors=True)


@contextmanager
def serving(artifact: Path) -> Iterator[str]:
    """The real app.py on a free port of this machine; gives its address."""
    environment = {
        **os.environ,
        "IMAGE_SEARCH_ARTIFACT": str(artifact),
        "IMAGE_SEARCH_PORT": "0",
    }
    with subprocess.Popen(
        [sys.executable, "app.py"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, f"app.py did not start; it said {line!r}"
            yield found.group().rstrip("/")
        finally:
            process.terminate()


# The page in a real browser: Debian's chromium, driven by Playwright.

CHROMIUM = shutil.which("chromium")

VIEWS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "dark",
        "has_touch": True,
        "is_mobile": True,
    },
}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("NO BROWSER TESTS: chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(demo: Searcher) -> Iterator[str]:
    """Where the real app.py serves the demo."""
    with serving(demo.artifact.path) as address:
        yield address


@pytest.fixture(scope="session")
def open_page(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """Opens an address in a window of its own; whatever its scripts complain of fails the test."""

    @contextmanager
    def open_page(address: str, view: str = "wide", **options: Any) -> Iterator[Page]:
        context = browser.new_context(**{**VIEWS[view], **options})
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" else None,
        )
        page.goto(address)
        page.wait_for_selector("#grid li")
        yield page
        context.close()
        # What the browser says by itself: of a question that was refused, and of an address
        # outside, where a test tries one.
        expected = ("Failed to load resource", "Connecting to 'https://example.org/'", "Fetch API")
        assert [c for c in complaints if not c.startswith(expected)] == []

    return open_page


@pytest.fixture(params=VIEWS)
def page(
    request: pytest.FixtureRequest, open_page: Callable[..., Any], address: str
) -> Iterator[Page]:
    """The demo's page: on a wide screen in the light, and on a phone in the dark."""
    with open_page(address, request.param) as page:
        yield page
