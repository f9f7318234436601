"""Searching with a picture of one's own."""

from io import BytesIO
from pathlib import Path

import pytest
from looking import ask, drop, field, ids, in_address, links, status, trouble
from PIL import Image, ImageOps
from playwright.sync_api import Page, expect

from image_search.search import Searcher


@pytest.fixture(scope="module")
def original(demo: Searcher) -> str:
    return demo.search("flowers in a vase", k=1)[0].id


@pytest.fixture(scope="module")
def copy(demo: Searcher, original: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small grey copy of a picture of the demo."""
    path = tmp_path_factory.mktemp("copy") / "copy.jpg"
    with Image.open(BytesIO(demo.picture(original))) as image:
        small = ImageOps.grayscale(image)
        small.thumbnail((160, 160))
        small.save(path, quality=70)
    return path


def choose(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Search with a picture").click()
    chooser.value.set_files(path)


def found(page: Page) -> list[str]:
    expect(status(page)).to_contain_text("Pictures like yours")
    return ids(page)


def test_a_shrunk_grey_copy_finds_its_original_first(page: Page, copy: Path, original: str) -> None:
    choose(page, copy)
    assert found(page)[0] == original
    chip = page.get_by_role("list", name="What is searched for").get_by_role("img")
    expect(chip).to_have_attribute("alt", "copy.jpg")
    assert chip.evaluate("chip => chip.naturalWidth") > 0


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_can_be_dropped_anywhere_and_pasted(
    page: Page, copy: Path, original: str, how: str
) -> None:
    drop(page, "copy.jpg", "image/jpeg", copy.read_bytes(), how)
    assert found(page)[0] == original
    expect(page.locator("#drop")).to_be_hidden()


def test_a_picture_dropped_on_about_leads_to_the_pictures(
    page: Page, copy: Path, original: str
) -> None:
    page.get_by_role("tab", name="About").click()
    expect(page.locator("#about")).to_be_visible()
    page.evaluate("document.dispatchEvent(new DragEvent('dragenter'))")  # nothing is dragged
    expect(page.locator("#drop")).to_be_hidden()
    drop(page, "copy.jpg", "image/jpeg", copy.read_bytes())
    assert found(page)[0] == original
    expect(links(page).first).to_be_visible()


def test_text_that_is_pasted_stays_text(page: Page) -> None:
    field(page).focus()
    page.evaluate(
        """() => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "a cat");
            const paste = new ClipboardEvent("paste", {clipboardData, bubbles: true});
            document.activeElement.dispatchEvent(paste);
        }"""
    )
    expect(status(page)).to_contain_text("From all over the collection")


def test_words_can_be_added_to_a_picture_and_the_picture_taken_away(page: Page, copy: Path) -> None:
    choose(page, copy)
    alone = found(page)
    field(page).fill("a dog")
    field(page).press("Enter")
    expect(status(page)).to_contain_text("Pictures like yours, together with “a dog”")
    assert ids(page) != alone
    page.get_by_role("button", name="Search without copy.jpg").click()
    expect(status(page)).to_contain_text("“a dog”")
    expect(page.locator("#chips img")).to_have_count(0)


def test_words_that_were_typed_go_with_a_picture(page: Page, copy: Path) -> None:
    field(page).fill("in winter")
    choose(page, copy)
    expect(status(page)).to_contain_text("Pictures like yours, together with “in winter”")
    choose(page, copy)  # these words were asked already: the new picture alone
    expect(status(page)).to_have_text("Pictures like yours")


def test_the_last_picture_taken_away_leads_to_the_first_view(page: Page, copy: Path) -> None:
    choose(page, copy)
    found(page)
    page.get_by_role("button", name="Search without copy.jpg").click()
    expect(status(page)).to_contain_text("From all over the collection")
    assert in_address(page) == {}


def test_back_and_forward_know_the_picture_and_a_reload_says_that_it_is_gone(
    page: Page, copy: Path, original: str
) -> None:
    ask(page, "a cat")
    choose(page, copy)
    found(page)
    page.go_back()
    expect(status(page)).to_contain_text("“a cat”")
    page.go_forward()
    assert found(page)[0] == original
    page.reload()
    expect(trouble(page)).to_contain_text("is not stored. Choose it again")
    expect(links(page)).to_have_count(60)
    choose(page, copy)
    assert found(page)[0] == original


def test_after_a_reload_a_former_picture_is_not_taken_for_another(
    page: Page, copy: Path, demo: Searcher, tmp_path: Path
) -> None:
    other = tmp_path / "other.webp"
    other.write_bytes(demo.picture(demo.search("a guitar", k=1)[0].id))
    choose(page, other)
    found(page)
    page.get_by_role("button", name="Search without other.webp").click()
    expect(status(page)).to_contain_text("From all over the collection")
    page.reload()
    choose(page, copy)
    found(page)
    page.go_back()
    expect(status(page)).to_contain_text("From all over the collection")
    page.go_back()
    expect(trouble(page)).to_contain_text("is not stored")


def test_scrolling_goes_on_with_the_picture(page: Page, copy: Path, demo: Searcher) -> None:
    choose(page, copy)
    found(page)
    page.locator("#more").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('#grid li').length > 60")
    assert len(ids(page)) == len(set(ids(page)))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("letter.jpg", b"Dear Sir,", "not a picture (looks like text)"),
        ("empty.png", b"", "empty file"),
        ("large.jpg", bytes(50_000_000), "has 50 MB; it may have 20 MB"),
        ("page.html", b"<!doctype html>", "not a picture"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_and_the_next_one_works(
    page: Page, tmp_path: Path, copy: Path, original: str, name: str, data: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    ask(page, "a cat")
    choose(page, path)
    expect(trouble(page)).to_contain_text(said)
    expect(field(page)).to_have_value("a cat")  # what was there stays
    expect(status(page)).to_contain_text("“a cat”")
    expect(page.locator("#chips img")).to_have_count(0)
    choose(page, copy)
    assert found(page)[0] == original
    expect(trouble(page)).to_be_empty()


def test_an_animated_gif_and_a_transparent_drawing_are_pictures_too(
    page: Page, tmp_path: Path
) -> None:
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("RGBA", (60, 60), (0, 0, 255, 90)).save(tmp_path / "drawing.png")
    for name in ("moving.gif", "drawing.png"):
        choose(page, tmp_path / name)
        assert len(found(page)) >= 60
