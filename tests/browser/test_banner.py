"""What stands above the pictures follows the test, while the page is served."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from conftest import serving
from gated import environment, soon
from in_domain import TAXONOMY, judge, keep, report_on
from playwright.sync_api import expect

from image_search.search import Searcher
from image_search.standing import UNTESTED
from image_search.state import State

ALWAYS = (
    "for research only",
    "deployment without in-domain testing out of scope",
    "Ask in English; never use it for surveillance or facial recognition",
)


def test_the_banner_changes_without_a_restart(
    open_page: Callable[..., Any], searcher: Searcher, tmp_path: Path
) -> None:
    place = str(tmp_path / "state")
    with (
        environment(IMAGE_SEARCH_STATE=place, IMAGE_SEARCH_BAR_JUDGED="5"),
        serving(searcher.artifact.path) as address,
        open_page(address) as page,
    ):
        banner = page.get_by_role("note")
        for words in (*ALWAYS, UNTESTED):
            expect(banner).to_contain_text(words)
        expect(banner.get_by_role("link", name="Its report.")).to_be_hidden()
        state = State.open(place)
        state.add("taxonomy", text=TAXONOMY.text, by="kim")
        judge(state)
        keep(state, report_on(searcher, state))
        state.close()

        def has_changed() -> bool:
            page.reload()
            page.wait_for_selector("#grid li")
            page.wait_for_load_state("networkidle")
            return "reached the bar" in banner.inner_text()

        assert soon(has_changed, seconds=60)
        for words in ALWAYS:
            expect(banner).to_contain_text(words)
        expect(banner).not_to_contain_text(UNTESTED)
        link = banner.get_by_role("link", name="Its report.")
        with page.expect_popup() as opened:
            link.click()
        report = opened.value
        expect(report.get_by_role("heading", level=1)).to_have_text("A test of “pictures”")
        first = report.get_by_role("listitem").filter(has=report.get_by_role("img")).first
        expect(first).to_contain_text("✓ right")
        image = first.get_by_role("img")
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") > 0
        found = Axe().run(report)
        assert found.violations_count == 0, found.generate_report()
        page.get_by_role("tab", name="About").click()
        expect(page.locator("#about .standing")).to_contain_text("reached the bar")
