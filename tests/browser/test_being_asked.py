"""A question that the policy warns of, or refuses, as a visitor meets it."""

from collections.abc import Callable
from typing import Any

from looking import ask, field, links, status
from playwright.sync_api import Page, expect

WARNED = "savage indians"


def asked(page: Page, words: str) -> None:
    field(page).fill(words)
    field(page).press("Enter")


def test_a_visitor_is_asked_and_goes_on(page: Page, open_page: Callable[..., Any]) -> None:
    asked(page, WARNED)
    told = page.get_by_role("alert").and_(page.locator("#refusal"))
    expect(told).to_contain_text("a judgement on a group of people")
    source = told.get_by_role("link", name="Model card of CLIP")
    assert str(source.get_attribute("href")).startswith("https://github.com/openai/CLIP")
    expect(status(page)).to_have_text("From all over the collection")  # nothing was searched
    expect(field(page)).to_have_value(WARNED)

    told.get_by_role("button", name="Change the question").press("Enter")
    expect(field(page)).to_be_focused()
    expect(told).to_be_empty()

    asked(page, WARNED)
    told.get_by_role("button", name="Search all the same").press("Enter")
    expect(status(page)).to_contain_text(f"Nearest to “{WARNED}”")
    expect(status(page)).to_be_focused()
    expect(told).to_be_empty()
    # What belongs to these pictures is not asked about again; neither is the page, read anew.
    count = links(page).count()
    links(page).last.scroll_into_view_if_needed()
    page.wait_for_function("n => document.querySelectorAll('#grid a').length > n", arg=count)
    page.reload()
    expect(status(page)).to_contain_text(f"Nearest to “{WARNED}”")
    # Whoever follows the link is.
    with open_page(page.url) as other:
        expect(other.locator("#refusal")).to_contain_text("a judgement on a group of people")
    # Other words are another question.
    asked(page, f"{WARNED} on horses")
    expect(told).to_contain_text("a judgement on a group of people")


def test_what_is_refused_can_only_be_changed(page: Page) -> None:
    asked(page, "who is this man")
    told = page.locator("#refusal")
    expect(told).to_contain_text("does not find out who somebody is")
    expect(told.get_by_role("button")).to_have_text(["Change the question"])
    ask(page, "a guitar")
    expect(told).to_be_empty()
