"""Pictures that are withdrawn: by a curator on the page, by an operator in a terminal."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import build_folder
from gated import Gated, by_password, environment, soon
from gradio_client import Client
from PIL import Image, ImageDraw, ImageFilter

import image_search
from image_search.answers import PREFIX
from image_search.encoder import OnnxEncoder
from image_search.errors import NotFoundError, QueryError
from image_search.near_copies import near_copies
from image_search.search import Searcher
from image_search.state import State
from image_search.withdrawal import LONGEST_REASON, Withdrawals

RED, ORANGE = "warm/red.png", "warm/orange.png"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command line, with the settings of this process."""
    return subprocess.run(
        [sys.executable, "-m", "image_search", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State.open(tmp_path / "state")
    yield state
    state.close()


@pytest.fixture
def withdrawals(state: State) -> Withdrawals:
    return Withdrawals(state)


def test_what_is_withdrawn_is_a_set_that_changes(withdrawals: Withdrawals, state: State) -> None:
    assert len(withdrawals) == 0
    assert withdrawals.suppress([RED, ORANGE, RED], "  rights\nunclear ", "carl")
    assert set(withdrawals) == {RED, ORANGE}
    assert RED in withdrawals
    assert [(one.id, one.reason, one.by) for one in withdrawals.all()] == [
        (ORANGE, "rights unclear", "carl"),
        (RED, "rights unclear", "carl"),
    ]
    assert withdrawals.restore([RED], "olga")
    assert set(withdrawals) == {ORANGE}
    assert withdrawals.suppress([RED], "after all", "carl")
    assert [one.id for one in withdrawals.all()] == [RED, ORANGE]


@pytest.mark.parametrize("reason", ["", " \n ", "x" * (LONGEST_REASON + 1)])
def test_a_reason_is_needed(withdrawals: Withdrawals, reason: str) -> None:
    with pytest.raises(QueryError, match="why|reason"):
        withdrawals.suppress([RED], reason, "carl")
    assert len(withdrawals) == 0


def test_what_is_there_cannot_be_brought_back(withdrawals: Withdrawals) -> None:
    with pytest.raises(QueryError, match="is not withdrawn"):
        withdrawals.restore([RED], "olga")


def test_it_outlives_a_restart(withdrawals: Withdrawals, state: State, tmp_path: Path) -> None:
    withdrawals.suppress([RED], "a reason", "carl")
    again = State.open(tmp_path / "state")
    assert set(Withdrawals(again)) == {RED}
    again.close()


def is_gone(house: Gated, id: str) -> bool:
    """From every place where it could be seen."""
    where = quote(id, safe="")
    with house.client(house.cookie("mary")) as client:
        asked = [
            client.get(f"{PREFIX}/search?text=red").json()["hits"],
            client.get(f"{PREFIX}/search", params={"like": "cold/blue.png"}).json()["hits"],
            client.get(f"{PREFIX}/overview").json()["pictures"],
        ]
        seen = {picture["id"] for pictures in asked for picture in pictures}
        files = [
            client.get(f"{PREFIX}/{what}/{where}").status_code
            for what in ("records", "thumbnails", "pictures")
        ]
        like = client.get(f"{PREFIX}/search", params={"like": id}).status_code
        count = client.get(f"{PREFIX}/collection").json()["pictures"]
    return id not in seen and files == [404, 404, 404] and like == 404 and count < 5


def through_gradio(house: Gated) -> set[str]:
    client = Client(house.address, headers=house.cookie("mary"), verbose=False)
    return {hit["id"] for hit in client.predict("red", api_name="/search")["hits"]}


@pytest.mark.slow
def test_a_curators_button_and_an_operators_command_reach_every_replica(
    built: Path, pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    """Two servers on one state; then a restart, a rebuild with a picture more, and back again."""
    searcher = image_search.open(built)
    folder = tmp_path / "state"
    with by_password(searcher, folder) as one, by_password(searcher, folder) as two:
        with one.client(one.cookie("mary")) as mary:
            [first, *_] = mary.get(f"{PREFIX}/search?text=red").json()["hits"]
            tag = mary.get(first["thumbnail"]).headers["etag"]
        assert first["id"] == RED
        with one.client(one.cookie("carl")) as carl:
            asked = {"ids": [RED], "reason": "rights unclear"}
            told = carl.post(f"{PREFIX}/withdrawals", json=asked)
            assert told.json() == {"ids": [RED], "kept": True}
            assert is_gone(one, RED)  # at once
            [listed] = carl.get(f"{PREFIX}/withdrawals").json()
            assert (listed["reason"], listed["by"]) == ("rights unclear", "carl")
        assert soon(lambda: is_gone(two, RED))
        assert RED not in through_gradio(two)
        with two.client(two.cookie("mary")) as mary:  # not by what a browser has kept either
            held = {"If-None-Match": tag}
            assert mary.get(first["thumbnail"], headers=held).status_code == 404
        with environment(
            IMAGE_SEARCH_STATE=str(folder),
            IMAGE_SEARCH_ARTIFACT=str(built),
            IMAGE_SEARCH_LOG_DAYS="0",
        ):
            assert RED not in run("search", "red", "--k", "9").stdout
            done = run("suppress", ORANGE, "--reason", "its photographer asked for it")
            assert done.returncode == 0, done.stderr
        assert soon(lambda: is_gone(one, ORANGE) and is_gone(two, ORANGE))
    Image.new("RGB", (48, 32), "purple").save(pictures / "a new one.png")
    build_folder(pictures, colours, built)
    with by_password(image_search.open(built), folder) as three:
        with three.client(three.cookie("mary")) as mary:
            hits = mary.get(f"{PREFIX}/search?text=red").json()["hits"]
            assert {hit["id"] for hit in hits} == {
                "a new one.png", "cold/blue.png", "cold/green.png", "warm/yellow.png",
            }  # fmt: skip
        with environment(IMAGE_SEARCH_STATE=str(folder)):
            assert run("restore", RED).returncode == 0
        with three.client(three.cookie("mary")) as mary:
            assert soon(lambda: mary.get(f"{PREFIX}/records/{RED}").status_code == 200)


def test_python_leaves_out_what_was_withdrawn(built: Path, tmp_path: Path) -> None:
    with environment(IMAGE_SEARCH_STATE=str(tmp_path / "state")):
        assert len(image_search.open(built)) == 5
        assert not (tmp_path / "state").exists()  # looking makes nothing
        state = State.open()
        Withdrawals(state).suppress([RED], "a reason", "carl")
        state.close()
        collection = image_search.open(built)
        assert len(collection) == 4
        assert RED not in {hit.id for hit in collection.search("red")}
        with pytest.raises(NotFoundError):
            collection.record(RED)
        assert len(image_search.open(built, withdrawn=set())) == 5


def test_the_command_knows_the_collections_pictures(built: Path, tmp_path: Path) -> None:
    settings = {"IMAGE_SEARCH_STATE": str(tmp_path / "state"), "IMAGE_SEARCH_ARTIFACT": str(built)}
    with environment(**settings):
        wrong = run("suppress", RED, "nothing.png", "--reason", "a slip")
        assert wrong.returncode == 1
        assert wrong.stderr.startswith(f"error: {built} has no picture “nothing.png”; nothing was ")
        assert run("withdrawn", "--json").stdout.strip() == "[]"
        assert run("suppress", RED).returncode == 2
        assert run("restore", RED).stderr == f"error: The picture “{RED}” is not withdrawn.\n"


@pytest.fixture
def copies(tmp_path: Path, colours: OnnxEncoder) -> Searcher:
    """A drawing, what others made of it, and drawings of the same colours that are none."""
    folder = tmp_path / "drawings"
    folder.mkdir()
    drawing = Image.new("RGB", (240, 160), "white")
    pen = ImageDraw.Draw(drawing)
    pen.rectangle((30, 60, 110, 150), fill="darkred")
    pen.polygon([(20, 60), (70, 15), (120, 60)], fill="black")
    pen.ellipse((150, 20, 220, 90), fill="orange")
    mirrored = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    made = {
        "house.png": drawing,
        "smaller.jpg": drawing.resize((120, 80)),
        "blurred.png": drawing.filter(ImageFilter.GaussianBlur(2)),
        "cut.png": drawing.crop((8, 5, 236, 157)),
        "mirrored.png": mirrored,
        "upside-down.png": mirrored.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        "plain.png": Image.new("RGB", (240, 160), "white"),
    }
    for name, picture in made.items():
        picture.save(folder / name)
    return image_search.open(build_folder(folder, colours, tmp_path / "out"), withdrawn=set())


def test_near_copies_are_proposed_and_others_are_not(copies: Searcher) -> None:
    found = {hit.id for hit in near_copies(copies, "house.png")}
    assert found == {"smaller.jpg", "blurred.png", "cut.png"}
    assert near_copies(copies, "plain.png") == []


def test_the_command_names_copies_that_are_still_there(copies: Searcher, tmp_path: Path) -> None:
    with environment(
        IMAGE_SEARCH_STATE=str(tmp_path / "state"),
        IMAGE_SEARCH_ARTIFACT=str(copies.artifact.path),
    ):
        done = run("suppress", "house.png", "smaller.jpg", "--reason", "rights")
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert sorted(lines) == ["blurred.png", "cut.png"]
