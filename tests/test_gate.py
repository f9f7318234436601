"""The gate: every route of the running application, asked by all kinds of visitors, over HTTP."""

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from gated import CONTACT, ROLES, Gated, by_password, environment, gated, soon
from itsdangerous import URLSafeSerializer

from image_search.answers import MCP, PREFIX
from image_search.gate import Gate
from image_search.roles import Role
from image_search.search import Searcher
from image_search.sign_in import COOKIE, HEALTH, OPEN

RED = "warm/red.png"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# What a stranger may see of the collection: none of this.
SECRETS = ("A red thing", "red.png", "orange", "1872", "gradio", "threshold", "built")


@pytest.fixture(scope="module")
def house(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    quick = {"IMAGE_SEARCH_REQUESTS_PER_MINUTE": "1000000"}
    with by_password(searcher, tmp_path_factory.mktemp("state"), **quick) as found:
        found.access.allowed.change("rita", None, org=False, by="a test")
        with found.client(found.cookie("rita")) as rita:
            assert soon(lambda: rita.get(f"{PREFIX}/you").status_code == 401)
        yield found


def concrete(path: str) -> str:
    """`/records/{id:path}` → `/records/warm%2Fred.png`."""
    known = {"id": quote(RED, safe=""), "fn": "search", "api_name": "search", "path": "index.js"}
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda part: known.get(part[1], "x"), path) or "/"


@pytest.fixture(scope="module")
def routes(house: Gated, searcher: Searcher) -> list[str]:
    """What lies behind the gate, from the application's own routing table, and what does not."""
    told = subprocess.run(
        [sys.executable, "tests/routes_of_the_app.py"],
        env={**os.environ, "IMAGE_SEARCH_ARTIFACT": str(searcher.artifact.path), "PYTHONPATH": "."},
        capture_output=True,
        check=True,
    )
    found = sorted({concrete(path) for path in json.loads(told.stdout)})
    assert {"/", "/config", "/gradio_api/queue/join", "/gradio_api/upload"} <= set(found)
    assert {f"{PREFIX}/search", MCP} <= set(found)
    assert f"{PREFIX}/openapi.json" in found
    assert len(found) > 40
    guessed = [
        *("/docs", "/openapi.json", "/redoc", "/gradio_api/mcp/sse", "/gradio_api/mcp"),
        *("/mcp/", "/mcp/sse"),
        *("/.env", "/ui/", "/ui/style.css", "/ui/page.js", "/assets/index.js", "/static/x"),
        *("/favicon.ico", "/robots.txt", "/manifest.json", "/gradio_api/file=/etc/hostname"),
        *("/login/page.js", "/login/search.html"),
        *("/login/../config", "/login/%2e%2e/config", "/login%2f..%2fconfig", "//config"),
        *("/healthz/", "/healthz/../config", "/readyz/x", "/login/", "/LOGIN", "/logout/x"),
        *("/login/sign-in.css/../../config", "/login/sign-in.html"),
        *("/login;x=/config", "/config?x=/login", "/terms/", "/terms", "/./config"),
        "/login\\..\\config",
        f"{PREFIX}/thumbnails/{quote(RED)}", f"{PREFIX}/pictures/..%2F..%2Fmanifest.json",
        f"{PREFIX}/search?text=red", f"{PREFIX}//search", f"{PREFIX}/../v1/collection",
    ]  # fmt: skip
    return [path for path in [*found, *guessed] if path not in HEALTH | OPEN]


def ask(house: Gated, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict, bytes]:
    """One request as it is written: a client would tidy the path up."""
    host, port = house.address.removeprefix("http://").split(":")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method in ("POST", "PUT", "PATCH"):
        lines += ["Content-Length: 2", "Content-Type: application/json", "", "{}"]
    else:
        lines += ["", ""]
    with (
        socket.create_connection((host, int(port)), timeout=10) as raw,
        raw.makefile("rb") as arriving,
    ):
        raw.sendall("\r\n".join(lines).encode())
        answer = arriving.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    told = dict(line.lower().split(": ", 1) for line in rest)
    return int(first.split()[1]), told, body


def forged(house: Gated) -> dict[str, str]:
    """The cookie that somebody makes who knows all but the secret."""
    sealer = URLSafeSerializer("0" * 64, signer_kwargs={"digest_method": hashlib.sha256})
    return {"Cookie": f"{COOKIE}={sealer.dumps(vars(house.session('olga')))}"}


def tampered(house: Gated) -> dict[str, str]:
    """A member's own cookie with another name in it."""
    payload, _, seal = house.cookie("mary")["Cookie"].removeprefix(f"{COOKIE}=").partition(".")
    told = json.loads(base64.urlsafe_b64decode(payload + "=="))
    other = base64.urlsafe_b64encode(json.dumps({**told, "name": "olga"}).encode()).decode()
    return {"Cookie": f"{COOKIE}={other.rstrip('=')}.{seal}"}


def strangers(house: Gated) -> dict[str, dict[str, str]]:
    """Everybody who is not let in."""
    revoked = house.token("operator")
    house.access.tokens.revoke(revoked.split("_")[1])
    return {
        "anonymous": {},
        "forged": forged(house),
        "tampered": tampered(house),
        "expired": house.cookie("olga", exp=time.time() - 1),
        "removed": house.cookie("rita"),
        "unknown": house.cookie("nobody"),
        "old password": house.cookie("olga", sub="another fingerprint"),
        "nonsense": {"Cookie": f"{COOKIE}=x.y.z; {COOKIE}=", "Authorization": "Basic b2xnYTp4"},
        "wrong token": {"Authorization": f"Bearer ist_{'0' * 8}_{'x' * 43}"},
        "revoked token": {"X-Image-Search-Token": revoked},
        "empty token with a good cookie": {"X-Image-Search-Token": "", **house.cookie("olga")},
    }


KINDS = ("anonymous", "forged", "tampered", "expired", "removed", "unknown", "old password",
         "nonsense", "wrong token", "revoked token", "empty token with a good cookie")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_who_is_not_let_in_gets_anything(house: Gated, routes: list[str], kind: str) -> None:
    headers = strangers(house)[kind]
    methods = METHODS if kind in ("anonymous", "forged") else ("GET", "POST")
    for path in routes:
        for method in methods:
            for accept in ("text/html", "application/json"):
                status, told, body = ask(house, method, path, {**headers, "Accept": accept})
                assert status == 401, (method, path)
                assert "set-cookie" not in told
                text = body.decode()
                assert not [word for word in SECRETS if word in text], (method, path)
                if method == "HEAD":
                    assert not text
                elif "text/html" in told["content-type"]:
                    assert CONTACT in text
                else:
                    assert json.loads(text)["status"] == 401


def test_strangers_reach_exactly_signing_in_and_out_and_health(house: Gated) -> None:
    for path in HEALTH | OPEN:
        status, _, body = ask(house, "GET", path, {"Accept": "text/html"})
        assert status != 401, path
        assert not [word for word in SECRETS if word in body.decode()], path
    assert ask(house, "GET", "/healthz", {})[2] == b'{"status":"ok"}'
    assert ask(house, "GET", "/readyz", {})[2] == b'{"status":"ok"}'


def test_every_member_sees_the_collection(house: Gated) -> None:
    for name, role in ROLES.items():
        with house.client(house.cookie(name)) as client:
            assert "gradio" in client.get("/").text
            assert client.get("/config").status_code == 200
            assert client.get("/ui/page.js").status_code == 200
            assert client.get(f"{PREFIX}/you").json() == {"name": name, "role": role}
            [hit, *_] = client.get(f"{PREFIX}/search?text=red").json()["hits"]
            for file in (hit["thumbnail"], hit["picture"]):
                assert client.get(file).status_code == 200


def test_a_member_meets_no_sign_in_on_any_route(house: Gated, routes: list[str]) -> None:
    headers = house.cookie("mary")
    for path in routes:
        if "queue/data" in path:  # it waits for events
            continue
        status, _, _ = ask(house, "GET", path, headers)
        assert status != 401, path


CURATORS = (
    ("GET", "/withdrawals", None),
    ("POST", "/withdrawals", {"ids": [RED], "reason": "a test"}),
    ("DELETE", f"/withdrawals/{RED}", None),
    ("GET", f"/near-copies/{RED}", None),
)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("by", ["cookie", "token", "own header"])
def test_each_role_may_do_what_it_may_and_no_more(house: Gated, role: Role, by: str) -> None:
    name = next(name for name, other in ROLES.items() if other == role)
    token = house.token(role)
    headers = {
        "cookie": house.cookie(name),
        "token": {"Authorization": f"Bearer {token}"},
        "own header": {"X-Image-Search-Token": token},
    }[by]
    with house.client(headers) as client:
        assert soon(lambda: client.get(f"{PREFIX}/search?text=red").status_code == 200)
        for method, path, body in CURATORS:
            told = client.request(method, PREFIX + path, json=body)
            if role.may(Role.CURATOR):
                assert told.status_code == 200, told.text
            else:
                assert told.status_code == 403
                assert told.json()["detail"].startswith("Only a curator may do this. ")


def test_an_api_caller_gets_401_in_json_and_hears_how(house: Gated) -> None:
    told = httpx.get(f"{house.address}{PREFIX}/search?text=red", headers={"Accept": "text/html"})
    assert told.status_code == 401
    assert told.headers["content-type"] == "application/problem+json"
    assert told.headers["www-authenticate"].startswith("Bearer")
    assert "X-Image-Search-Token".lower() in told.json()["detail"].lower()
    assert CONTACT in told.json()["detail"]


def test_a_visitor_gets_the_sign_in_page_with_the_way_back(house: Gated) -> None:
    told = httpx.get(f"{house.address}/?text=a%20cat&x=<b>", headers={"Accept": "text/html"})
    assert told.status_code == 401
    assert "action='/login?next=%2F%3Ftext%3Da%2520cat%26x%3D" in told.text
    assert "<b>" not in told.text
    assert told.headers["cache-control"] == "private, no-store"


def test_another_kind_of_bearer_token_does_not_stand_in_the_way(house: Gated) -> None:
    """The Hub's own, which a client of a private Space sends to its proxy."""
    headers = {"Authorization": "Bearer hf_something", **house.cookie("mary")}
    assert httpx.get(f"{house.address}{PREFIX}/you", headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["anonymous", "forged", "member"])
@pytest.mark.parametrize("path", ["/", "/gradio_api/queue/join", "/queue/join", "/ws", "/login"])
def test_no_websocket_is_opened(house: Gated, kind: str, path: str) -> None:
    headers = {"anonymous": {}, "forged": forged(house), "member": house.cookie("mary")}[kind]
    status, _, _ = ask(
        house,
        "GET",
        path,
        {
            **headers,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
    )
    assert status != 101
    if kind != "member" and path != "/login":
        assert status == 401


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"},
     {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}],
)  # fmt: skip
def test_another_site_cannot_act_for_a_member(house: Gated, headers: dict[str, str]) -> None:
    wanted = {"ids": [RED], "reason": "a trap"}
    with house.client({**house.cookie("carl"), **headers}) as client:
        told = client.post(f"{PREFIX}/withdrawals", json=wanted)
        assert told.status_code == 403
        assert "another site" in told.json()["detail"]
        assert client.get(f"{PREFIX}/withdrawals").json() == []


def test_what_is_answered_to_members_is_kept_by_nobody_else(house: Gated) -> None:
    with house.client(house.cookie("mary")) as client:
        for path in ("/", "/config", "/theme.css", "/ui/page.js", f"{PREFIX}/search?text=red",
                     f"{PREFIX}/thumbnails/{RED}"):  # fmt: skip
            cache = client.get(path).headers["cache-control"]
            assert "public" not in cache
            assert "private" in cache or "no-cache" in cache


def test_headers_keep_the_app_out_of_other_pages_and_of_search_engines(house: Gated) -> None:
    for path, headers in (("/", house.cookie("mary")), ("/", {}), ("/login", {}), ("/healthz", {}),
                          (f"{PREFIX}/search", {})):  # fmt: skip
        told = httpx.get(f"{house.address}{path}", headers=headers).headers
        assert "frame-ancestors 'none'" in told["content-security-policy"]
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "same-origin"
        assert "noindex" in told["x-robots-tag"]
        assert told["cross-origin-resource-policy"] == "same-origin"


def test_on_a_space_the_hub_may_show_it_and_nobody_else(searcher: Searcher, tmp_path: Path) -> None:
    space = {"SPACE_ID": "alice/pictures", "SPACE_HOST": "alice-pictures.hf.space"}
    with by_password(searcher, tmp_path, **space) as house:
        for headers in ({}, house.cookie("mary")):
            told = httpx.get(house.address, headers=headers).headers["content-security-policy"]
            assert "frame-ancestors https://huggingface.co" in told


def test_open_is_as_it_was_before_there_was_a_gate(searcher: Searcher, tmp_path: Path) -> None:
    with gated(searcher, tmp_path) as house, house.client() as client:
        assert client.get("/").status_code == 200
        assert client.get(f"{PREFIX}/you").json() == {"name": "", "role": "member"}
        assert client.get("/login").status_code == 404
        assert client.get("/readyz").json() == {"status": "ok"}
        refused = client.post(f"{PREFIX}/withdrawals", json={"ids": [RED], "reason": "why not"})
        assert refused.status_code == 403


def test_every_request_is_counted(searcher: Searcher, tmp_path: Path) -> None:
    few = {"IMAGE_SEARCH_REQUESTS_PER_MINUTE": "3"}
    with by_password(searcher, tmp_path, **few) as house:
        with house.client(house.cookie("mary")) as mary, house.client(house.cookie("olga")) as olga:
            answers = [mary.get(f"{PREFIX}/search?text=red") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
            assert "Try again in" in answers[-1].json()["detail"]
            assert olga.get(f"{PREFIX}/search?text=red").status_code == 200
            assert mary.get("/healthz").status_code == 200  # an operator's, not a member's
        with house.client() as nobody:
            seen = [nobody.get("/config").status_code for _ in range(5)]
            assert seen == [401, 401, 401, 429, 429]


def test_pictures_count_a_twentieth(searcher: Searcher, tmp_path: Path) -> None:
    few = {"IMAGE_SEARCH_REQUESTS_PER_MINUTE": "4"}
    with by_password(searcher, tmp_path, **few) as house, house.client(house.cookie("mary")) as one:
        seen = [one.get(f"{PREFIX}/thumbnails/{RED}").status_code for _ in range(85)]
        assert seen == [200] * 80 + [429] * 5


@pytest.mark.parametrize(
    ("variables", "said"),
    [({"IMAGE_SEARCH_HOST": "0.0.0.0"}, "At 0.0.0.0 others can reach the page"),
     ({"IMAGE_SEARCH_HOST": "192.168.1.5"}, "IMAGE_SEARCH_ACCESS"),
     ({"SPACE_ID": "alice/pictures"}, "On a Space others can reach the page"),
     ({"SPACE_ID": "alice/pictures", "IMAGE_SEARCH_HOST": "127.0.0.1"}, "On a Space"),
     ({"IMAGE_SEARCH_URL": "https://search.example.org"}, "others can reach the page"),
     ({"IMAGE_SEARCH_ACCESS": "huggingface"}, "OAUTH_CLIENT_ID"),
     ({"IMAGE_SEARCH_ACCESS": "anybody"}, "IMAGE_SEARCH_ACCESS is 'anybody'")],
)  # fmt: skip
def test_what_others_reach_does_not_start_unless_somebody_is_named(
    variables: dict[str, str], said: str
) -> None:
    from image_search.access import chosen_mode
    from image_search.errors import ConfigError

    with environment(**variables), pytest.raises(ConfigError, match=said):
        chosen_mode()


def test_open_to_all_only_if_told_so() -> None:
    from image_search.access import chosen_mode

    with environment(IMAGE_SEARCH_HOST="0.0.0.0", IMAGE_SEARCH_ACCESS="open"):
        assert chosen_mode() == "open"
    with environment():
        assert chosen_mode() == "open"


def in_a_thread(function: Any, *arguments: Any) -> None:
    """In one of its own: the browser's tests may have an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(anyio.run, function, *arguments).result()


def test_a_websocket_is_closed_with_a_code_of_its_own(house: Gated) -> None:
    """As it would arrive if a websocket library were installed beside uvicorn."""
    reached: list[str] = []
    sent: list[Any] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["state"]["visitor"].name)

    gate = Gate(inside, inside, house.access, house.terms, CONTACT)

    async def open_websocket(headers: dict[str, str]) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": "/", "headers": raw, "query_string": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        await gate(scope, receive, send)

    for headers in ({}, forged(house), {**house.cookie("mary"), "Origin": "https://evil.example"}):
        in_a_thread(open_websocket, headers)
        assert sent.pop() == {"type": "websocket.close", "code": 4401}
    assert reached == []
    in_a_thread(open_websocket, house.cookie("mary"))
    assert (sent, reached) == ([], ["mary"])


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/gradio_api/info"])
def test_no_other_site_reads_what_is_answered(house: Gated, path: str) -> None:
    """Gradio by itself would let every site, with the visitor's cookie."""
    other = {**house.cookie("mary"), "Host": "a-b.hf.space", "Origin": "https://evil.example"}
    told = httpx.get(f"{house.address}{path}", headers=other)
    assert not [name for name in told.headers if name.startswith("access-control-")]
    fetched = {**other, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert httpx.get(f"{house.address}{path}", headers=fetched).status_code == 403
    followed = {**other, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert httpx.get(f"{house.address}{path}", headers=followed).status_code == 200


def test_what_is_open_here_is_open_by_no_other_name_and_through_no_proxy(
    searcher: Searcher, tmp_path: Path
) -> None:
    """A name of another site's that leads here would let its page read everything."""
    with gated(searcher, tmp_path) as house:
        address, port = f"{house.address}{PREFIX}/collection", house.address.rpartition(":")[2]
        hosts = {"evil.example": 421, f"evil.example:{port}": 421, f"localhost:{port}": 200,
                 "127.0.0.1": 200, f"[::1]:{port}": 200}  # fmt: skip
        for host, status in hosts.items():
            assert httpx.get(address, headers={"Host": host}).status_code == status, host
        for name in ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded"):
            told = httpx.get(address, headers={name: "203.0.113.7"})
            assert told.status_code == 421
            assert "IMAGE_SEARCH_ACCESS" in told.json()["detail"]


def test_what_strangers_ask_is_not_at_the_expense_of_members(
    searcher: Searcher, tmp_path: Path
) -> None:
    few = {"IMAGE_SEARCH_REQUESTS_PER_MINUTE": "5"}
    with by_password(searcher, tmp_path, **few) as house:
        for _ in range(120):
            httpx.get(f"{house.address}/login/icon.svg")
        assert httpx.get(f"{house.address}/login/icon.svg").status_code == 429
        with house.client(house.cookie("mary")) as mary:
            assert mary.get(f"{PREFIX}/you").status_code == 200
