"""What may be said of a collection follows its test, in every place and without a restart."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gated import environment
from in_domain import OTHER, TAXONOMY, YELLOW, judge, keep, report_on

import image_search
from image_search.answers import PREFIX
from image_search.api import create_api
from image_search.errors import ConfigError
from image_search.evaluation_page import Evaluation
from image_search.evaluation_report import Report
from image_search.manifest import Manifest
from image_search.mcp_tools import Tools
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.server import create_app
from image_search.standing import UNTESTED, Standing, Standings, check_open, standing_now
from image_search.state import State
from image_search.tested import EncoderIdentity, Extent
from image_search.withdrawal import Withdrawals

LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State.open(tmp_path / "state")
    yield state
    state.close()


@pytest.fixture(autouse=True)
def five_are_enough() -> Iterator[None]:
    with environment(IMAGE_SEARCH_BAR_JUDGED="5"):
        yield


def test_not_tested_tested_passed(searcher: Searcher, state: State) -> None:
    standings = Standings(searcher.artifact, state)
    assert standings.now() == Standing()
    assert standings.report() is None
    judge(state, warm=YELLOW)  # “yellow” then brings a wrong one first
    keep(state, report_on(searcher, state))
    tested = standings.now()
    assert (tested.verdict, tested.below, tested.too_few) == ("tested", ["warm"], [])
    assert (tested.taxonomy, tested.taxonomy_version) == ("Colours & light", "1")
    assert "(10 judgements) and did not pass; below the bar (80% of the first" in tested.said
    judge(state)
    keep(state, report_on(searcher, state, created=LATER))
    passed = standings.now()
    assert passed.verdict == "passed"
    assert "version 1 (10 judgements), and each of the 2 classes reached the bar" in passed.said
    with environment(IMAGE_SEARCH_BAR_JUDGED="6"):
        strict = Standings(searcher.artifact, state).now()
    assert (strict.verdict, strict.too_few) == ("tested", ["warm", "cold"])
    assert "judged on too few pictures: warm, cold" in strict.said


def other_encoder(report: Report, **changed: str) -> Report:
    return report.model_copy(update={"encoder": report.encoder.model_copy(update=changed)})


def test_what_does_not_count_says_why(searcher: Searcher, state: State) -> None:
    report = report_on(searcher)
    standings = Standings(searcher.artifact, state)
    for other, why in (
        (other_encoder(report, name="clip", revision="9"), "another model: clip, revision 9"),
        (other_encoder(report, precision="bfloat16"), "the same model in other numbers: bfloat16"),
        (other_encoder(report, sha256="0"), "another export of the same model"),
        (
            report.model_copy(update={"tested": Extent.of(["a.png", "b.png"], "")}),
            "it was made when 2 pictures were here, and most of the 5",
        ),
    ):
        keep(state, other)
        now = standings.now()
        assert now.verdict == "not tested"
        assert now.said.startswith(UNTESTED)
        assert why in now.why_not
        assert why in now.said
    keep(state, report)
    assert standings.now().verdict == "passed"
    state.add("taxonomy", text=OTHER.text, by="kim")
    now = standings.now()
    assert now.verdict == "not tested"
    assert "another taxonomy (Colours & light, version 1) than the one that is here" in now.said
    state.add("taxonomy", text=TAXONOMY.text, by="kim")
    assert standings.now().verdict == "passed"
    state.add("evaluation", report={"of": "a later release"})
    assert standings.now().verdict == "passed"


def test_an_older_report_counts_where_a_newer_does_not(searcher: Searcher, state: State) -> None:
    report = report_on(searcher)
    keep(state, report)
    keep(state, other_encoder(report, sha256="0").model_copy(update={"created": LATER}))
    assert Standings(searcher.artifact, state).now().verdict == "passed"


def test_pictures_that_came_since_are_said_to_be_untested(searcher: Searcher, state: State) -> None:
    ids = searcher.artifact.catalogue.table.column("id").to_pylist()
    keep(state, report_on(searcher, tested=Extent.of(ids[:3], "another")))
    now = Standings(searcher.artifact, state).now()
    assert (now.verdict, now.untested, now.untested_is_exact) == ("passed", 2, True)
    assert now.said.endswith("2 pictures were added since and are untested.")


def test_reports_beside_the_collection_count_too(built: Path, tmp_path: Path) -> None:
    opened = image_search.open(built, frozenset())
    folder = built / "evaluation"
    folder.mkdir()
    (folder / "2026-11-21-colours.json").write_text(json.dumps(report_on(opened).dumped()))
    (folder / "notes.json").write_text("no report")
    assert Standings(opened.artifact, None).now().verdict == "passed"
    with environment(IMAGE_SEARCH_BAR_JUDGED="5", IMAGE_SEARCH_STATE=str(tmp_path / "none")):
        assert standing_now(opened.artifact).verdict == "passed"
    assert not (tmp_path / "none").exists()


def test_the_same_model_exported_otherwise_is_another_encoder(built: Path) -> None:
    manifest = Manifest.model_validate_json((built / "manifest.json").read_bytes())
    files = dict(manifest.files)
    files["encoder/text.onnx"] = files["encoder/image.onnx"]
    changed = manifest.model_copy(update={"files": files})
    assert EncoderIdentity.of(manifest) != EncoderIdentity.of(changed)
    files = {**manifest.files, "data/x": files["encoder/text.onnx"]}
    same = manifest.model_copy(update={"files": files})
    assert EncoderIdentity.of(manifest) == EncoderIdentity.of(same)


PUBLIC = {"IMAGE_SEARCH_HOST": "0.0.0.0", "IMAGE_SEARCH_BAR_JUDGED": "5"}


def test_open_to_everybody_only_if_passed_or_decided(searcher: Searcher, state: State) -> None:
    untested, passed = Standing(), Standing(verdict="passed", said="Passed.")
    with environment(IMAGE_SEARCH_ACCESS="open"):
        check_open("open", untested)  # to this machine alone
    for where in (
        {"IMAGE_SEARCH_HOST": "0.0.0.0"},
        {"SPACE_ID": "alice/search"},
        {"IMAGE_SEARCH_URL": "https://search.example.org"},
    ):
        with environment(IMAGE_SEARCH_ACCESS="open", **where):
            with pytest.raises(
                ConfigError, match="(?s)has not been tested.*evaluate.*UNTESTED=yes"
            ):
                check_open("open", untested)
            with pytest.raises(ConfigError):
                check_open("open", Standing(verdict="tested"))
            check_open("open", passed)
            check_open("password", untested)
    with (
        environment(**PUBLIC, IMAGE_SEARCH_ACCESS="open"),
        pytest.raises(ConfigError, match="evaluate"),
    ):
        create_app(searcher, state)
    with environment(**PUBLIC, IMAGE_SEARCH_ACCESS="open", IMAGE_SEARCH_OPEN_UNTESTED="yes"):
        check_open("open", untested)
        now = Standings(searcher.artifact, state).now()
        assert now.open_untested
        assert "open to everybody although it has not passed a test" in now.said
        keep(state, report_on(searcher))
        assert not Standings(searcher.artifact, state).now().open_untested


def test_every_door_says_the_same_at_once(searcher: Searcher, state: State) -> None:
    standings = Standings(searcher.artifact, state)
    tools = Tools(searcher, SearchLog(state), standings)
    app = FastAPI()
    app.mount(PREFIX, create_api(searcher, Withdrawals(state), SearchLog(state), standings))
    with TestClient(app) as client:
        told = client.get(f"{PREFIX}/collection").json()["standing"]
        assert (told["verdict"], told["said"]) == ("not tested", UNTESTED)
        missing = client.get(f"{PREFIX}/evaluation")
        assert missing.status_code == 404
        assert missing.json()["detail"] == UNTESTED
        judge(state)
        state.add("taxonomy", text=TAXONOMY.text, by="kim")
        keep(state, report_on(searcher, state))
        told = client.get(f"{PREFIX}/collection").json()["standing"]
        assert told["verdict"] == "passed"
        page = client.get(f"{PREFIX}/evaluation")
        assert page.headers["content-type"].startswith("text/html")
        assert "Colours &amp; light" in page.text
        assert "<script" not in page.text
        assert f"{PREFIX}/thumbnails/warm%2Fred.png?v=" in page.text
        assert page.text.count("✓ right") == 3 + 3 + 1  # “red”, “yellow”, “blue”
        figures = client.get(f"{PREFIX}/evaluation.json").json()
        assert figures["classes"][0]["reached"] == 0.8333  # green is as near to “yellow”
    answer = tools.call("describe_collection", {}, "", PREFIX)
    assert told["said"] in answer.content[0].text  # type: ignore[union-attr]
    assert answer.structuredContent
    assert answer.structuredContent["standing"]["verdict"] == "passed"


def test_a_withdrawn_picture_is_not_in_the_report_that_is_shown(built: Path, state: State) -> None:
    withdrawals = Withdrawals(state)
    opened = image_search.open(built, withdrawals)
    state.add("taxonomy", text=TAXONOMY.text, by="kim")
    judge(state)
    keep(state, report_on(opened, state))
    shown = Evaluation(opened, Standings(opened.artifact, state))
    assert shown.page("/x").count("✓ right") == 7
    assert shown.page("/x") is shown.page("/x")
    withdrawals.suppress(["warm/red.png"], "its photographer asked", "kim")
    assert "warm%2Fred.png" not in shown.page("/x")


def test_a_test_costs_nobody_a_new_yes_to_the_terms(searcher: Searcher) -> None:
    from image_search.ui import sign_in_pages

    text = sign_in_pages.terms_text(searcher.artifact.manifest.collection, None)
    assert "tested" not in text.replace("in-domain testing", "").split("<h2>What the makers")[0]
    shown = sign_in_pages.terms(text, "mary", "", "/", "It is <tested>.")
    assert "<p>It is &lt;tested&gt;.</p>" in shown
    assert text in shown
