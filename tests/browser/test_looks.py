"""How the page looks and whom it lets in: sizes, colours, screen readers, nothing from outside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import VIEWS
from looking import ask, drop, field, links, loaded, opened, panel, trouble
from playwright.sync_api import Page, expect

STATIC = Path(__file__).parents[2] / "assets" / "ui"


def first(page: Page) -> None:
    expect(links(page)).to_have_count(60)


def found(page: Page) -> None:
    ask(page, "a statue of Buddha")


def why(page: Page) -> None:
    page.get_by_text("Why?").click()


def picture(page: Page) -> None:
    ask(page, "a statue of Buddha")
    opened(page)


def like(page: Page) -> None:
    picture(page)
    page.get_by_role("button", name="More like this").click()
    expect(page.locator("#chips img")).to_be_visible()


def nothing_close(page: Page) -> None:
    ask(page, "tax law")


def refused(page: Page) -> None:
    expect(links(page)).to_have_count(60)
    field(page).press("Enter")
    expect(trouble(page)).not_to_be_empty()


def dragging(page: Page) -> None:
    drop(page, "a.png", "image/png", b"x")
    page.locator("#drop").evaluate("drop => { drop.hidden = false; }")


def about(page: Page) -> None:
    page.get_by_role("tab", name="About").click()
    expect(page.locator("#about")).to_be_visible()


def combined(page: Page) -> None:
    ask(page, "2:a statue of Buddha -gold +a temple")
    expect(page.locator("#chips bdi")).to_have_count(3)


def filtering(page: Page) -> None:
    ask(page, "a vase")
    page.get_by_role("button", name="Filters").click()
    expect(page.locator("#filters fieldset").first).to_be_visible()
    page.locator("#filters").get_by_label("National Museum of Korea").check()
    expect(page.locator("#chips bdi")).to_have_count(1)
    expect(page.locator("#filters")).not_to_have_attribute("aria-busy", "true")


def citing(page: Page) -> None:
    ask(page, "a vase")
    page.get_by_role("button", name="Save or cite").click()
    page.get_by_role("button", name="Cite this search").click()
    expect(page.locator("#carry pre")).to_have_count(2)


STATES = [
    first,
    found,
    why,
    picture,
    like,
    combined,
    filtering,
    citing,
    nothing_close,
    refused,
    dragging,
    about,
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing(
    open_page: Callable[..., Any], address: str, state: Any, view: str, scheme: str
) -> None:
    with open_page(address, view, color_scheme=scheme, reduced_motion="reduce") as page:
        state(page)
        page.wait_for_timeout(200)
        result = Axe().run(page)
        bad = [v for v in result.response["violations"] if v["impact"] != "minor"]
        assert not bad, "\n".join(
            f"{v['id']} ({v['impact']}): {node['html'][:200]} {node.get('failureSummary', '')}"
            for v in bad
            for node in v["nodes"][:3]
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 899, 900, 1280, 2560])
def test_the_page_fits_its_window(
    open_page: Callable[..., Any], address: str, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 800}
    with open_page(address, viewport=size, color_scheme=scheme) as page:
        for state in (first, found, why, combined, filtering, citing, picture, about):
            if panel(page).is_visible():
                page.get_by_role("button", name="Close").click()
                expect(panel(page)).to_be_hidden()
            state(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, state.__name__
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert paper == ("rgb(251, 250, 247)" if scheme == "light" else "rgb(23, 22, 20)")


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_leaves_the_servers_own_address(
    open_page: Callable[..., Any], address: str, view: str
) -> None:
    asked: list[str] = []
    with open_page(address, view) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        for state in (first, found, picture):
            state(page)
            loaded(page)
        page.wait_for_load_state("networkidle")
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert len(asked) > 20
    assert outside == []


def test_a_page_that_would_fetch_elsewhere_cannot(
    open_page: Callable[..., Any], address: str
) -> None:
    """The measure above can fail: the server itself forbids it."""
    with open_page(address) as page:
        with page.expect_console_message(lambda said: "Content Security Policy" in said.text):
            tried = page.evaluate(
                "fetch('https://example.org/').then(() => 'fetched', error => error.name)"
            )
        assert tried == "TypeError"


NOT_FOR_ALL = ("sign-in", "report", "judge", "judge-curator", "curate", "forms", "withdrawal")
"""Pages of their own, and what is loaded only for those who need it."""


def test_script_and_style_are_small() -> None:
    files = [
        path
        for path in STATIC.iterdir()
        if path.suffix in (".js", ".css", ".html") and path.stem not in NOT_FOR_ALL
    ]
    assert sum(path.stat().st_size for path in files) < 115_000


def test_motion_is_only_for_those_who_want_it(open_page: Callable[..., Any], address: str) -> None:
    for wish, moves in (("reduce", False), ("no-preference", True)):
        with open_page(address, "phone", reduced_motion=wish) as page:
            picture(page)
            name = panel(page).evaluate("panel => getComputedStyle(panel).animationName")
            assert (name != "none") is moves
