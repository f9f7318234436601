"""Searching by words, as a visitor does it."""

from collections.abc import Callable
from typing import Any

import pytest
from looking import ask, field, ids, links, loaded, status, titles, trouble
from playwright.sync_api import Page, expect

from image_search.search import Searcher
from image_search.selfcheck import shows


def test_the_first_view_is_pictures_and_an_invitation(page: Page, demo: Searcher) -> None:
    assert ids(page) == demo.artifact.manifest.overview
    expect(status(page)).to_have_text("From all over the collection")
    expect(page.get_by_text("Ask for what can be seen")).to_be_visible()
    expect(page.get_by_text("591 pictures")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Demonstration collection")
    expect(field(page)).to_be_visible()
    loaded(page)


def test_a_statue_of_buddha_shows_statues_first(page: Page, demo: Searcher) -> None:
    ask(page, "a statue of Buddha")
    hits = demo.search("a statue of Buddha", k=60)
    assert ids(page)[:60] == [hit.id for hit in hits]
    assert titles(page)[:60] == [hit.title for hit in hits]
    assert sum(shows(hit, "buddha|bodhisattva") for hit in hits[:9]) >= 7
    loaded(page)


def test_an_example_is_asked_at_a_click(page: Page) -> None:
    page.get_by_role("button", name="A guitar").click()
    expect(status(page)).to_contain_text("“A guitar”")
    expect(field(page)).to_have_value("A guitar")
    expect(page.get_by_role("button", name="A musical instrument")).to_be_hidden()
    page.get_by_role("button", name="Clear the words").click()
    expect(status(page)).to_contain_text("From all over the collection")
    expect(page.get_by_role("button", name="A musical instrument")).to_be_visible()


def test_the_score_and_the_credit_stand_with_a_picture(page: Page, demo: Searcher) -> None:
    ask(page, "a statue of Buddha")
    first = demo.search("a statue of Buddha", k=1)[0]
    caption = links(page).first.locator(".caption")
    expect(caption.locator(".title")).to_have_text(first.title)
    assert first.credit.startswith(f"{first.title}. ")  # which is not said twice
    expect(caption.locator(".credit")).to_have_text(first.credit.removeprefix(f"{first.title}. "))
    expect(caption.locator(".score")).to_have_text(f"nearness {first.score:.2f}")
    expect(page.get_by_text("1 at most, not a percentage")).to_be_visible()
    if page.evaluate("matchMedia('(hover: hover)').matches"):
        expect(caption).to_have_css("opacity", "0")
        links(page).first.hover()
        expect(caption).to_have_css("opacity", "1")
    else:
        below = caption.bounding_box()
        picture = links(page).first.locator("img").bounding_box()
        assert below
        assert picture
        assert below["y"] >= picture["y"] + picture["height"]


def test_nothing_close_is_said_quietly(page: Page, demo: Searcher) -> None:
    ask(page, "a bird")
    assert not demo.search("a bird", k=1).no_match
    expect(page.get_by_text("Nothing here is close")).to_have_count(0)
    ask(page, "tax law")
    assert demo.search("tax law", k=1).no_match
    expect(page.get_by_text("Nothing here is close to that")).to_be_visible()
    assert len(titles(page)) >= 60


def test_scrolling_brings_more_up_to_the_end(page: Page, demo: Searcher) -> None:
    ask(page, "a bird")
    for _ in range(40):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(60)
        if page.locator("#end").is_visible():
            break
    expect(page.locator("#end")).to_have_text("These were 591 pictures, the nearest first.")
    assert ids(page) == [hit.id for hit in demo.search("a bird", k=1000)]


def test_further_pictures_that_do_not_come_are_told_where_they_would_stand(page: Page) -> None:
    ask(page, "a bird")
    page.route("**/api/v1/search?*", lambda route: route.abort())
    page.evaluate("scrollTo(0, 900)")
    count = links(page).count()
    page.locator("#more").evaluate("more => more.click()")
    expect(page.locator("#end")).to_contain_text("The server does not answer")
    assert page.evaluate("scrollY") > 500
    page.unroute("**/api/v1/search?*")
    page.locator("#more").evaluate("more => more.click()")
    page.wait_for_function(f"document.querySelectorAll('#grid li').length > {count}")


def test_six_hundred_pictures_scroll_smoothly(page: Page) -> None:
    """No frame takes longer than a few: measured while all pictures pass by."""
    ask(page, "a house")
    page.evaluate(
        """async () => {
            const more = document.querySelector("#more");
            while (!more.hidden) {
                more.click();
                await new Promise((done) => setTimeout(done, 50));
            }
            scrollTo(0, 0);
        }"""
    )
    expect(links(page)).to_have_count(591)
    frames = page.evaluate(
        """async () => {
            const frames = [];
            let last = await new Promise(requestAnimationFrame);
            const end = document.documentElement.scrollHeight - innerHeight;
            for (let y = 0; y < end; y += 120) {
                scrollTo(0, y);
                const now = await new Promise(requestAnimationFrame);
                frames.push(now - last);
                last = now;
            }
            return frames.sort((a, b) => a - b);
        }"""
    )
    middle, worst = frames[len(frames) // 2], frames[int(len(frames) * 0.99)]
    assert len(frames) > 50
    assert worst < max(100, 6 * middle), (middle, worst)


@pytest.mark.parametrize("width", [360, 768, 820, 1024, 1280, 1440, 1536, 2560])
def test_rows_are_justified_and_nothing_jumps(
    open_page: Callable[..., Any], address: str, width: int
) -> None:
    with open_page(address, viewport={"width": width, "height": 900}) as page:
        check_rows(page)


def check_rows(page: Page) -> None:
    ask(page, "a landscape")
    boxes = """all => all.map(a => {
        const {left, right, top, width, height} = a.querySelector('img').getBoundingClientRect();
        return {left, right, top: top + scrollY, width, height};
    })"""
    before = links(page).evaluate_all(boxes)
    loaded(page)
    page.wait_for_load_state("networkidle")
    after = links(page).evaluate_all(boxes)
    assert after[: len(before)] == before  # the sizes were known before the pictures came
    rows: dict[float, list[Any]] = {}
    for box in before:
        rows.setdefault(round(box["top"]), []).append(box)
    full = list(rows.values())[:-1]
    assert len(full) > 5
    edges = {(round(row[0]["left"]), round(row[-1]["right"])) for row in full}
    assert max(e[0] for e in edges) - min(e[0] for e in edges) <= 1
    assert max(e[1] for e in edges) - min(e[1] for e in edges) <= 2
    assert all(len({round(box["height"]) for box in row}) == 1 for row in full)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "Type what you are looking for"),
        ("   ", "Type what you are looking for"),
        ("x" * 10_000, "That is 10,000 characters"),
        ("字" * 10_000, "That is 10,000 characters"),
        ("x" * 1_000_000, "That is too long for a question"),
    ],
    ids=["empty", "spaces", "10,000", "10,000 Chinese", "a million"],
)
def test_a_senseless_question_is_said_and_the_next_one_works(
    page: Page, words: str, said: str
) -> None:
    expect(links(page)).to_have_count(60)
    field(page).evaluate("(field, words) => { field.value = words; }", words)
    field(page).press("Enter")
    expect(trouble(page)).to_contain_text(said)
    expect(links(page)).to_have_count(60)  # what was there stays
    ask(page, "a cat")
    expect(trouble(page)).to_be_empty()


def test_markup_in_a_question_stays_text(page: Page) -> None:
    words = "<img src=x onerror=document.title='pwned'> **bold** ${1+1} {{2+2}}"
    ask(page, words)
    assert page.title() == f"Nearest to “{words}” · Demonstration collection"
    assert page.locator("#status img").count() == 0
    page.reload()
    expect(status(page)).to_contain_text("${1+1} {{2+2}}")


def test_control_characters_are_as_good_as_blanks(page: Page, demo: Searcher) -> None:
    field(page).evaluate("field => { field.value = 'a\\u0000cat\\u0007'; }")
    field(page).press("Enter")
    expect(status(page)).to_contain_text("Nearest to")
    assert ids(page)[:60] == [hit.id for hit in demo.search("a cat", k=60)]


def test_the_last_of_many_quick_questions_is_answered(page: Page, demo: Searcher) -> None:
    for words in ("a cat", "a dog", "a guitar", "a house", "the moon"):
        field(page).fill(words)
        field(page).press("Enter")
    expect(status(page)).to_contain_text("“the moon”")
    page.wait_for_load_state("networkidle")
    assert ids(page)[:60] == [hit.id for hit in demo.search("the moon", k=60)]


def test_a_server_that_is_gone_is_said(page: Page, demo: Searcher) -> None:
    page.route("**/api/v1/search?*", lambda route: route.abort())
    field(page).fill("a cat")
    field(page).press("Enter")
    expect(trouble(page)).to_contain_text("The server does not answer")
    page.unroute("**/api/v1/search?*")
    ask(page, "a cat")


def test_the_warning_stands_above_the_pictures(page: Page) -> None:
    warning = page.get_by_role("note")
    for moment in ("before", "after"):
        for words in (
            "for research only",
            "deployment without in-domain testing out of scope",
            "Ask in English",
            "never use it for surveillance or facial recognition",
            "not CLIP",
        ):
            expect(warning).to_contain_text(words)
        boxes = warning.bounding_box(), page.locator("#grid").bounding_box()
        assert boxes[0]
        assert boxes[1]
        assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
        if moment == "before":
            ask(page, "a cat")
    card = page.get_by_text("Any deployed use case of the model")
    expect(card).to_be_hidden()
    warning.get_by_text("Why?").click()
    expect(card).to_be_visible()
    source = warning.get_by_role("link", name="the model card of CLIP")
    expect(source).to_have_attribute(
        "href", "https://github.com/openai/CLIP/blob/main/model-card.md"
    )


def test_about_tells_how_it_works_and_what_is_here(page: Page, demo: Searcher) -> None:
    ask(page, "a cat")
    page.get_by_role("tab", name="About").click()
    about = page.locator("#about")
    for words in (
        "What nearness is, and what it is not",
        "591",
        demo.artifact.version,
        demo.artifact.manifest.encoder.revision,
        "Non-deployed use cases such as image search in a constrained environment",
        "The primary intended users of these models are AI researchers",
        "disparities with respect to race and gender",
    ):
        expect(about).to_contain_text(words)
    page.get_by_role("tab", name="Search").click()
    expect(links(page).first).to_be_visible()
    expect(status(page)).to_contain_text("“a cat”")


def test_a_visitor_with_a_slow_line_is_told_that_it_takes_a_while(
    open_page: Callable[..., Any], address: str
) -> None:
    with open_page(address) as page:
        expect(links(page)).to_have_count(60)

        def later(route: Any) -> None:
            page.wait_for_timeout(900)
            route.continue_()

        page.route("**/api/v1/search?*", later)
        field(page).fill("a cat")
        field(page).press("Enter")
        expect(status(page)).to_contain_text("Searching")
        expect(status(page)).to_contain_text("“a cat”")
