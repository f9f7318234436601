"""A report beside the collection on the Hub and on its card: the real client, over HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gated import environment
from hub_here import CLIENTS_OWN, hub_here
from hub_standin import HubStandin
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.repocard import RepoCard
from in_domain import TEXT, judge, report_on
from typer.testing import CliRunner

import image_search
from image_search.build import build
from image_search.card_results import model_index_of, with_report
from image_search.cli import app
from image_search.encoder import OnnxEncoder
from image_search.errors import HubError
from image_search.evaluation_hub import publish
from image_search.evaluation_report import Report
from image_search.folder import open_folder
from image_search.place import check_target
from image_search.push import push
from image_search.standing import Standings
from image_search.state import State
from image_search.verify import verify

pytestmark = CLIENTS_OWN

REPO = "alice/squares"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandin]:
    monkeypatch.setenv("IMAGE_SEARCH_BAR_JUDGED", "5")
    monkeypatch.setattr("image_search.evaluation_hub.WAITS", (0, 0))
    from image_search.settings import settings

    settings.cache_clear()
    with hub_here(tmp_path, monkeypatch) as hub:
        yield hub
    settings.cache_clear()


def card_there() -> str:
    path = hf_hub_download(REPO, "README.md", repo_type="dataset")
    return Path(path).read_text(encoding="utf-8")


def report_of(built: Path) -> Report:
    return report_on(image_search.open(built, frozenset()), created="2024-11-21T10:00:00Z")


def test_a_published_report_is_found_and_outlives_the_next_push(
    hub: HubStandin, built: Path, pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    first = push(built, REPO)
    before = card_there()
    published = publish(REPO, report_of(built), "<p>a report</p>")
    assert published.files == [
        "evaluation/2024-11-21-colours-light.json",
        "evaluation/2024-11-21-colours-light.html",
        "README.md",
    ]
    card = card_there()
    results = RepoCard(card).data.get("model-index")[0]["results"]
    figures = {one["type"]: one["value"] for one in results[0]["metrics"]}
    assert figures["precision_at_10"] == 0.2  # (0.3 + 0.1) / 2
    assert results[0]["dataset"]["config"] == "Colours & light 1"
    # All else on the card is as it was.
    head, block, rest = card.partition("model-index:")
    assert block
    assert before.startswith(head)
    body = before.partition("\n---\n")[2].rpartition("\n<!--")[0]
    assert rest.partition("\n---\n")[2].rpartition("\n<!--")[0] == body
    # It counts, also of the version that was pinned before there was a report.
    assert verify(REPO) == []
    for place in (REPO, f"{REPO}@{first.tag}"):
        opened = image_search.open(place, frozenset())
        assert Standings(opened.artifact, None).now().verdict == "passed"
    # The next version leaves both where they are, and can still write its own card.
    (pictures / "cold/green.png").unlink()
    build(open_folder(pictures), colours, tmp_path / "other")
    push(tmp_path / "other", REPO)
    assert model_index_of(card_there()) == model_index_of(card)
    assert "4 pictures with an embedding" in card_there()
    files = HfApi().list_repo_files(REPO, repo_type="dataset")
    assert "evaluation/2024-11-21-colours-light.html" in files
    assert push(tmp_path / "other", REPO).files == 0
    opened = image_search.open(REPO, frozenset())
    assert Standings(opened.artifact, None).now().verdict == "passed"


def test_a_card_changed_by_hand_stays_so(hub: HubStandin, built: Path) -> None:
    push(built, REPO)
    by_hand = (
        "---\nlicense: mit\nmodel-index:\n- name: theirs\n  results: []\ntags:\n- a\n---\nMine.\n"
    )
    api = HfApi()
    api.upload_file(
        path_or_fileobj=by_hand.encode(),
        path_in_repo="README.md",
        repo_id=REPO,
        repo_type="dataset",
    )
    publish(REPO, report_of(built), "")
    card = card_there()
    assert card.startswith("---\nlicense: mit\ntags:\n- a\nmodel-index:\n- name: theirs\n")
    assert card.endswith("---\nMine.\n")
    assert [one["name"] for one in model_index_of(card)] == ["theirs", "colours"]


def test_the_same_test_again_takes_the_place_of_the_former(built: Path) -> None:
    report = report_of(built)
    text = (built / "README.md").read_text(encoding="utf-8")
    once = with_report(text, REPO, report)
    assert with_report(once, REPO, report) == once
    other = report.model_copy(
        update={"taxonomy": report.taxonomy.model_copy(update={"name": "Plants"})}
    )
    [model] = model_index_of(with_report(once, REPO, other))
    names = {one["dataset"]["config"] for one in model["results"]}
    assert names == {"Colours & light 1", "Plants 1"}
    assert with_report("no front matter", REPO, report).endswith("---\n\nno front matter")


def test_the_command_publishes(hub: HubStandin, built: Path, tmp_path: Path) -> None:
    push(built, REPO)
    with environment(IMAGE_SEARCH_STATE=str(tmp_path / "state"), HF_TOKEN=hub.token("owner")):
        state = State.open(tmp_path / "state")
        state.add("taxonomy", text=TEXT, by="kim")
        judge(state)
        done = CliRunner().invoke(app, ["evaluate", "-a", REPO, "--publish"])
        state.close()
    assert done.exit_code == 0, done.exception
    assert f"Published: evaluation/{datetime.now(UTC):%Y-%m-%d}-colours-light.json" in done.stdout
    [told] = image_search.open(REPO, frozenset()).artifact.files.reports()
    assert json.loads(told)["classes"][0]["prompts"][0]["first"]


def test_a_report_needs_a_collection_to_lie_beside(hub: HubStandin, built: Path) -> None:
    HfApi().create_repo("alice/empty", repo_type="dataset")
    HfApi().upload_file(
        path_or_fileobj=b"x", path_in_repo="x.txt", repo_id="alice/empty", repo_type="dataset"
    )
    with pytest.raises(HubError, match="holds no built collection"):
        publish("alice/empty", report_of(built), "")


def test_a_rebuild_keeps_the_reports_that_lie_in_its_folder(
    built: Path, pictures: Path, colours: OnnxEncoder
) -> None:
    folder = built / "evaluation"
    folder.mkdir()
    told = json.dumps(report_of(built).dumped())
    (folder / "2024-11-21-colours.json").write_text(told)
    assert verify(built) == []
    check_target(built)
    (pictures / "cold/green.png").unlink()
    build(open_folder(pictures), colours, built)
    assert (built / "evaluation/2024-11-21-colours.json").read_text() == told
    assert len(image_search.open(built, frozenset())) == 4
    assert verify(built) == []
