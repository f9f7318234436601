"""Pictures that a notice covers: nowhere are they shown to who has not asked for that."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from conftest import build_folder
from gated import Gated, by_password, environment, soon
from gradio_client import Client
from PIL import Image
from typer.testing import CliRunner

import image_search
from image_search.answers import MCP, PREFIX
from image_search.cli import app
from image_search.covers import TILE, tile
from image_search.encoder import OnnxEncoder
from image_search.errors import QueryError, ServerError
from image_search.notices import LONGEST_TEXT, NoNotices, Notices
from image_search.proposals import chosen, propose
from image_search.search import Searcher
from image_search.state import State

RED, ORANGE, BLUE = "warm/red.png", "warm/orange.png", "cold/blue.png"
FIRE = "Shows fire"


def shows(files: list[bytes], colour: tuple[int, int, int]) -> bool:
    """Whether a plain picture of this colour is in one of these picture files."""

    def close(pixel: tuple[int, ...]) -> bool:
        return all(abs(a - b) < 60 for a, b in zip(pixel, colour, strict=True))

    for data in files:
        with Image.open(BytesIO(data)) as opened:
            found = opened.convert("RGB").getcolors(1 << 24) or []
        if any(count > 100 and close(pixel) for count, pixel in found):
            return True
    return False


@pytest.fixture(scope="module")
def house(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    """The application, where a notice covers what has the keyword fire: the red picture."""
    folder = tmp_path_factory.mktemp("state")
    state = State.open(folder)
    assert Notices(state).add(FIRE, "carl", where=["keywords:fire"])[1]
    state.close()
    with by_password(searcher, folder) as house:
        yield house


def addresses(told: Any) -> list[str]:
    """Every address of a picture in an answer."""
    if isinstance(told, list):
        return [address for one in told for address in addresses(one)]
    if not isinstance(told, dict):
        return []
    own = [told[name] for name in ("thumbnail", "picture") if isinstance(told.get(name), str)]
    return [*own, *(address for one in told.values() for address in addresses(one))]


Gives = Callable[[Gated], list[bytes]]
ALL = "text=red&k=5"


def rest(path: str, *queries: str, body: bool = False) -> Gives:
    """The picture files of a route's answer, or those at the addresses that it has."""

    def give(house: Gated) -> list[bytes]:
        found: list[bytes] = []
        with house.client(house.cookie("olga")) as client:
            for query in queries or ("",):
                for id in (RED, BLUE) if "{id" in path else ("",):
                    where = re.sub(r"\{id(:path)?\}", quote(id, safe=""), path)
                    address = f"{PREFIX}{where}?{query}"
                    sent = picture_file("red") if body else None
                    told = client.post(address, content=sent) if body else client.get(address)
                    assert told.status_code == 200, told.text
                    kind = told.headers["content-type"]
                    if kind.startswith("image/"):
                        found.append(told.content)
                    elif kind.startswith("application/json"):
                        found += [
                            client.get(one).content
                            for one in addresses(told.json())
                            if one.startswith(PREFIX)
                        ]
        return found

    return give


def picture_file(colour: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (32, 32), colour).save(file, format="PNG")
    return file.getvalue()


def mcp(tool: str, *arguments: dict[str, Any]) -> Gives:
    def give(house: Gated) -> list[bytes]:
        found: list[bytes] = []
        for number, given in enumerate(arguments):
            call = {"jsonrpc": "2.0", "id": number, "method": "tools/call",
                    "params": {"name": tool, "arguments": given}}  # fmt: skip
            accept = {"Accept": "application/json, text/event-stream", **house.cookie("mary")}
            sent = httpx.post(f"{house.address}{MCP}", json=call, headers=accept, timeout=30)
            told = sent.json()
            blocks = told["result"]["content"]
            found += [base64.b64decode(one["data"]) for one in blocks if one["type"] == "image"]
        return found

    return give


def through_gradio(house: Gated) -> list[bytes]:
    client = Client(house.address, headers=house.cookie("mary"), verbose=False)
    told = [client.predict("red", api_name="/search")]
    told += [client.predict(id, api_name="/record") for id in (RED, BLUE)]
    with house.client(house.cookie("mary")) as http:
        return [http.get(address).content for address in addresses(told)]


def on_the_command_line(house: Gated) -> list[bytes]:
    sheet = Path(house.state.name) / "a sheet.png"
    asked = ["search", "red", "--k", "5", "--sheet", str(sheet)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert f"[{FIRE}]" in done.stdout
    return [sheet.read_bytes()]


def in_python(house: Gated) -> list[bytes]:
    collection = image_search.open()
    return [read(id) for read in (collection.picture, collection.thumbnail) for id in (RED, BLUE)]


def connected(house: Gated) -> Any:
    client = image_search.connect(house.address, house.token("member"))

    def knows() -> bool:
        with suppress(ServerError):  # until it has read of the token
            return bool(client.record(BLUE))
        return False

    assert soon(knows)
    return client


def by_our_own_client(house: Gated) -> list[bytes]:
    with connected(house) as client:
        files = [read(id) for read in (client.picture, client.thumbnail) for id in (RED, BLUE)]
        return [*files, client.export("red", "sheet", k=5)]


ROUTES: dict[str, list[Gives]] = {
    "/search": [rest("/search", ALL, f"like={BLUE}"), rest("/search", "k=5", body=True)],
    "/overview": [rest("/overview")],
    "/records/{id:path}": [rest("/records/{id:path}")],
    "/thumbnails/{id:path}": [rest("/thumbnails/{id:path}")],
    "/pictures/{id:path}": [rest("/pictures/{id:path}")],
    "/export/{format}": [rest("/export/sheet", ALL), rest("/export/sheet", "k=5", body=True)],
}
"""Routes of /api/v1 that give pictures, or their addresses."""

WITHOUT_PIXELS = {
    "/citation", "/citations/{id:path}", "/collection", "/facets", "/health", "/notices",
    "/notices/{id}", "/openapi.json", "/reports/reasons", "/reports/{id}/decision",
    "/evaluation.json", "/judgements", "/judgements/agreement",
    "/taxonomy", "/tables/{table}/counts", "/tables/{table}/top/{id:path}", "/use", "/withdrawals",
    "/withdrawals/{id:path}", "/you",
}  # fmt: skip
"""Those that give words and counts alone."""

BY_RECORDS = {"/evaluation", "/judging", "/judging/next", "/near-copies/{id:path}", "/reports"}
"""Those whose pictures are records, made as those of /search are, or at the addresses of these."""

CLIENTS: dict[str, Gives] = {
    "mcp search": mcp("search_pictures", {"text": "red", "k": 5}),
    "mcp get": mcp("get_picture", {"id": RED}, {"id": BLUE}),
    "gradio_client": through_gradio,
    "command line": on_the_command_line,
    "python": in_python,
    "connect": by_our_own_client,
}

EVERYWHERE = {f"{path} {n}": one for path, some in ROUTES.items() for n, one in enumerate(some)}


@pytest.mark.parametrize("where", [*EVERYWHERE, *CLIENTS])
def test_a_covered_picture_is_covered_everywhere_it_can_appear(
    house: Gated, searcher: Searcher, where: str
) -> None:
    with environment(
        IMAGE_SEARCH_STATE=house.state.name, IMAGE_SEARCH_ARTIFACT=str(searcher.artifact.path)
    ):
        files = {**EVERYWHERE, **CLIENTS}[where](house)
    assert shows(files, (0, 0, 255))  # another one is shown there
    assert not shows(files, (255, 0, 0))


@pytest.fixture(scope="module")
def routes(searcher: Searcher) -> list[str]:
    """Every path of the application, out of its own table."""
    told = subprocess.run(
        [sys.executable, "tests/routes_of_the_app.py"],
        env={**os.environ, "IMAGE_SEARCH_ARTIFACT": str(searcher.artifact.path), "PYTHONPATH": "."},
        capture_output=True,
        check=True,
    )
    found: list[str] = json.loads(told.stdout)
    return found


def test_no_route_is_forgotten(routes: list[str], house: Gated) -> None:
    """A new one has to be entered above; what lies outside of /api/v1 gives no picture at all."""
    ours = {path.removeprefix(PREFIX) for path in routes if path.startswith(f"{PREFIX}/")}
    assert ours == {*ROUTES, *WITHOUT_PIXELS, *BY_RECORDS}
    with house.client(house.cookie("olga")) as client:
        for path in {path for path in routes if not path.startswith(PREFIX)}:
            if "queue/data" in path or "heartbeat" in path or "stream" in path:
                continue  # goes on for ever
            told = client.get(re.sub(r"\{\w+(:\w+)?\}", quote(RED, safe=""), path) or "/")
            assert not told.headers.get("content-type", "").startswith(("image/webp", "image/png"))


def test_who_asks_for_it_sees_it(house: Gated) -> None:
    with house.client(house.cookie("mary")) as client:
        for what in ("thumbnails", "pictures"):
            address = f"{PREFIX}/{what}/{quote(RED, safe='')}"
            plain, asked = client.get(address), client.get(address, params={"shown": 1})
            assert shows([asked.content], (255, 0, 0))
            assert "etag" in asked.headers
            assert plain.headers["cache-control"] == "no-store"
            assert "etag" not in plain.headers
            held = {"If-None-Match": asked.headers["etag"]}  # of before there was a notice
            again = client.get(address, headers=held)
            assert (again.status_code, again.content) == (200, plain.content)
            with Image.open(BytesIO(plain.content)) as picture:
                assert picture.size == (48, 32)  # its proportions
    [shown] = mcp("get_picture", {"id": RED, "shown": True})(house)
    assert shows([shown], (255, 0, 0))


def test_the_record_says_why(house: Gated) -> None:
    with house.client(house.cookie("mary")) as client:
        record = client.get(f"{PREFIX}/records/{RED}").json()
        assert (record["covered"], record["notice"]) == (True, FIRE)
        other = client.get(f"{PREFIX}/records/{BLUE}").json()
        assert (other["covered"], other["notice"]) == (False, None)
        csv, told, bibtex = (
            client.get(f"{PREFIX}/export/{format}?{ALL}").text
            for format in ("csv", "json", "bibtex")
        )
        assert csv.splitlines()[1].count(FIRE) == 1
        assert [one["notice"] for one in json.loads(told)["results"]] == [FIRE, *[None] * 4]
        assert bibtex.count(f"Notice: {FIRE}") == 1
    with connected(house) as remote:
        assert remote.record(RED).notice == FIRE


def test_only_a_curator_covers(house: Gated) -> None:
    wanted = {"text": "x", "ids": [BLUE]}
    with house.client(house.cookie("judith")) as judith:
        assert judith.post(f"{PREFIX}/notices", json=wanted).status_code == 403
        assert judith.get(f"{PREFIX}/notices").status_code == 403
    with house.client(house.cookie("carl")) as carl:
        for wrong in ({"text": "x"}, {**wanted, "everything": True}, {**wanted, "text": " "},
                      {"text": "x", "where": ["yer:1"]}):  # fmt: skip
            assert carl.post(f"{PREFIX}/notices", json=wrong).status_code == 400
        assert carl.post(f"{PREFIX}/notices", json={**wanted, "ids": ["none"]}).status_code == 404
        address = f"{PREFIX}/thumbnails/{quote(BLUE, safe='')}"
        tag = {"If-None-Match": carl.get(address).headers["etag"]}
        assert carl.get(address, headers=tag).status_code == 304
        made = carl.post(f"{PREFIX}/notices", json=wanted).json()
        assert not shows([carl.get(address, headers=tag).content], (0, 0, 255))  # at once
        latest, _ = carl.get(f"{PREFIX}/notices").json()
        assert (latest["ids"], latest["by"], latest["pictures"]) == ([BLUE], "carl", 1)
        assert carl.delete(f"{PREFIX}/notices/{made['id']}").json()["kept"]
        assert carl.get(address, headers=tag).status_code == 304
        assert carl.delete(f"{PREFIX}/notices/{made['id']}").status_code == 400


# Without a server


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State.open(tmp_path / "state")
    yield state
    state.close()


@pytest.fixture
def covering(searcher: Searcher, state: State) -> tuple[Searcher, Notices]:
    """The collection with the notices of a state of its own."""
    notices = Notices(state)
    parts = searcher.artifact, searcher.encoder, searcher.index, searcher.catalogue
    return Searcher(*parts, notices=notices), notices


def test_the_picture_then_the_value_then_the_collection(
    covering: tuple[Searcher, Notices],
) -> None:
    collection, notices = covering
    assert collection.notice(RED) is None
    everything, _ = notices.add("Old pictures", "carl", everything=True)
    assert {hit.notice for hit in collection.search("red")} == {"Old pictures"}
    century, _ = notices.add("Nineteenth century", "carl", where=["year:1800..1899"])
    own, _ = notices.add("  Shows\nblood ", "carl", pictures=[RED, "not there"])
    assert collection.notice(RED) == "Shows blood · Nineteenth century"
    assert collection.notice(ORANGE) == "Nineteenth century"
    assert collection.notice(BLUE) == "Old pictures"
    notices.remove(century, "olga")
    assert collection.notice(RED) == "Shows blood"
    notices.remove(own, "olga")
    notices.remove(everything, "olga")
    assert collection.notice(RED) is None
    assert collection.thumbnail(RED) == collection.thumbnail(RED, shown=True)


def test_what_others_add_does_not_find_the_rows_again(
    covering: tuple[Searcher, Notices], state: State
) -> None:
    collection, notices = covering
    notices.add("Fire", "carl", where=["keywords:fire"])
    before = collection._covers()
    state.add("judgement", id=RED)
    assert collection._covers() is before
    assert notices.all() is notices.all()


def test_a_notice_about_a_field_that_is_gone_covers_all(
    covering: tuple[Searcher, Notices], capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a rebuild would uncover what somebody took care to cover."""
    collection, notices = covering
    id, _ = notices.add("Shows an execution", "carl", where=["subject:execution"])
    assert collection.notice(BLUE) == "Shows an execution"
    assert f"the notice {id} covers every picture" in capsys.readouterr().err


def test_many_pictures_and_a_restart(state: State, tmp_path: Path) -> None:
    ids = [f"{n}/{'x' * 900}.png" for n in range(150)]  # one record has no room for them
    id, kept = Notices(state).add("Many", "carl", pictures=ids)
    assert kept
    again = State.open(tmp_path / "state")
    [read] = Notices(again).all()
    assert (read.id, read.pictures, read.text) == (id, tuple(ids), "Many")
    again.close()


@pytest.mark.parametrize("text", ["", " \n", "x" * (LONGEST_TEXT + 1)])
def test_a_notice_says_something_short(state: State, text: str) -> None:
    with pytest.raises(QueryError, match="violence|characters"):
        Notices(state).add(text, "carl", everything=True)
    assert Notices(state).all() == ()


@pytest.mark.parametrize("size", [(4000, 3000), (1, 9000), (9000, 1), (30, 30), (1024, 1024)])
def test_a_tile_has_the_proportions_and_the_words(size: tuple[int, int]) -> None:
    with Image.open(BytesIO(tile("Shows violence " * 13, *size))) as picture:
        scale = min(1, TILE / max(size))
        assert picture.size == tuple(max(1, round(side * scale)) for side in size)
        dark = sum(picture.convert("L").histogram()[:100])
    assert bool(dark) == (min(size) > 100)  # what is no more than a line has no room for words


def test_nothing_is_covered_without_a_state(tmp_path: Path, searcher: Searcher) -> None:
    with environment(IMAGE_SEARCH_STATE=str(tmp_path / "none")):
        opened = image_search.open(searcher.artifact.path)
    assert isinstance(opened.notices, NoNotices)
    assert not (tmp_path / "none").exists()


# Proposals


def test_proposals_stop_at_the_threshold_and_cover_nothing(searcher: Searcher) -> None:
    made = propose(searcher, ["red"], threshold=0.8)
    assert (made.above, len(made.pictures)) == (2, 5)
    assert [one.record.id for one in made.pictures if one.above] == [RED, ORANGE]
    nearest = propose(searcher, ["red", "blue"], k=2)
    assert {one.record.id: one.prompt for one in nearest.pictures[:2]} == {RED: "red", BLUE: "blue"}
    assert nearest.above == 2
    assert nearest.threshold == pytest.approx(nearest.pictures[1].score)
    with pytest.raises(QueryError, match="--prompt"):
        propose(searcher, ["  "])


def test_the_command_covers_what_a_curator_left_in_the_table(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["notice", *arguments])

    built = build_folder(pictures, colours, tmp_path / "built")
    settings = {"IMAGE_SEARCH_STATE": str(tmp_path / "state"), "IMAGE_SEARCH_ARTIFACT": str(built)}
    out = tmp_path / "proposed"
    with environment(**settings):
        done = run("propose", "--prompt", "red", "--threshold", "0.8", "--out", str(out))
        assert "Threshold: 0.8000. At or above it: 2 of 5." in done.stdout
        assert not (tmp_path / "state").exists()
        table = out.with_suffix(".csv")
        assert chosen(table) == [RED, ORANGE]
        assert shows([out.with_suffix(".png").read_bytes()], (255, 0, 0))
        table.write_text(table.read_text().replace(f"yes,{ORANGE}", f"no,{ORANGE}"))
        done = run("add", "--from", str(table), "--text", "Red")
        assert done.stdout.startswith("Covered: 1 pictures by the notice "), done.output
        [listed] = json.loads(run("list", "--json").stdout)
        assert (listed["pictures"], listed["text"]) == ([RED], "Red")
        assert image_search.open().notice(RED) == "Red"
        wrong = run("add", "nothing.png", "--text", "x")
        assert isinstance(wrong.exception, QueryError)
        assert "nothing was covered" in str(wrong.exception)
        assert run("remove", listed["id"]).exit_code == 0
        assert image_search.open().notice(RED) is None
        assert run("add", "--where", "keywords:fire", "--text", "Fire").exit_code == 0
        assert image_search.open().notice(RED) == "Fire"
