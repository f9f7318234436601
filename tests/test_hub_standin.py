"""The stand-in of the Hub, asked by the real clients."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_standin import (
    IDENTITIES,
    Exchange,
    Fault,
    HubStandin,
    downloaded_bytes,
    uploaded_bytes,
)
from huggingface_hub import HfApi, HfFileSystem, close_session, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# The client's own: it hands httpx2 a file as `data`.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

STANDIN = Path(__file__).with_name("hub_standin.py")
PETS = "alice/pets"
PICTURE = b"\x89PNG\0" + bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def large_files_through_lfs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this process; Xet is for the subprocesses, where it leaves its files in their home."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield
    close_session()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that tries again does so at once."""
    at_once = SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic)
    monkeypatch.setattr("huggingface_hub.utils._http.time", at_once)
    monkeypatch.setattr("huggingface_hub.file_download.time", at_once)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandin]:
    with HubStandin(tmp_path / "hub") as hub:
        yield hub


def api(hub: HubStandin, role: str | None = "owner") -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.token(role) if role else False)


def upload(hub: HubStandin, path: str, data: bytes, role: str | None = "owner", **more: Any) -> str:
    done = api(hub, role).upload_file(
        path_or_fileobj=data, path_in_repo=path, repo_id=PETS, repo_type="dataset", **more
    )
    return str(done.oid)


def download(hub: HubStandin, path: str, home: Path, role: str | None = "owner") -> bytes:
    return Path(
        api(hub, role).hf_hub_download(PETS, path, repo_type="dataset", cache_dir=home)
    ).read_bytes()


def python(
    hub: HubStandin, home: Path, code: str, *arguments: str | Path, role: str = "owner"
) -> str:
    """What `code` prints in a process that knows this Hub only."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=hub.environment(role, home) | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(exchanges: list[Exchange]) -> list[str]:
    """The requests, without what differs from run to run."""
    hashes = {40: "{sha}", 64: "{sha256}"}
    return [
        re.sub("[0-9a-f]{40,64}", lambda found: hashes[len(found[0])], f"{x.method} {x.path}")
        for x in exchanges
    ]


# push_to_hub and load_dataset

PUSH = """
from datasets import Dataset
numbers = Dataset.from_dict({"number": range(1000), "vector": [[n / 7] * 32 for n in range(1000)]})
numbers.push_to_hub("alice/numbers")
"""
LOAD = """
from datasets import load_dataset
numbers = load_dataset("alice/numbers", split="train", revision="main")
print(numbers.num_rows, sum(numbers["number"]))
"""
NUMBERS = "/api/datasets/alice/numbers"
FILE = "data/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a push of a new dataset, the same push again, and a load of it did."""
    folder = tmp_path_factory.mktemp("pushed")
    with HubStandin(folder / "hub") as hub:
        with hub.recording() as first:
            python(hub, folder / "home", PUSH)
        head = hub.head("alice/numbers")
        with hub.recording() as again:
            python(hub, folder / "home", PUSH)
        head_again = hub.head("alice/numbers")
        with hub.recording() as load:
            loaded = python(hub, folder / "home", LOAD)
        size = len(hub.file("alice/numbers", "main", FILE))
    return locals()


def test_pushing_a_new_dataset_makes_these_requests(pushed: dict[str, Any]) -> None:
    assert asked(pushed["first"]) == [
        f"GET {NUMBERS}",
        "POST /api/repos/create",
        f"POST {NUMBERS}/preupload/main",
        "POST /datasets/alice/numbers.git/info/lfs/objects/batch",
        "PUT /_storage/alice/numbers/{sha256}",
        "POST /datasets/alice/numbers.git/info/lfs/verify",
        f"GET {NUMBERS}",
        f"GET {NUMBERS}/revision/{{sha}}",
        f"GET {NUMBERS}/tree/{{sha}}/data",
        f"GET {NUMBERS}/tree/{{sha}}",
        f"GET {NUMBERS}/tree/{{sha}}/data",
        "POST /api/validate-yaml",
        f"POST {NUMBERS}/preupload/main",
        f"POST {NUMBERS}/commit/main",
    ]
    assert uploaded_bytes(pushed["first"]) == pushed["size"]


def test_pushing_the_same_again_sends_no_file_and_makes_no_commit(pushed: dict[str, Any]) -> None:
    assert asked(pushed["again"]) == [
        f"GET {NUMBERS}",
        f"POST {NUMBERS}/preupload/main",
        "POST /datasets/alice/numbers.git/info/lfs/objects/batch",
        f"GET {NUMBERS}",
        f"GET {NUMBERS}/revision/{{sha}}",
        f"GET {NUMBERS}/tree/{{sha}}/data",
        f"GET {NUMBERS}/tree/{{sha}}",
        "GET /datasets/alice/numbers/resolve/{sha}/README.md",
        "POST /api/validate-yaml",
        f"POST {NUMBERS}/preupload/main",
        f"GET {NUMBERS}/revision/main",
    ]
    assert uploaded_bytes(pushed["again"]) == 0
    assert pushed["head_again"] == pushed["head"]


def test_loading_a_dataset_makes_these_requests(pushed: dict[str, Any]) -> None:
    files = "/datasets/alice/numbers/resolve"
    assert pushed["loaded"].split() == ["1000", "499500"]
    assert asked(pushed["load"]) == [
        f"HEAD {files}/main/README.md",
        f"GET {files}/main/README.md",
        f"HEAD {files}/{{sha}}/numbers.py",
        f"GET {NUMBERS}/revision/{{sha}}",
        f"HEAD {files}/{{sha}}/.huggingface.yaml",
        f"GET {NUMBERS}/tree/{{sha}}/data",
        f"GET {NUMBERS}/tree/{{sha}}",
        f"HEAD {files}/{{sha}}/dataset_infos.json",
        f"HEAD {files}/{{sha}}/{FILE}",
        "GET /_storage/alice/numbers/{sha256}",
    ]
    assert downloaded_bytes(pushed["load"]) >= pushed["size"]


def test_the_storage_gets_no_token_and_the_log_holds_none(pushed: dict[str, Any]) -> None:
    every = pushed["first"] + pushed["again"] + pushed["load"]
    assert {x.role for x in every if "/_storage/" in x.path} == {"nobody"}
    assert {x.role for x in every if "/_storage/" not in x.path} == {"owner"}
    assert not re.search("hf_(owner|reader|stranger)", repr(every))


def test_load_dataset_says_what_it_may_not_have(hub: HubStandin, tmp_path: Path) -> None:
    for name in ("private", "gated", "plain"):
        hub.make_repo(f"alice/{name}", {"rows.csv": b"n\n1\n"}, private=name == "private")
    hub.gate("alice/gated")
    code = """
from datasets import load_dataset
for name, revision in [("private", None), ("gated", None), ("missing", None), ("plain", "gone")]:
    try:
        load_dataset(f"alice/{name}", revision=revision)
    except Exception as error:
        print(type(error).__name__, error)
"""
    assert python(hub, tmp_path / "home", code, role="stranger").splitlines() == [
        "DatasetNotFoundError Dataset 'alice/private' doesn't exist on the Hub or cannot be "
        "accessed.",
        "DatasetNotFoundError Dataset 'alice/gated' is a gated dataset on the Hub. Visit the "
        "dataset page at https://huggingface.co/datasets/alice/gated to ask for access.",
        "DatasetNotFoundError Dataset 'alice/missing' doesn't exist on the Hub or cannot be "
        "accessed.",
        "DatasetNotFoundError Revision 'gone' doesn't exist for dataset 'alice/plain' on the Hub.",
    ]


def test_load_dataset_looks_for_no_host_but_this_one(hub: HubStandin, tmp_path: Path) -> None:
    hub.make_repo("alice/plain", {"rows.csv": b"n\n1\n"})
    code = """
import socket
look_up = socket.getaddrinfo
def told(host, *others, **more):
    print(host)
    return look_up(host, *others, **more)
socket.getaddrinfo = told
from datasets import load_dataset
load_dataset("alice/plain")
"""
    # The last is the dataset viewer of this endpoint: the client makes the name, and it fails.
    hosts = set(python(hub, tmp_path / "home", code).split())
    assert hosts <= {"127.0.0.1", "localhost", "datasets-server.127.0.0.1"}


# Files up and down


def test_a_large_file_goes_up_through_lfs(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    with hub.recording() as made:
        oid = upload(hub, "cat.png", PICTURE)
    assert asked(made) == [
        f"POST /api/datasets/{PETS}/preupload/main",
        f"POST /datasets/{PETS}.git/info/lfs/objects/batch",
        f"PUT /_storage/{PETS}/{{sha256}}",
        f"POST /datasets/{PETS}.git/info/lfs/verify",
        f"POST /api/datasets/{PETS}/commit/main",
    ]
    assert uploaded_bytes(made) == len(PICTURE)
    assert hub.head(PETS) == oid
    assert hub.file(PETS, "main", "cat.png") == PICTURE


def test_a_small_text_goes_up_within_the_commit(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    with hub.recording() as made:
        upload(hub, "notes/cat.txt", b"miaow")
    assert [x.path.split("/")[5] for x in made] == ["preupload", "commit"]
    assert hub.file(PETS, "main", "notes/cat.txt") == b"miaow"


@pytest.mark.parametrize("data", [b"miaow", PICTURE], ids=["small", "large"])
def test_what_is_there_already_is_not_sent(hub: HubStandin, data: bytes) -> None:
    hub.make_repo(PETS, {"cat": data})
    before = hub.head(PETS)
    with hub.recording() as made:
        upload(hub, "cat", data)
    assert uploaded_bytes(made) == 0
    assert hub.head(PETS) == before


def test_a_folder_is_one_commit(hub: HubStandin, tmp_path: Path) -> None:
    hub.make_repo(PETS, {"old.txt": b"old"})
    (tmp_path / "pets" / "small").mkdir(parents=True)
    (tmp_path / "pets" / "README.md").write_text("---\ntags: [cats]\n---\n")
    for number in range(3):
        (tmp_path / "pets" / "small" / f"{number}.png").write_bytes(PICTURE + b"%d" % number)
    done = api(hub).upload_folder(
        folder_path=tmp_path / "pets", repo_id=PETS, repo_type="dataset", delete_patterns="*.txt"
    )
    assert hub.head(PETS) == done.oid
    assert hub.files(PETS) == [
        ".gitattributes",
        "README.md",
        "small/0.png",
        "small/1.png",
        "small/2.png",
    ]
    assert hub.file(PETS, "main", "small/2.png") == PICTURE + b"2"
    titles = [commit.title for commit in api(hub).list_repo_commits(PETS, repo_type="dataset")]
    assert titles == ["Upload folder using huggingface_hub", "files", "initial commit"]


def test_very_large_files_go_up_in_parts(tmp_path: Path) -> None:
    with HubStandin(tmp_path / "hub", part_size=30_000) as hub:
        hub.make_repo(PETS)
        with hub.recording() as made:
            upload(hub, "cat.png", PICTURE)
        assert [x.bytes_in for x in made if x.method == "PUT"] == [30_000] * 3 + [12_405]
        assert hub.file(PETS, "main", "cat.png") == PICTURE
        assert not list((tmp_path / "hub" / "blobs").glob("*.[0-9]*"))


def test_files_come_down_and_come_from_the_cache_after(hub: HubStandin, tmp_path: Path) -> None:
    hub.make_repo(PETS, {"cat.png": PICTURE, "cat.txt": b"miaow"})
    assert download(hub, "cat.png", tmp_path) == PICTURE
    assert download(hub, "cat.txt", tmp_path) == b"miaow"
    with hub.recording() as made:
        download(hub, "cat.png", tmp_path)
    assert asked(made) == [f"HEAD /datasets/{PETS}/resolve/main/cat.png"]


def test_the_answer_about_a_large_file_tells_of_it_and_sends_elsewhere(hub: HubStandin) -> None:
    head = hub.make_repo(PETS, {"cat.png": PICTURE})
    answer = httpx2.head(f"{hub.url}/datasets/{PETS}/resolve/main/cat.png")
    assert answer.status_code == 302
    assert answer.headers["X-Repo-Commit"] == head
    assert answer.headers["X-Linked-Size"] == str(len(PICTURE))
    assert re.fullmatch('"[0-9a-f]{64}"', answer.headers["X-Linked-Etag"])
    place = answer.headers["Location"]
    assert httpx2.URL(place).host == "localhost"

    assert httpx2.get(place).content == PICTURE
    assert httpx2.get(place.replace("Signature=", "Signature=0")).status_code == 403


def test_parts_of_a_file_are_to_be_had(hub: HubStandin) -> None:
    hub.make_repo(PETS, {"cat.txt": b"0123456789"})
    place = f"{hub.url}/datasets/{PETS}/resolve/main/cat.txt"
    for wanted, told, part in [
        ("bytes=2-4", "bytes 2-4/10", b"234"),
        ("bytes=7-", "bytes 7-9/10", b"789"),
        ("bytes=-1", "bytes 9-9/10", b"9"),
        ("bytes=8-20", "bytes 8-9/10", b"89"),
    ]:
        answer = httpx2.get(place, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["Content-Range"] == told
    answer = httpx2.get(place, headers={"Range": "bytes=10-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */10")


def test_one_row_group_of_a_parquet_file_moves_only_its_bytes(hub: HubStandin) -> None:
    data = BytesIO()
    noise = np.random.default_rng(0).random(200_000)
    pq.write_table(pa.table({"noise": noise}), data, row_group_size=10_000)
    hub.make_repo(PETS, {"noise.parquet": data.getvalue()})
    files = HfFileSystem(endpoint=hub.url, token=hub.token("owner"), skip_instance_cache=True)
    with (
        hub.recording() as made,
        files.open(f"datasets/{PETS}/noise.parquet", cache_type="none") as remote,
        pq.ParquetFile(remote) as parquet,
    ):
        rows = parquet.read_row_group(7)["noise"].to_numpy()
        group = parquet.metadata.row_group(7).total_byte_size
    assert np.array_equal(rows, noise[70_000:80_000])
    assert downloaded_bytes(made) < group + 100_000 < len(data.getvalue()) / 5
    assert {x.status for x in made if "/_storage/" in x.path} == {206}


# Who may


def test_whoami_tells_who_a_token_is_and_may(hub: HubStandin) -> None:
    told = {
        role: (answer["name"], answer["auth"]["accessToken"]["role"])
        for role in IDENTITIES
        for answer in [api(hub, role).whoami()]
    }
    assert told == {
        "owner": ("alice", "write"),
        "reader": ("alice", "read"),
        "space": ("alice", "write"),
        "stranger": ("bob", "write"),
    }


def test_a_wrong_token_opens_nothing_not_even_what_is_public(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as caught:
        HfApi(endpoint=hub.url, token="hf_wrong").dataset_info(PETS)
    assert caught.value.response.status_code == 401
    assert not isinstance(caught.value, RepositoryNotFoundError)
    assert hub.log[-1].role == "unknown"


def test_a_token_for_reading_is_refused_at_the_door_of_uploading(hub: HubStandin) -> None:
    hub.make_repo(PETS, private=True)
    with pytest.raises(HfHubHTTPError, match="you must use a write token") as caught:
        upload(hub, "cat.txt", b"miaow", "reader")
    assert caught.value.response.status_code == 403
    assert [x.path for x in hub.log] == [f"/api/datasets/{PETS}/preupload/main"]
    assert api(hub, "reader").dataset_info(PETS).private


def test_nobody_makes_a_repository_in_the_name_of_another(hub: HubStandin) -> None:
    for role in ("reader", "stranger"):
        with pytest.raises(HfHubHTTPError, match="You don't have the rights to create a dataset"):
            api(hub, role).create_repo(PETS, repo_type="dataset")


@pytest.mark.parametrize(("role", "status"), [("stranger", 404), (None, 401)])
def test_a_private_repository_is_as_missing_to_others(
    hub: HubStandin, tmp_path: Path, role: str | None, status: int
) -> None:
    hub.make_repo(PETS, {"cat.png": PICTURE}, private=True)
    for attempt in (
        lambda: api(hub, role).dataset_info(PETS),
        lambda: api(hub, role).dataset_info("alice/missing"),
        lambda: download(hub, "cat.png", tmp_path, role),
        lambda: upload(hub, "cat.txt", b"miaow", role),
    ):
        with pytest.raises(RepositoryNotFoundError) as caught:
            attempt()
        assert caught.value.response.status_code == status
    assert download(hub, "cat.png", tmp_path, "reader") == PICTURE

    hub.make_public(PETS)
    assert download(hub, "cat.png", tmp_path / "other", role) == PICTURE


@pytest.mark.parametrize(("role", "status"), [("stranger", 403), (None, 401)])
def test_of_a_gated_repository_others_see_the_names_only(
    hub: HubStandin, tmp_path: Path, role: str | None, status: int
) -> None:
    hub.make_repo(PETS, {"cat.png": PICTURE})
    hub.gate(PETS, "manual")
    told = api(hub, role).dataset_info(PETS)
    assert (told.gated, len(told.siblings or [])) == ("manual", 2)
    with pytest.raises(GatedRepoError) as caught:
        download(hub, "cat.png", tmp_path, role)
    assert caught.value.response.status_code == status
    assert download(hub, "cat.png", tmp_path / "owner") == PICTURE


def test_who_is_granted_passes_the_gate(hub: HubStandin, tmp_path: Path) -> None:
    hub.make_repo(PETS, {"cat.png": PICTURE})
    hub.gate(PETS)
    hub.grant(PETS, "stranger")
    assert download(hub, "cat.png", tmp_path, "stranger") == PICTURE


# Repositories, branches, tags


def test_a_repository_is_made_once_shown_hidden_and_deleted(hub: HubStandin) -> None:
    owner = api(hub)
    owner.create_repo(PETS, repo_type="dataset", private=True)
    with pytest.raises(HfHubHTTPError, match="already created") as caught:
        owner.create_repo(PETS, repo_type="dataset")
    assert caught.value.response.status_code == 409
    # As on the Hub, asking for another visibility changes nothing then.
    owner.create_repo(PETS, repo_type="dataset", private=False, exist_ok=True)
    assert owner.dataset_info(PETS).private

    owner.update_repo_settings(PETS, repo_type="dataset", private=False, gated="auto")
    told = api(hub, None).dataset_info(PETS)
    assert (told.private, told.gated) == (False, "auto")
    owner.delete_repo(PETS, repo_type="dataset")
    assert hub.repos() == []


def test_a_repository_tells_of_itself(hub: HubStandin) -> None:
    card = b"---\nlicense: cc0-1.0\ntags: [cats]\n---\n# Pets\n"
    head = hub.make_repo(PETS, {"README.md": card, "cat.png": PICTURE})
    told = api(hub).dataset_info(PETS, revision=head, files_metadata=True)
    assert (told.sha, told.author, told.tags) == (head, "alice", ["cats"])
    assert told.card_data is not None
    assert told.card_data.license == "cc0-1.0"
    siblings = {file.rfilename: file for file in told.siblings or []}
    assert siblings["README.md"].size == len(card)
    assert siblings["README.md"].lfs is None
    picture = siblings["cat.png"]
    assert picture.size == len(PICTURE)
    assert picture.lfs is not None
    assert picture.lfs["size"] == len(PICTURE)
    less = api(hub).dataset_info(PETS, expand=["private"])
    assert (less.private, less.sha, less.siblings) == (False, None, None)


def test_a_stale_parent_is_refused(hub: HubStandin) -> None:
    stale = hub.make_repo(PETS)
    fresh = hub.commit(PETS, {"dog.txt": b"woof"}, "somebody was faster")
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        upload(hub, "cat.txt", b"miaow", parent_commit=stale)
    assert caught.value.response.status_code == 412
    upload(hub, "cat.txt", b"miaow", parent_commit=fresh)
    assert hub.files(PETS) == [".gitattributes", "cat.txt", "dog.txt"]


def test_commits_made_at_once_are_all_there(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: upload(hub, f"{n}.png", PICTURE + b"%d" % n), range(8)))
    assert len(hub.files(PETS)) == 9
    assert len(api(hub).list_repo_commits(PETS, repo_type="dataset")) == 9


def test_deleting_what_is_not_there_is_an_error(hub: HubStandin) -> None:
    hub.make_repo(PETS, {"cats/1.txt": b"1", "cats/2.txt": b"2"})
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        api(hub).delete_file("dog.txt", PETS, repo_type="dataset")
    api(hub).delete_folder("cats", PETS, repo_type="dataset")
    assert hub.files(PETS) == [".gitattributes"]


def test_a_tag_stays_where_it_was_put(hub: HubStandin) -> None:
    owner, first = api(hub), hub.make_repo(PETS, {"cat.txt": b"miaow"})
    owner.create_tag(PETS, tag="v1", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="already exists") as caught:
        owner.create_tag(PETS, tag="v1", repo_type="dataset")
    assert caught.value.response.status_code == 409
    upload(hub, "cat.txt", b"purr")
    assert hub.file(PETS, "v1", "cat.txt") == b"miaow"
    assert owner.dataset_info(PETS, revision="v1").sha == first
    refs = owner.list_repo_refs(PETS, repo_type="dataset")
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", first)]
    owner.delete_tag(PETS, tag="v1", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        owner.dataset_info(PETS, revision="v1")


def test_a_branch_goes_its_own_way(hub: HubStandin) -> None:
    hub.make_repo(PETS, {"cat.txt": b"miaow"})
    api(hub).create_branch(PETS, branch="trial/one", repo_type="dataset")
    upload(hub, "dog.txt", b"woof", revision="trial/one")
    assert hub.files(PETS) == [".gitattributes", "cat.txt"]
    assert hub.files(PETS, "trial/one") == [".gitattributes", "cat.txt", "dog.txt"]
    hub.delete_branch(PETS, "trial/one")
    with pytest.raises(RevisionNotFoundError):
        upload(hub, "dog.txt", b"woof", revision="trial/one")


def test_squashing_leaves_the_files_and_one_commit(hub: HubStandin) -> None:
    hub.make_repo(PETS, {"cat.txt": b"miaow"})
    api(hub).super_squash_history(PETS, repo_type="dataset")
    assert len(api(hub).list_repo_commits(PETS, repo_type="dataset")) == 1
    assert hub.file(PETS, "main", "cat.txt") == b"miaow"


def test_a_revision_or_a_file_that_is_gone_is_told_apart(hub: HubStandin, tmp_path: Path) -> None:
    hub.make_repo(PETS, {"cat.txt": b"miaow"})
    gone, head = hub.head(PETS), hub.commit(PETS, {"cat.txt": b"purr"}, "another")
    hub.delete_revision(PETS, gone)
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id"):
        api(hub).dataset_info(PETS, revision=gone)
    with pytest.raises(RemoteEntryNotFoundError) as caught:
        download(hub, "dog.txt", tmp_path)
    assert caught.value.response.headers["X-Repo-Commit"] == head


def test_metadata_that_is_no_yaml_is_refused(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        upload(hub, "README.md", b"---\ntags: [cats\n---\n")


# Listings


def test_a_large_tree_comes_a_thousand_entries_at_a_time(hub: HubStandin) -> None:
    hub.make_repo(PETS, {f"pets/{n:04}.txt": b"%d" % n for n in range(2100)})
    with hub.recording() as made:
        entries = list(api(hub).list_repo_tree(PETS, repo_type="dataset", recursive=True))
    assert len(made) == 3
    assert {entry.path for entry in entries} == {"pets", *hub.files(PETS)}
    shallow = list(api(hub).list_repo_tree(PETS, repo_type="dataset"))
    assert [entry.path for entry in shallow] == ["pets", ".gitattributes"]


def test_an_expanded_tree_names_the_last_change_of_each(hub: HubStandin) -> None:
    hub.make_repo(PETS, {f"{n}.txt": b"miaow" for n in range(60)})
    hub.commit(PETS, {"7.txt": b"purr"}, "only seven")
    with hub.recording() as made:
        entries = list(api(hub).list_repo_tree(PETS, repo_type="dataset", expand=True))
    assert len(made) == 2
    titles = {entry.path: entry.last_commit.title for entry in entries if entry.last_commit}
    assert (titles["7.txt"], titles["8.txt"]) == ("only seven", "files")


def test_paths_are_told_of_and_missing_ones_left_out(hub: HubStandin) -> None:
    hub.make_repo(PETS, {"cats/1.png": PICTURE})
    told = api(hub).get_paths_info(
        PETS, ["cats/1.png", "cats", "dogs"], repo_type="dataset", expand=True
    )
    assert [entry.path for entry in told] == ["cats/1.png", "cats"]
    assert told[0].last_commit is not None
    with pytest.raises(EntryNotFoundError, match='dogs does not exist on "main"'):
        list(api(hub).list_repo_tree(PETS, "dogs", repo_type="dataset"))


# When things go wrong


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("fault", [{"status": 500}, {"break_after": 60_000}], ids=str)
def test_a_failed_upload_is_tried_again(hub: HubStandin, fault: dict[str, int]) -> None:
    hub.make_repo(PETS)
    hub.faults.append(Fault("/_storage/", method="PUT", times=2, **fault))
    upload(hub, "cat.png", PICTURE)
    tries = [x for x in hub.log if x.method == "PUT"]
    assert [x.status for x in tries] == [fault.get("status")] * 2 + [200]
    assert [x.fault for x in tries] == [True, True, False]
    assert hub.file(PETS, "main", "cat.png") == PICTURE


@pytest.mark.usefixtures("no_waiting")
def test_after_a_broken_connection_only_the_rest_is_sent(hub: HubStandin, tmp_path: Path) -> None:
    hub.make_repo(PETS)
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(PICTURE + b"%d" % number)

    def upload_all() -> None:
        api(hub).upload_folder(
            folder_path=tmp_path, repo_id=PETS, repo_type="dataset", allow_patterns="*.png"
        )

    # Two go through; then the connection breaks for good.
    hub.faults.append(Fault("/_storage/", "PUT", delay=0.05, times=2))
    hub.faults.append(Fault("/_storage/", "PUT", break_after=50_000, times=100))
    with pytest.raises(RuntimeError, match="Error while uploading"):
        upload_all()
    assert hub.files(PETS) == [".gitattributes"]

    hub.faults.clear()
    with hub.recording() as made:
        upload_all()
    assert uploaded_bytes(made) == 2 * (len(PICTURE) + 1)
    assert len(hub.files(PETS)) == 5


def test_a_failed_commit_is_not_tried_again_but_nothing_is_sent_twice(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    hub.faults.append(Fault("/commit/main", status=503))
    with pytest.raises(HfHubHTTPError) as caught:
        upload(hub, "cat.png", PICTURE)
    assert caught.value.response.status_code == 503
    with hub.recording() as made:
        upload(hub, "cat.png", PICTURE)
    assert uploaded_bytes(made) == 0
    assert hub.file(PETS, "main", "cat.png") == PICTURE


def test_a_commit_whose_answer_is_lost_has_happened(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    hub.faults.append(Fault("/commit/main", cut_after=10))
    with pytest.raises(httpx2.RemoteProtocolError):
        upload(hub, "cat.txt", b"miaow")
    assert hub.file(PETS, "main", "cat.txt") == b"miaow"


@pytest.mark.usefixtures("no_waiting")
def test_a_download_cut_short_goes_on_where_it_was(
    hub: HubStandin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client keeps whole pieces of this size only.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 20_000)
    hub.make_repo(PETS, {"cat.png": PICTURE})
    hub.faults.append(Fault("/_storage/", cut_after=60_000))
    assert download(hub, "cat.png", tmp_path) == PICTURE
    parts = [(x.status, x.bytes_out) for x in hub.log if "/_storage/" in x.path]
    assert parts == [(200, 60_000), (206, len(PICTURE) - 60_000)]


def test_a_slow_answer_is_late(hub: HubStandin) -> None:
    hub.faults.append(Fault("whoami", delay=0.3))
    begin = time.monotonic()
    api(hub).whoami()
    assert time.monotonic() - begin >= 0.3


def test_the_network_goes_and_comes_back(hub: HubStandin) -> None:
    hub.make_repo(PETS)
    url = hub.url
    hub.faults.append(Fault("whoami", delay=60))
    waiting = ThreadPoolExecutor(1)
    asking = waiting.submit(api(hub).whoami)
    while not hub.log:
        time.sleep(0.01)
    hub.stop()
    with pytest.raises(httpx2.TransportError):
        asking.result()
    waiting.shutdown()
    with pytest.raises(httpx2.ConnectError):
        api(hub).dataset_info(PETS)

    hub.start()
    assert hub.url == url
    assert api(hub).dataset_info(PETS).id == PETS
    assert [thread.name for thread in threading.enumerate()].count("hub-standin") == 1


def test_what_it_holds_outlives_it(hub: HubStandin, tmp_path: Path) -> None:
    head = hub.make_repo(PETS, {"cat.png": PICTURE}, private=True)
    with HubStandin(tmp_path / "hub") as later:
        assert api(later).dataset_info(PETS).sha == head
        assert download(later, "cat.png", tmp_path) == PICTURE


def test_another_process_sets_faults_and_reads_the_log(hub: HubStandin) -> None:
    controls = f"{hub.url}/_standin"
    fault = {"path": "/api/", "status": 503, "times": 1}
    httpx2.post(f"{controls}/faults", json=fault).raise_for_status()
    assert httpx2.get(f"{hub.url}/api/whoami-v2").status_code == 503
    (seen,) = httpx2.get(f"{controls}/log").json()
    assert (seen["method"], seen["path"], seen["status"]) == ("GET", "/api/whoami-v2", 503)
    for control in ("log", "faults"):
        httpx2.delete(f"{controls}/{control}").raise_for_status()
    assert (hub.log, hub.faults) == ([], [])


def test_what_it_does_not_imitate_it_says(hub: HubStandin) -> None:
    answer = httpx2.get(f"{hub.url}/api/models/alice/model")
    assert answer.status_code == 501
    assert answer.json() == {"error": "The stand-in does not imitate GET /api/models/alice/model"}


def test_a_person_starts_it_by_hand(tmp_path: Path) -> None:
    command = [sys.executable, str(STANDIN), "--port", "0", "--root", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        told = []
        while not (line := serving.stdout.readline()).startswith("#"):
            told.append(line.removeprefix("export ").strip().split("=", 1))
        environment = dict(told)
        answer = HfApi(endpoint=environment["HF_ENDPOINT"], token=environment["HF_TOKEN"]).whoami()
        serving.terminate()
    assert answer["name"] == "alice"


def test_the_environment_is_free_of_what_the_shell_had(
    hub: HubStandin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_real")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    environment = hub.environment(None, tmp_path)
    ours = {name: environment[name] for name in environment if name.startswith("HF_")}
    assert ours == {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    }
    assert environment["PATH"] == os.environ["PATH"]


# Xet

XET = """
import sys
from huggingface_hub import HfApi
what, folder = sys.argv[1:]
pets = {"repo_id": "alice/pets", "repo_type": "dataset"}
if what == "up":
    HfApi().upload_folder(folder_path=folder, **pets)
else:
    HfApi().snapshot_download(local_dir=folder, **pets)
"""


@pytest.fixture
def xet_hub(tmp_path: Path) -> Iterator[HubStandin]:
    with HubStandin(tmp_path / "hub", xet=True) as hub:
        hub.make_repo(PETS)
        yield hub


def through_xet(hub: HubStandin, what: str, folder: Path) -> list[Exchange]:
    """The requests of an "up" or a "down" of a folder; none of them to LFS."""
    with hub.recording() as made:
        python(hub, folder.parent / "home", XET, what, folder)
    assert not [x for x in made if "/_storage/" in x.path]
    return made


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


def test_files_go_up_and_down_through_xet(xet_hub: HubStandin, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    # One that does not shrink, one that does, one that does with its bytes sorted by fours.
    contents = {
        "noise.bin": random.bytes(400_000),
        "text.bin": b"miaow " * 60_000,
        "floats.bin": random.normal(1, 0.001, 100_001).astype("float32").tobytes() + b"odd",
    }
    sent = through_xet(xet_hub, "up", write(tmp_path / "here", contents))
    assert 400_000 < uploaded_bytes(sent) < sum(map(len, contents.values()))
    assert {name: xet_hub.file(PETS, "main", name) for name in contents} == contents

    got = through_xet(xet_hub, "down", tmp_path / "there")
    assert downloaded_bytes(got) >= uploaded_bytes(sent)
    assert {name: (tmp_path / "there" / name).read_bytes() for name in contents} == contents
    assert download(xet_hub, "floats.bin", tmp_path / "without xet") == contents["floats.bin"]


def test_of_a_changed_file_xet_sends_the_changed_part(xet_hub: HubStandin, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(600_000)
    through_xet(xet_hub, "up", write(tmp_path / "here", {"noise.bin": noise}))
    changed = noise[:300_000] + b"!" + noise[300_000:]
    sent = through_xet(xet_hub, "up", write(tmp_path / "here", {"noise.bin": changed}))
    assert 0 < uploaded_bytes(sent) < 300_000
    through_xet(xet_hub, "down", tmp_path / "there")
    assert (tmp_path / "there" / "noise.bin").read_bytes() == changed


def test_a_failed_upload_through_xet_is_tried_again(xet_hub: HubStandin, tmp_path: Path) -> None:
    xet_hub.faults.append(Fault("/_cas/v1/xorbs/", status=503))
    sent = through_xet(xet_hub, "up", write(tmp_path / "here", {"cat.png": PICTURE}))
    assert [x.status for x in sent if "/_cas/v1/xorbs/" in x.path] == [503, 200]
    assert xet_hub.file(PETS, "main", "cat.png") == PICTURE


def test_xet_needs_a_token_and_for_writing_one_for_writing(xet_hub: HubStandin) -> None:
    token = httpx2.get(f"{xet_hub.url}/api/datasets/{PETS}/xet-read-token/main").json()
    xorb = f"{token['casUrl']}/v1/xorbs/default/{'0' * 64}"
    assert httpx2.post(xorb).status_code == 401
    reading = {"Authorization": f"Bearer {token['accessToken']}"}
    assert httpx2.post(xorb, headers=reading).status_code == 403
    for role, status in [("owner", 200), ("reader", 403), ("stranger", 403)]:
        asking = {"Authorization": f"Bearer {xet_hub.token(role)}"}
        place = f"{xet_hub.url}/api/datasets/{PETS}/xet-write-token/main"
        assert httpx2.get(place, headers=asking).status_code == status


# Spaces

SPACE = "alice/pets"  # called as the dataset is
THERE = f"spaces/{SPACE}"


def make_space(hub: HubStandin, visibility: Any = "private", **more: Any) -> HfApi:
    owner = api(hub)
    owner.create_repo(SPACE, repo_type="space", space_sdk="gradio", visibility=visibility, **more)
    return owner


def test_a_space_is_another_repository_than_a_dataset_of_its_name(hub: HubStandin) -> None:
    hub.make_repo(PETS, {"a.txt": b"a"})
    owner = make_space(hub, space_hardware="cpu-upgrade")
    assert owner.space_info(SPACE).sdk == "gradio"
    assert owner.space_info(SPACE).host == "https://alice-pets.hf.space"
    made = owner.upload_file(
        path_or_fileobj=PICTURE, path_in_repo="pet.png", repo_id=SPACE, repo_type="space"
    )
    assert made.oid == hub.head(THERE)
    assert hub.files(THERE) == [".gitattributes", "README.md", "pet.png"]
    assert hub.files(PETS) == [".gitattributes", "a.txt"]
    assert owner.get_space_runtime(SPACE).requested_hardware == "cpu-upgrade"
    assert owner.request_space_hardware(SPACE, "t4-small").requested_hardware == "t4-small"
    assert "t4-small" in {one.name for one in owner.list_spaces_hardware()}
    with pytest.raises(HfHubHTTPError, match="409"):
        make_space(hub)
    owner.delete_repo(SPACE, repo_type="space")
    assert hub.repos() == [PETS]


def test_a_file_of_a_space_is_downloaded(hub: HubStandin, tmp_path: Path) -> None:
    hub.make_repo(THERE, {"app.py": b"print()", "pet.png": PICTURE}, private=True)
    for name, data in (("app.py", b"print()"), ("pet.png", PICTURE)):
        path = api(hub).hf_hub_download(SPACE, name, repo_type="space", cache_dir=tmp_path / "home")
        assert Path(path).read_bytes() == data
    with pytest.raises(RepositoryNotFoundError):
        api(hub, "stranger").space_info(SPACE)


def test_variables_of_a_space_are_read_and_secrets_are_not(hub: HubStandin) -> None:
    owner = make_space(hub)
    owner.add_space_variable(SPACE, "PET", "cat")
    owner.add_space_variable(SPACE, "PET", "dog", description="Which")
    owner.add_space_secret(SPACE, "KEY", "hidden", description="For the door")
    told = owner.get_space_variables(SPACE)["PET"]
    assert (told.value, told.description) == ("dog", "Which")
    secret = owner.get_space_secrets(SPACE)["KEY"]
    assert secret.description == "For the door"
    assert "hidden" not in str(vars(secret))
    assert hub.store.get(THERE).secrets["KEY"]["value"] == "hidden"
    with pytest.raises(HfHubHTTPError, match="403"):
        api(hub, "reader").add_space_variable(SPACE, "PET", "cow")
    owner.delete_space_variable(SPACE, "PET")
    owner.delete_space_secret(SPACE, "KEY")
    assert owner.get_space_variables(SPACE) == owner.get_space_secrets(SPACE) == {}


def test_a_space_becomes_what_its_settings_say_and_outlives_the_stand_in(tmp_path: Path) -> None:
    with HubStandin(tmp_path / "hub") as hub:
        owner = make_space(hub, "protected")
        assert hub.store.get(THERE).protected
        assert owner.space_info(SPACE).private
        owner.update_repo_settings(SPACE, repo_type="space", visibility="public")
        owner.add_space_variable(SPACE, "PET", "cat")
        assert api(hub, None).space_info(SPACE).private is False
    with HubStandin(tmp_path / "hub") as again:
        assert not again.store.get(THERE).protected
        assert api(again).get_space_variables(SPACE)["PET"].value == "cat"
