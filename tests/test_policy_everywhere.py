"""Every rule of the policy holds whoever asks: the page, programs, models, and the command line."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio_client
import httpx
import pytest
from gated import Gated, by_password, environment, soon
from gradio_client.exceptions import AppError
from test_cli import one_line_error, run
from test_mcp import call, said
from test_policy import MEANT
from typer.testing import CliRunner

import image_search
from image_search import answers
from image_search.answers import Asked
from image_search.cli import app
from image_search.client import API, TOKEN_HEADER, Client
from image_search.errors import PolicyError
from image_search.policy import Policy, Rule
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.state import State

RULES = [rule for rule in Policy.open().rules if rule.phrases]
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "application/json"}


@dataclass
class Served:
    """One server for all rules, and who may ask it."""

    gated: Gated
    token: str
    searcher: Searcher
    gradio: gradio_client.Client

    @property
    def headers(self) -> dict[str, str]:
        return {TOKEN_HEADER: self.token}


@dataclass
class Told:
    """What a caller heard: whether it was answered, and the words of it."""

    answered: bool
    text: str


@pytest.fixture(scope="module")
def served(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with by_password(searcher, tmp_path_factory.mktemp("state")) as gated:
        token = gated.token("member")
        with gated.client({TOKEN_HEADER: token}) as asks:
            assert soon(lambda: asks.get(f"{API}/you").status_code == 200)
        client = gradio_client.Client(
            gated.address,
            headers={TOKEN_HEADER: token},
            verbose=False,
            download_files=False,
        )
        yield Served(gated, token, searcher, client)


Caller = Callable[[Served, str, list[str]], Told]


def over_http(path: str, as_page: bool = False) -> Caller:
    def ask(served: Served, text: str, acknowledged: list[str]) -> Told:
        headers = served.gated.cookie("mary") | BROWSER if as_page else served.headers
        with served.gated.client(headers) as asks:
            params = {"text": text, "acknowledged": acknowledged, "k": 1}
            answer = asks.get(f"{API}/{path}", params=params)
        assert answer.status_code in (200, 403, 409), answer.text
        if answer.status_code != 200:
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json"
            assert (problem["tier"], problem["status"]) in (("refuse", 403), ("warn", 409))
            assert problem["source"]["address"].startswith("https://")
            return Told(False, f"{problem['reason']} {problem['rule']}")
        return Told(True, _without_escapes(answer))

    return ask


def _without_escapes(answer: httpx.Response) -> str:
    is_json = answer.headers["content-type"].startswith("application/json")
    return json.dumps(answer.json(), ensure_ascii=False) if is_json else answer.text


def by_a_model(served: Served, text: str, acknowledged: list[str]) -> Told:
    answer = call(
        served.gated.address, "search_pictures", served.headers,
        text=text, acknowledged=acknowledged, k=1,
    )  # fmt: skip
    return Told(not answer.isError, said(answer))


def by_gradio(endpoint: str) -> Caller:
    def ask(served: Served, text: str, acknowledged: list[str]) -> Told:
        try:
            answer = served.gradio.predict(text, acknowledged=acknowledged, api_name=endpoint)
        except AppError as error:
            return Told(False, str(error))
        return Told(True, json.dumps(answer, ensure_ascii=False))

    return ask


def by_python(served: Served, text: str, acknowledged: list[str]) -> Told:
    with Client(served.gated.address, served.token) as there:
        here = _asked(served.searcher.search, text, acknowledged)
        assert _asked(there.search, text, acknowledged) == here
    return here


def _asked(search: Callable[..., Any], text: str, acknowledged: list[str]) -> Told:
    try:
        return Told(True, " ".join(search(text, acknowledged=acknowledged, k=1).notices))
    except PolicyError as error:
        return Told(False, str(error))


def by_command(command: str, remote: bool = False) -> Caller:
    def ask(served: Served, text: str, acknowledged: list[str]) -> Told:
        artifact = str(served.searcher.artifact.path)
        where = ["--server", served.gated.address] if remote else ["--artifact", artifact]
        rules = [part for name in acknowledged for part in ("--acknowledge", name)]
        with (
            pytest.MonkeyPatch.context() as patch,
            Client(served.gated.address, served.token) as there,
        ):
            # In this process, which a command would leave without closing what it opened.
            patch.setattr(image_search, "connect", lambda address: there)
            patch.setattr(image_search, "open", lambda *_, **__: served.searcher)
            done = CliRunner().invoke(app, [command, text, *rules, *where])
        if isinstance(done.exception, PolicyError):  # main() prints it, and ends with 1
            return Told(False, str(done.exception))
        assert done.exit_code == 0, done.output
        return Told(True, done.output)

    return ask


CALLERS: dict[str, Caller] = {
    "the page": over_http("search", as_page=True),
    "REST: search": over_http("search"),
    "REST: facets": over_http("facets"),
    "REST: export": over_http("export/csv"),
    "REST: citation": over_http("citation"),
    "MCP": by_a_model,
    "gradio_client: search": by_gradio("/search"),
    "gradio_client: facets": by_gradio("/facets"),
    "Python": by_python,
    "search": by_command("search"),
    "facets": by_command("facets"),
    "search --server": by_command("search", remote=True),
    "facets --server": by_command("facets", remote=True),
}
COUNTS = ("REST: facets", "REST: export", "REST: citation", "gradio_client: facets", "facets")
"""Those whose answers have no room for notes."""


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_holds_for_every_caller(served: Served, rule: Rule, caller: str) -> None:
    text, ask = MEANT[rule.name][0], CALLERS[caller]
    told = ask(served, text, [])
    if rule.tier == "note":
        assert told.answered
        assert (rule.reason in told.text) == (not caller.startswith(COUNTS))
        return
    assert not told.answered
    assert rule.reason in told.text
    assert rule.name in told.text
    assert ask(served, text, [rule.name]).answered == (rule.tier == "warn")


def test_a_command_ends_with_the_reason(searcher: Searcher) -> None:
    told = one_line_error(run("search", "facial recognition", "-a", searcher.artifact.path))
    assert "not done here" in told
    assert "recognise-faces" in told


def test_what_was_refused_is_on_record(
    searcher: Searcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []
    with environment(IMAGE_SEARCH_STATE=str(tmp_path / "state")):
        state = State.open()
        monkeypatch.setattr(state, "log", lambda **said: kept.append(said))
        log = SearchLog(state)
        for text, acknowledged in (
            ("who is this man", ()), ("a lewd song", ()), ("a lewd song", ("sexual", "gore")),
        ):  # fmt: skip
            with suppress(PolicyError):
                answers.answer(
                    searcher, log, "mary", "", Asked(text, acknowledged=acknowledged), k=1
                )
        state.close()
    refused, asked, answered = kept
    assert (refused["refused"], refused["tier"]) == ("identify", "refuse")
    assert (asked["refused"], asked["tier"], asked["shown"]) == ("sexual", "warn", [])
    assert "refused" not in answered
    assert answered["acknowledged"] == ["sexual"]  # and not what was not met
    assert (answered["found"], answered["no_match"], len(answered["shown"])) == (5, False, 1)
