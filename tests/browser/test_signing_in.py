"""Signing in with an account of the Hub, from the first page to the last, in a real browser."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from gated import CONTACT, environment, soon
from itsdangerous import URLSafeSerializer
from openid import CLIENT_SECRET, free_port, provider, running
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from image_search.answers import PREFIX
from image_search.search import Searcher
from image_search.sign_in import BEGUN, COOKIE

MANY = [f"some-organisation-with-a-long-name-{n}" for n in range(59)]
PEOPLE = {
    "alice": [],
    "Bob": [],
    "carol": ["elsewhere", "bl-labs"],
    "dora": [*MANY, "BL-Labs"],
    "leaver": [],
    "walker": [],
    "moved": ["closed-lab"],
    "stranger": ["elsewhere"],
}
READ = "I have read this and accept it"

# The stand-in for the Hub still uses what authlib is about to give up, in a thread of this process.
pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")

Window = Callable[[], AbstractContextManager[Page]]


@dataclass
class House:
    address: str
    provider: str
    state: Path
    said: Path


def variables(provider: str, state: Path, **more: str) -> dict[str, str]:
    return {
        "IMAGE_SEARCH_ACCESS": "huggingface",
        "OPENID_PROVIDER_URL": provider,
        "OAUTH_CLIENT_ID": "the-app",
        "OAUTH_CLIENT_SECRET": CLIENT_SECRET,
        "IMAGE_SEARCH_ALLOW_USERS": "walker,alice, bob:curator, leaver",
        "IMAGE_SEARCH_ALLOW_ORGS": "bl-labs, closed-lab",
        "IMAGE_SEARCH_CONTACT": CONTACT,
        "IMAGE_SEARCH_STATE": str(state),
        **more,
    }


@pytest.fixture(scope="module")
def house(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with (
        provider(PEOPLE) as hub,
        environment(**variables(hub, folder / "state")),
        running(searcher.artifact.path, folder / "said") as address,
    ):
        yield House(address, hub, folder / "state", folder / "said")


@pytest.fixture
def window(browser: Browser) -> Window:
    """A browser of somebody's own; whatever its scripts complain of fails the test."""

    @contextmanager
    def window() -> Iterator[Page]:
        context = browser.new_context()
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: complaints.append(said.text) if said.type == "error" else None,
        )
        yield page
        context.close()
        # What the browser says by itself of 401, 403 and so on.
        assert [c for c in complaints if not c.startswith("Failed to load resource")] == []

    return window


def heading(page: Page) -> Locator:
    return page.get_by_role("heading", level=1)


def go_to_hub(page: Page, address: str) -> None:
    """Ask for a page, be asked to sign in, and be sent to the provider."""
    page.goto(address)
    expect(heading(page)).to_have_text("Sign in")
    page.get_by_role("link", name="Sign in with Hugging Face").click()
    expect(heading(page)).to_have_text("Authorize Client")


def sign_in(page: Page, address: str, name: str) -> None:
    go_to_hub(page, address)
    page.get_by_role("button", name=f"id-of-{name}").click()


def come_in(page: Page, address: str, name: str) -> None:
    sign_in(page, address, name)
    accept(page)


def accept(page: Page) -> None:
    expect(heading(page)).to_have_text("Before you search")
    page.get_by_role("button", name=READ).click()
    expect(page.locator("#grid li").first).to_be_visible()


def confirmed(page: Page, name: str) -> str:
    """Where the provider sends somebody who is at it, without going there."""
    told = page.context.request.post(page.url, form={"sub": f"id-of-{name}"}, max_redirects=0)
    assert told.status == 302
    return told.headers["location"]


def cookies(context: BrowserContext) -> dict[str, str]:
    """What the application keeps in this browser."""
    found = context.cookies()
    return {c["name"]: c["value"] for c in found if c["name"] in (COOKIE, BEGUN)}


def shut_out(page: Page, address: str) -> bool:
    """Whether the page and the programs' way are both closed."""
    page.goto(address)
    closed = page.get_by_role("link", name="Sign in with Hugging Face").is_visible()
    asked = page.context.request.get(f"{address}{PREFIX}/search?text=red")
    return closed and asked.status == 401


def command(*words: str) -> None:
    """An operator's command, on the state of the house."""
    subprocess.run([sys.executable, "-m", "image_search", *words], check=True, capture_output=True)


def test_a_user_comes_by_the_terms_to_exactly_the_page_they_asked_for(
    house: House, window: Window
) -> None:
    asked = f"{house.address}/?text=red%20%26%20blue%20%231%2B%C3%BC"
    with window() as page:
        sign_in(page, asked, "alice")
        expect(heading(page)).to_have_text("Before you search")
        expect(page.get_by_text("You are signed in as alice")).to_be_visible()
        assert page.context.request.get(f"{house.address}{PREFIX}/you").status == 403
        page.get_by_role("button", name=READ).click()
        page.wait_for_url(asked)
        expect(page.get_by_label("What are you looking for?")).to_have_value("red & blue #1+ü")
        expect(page.locator("#you strong")).to_have_text("alice")
        assert len(page.context.pages) == 1  # no second window where there is no frame
        assert BEGUN not in cookies(page.context)
        told = page.context.request.get(f"{house.address}{PREFIX}/you")
        assert told.json() == {"name": "alice", "role": "member"}


@pytest.mark.parametrize(("name", "role"), [("carol", "member"), ("Bob", "curator")])
def test_an_organisation_and_a_role_of_the_list(
    house: House, window: Window, name: str, role: str
) -> None:
    with window() as page:
        come_in(page, house.address, name)
        told = page.context.request.get(f"{house.address}{PREFIX}/you")
        assert told.json() == {"name": name, "role": role}


def test_a_stranger_hears_which_account_it_was_and_whom_to_ask(
    house: House, window: Window
) -> None:
    with window() as page:
        with page.expect_response("**/login/callback*") as came:
            sign_in(page, f"{house.address}/?text=red", "stranger")
        assert came.value.status == 403
        expect(heading(page)).to_have_text("You are not on the list")
        expect(page.locator("main")).to_contain_text("Hugging Face as stranger,")
        expect(page.get_by_role("link", name=CONTACT)).to_be_visible()
        assert cookies(page.context) == {}
        assert page.context.request.get(f"{house.address}{PREFIX}/you").status == 401
        page.get_by_role("link", name="Try again with another account").click()
        page.get_by_role("button", name="id-of-alice").click()
        page.wait_for_url(f"{house.address}/**")
        assert COOKIE in cookies(page.context)


def test_who_cancels_may_begin_again(house: House, window: Window) -> None:
    with window() as page:
        go_to_hub(page, f"{house.address}/?text=blue")
        page.get_by_role("button", name="Deny").click()
        expect(page.locator("main")).to_contain_text("cancelled")
        assert cookies(page.context) == {}
        page.get_by_role("link", name="Sign in again").click()
        link = page.get_by_role("link", name="Sign in with Hugging Face")
        assert quote("/?text=blue", safe="") in (link.get_attribute("href") or "")


def test_a_way_back_that_nobody_began_leads_nowhere(house: House, window: Window) -> None:
    for made_up in ("", "?code=x", "?state=x", "?code=x&state=x", "?code=&state=", "?error=%0Ax"):
        with window() as page:
            told = page.goto(f"{house.address}/login/callback{made_up}")
            assert told
            assert told.status == 400
            expect(heading(page)).to_have_text("You are not signed in")
            assert cookies(page.context) == {}


def test_a_way_back_leads_in_once(house: House, window: Window) -> None:
    with window() as page:
        go_to_hub(page, house.address)
        back, begun = confirmed(page, "alice"), cookies(page.context)[BEGUN]
        page.goto(back)
        expect(heading(page)).not_to_have_text("You are not signed in")
        page.goto(f"{house.address}/logout")
        page.get_by_role("button", name="Sign out").click()
        expect(heading(page)).to_have_text("You are signed out")
        page.goto(back)
        expect(heading(page)).to_have_text("You are not signed in")
        assert cookies(page.context) == {}
        # Nor for who has kept what their browser had.
        told = httpx.get(back, headers={"Cookie": f"{BEGUN}={begun}"})
        assert told.status_code == 400
        assert COOKIE not in told.headers.get("set-cookie", "").replace(BEGUN, "")


def test_a_sign_in_is_ended_in_the_browser_where_it_was_begun(house: House, window: Window) -> None:
    """Else somebody could be signed in, unawares, as who sent them the address."""
    with window() as begun, window() as other:
        go_to_hub(begun, house.address)
        back = confirmed(begun, "alice")
        other.goto(back)
        expect(other.locator("main")).to_contain_text("not begun in this browser")
        assert cookies(other.context) == {}
        go_to_hub(other, house.address)  # with one of their own under way neither
        other.goto(back)
        expect(other.locator("main")).to_contain_text("not begun in this browser")
        assert COOKIE not in cookies(other.context)
        begun.goto(back)
        assert COOKIE in cookies(begun.context)


def test_a_long_question_in_the_address_does_not_stand_in_the_way(
    house: House, window: Window
) -> None:
    """A browser keeps no cookie above 4 KB; a question may have 2,000 characters."""
    with window() as page:
        sign_in(page, f"{house.address}/?text={quote('красная книга ' * 60)}", "alice")
        page.wait_for_load_state()
        expect(heading(page)).not_to_have_text("You are not signed in")
        assert COOKIE in cookies(page.context)


def test_after_signing_out_the_pages_are_closed(house: House, window: Window) -> None:
    with window() as page:
        come_in(page, house.address, "walker")
        page.get_by_role("tab", name="About").click()
        page.get_by_role("button", name="Sign out").click()
        expect(heading(page)).to_have_text("You are signed out")
        assert cookies(page.context) == {}
        assert shut_out(page, house.address)
        page.go_back()  # nor does the browser show what it had
        page.go_back()
        expect(page.locator("#grid")).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "removed"), [("leaver", ("leaver",)), ("moved", ("closed-lab", "--org"))]
)
def test_who_is_taken_off_the_list_is_out_without_a_restart(
    house: House, window: Window, name: str, removed: tuple[str, ...]
) -> None:
    with window() as page:
        come_in(page, house.address, name)
        page.wait_for_load_state("networkidle")
        asked = f"{house.address}{PREFIX}/you"
        assert page.context.request.get(asked).status == 200
        command("member", "remove", *removed)
        assert soon(lambda: page.context.request.get(asked).status == 401, 60)
        assert shut_out(page, house.address)
        sign_in(page, house.address, name)
        expect(heading(page)).to_have_text("You are not on the list")
        assert shut_out(page, house.address)


def test_the_cookie_holds_four_things_and_stays_small(house: House, window: Window) -> None:
    with window() as page:
        sign_in(page, house.address, "dora")
        expect(heading(page)).to_have_text("Before you search")
        [cookie] = [c for c in page.context.cookies() if c["name"] == COOKIE]
        value = cookie["value"]
        _, told = URLSafeSerializer("a key that we do not know").loads_unsafe(value)
        assert set(told) == {"name", "sub", "org", "exp"}
        assert (told["name"], told["sub"], told["org"]) == ("dora", "id-of-dora", "bl-labs")
        assert len(value) < 400
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")


def test_the_provider_may_be_away_and_come_back(
    searcher: Searcher, window: Window, tmp_path: Path
) -> None:
    port = free_port()
    away = "Hugging Face cannot be reached at the moment"
    with (
        environment(**variables(f"http://localhost:{port}", tmp_path / "state")),
        running(searcher.artifact.path, tmp_path / "said") as address,
        window() as page,
    ):
        page.goto(address)
        with page.expect_response("**/login/huggingface*") as left:
            page.get_by_role("link", name="Sign in with Hugging Face").click()
        assert left.value.status == 502
        expect(page.locator("main")).to_contain_text(away)
        with provider(PEOPLE, port):
            page.get_by_role("link", name="Sign in again").click()
            page.get_by_role("link", name="Sign in with Hugging Face").click()
            back = confirmed(page, "alice")
        told = page.goto(back)
        assert told
        assert told.status == 502
        expect(page.locator("main")).to_contain_text(away)
        assert cookies(page.context) == {}
        with provider(PEOPLE, port):
            page.get_by_role("link", name="Sign in again").click()
            page.get_by_role("link", name="Sign in with Hugging Face").click()
            page.get_by_role("button", name="id-of-alice").click()
            accept(page)
        assert "Traceback" not in (tmp_path / "said").read_text()


def test_what_the_provider_says_is_not_believed_after_its_time(
    searcher: Searcher, window: Window, tmp_path: Path
) -> None:
    """As when one of the two clocks is wrong."""
    with (
        provider(PEOPLE, life=timedelta(minutes=-10)) as hub,
        environment(**variables(hub, tmp_path / "state")),
        running(searcher.artifact.path, tmp_path / "said") as address,
        window() as page,
    ):
        sign_in(page, address, "alice")
        expect(heading(page)).to_have_text("You are not signed in")
        assert cookies(page.context) == {}
        assert "Traceback" not in (tmp_path / "said").read_text()


def test_a_session_survives_a_restart_but_no_other_secret_and_no_other_terms(
    house: House, searcher: Searcher, window: Window, tmp_path: Path
) -> None:
    @contextmanager
    def app(**more: str) -> Iterator[str]:
        with (
            environment(**variables(house.provider, tmp_path / "state", **more)),
            running(searcher.artifact.path, tmp_path / "said") as address,
        ):
            yield address

    with window() as page:
        with app() as address:
            come_in(page, address, "alice")
        with app(IMAGE_SEARCH_LOG_DAYS="30") as address:
            page.goto(f"{address}/?text=red")
            expect(page.locator("main")).to_contain_text("recorded for 30 days")
            accept(page)
            assert page.url == f"{address}/?text=red"
            page.reload()
            expect(page.locator("#grid li").first).to_be_visible()
        with app(IMAGE_SEARCH_SECRET="another secret " * 3) as address:
            assert shut_out(page, address)


def test_in_the_page_of_a_space_the_sign_in_opens_a_window_of_its_own(
    house: House, searcher: Searcher, browser: Browser, tmp_path: Path
) -> None:
    space = {
        "SPACE_ID": "alice/pictures",
        "SPACE_HOST": "alice-pictures.hf.space",
        "IMAGE_SEARCH_HOST": "127.0.0.1",
    }
    with (
        environment(**variables(house.provider, tmp_path / "state", **space)),
        running(searcher.artifact.path, tmp_path / "said") as address,
    ):
        context = browser.new_context()
        context.grant_permissions(["local-network-access"], origin="https://huggingface.co")
        page = context.new_page()
        page.route(
            "https://huggingface.co/**",
            lambda route: route.fulfill(
                content_type="text/html",
                body=f"<iframe src='{address}/?text=red' width=900 height=700 "
                "allow='local-network-access'></iframe>",
            ),
        )
        page.goto("https://huggingface.co/spaces/alice/pictures")
        framed = page.frame_locator("iframe")
        link = framed.get_by_role("link", name="Sign in with Hugging Face")
        with context.expect_page() as opened:
            link.click()
        other = opened.value
        expect(heading(other)).to_have_text("Authorize Client")
        assert quote("https://alice-pictures.hf.space/login/callback", safe="") in other.url
        expect(link).to_be_visible()  # the frame itself has stayed
        by_itself = framed.get_by_role("link", name="open it by itself")
        with context.expect_page() as opened:
            by_itself.click()
        expect(opened.value.get_by_role("link", name="Sign in with Hugging Face")).to_be_visible()
        assert opened.value.url == f"{address}/?text=red"
        context.close()


def test_nothing_secret_is_said_to_the_operator(house: House, window: Window) -> None:
    with window() as page:
        go_to_hub(page, house.address)
        back, begun = confirmed(page, "alice"), cookies(page.context)[BEGUN]
        page.goto(back)
        session = cookies(page.context)[COOKIE]
        page.goto(f"{house.address}/login/callback?error=x%1b%5b2J%0Aforged")
    said = house.said.read_text()
    assert "Open http" in said
    secret = (house.state / "secret").read_text().strip()
    code = back.split("code=")[1].split("&")[0]
    assert [s for s in (CLIENT_SECRET, secret, code, begun, session) if s in said] == []
    assert not [line for line in said.splitlines() if line.startswith("forged")]
    assert "Traceback" not in said
