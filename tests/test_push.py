"""A collection gets onto the Hub whole, private and once: the real client, over HTTP."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from conftest import build_folder
from hub_here import CLIENTS_OWN, asked, hub_here, log_in
from hub_standin import Fault, HubStandin, uploaded_bytes

import image_search
from image_search import card
from image_search import hub as client
from image_search.build import build
from image_search.encoder import OnnxEncoder
from image_search.errors import ArtifactError, ConfigError, HubError
from image_search.folder import open_folder
from image_search.manifest import (
    CARD,
    MANIFEST,
    CollectionInfo,
    Manifest,
    file_info,
    write_manifest,
)
from image_search.push import Pushed, check_push, push

pytestmark = CLIENTS_OWN

ROOT = Path(__file__).parent.parent
REPO = "alice/squares"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandin]:
    with hub_here(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def other(built: Path, pictures: Path, colours: OnnxEncoder, tmp_path: Path) -> Path:
    """Another version of the same collection: one picture less, one column less."""
    (pictures / "cold/green.png").unlink()
    table = pictures / "metadata.csv"
    lines = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines))
    return build_folder(pictures, colours, tmp_path / "other")


def change(built: Path, name: str, data: bytes | None) -> None:
    """Change a file of an artifact, or take it away, and have the manifest say so."""
    manifest = Manifest.model_validate_json((built / MANIFEST).read_bytes())
    files = {n: info for n, info in manifest.files.items() if n != name}
    path = built / name
    path.unlink(missing_ok=True)
    if data is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        files[name] = file_info(path)
    write_manifest(built, manifest.model_copy(update={"files": files}))


def tags(hub: HubStandin) -> dict[str, str]:
    refs = hub.store.get(REPO).refs
    return {r.removeprefix("refs/tags/"): c for r, c in refs.items() if r.startswith("refs/tags/")}


def test_a_push_makes_a_private_dataset_with_every_byte_and_tags_it(
    hub: HubStandin, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = push(built, REPO)
    version = image_search.open(built).artifact.version
    assert pushed == Pushed(
        repo=REPO,
        url=f"{hub.url}/datasets/{REPO}/tree/version-{version[:12]}",
        tag=f"version-{version[:12]}",
        commit=hub.head(REPO),
        private=True,
        files=13,
        bytes=pushed.bytes,
        notes=[],
    )
    assert tags(hub) == {pushed.tag: hub.head(REPO)}
    for path in built.rglob("*"):
        name = path.relative_to(built).as_posix()
        if path.is_file() and name != CARD:
            assert hub.file(REPO, "main", name) == path.read_bytes(), name
    log_in(monkeypatch, hub, "stranger")
    with pytest.raises(HubError, match="no dataset"):
        image_search.open(REPO)


def test_the_card_is_front_matter_for_the_hub_and_what_one_has_to_know(
    hub: HubStandin, pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    (pictures / "notes.txt").write_text("not a picture")
    info = CollectionInfo(
        name='Squares: "five"', description="Plain.", rights="CC BY 4.0", notice="Only squares."
    )
    build(open_folder(pictures), colours, tmp_path / "built", info)
    push(tmp_path / "built", REPO)
    text = hub.file(REPO, "main", CARD).decode()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "pretty_name": 'Squares: "five"',
        "license": "cc-by-4.0",
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
        "task_categories": ["image-feature-extraction"],
        "tags": ["image-search"],
        "size_categories": ["n<1K"],
    }
    for expected in (
        'image_search.open("alice/squares")',
        'load_dataset("alice/squares", split="train")',
        "“pictures”: 7 files found, 5 used, 2 left out",
        "`colours`, revision",
        "| year | number | year |",
        "not a picture: 1",
        "CC BY 4.0",
        "Only squares.",
        "out of scope",
    ):
        assert expected in body, expected


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ("", None),
        ("CC0", "cc0-1.0"),
        ("CC-BY-SA 4.0", "cc-by-sa-4.0"),
        ("See https://creativecommons.org/licenses/by-nc/4.0/", "cc-by-nc-4.0"),
        ("CC BY", "cc"),
        ("CC0 for the scans, CC BY 4.0 for the texts", "other"),
        ("Public domain", "other"),
        ("Every picture states its own.", "other"),
    ],
)
def test_the_licence_is_the_hubs_id_of_what_the_rights_name(
    rights: str, expected: str | None
) -> None:
    assert card.licence(rights) == expected


def test_a_second_push_of_the_same_uploads_nothing(hub: HubStandin, built: Path) -> None:
    first = push(built, REPO)
    with hub.recording() as exchanges:
        second = push(built, REPO)
    assert (second.files, second.commit, second.tag) == (0, first.commit, first.tag)
    assert uploaded_bytes(exchanges) == 0
    assert {x.path for x in exchanges if x.method == "POST"} == {
        "/api/repos/create",
        f"/api/datasets/{REPO}/tag/{first.commit}",
    }


def test_the_next_version_replaces_the_former_and_both_have_their_tags(
    hub: HubStandin, built: Path, other: Path
) -> None:
    change(built, "tables/loans.parquet", b"a table of the former version")
    before = push(built, REPO)
    with hub.recording() as exchanges:
        after = push(other, REPO)
    assert "tables/loans.parquet" in hub.files(REPO, before.tag)
    assert "tables/loans.parquet" not in hub.files(REPO)
    assert tags(hub) == {before.tag: before.commit, after.tag: after.commit}
    assert hub.head(REPO) == after.commit
    # The encoder is the same, and stays.
    large = [p for p in other.rglob("*") if p.suffix in (".parquet", ".faiss")]
    assert uploaded_bytes(exchanges) == sum(path.stat().st_size for path in large)


def test_an_upload_that_broke_off_changes_nothing_and_goes_on_where_it_was(
    hub: HubStandin, built: Path
) -> None:
    whole = file_info(built / "index/vectors.faiss").sha256
    hub.faults.append(Fault(f"/_storage/.*/{whole}", "PUT", break_after=10, times=99))
    with (
        hub.recording() as first,
        pytest.raises(HubError, match="Nothing in alice/squares has changed; the same command"),
    ):
        push(built, REPO)
    assert hub.files(REPO) == [".gitattributes"]
    assert tags(hub) == {}
    hub.faults.clear()
    with hub.recording() as second:
        push(built, REPO)
    done = {x.path for x in asked(first, "PUT", "/_storage/") if x.status == 200}
    again = {x.path for x in asked(second, "PUT", "/_storage/")}
    assert done
    assert [path.rpartition("/")[2] for path in again - done] == [whole]
    assert not again & done
    assert len(image_search.open(REPO)) == 5


def test_a_commit_that_the_hub_fails_is_tried_again_without_uploading(
    hub: HubStandin, built: Path
) -> None:
    hub.faults.append(Fault("/commit/main", "POST", status=503))
    with hub.recording() as exchanges:
        pushed = push(built, REPO)
    puts = [x.path for x in asked(exchanges, "PUT", "/_storage/")]
    assert len(puts) == len(set(puts))
    assert [x.status for x in asked(exchanges, "POST", "/commit/main")] == [503, 200]
    assert tags(hub) == {pushed.tag: pushed.commit}


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub: HubStandin, built: Path) -> None:
    hub.faults.append(Fault("/commit/main", "POST", cut_after=0))
    pushed = push(built, REPO)
    assert pushed.commit == hub.head(REPO)
    assert len(list(hub.store.history(hub.store.get(REPO), "main"))) == 2  # the Hub's, and ours


def test_a_hub_that_fails_for_long_is_told_with_what_to_do(hub: HubStandin, built: Path) -> None:
    hub.faults.append(Fault("/commit/main", "POST", status=500, times=99))
    with pytest.raises(HubError, match="failed 3 times to make them a version of alice/squares"):
        push(built, REPO)
    assert tags(hub) == {}


@pytest.mark.parametrize(
    ("role", "said"),
    [
        (None, "The Hub has to know who you are: set HF_TOKEN"),
        ("wrong", r"does not accept your token \(HF_TOKEN.*/settings/tokens"),
        ("reader", r"your token .* only reads. Make one that writes"),
        ("stranger", "is bob's, who may not write for alice. Push to bob/squares, or set HF_TOKEN"),
    ],
)
def test_who_may_not_push_is_told_why_and_no_token_is_shown(
    hub: HubStandin, built: Path, monkeypatch: pytest.MonkeyPatch, role: str | None, said: str
) -> None:
    log_in(monkeypatch, hub, role)
    with hub.recording() as exchanges, pytest.raises(HubError, match=said) as raised:
        push(built, REPO)
    assert "hf_" not in str(raised.value)
    assert uploaded_bytes(exchanges) == 0
    assert hub.repos() == []


def test_what_the_hub_does_not_take_is_told_as_the_hub_says_it(
    hub: HubStandin, built: Path
) -> None:
    hub.faults.append(Fault("/commit/main", "POST", status=422))
    with pytest.raises(HubError, match=r"refused something of alice/squares \(.* 422\): A fault"):
        push(built, REPO)


def test_a_public_dataset_is_refused_unless_it_is_meant(hub: HubStandin, built: Path) -> None:
    hub.make_repo(REPO, private=False)
    with hub.recording() as exchanges, pytest.raises(ConfigError, match="is public: everybody"):
        push(built, REPO)
    assert uploaded_bytes(exchanges) == 0
    assert push(built, REPO, public=True).private is False


def test_public_makes_a_public_one_and_leaves_a_private_one_private(
    hub: HubStandin, built: Path
) -> None:
    assert push(built, "alice/open", public=True).private is False
    push(built, REPO)
    pushed = push(built, REPO, public=True)
    assert pushed.private
    assert pushed.notes == [f"{REPO} exists and is private, and stays so; see its settings."]


def test_what_no_push_wrote_is_never_written_over(hub: HubStandin, built: Path) -> None:
    theirs = {"data/train-00000-of-00001.parquet": b"PAR1 theirs", "README.md": b"# Theirs"}
    hub.make_repo(REPO, theirs, private=True)
    with pytest.raises(ConfigError, match="files that no push wrote, for example data/train-0"):
        push(built, REPO)
    assert hub.file(REPO, "main", "data/train-00000-of-00001.parquet") == b"PAR1 theirs"
    hub.delete_repo(REPO)
    push(built, REPO)
    hub.commit(REPO, {"notes.txt": b"mine"}, "A note")
    with pytest.raises(ConfigError, match=r"for example notes.txt"):
        push(built, REPO)


def test_a_card_changed_by_hand_is_kept_and_another_replaced(
    hub: HubStandin, built: Path, other: Path
) -> None:
    push(built, REPO)
    assert push(other, REPO).notes == []
    assert b"4 pictures" in hub.file(REPO, "main", CARD)
    hub.commit(REPO, {CARD: b"---\nlicense: mit\n---\n# By hand\n"}, "A card")
    pushed = push(built, REPO)
    assert "card of alice/squares was changed by hand and is kept" in pushed.notes[0]
    assert hub.file(REPO, "main", CARD).endswith(b"# By hand\n")
    assert len(image_search.open(REPO)) == 5


def test_a_file_changed_by_hand_is_mended_by_a_push(hub: HubStandin, built: Path) -> None:
    push(built, REPO)
    hub.commit(REPO, {"rejects.csv": b"id,reason\n", MANIFEST: b'{"files": {}}'}, "Tidied")
    with pytest.raises(ConfigError, match="files that no push wrote"):
        push(built, REPO)  # it no longer says which files are its own
    good = (built / MANIFEST).read_bytes()
    hub.commit(REPO, {MANIFEST: good + b"\n"}, "Nearly")
    push(built, REPO)
    assert hub.file(REPO, "main", MANIFEST) == good
    assert hub.file(REPO, "main", "rejects.csv") == (built / "rejects.csv").read_bytes()


def test_a_damaged_collection_is_not_pushed(hub: HubStandin, built: Path) -> None:
    data = bytearray((built / "index/vectors.faiss").read_bytes())
    data[-1] ^= 1
    (built / "index/vectors.faiss").write_bytes(data)
    with pytest.raises(ArtifactError, match="index/vectors.faiss is not what was built"):
        push(built, REPO)
    assert hub.files(REPO) == [".gitattributes"]
    with pytest.raises(ArtifactError, match="There is no built collection"):
        push(built / "none", REPO)


def test_what_did_not_arrive_as_it_was_sent_gets_no_tag(
    hub: HubStandin, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = client.look

    def look_badly(repo: str, revision: str | None = None) -> client.State:
        state = look(repo, revision)
        state.entries.pop("index/vectors.faiss", None)
        return state

    monkeypatch.setattr("image_search.push.look", look_badly)
    with pytest.raises(HubError, match="does not hold index/vectors.faiss as it was uploaded"):
        push(built, REPO)
    assert tags(hub) == {}


def test_a_tag_that_the_hub_fails_to_make_is_made_later(hub: HubStandin, built: Path) -> None:
    hub.faults.append(Fault("/tag/", "POST", status=500, times=2))
    tag = push(built, REPO).tag
    assert tags(hub) == {tag: hub.head(REPO)}
    other = "alice/others"
    hub.faults.append(Fault("/tag/", "POST", status=500, times=3))
    with pytest.raises(HubError, match="alice/others has the new version, but the Hub failed to"):
        push(built, other)
    again = push(built, other)
    assert (again.files, again.commit) == (0, hub.head(other))


def test_a_name_that_is_not_ours_is_told_before_the_build(hub: HubStandin) -> None:
    for public in (False, True):
        with pytest.raises(HubError, match=r"is alice's, who may not write for alcie. Push to ali"):
            check_push("alcie/books", public)
    check_push("Alice/books")


def test_a_tag_that_names_something_else_is_told(hub: HubStandin, built: Path) -> None:
    tag = push(built, REPO).tag
    empty = next(c for c, made in hub.store.get(REPO).commits.items() if made.parent is None)
    hub.store.get(REPO).refs[f"refs/tags/{tag}"] = empty
    with pytest.raises(HubError, match=f"The tag {tag} of {REPO} names something else"):
        push(built, REPO)


def both(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> list[Pushed | str]:
    """Push two at once: both have looked before either makes its commit."""
    look, meeting, has_met = client.look, threading.Barrier(2), threading.local()

    def look_and_meet(repo: str, revision: str | None = None) -> client.State:
        state = look(repo, revision)
        if not hasattr(has_met, "yes"):
            has_met.yes = True
            meeting.wait(30)
        return state

    monkeypatch.setattr("image_search.push.look", look_and_meet)

    def attempt(folder: Path) -> Pushed | str:
        try:
            return push(folder, REPO)
        except HubError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(attempt, folders))


def test_of_two_pushes_at_once_one_wins_and_the_other_is_told(
    hub: HubStandin, built: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = both(monkeypatch, built, other)
    [won] = [o for o in outcomes if isinstance(o, Pushed)]
    [lost] = [o for o in outcomes if isinstance(o, str)]
    assert "Another push into alice/squares came first" in lost
    assert tags(hub) == {won.tag: won.commit} == {won.tag: hub.head(REPO)}
    assert image_search.open(REPO).artifact.files.names() >= {MANIFEST}


def test_the_same_pushed_twice_at_once_is_there_once(
    hub: HubStandin, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(built, tmp_path / "copy"))
    outcomes = both(monkeypatch, built, copy)
    assert [o.commit for o in outcomes if isinstance(o, Pushed)] == [hub.head(REPO)] * 2
    assert len(list(hub.store.history(hub.store.get(REPO), "main"))) == 2


@pytest.mark.parametrize("name", ["squares", "a/b/c", "alice/squares@main", "alice--x/squares"])
def test_what_is_no_name_of_a_dataset_is_told(hub: HubStandin, built: Path, name: str) -> None:
    with pytest.raises((ConfigError, HubError), match="is no name of a|may not write for"):
        push(built, name)


def test_progress_is_told_in_bytes(
    hub: HubStandin, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_search.push.BATCH_FILES", 5)
    told: list[tuple[int, int]] = []
    pushed = push(built, REPO, progress=lambda done, total: told.append((done, total)))
    assert told[0] == (0, pushed.bytes)
    assert told[-1] == (pushed.bytes, pushed.bytes)
    assert len(told) == 4


def run(hub: HubStandin, home: Path, *arguments: str | Path, role: str = "owner") -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**hub.environment(role, home), "NO_COLOR": "1"},
        timeout=120,
    )
    return done.stdout if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("xet", [False, True], ids=["lfs", "xet"])
def test_the_command_pushes_and_says_what_to_do_next(
    built: Path, tmp_path: Path, xet: bool
) -> None:
    with HubStandin(tmp_path / "hub", xet=xet) as hub:
        home = tmp_path / "home"
        said = run(hub, home, "-m", "image_search", "push", built, REPO)
        assert said.startswith("13 files written. alice/squares (private), version-")
        opening = re.search(r"IMAGE_SEARCH_ARTIFACT=(\S+) python app.py", said)
        assert opening
        with hub.recording() as exchanges:
            again = run(hub, home, "-m", "image_search", "push", built, REPO, "--json")
        assert json.loads(again)["files"] == 0
        assert uploaded_bytes(exchanges) == 0
        fresh = tmp_path / "fresh"
        search = ("-m", "image_search", "search", "red", "-a", opening[1])
        sheet = tmp_path / "sheet.png"
        found = run(hub, fresh, *search, "--sheet", sheet, role="reader")
        assert "  1   1.000  warm/red.png  A red thing" in found
        assert sheet.exists()
        refused = run(hub, home, "-m", "image_search", "push", built, REPO, role="reader")
        assert refused.startswith("error: You may not write with your token")
        assert refused.count("\n") == 1


AS_THE_ARTICLE = """
import json, sys
from datasets import load_dataset
import image_search

repo, revision = sys.argv[1:]
collection = image_search.open(f"{repo}@{revision}")
pictures = load_dataset(repo, split="train", revision=revision)
pictures.add_faiss_index("embeddings")
question = collection.encoder.encode_texts(["red"])[0]
scores, nearest = pictures.get_nearest_examples("embeddings", question, k=3)
print(json.dumps([nearest["id"], [hit.id for hit in collection.search("red", k=3)],
                  pictures.column_names, nearest["image"][0].size]))
"""


def test_the_articles_way_finds_the_same_also_after_the_columns_changed(
    built: Path, other: Path, tmp_path: Path
) -> None:
    with HubStandin(tmp_path / "hub") as hub:
        columns = []
        for folder in (built, other):
            home = tmp_path / "home"
            said = json.loads(run(hub, home, "-m", "image_search", "push", folder, REPO, "--json"))
            for revision in (said["tag"], "main"):
                told = run(hub, home, "-c", AS_THE_ARTICLE, REPO, revision)
                theirs, ours, names, size = json.loads(told)
                assert theirs == ours
                assert size == [48, 32]
            columns.append(names)
        assert "source_url" in columns[0]
        assert "source_url" not in columns[1]
