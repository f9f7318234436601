"""`evaluate`: what a keeper types, what is written, and what is said."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gated import environment
from in_domain import TAXONOMY, TEXT, judge
from typer.testing import CliRunner, Result

import image_search
from image_search.cli import app
from image_search.errors import ConfigError
from image_search.evaluation_report import parsed
from image_search.judgements import Answer, Given, Judgements
from image_search.state import State
from image_search.taxonomy import Taxonomy


@pytest.fixture
def state(tmp_path: Path, built: Path) -> Iterator[State]:
    place = str(tmp_path / "state")
    with environment(
        IMAGE_SEARCH_STATE=place, IMAGE_SEARCH_ARTIFACT=str(built), IMAGE_SEARCH_BAR_JUDGED="5"
    ):
        state = State.open(place)
        yield state
        state.close()


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_it_tests_says_keeps_and_writes(state: State, tmp_path: Path) -> None:
    state.add("taxonomy", text=TEXT, by="kim")
    judge(state)
    out = tmp_path / "report"
    done = evaluate("--out", out, "--template", "a picture that is {}", "--compare", image_path())
    assert done.exit_code == 0, done.exception
    for said in (
        "Colours & light, version 1: 10 judgements of 1 judge\n",
        "The index finds 100.0% of the exact ten nearest.",
        "“a picture that is {}”",
        "note: One person alone has judged",
        "each of the 2 classes reached the bar",
        f"Written: {out / 'report.html'}",
    ):
        assert said in done.stdout, said
    assert re.search(r"^warm +3 +2 +0\.30 \(", done.stdout, re.MULTILINE)
    report = parsed((out / "report.json").read_bytes())
    assert report
    assert report.classes[0].prompts[0].first[0].id == "warm/red.png"
    html = (out / "report.html").read_text(encoding="utf-8")
    assert html.count("data:image/webp;base64,") == 5 * 3
    assert "http" not in html  # it needs nothing but itself
    [kept] = state_again(state).records("evaluation")
    assert kept.said["report"]["classes"][0]["prompts"][0]["first"] == []
    info = CliRunner().invoke(app, ["info"])
    assert "tested        This collection was tested on" in info.stdout


def image_path() -> str:
    from image_search.settings import settings

    return str(settings().artifact)


def state_again(state: State) -> State:
    return State.open(state.name)


def test_json_is_the_report(state: State, tmp_path: Path) -> None:
    file = tmp_path / "colours.toml"
    file.write_text(TEXT)
    judge(state)
    done = evaluate("--taxonomy", file, "--json")
    assert json.loads(done.stdout)["taxonomy"]["sha256"] == TAXONOMY.sha256


def test_what_is_missing_is_said(state: State, tmp_path: Path) -> None:
    assert "There is no taxonomy in" in refused(evaluate())
    state.add("taxonomy", text=TEXT, by="kim")
    assert "Nobody has judged anything for Colours & light, version 1" in refused(evaluate())
    judge(state)
    assert "a report is published beside a collection on the Hub" in refused(evaluate("--publish"))
    assert not state_again(state).records("evaluation")


def refused(result: Result) -> str:
    assert isinstance(result.exception, ConfigError)
    return str(result.exception)


HOSTILE = '<script>alert("x")</script> & {} ${1}'


def test_words_of_others_stay_words_in_the_page(state: State, tmp_path: Path) -> None:
    text = TEXT.replace('"warm"', f"'{HOSTILE}'").replace('"red"', f"'{HOSTILE}'")
    state.add("taxonomy", text=text, by="kim")
    given = [Given(HOSTILE, "warm/red.png", Answer.YES)]
    Judgements(state).add(Taxonomy.parse(text), given, "ann", version="")
    assert evaluate("--out", tmp_path / "report").exit_code == 0
    html = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; {} ${1}") >= 3


def test_the_app_never_opens_a_report_of_another_form(built: Path) -> None:
    folder = built / "evaluation"
    folder.mkdir()
    (folder / "x.json").write_bytes(b'{"format_version": 2}')
    assert [parsed(one) for one in image_search.open(built).artifact.files.reports()] == [None]
