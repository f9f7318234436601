"""The panel: one picture, large, with all that is known of it."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import VIEWS, serving
from looking import ask, drop, field, ids, in_address, links, opened, panel, status, titles
from PIL import Image
from playwright.sync_api import Page, expect

from image_search.build import build
from image_search.encoder import OnnxEncoder
from image_search.folder import open_folder
from image_search.manifest import CollectionInfo
from image_search.search import Searcher


def test_a_click_shows_it_large_with_all_that_is_known(page: Page, demo: Searcher) -> None:
    ask(page, "a statue of Buddha")
    hit = demo.search("a statue of Buddha", k=1)[0]
    opened(page)
    for value in (
        hit.metadata["creator"], hit.metadata["rights"], hit.credit, hit.id, f"{hit.score:.2f}",
        *hit.metadata["keywords"],
    ):  # fmt: skip
        expect(panel(page)).to_contain_text(value)
    source = panel(page).locator("dl").get_by_role("link")
    expect(source).to_have_attribute("href", hit.metadata["source_url"])
    page.wait_for_function("document.querySelector('#large img').naturalWidth > 256")
    large = panel(page).locator("#large")
    assert (large.get_attribute("href") or "").startswith("/api/v1/pictures/")


def test_it_lies_beside_the_pictures_or_over_them(page: Page) -> None:
    ask(page, "a house")
    opened(page, 2)
    box, screen = panel(page).bounding_box(), page.viewport_size
    assert box
    assert screen
    if screen["width"] > 900:
        others = links(page).evaluate_all("all => all.map(a => a.getBoundingClientRect().right)")
        assert max(others) <= box["x"]
        assert box["height"] == screen["height"]
        links(page).nth(4).click()  # the others can still be chosen
        expect(page.locator("#place")).to_have_text("No. 5 by nearness")
    else:
        assert box["width"] == screen["width"]
        assert panel(page).evaluate("panel => panel.matches(':modal')")
    page.get_by_role("button", name="Close").click()
    expect(panel(page)).to_be_hidden()


def test_a_tap_beside_the_sheet_closes_it(open_page: Callable[..., Any], address: str) -> None:
    with open_page(address, "phone") as page:
        ask(page, "a house")
        opened(page)
        page.touchscreen.tap(100, 500)  # within it
        expect(panel(page)).to_be_visible()
        page.touchscreen.tap(100, 10)
        expect(panel(page)).to_be_hidden()


@pytest.mark.parametrize("number", [21, 31, 46])
def test_opening_and_closing_keep_ones_place(
    open_page: Callable[..., Any], address: str, number: int
) -> None:
    with open_page(address) as page:
        ask(page, "a bird")
        link = links(page).nth(number)
        link.scroll_into_view_if_needed()
        page.evaluate("scrollBy(0, 200)")
        page.wait_for_timeout(100)
        box = "link => link.getBoundingClientRect().top"
        before = link.evaluate(box)
        link.click()
        expect(panel(page)).to_be_visible()
        assert abs(link.evaluate(box) - before) < 5
        page.keyboard.press("Escape")
        expect(panel(page)).to_be_hidden()
        assert abs(link.evaluate(box) - before) < 5


def test_a_message_is_seen_on_the_sheet_that_covers_the_page(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address, "phone") as page:
        ask(page, "a house")
        opened(page)
        page.route("**/api/v1/search?*", lambda route: route.abort())
        page.get_by_role("button", name="More like this").click()
        expect(panel(page).get_by_role("alert")).to_contain_text("The server does not answer")


def test_more_like_this(page: Page, demo: Searcher) -> None:
    ask(page, "a guitar")
    opened(page)
    id = ids(page)[0]
    page.get_by_role("button", name="More like this").click()
    expect(panel(page)).to_be_hidden()
    expect(status(page)).to_contain_text(f"Pictures like “{demo.record(id).title}”")
    assert ids(page)[:60] == [hit.id for hit in demo.search("a guitar", like=[id], k=60)]
    assert id not in ids(page)
    assert in_address(page) == {"text": ["a guitar"], "like": [id]}
    page.get_by_role("button", name="Clear the words").click()
    expect(status(page)).not_to_contain_text("a guitar")
    assert ids(page)[:60] == [hit.id for hit in demo.search(like=[id], k=60)]
    expect(page.locator("#chips img")).to_have_attribute("alt", f"Like {demo.record(id).title}")
    expect(field(page)).to_be_in_viewport()


def test_the_ones_before_and_after_are_a_step_away(page: Page) -> None:
    ask(page, "a bird")
    names = titles(page)
    opened(page)
    heading = panel(page).get_by_role("heading")
    expect(page.get_by_role("button", name="Previous picture")).to_be_disabled()
    page.get_by_role("button", name="Next picture").click()
    expect(heading).to_have_text(names[1])
    expect(page.get_by_role("button", name="Previous picture")).to_be_enabled()
    page.go_back()  # one step back closes it, however many were looked at
    expect(panel(page)).to_be_hidden()
    expect(status(page)).to_contain_text("“a bird”")


def test_many_pictures_leave_room_for_words(
    open_page: Callable[..., Any], address: str, demo: Searcher
) -> None:
    likes = "&".join(f"like={id}" for id in demo.artifact.manifest.overview[:20])
    for view, width in (("wide", 1280), ("phone", 390)):
        with open_page(f"{address}/?{likes}", view) as page:
            expect(page.locator("#chips img")).to_have_count(20)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            box = page.locator("#words").bounding_box()
            assert box
            assert box["width"] > 80


def test_the_link_can_be_copied(open_page: Callable[..., Any], address: str) -> None:
    with open_page(address, permissions=["clipboard-read", "clipboard-write"]) as page:
        ask(page, "a bird")
        opened(page)
        page.get_by_role("button", name="Copy link").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == page.url
        page.keyboard.press("Escape")
        drop(page, "red.png", "image/png", red_png())
        expect(status(page)).to_contain_text("Pictures like yours")
        opened(page)
        page.get_by_role("button", name="Copy link").click()
        expect(page.get_by_role("button", name="Copied: this picture only")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == page.url


def red_png() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (60, 60), "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_escape_closes_it_from_anywhere_and_arrows_stay_with_their_own(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address) as page:
        ask(page, "a bird")
        opened(page, 3)
        field(page).click()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#place")).to_have_text("No. 4 by nearness")
        page.keyboard.press("Escape")
        expect(panel(page)).to_be_hidden()


def test_a_picture_that_was_not_found_has_no_neighbours(
    open_page: Callable[..., Any], address: str, demo: Searcher
) -> None:
    alone = next(
        i for i in demo.artifact.catalogue.ids() if i not in demo.artifact.manifest.overview
    )
    with open_page(f"{address}/?picture={alone}") as page:
        expect(panel(page).get_by_role("heading")).to_have_text(demo.record(alone).title)
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(200)
        expect(panel(page).get_by_role("heading")).to_have_text(demo.record(alone).title)


def test_about_has_the_whole_page_while_a_picture_is_open(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address) as page:
        ask(page, "a bird")
        opened(page)
        page.get_by_role("tab", name="About").click()
        expect(page.locator("#about")).to_be_visible()
        main = page.locator(".gradio-container > .main")
        assert main.evaluate("main => parseFloat(getComputedStyle(main).paddingRight)") < 60
        page.go_back()  # to the pictures, and seen
        expect(links(page).first).to_be_visible()
        expect(panel(page)).to_be_hidden()


NASTY = "${alert(1)} `x` <img src=x onerror=document.title='pwned'> {{1+1}} </script> \u202eabc"


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Path:
    """A collection whose every text tries something."""
    folder = tmp_path_factory.mktemp("nasty") / "pictures"
    folder.mkdir()
    for n, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (60 * (n + 1), 90), colour).save(folder / f"{n} #%&'\"<b>.png")
    names = sorted(path.name for path in folder.iterdir())
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    rows = [f"{name},{NASTY},{NASTY},javascript:alert(1)" for name in quoted]
    text = "\n".join([f"file_name,title,credit,{NASTY.replace(',', '')}", *rows])
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    info = CollectionInfo(name=NASTY, description=NASTY, rights=NASTY, contact=NASTY, notice=NASTY)
    build(open_folder(folder), colours, folder.with_name("out"), info)
    return folder.with_name("out")


@pytest.mark.parametrize("view", VIEWS)
def test_markup_in_a_record_stays_text(
    open_page: Callable[..., Any], nasty: Path, view: str
) -> None:
    with serving(nasty) as address, open_page(address, view) as page:
        ask(page, "red")
        expect(page.get_by_role("heading", level=1)).to_have_text(NASTY.replace("  ", " "))
        expect(page.locator("#foot")).to_contain_text(NASTY)
        assert NASTY in page.title()
        assert titles(page)[0] == NASTY
        opened(page)
        expect(panel(page)).to_contain_text(NASTY)
        page.wait_for_load_state("networkidle")
        assert page.title() != "pwned"
        assert page.locator("#image-search [onerror]").count() == 0
        assert page.locator("a[href^=javascript]").count() == 0
        page.wait_for_function("document.querySelector('#large img').naturalWidth > 0")
        page.reload()
        expect(panel(page)).to_contain_text(NASTY)
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="About").click()
        expect(page.locator("#about dl")).to_contain_text(NASTY)
        assert page.locator("[onerror]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
