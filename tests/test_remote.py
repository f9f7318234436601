"""A collection of the Hub is opened at one commit, in part, checked, and outlives the network."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import build_folder, serving
from hub_here import CLIENTS_OWN, asked, hub_here, log_in
from hub_standin import Fault, HubStandin, downloaded_bytes
from PIL import Image
from test_api import api_of

import image_search
from image_search import fetch, remote
from image_search.answers import PREFIX
from image_search.artifact import Artifact, thumbnail_file
from image_search.encoder import OnnxEncoder
from image_search.errors import ArtifactError, HubError
from image_search.fetch import Kept, Piece
from image_search.manifest import CARD, MANIFEST, MANIFEST_HASH
from image_search.push import push
from image_search.verify import verify

pytestmark = CLIENTS_OWN

ROOT = Path(__file__).parent.parent
REPO = "alice/squares"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandin]:
    with hub_here(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def pushed(hub: HubStandin, built: Path) -> str:
    """The collection of five squares on the Hub: its tag."""
    return push(built, REPO).tag


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> tuple[Path, Path, str]:
    """3,000 small pictures: the collection's folder, the Hub that holds it, and its tag there."""
    folder = tmp_path_factory.mktemp("many")
    generator = np.random.default_rng(2022)
    for number in range(3000):
        colour = generator.integers(0, 256, 3)
        pixels = np.clip(generator.normal(colour, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
        path = folder / "pictures" / f"{number % 30:02}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    built = build_folder(folder / "pictures", colours, folder / "built")
    with pytest.MonkeyPatch.context() as monkeypatch, hub_here(folder, monkeypatch):
        tag = push(built, REPO).tag
    return built, folder / "hub", tag


@pytest.fixture
def of_many(
    many: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubStandin]:
    """The Hub with these, and nothing of them in the cache."""
    with hub_here(tmp_path, monkeypatch, held=many[1]) as hub:
        yield hub


def group_bytes(path: Path, row: int, column: str) -> int:
    """How large a column and the ids beside it are, of the row group of a row of the first part."""
    row_group = pq.read_metadata(path).row_group(row // 16)
    columns = (row_group.column(number) for number in range(row_group.num_columns))
    wanted = (c for c in columns if c.path_in_schema.split(".")[0] in ("id", column))
    return sum(c.total_compressed_size for c in wanted)


# Opening


def test_it_answers_as_the_folder_that_was_pushed(
    hub: HubStandin, built: Path, pushed: str
) -> None:
    here, there = image_search.open(built), image_search.open(f"{REPO}@{pushed}")
    assert there.search("red", k=5).hits == here.search("red", k=5).hits
    assert there.artifact.version == here.artifact.version
    assert there.artifact.files.name == f"{REPO}@{pushed}"
    for id in here.artifact.catalogue.ids():
        assert there.picture(id) == here.picture(id)
        assert there.thumbnail(id) == here.thumbnail(id)
    assert there.search(image=Image.new("RGB", (9, 9), "blue"), k=1)[0].id == "cold/blue.png"


def test_opening_3000_pictures_fetches_only_what_a_search_needs(
    of_many: HubStandin, many: tuple[Path, Path, str]
) -> None:
    built, _, tag = many
    with of_many.recording() as exchanges:
        searcher = image_search.open(f"{REPO}@{tag}")
        assert len(searcher.search("red", k=60)) == 60
    needed = [
        *(built / name for name in (MANIFEST, MANIFEST_HASH, "index/vectors.faiss")),
        *(built / "metadata.parquet", built / "sizes.parquet"),
        *(built / "encoder").iterdir(),
    ]
    assert downloaded_bytes(exchanges) == sum(path.stat().st_size for path in needed)
    with of_many.recording() as exchanges:
        image_search.open(f"{REPO}@{tag}").search("red")
    assert downloaded_bytes(exchanges) == 0
    assert len(exchanges) == 1  # which commit is it, and what does it hold?


def test_the_token_goes_to_the_hub_alone(hub: HubStandin, pushed: str) -> None:
    with hub.recording() as exchanges:
        Artifact.open(REPO).thumbnail(0)
    assert {x.role for x in asked(exchanges, "GET", "/_storage/")} == {"nobody"}
    assert {x.role for x in asked(exchanges, "GET", f"/datasets/{REPO}")} == {"owner"}


def test_a_picture_moves_one_row_group_and_its_neighbours_nothing(
    of_many: HubStandin, many: tuple[Path, Path, str]
) -> None:
    built, _, tag = many
    artifact = Artifact.open(f"{REPO}@{tag}")
    for read, folder, column in (
        (artifact.thumbnail, "thumbnails", "thumbnail"),
        (artifact.picture, "data", "image"),
    ):
        [path] = (built / folder).glob("train-00000-*")
        footer = max(remote.TAIL, pq.read_metadata(path).serialized_size + 8)
        assert path.stat().st_size > footer
        with of_many.recording() as exchanges:
            read(35)
        assert downloaded_bytes(exchanges) == footer + group_bytes(path, 35, column)
        with of_many.recording() as exchanges:
            for row in range(32, 48):
                read(row)
        assert exchanges == []
        with of_many.recording() as exchanges:
            read(0)
        assert downloaded_bytes(exchanges) == group_bytes(path, 0, column)


def test_pictures_that_are_shown_together_are_fetched_together(
    of_many: HubStandin, many: tuple[Path, Path, str]
) -> None:
    searcher = image_search.open(f"{REPO}@{many[2]}")
    shown = searcher.overview()
    with of_many.recording() as exchanges:
        assert searcher.thumbnail(shown[0].id)
        deadline = time.monotonic() + 20
        rows = [searcher.artifact.catalogue.row(record.id) for record in shown]
        groups = {searcher.artifact._group(thumbnail_file, row, "thumbnail")[0] for row in rows}
        kept = searcher.artifact.files._rows["thumbnail"]
        while not all(group in kept and kept._held[group].done() for group in groups):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert len(groups) > 30
    with of_many.recording() as exchanges, ThreadPoolExecutor(20) as pool:
        assert len(list(pool.map(searcher.thumbnail, (record.id for record in shown)))) == 60
    assert exchanges == []


def test_searching_alone_fetches_no_picture(
    of_many: HubStandin, many: tuple[Path, Path, str]
) -> None:
    searcher = image_search.open(f"{REPO}@{many[2]}")
    with of_many.recording() as exchanges:
        for words in ("red", "blue", "a green thing"):
            searcher.search(words, k=60)
        searcher.artifact.check_current()
        searcher.overview()
    assert exchanges == []


def test_a_pinned_version_stays_what_it_was(
    hub: HubStandin, pushed: str, pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    (pictures / "cold/green.png").unlink()
    (pictures / "metadata.csv").unlink()
    commit = hub.head(REPO)
    opened = image_search.open(REPO)
    push(build_folder(pictures, colours, tmp_path / "other"), REPO)
    assert len(opened) == len(image_search.open(f"{REPO}@{pushed}")) == 5
    assert len(image_search.open(f"{REPO}@{commit}")) == 5
    assert opened.thumbnail("cold/green.png")
    newest = image_search.open(REPO)
    assert len(newest) == 4
    assert newest.artifact.manifest.fields != opened.artifact.manifest.fields


def test_a_folder_of_that_name_comes_first(
    hub: HubStandin, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(built, tmp_path / "alice/mine")
    with hub.recording() as exchanges:
        assert len(image_search.open("alice/mine")) == 5
        with pytest.raises(ArtifactError, match="There is no built collection at"):
            image_search.open(Path("alice/nothing"))
    assert exchanges == []


# What is refused


@pytest.mark.parametrize(
    ("role", "said"),
    [
        (None, r"no folder alice/squares here, and at http\S+ no dataset .* that is public"),
        ("stranger", "no dataset of that name that your token .* may see"),
        ("wrong", "does not accept your token"),
    ],
)
def test_who_may_not_read_gets_nothing_older_out_of_the_cache(
    hub: HubStandin, pushed: str, monkeypatch: pytest.MonkeyPatch, role: str | None, said: str
) -> None:
    image_search.open(f"{REPO}@{pushed}")  # all of it is in the cache
    log_in(monkeypatch, hub, role)
    for place in (REPO, f"{REPO}@{pushed}", f"{REPO}@{hub.head(REPO)}"):
        with pytest.raises(HubError, match=said) as raised:
            image_search.open(place)
        assert "hf_" not in str(raised.value)


def test_a_gated_dataset_says_where_to_ask(
    hub: HubStandin, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.make_public(REPO)
    hub.gate(REPO)
    log_in(monkeypatch, hub, "stranger")
    with pytest.raises(HubError, match="is gated: .* Ask for access at http.*/datasets/alice/squ"):
        image_search.open(REPO)
    hub.grant(REPO, "stranger")
    assert len(image_search.open(REPO)) == 5


def test_a_revision_that_is_gone_names_those_that_are_there(
    hub: HubStandin, built: Path, pushed: str, pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    (pictures / "cold/green.png").unlink()
    first = hub.head(REPO)
    image_search.open(f"{REPO}@{pushed}")
    newer = push(build_folder(pictures, colours, tmp_path / "other"), REPO).tag
    hub.delete_revision(REPO, pushed)
    for gone in (pushed, first, "no-such"):
        with pytest.raises(HubError, match=f"has no revision {gone}; its versions are: {newer}"):
            image_search.open(f"{REPO}@{gone}")


def test_a_gate_that_was_shut_counts_though_all_is_in_the_cache(
    hub: HubStandin, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.make_public(REPO)
    hub.gate(REPO)
    image_search.open(REPO)  # the owner may
    for role in ("stranger", None):
        log_in(monkeypatch, hub, role)
        for place in (REPO, f"{REPO}@{pushed}", f"{REPO}@{hub.head(REPO)}"):
            with pytest.raises(HubError, match="is gated: .* Ask for access"):
                image_search.open(place)


def test_a_cache_that_is_cleared_while_it_is_served_is_no_damage(
    hub: HubStandin, pushed: str, tmp_path: Path
) -> None:
    artifact = Artifact.open(REPO)
    artifact.files.local(thumbnail_file(0, 1))
    before = artifact.thumbnail(0)
    shutil.rmtree(tmp_path / "cache")
    assert artifact.thumbnail(0) == before
    assert artifact.picture(0)


@pytest.mark.parametrize("what", ["search", "push"])
def test_ctrl_c_waits_for_no_silent_hub(
    hub: HubStandin, built: Path, pushed: str, tmp_path: Path, what: str
) -> None:
    slow = {"search": ("/_storage/", "GET"), "push": ("/_storage/", "PUT")}[what]
    fault = Fault(*slow, delay=20, times=99)
    hub.faults.append(fault)
    arguments = {
        "search": ["search", "red", "--artifact", REPO],
        "push": ["push", str(built), "alice/others"],
    }[what]
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": hub.token("owner"),
        "HF_HUB_DISABLE_XET": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "image_search", *arguments],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while fault.times == 99:  # until it was asked
        assert process.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 15  # it does not wait for the Hub
    assert process.returncode == 130
    assert "Traceback" not in said
    if what == "push":
        assert "the same command goes on from here" in said


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_fails_is_told_and_no_cache_served(
    hub: HubStandin, pushed: str, status: int
) -> None:
    image_search.open(REPO)
    hub.faults.append(Fault("/api/datasets/", status=status, times=99))
    with pytest.raises(HubError, match=rf"{status}\W.* Try again in"):
        image_search.open(REPO)


def test_a_hub_out_of_reach_is_told_and_no_cache_served(
    hub: HubStandin, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_search.open(REPO)
    hub.stop()
    with pytest.raises(HubError, match=r"The Hub \(http\S+\) cannot be reached: .* Try again"):
        image_search.open(REPO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        image_search.open(REPO)


def test_a_dataset_that_no_push_made_is_no_collection(hub: HubStandin) -> None:
    hub.make_repo("alice/others", {"data/train.parquet": b"PAR1"})
    with pytest.raises(ArtifactError, match=r"\(manifest.json is missing\). Push one: python -m"):
        image_search.open("alice/others")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("data/train-00000-of-00001.parquet", None, "is missing"),
        ("thumbnails/train-00000-of-00001.parquet", b"PAR1" * 9, "has 36 bytes instead of"),
        ("data/train-00000-of-00001.parquet", "flip", r"is not what was built"),
        ("index/vectors.faiss", "flip", r"is not what was built \(its sha256 differs\)"),
        ("encoder/encoder.json", "flip", r"is not what was built \(its sha256 differs\)"),
        (MANIFEST, "flip", r"is not what was built \(its sha256 differs\)"),
    ],
)
def test_what_is_not_as_it_was_built_is_refused_with_the_command_that_mends_it(
    hub: HubStandin, built: Path, pushed: str, name: str, data: bytes | str | None, said: str
) -> None:
    if data == "flip":
        good = bytearray((built / name).read_bytes())
        good[len(good) // 2] ^= 1
        data = bytes(good)
    assert not isinstance(data, str)
    hub.commit(REPO, {name: data}, "By hand")
    with pytest.raises(ArtifactError, match=f"{name} {said}") as raised:
        image_search.open(REPO)
    assert "python -m image_search push DIR alice/squares" in str(raised.value)
    assert len(image_search.open(f"{REPO}@{pushed}")) == 5


def test_a_card_may_be_edited_on_the_hub(hub: HubStandin, pushed: str) -> None:
    hub.commit(REPO, {CARD: b"# By hand"}, "A card")
    assert len(image_search.open(REPO)) == 5
    assert verify(REPO) == []


def test_a_damaged_cache_is_fetched_again(hub: HubStandin, pushed: str) -> None:
    path = image_search.open(REPO).artifact.path / "index/vectors.faiss"
    data = path.read_bytes()
    path.resolve().write_bytes(data[:-1] + b"?")
    with hub.recording() as exchanges:
        image_search.open(REPO)
    assert downloaded_bytes(exchanges) == len(data)
    assert path.read_bytes() == data
    (path.parents[1] / MANIFEST).resolve().write_bytes(b"{}")
    assert len(image_search.open(REPO)) == 5


def test_a_damaged_thumbnail_in_the_cache_is_not_shown(
    hub: HubStandin, built: Path, pushed: str
) -> None:
    artifact = Artifact.open(REPO)
    path = artifact.files.local("thumbnails/train-00000-of-00001.parquet").resolve()
    path.write_bytes(path.read_bytes().replace(b"WEBP", b"WEBQ"))
    artifact = Artifact.open(REPO)
    good = Artifact.open(built)
    assert [artifact.thumbnail(row) == good.thumbnail(row) for row in range(5)] == [True] * 5


def test_verify_reads_every_byte_of_one_on_the_hub(hub: HubStandin, pushed: str) -> None:
    assert verify(f"{REPO}@{pushed}") == []
    hub.commit(REPO, {"notes.txt": b"mine"}, "A note")
    assert verify(REPO) == ["notes.txt: is not of this build"]


# Without the network


def test_without_the_network_searching_goes_on_and_what_was_fetched_stays(
    of_many: HubStandin,
    many: tuple[Path, Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.3)
    searcher = image_search.open(f"{REPO}@{many[2]}")
    ids = searcher.artifact.catalogue.ids()
    fetched = searcher.thumbnail(ids[0])
    of_many.stop()
    before = searcher.search("red", k=60).hits
    assert len(before) == 60
    assert searcher.thumbnail(ids[0]) == fetched
    assert searcher.thumbnail(ids[15])  # of the same row group
    for _ in range(3):
        with pytest.raises(HubError, match="cannot be reached"):
            searcher.thumbnail(ids[100])
    of_many.start()
    time.sleep(0.4)
    assert searcher.thumbnail(ids[100])
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"Fetching what a search needs of {REPO}@{many[2]}: 0.")
    assert "Searching goes on" in said[1]
    assert said[2] == "The Hub gives pictures again."


def test_a_picture_out_of_reach_is_a_problem_of_its_own_and_questions_are_answered(
    hub: HubStandin, pushed: str
) -> None:
    with api_of(image_search.open(REPO)) as client:
        hub.stop()
        answer = client.get(f"{PREFIX}/thumbnails/warm%2Fred.png")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].startswith("This picture cannot be fetched at the moment")
        assert client.get(f"{PREFIX}/search", params={"text": "red"}).json()["total"] == 5
        assert client.get(f"{PREFIX}/health").status_code == 200


def test_pictures_that_do_not_come_take_no_thread_from_questions(
    of_many: HubStandin, many: tuple[Path, Path, str]
) -> None:
    searcher = image_search.open(f"{REPO}@{many[2]}")
    of_many.faults.append(Fault("/_storage/", "GET", delay=4, times=999))
    with api_of(searcher) as client, ThreadPoolExecutor(60) as pool:
        address = str(client.base_url)
        ids = searcher.artifact.catalogue.ids()[::50]
        waiting = [
            pool.submit(
                httpx.get, f"{address}{PREFIX}/pictures/{id.replace('/', '%2F')}", timeout=60
            )
            for id in ids
        ]
        time.sleep(0.5)
        start = time.monotonic()
        assert client.get(f"{PREFIX}/search", params={"text": "red"}).status_code == 200
        assert time.monotonic() - start < 2.5
        of_many.faults.clear()
        assert {answer.result().status_code for answer in waiting} == {200}


def test_a_hub_in_trouble_is_asked_once_in_a_while_only(
    of_many: HubStandin, many: tuple[Path, Path, str]
) -> None:
    artifact = Artifact.open(f"{REPO}@{many[2]}")
    of_many.faults.append(Fault("/_storage/", status=503, times=999))
    with of_many.recording() as exchanges, ThreadPoolExecutor(8) as pool:
        for row in range(0, 3000, 16):
            with pytest.raises(HubError, match="it answered 503"):
                pool.submit(artifact.thumbnail, row).result()
    assert len(asked(exchanges, "GET", "/_storage/")) == 1


def test_an_answer_that_is_something_else_is_no_picture(hub: HubStandin, pushed: str) -> None:
    artifact = Artifact.open(REPO)
    hub.faults.append(Fault("/_storage/", status=200))
    with pytest.raises(HubError, match=r"The Hub sent [\d,]+ bytes of thumbnails/train-0"):
        artifact.thumbnail(0)


def test_an_answer_cut_short_is_no_picture_and_the_next_try_gets_it(
    hub: HubStandin, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0)
    artifact = Artifact.open(REPO)
    hub.faults.append(Fault("/_storage/", "GET", cut_after=100, times=2))
    with pytest.raises(HubError):
        artifact.thumbnail(0)
    assert artifact.thumbnail(0)[8:12] == b"WEBP"


# In the background


def wait_for(filled: Artifact) -> None:
    filler = filled.files._filler
    filler._thread.join(timeout=30)
    assert not filler._thread.is_alive()


def test_all_thumbnails_come_in_the_background_the_overviews_first(
    of_many: HubStandin, many: tuple[Path, Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    built, _, tag = many
    artifact = Artifact.open(f"{REPO}@{tag}")
    with of_many.recording() as exchanges:
        overview = [artifact.catalogue.row(id) or 0 for id in artifact.manifest.overview]
        artifact.fill(overview)
        artifact.fill(overview)  # once
        wait_for(artifact)
    files = sorted((built / "thumbnails").iterdir())
    assert downloaded_bytes(exchanges) == sum(path.stat().st_size for path in files)
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == ["All thumbnails are on this machine now."]
    first = artifact.catalogue.row(artifact.manifest.overview[0])
    heads = [x.path for x in asked(exchanges, "HEAD", "/thumbnails/")]
    assert first is not None
    assert heads[0].endswith(artifact._group(thumbnail_file, first, "thumbnail")[0].file)
    of_many.stop()
    for row in range(0, 3000, 100):
        assert artifact.thumbnail(row)


def test_filling_waits_for_visitors_and_for_the_network(
    of_many: HubStandin,
    many: tuple[Path, Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("image_search.fill.FIRST_WAIT", 0.1)
    artifact = Artifact.open(f"{REPO}@{many[2]}")
    of_many.faults.append(Fault("/thumbnails/", "HEAD", status=503, times=12))
    with artifact.files._visiting():
        artifact.fill()
        time.sleep(0.3)
        assert not [x for x in of_many.log if "/thumbnails/" in x.path]
    wait_for(artifact)
    assert "All thumbnails are on this machine" in capsys.readouterr().err


def test_a_full_disk_is_said_once_and_thumbnails_still_come(
    hub: HubStandin,
    pushed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact = Artifact.open(REPO)
    capsys.readouterr()

    def full(*arguments: object, **options: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(remote, "hf_hub_download", full)
    artifact.fill()
    wait_for(artifact)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device" in said
    assert artifact.thumbnail(0)


def test_filling_stops_when_it_is_told_to(
    hub: HubStandin, pushed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = Artifact.open(REPO)
    with artifact.files._visiting():
        artifact.fill()
        stopper = threading.Thread(target=artifact.close)
        stopper.start()
    stopper.join()
    wait_for(artifact)


# The whole program


def test_the_app_serves_one_of_the_hub_and_fills_its_thumbnails(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as other, hub_here(tmp_path, other) as hub:
        tag = push(built, REPO).tag
        for name, value in hub.environment("reader", tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        place: Any = f"{REPO}@{tag}"
        with serving(place) as address, httpx.Client(base_url=f"{address}{PREFIX}") as client:
            first = client.get("/overview").json()["pictures"]
            assert len(first) == 5
            deadline = time.monotonic() + 20
            while not asked(hub.log, "GET", "/_storage/alice/squares/"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert client.get(first[0]["thumbnail"].removeprefix(PREFIX)).status_code == 200
            hub.stop()
            assert client.get("/search", params={"text": "red"}).json()["total"] == 5
            for record in first:
                thumbnail = client.get(record["thumbnail"].removeprefix(PREFIX))
                assert thumbnail.status_code == 200


# Small parts


def test_what_is_fetched_is_fetched_once_and_kept_up_to_a_limit() -> None:
    kept = Kept[int, bytes](limit=250, size=len)
    fetched = []

    def fetch_slowly(key: int) -> bytes:
        fetched.append(key)
        time.sleep(0.05)
        return bytes(100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: kept.get(1, lambda: fetch_slowly(1)), range(8)))
    assert fetched == [1]
    for key in (2, 1, 3):
        kept.get(key, lambda key=key: fetch_slowly(key))
    assert [key in kept for key in (1, 2, 3)] == [True, False, True]

    def fail() -> bytes:
        raise HubError("no")

    with pytest.raises(HubError):
        kept.get(9, fail)
    assert kept.get(9, lambda: b"x") == b"x"


def test_a_piece_of_a_file_gives_only_what_is_there() -> None:
    piece = Piece(size=100, start=40, data=bytes(range(20)))
    piece.seek(-50, 2)
    assert (piece.tell(), piece.read(5)) == (50, bytes(range(10, 15)))
    piece.seek(59)
    with pytest.raises(ValueError, match="were not fetched"):
        piece.read(2)
