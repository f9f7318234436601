"""The page in a real browser: Debian's chromium, driven by Playwright, on the demo."""

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from conftest import serving
from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page, expect, sync_playwright

from image_search.search import Searcher
from image_search.selfcheck import shows

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="NO BROWSER TESTS: chromium is not installed (apt-get install chromium)",
)

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def address(demo: Searcher) -> Iterator[str]:
    with serving(demo.artifact.path) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    yield page
    page.close()


def ask(page: Page, words: str) -> list[str]:
    """Type words, press Enter, and give the captions of what is shown, in order."""
    field = page.get_by_label("What are you looking for?")
    field.fill(words)
    field.press("Enter")
    expect(page.locator("#message")).to_contain_text(f"nearest pictures to {words.strip()}")
    return captions(page)


def captions(page: Page) -> list[str]:
    images = page.locator("#found .grid-container img")
    expect(images.first).to_be_visible()
    return [image.get_attribute("alt") or "" for image in images.all()]


def loaded(page: Page) -> list[bool]:
    """Whether each picture that is on the screen has pixels."""
    page.wait_for_load_state("networkidle")
    return page.locator("#found .grid-container img").evaluate_all(
        "imgs => imgs.slice(0, 10).map(i => i.complete && i.naturalWidth > 0)"
    )


def test_a_statue_of_buddha_shows_statues_first(page: Page, demo: Searcher) -> None:
    shown = ask(page, "a statue of Buddha")
    assert len(shown) == 60
    hits = demo.search("a statue of Buddha", k=60)
    for caption, hit in zip(shown, hits, strict=True):
        assert hit.title in caption
        assert caption.endswith(f"· {hit.score:.2f}")
    statues = [shows(hit, "buddha|bodhisattva") for hit in hits]
    assert statues[:3] == [True, True, True]
    assert sum(statues[:9]) >= 7
    assert loaded(page) == [True] * 10


def test_a_shrunk_grey_copy_finds_its_original_first(
    page: Page, demo: Searcher, tmp_path: Path
) -> None:
    id = demo.search("flowers in a vase", k=1)[0].id
    with Image.open(BytesIO(demo.picture(id) or b"")) as original:
        copy = ImageOps.grayscale(original)
        copy.thumbnail((160, 160))
        copy.save(tmp_path / "copy.jpg", quality=70)
    page.get_by_text("Search with a picture instead").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "copy.jpg")
    button = page.get_by_role("button", name="Search with this picture")
    expect(page.locator("[data-testid=image] img, .image-frame img").first).to_be_visible()
    button.click()
    expect(page.locator("#message")).to_contain_text("nearest pictures to a picture")
    row = demo.artifact.catalogue.row(id)
    assert row is not None
    [fields] = demo.artifact.catalogue.metadata([row])
    assert fields["title"] in captions(page)[0]


def test_the_warning_stands_above_the_pictures(page: Page) -> None:
    ask(page, "a cat")
    warning, found = page.locator("#warning"), page.locator("#found")
    expect(warning).to_contain_text("not been tested on this collection")
    expect(warning).to_contain_text("not CLIP")
    boxes = warning.bounding_box(), found.bounding_box()
    assert boxes[0]
    assert boxes[1]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]


def test_a_credit_stands_with_the_picture_that_asks_for_it(page: Page) -> None:
    shown = ask(page, "a statue of Buddha")
    korean = [caption for caption in shown if "Buddha" in caption]
    assert korean
    assert all("National Museum of Korea" in caption for caption in korean)


def test_nothing_leaves_the_servers_own_address(browser: Browser, address: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    ask(page, "a cat")
    loaded(page)
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert len(asked) > 10
    assert outside == []
    page.close()


@pytest.mark.parametrize("words", ["   ", "x" * 10_000])
def test_a_senseless_question_is_said_and_the_next_one_works(page: Page, words: str) -> None:
    field = page.get_by_label("What are you looking for?")
    field.fill(words)
    field.press("Enter")
    said = "Type what you are looking for" if not words.strip() else "10,000 characters"
    expect(page.get_by_text(said)).to_be_visible()
    assert len(ask(page, "a cat")) == 60


def test_a_file_that_is_no_picture_is_said_and_the_next_one_works(
    page: Page, tmp_path: Path
) -> None:
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Sir,")
    page.get_by_text("Search with a picture instead").click()
    page.locator("input[type=file]").first.set_input_files(bad)
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Search with this picture").click()
    expect(page.get_by_text("This file cannot be searched with: not a picture")).to_be_visible()
    assert len(ask(page, "a cat")) == 60


def test_an_example_is_asked_at_a_click(page: Page) -> None:
    page.get_by_role("button", name="A guitar").click()
    expect(page.locator("#message")).to_contain_text("nearest pictures to A guitar")
    assert len(captions(page)) == 60


def test_a_click_on_a_picture_shows_it_large_with_all_that_is_known(
    page: Page, demo: Searcher
) -> None:
    ask(page, "a statue of Buddha")
    page.locator("#found .grid-container img").first.click()
    hit = demo.search("a statue of Buddha", k=1)[0]
    detail = page.locator("#detail")
    expect(detail).to_contain_text(hit.metadata["title"])
    expect(detail).to_contain_text(hit.metadata["rights"])
    expect(detail.get_by_role("link").first).to_have_attribute("href", hit.metadata["source_url"])
    large = detail.locator("img")
    expect(large).to_be_visible()
    page.wait_for_function("document.querySelector('#detail img').naturalWidth > 256")
    ask(page, "a cat")
    expect(detail.locator("img")).to_have_count(0)


def test_markup_in_a_question_stays_text(page: Page) -> None:
    words = "<img src=x onerror=document.title='pwned'> **bold** ${1+1}"
    ask(page, words)
    assert page.title() != "pwned"
    assert page.locator("#message img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (390, "dark"), (2560, "light")])
def test_the_page_fits_its_window(browser: Browser, address: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(address)
    ask(page, "a statue of Buddha")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
