"""Everything with the keyboard alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from looking import ask, field, ids, links, panel, status
from playwright.sync_api import Page, expect


@pytest.fixture
def page(open_page: Callable[..., Any], address: str) -> Iterator[Page]:
    with open_page(address) as page:
        expect(links(page)).to_have_count(60)
        yield page


def focused(page: Page) -> str:
    """What has the keyboard, as a screen reader would name it."""
    name: str = page.evaluate(
        """() => {
            const at = document.activeElement;
            return at.getAttribute("aria-label") ?? at.labels?.[0]?.innerText
                ?? at.querySelector("img")?.alt ?? at.innerText;
        }"""
    )
    return name.strip()


def current(page: Page) -> int:
    """The number of the picture that has the keyboard."""
    place: int = page.evaluate(
        "[...document.querySelectorAll('#grid a')].indexOf(document.activeElement)"
    )
    return place


def test_the_tab_key_goes_through_the_page_in_order(page: Page) -> None:
    order = []
    for _ in range(20):
        page.keyboard.press("Tab")
        order.append(focused(page))
        if current(page) == 0:
            break
    expected = [
        "Search", "What are you looking for?", "Search with a picture", "Search",
        "A musical instrument", "An animal", "A guitar", "Flowers in a vase", "A house",
        "The moon", "Why?",
    ]  # fmt: skip
    assert [name for name in order if name in expected] == expected
    assert current(page) == 0  # the pictures are one stop, not sixty


def test_search_walk_open_step_and_close(page: Page) -> None:
    field(page).focus()
    page.keyboard.type("a bird")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("“a bird”")
    page.keyboard.press("ArrowDown")
    assert current(page) == 0
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Home", 0)):
        page.keyboard.press(key)
        assert current(page) == place
    tops = links(page).evaluate_all("all => all.map(a => a.getBoundingClientRect().top)")
    second_row = next(top for top in tops if top > tops[0])
    page.keyboard.press("ArrowDown")
    assert tops[current(page)] == second_row
    page.keyboard.press("ArrowUp")
    assert current(page) == 0
    page.keyboard.press("ArrowUp")  # there is nothing above
    assert current(page) == 0
    page.keyboard.press("ArrowRight")
    caption = links(page).nth(1).locator(".caption")
    expect(caption).to_have_css("opacity", "1")
    page.keyboard.press("Enter")
    heading = panel(page).get_by_role("heading")
    expect(heading).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#place")).to_have_text("No. 3 by nearness")
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    assert current(page) == 2


def test_more_like_this_with_the_keyboard(page: Page) -> None:
    ask(page, "a bird")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(panel(page)).to_be_visible()
    for _ in range(9):
        page.keyboard.press("Tab")
        if focused(page) == "More like this":
            break
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("Pictures like “")
    expect(status(page)).to_be_focused()
    for button in ("Filters", "Save or cite"):
        page.keyboard.press("Tab")
        assert focused(page) == button
    page.keyboard.press("Tab")
    assert current(page) == 0


def test_the_end_key_brings_further_pictures(page: Page) -> None:
    ask(page, "a bird")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.wait_for_function("document.querySelectorAll('#grid li').length > 60")
    here = current(page)
    page.keyboard.press("ArrowRight")
    assert current(page) == here + 1
    assert len(set(ids(page))) == len(ids(page))


def test_escape_closes_a_sheet_on_a_phone_too(open_page: Callable[..., Any], address: str) -> None:
    with open_page(address, "phone") as phone:
        ask(phone, "a bird")
        links(phone).nth(2).focus()
        phone.keyboard.press("Enter")
        expect(panel(phone)).to_be_visible()
        for _ in range(30):  # the keyboard stays within the sheet
            phone.keyboard.press("Tab")
            assert phone.evaluate(
                "document.activeElement === document.body"
                " || !!document.activeElement.closest('#panel')"
            )
        phone.keyboard.press("Escape")
        expect(panel(phone)).to_be_hidden()
        assert current(phone) == 2


def test_where_the_keyboard_is_can_be_seen(page: Page) -> None:
    ask(page, "a bird")
    for _ in range(12):
        page.keyboard.press("Tab")
        page.wait_for_timeout(300)  # Gradio lets some frames come slowly
        visible = page.evaluate(
            """() => {
                let at = document.activeElement;
                if (at === document.body) return true; // on the way around
                if (at.id === "words") at = at.parentElement; // its frame shows it
                const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(at);
                return outlineStyle !== "none" && outlineWidth !== "0px" || boxShadow !== "none";
            }"""
        )
        assert visible, focused(page)
