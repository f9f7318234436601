"""What a curator sees of withdrawing a picture, and a member does not."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import build_folder
from gated import Gated, by_password
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

import image_search
from image_search.encoder import OnnxEncoder

Opener = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Iterator[Gated]:
    """A collection with two copies of one drawing and two other pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    drawing = Image.new("RGB", (240, 160), "white")
    ImageDraw.Draw(drawing).rectangle((30, 60, 110, 150), fill="red")
    drawing.save(folder / "house.png")
    drawing.resize((120, 80)).save(folder / "small house.png")
    Image.new("RGB", (200, 160), "green").save(folder / "green.png")
    Image.new("RGB", (200, 160), "blue").save(folder / "blue.png")
    built = build_folder(folder, colours, tmp_path_factory.mktemp("out") / "built")
    with by_password(image_search.open(built), tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture
def as_member(house: Gated, open_page: Opener) -> Callable[..., AbstractContextManager[Page]]:
    """Opens the page as somebody who has signed in."""

    def open_as(name: str, view: str = "wide", address: str = "/") -> AbstractContextManager[Page]:
        return open_page(house.address + address, view, storage_state=house.storage(name))

    return open_as


@pytest.mark.parametrize("view", ["wide", "phone"])
def test_it_says_who_is_signed_in_and_how_to_leave(as_member: Any, view: str) -> None:
    with as_member("mary", view) as page:
        expect(page.locator("#you")).to_have_text("Signed in as mary. Sign out")
        assert page.evaluate(  # it lies over nothing
            """() => {
              const [a, b] = ["#you", "h1"].map((part) => {
                const range = document.createRange();
                range.selectNodeContents(document.querySelector(part));
                return range.getBoundingClientRect();
              });
              return a.left >= b.right || a.bottom <= b.top || b.bottom <= a.top;
            }"""
        )
        page.get_by_text("Sign out").click()
        expect(page.locator("h1")).to_have_text("You are signed out")
        page.go_back()
        expect(page.locator("h1")).to_have_text("Sign in")


def test_a_member_is_offered_no_withdrawal(as_member: Any) -> None:
    with as_member("mary") as page:
        page.locator("#grid a").first.click()
        expect(page.locator("#like")).to_be_visible()
        expect(page.locator("#you strong")).to_have_text("mary")
        expect(page.locator("#withdraw")).to_be_hidden()
        expect(page.locator("#withdrawn")).to_be_hidden()


@pytest.mark.parametrize("view", ["wide", "phone"])
def test_a_curator_withdraws_a_picture_with_its_copy_and_brings_both_back(
    as_member: Any, house: Gated, view: str
) -> None:
    with as_member("carl", view, "/?text=red") as page:
        expect(page.locator("#grid li")).to_have_count(4)
        page.locator("#grid a:has(img[alt='house.png'])").click()
        page.get_by_role("button", name="Withdraw …").click()
        expect(page.locator("#reason")).to_be_focused()
        expect(page.locator("#copies li")).to_have_count(1)
        page.keyboard.press("ArrowLeft")  # moves in the field, not to another picture
        expect(page.locator("#panel-title")).to_have_text("house.png")
        told = Axe().run(page).response["violations"]
        assert [v for v in told if v["impact"] != "minor"] == []
        page.get_by_role("button", name="Withdraw", exact=True).click()
        expect(page.locator("#panel")).to_be_visible()  # no reason, no withdrawal
        page.fill("#reason", "rights unclear")
        page.locator("#copies input").check()
        page.get_by_role("button", name="Withdraw", exact=True).click()
        expect(page.locator(".done")).to_contain_text("2 pictures were withdrawn.")
        expect(page.locator("#grid li")).to_have_count(2)
        expect(page.locator("#count")).to_have_text("2 pictures.")
        assert "picture=" not in page.url
        page.reload()
        expect(page.locator("#grid li")).to_have_count(2)
        page.get_by_text("Withdrawn pictures").click()
        lines = page.locator("#withdrawn li")
        expect(lines).to_have_count(2)
        expect(lines.first).to_contain_text("rights unclear (carl, ")
        for name in ("house.png", "small house.png"):
            page.get_by_role("button", name=f"Bring back {name}", exact=True).click()
        expect(lines).to_have_text(["None."])
        expect(page.locator("#grid li")).to_have_count(4)


def test_what_was_withdrawn_by_mistake_is_brought_back_from_the_page(as_member: Any) -> None:
    with as_member("olga", "wide", "/?text=blue") as page:
        page.locator("#grid a").first.click()
        page.get_by_role("button", name="Withdraw …").click()
        page.fill("#reason", "a slip")
        page.keyboard.press("Enter")
        expect(page.locator("#grid li")).to_have_count(3)
        page.get_by_role("button", name="Bring back").click()
        expect(page.locator("#grid li")).to_have_count(4)
        expect(page.locator("#count")).to_have_text("4 pictures.")
        expect(page.locator(".done")).to_have_count(0)


def test_escape_and_cancel_withdraw_nothing(as_member: Any) -> None:
    with as_member("carl", "wide", "/?text=green") as page:
        page.locator("#grid a").first.click()
        page.get_by_role("button", name="Withdraw …").click()
        page.fill("#reason", "perhaps")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#withdrawal")).to_be_hidden()
        page.get_by_role("button", name="Withdraw …").click()
        page.keyboard.press("Escape")
        expect(page.locator("#panel")).to_be_hidden()
        page.locator("#grid a").first.click()
        expect(page.locator("#withdrawal")).to_be_hidden()
        expect(page.locator("#reason")).to_have_value("")
        expect(page.locator("#grid li")).to_have_count(4)


def test_a_session_that_ended_leads_to_the_sign_in_page(as_member: Any, house: Gated) -> None:
    with as_member("mary") as page:
        page.context.clear_cookies()
        page.fill("#words", "blue")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Sign in")
