"""Signing in with a name and a password, over HTTP: guesses, ways back, lists that change."""

import os
import re
import shutil
import socket
import stat
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html.parser import HTMLParser
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from argon2 import PasswordHasher
from gated import CONTACT, HASH, PASSWORD, USERS, Gated, by_password, environment, soon
from itsdangerous import URLSafeSerializer
from openid import running

from image_search.answers import PREFIX
from image_search.search import Searcher
from image_search.sign_in import COOKIE
from image_search.throttle import Lock
from image_search.ui import sign_in_pages
from image_search.users import Users, hash_password

OTHER = "another good password"
OTHER_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(OTHER)
WRONG = "This name and this password do not belong together."
PAGE = {"Accept": "text/html"}


@contextmanager
def heard(path: Path) -> Iterator[None]:
    """What programs that are started meanwhile say on standard error is kept in a file."""
    before = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("said") / "said"


@pytest.fixture(scope="module")
def house(
    searcher: Searcher, said: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gated]:
    slow = hash_password(PASSWORD)  # as a keeper makes it
    users = [USERS, f"nora:{HASH}", f"Zoë:{HASH}", *(f"slow{n}:{slow}" for n in range(5))]
    variables = {
        "IMAGE_SEARCH_USERS": "\n".join(users),
        "IMAGE_SEARCH_REQUESTS_PER_MINUTE": "1000000",
    }
    served = by_password(searcher, tmp_path_factory.mktemp("state"), **variables)
    with heard(said):
        found = served.__enter__()
    try:
        yield found
    finally:
        served.__exit__(None, None, None)


@pytest.fixture(scope="module")
def unfinished(house: Gated) -> Iterator[socket.socket]:
    """A form of which the half has arrived, and no more will."""
    with half_a_form(house) as raw:
        yield raw


@pytest.fixture(autouse=True)
def early(unfinished: socket.socket) -> None:
    """It is sent before the first test, so that the last one need not wait for long."""


NEXT = iter(range(1, 60_000))


def somewhere() -> str:
    """An address that nobody has asked from: they are counted apart."""
    n = next(NEXT)
    return f"127.1.{n // 250}.{n % 250 + 1}"


def client(address: str, at: str = "", **headers: str) -> httpx.Client:
    """A browser at an address of this machine (its own, if none is named)."""
    transport = httpx.HTTPTransport(local_address=at or somewhere())
    return httpx.Client(base_url=address, transport=transport, headers=headers, timeout=60)


def half_a_form(house: Gated) -> socket.socket:
    at = urlsplit(house.address)
    raw = socket.create_connection((at.hostname, at.port), timeout=40)
    raw.sendall(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nname=mary&pass")
    return raw


def sign_in(
    browser: httpx.Client, name: str, password: str = PASSWORD, **more: Any
) -> httpx.Response:
    return browser.post("/login", data={"name": name, "password": password}, **more)


def cookie(told: httpx.Response) -> Morsel[str]:
    """Ours, that an answer sets."""
    found = SimpleCookie()
    for line in told.headers.get_list("set-cookie"):
        found.load(line)
    return found[COOKIE]


def you(address: str, headers: dict[str, str]) -> int:
    return httpx.get(f"{address}{PREFIX}/you", headers=headers).status_code


def test_the_right_password_comes_in(house: Gated) -> None:
    with client(house.address) as mary:
        told = sign_in(mary, "mary", params={"next": "/?text=red"})
        assert (told.status_code, told.headers["location"]) == (303, "/?text=red")
        assert mary.get(f"{PREFIX}/you").json() == {"name": "mary", "role": "member"}


@pytest.mark.parametrize("name", ["MARY", " Mary ", "zoë", "ZOË"])
def test_small_and_large_letters_are_one_name(house: Gated, name: str) -> None:
    with client(house.address) as browser:
        assert sign_in(browser, name).status_code == 303


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(house: Gated) -> None:
    with client(house.address) as one, client(house.address) as other:
        wrong, unknown = sign_in(one, "judith", "guess"), sign_in(other, "nobody", "guess")
    for told in (wrong, unknown):
        assert told.status_code == 401
        assert WRONG in told.text
        assert "set-cookie" not in told.headers
    assert wrong.text.replace("judith", "nobody") == unknown.text


def test_an_unknown_name_takes_as_long(house: Gated) -> None:
    def seconds(name: str) -> float:
        with client(house.address) as browser:
            began = time.monotonic()
            assert sign_in(browser, name, "guess").status_code == 401
            return time.monotonic() - began - 0.5  # by which every answer is delayed

    seconds("the first makes the hash that others are compared with")
    known, unknown = zip(
        *((seconds(f"slow{n}"), seconds(f"quick{n}")) for n in range(4)), strict=True
    )
    ratio = statistics.median(unknown) / statistics.median(known)
    assert 0.4 < ratio < 2.5


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 401), (b"name=slow4&pass", 401), (b"name=slow3", 401), (b"name=&password=", 401),
     (b"name=slow1&password=&password=" + PASSWORD.encode().replace(b" ", b"+"), 401),
     (b"name=slow2%00&password=" + PASSWORD.encode().replace(b" ", b"+"), 401),
     (b"\xff\xfe", 400), (b"&".join(b"f%d=1" % n for n in range(11)), 400),
     (b"name=mary&password=" + b"x" * 16_384, 413), (b"\x00" * 5_000_000, 413)],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_form_comes_to_nothing(house: Gated, body: bytes, status: int) -> None:
    with client(house.address) as browser:
        told = browser.post("/login", content=body)
        assert told.status_code == status
        assert "set-cookie" not in told.headers
        assert browser.get(f"{PREFIX}/you").status_code == 401


def test_a_password_in_an_address_is_never_taken(house: Gated) -> None:
    words = {"name": "mary", "password": PASSWORD}
    with client(house.address) as browser:
        for path in ("/login", "/", "/terms"):
            told = browser.get(path, params=words, headers=PAGE)
            assert "set-cookie" not in told.headers
            assert PASSWORD not in told.text
        assert browser.post("/login", params=words).status_code == 401
        assert browser.request("PUT", "/login", data=words).status_code == 405


WAYS = ["//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
        "https:evil.example", "http:/evil.example", "javascript:alert(1)", "data:text/html,x",
        "%2f%2fevil.example", "/%2fevil.example", "/%5cevil.example", "/%09/evil.example",
        "/\t/evil.example", "\t//evil.example", "/\n/evil.example", "/\r\nSet-Cookie: x=y",
        " //evil.example", "/ /evil.example", "///evil.example", "////evil.example",
        "/.//evil.example", "/..//evil.example", "/;//evil.example", "/@evil.example",
        "@evil.example", ".evil.example", ":80@evil.example", "//[::1", "/\u2028/evil.example",
        "／／evil.example", "/／evil.example", "/\u00a0/evil.example", "//evil。example",
        "/\u200b/evil.example", "//\u202eevil.example", "/\x00/evil.example", "", "?", "#",
        "/" * 5_000 + "evil.example", "/" + "x" * 20_000, "/?next=//evil.example"]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
def test_no_way_back_leads_elsewhere(house: Gated, way: str) -> None:
    with client(house.address) as browser:
        asked = browser.get("/login", params={"next": way})
        told = sign_in(browser, "judith", params={"next": way})
    assert told.status_code == 303
    seen = re.sub(r"[\t\r\n]", "", told.headers["location"]).replace("\\", "/").strip()
    went = urljoin(f"{house.address}/login", seen)  # as a browser understands it
    assert urlsplit(went)[:2] == urlsplit(house.address)[:2]
    assert "x=y" not in told.headers.get_list("set-cookie")
    action = re.search(r"action='([^']*)'", asked.text)
    assert action
    assert action[1].startswith("/login?next=%2F")


@pytest.mark.parametrize("asked", ["/?text=a%20b&x=%2F%2F", "/?q=https://a.example/", "/#x", "/ü"])
def test_a_way_back_of_ours_is_kept(house: Gated, asked: str) -> None:
    with client(house.address) as browser:
        told = sign_in(browser, "mary", params={"next": asked})
    assert httpx.URL(told.headers["location"]) == httpx.URL(asked)


def test_the_cookie_stays_with_this_address_and_away_from_scripts(house: Gated) -> None:
    with client(house.address) as browser:
        set_ = cookie(sign_in(browser, "mary"))
    assert (set_["httponly"], set_["secure"], set_["samesite"]) == (True, "", "lax")
    assert (set_["path"], set_["domain"], set_["max-age"]) == ("/", "", str(8 * 3600))


# Guesses


def test_a_flood_of_guesses_is_cut_off_whatever_addresses_it_claims(house: Gated) -> None:
    at = somewhere()

    def guess(n: int) -> tuple[int, float, httpx.Headers]:
        claimed = f"203.0.113.{n}"
        headers = {"X-Forwarded-For": claimed, "X-Real-IP": claimed, "Forwarded": f"for={claimed}"}
        with client(house.address, at, **headers) as browser:
            began = time.monotonic()
            told = sign_in(browser, "olga", f"guess {n}")
            return told.status_code, time.monotonic() - began, told.headers

    with ThreadPoolExecutor(20) as at_once:
        answers = list(at_once.map(guess, range(20)))
    taken = sorted(seconds for status, seconds, _ in answers if status == 401)
    assert len(taken) == 5
    assert all(seconds > least for seconds, least in zip(taken, (0.5, 1, 2, 4, 8), strict=True))
    refused = [headers for status, _, headers in answers if status == 429]
    assert len(refused) == 15
    assert all(0 < int(headers["retry-after"]) <= 15 * 60 for headers in refused)
    with client(house.address, at) as same:
        told = sign_in(same, "Olga")  # the right password, and another letter
        assert told.status_code == 429
        assert "Try again in 15 minutes" in told.text
        assert "set-cookie" not in told.headers
        assert sign_in(same, "carl").status_code == 303
    with client(house.address) as elsewhere:
        assert sign_in(elsewhere, "olga").status_code == 303


def test_one_address_cannot_try_many_names_nor_many_addresses_one() -> None:
    lock = Lock()
    for n in range(20):
        assert lock.wait(f"name{n}", "192.0.2.1") == 0
        lock.count(f"name{n}", "192.0.2.1")
    assert 0 < lock.wait("one more", "192.0.2.1") <= 15 * 60
    assert lock.wait("one more", "192.0.2.2") == 0
    for n in range(50):
        assert lock.wait("Olga", f"2001:db8:{n}::1") == 0
        lock.count("olga", f"2001:db8:{n}::1")
    assert 0 < lock.wait("olga", "2001:db8:ffff::1") <= 60 * 60


def test_a_reading_room_may_sign_in_as_often_as_it_likes(house: Gated) -> None:
    """Only what was wrong counts as wrong."""
    at = somewhere()
    for _ in range(25):
        with client(house.address, at) as browser:
            assert sign_in(browser, "rita").status_code == 303


def test_a_neighbour_does_not_choose_their_own_address(searcher: Searcher, tmp_path: Path) -> None:
    """Behind a proxy on this machine: what stands before the address that it adds, who asks has
    written; also if that address is of a private network, as in a reading room."""
    public = {
        "IMAGE_SEARCH_URL": "https://search.example.org/",
        "IMAGE_SEARCH_REQUESTS_PER_MINUTE": "3",
    }
    with by_password(searcher, tmp_path, **public) as house:

        def ask(chain: str) -> int:
            return httpx.get(house.address, headers={"X-Forwarded-For": chain}).status_code

        with house.client({"X-Forwarded-For": "198.51.100.1"}) as browser:
            told = sign_in(browser, "mary")
        assert (cookie(told)["secure"], cookie(told)["samesite"]) == (True, "lax")
        assert [ask("203.0.113.9") for _ in range(4)] == [401, 401, 401, 429]
        assert ask("203.0.113.10") == 401  # another visitor of the same proxy
        assert [ask(f"203.0.113.{n}, 203.0.113.77") for n in range(4)] == [401, 401, 401, 429]
        assert [ask(f"203.0.113.{n}, 192.168.1.7") for n in range(4)] == [401, 401, 401, 429]


def test_on_a_space_the_cookie_is_sent_in_the_frame_of_the_hub_and_only_by_https(
    searcher: Searcher, tmp_path: Path
) -> None:
    space = {"SPACE_ID": "alice/pictures", "SPACE_HOST": "alice-pictures.hf.space"}
    with by_password(searcher, tmp_path, **space) as house:
        address = house.address.replace("0.0.0.0", "127.0.0.1")
        with client(address) as browser:
            for told in (sign_in(browser, "mary"), browser.post("/logout")):
                set_ = cookie(told)
                assert (set_["httponly"], set_["secure"], set_["samesite"]) == (True, True, "none")


# Lists that change


def test_a_file_of_users_counts_as_it_is_now(searcher: Searcher, tmp_path: Path) -> None:
    file, said = tmp_path / "users", tmp_path / "said"
    file.write_text(f"# the keepers\nann:{HASH}\nben:{HASH}:curator\n")
    variables = {
        "IMAGE_SEARCH_ACCESS": "password",
        "IMAGE_SEARCH_STATE": str(tmp_path / "state"),
        "IMAGE_SEARCH_USERS": f"fixed:{HASH}",
        "IMAGE_SEARCH_USERS_FILE": str(file),
    }
    with (
        environment(**variables),
        running(searcher.artifact.path, said) as address,
        client(address) as ann,
        client(address) as ben,
        client(address) as fixed,
    ):
        everybody = {"ann": ann, "ben": ben, "fixed": fixed}

        def inside() -> set[str]:
            # 403: the terms are not accepted.
            asked = {name: one.get(f"{PREFIX}/you") for name, one in everybody.items()}
            return {name for name, told in asked.items() if told.status_code == 403}

        for name, one in everybody.items():
            assert sign_in(one, name).status_code == 303
        assert inside() == {"ann", "ben", "fixed"}
        file.write_text(f"ben:{HASH}:curator\n")
        assert inside() == {"ben", "fixed"}
        file.write_text(f"ben:{OTHER_HASH}:curator\n")
        assert inside() == {"fixed"}
        assert sign_in(ben, "ben").status_code == 401
        assert sign_in(ben, "ben", OTHER).status_code == 303
        file.write_text(f"ben:{OTHER_HASH}:curator\nann:a-password-in-the-clear\n")
        assert inside() == {"ben", "fixed"}  # the others are let in
        assert inside() == {"ben", "fixed"}
        file.unlink()
        assert inside() == {"fixed"}
        file.write_text(f"ann:{HASH}\nben:{OTHER_HASH}\n")
        assert inside() == {"ann", "ben", "fixed"}
    heard = said.read_text()
    assert heard.count("line 2: this is not `name:hash`") == 1
    assert heard.count("cannot be read") == 1
    assert "was read again: it lets in 2." in heard
    assert "in-the-clear" not in heard
    assert "argon2id" not in heard


def test_a_file_of_users_may_be_saved_by_notepad(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(b"\xef\xbb\xbf" + f"ann:{HASH}\r\nben:{HASH}\r\n".encode())
    assert sorted(Users("", file).all()) == ["ann", "ben"]


def test_without_any_user_nobody_is_let_in_and_the_operator_hears_of_it(
    searcher: Searcher, tmp_path: Path
) -> None:
    variables = {"IMAGE_SEARCH_ACCESS": "password", "IMAGE_SEARCH_STATE": str(tmp_path / "state")}
    said = tmp_path / "said"
    with environment(**variables), running(searcher.artifact.path, said) as address:
        for name, password in (("", ""), ("demo", ""), ("mary", PASSWORD)):
            with client(address) as browser:
                assert sign_in(browser, name, password).status_code == 401
                assert browser.get("/").status_code == 401
    assert "warning" in said.read_text()


def test_the_demo_behind_a_sign_in_says_a_password_once(tmp_path: Path) -> None:
    variables = {
        "IMAGE_SEARCH_ACCESS": "password",
        "IMAGE_SEARCH_STATE": str(tmp_path / "state"),
        "IMAGE_SEARCH_PORT": "0",
    }
    said = tmp_path / "said"
    words = [sys.executable, "-m", "image_search", "demo"]
    with (
        environment(**variables),
        said.open("wb") as file,
        subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            assert soon(lambda: "Ctrl+C" in said.read_text() or process.poll() is not None, 90)
            told = said.read_text()
            address = re.search(r"Open (http://\S+) in", told)
            found = re.search(r"Sign in as demo with the password (\S+) ", told)
            assert address
            assert found
            assert told.count(found[1]) == 1
            with client(address[1]) as browser:
                assert sign_in(browser, "demo", "demo").status_code == 401
                assert sign_in(browser, "demo", found[1]).status_code == 303
                browser.post("/terms")
                answer = browser.get(f"{PREFIX}/you").json()
                assert answer == {"name": "demo", "role": "curator"}
        finally:
            process.terminate()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert kept.count(found[1].encode()) == 1  # nowhere but where it was said


# What is stolen, and what others send


def test_of_the_list_and_the_records_no_way_in_can_be_made(house: Gated) -> None:
    token = house.token("operator")
    _, id, secret = token.split("_", 2)
    folder = Path(house.state.name)
    records = b"".join(path.read_bytes() for path in (folder / "records").glob("*.jsonl")).decode()
    sha = house.access.tokens.all()[id].sha256
    assert sha in records
    assert secret not in records
    assert soon(lambda: you(house.address, {"Authorization": f"Bearer {token}"}) == 200)
    tries = [{"Authorization": f"Bearer ist_{id}_{text}"} for text in (sha, sha[:43], "_" * 43)]
    tries.append({"X-Image-Search-Token": f"ist_{id}_{secret[:-1]}"})
    told = vars(house.session("olga"))
    for key in (HASH, sha, "", "sessions", "session password"):
        for sub in (told["sub"], HASH, sha[:16]):
            for salt in (b"itsdangerous", b"cookie-session"):
                text = URLSafeSerializer(key, salt=salt).dumps({**told, "sub": sub})
                tries.append({"Cookie": f"{COOKIE}={text}"})
    tries.append(house.cookie("olga", sub=HASH[-16:]))
    assert {you(house.address, headers) for headers in tries} == {401}
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert all(stat.S_IMODE(p.stat().st_mode) & 0o077 == 0 for p in folder.rglob("*"))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_signs_nobody_out(house: Gated, site: str) -> None:
    with client(house.address) as mary:
        sign_in(mary, "mary")
        for told in (
            mary.get("/logout"),  # asks only: what sends no such header cannot be told apart
            mary.post("/logout", headers={"Sec-Fetch-Site": site}),
            mary.post("/logout", headers={"Origin": "https://evil.example"}),
        ):
            assert "set-cookie" not in told.headers
        assert mary.get(f"{PREFIX}/you").status_code == 200
        told = mary.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})
        assert cookie(told)["max-age"] == "0"
        assert mary.get(f"{PREFIX}/you").status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
def test_another_site_signs_nobody_in(house: Gated, headers: dict[str, str]) -> None:
    """Else somebody would search, unawares, under the name of who set the trap."""
    with client(house.address, **headers) as browser:
        told = sign_in(browser, "carl")
        assert told.status_code == 403
        assert "set-cookie" not in told.headers


def test_the_terms_stand_before_everything_and_no_other_site_accepts_them(house: Gated) -> None:
    with client(house.address) as nora:
        sign_in(nora, "nora")
        for method in ("GET", "HEAD"):
            told = nora.request(method, "/?text=a%20b", headers=PAGE)
            assert told.status_code == 303
            assert told.headers["location"] == "/terms?next=%2F%3Ftext%3Da%2520b"
        for path in (f"{PREFIX}/search?text=red", "/config", "/gradio_api/info", "/ui/page.js"):
            told = nora.get(path)
            assert told.status_code == 403
            assert "/terms" in told.json()["detail"]
        evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert nora.post("/terms", headers=evil).status_code == 403
        assert nora.get(f"{PREFIX}/you").status_code == 403
        assert "signed in as nora" in nora.get("/terms", headers=PAGE).text
        told = nora.post("/terms", params={"next": "/?text=a%20b"})
        assert (told.status_code, told.headers["location"]) == (303, "/?text=a%20b")
        assert nora.get(f"{PREFIX}/you").status_code == 200
        told = nora.post("/terms", params={"next": "//evil.example"})
        assert told.headers["location"] == "/"


class Shape(HTMLParser):
    """What a page is made of, without its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((tag, tuple(name for name, _ in attrs)))


EVIL = ["'><script>alert(1)</script>", '"><img/src=x/onerror=alert(1)>@x', "'onclick='alert(1)'@x",
        "</p><script>__CONTENTS__</script>",
        "javascript:alert(1)@x", "&#39;onload=&#39;@x"]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_what_strangers_write_becomes_no_part_of_a_page(evil: str) -> None:
    contact = CONTACT if "@" in evil and " " not in evil else "nobody"
    way, harmless = f"/?text={evil}", "/?text=x"
    pages = [
        (sign_in_pages.sign_in("password", evil, way, evil, evil),
         sign_in_pages.sign_in("password", contact, harmless, "x", "x")),
        (sign_in_pages.sign_in("huggingface", evil, way),
         sign_in_pages.sign_in("huggingface", contact, harmless)),
        (sign_in_pages.refused(evil, evil, way), sign_in_pages.refused("x", contact, harmless)),
        (sign_in_pages.failed(evil, way), sign_in_pages.failed("x", harmless)),
        (sign_in_pages.terms("", evil, evil, way), sign_in_pages.terms("", "x", "x", harmless)),
    ]  # fmt: skip
    for shown, plain in pages:
        assert Shape(shown).parts == Shape(plain).parts


def test_what_a_stranger_typed_is_shown_as_text(house: Gated) -> None:
    with client(house.address) as browser:
        told = sign_in(browser, EVIL[0], "guess", params={"next": f"/?text={EVIL[0]}"})
    assert "<script>alert" not in told.text
    assert "unsafe" not in told.headers["content-security-policy"]


@pytest.mark.parametrize("contact", ["keeper@example.org", "keeper@example.org."])
def test_whom_to_ask_can_be_written_to(contact: str) -> None:
    assert "href='mailto:keeper@example.org'" in sign_in_pages.sign_in("password", contact, "/")


# Health, and what the operator hears


def test_a_collection_that_is_gone_is_not_ready_and_strangers_hear_no_more_than_that(
    searcher: Searcher, tmp_path: Path
) -> None:
    copy, said = tmp_path / "copy", tmp_path / "said"
    shutil.copytree(searcher.artifact.path, copy)
    variables = {
        "IMAGE_SEARCH_ACCESS": "password",
        "IMAGE_SEARCH_USERS": USERS,
        "IMAGE_SEARCH_STATE": str(tmp_path / "state"),
    }
    with environment(**variables), running(copy, said) as address:
        shutil.rmtree(copy)
        for _ in range(5):
            told = httpx.get(f"{address}/readyz")
            assert (told.status_code, told.text) == (503, '{"status":"not ready"}')
        assert httpx.get(f"{address}/healthz").text == '{"status":"ok"}'
    # Anybody may ask, as often as they like: it is neither looked at nor said each time.
    assert said.read_text().count("does not answer") == 1
    assert str(copy) in said.read_text()


def test_a_form_that_breaks_off_is_nothing_to_the_operator(house: Gated, said: Path) -> None:
    half_a_form(house).close()
    time.sleep(0.3)
    assert "Traceback" not in said.read_text()


def test_a_form_that_does_not_arrive_is_waited_for_no_longer_than_that(
    unfinished: socket.socket,
) -> None:
    answer = unfinished.recv(10_000)
    assert b" 408 " in answer.split(b"\r\n")[0]


def test_a_session_that_was_signed_out_is_over_wherever_its_cookie_is(house: Gated) -> None:
    with client(house.address) as mary:
        copied = {"Cookie": f"{COOKIE}={cookie(sign_in(mary, 'mary')).value}"}
        with client(house.address) as elsewhere:
            other = {"Cookie": f"{COOKIE}={cookie(sign_in(elsewhere, 'mary')).value}"}
        assert you(house.address, copied) == you(house.address, other) == 200
        mary.post("/logout")
    assert you(house.address, copied) == 401
    assert you(house.address, other) == 200


def test_who_signed_out_comes_in_again_at_once(house: Gated) -> None:
    for _ in range(3):  # within one second, by the keys that the other tests use
        headers = house.cookie("mary")
        assert you(house.address, headers) == 200
        with client(house.address, **headers) as mary:
            mary.post("/logout")
        assert you(house.address, headers) == 401


def test_a_stranger_locks_nobody_out_where_they_have_signed_in() -> None:
    lock = Lock()
    lock.forget("mary", "192.0.2.1")  # the right password was given there
    for number in range(60):
        lock.count("mary", f"198.51.100.{number % 12}")
    assert lock.wait("Mary", "192.0.2.1") == 0
    assert lock.wait("mary", "192.0.2.2") > 3_000
    for _ in range(5):
        lock.count("mary", "192.0.2.1")
    assert lock.wait("mary", "192.0.2.1") > 0
