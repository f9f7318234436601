"""Judging by keyboard and by thumb: what judges see, that they go on where they were, that nothing
is lost."""

import colorsys
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import build_folder
from gated import Gated, by_password
from PIL import Image
from playwright.sync_api import Page, expect

import image_search
from image_search.answers import PREFIX
from image_search.encoder import OnnxEncoder

COUNT = 12
CLASSES = ["red", "green", "blue", "yellow", "white"]


def taxonomy(of: str = "something", classes: list[str] = CLASSES) -> str:
    return f'name = "{of}"\nversion = "1"\n' + "".join(
        f'[[class]]\nname = "{of} {name}"\nabout = "Most of it."\nprompts = ["{name}"]\n'
        for name in classes
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Iterator[Gated]:
    """A collection that is smaller than a pool: every picture is judged for every class."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT):
        colour = [round(255 * part) for part in colorsys.hsv_to_rgb(number / COUNT, 1, 1)]
        size = (300, 200) if number % 2 else (150, 400)
        Image.new("RGB", size, tuple(colour)).save(folder / f"{number}.png")
    built = build_folder(folder, colours, tmp_path_factory.mktemp("out") / "built")
    with by_password(image_search.open(built), tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture
def judging(
    house: Gated, open_page: Callable[..., AbstractContextManager[Page]]
) -> Callable[..., AbstractContextManager[Page]]:
    """Opens the page as somebody who has signed in."""

    def open_as(name: str, view: str = "wide", **how: Any) -> AbstractContextManager[Page]:
        return open_page(
            house.address, view, storage_state=house.storage(name), reduced_motion="reduce", **how
        )

    return open_as


def use(house: Gated, text: str) -> None:
    with house.client(house.cookie("carl")) as carl:
        assert carl.put(f"{PREFIX}/taxonomy", content=text).status_code == 200


def judged(house: Gated, name: str) -> dict[str, str]:
    """What somebody has said, by picture; the server has it."""
    with house.client(house.cookie(name)) as client:
        latest = client.get(f"{PREFIX}/judging").json()["latest"]
    return {one["picture"]["id"]: one["answer"] for one in latest}


def begin(page: Page) -> None:
    page.get_by_role("tab", name="Judge").click()
    expect(page.locator("#judge-picture img")).to_be_visible()


def shown(page: Page) -> str:
    """The picture that is judged, once it is seen."""
    page.wait_for_function(
        "() => { const image = document.querySelector('#judge-one:not([hidden]) img');"
        "return image && image.complete && image.naturalWidth; }"
    )
    return page.locator("#judge-picture img").get_attribute("alt") or ""


def press(page: Page, key: str) -> str:
    """Answer by a key, and wait for what is shown next; which picture that was."""
    before = shown(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => document.querySelector('#judge-one').hidden"
        " || document.querySelector('#judge-picture img').alt !== before",
        arg=before,
    )
    return before


def no_fault(page: Page) -> None:
    bad = [v for v in Axe().run(page).response["violations"] if v["impact"] != "minor"]
    assert not bad, [(v["id"], v["nodes"][0]["html"]) for v in bad]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def far(page: Page) -> Any:
    return page.locator("#judge-far span")


def test_from_an_empty_start_a_curator_writes_and_two_judge(judging: Any, house: Gated) -> None:
    with judging("judith", "phone") as page:
        page.get_by_role("tab", name="Judge").click()
        expect(page.locator("#judge-ask")).to_contain_text("A curator has to write the taxonomy")
        expect(page.locator("#judge-curator")).to_be_hidden()
        no_fault(page)
    with judging("carl") as page:
        page.get_by_role("tab", name="Judge").click()
        text = page.get_by_label("The taxonomy", exact=True)
        expect(text).to_have_value(re.compile('name = "a steam engine"'))
        no_fault(page)
        text.fill(taxonomy().replace('["blue"]', '["blue" "sea"]'))
        page.get_by_role("button", name="Use this taxonomy").click()
        expect(page.locator("#judge-wrong")).to_contain_text("Line 14, column")
        chosen = text.evaluate("one => one.value.slice(one.selectionStart, one.selectionEnd)")
        assert chosen == 'prompts = ["blue" "sea"]'
        no_fault(page)
        text.press("End")
        page.keyboard.type(" # yn")  # keys are for typing here
        text.fill(taxonomy())
        page.get_by_role("button", name="Use this taxonomy").click()
        expect(page.locator("#judge-question")).to_have_text("Does this show: something red?")
        expect(far(page)).to_have_text(f"0 of {COUNT}")
        expect(page.locator("#judge-classes li")).to_have_count(len(CLASSES))
        assert not page.get_by_text("Most of it.").is_visible()
        page.get_by_text("What counts?").click()
        expect(page.get_by_text("Most of it.")).to_be_visible()
        no_fault(page)
        for _ in range(2):
            press(page, "y")
        expect(far(page)).to_have_text(f"2 of {COUNT}")

    with judging("judith", color_scheme="dark") as page:
        page.on("dialog", lambda dialog: dialog.accept())  # where the server is slow: on leaving
        begin(page)
        expect(far(page)).to_have_text(f"0 of {COUNT}")
        for key in ("y", "n", "u", "?"):
            press(page, key)
        expect(far(page)).to_have_text(f"4 of {COUNT}")
        expect(page.locator("#judge-said")).to_have_text(f"Unsure. 4 of {COUNT}.")
        wrong = press(page, "y")
        for key in ("ArrowLeft", "Backspace", "z"):
            page.keyboard.press(key)
        expect(far(page)).to_have_text(f"2 of {COUNT}")
        for _ in range(2):
            press(page, "n")
        assert shown(page) == wrong
        page.reload()
        expect(far(page)).to_have_text(f"4 of {COUNT}")  # on the same tab
        assert shown(page) == wrong
        page.keyboard.press("z")
        expect(far(page)).to_have_text(f"3 of {COUNT}")
        press(page, "n")
        for _ in range(COUNT - 4):
            press(page, "n")
        expect(page.locator("#judge-between")).to_contain_text("Done: something red")
        no_fault(page)
        page.keyboard.press("y")  # answers nothing
        page.keyboard.press("Enter")
        expect(page.locator("#judge-question")).to_have_text("Does this show: something green?")
        expect(far(page)).to_have_text(f"0 of {COUNT}")
        for number in range(4):
            for _ in range(COUNT):
                press(page, "n")
            if number < 3:
                page.get_by_role("button", name="Go on").click()
        expect(page.locator("#judge-between")).to_contain_text("Thank you. That was all.")
        expect(page.locator("#judge-between")).to_contain_text("60 pictures of all 5 classes")
        no_fault(page)

    with judging("carl", color_scheme="dark") as page:
        begin(page)
        page.get_by_text("For curators:").click()
        told = page.locator("#judge-agreement")
        expect(told).to_contain_text("judith: 60 answers")
        expect(told).to_contain_text("of 2 pictures; kappa")
        no_fault(page)


def test_a_member_is_offered_nothing_to_judge(judging: Any) -> None:
    with judging("mary") as page:
        expect(page.locator("#you strong")).to_have_text("mary")
        expect(page.get_by_role("tab", name="About")).to_be_visible()
        expect(page.get_by_role("tab", name="Judge")).to_be_hidden()
        loaded = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
        assert any("page.js" in name for name in loaded)
        assert not any("judge" in name for name in loaded)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_judging_by_thumb(judging: Any, house: Gated, scheme: str) -> None:
    use(house, taxonomy(f"by thumb, {scheme},", ["red", "blue"]))
    with judging("olga", "phone", color_scheme=scheme) as page:
        begin(page)
        for name in ("Yes", "No", "Unsure"):
            button = page.get_by_role("button", name=name, exact=True)
            box = button.bounding_box()
            assert box
            assert box["height"] >= 44
            assert box["y"] + box["height"] <= 844  # without scrolling
            before = shown(page)
            button.tap()
            expect(page.locator("#judge-picture img")).not_to_have_attribute("alt", before)
        expect(far(page)).to_have_text(f"3 of {COUNT}")
        page.get_by_role("button", name="Back").tap()
        expect(far(page)).to_have_text(f"2 of {COUNT}")
        no_fault(page)
        picture = page.locator("#judge-picture img").bounding_box()
        answers = page.locator("#judge-answers").bounding_box()
        assert picture
        assert answers
        assert picture["y"] >= 0
        assert picture["y"] + picture["height"] <= answers["y"]
        page.locator("#judge-classes button").last.tap()
        expect(page.locator("#judge-question")).to_contain_text("blue?")
        expect(far(page)).to_have_text(f"0 of {COUNT}")


def test_no_answer_is_lost_while_the_server_is_away(judging: Any, house: Gated) -> None:
    use(house, taxonomy("away", ["red"]))
    with judging("olga") as page:
        begin(page)
        page.route("**/judgements", lambda route: route.abort())
        page.on("dialog", lambda dialog: dialog.accept())  # it warns whoever leaves
        said = {press(page, "y"), press(page, "y")}
        expect(page.locator("#judge-trouble")).to_contain_text("not kept yet; this goes on trying")
        expect(far(page)).to_have_text(f"2 of {COUNT}")
        assert judged(house, "olga") == {}
        page.unroute("**/judgements")
        page.reload()
        expect(far(page)).to_have_text(f"2 of {COUNT}")
        assert judged(house, "olga") == dict.fromkeys(said, "yes")


def test_a_picture_that_is_not_seen_is_not_judged(judging: Any, house: Gated) -> None:
    use(house, taxonomy("unseen", ["red"]))
    with judging("olga") as page:
        held: list[Any] = []
        for files in ("**/api/v1/pictures/**", "**/api/v1/thumbnails/**"):
            page.route(files, lambda route: held.append(route))
        begin(page)
        page.keyboard.press("y")
        page.wait_for_timeout(300)
        expect(far(page)).to_have_text(f"0 of {COUNT}")
        for route in held:
            route.continue_()
        page.unroute_all()
        press(page, "y")
        expect(far(page)).to_have_text(f"1 of {COUNT}")


def test_a_covered_picture_is_judged_after_a_look(judging: Any, house: Gated) -> None:
    use(house, taxonomy("covered", ["red"]))
    with house.client(house.cookie("carl")) as carl:
        asked = {"text": "Shows a colour", "everything": True}
        notice = carl.post(f"{PREFIX}/notices", json=asked).json()
    try:
        with judging("judith", "phone") as page:
            page.get_by_role("tab", name="Judge").click()
            place = page.locator("#judge-picture")
            expect(place).to_contain_text("Shows a colour")
            expect(place.locator("img")).to_have_count(0)
            no_fault(page)
            page.keyboard.press("y")
            expect(page.locator("#judge-said")).to_contain_text("Show the picture first (S)")
            page.keyboard.press("s")
            expect(place.locator("img")).to_have_attribute("src", re.compile("shown=1"))
            shown(page)
            page.keyboard.press("y")
            expect(far(page)).to_have_text(f"1 of {COUNT}")
            expect(place.locator("img")).to_have_count(0)
            page.keyboard.press("u")  # nobody has to look
            expect(far(page)).to_have_text(f"2 of {COUNT}")
            place.get_by_role("button", name="Show").click()
            expect(place.locator("img")).to_be_visible()
    finally:
        with house.client(house.cookie("carl")) as carl:
            carl.delete(f"{PREFIX}/notices/{notice['id']}")
