"""The tables beside the pictures, as the page shows them: small charts that are tables too."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import VIEWS, serving
from looking import ask, links, opened, panel, status
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from image_search.build import build
from image_search.encoder import OnnxEncoder
from image_search.extra import open_extra
from image_search.folder import open_folder
from image_search.search import Searcher

Opener = Callable[..., AbstractContextManager[Page]]

MARKUP = "<script>document.title='pwned'</script> & <b>bold</b>"
TITLES = [
    "The reddest", MARKUP, "ملصق قديم للسفر", "A true and faithful account of a voyage," * 8,
    *(f"Plate {n}" for n in range(4, 13)),
]  # fmt: skip
COUNTS = [12, 24, 6, 3, 2, 2, 2, 2, 2, 2, 1, 1, 0]
"""In how many rows of `downloads_by_word` each picture stands."""

WORDS = ["golden hour", MARKUP, "زهرة", "b", "a", "sun", "bee"]
TIMES = [8, 6, 4, 2, 2, 1, 1]
"""How often each stands with the second picture."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Iterator[str]:
    """Where thirteen plain pictures are served, from red to green, with two tables."""
    folder = tmp_path_factory.mktemp("tables") / "pictures"
    folder.mkdir()
    names = [f"{n:02}.png" for n in range(len(TITLES))]
    for n, name in enumerate(names):
        Image.new("RGB", (90, 60), (255 - 20 * n, 20 * n, 0)).save(folder / name)
    write(folder / "metadata.csv", [("file_name", "title"), *zip(names, TITLES, strict=True)])
    rows = [
        (names[1], word) for word, times in zip(WORDS, TIMES, strict=True) for _ in range(times)
    ]
    rows += [(names[n], "red") for n, count in enumerate(COUNTS) if n != 1 for _ in range(count)]
    downloads, loans = folder.with_name("downloads.csv"), folder.with_name("loans.csv")
    write(downloads, [("id", "keyword"), *rows])
    write(loans, [("id", "reader"), (names[0], "A. Reader")])
    extras = [
        open_extra(f"{name}={path}", "id")
        for name, path in (("downloads_by_word", downloads), ("loans", loans))
    ]
    build(open_folder(folder), colours, folder.with_name("out"), extras=extras)
    with serving(folder.with_name("out")) as address:
        yield address


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def line(page: Page, name: str = "downloads by word") -> Locator:
    return page.locator("details.counts").filter(has_text=f"These pictures in {name}")


def unfolded(page: Page) -> Locator:
    """The table above the pictures, once it is there."""
    line(page).locator("summary").click()
    table = line(page).get_by_role("table")
    expect(table).to_be_visible()
    return table


def told(table: Locator) -> list[list[str]]:
    rows: list[list[str]] = table.locator("tr").evaluate_all(
        "all => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return rows


def shares(table: Locator) -> list[float]:
    """How long the bars are, the longest being 1."""
    widths: list[float] = table.locator("i").evaluate_all(
        "all => all.map(bar => bar.getBoundingClientRect().width)"
    )
    return [width / max(widths) for width in widths]


@pytest.mark.parametrize("view", VIEWS)
def test_the_pictures_that_stand_in_it_most_often(
    open_page: Opener, tables: str, view: str
) -> None:
    with open_page(tables, view) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        ask(page, "red")
        expect(line(page)).to_be_visible()
        expect(line(page, "loans")).to_be_visible()
        expect(links(page)).to_have_count(13)
        assert not line(page).evaluate("line => line.open")
        assert not [url for url in asked if "/tables/" in url]
        table = unfolded(page)
        expect(table).to_contain_text("Most often in downloads by word; pictures counted: 13")
        order = [1, 0, *range(2, 10)]
        assert told(table) == [[TITLES[n], str(COUNTS[n])] for n in order]
        assert shares(table) == pytest.approx([COUNTS[n] / 24 for n in order], abs=0.01)
        assert sum("/tables/" in url for url in asked) == 1  # of the one that was opened
        assert table.locator("tbody th[scope=row]").count() == 10
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        row = table.get_by_role("link", name=TITLES[2])
        row.focus()
        page.keyboard.press("Enter")
        expect(panel(page).get_by_role("heading")).to_have_text(TITLES[2])
        expect(page.locator("#place")).to_contain_text("by nearness")
        page.keyboard.press("Escape")
        expect(panel(page)).to_be_hidden()
        expect(row).to_be_focused()
        assert "pwned" not in page.title()


@pytest.mark.parametrize("view", VIEWS)
def test_the_words_that_stand_most_often_with_a_picture(
    open_page: Opener, tables: str, view: str
) -> None:
    with open_page(f"{tables}/?text=red", view) as page:
        opened(page, 1)
        top = panel(page).get_by_role("table", name="Top keyword in downloads by word")
        expect(top).to_be_visible()
        assert told(top) == [
            ["golden hour", "8"], [MARKUP, "6"], ["زهرة", "4"], ["a", "2"], ["b", "2"]
        ]  # fmt: skip
        assert shares(top) == pytest.approx([1, 0.75, 0.5, 0.25, 0.25], abs=0.01)
        assert panel(page).get_by_role("table").count() == 1  # nothing of it in the other table
        page.keyboard.press("ArrowLeft")
        expect(panel(page).get_by_role("heading")).to_have_text(TITLES[0])
        expect(panel(page).get_by_role("table", name="Top reader in loans")).to_be_visible()
        expect(top.locator("th")).to_have_text(["red"])


def test_it_follows_the_next_question(open_page: Opener, tables: str) -> None:
    with open_page(f"{tables}/?text=red") as page:
        held: list[Route] = []
        page.route("**/tables/*/counts?*", lambda route: held.append(route), times=1)
        line(page).locator("summary").click()
        expect(line(page)).to_contain_text("Counting …")
        opened(page, 1)
        page.get_by_role("button", name="More like this").click()
        expect(status(page)).to_contain_text("Pictures like")
        table = line(page).get_by_role("table")
        expect(table).to_contain_text("pictures counted: 12")
        held[0].continue_()
        page.wait_for_load_state("networkidle")
        assert [row[0] for row in told(table)] == [TITLES[0], *TITLES[2:11]]
        assert shares(table)[1] == pytest.approx(0.5, abs=0.01)
        page.go_back()
        expect(table).to_contain_text("pictures counted: 13")
        line(page).locator("summary").click()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.go_forward()
        expect(status(page)).to_contain_text("Pictures like")
        page.wait_for_load_state("networkidle")
        assert not [url for url in asked if "/counts" in url]  # it is shut


@pytest.mark.parametrize("view", VIEWS)
def test_what_the_server_says_stands_in_its_place(
    open_page: Opener, tables: str, view: str
) -> None:
    said = "The database does not answer. Try again in a while."

    def refuse(route: Route) -> None:
        route.fulfill(
            status=503, content_type="application/problem+json", body=json.dumps({"detail": said})
        )

    with open_page(f"{tables}/?text=red", view) as page:
        page.route("**/tables/**", refuse)
        line(page).locator("summary").click()
        expect(line(page).get_by_role("alert")).to_have_text(said)
        expect(page.locator("#trouble")).to_be_empty()
        opened(page)
        expect(panel(page).locator(".counts").first).to_have_text(said)
        expect(page.locator("#panel-trouble")).to_be_empty()
        page.keyboard.press("Escape")
        page.unroute("**/tables/**")
        line(page).locator("summary").click()
        unfolded(page)


def test_a_collection_without_tables_shows_nothing_of_it(
    open_page: Opener, searcher: Searcher
) -> None:
    with serving(searcher.artifact.path) as address, open_page(f"{address}/?text=red") as page:
        opened(page)
        page.wait_for_load_state("networkidle")
        assert page.locator("#image-search :is(.counts, table)").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_in_them(open_page: Opener, tables: str, view: str, scheme: str) -> None:
    how: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
    with open_page(f"{tables}/?text=red", view, **how) as page:
        unfolded(page)
        for state in ("unfolded", "opened"):
            if state == "opened":
                opened(page, 1)
                expect(panel(page).get_by_role("table")).to_be_visible()
            page.wait_for_timeout(200)
            found = Axe().run(page).response["violations"]
            assert [v["id"] for v in found if v["impact"] != "minor"] == [], state
