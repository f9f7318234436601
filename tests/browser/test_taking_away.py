"""Permalinks, files and citations, opened by readers of their own formats."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from looking import ask, drop, ids, links, opened, panel, status
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from pybtex.database import parse_file, parse_string

from image_search.search import Searcher


def take_away(page: Page) -> Locator:
    page.get_by_role("button", name=re.compile("^Save or cite")).click()
    return page.locator("#carry")


def stored(page: Page, within: Locator, name: str, folder: Path) -> Path:
    """What a button gives, as the browser stores it."""
    with page.expect_download() as waited:
        within.get_by_role("button", name=name, exact=True).click()
    path = folder / waited.value.suggested_filename
    waited.value.save_as(path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_is_opened_by_a_reader_of_its_format(
    page: Page, demo: Searcher, tmp_path: Path
) -> None:
    ask(page, "a statue of Buddha")
    shown = ids(page)
    within = take_away(page)
    expect(within).to_contain_text(f"the {len(shown)} pictures shown")

    rows = rows_of(stored(page, within, "Table (CSV)", tmp_path))
    assert [row["id"] for row in rows] == shown
    record = demo.record(shown[0])
    assert rows[0]["title"] == record.title
    assert rows[0]["rights"] == record.metadata["rights"]
    assert rows[0]["source"] == record.metadata["source_url"]
    assert rows[0]["artifact_version"] == demo.artifact.version

    told = json.loads(stored(page, within, "JSON", tmp_path).read_text(encoding="utf-8"))
    assert [one["id"] for one in told["results"]] == shown
    assert told["search"]["query"] == "a statue of Buddha"
    assert told["search"]["model"] == "embedded"

    entries = parse_file(stored(page, within, "BibTeX", tmp_path), bib_format="bibtex").entries
    assert len(entries) == len(shown) + 1

    path = stored(page, within, "Sheet of pictures", tmp_path)
    assert path.name == "pictures-a-statue-of-buddha.png"
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 1000


def test_selected_pictures_alone_are_taken_away(
    open_page: Callable[..., Any], address: str, tmp_path: Path
) -> None:
    with open_page(address) as page:
        ask(page, "a guitar")
        wanted = [ids(page)[1], ids(page)[4]]
        for place in (4, 1):
            cell = page.locator("#grid li").nth(place)
            cell.hover()
            cell.get_by_role("button", name=re.compile("^Select")).click()
        expect(page.get_by_role("button", name="Save or cite (2)")).to_be_visible()
        opened(page, 1)
        chosen = panel(page).get_by_role("button", name="Selected")
        expect(chosen).to_have_attribute("aria-pressed", "true")
        page.keyboard.press("Escape")
        within = take_away(page)
        rows = rows_of(stored(page, within, "Table (CSV)", tmp_path))
        assert [(row["rank"], row["id"]) for row in rows] == [("2", wanted[0]), ("5", wanted[1])]
        within.get_by_role("button", name="Select none").click()
        expect(within).to_contain_text("pictures shown")
        expect(page.locator("#grid .chosen")).to_have_count(0)
        page.locator("#grid li").first.hover()
        page.locator("#grid [data-how=select]").first.click()
        ask(page, "a house")  # other pictures: what was selected is not any more
        expect(page.get_by_role("button", name="Save or cite", exact=True)).to_be_visible()


def test_a_picture_is_selected_on_a_phone(open_page: Callable[..., Any], address: str) -> None:
    with open_page(address, "phone") as page:
        ask(page, "a guitar")
        expect(page.locator("#grid button")).to_have_count(0)
        opened(page, 0)
        panel(page).get_by_role("button", name="Select").click()
        panel(page).get_by_role("button", name="Close").click()
        expect(page.get_by_role("button", name="Save or cite (1)")).to_be_visible()


@pytest.mark.parametrize("view", ["wide"])
def test_a_permalink_gives_the_same_in_a_new_window(
    open_page: Callable[..., Any], address: str, demo: Searcher, view: str
) -> None:
    like, unlike = (hit.id for hit in demo.search("a vase", k=2))
    asked = f"text=2:flowers+-red&like={like}&unlike={unlike}&where=year:1800..&contains=painting"
    options = {"permissions": ["clipboard-read", "clipboard-write"]}
    with open_page(f"{address}/?{asked}", view, **options) as page:
        expect(status(page)).to_contain_text("together with")
        shown = ids(page)
        within = take_away(page)
        within.get_by_role("button", name="Copy link to this search").click()
        expect(within.get_by_role("button", name="Copied")).to_be_visible()
        link = page.evaluate("navigator.clipboard.readText()")
    said = parse_qs(urlsplit(link).query)
    assert said["version"] == [demo.artifact.short_version]
    assert said["text"] == ["2:flowers -red"]
    with open_page(link, view) as page:
        expect(status(page)).to_contain_text("together with")
        assert ids(page) == shown
        expect(page.get_by_text("made for another version")).to_have_count(0)
    with open_page(re.sub("version=.*", "version=0123456789ab", link), view) as page:
        expect(page.get_by_text("made for another version")).to_be_visible()
        assert ids(page) == shown


def test_a_search_is_cited(page: Page, demo: Searcher) -> None:
    ask(page, "a guitar")
    within = take_away(page)
    within.get_by_role("button", name="Cite this search").click()
    expect(within.locator("pre")).to_have_count(2)
    text, bibtex = within.locator("pre").all_inner_texts()
    for said in ("“a guitar”", demo.artifact.version, "591 pictures", "embedded"):
        assert said in text
    [entry] = parse_string(bibtex, "bibtex").entries.values()
    assert "a guitar" in entry.fields["title"]
    assert entry.fields["url"].startswith("http://127.0.0.1")


def test_a_picture_is_cited(page: Page, demo: Searcher) -> None:
    ask(page, "a guitar")
    record = demo.record(ids(page)[0])
    opened(page, 0)
    panel(page).get_by_role("button", name="Cite").click()
    expect(panel(page).locator("pre")).to_have_count(2)
    text, bibtex = panel(page).locator("pre").all_inner_texts()
    assert record.title in text
    assert record.metadata["source_url"] in text
    [entry] = parse_string(bibtex, "bibtex").entries.values()
    assert entry.fields["title"].strip("{}") == record.title


def test_what_ones_own_picture_found_is_taken_away_too(
    page: Page, demo: Searcher, tmp_path: Path
) -> None:
    own = next(Path("assets/demo/pictures").rglob("*guitar*.webp"))
    drop(page, own.name, "image/webp", own.read_bytes())
    expect(status(page)).to_contain_text("Pictures like yours")
    expect(links(page).first).to_be_visible()
    within = take_away(page)
    rows = rows_of(stored(page, within, "Table (CSV)", tmp_path))
    assert [row["id"] for row in rows] == ids(page)
    # Nobody else has that picture.
    expect(within.get_by_role("button", name="Copy link to this search")).to_have_count(0)
