"""The address holds the search: back, forward, reload, a copied link."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import VIEWS
from looking import ask, field, ids, in_address, links, opened, panel, status, trouble
from playwright.sync_api import Page, Route, expect

from image_search.search import Searcher


def test_the_address_holds_words_and_the_open_picture(page: Page) -> None:
    ask(page, "a house & garden #1 + 50%")
    assert in_address(page) == {"text": ["a house & garden #1 + 50%"]}
    opened(page, 3)
    assert in_address(page)["picture"] == [ids(page)[3]]


@pytest.mark.parametrize("view", VIEWS)
def test_a_copied_link_gives_the_same(
    open_page: Callable[..., Any], address: str, demo: Searcher, view: str
) -> None:
    with open_page(address, view) as page:
        ask(page, "a bird")
        opened(page, 7)
        link, shown = page.url, ids(page)[:60]
        heading = panel(page).get_by_role("heading").inner_text()
    with open_page(link, view) as other:
        expect(panel(other).get_by_role("heading")).to_have_text(heading)
        expect(field(other)).to_have_value("a bird")
        assert ids(other)[:60] == shown
        other.get_by_role("button", name="Close").click()
        expect(panel(other)).to_be_hidden()
        expect(status(other)).to_contain_text("“a bird”")
        assert in_address(other) == {"text": ["a bird"]}


def test_back_and_forward(page: Page) -> None:
    ask(page, "a bird")
    birds = ids(page)[:60]
    ask(page, "a house")
    houses = ids(page)[:60]
    opened(page)
    page.go_back()
    expect(panel(page)).to_be_hidden()
    assert ids(page)[:60] == houses
    page.go_back()
    expect(status(page)).to_contain_text("“a bird”")
    expect(field(page)).to_have_value("a bird")
    assert ids(page)[:60] == birds
    page.go_back()
    expect(status(page)).to_contain_text("From all over the collection")
    expect(field(page)).to_have_value("")
    page.go_forward()
    page.go_forward()
    expect(status(page)).to_contain_text("“a house”")
    assert ids(page)[:60] == houses


def test_the_same_question_twice_is_one_place_to_come_back_to(page: Page) -> None:
    ask(page, "a bird")
    ask(page, "a house")
    for _ in range(3):
        field(page).press("Enter")
        page.wait_for_timeout(150)
    page.go_back()
    expect(status(page)).to_contain_text("“a bird”")


def half_way_back(page: Page) -> None:
    """Ask for a ship, then for the moon, and go back; the ship is still on its way."""
    ask(page, "ship")
    ask(page, "moon")
    page.reload()
    expect(status(page)).to_contain_text("“moon”")

    def later(route: Route) -> None:
        page.wait_for_timeout(700)
        route.continue_()

    page.route("**/api/v1/search?text=ship", later)
    page.evaluate("history.back()")
    page.wait_for_timeout(200)


def test_forward_while_back_is_still_on_its_way(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address) as page:
        half_way_back(page)
        page.evaluate("history.forward()")
        page.wait_for_timeout(1500)
        assert in_address(page) == {"text": ["moon"]}
        expect(status(page)).to_contain_text("“moon”")
        expect(field(page)).to_have_value("moon")


def test_a_picture_opened_while_back_is_on_its_way(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address) as page:
        half_way_back(page)
        opened(page)
        page.wait_for_timeout(1500)
        assert in_address(page)["text"] == ["moon"]
        expect(status(page)).to_contain_text("“moon”")
        expect(panel(page)).to_be_visible()


def test_where_back_cannot_be_answered_the_address_says_what_is_shown(page: Page) -> None:
    ask(page, "ship")
    ask(page, "moon")
    page.reload()
    expect(status(page)).to_contain_text("“moon”")
    page.route("**/api/v1/search?text=ship", lambda route: route.abort())
    page.go_back()
    expect(trouble(page)).to_contain_text("does not answer")
    expect(status(page)).to_contain_text("“moon”")
    expect(field(page)).to_have_value("moon")
    assert in_address(page) == {"text": ["moon"]}


def test_a_picture_opens_though_the_server_failed_at_first(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address) as page:
        fails = [True]

        def once(route: Route) -> None:
            if fails:
                fails.pop()
                route.abort()
            else:
                route.continue_()

        page.route("**/api/v1/collection", once)
        page.reload()
        expect(links(page)).to_have_count(60)
        opened(page)


def test_back_leads_to_where_one_was(page: Page) -> None:
    ask(page, "a bird")
    page.locator("#more").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('#grid li').length > 60")
    page.evaluate("scrollTo(0, 1500)")
    page.wait_for_function("scrollY === 1500")
    count = links(page).count()
    field(page).fill("a house")
    page.evaluate("scrollTo(0, 1500)")
    page.wait_for_timeout(100)
    field(page).evaluate("field => field.form.requestSubmit()")
    expect(status(page)).to_contain_text("“a house”")
    assert page.evaluate("scrollY") < 400
    page.go_back()
    expect(status(page)).to_contain_text("“a bird”")
    page.wait_for_function("scrollY === 1500")
    assert links(page).count() >= count


def test_several_known_pictures_and_words_in_an_address(
    open_page: Callable[..., Any], address: str, demo: Searcher
) -> None:
    first, second = demo.artifact.manifest.overview[:2]
    with open_page(f"{address}/?text=red&like={first}&like={second}") as page:
        expect(status(page)).to_contain_text("Pictures like “")
        assert ids(page)[:60] == [h.id for h in demo.search("red", like=[first, second], k=60)]
        expect(page.locator("#chips img")).to_have_count(2)
        page.get_by_role("button", name="Search without").first.click()
        expect(page.locator("#chips img")).to_have_count(1)
        page.wait_for_function("new URLSearchParams(location.search).getAll('like').length === 1")
        assert in_address(page) == {"text": ["red"], "like": [second]}


@pytest.mark.parametrize("wrong", ["like=none.png", "picture=none.png", "text=" + "x" * 3000])
def test_a_link_that_leads_nowhere_is_said(
    open_page: Callable[..., Any], address: str, wrong: str
) -> None:
    with open_page(f"{address}/?{wrong}") as page:
        said = "3,000 characters" if "text" in wrong else "no picture “none.png”"
        expect(trouble(page)).to_contain_text(said)
        expect(links(page)).to_have_count(60)
        ask(page, "a cat")


def test_the_title_of_the_window_says_what_is_shown(page: Page) -> None:
    ask(page, "a bird")
    assert page.title() == "Nearest to “a bird” · Demonstration collection"
    page.get_by_role("button", name="Clear the words").click()
    expect(status(page)).to_contain_text("From all over the collection")
    assert page.title() == "Demonstration collection"
