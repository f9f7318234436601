"""What a visitor does on the page and sees of it; for the browser tests."""

from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect


def field(page: Page) -> Locator:
    return page.get_by_label("What are you looking for?")


def ask(page: Page, words: str) -> None:
    """Type words, press Enter and wait for the answer."""
    field(page).fill(words)
    field(page).press("Enter")
    expect(status(page)).to_contain_text(f"Nearest to “{words.strip()}”")


def status(page: Page) -> Locator:
    return page.locator("#status")


def trouble(page: Page) -> Locator:
    return page.get_by_role("alert").and_(page.locator("#trouble"))


def links(page: Page) -> Locator:
    """The pictures in the grid."""
    return page.locator("#grid a")


def panel(page: Page) -> Locator:
    return page.locator("#panel")


def titles(page: Page) -> list[str]:
    """The pictures in the grid, by title, in order."""
    expect(links(page).first).to_be_visible()
    found: list[str] = page.locator("#grid img").evaluate_all("all => all.map(i => i.alt)")
    return found


def ids(page: Page) -> list[str]:
    """The pictures in the grid, by id, in order."""
    expect(links(page).first).to_be_visible()
    addresses = links(page).evaluate_all("all => all.map(a => a.search)")
    return [parse_qs(address.removeprefix("?"))["picture"][0] for address in addresses]


def in_address(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def loaded(page: Page, count: int = 10) -> None:
    """Wait until the first pictures have pixels."""
    page.wait_for_function(
        "count => [...document.querySelectorAll('#grid img')].slice(0, count)"
        ".every(i => i.complete && i.naturalWidth > 0)",
        arg=count,
    )


def opened(page: Page, number: int = 0) -> None:
    """Open a picture of the grid and wait for it."""
    title = links(page).nth(number).locator("img").get_attribute("alt")
    links(page).nth(number).click()
    expect(panel(page).get_by_role("heading")).to_have_text(title or "")


def drop(page: Page, name: str, media_type: str, data: bytes, how: str = "drop") -> None:
    """Drop a file on the page, or paste it: as the browser itself would tell the page."""
    page.evaluate(
        """([name, type, bytes, how]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            const options = { bubbles: true, cancelable: true };
            if (how === "paste") {
                options.clipboardData = transfer;
                document.body.dispatchEvent(new ClipboardEvent("paste", options));
                return;
            }
            options.dataTransfer = transfer;
            for (const event of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(event, options));
            }
        }""",
        [name, media_type, list(data), how],
    )
