"""A Space gets whole, private and gated onto the Hub, and only what differs is changed later."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from hub_here import CLIENTS_OWN, hub_here, log_in
from hub_standin import Exchange, Fault, HubStandin
from in_domain import report_on

import image_search
from image_search.allow_list import AllowList
from image_search.deploy import Deployed, Wanted, deploy
from image_search.deploy_command import deployed_text
from image_search.errors import ArtifactError, ConfigError, HubError
from image_search.evaluation_hub import publish
from image_search.manifest import MANIFEST
from image_search.push import push
from image_search.roles import Role
from image_search.settings import ROOT
from image_search.space import Space
from image_search.space_files import MARKER
from image_search.state import State

pytestmark = CLIENTS_OWN

SPACE = "alice/search"
THERE = "spaces/alice/search"
DATA = "alice/squares"
STATE = "alice/search-state"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandin]:
    with hub_here(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def version(hub: HubStandin, built: Path) -> str:
    """The tag of a collection that was pushed."""
    return push(built, DATA).tag


def wanted(**other: Any) -> Wanted:
    return Wanted(**{"space": SPACE, "artifact": DATA, "users": ["bob"], **other})


def writing(exchanges: list[Exchange]) -> list[str]:
    """The requests that change something, without the name of the Space."""
    prefix = f"/api/spaces/{SPACE}"
    made = [x for x in exchanges if x.method not in ("GET", "HEAD")]
    return [f"{x.method} {x.path.removeprefix(prefix)}" for x in made]


def variables(hub: HubStandin) -> dict[str, str]:
    return {key: told["value"] for key, told in hub.store.get(THERE).variables.items()}


def secrets(hub: HubStandin) -> dict[str, str]:
    return {key: told["value"] for key, told in hub.store.get(THERE).secrets.items()}


def commits(hub: HubStandin) -> int:
    return len(list(hub.store.history(hub.store.get(THERE), "main")))


def test_the_first_time_makes_a_private_space_with_its_state_and_its_gate(
    hub: HubStandin, version: str
) -> None:
    with hub.recording() as exchanges:
        done = deploy(wanted(users=["dan:curator,Bob"], orgs=["Lab"], contact="Ask\nEve"))
    assert variables(hub) == {
        "IMAGE_SEARCH_ACCESS": "huggingface",
        "IMAGE_SEARCH_ALLOW_USERS": "bob,dan:curator",
        "IMAGE_SEARCH_ALLOW_ORGS": "lab",
        "IMAGE_SEARCH_ARTIFACT": f"{DATA}@{version}",
        "IMAGE_SEARCH_STATE": STATE,
        "IMAGE_SEARCH_CONTACT": "Ask Eve",
    }
    assert secrets(hub)["HF_TOKEN"] == hub.token("owner")
    assert len(secrets(hub)["IMAGE_SEARCH_SECRET"]) >= 32
    assert set(secrets(hub)) == {"HF_TOKEN", "IMAGE_SEARCH_SECRET"}
    assert hub.store.get(THERE).private
    assert hub.store.get(STATE).private
    assert done.address == "https://alice-search.hf.space"
    assert done.page == f"{hub.url}/spaces/{SPACE}"
    assert done.visibility == "private"
    assert (done.users, done.orgs) == ({"bob": "member", "dan": "curator"}, {"lab": "member"})
    assert any("opened only by alice" in note for note in done.notes)
    assert any(f"write those of {STATE}" in note for note in done.notes)
    # One commit, after all that the first build has to start with.
    assert commits(hub) == 2
    assert writing(exchanges)[-1] == "POST /commit/main"
    assert writing(exchanges).count("POST /secrets") == 2


def test_it_holds_the_program_and_nothing_more(hub: HubStandin, version: str) -> None:
    deploy(wanted())
    files = set(hub.files(THERE))
    package = {p.relative_to(ROOT).as_posix() for p in (ROOT / "image_search").rglob("*.py")}
    page = {p.relative_to(ROOT).as_posix() for p in (ROOT / "assets/ui").iterdir()}
    assert files - package - page == {
        *("app.py", "requirements.txt", "LICENSE", "NOTICE", "README.md"),
        *("assets/model-card.md", "assets/policy.toml", ".gitattributes", MARKER),
    }
    assert package | page <= files
    for name in files - {"README.md", ".gitattributes", MARKER}:
        assert hub.file(THERE, "main", name) == (ROOT / name).read_bytes(), name
    assert b"torch" not in hub.file(THERE, "main", "requirements.txt")


def test_the_readme_is_front_matter_for_the_hub_and_says_whom_to_ask(
    hub: HubStandin, version: str
) -> None:
    deploy(wanted(contact="library@example.org"))
    _, front, body = hub.file(THERE, "main", "README.md").decode().split("---\n", 2)
    told = yaml.safe_load(front)
    description = told.pop("short_description")
    assert len(description) <= 60  # more the Hub refuses
    for said in ("emoji", "colorFrom", "colorTo"):
        told.pop(said)
    assert told == {
        "title": "search",
        "sdk": "gradio",
        "sdk_version": "6.31.0",
        "python_version": "3.11",
        "app_file": "app.py",
        "pinned": False,
        "hf_oauth": True,
        "hf_oauth_expiration_minutes": 480,
        "startup_duration_timeout": "1h",
        "header": "mini",
        "license": "apache-2.0",
    }
    assert "gradio==6.31.0" in (ROOT / "requirements.txt").read_text().splitlines()
    assert "**Whom to ask:** library@example.org" in body
    assert f"deploy --space {SPACE}" in body
    assert "squares" not in front + body  # what it shows is nobody's business


def test_it_says_how_far_the_collection_was_tested(
    hub: HubStandin, version: str, built: Path
) -> None:
    told = deploy(wanted(), dry_run=True).notes[-1]
    assert told.startswith("This collection has not been tested. The page says so")
    assert "IMAGE_SEARCH_OPEN_UNTESTED=yes" in told
    report = report_on(image_search.open(built, frozenset()))
    publish(DATA, report, "")
    told = deploy(wanted(), dry_run=True).notes[-1]
    assert "the test is not finished; judged on too few pictures: warm, cold" in told
    other = report.encoder.model_copy(update={"name": "clip"})
    publish(DATA, report.model_copy(update={"encoder": other}), "")
    assert "made with another model: clip" in deploy(wanted(), dry_run=True).notes[-1]


def test_the_same_again_does_nothing(hub: HubStandin, version: str) -> None:
    first = deploy(wanted(hardware="cpu-upgrade", contact="Eve"))
    with hub.recording() as exchanges:
        second = deploy(wanted(hardware="cpu-upgrade", contact="Eve"))
    assert writing(exchanges) == []
    assert second.changes == []
    assert second.address == first.address
    assert deployed_text(second).startswith("Nothing to do")


def test_another_list_changes_one_variable_and_signs_nobody_out(
    hub: HubStandin, version: str
) -> None:
    deploy(wanted())
    before = secrets(hub)
    with hub.recording() as exchanges:
        done = deploy(wanted(users=["bob", "carol:judge,bob"]))
    assert writing(exchanges) == ["POST /variables"]
    assert variables(hub)["IMAGE_SEARCH_ALLOW_USERS"] == "bob,carol:judge"
    assert done.changes == ["the variable IMAGE_SEARCH_ALLOW_USERS becomes bob,carol:judge"]
    assert secrets(hub) == before


def test_what_was_changed_since_is_told(hub: HubStandin, version: str) -> None:
    """By `member add` and `member remove`, which count more than the list of a deploy."""
    deploy(wanted(users=["alice", "bob:curator"]))
    state = State.open(f"{SPACE}-state", make=False)
    allowed = AllowList(state)
    allowed.change("bob", None, org=False, by="a test")
    allowed.change("zed", Role.CURATOR, org=False, by="a test")
    state.close()
    told = deploy(wanted(users=["alice", "bob:curator"]))
    assert told.changes == []
    assert [note for note in told.notes if note.startswith(("bob", "zed"))] == [
        "bob was taken off by `member remove` and stays out; `member add bob` lets them in again.",
        "zed is let in as curator, by `member add`.",
    ]


def test_who_is_let_in_no_more_is_named_and_the_contact_stays(
    hub: HubStandin, version: str
) -> None:
    deploy(wanted(users=["alice", "bob"], contact="ask@example.org"))
    [change] = deploy(wanted(users=["alice"], contact=None)).changes
    assert change == "the variable IMAGE_SEARCH_ALLOW_USERS becomes alice (no longer let in: bob)"
    assert variables(hub)["IMAGE_SEARCH_CONTACT"] == "ask@example.org"


def test_an_organisation_taken_off_the_list_goes_and_what_others_set_stays(
    hub: HubStandin, version: str
) -> None:
    deploy(wanted(orgs=["lab"]))
    hub.store.get(THERE).variables["IMAGE_SEARCH_LOG_DAYS"] = {"value": "7"}
    with hub.recording() as exchanges:
        deploy(wanted())
    assert writing(exchanges) == ["DELETE /variables"]
    assert "IMAGE_SEARCH_ALLOW_ORGS" not in variables(hub)
    assert variables(hub)["IMAGE_SEARCH_LOG_DAYS"] == "7"


def test_a_new_version_of_the_collection_is_served_when_it_is_given_again(
    hub: HubStandin, version: str
) -> None:
    deploy(wanted())
    manifest = hub.file(DATA, "main", MANIFEST)
    hub.commit(DATA, {"README.md": b"# A card"}, "A card")
    assert deploy(wanted()).changes == []  # the same collection
    hub.store.get(DATA).refs.pop(f"refs/tags/{version}")
    done = deploy(wanted(artifact=f"{DATA}@main"))  # without its tag, its commit
    assert done.artifact == f"{DATA}@{hub.head(DATA)}"
    assert f"{DATA}@main may change, so the Space serves what it is now" in done.notes[0]
    assert hub.file(DATA, "main", MANIFEST) == manifest


def test_a_version_that_is_named_is_served_as_it_is_named(hub: HubStandin, version: str) -> None:
    for revision in (version, hub.head(DATA)):
        done = deploy(wanted(artifact=f"{DATA}@{revision}"), dry_run=True)
        assert done.artifact == f"{DATA}@{revision}"
        assert not any("may change" in note for note in done.notes)


# What is wrong is told before anything is changed


def refused(hub: HubStandin, wish: Wanted, token: str | None = None) -> str:
    """What a call says that fails; nothing was changed by it."""
    with (
        hub.recording() as exchanges,
        pytest.raises((ArtifactError, ConfigError, HubError)) as raised,
    ):
        deploy(wish, token)
    assert writing(exchanges) == []
    said = str(raised.value)
    assert "hf_" not in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("role", "said"),
    [
        (None, "The Hub has to know who you are: set HF_TOKEN"),
        (
            "wrong",
            "does not accept your token (HF_TOKEN, or that of `hf auth login`). Make another",
        ),
        ("reader", "alice/search could not be written with your token"),
        ("stranger", "is bob's, who may not write alice/search. Name one of bob's own"),
    ],
)
def test_whose_token_may_not_write_is_told(
    hub: HubStandin, version: str, monkeypatch: pytest.MonkeyPatch, role: str | None, said: str
) -> None:
    log_in(monkeypatch, hub, role)
    assert said in refused(hub, wanted())


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hf_none", "The Hub does not accept SPACE_TOKEN. Make another one at"),
        ("hf_reader", "alice/search-state could not be written with SPACE_TOKEN: it only reads"),
        ("hf_stranger", "SPACE_TOKEN is bob's, who may not write alice/search-state"),
    ],
)
def test_a_token_that_would_not_do_for_the_space_is_told(
    hub: HubStandin, version: str, token: str, said: str
) -> None:
    assert said in refused(hub, wanted(), token)


def test_a_dataset_that_the_space_could_not_read_is_told(
    hub: HubStandin, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no dataset alice/circles" in refused(hub, wanted(artifact="alice/circles"))
    said = refused(hub, wanted(artifact=f"{DATA}@version-0"))
    assert f"has no revision version-0; its versions are: {version}. Name one" in said
    log_in(monkeypatch, hub, "stranger")
    bobs = wanted(space="bob/search")
    assert "no dataset alice/squares" in refused(hub, bobs)
    hub.make_public(DATA)
    hub.gate(DATA)
    assert "alice/squares is gated: its owner decides" in refused(hub, bobs)
    hub.grant(DATA, "stranger")
    assert deploy(bobs).artifact == f"{DATA}@{version}"


def test_a_damaged_collection_is_told(hub: HubStandin, version: str) -> None:
    hub.commit(DATA, {MANIFEST: b"{}"}, "Oh")
    assert "alice/squares on the Hub is damaged" in refused(hub, wanted())


def test_of_the_collection_only_the_manifest_is_read(hub: HubStandin, version: str) -> None:
    with hub.recording() as exchanges:
        deploy(wanted(), dry_run=True)
    read = {x.path.rpartition("/")[2] for x in exchanges if "/resolve/" in x.path}
    assert read == {MANIFEST, f"{MANIFEST}.sha256"}


def test_a_dataset_made_by_hand_needs_its_model_and_what_the_model_needs(hub: HubStandin) -> None:
    hub.make_repo(DATA, {"data/train-00000-of-00001.parquet": b"PAR1"}, private=True)
    assert "is not a collection that this program pushed" in refused(hub, wanted())
    assert "name the model that made these: --model" in refused(hub, wanted())
    done = deploy(wanted(model="clip-ViT-B-32"))
    assert done.artifact == f"{DATA}@{hub.head(DATA)}"
    assert variables(hub)["IMAGE_SEARCH_MODEL"] == "clip-ViT-B-32"
    lines = hub.file(THERE, "main", "requirements.txt").decode().splitlines()
    assert {"torch==2.13.0", "sentence-transformers==6.2.0", "gradio==6.31.0"} <= set(lines)
    assert not any(line.startswith("-r") for line in lines)
    assert deploy(wanted(model="clip-ViT-B-32")).changes == []


def test_a_model_is_left_out_where_the_collection_has_its_own(
    hub: HubStandin, version: str, tmp_path: Path
) -> None:
    done = deploy(wanted(model="clip-ViT-B-32"))
    assert "alice/squares carries its own model" in done.notes[0]
    assert "IMAGE_SEARCH_MODEL" not in variables(hub)
    assert "is not on the Hub" in refused(hub, wanted(model=str(tmp_path)))
    assert "does not go along" in refused(hub, wanted(model="embedded"))


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"users": []}, "Nobody would be let in. Name at least one account"),
        ({"users": [" , "], "orgs": [""]}, "Nobody would be let in"),
        ({"users": ["bob:king"]}, "There is no role “king”; there are member, judge"),
        ({"users": ["bob smith"]}, "--allow-user: “bob smith” is no name of the Hub"),
        ({"orgs": ["https://huggingface.co/lab"]}, "There is no role"),
        ({"users": ["bob", "bob:judge"]}, "bob has two roles, member and judge"),
        ({"space": "search"}, "'search' cannot be a name on the Hub. Write --space as user/name"),
        ({"space": "alice/a--b"}, "cannot be a name on the Hub"),
        ({"state": "alice/x@main"}, "Write --state as user/name"),
        ({"artifact": "./my-collection"}, "a Space cannot read the folders of this machine. Push"),
        ({"state": DATA}, "alice/squares holds the collection"),
        ({"hardware": "big"}, "no hardware 'big' for Spaces. There are: cpu-basic, cpu-upgrade"),
    ],
)
def test_a_wish_that_cannot_be_is_told(
    hub: HubStandin, version: str, wish: dict[str, Any], said: str
) -> None:
    assert said in refused(hub, wanted(**wish))


def test_a_space_that_others_made_is_not_written_over(hub: HubStandin, version: str) -> None:
    hub.make_repo(THERE, {"app.py": b"print('theirs')"}, private=True)
    assert "was not made by this command (it holds README.md" in refused(hub, wanted())
    hub.commit(THERE, {MARKER: b"# theirs\n"}, "A file of that name")
    assert "was not made by this command" in refused(hub, wanted())
    hub.delete_repo(THERE)
    hub.make_repo(THERE, private=True)  # made, and nothing put into it
    deploy(wanted())
    assert MARKER in hub.files(THERE)


def test_a_public_space_is_refused_unless_it_is_meant(hub: HubStandin, version: str) -> None:
    deploy(wanted())
    hub.make_public(THERE)
    assert "The Space alice/search is not private" in refused(hub, wanted())
    done = deploy(wanted(visibility="public"))
    assert any("who is let in" in note for note in done.notes)
    assert not hub.store.get(THERE).private
    deploy(wanted(visibility="private"))
    assert hub.store.get(THERE).private


@pytest.mark.parametrize("visibility", ["protected", "public"])
def test_more_people_reach_it_only_once_its_gate_is_there(
    hub: HubStandin, version: str, visibility: str
) -> None:
    deploy(wanted())
    with hub.recording() as exchanges:
        deploy(wanted(users=["carol"], visibility=visibility))
    assert writing(exchanges) == ["POST /variables", "PUT /settings"]
    space = hub.store.get(THERE)
    assert (space.private, space.protected) == (visibility == "protected",) * 2
    assert not any("opened only by" in n for n in deploy(wanted(visibility=visibility)).notes)


def test_a_protected_space_is_made_at_once(hub: HubStandin, version: str) -> None:
    assert deploy(wanted(visibility="protected")).visibility == "protected"
    assert hub.store.get(THERE).protected


def test_a_state_that_others_could_see_is_refused(hub: HubStandin, version: str) -> None:
    hub.make_repo(STATE)
    assert "alice/search-state is public" in refused(hub, wanted())
    hub.make_private(STATE)
    deploy(wanted())
    hub.make_repo("alice/other", {MANIFEST: b"{}"}, private=True)
    assert "alice/other holds a collection" in refused(hub, wanted(state="alice/other"))


def test_hardware_is_asked_for_once(hub: HubStandin, version: str) -> None:
    deploy(wanted(hardware="cpu-upgrade"))
    assert hub.store.get(THERE).hardware == "cpu-upgrade"
    assert deploy(wanted()).changes == []  # not said: as it is
    with hub.recording() as exchanges:
        deploy(wanted(hardware="t4-small"))
    assert writing(exchanges) == ["POST /hardware"]


# The token of the Space


def test_a_token_of_its_own_replaces_the_callers_and_is_kept(
    hub: HubStandin, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(wanted())
    with hub.recording() as exchanges:
        done = deploy(wanted(), hub.token("space"))
    assert writing(exchanges) == ["POST /secrets"]
    assert done.changes == ["the secret HF_TOKEN becomes SPACE_TOKEN"]
    assert not any("your own token" in note for note in done.notes)
    assert deploy(wanted(), hub.token("space")).changes == []
    later = deploy(wanted())
    assert later.changes == []
    assert any("keeps the token that was made for it" in note for note in later.notes)
    assert secrets(hub)["HF_TOKEN"] == hub.token("space")
    hub.store.get(THERE).secrets["HF_TOKEN"] = {"value": "hf_by_hand"}
    assert deploy(wanted()).changes == []
    assert deploy(wanted(), hub.token("owner")).changes != []


def test_the_callers_new_token_goes_to_the_space(
    hub: HubStandin, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(wanted())
    log_in(monkeypatch, hub, "space")
    assert deploy(wanted()).changes == ["the secret HF_TOKEN becomes your own token"]
    assert secrets(hub)["HF_TOKEN"] == hub.token("space")


# Trying it, breaking off, going on


def test_a_dry_run_checks_and_says_all_and_writes_nothing(
    hub: HubStandin, version: str, built: Path
) -> None:
    repos = hub.repos()
    with hub.recording() as exchanges:
        would = deploy(wanted(), dry_run=True)
    assert {x.method for x in exchanges} <= {"GET", "HEAD"}
    assert hub.repos() == repos
    assert would.address == "https://alice-search.hf.space"
    text = deployed_text(would)
    assert "Nothing was changed: this was --dry-run" in text
    assert deploy(wanted()).changes == would.changes
    for name in ("HF_TOKEN", "IMAGE_SEARCH_SECRET", "IMAGE_SEARCH_ALLOW_USERS", STATE):
        assert name in text
    with pytest.raises(HubError, match="no dataset alice/circles"):
        deploy(wanted(artifact="alice/circles"), dry_run=True)


@pytest.mark.parametrize("lost", [False, True], ids=["failed", "answer lost"])
@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("POST /repos/create", 0),  # the state
        ("POST /repos/create", 1),  # the Space
        ("POST /variables", 0),
        ("POST /variables", 2),
        ("POST /secrets", 0),
        ("POST /secrets", 1),
        ("POST /commit/main", 0),
    ],
)
def test_broken_off_it_goes_on(
    hub: HubStandin, version: str, path: str, before: int, lost: bool
) -> None:
    method, _, part = path.partition(" ")
    hub.faults.append(Fault(part, method, times=before))  # these go well
    hub.faults.append(Fault(part, method, cut_after=0) if lost else Fault(part, method, status=500))
    with pytest.raises(HubError, match="steps were done; the same command goes on") as raised:
        deploy(wanted())
    assert "hf_" not in str(raised.value)
    made = secrets(hub) if THERE in hub.repos() else {}
    deploy(wanted())
    assert set(made.items()) <= set(secrets(hub).items())
    assert set(secrets(hub)) == {"HF_TOKEN", "IMAGE_SEARCH_SECRET"}
    assert hub.store.get(STATE).private
    assert hub.store.get(THERE).private
    assert commits(hub) == 2  # the Hub's, and ours
    with hub.recording() as exchanges:
        assert deploy(wanted()).changes == []
    assert writing(exchanges) == []


def test_a_space_that_was_changed_meanwhile_is_told(hub: HubStandin, version: str) -> None:
    deploy(wanted())
    hub.commit(THERE, {"app.py": b"theirs"}, "By hand")
    hub.faults.append(Fault("/commit/main", "POST", status=412))
    with pytest.raises(HubError, match="0 of 1 steps were done; the same command goes on"):
        deploy(wanted())
    deploy(wanted())
    assert hub.file(THERE, "main", "app.py") == (ROOT / "app.py").read_bytes()


def test_a_space_that_is_gone_meanwhile_is_told(
    hub: HubStandin, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_search.deploy.look_at_space", lambda name: Space(exists=True))
    with pytest.raises(HubError, match=r"alice/search is gone, or your token .* 1 of 8 steps"):
        deploy(wanted())


def test_who_has_to_pay_is_told(hub: HubStandin, version: str) -> None:
    hub.make_repo(STATE, private=True)
    hub.faults.append(Fault("/repos/create", "POST", status=402))
    with pytest.raises(HubError, match=r"to be paid for alice/search: .* needs PRO for a person"):
        deploy(wanted())


def test_what_the_program_no_longer_has_goes_and_what_others_added_stays(
    hub: HubStandin, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    for name in ("app.py", "requirements.txt", "LICENSE", "NOTICE"):
        root.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "assets/ui", root / "assets/ui")
    for name in ("model-card.md", "policy.toml"):
        shutil.copy(ROOT / "assets" / name, root / "assets")
    (root / "image_search/__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "old.py", "__pycache__/x.py"):
        (root / "image_search" / name).write_text("")
    (root / "assets/ui/.page.js.swp").write_text("")
    monkeypatch.setattr("image_search.space_files.ROOT", root)
    deploy(wanted())
    assert "image_search/old.py" in hub.files(THERE)
    assert not any("__pycache__" in name or "swp" in name for name in hub.files(THERE))
    hub.commit(THERE, {"packages.txt": b"libheif1\n", "app.py": b"theirs"}, "By hand")
    (root / "image_search/old.py").unlink()
    done = deploy(wanted())
    assert done.changes == ["files of the program: 2 written, 1 deleted"]  # and the list of them
    assert "image_search/old.py" not in hub.files(THERE)
    assert hub.file(THERE, "main", "packages.txt") == b"libheif1\n"
    assert hub.file(THERE, "main", "app.py") == (ROOT / "app.py").read_bytes()
    assert deploy(wanted()).changes == []
    (root / "NOTICE").unlink()
    assert "There is no NOTICE in" in refused(hub, wanted())


def test_the_address_is_made_as_the_hub_makes_it(hub: HubStandin, version: str) -> None:
    done = deploy(wanted(space="alice/My_own.Search"), dry_run=True)
    assert done.address == "https://alice-my-own-search.hf.space"


# The command


def run(hub: HubStandin, home: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code of the command, and all it says."""
    done = subprocess.run(
        [sys.executable, "-m", "image_search", "deploy", "--space", SPACE, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**hub.environment("owner", home), "NO_COLOR": "1", **environment},
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_says_where_it_lies_and_never_a_secret(
    hub: HubStandin, version: str, tmp_path: Path
) -> None:
    wish = ("-a", DATA, "--allow-user", "bob,carol:judge", "--allow-org", "lab")
    said = [run(hub, tmp_path / "home", *wish, "--dry-run")]
    hub.faults.append(Fault("/commit/main", "POST", status=500))
    said.append(run(hub, tmp_path / "home", *wish))
    said.append(run(hub, tmp_path / "home", *wish, SPACE_TOKEN=hub.token("space")))
    said.append(run(hub, tmp_path / "home", *wish, "--json"))
    said.append(run(hub, tmp_path / "home", *wish, "--visibility", "open"))
    assert [code for code, _ in said] == [0, 1, 0, 0, 2]
    for _, text in said:
        assert "hf_" not in text
        assert secrets(hub)["IMAGE_SEARCH_SECRET"] not in text
    assert said[1][1].startswith("error: The Hub failed (it answered 500)")
    assert said[1][1].count("\n") == 1
    for expected in (
        "Done:\n  the secret HF_TOKEN becomes SPACE_TOKEN\n  files of the program: ",
        "The address to hand out:  https://alice-search.hf.space\n",
        f"The Space on the Hub:     {hub.url}/spaces/alice/search (private)\n",
        "Accounts let in:          bob, carol (judge)\n",
        "Organisations let in:     lab\n",
    ):
        assert expected in said[2][1]
    told = json.loads(said[3][1])
    assert set(told) == set(Deployed.__dataclass_fields__)
    assert told["changes"] == []
    assert told["artifact"] == f"{DATA}@{version}"


def test_stopped_by_ctrl_c_it_goes_on(hub: HubStandin, version: str, tmp_path: Path) -> None:
    wish = ("-a", DATA, "--allow-user", "bob")
    hub.faults.append(Fault("/commit/main", "POST", delay=60))
    with subprocess.Popen(
        [sys.executable, "-m", "image_search", "deploy", "--space", SPACE, *wish],
        cwd=ROOT,
        env=hub.environment("owner", tmp_path / "home"),
        stderr=subprocess.PIPE,
        text=True,
        # A test that runs in the background may have been told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not any("/commit/" in x.path and SPACE in x.path for x in hub.log):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "Stopped. The same command goes on from here."
    code, _ = run(hub, tmp_path / "home", *wish)
    assert code == 0
    assert commits(hub) == 2


# What was put there, started as a Space starts it


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_what_it_holds_starts_as_a_space_does(
    hub: HubStandin, version: str, tmp_path: Path
) -> None:
    """Only what lies in the repository of the Space, with its variables and secrets, and the
    libraries: nothing of this project's own folder. It answers, so nothing is missing."""
    deploy(wanted())
    folder = tmp_path / "app"
    for name in hub.files(THERE):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hub.file(THERE, "main", name))
    port = free_port()
    environment = {
        **hub.environment(None, tmp_path / "home-of-the-space"),
        **variables(hub),
        **secrets(hub),
        "PYTHONPATH": "",
        # What a Space sets by itself.
        "SPACE_ID": SPACE,
        "SPACE_HOST": "alice-search.hf.space",
        "OAUTH_CLIENT_ID": "an-id",
        "OAUTH_CLIENT_SECRET": "a-secret",
        "OAUTH_SCOPES": "openid profile",
        "OPENID_PROVIDER_URL": hub.url,
        # What only this test needs.
        "IMAGE_SEARCH_HOST": "127.0.0.1",
        "IMAGE_SEARCH_PORT": str(port),
    }
    said = tmp_path / "said.txt"
    with (
        said.open("w") as out,
        subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=environment, stdout=out, stderr=out
        ) as process,
    ):
        try:
            assert answer(process, f"http://127.0.0.1:{port}/readyz") == 200, said.read_text()
            page = httpx2.get(f"http://127.0.0.1:{port}/", headers={"Accept": "text/html"})
            assert page.status_code == 401
            assert "Sign in with Hugging Face" in page.text
            assert "frame-ancestors https://huggingface.co" in str(page.headers)
            searched = httpx2.get(f"http://127.0.0.1:{port}/api/v1/search?text=red")
            assert searched.status_code == 401
        finally:
            process.terminate()


def answer(process: subprocess.Popen[bytes], address: str) -> int:
    """The status of an address, once a program answers there; 0 if it ends or takes too long."""
    deadline = time.monotonic() + 90
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return httpx2.get(address, timeout=10).status_code
        except httpx2.HTTPError:
            time.sleep(0.2)
    return 0
