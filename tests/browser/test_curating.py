"""Covered pictures, reports, and the tab of curators."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import build_folder
from gated import Gated, by_password
from PIL import Image
from playwright.sync_api import Page, expect

import image_search
from image_search.encoder import OnnxEncoder
from image_search.notices import Notices
from image_search.state import State

As = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Iterator[Gated]:
    """Six plain pictures, of which a notice covers two."""
    folder, state = tmp_path_factory.mktemp("pictures"), tmp_path_factory.mktemp("state")
    for colour in ("red", "crimson", "green", "blue", "yellow", "purple"):
        Image.new("RGB", (200, 160), colour).save(folder / f"{colour}.png")
    built = build_folder(folder, colours, tmp_path_factory.mktemp("out") / "built")
    opened = State.open(state)
    Notices(opened).add("Shows blood", "carl", pictures=["red.png", "crimson.png"])
    opened.close()
    with by_password(image_search.open(built), state) as found:
        yield found


@pytest.fixture
def as_(house: Gated, open_page: Callable[..., AbstractContextManager[Page]]) -> As:
    """Opens the page as somebody who has signed in."""

    @contextmanager
    def open_as(name: str, view: str = "wide", address: str = "/?text=red") -> Iterator[Page]:
        with open_page(house.address + address, view, storage_state=house.storage(name)) as page:
            yield page

    return open_as


def has_no_barriers(page: Page) -> bool:
    page.wait_for_timeout(300)  # until nothing fades any more
    told = Axe().run(page).response["violations"]
    return [v["id"] for v in told if v["impact"] != "minor"] == []


def pixels(page: Page) -> list[str]:
    """The pictures of the grid that are shown."""
    found: list[str] = page.locator("#grid img").evaluate_all("all => all.map(i => i.alt)")
    return found


@pytest.mark.parametrize("view", ["wide", "phone"])
def test_a_covered_picture_is_shown_to_who_asks(as_: As, view: str) -> None:
    with as_("mary", view) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        tiles = page.locator("#grid .cover")
        expect(tiles).to_have_count(2)
        expect(page.get_by_role("img", name="red.png. Covered: Shows blood")).to_have_text(
            "Shows blood"
        )
        assert len(pixels(page)) == 4
        assert has_no_barriers(page)
        first = page.locator("#grid li").first
        first.locator("a").focus()
        page.keyboard.press("Tab")
        expect(first.get_by_role("button", name="Show “")).to_be_focused()
        page.keyboard.press("Enter")
        expect(tiles).to_have_count(1)
        expect(first.locator("a")).to_be_focused()
        expect(first.locator("img")).to_have_js_property("naturalWidth", 200)
        # the other one by the panel, and with it all that have its notice
        page.locator("#grid li:has(.cover) a").click()
        expect(page.locator("#covered")).to_contain_text("Shows blood")
        expect(page.locator("#large")).to_be_hidden()
        assert has_no_barriers(page)
        assert all("shown=1" in url for url in asked if "/thumbnails/" in url)
        page.get_by_role("button", name="Show all with this notice until I leave").click()
        expect(page.locator("#large img")).to_have_js_property("naturalWidth", 200)
        expect(page.locator("#large")).to_be_focused()
        expect(tiles).to_have_count(0)
        page.reload()
        expect(tiles).to_have_count(2)


@pytest.mark.parametrize(("view", "colour"), [("wide", "green"), ("phone", "blue")])
def test_a_report_leads_to_a_suppression_in_two_clicks(as_: As, view: str, colour: str) -> None:
    with as_("mary", view, f"/?picture={colour}.png") as page:
        expect(page.locator("#curate-button")).to_be_hidden()
        expect(page.locator("#cover-with")).to_be_hidden()
        page.get_by_role("button", name="Report this picture").click()
        reason = page.get_by_label("What is wrong?")
        expect(reason).to_be_focused()
        assert has_no_barriers(page)
        page.get_by_role("button", name="Send").click()
        expect(reason).to_be_visible()  # a reason is needed
        reason.select_option("Rights")
        page.get_by_label("In your words, if you like").fill("my aunt's")
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#report-form")).to_have_text("Thank you. A curator will look at it.")
    with as_("carl", view) as page:
        page.get_by_role("tab", name="Curate").click()
        line = page.locator("#reports li").filter(has_text=f"{colour}.png")
        expect(line).to_contain_text("Rights: my aunt's")
        assert "mary" not in page.locator("#curation").inner_text()
        assert has_no_barriers(page)
        line.get_by_role("button", name="Withdraw", exact=True).click()
        expect(line.get_by_label("Reason, for those")).to_have_value("Reported: Rights: my aunt's")
        line.get_by_role("button", name="Withdraw now").click()
        expect(page.locator("#curation-said")).to_contain_text(f"Withdrawn: {colour}.png.")
        expect(line).to_have_count(0)
        page.get_by_text("Decided", exact=True).click()
        expect(page.locator("#decided li").first).to_contain_text(f"{colour}.png Withdrawn")
        assert has_no_barriers(page)
        page.get_by_role("tab", name="Search").click()
        assert f"{colour}.png" not in pixels(page)


def test_a_curator_covers_a_picture_and_takes_the_notice_back(as_: As) -> None:
    with as_("carl", "wide", "/?text=purple") as page:
        page.locator("#grid a:has(img[alt='purple.png'])").click()
        page.get_by_role("button", name="Cover with a notice …").click()
        text = page.get_by_label("The notice, such as")
        text.fill("Shows a wound")
        page.keyboard.press("ArrowLeft")  # moves in the field, not to another picture
        page.keyboard.press("Enter")
        expect(page.locator("#cover-with-form")).to_have_text("The picture is covered.")
        expect(page.locator("#covered-by")).to_have_text("Shows a wound")
        expect(page.locator("#grid .cover").filter(has_text="Shows a wound")).to_have_count(1)
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="Curate").click()
        page.get_by_label("Field and value").fill("nothing:x")
        page.locator("#notice-form").get_by_label("The notice").fill("x")
        page.locator("#notice-form button").click()
        expect(page.locator("#notice-form .trouble")).to_contain_text("names no field")
        page.get_by_role("button", name="Remove “Shows a wound”").click()
        expect(page.locator("#curation-said")).to_contain_text("covers nothing any more")
        page.get_by_role("tab", name="Search").click()
        expect(page.locator("#grid img[alt='purple.png']")).to_be_visible()


def test_use_can_be_read_without_seeing_the_chart(as_: As) -> None:
    with as_("carl", "phone") as page:
        page.get_by_role("tab", name="Curate").click()
        expect(page.locator("#use")).to_contain_text("searches")
        expect(page.get_by_role("table", name="Searches by day")).to_have_count(1)
        wide = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert wide, "the page scrolls sideways"
