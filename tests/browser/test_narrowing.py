"""Combining, refining and filtering, as a visitor does it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from looking import (
    ask,
    field,
    ids,
    in_address,
    links,
    opened,
    panel,
    status,
    titles,
    trouble,
)
from playwright.sync_api import Locator, Page, expect

from image_search.facets import Facet
from image_search.question import question
from image_search.search import Searcher


def chips(page: Page) -> Locator:
    return page.locator("#chips li:not(:has(.all))")


def filters(page: Page) -> Locator:
    """The filters, opened and filled."""
    page.get_by_role("button", name=re.compile("^Filters")).click()
    expect(page.locator("#filters fieldset").first).to_be_visible()
    return page.locator("#filters")


def settled(page: Page) -> None:
    """Wait until the filters are those of what is shown."""
    expect(page.locator("#filters")).not_to_have_attribute("aria-busy", "true")


def year_of(demo: Searcher, **asked: Any) -> Facet:
    facets = demo.facets(question(asked.pop("text", None), **asked)).facets
    return next(facet for facet in facets if facet.field == "year")


def first(demo: Searcher, *words: Any, **asked: Any) -> list[str]:
    return [hit.id for hit in demo.search(*words, k=60, **asked)]


def test_nothing_but_plain_search_is_seen_at_first(page: Page) -> None:
    expect(field(page)).to_be_visible()
    expect(chips(page)).to_have_count(0)
    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator("#carry")).to_be_hidden()
    expect(page.get_by_role("button", name="Save or cite")).to_be_hidden()
    ask(page, "a guitar")
    expect(chips(page)).to_have_count(0)  # the words stand in the field


def test_a_cat_or_a_dog_shows_both(page: Page, demo: Searcher) -> None:
    ask(page, "An illustration of a cat or a dog")
    shown = [demo.record(id).metadata["keywords"] for id in ids(page)[:9]]
    assert sum("cat" in words for words in shown) >= 2
    assert sum("dog" in words for words in shown) >= 2
    expect(chips(page).locator("bdi")).to_have_text(
        ["An illustration of a cat", "An illustration of a dog"]
    )
    page.get_by_role("button", name="Search without An illustration of a dog").click()
    expect(field(page)).to_have_value("An illustration of a cat")
    expect(chips(page)).to_have_count(0)
    expect(status(page)).to_have_text("Nearest to “An illustration of a cat”")
    assert ids(page)[:60] == first(demo, "An illustration of a cat")


def test_what_was_understood_can_be_taken_away_piece_by_piece(page: Page, demo: Searcher) -> None:
    ask(page, "2:a flower +a vase -red")
    expect(chips(page)).to_have_text(
        [re.compile("2 × *a flower"), "a vase×", re.compile("less *red")]
    )
    assert ids(page)[:60] == first(demo, "2:a flower +a vase -red")
    page.get_by_role("button", name="Search without red").click()
    expect(field(page)).to_have_value("2:a flower +a vase")
    expect(chips(page)).to_have_count(2)
    page.get_by_role("button", name="Search without a vase").click()
    expect(field(page)).to_have_value("2:a flower")
    page.get_by_role("button", name="Search without a flower").click()
    expect(status(page)).to_contain_text("From all over the collection")


def test_a_question_that_is_not_understood_says_where(page: Page) -> None:
    field(page).fill("a cat OR")
    field(page).press("Enter")
    expect(trouble(page)).to_have_text("OR needs something after it, at character 9: a cat OR▸")
    expect(field(page)).to_have_value("a cat OR")


def test_more_and_less_like_this_re_rank(
    open_page: Callable[..., Any], address: str, demo: Searcher
) -> None:
    with open_page(address) as page:
        ask(page, "a guitar")
        liked, disliked = ids(page)[0], ids(page)[4]
        cell = page.locator("#grid li").first
        cell.hover()
        cell.get_by_role("button", name=re.compile("^More like")).click()
        expect(status(page)).to_contain_text("Pictures like")
        assert ids(page)[:60] == first(demo, "a guitar", like=[liked])
        place = ids(page).index(disliked)
        cell = page.locator("#grid li").nth(place)
        cell.hover()
        cell.get_by_role("button", name=re.compile("^Less like")).click()
        expect(status(page)).to_contain_text("less like")
        expect(chips(page)).to_have_count(2)
        assert ids(page)[:60] == first(demo, "a guitar", like=[liked], unlike=[disliked])
        assert in_address(page)["unlike"] == [disliked]
        title = demo.record(disliked).title
        page.get_by_role("button", name=f"Search without {title}", exact=True).click()
        expect(status(page)).not_to_contain_text("less like")
        expect(chips(page)).to_have_count(1)
        assert ids(page)[:60] == first(demo, "a guitar", like=[liked])
        page.go_back()
        expect(chips(page)).to_have_count(2)
        page.get_by_role("button", name="Clear all").click()
        expect(status(page)).to_contain_text("From all over the collection")


def test_the_open_picture_refines_too(page: Page, demo: Searcher) -> None:
    ask(page, "a guitar")
    disliked = ids(page)[2]
    opened(page, 2)
    panel(page).get_by_role("button", name="Less like this").click()
    expect(chips(page)).to_have_count(1)
    expect(panel(page)).to_be_hidden()
    assert ids(page)[:60] == first(demo, "a guitar", unlike=[disliked])


def test_the_choices_on_a_picture_are_reached_by_keyboard(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address) as page:
        ask(page, "a guitar")
        field(page).press("ArrowDown")
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.ariaLabel")
        assert name.startswith("More like “")
        page.keyboard.press("Enter")
        expect(chips(page)).to_have_count(1)


def test_a_category_with_its_count_narrows_down(page: Page, demo: Searcher) -> None:
    ask(page, "a vase")
    within = filters(page)
    museum = "National Museum of Korea"
    line = within.locator("li", has_text=museum)
    count = int(line.locator("span").inner_text())
    within.get_by_label(museum).check()
    expect(chips(page)).to_have_text([f"institution: {museum}×"])
    assert ids(page)[:60] == first(demo, "a vase", where=[f"institution:{museum}"])
    assert demo.search("a vase", where=[f"institution:{museum}"]).total == count
    settled(page)
    expect(within.get_by_label(museum)).to_be_checked()
    within.get_by_label("The Metropolitan Museum of Art").check()  # either: the others stay there
    expect(chips(page)).to_have_count(2)
    both = [f"institution:{museum}", "institution:The Metropolitan Museum of Art"]
    assert ids(page)[:60] == first(demo, "a vase", where=both)
    page.get_by_role("button", name=re.compile("Search without institution: National")).click()
    settled(page)
    expect(within.get_by_label(museum)).not_to_be_checked()


def test_the_timeline_is_brushed(page: Page, demo: Searcher) -> None:
    ask(page, "flowers")
    within = filters(page)
    bins = year_of(demo, text="flowers").bins
    bars = within.locator(".histogram i")
    expect(bars).to_have_count(len(bins))
    low = next(place for place, one in enumerate(bins) if one.low >= 1840)
    high = next(place for place, one in enumerate(bins) if one.high > 1899)
    boxes = [bars.nth(place).bounding_box() for place in (low, high)]
    assert all(boxes)
    middles = [(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2) for b in boxes if b]
    page.mouse.move(*middles[0])
    page.mouse.down()
    page.mouse.move(*middles[1], steps=4)
    page.mouse.up()
    wanted = f"year:{bins[low].low:.0f}..{bins[high].high - 1:.0f}"
    expect(chips(page)).to_have_count(1)
    assert in_address(page)["where"] == [wanted]
    assert ids(page) == first(demo, "flowers", where=[wanted])
    years = [demo.record(id).metadata["year"] for id in ids(page)]
    assert all(bins[low].low <= year < bins[high].high for year in years)
    settled(page)
    # The bars beside what was chosen stay, so that it can be drawn wider.
    expect(within.locator(".histogram i.out")).not_to_have_count(0)
    assert within.locator("input[data-key='year from']").input_value() == f"{bins[low].low:.0f}"


def test_a_year_is_typed(page: Page, demo: Searcher) -> None:
    within = filters(page)  # nothing is asked yet
    within.get_by_label("Year, from").fill("1850")
    within.get_by_label("Year, from").press("Enter")
    expect(status(page)).to_contain_text("Pictures that match the filters")
    assert ids(page)[:60] == first(demo, where=["year:1850.."])
    expect(page.locator(".score")).to_have_count(0)
    settled(page)
    within.get_by_label("Year, to").fill("whenever")
    within.get_by_label("Year, to").press("Enter")
    expect(trouble(page)).to_contain_text("“whenever” is no number")


def test_words_of_the_title_narrow_down(page: Page, demo: Searcher) -> None:
    ask(page, "flowers")
    within = filters(page)
    within.get_by_label("Words in Title or Keywords").fill("VASE")
    within.get_by_label("Words in Title or Keywords").press("Enter")
    expect(chips(page)).to_have_text([re.compile("with *VASE")])
    assert ids(page) == first(demo, "flowers", contains="vase")
    assert titles(page)
    page.get_by_role("button", name="Search without VASE").click()
    expect(chips(page)).to_have_count(0)


def test_filters_that_leave_nothing_say_so(page: Page) -> None:
    page.goto(f"{page.url}?text=a+guitar&where=year:1..2")
    expect(status(page)).to_contain_text("No picture matches these filters")
    expect(links(page)).to_have_count(0)
    page.get_by_role("button", name=re.compile("Search without year")).click()
    expect(links(page).first).to_be_visible()


@pytest.mark.parametrize("wrong", ["where=foo:1", "where=year:abc", "unlike=none.png", "text=a+OR"])
def test_an_address_that_cannot_be_answered_says_why(
    open_page: Callable[..., Any], address: str, wrong: str
) -> None:
    with open_page(f"{address}/?{wrong}") as page:
        expect(trouble(page)).not_to_be_empty()
        expect(links(page).first).to_be_visible()  # the first view
