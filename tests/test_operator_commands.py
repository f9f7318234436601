"""The operator's commands: members, tokens, passwords, the record of searches."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import httpx
import pytest
from conftest import PICTURES
from gated import HASH, PASSWORD, Gated, by_password, environment, soon
from gradio_client import Client

from image_search.allow_list import AllowList
from image_search.answers import PREFIX
from image_search.errors import ConfigError
from image_search.roles import Role, names_and_roles
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.state import State
from image_search.tokens import Tokens, _iso
from image_search.users import Users, fits, hash_password, line


def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The real command line, with the settings of this process."""
    return subprocess.run(
        [sys.executable, "-m", "image_search", *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with environment(IMAGE_SEARCH_STATE=str(tmp_path / "state")):
        yield tmp_path / "state"


@pytest.fixture
def state(folder: Path) -> Iterator[State]:
    state = State.open(folder)
    yield state
    state.close()


# Roles and the allow-list


def test_names_and_their_roles_are_read() -> None:
    listed = names_and_roles(" Alice, bob:curator,\n carol : Operator ,")
    assert listed == {"alice": "member", "bob": "curator", "carol": "operator"}
    with pytest.raises(ConfigError, match="no role “king”"):
        names_and_roles("dave:king")


def test_each_role_includes_those_before_it() -> None:
    assert [role for role in Role if role.may(Role.CURATOR)] == ["curator", "operator"]


def test_the_list_is_the_settings_and_the_changes_since(folder: Path) -> None:
    with environment(
        IMAGE_SEARCH_STATE=str(folder),
        IMAGE_SEARCH_ALLOW_USERS="alice,bob:judge",
        IMAGE_SEARCH_ALLOW_ORGS="a-library:curator,a-museum",
    ):
        state = State.open()
        allowed = AllowList(state)
        assert allowed.role("ALICE") == "member"
        assert allowed.role("a-library") is None
        assert allowed.best(["nobody", "a-museum", "A-Library"]) == "a-library"
        assert allowed.change("Alice", None, org=False, by="a test")
        assert allowed.taken_off("alice")
        assert allowed.role("alice") is None
        assert allowed.change("bob", Role.OPERATOR, org=False, by="a test")
        assert allowed.change("a-library", None, org=True, by="a test")
        assert allowed.best(["a-library"]) == ""
        assert AllowList(state).all() == {("a-museum", True): "member", ("bob", False): "operator"}
        state.close()


def test_members_are_added_removed_and_listed(folder: Path) -> None:
    assert run("member", "add", "Alice", "--role", "curator").returncode == 0
    assert run("member", "add", "a-library", "--org").returncode == 0
    assert json.loads(run("member", "list", "--json").stdout) == [
        {"name": "a-library", "organisation": True, "role": "member"},
        {"name": "alice", "organisation": False, "role": "curator"},
    ]
    assert "organisation" in run("member", "list").stdout
    removed = run("member", "remove", "alice")
    assert removed.stdout == f"alice is not let in any more (in {folder}).\n"
    assert len(json.loads(run("member", "list", "--json").stdout)) == 1
    assert "no role “boss”" in run("member", "add", "x", "--role", "boss").stderr
    nobody = run("member", "remove", "nobody")
    assert nobody.stdout.startswith(f"Noted in {folder}: nobody is not to be let in.\n")
    assert "is the name right?" in nobody.stdout


@pytest.mark.parametrize(
    "command",
    [("member", "remove", "x"), ("member", "list"), ("token", "list"), ("withdrawn",),
     ("restore", "x"), ("log", "export"), ("log", "erase", "x"), ("token", "revoke", "x")],
)  # fmt: skip
def test_a_state_that_is_misspelt_is_told_and_not_made(
    folder: Path, command: tuple[str, ...]
) -> None:
    done = run(*command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: There is no state at {folder}.")
    assert not folder.exists()


def test_who_is_taken_off_and_let_in_again_has_to_sign_in_again(folder: Path) -> None:
    from image_search.access import Access

    with environment(IMAGE_SEARCH_STATE=str(folder), IMAGE_SEARCH_ALLOW_USERS="alice"):
        state = State.open()
        access = Access("huggingface", state)
        before = access.begin("alice", "1")
        assert before
        access.allowed.change("alice", None, org=False, by="a test")
        assert access.visitor(before) is None
        access.allowed.change("alice", Role.MEMBER, org=False, by="a test")
        assert access.visitor(before) is None  # it may be a stolen one
        time.sleep(0.01)
        after = access.begin("alice", "1")
        assert after
        assert access.visitor(after)
        state.close()


def test_a_member_that_is_removed_may_still_have_tokens(folder: Path) -> None:
    run("token", "make", "--name", "alice")
    [token] = json.loads(run("token", "list", "--json").stdout)
    assert token["id"] in run("member", "remove", "Alice").stdout


# Passwords


def test_a_password_becomes_a_line_of_the_list(folder: Path) -> None:
    made = run("password", "alice", "--role", "judge", typed="correct horse battery\n")
    users = Users(made.stdout)
    user = users.get("Alice")
    assert user is not None
    assert (user.name, user.role) == ("alice", "judge")
    assert user.hash.startswith("$argon2id$")
    assert fits(user, "correct horse battery")
    assert not fits(user, "correct horse batter")
    assert not fits(None, "correct horse battery")
    generated = run("password", "bob", "--generate")
    password = generated.stderr.strip().rpartition(" ")[2]
    assert fits(Users(generated.stdout).get("bob"), password)


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [("a:b", PASSWORD, "no name for a user"), ("alice", "short", "8 to 1,000"),
     ("alice", "x" * 1001, "8 to 1,000"), ("al ice", PASSWORD, "no name for a user")],
)  # fmt: skip
def test_a_password_that_will_not_do_is_refused(
    folder: Path, name: str, typed: str, said: str
) -> None:
    done = run("password", name, typed=typed + "\n")
    assert done.returncode == 1
    assert said in done.stderr
    assert typed not in done.stderr


def test_users_stand_in_a_file_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# who reads here\n\nmary:{HASH}\n  olga:{HASH}:operator\n")
    users = Users(f"carl:{HASH}:curator", path)
    assert {name: user.role for name, user in users.all().items()} == {
        "carl": "curator",
        "mary": "member",
        "olga": "operator",
    }


@pytest.mark.parametrize("bad", ["mary", "mary:secret-password", f":{HASH}", f"mary:{HASH}:boss"])
def test_a_list_that_cannot_be_used_is_said_without_what_stands_there(bad: str) -> None:
    with pytest.raises(ConfigError) as error:
        Users(f"olga:{HASH} {bad}")
    assert "secret-password" not in str(error.value)
    assert HASH not in str(error.value)


def test_a_file_of_users_counts_as_it_is_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "users"
    path.write_text(f"mary:{HASH}\n")
    users = Users("", path)
    assert users.get("mary")
    path.write_text(f"# readers\nmary:{HASH}\nsecret-password\n")
    assert list(users.all()) == ["mary"]  # who cannot be read is not let in, the others are
    said = capsys.readouterr().err
    assert "line 3" in said
    assert "secret-password" not in said
    path.write_text(f"olga:{HASH}:operator\nmary:{HASH}\nMary:{HASH}:judge\n")
    assert {name: user.role for name, user in users.all().items()} == {
        "olga": "operator",
        "mary": "judge",
    }
    said = capsys.readouterr().err
    assert "stands there twice" in said
    assert "lets in 2" in said
    path.unlink()
    assert users.all() == users.all() == {}
    assert capsys.readouterr().err.count("cannot be read") == 1
    with pytest.raises(ConfigError, match="cannot be read"):
        Users("", path)


def test_no_two_hashes_of_a_password_are_the_same() -> None:
    assert hash_password(PASSWORD) != hash_password(PASSWORD)
    assert PASSWORD not in line("mary", PASSWORD)


# Tokens


def test_a_token_is_made_used_listed_and_revoked(searcher: Searcher, tmp_path: Path) -> None:
    with by_password(searcher, tmp_path / "state") as house:
        made = run("token", "make", "--name", "a script", "--role", "curator", "--days", "2")
        text = made.stdout.strip()
        with house.client({"X-Image-Search-Token": text}) as client:
            assert soon(lambda: client.get(f"{PREFIX}/you").status_code == 200)
            assert client.get(f"{PREFIX}/you").json() == {"name": "a script", "role": "curator"}
            [listed] = json.loads(run("token", "list", "--json").stdout)
            assert (listed["name"], listed["standing"]) == ("a script", "counts")
            ends = datetime.fromisoformat(listed["expires"]) - datetime.now().astimezone()
            assert timedelta(days=1, hours=23) < ends < timedelta(days=2, minutes=1)
            through = Client(house.address, headers={"Authorization": f"Bearer {text}"},
                             verbose=False)  # fmt: skip
            assert through.predict("red", api_name="/search")["total"] == len(PICTURES)
            assert run("token", "revoke", listed["id"]).returncode == 0
            assert soon(lambda: client.get(f"{PREFIX}/you").status_code == 401)
            [listed] = json.loads(run("token", "list", "--json").stdout)
            assert listed["standing"] == "revoked"
            assert "no token" in run("token", "revoke", "00000000").stderr


def test_a_token_that_has_ended_opens_nothing(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(state)
    text, token, kept = tokens.make("a script", Role.MEMBER, 1)
    assert kept
    assert tokens.find(text) == token
    later = datetime.now(UTC) + timedelta(days=1, seconds=2)
    monkeypatch.setattr("image_search.tokens._now", lambda: _iso(later))
    assert tokens.find(text) is None


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_token_ends_within_a_year(state: State, days: int) -> None:
    with pytest.raises(ConfigError, match="1 to 366 days"):
        Tokens(state).make("a script", Role.MEMBER, days)


def test_what_is_kept_of_a_token_does_not_open_anything(state: State, folder: Path) -> None:
    tokens = Tokens(state)
    text, token, _ = tokens.make("a script", Role.OPERATOR, 90)
    kept = "".join(path.read_text() for path in (folder / "records").iterdir())
    secret = text.removeprefix(f"ist_{token.id}_")
    assert secret not in kept
    assert hashlib.sha256(secret.encode()).hexdigest() in kept
    for guess in (token.sha256, f"ist_{token.id}_{token.sha256}", f"ist_{token.id}_", token.id,
                  f"ist_{token.id}_{secret[:-1]}x", f"{text}x"):  # fmt: skip
        assert tokens.find(guess) is None


# The record of searches


@pytest.fixture(scope="module")
def house(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    with by_password(searcher, tmp_path_factory.mktemp("state")) as found:
        yield found


def recorded() -> list[dict]:
    return [json.loads(line) for line in run("log", "export").stdout.splitlines()]


def test_every_search_is_on_record_until_it_is_erased(house: Gated, searcher: Searcher) -> None:
    picture = Path(searcher.artifact.path / "..").resolve() / "pictures" / "warm" / "red.png"
    data = picture.read_bytes()
    with house.client(house.cookie("mary")) as mary, house.client(house.cookie("olga")) as olga:
        answer = mary.get(f"{PREFIX}/search", params={"text": "red", "k": 2}).json()
        mary.get(f"{PREFIX}/search", params={"text": "red", "k": 2, "cursor": answer["cursor"]})
        mary.post(f"{PREFIX}/search", params={"text": "warm", "like": "cold/blue.png"},
                  content=data)  # fmt: skip
        olga.get(f"{PREFIX}/search", params={"text": "blue"})
        mary.get(f"{PREFIX}/search", params={"text": ""})  # refused: nothing was searched
        Client(house.address, headers=house.cookie("mary"), verbose=False).predict(
            "green", api_name="/search"
        )
    assert soon(lambda: len(recorded()) == 5)
    first, second, third, fourth, fifth = recorded()
    assert set(first) >= {"time", "by", "words", "like", "picture", "version", "shown", "ms"}
    assert first["words"] == "red"
    assert first["shown"] == ["warm/red.png", "warm/orange.png"]
    assert second["shown"][0] == "warm/yellow.png"
    assert first["version"] == searcher.artifact.version
    assert 0 < first["ms"] < 10_000
    assert third["picture"] == hashlib.sha256(data).hexdigest()
    assert (third["words"], third["like"]) == ("warm", ["cold/blue.png"])
    assert fifth["words"] == "green"
    assert first["by"] == second["by"] == third["by"] == fifth["by"] != fourth["by"]
    assert not {"mary", "olga"} & {fourth["by"], first["by"]}
    mine = run("log", "export", "--member", "Mary").stdout.splitlines()
    assert [json.loads(line)["words"] for line in mine] == ["red", "red", "warm", "green"]
    assert run("log", "erase", "mary").stdout.startswith("Erased: 4 searches of mary (in ")
    assert [search["words"] for search in recorded()] == ["blue"]
    everything = b"".join(
        path.read_bytes()
        for path in Path(os.environ["IMAGE_SEARCH_STATE"]).rglob("*.jsonl")
        if "searches" in path.parts
    )
    assert first["by"].encode() not in everything


def test_no_search_is_off_the_record(house: Gated) -> None:
    """However much of nothing is around the words."""
    padded = f"olga's++own{'+' * 120_000}%1b[31m+question"  # longer than httpx sends
    asked = Request(f"{house.address}{PREFIX}/search?text={padded}", headers=house.cookie("olga"))
    with urlopen(asked) as answer:
        assert answer.status == 200
    words = "olga's own [31m question"
    assert soon(lambda: words in {search["words"] for search in recorded()})


def test_a_pseudonym_cannot_be_made_without_the_key(state: State, tmp_path: Path) -> None:
    here, elsewhere = SearchLog(state), SearchLog(State.open(tmp_path / "another"))
    assert here.pseudonym("mary") == here.pseudonym("MARY") != here.pseudonym("olga")
    assert here.pseudonym("mary") != elsewhere.pseudonym("mary")
    assert here.pseudonym("") == ""


def test_nothing_is_recorded_if_nothing_is_to_be_kept(searcher: Searcher, tmp_path: Path) -> None:
    with by_password(searcher, tmp_path / "state", IMAGE_SEARCH_LOG_DAYS="0") as house:
        page = httpx.get(f"{house.address}/login").text
        assert "Searches are not recorded." in page
        with house.client(house.cookie("mary")) as mary:
            assert mary.get(f"{PREFIX}/search?text=red").status_code == 200
        time.sleep(3)
        assert recorded() == []
    assert not list((tmp_path / "state").rglob("searches/*/*"))


def test_old_searches_are_removed_when_the_server_starts(
    searcher: Searcher, tmp_path: Path
) -> None:
    old = tmp_path / "state" / "searches" / "2020-01-01"
    old.mkdir(parents=True)
    (old / "0001.jsonl").write_text('{"id": "1", "time": "2020-01-01T00:00:00Z", "by": "x"}\n')
    with by_password(searcher, tmp_path / "state"):
        assert soon(lambda: not (old / "0001.jsonl").exists())


def test_the_sign_in_page_says_what_is_kept(searcher: Searcher, tmp_path: Path) -> None:
    with by_password(searcher, tmp_path / "state", IMAGE_SEARCH_LOG_DAYS="1") as house:
        assert "Each search is recorded for 1 day:" in httpx.get(f"{house.address}/login").text
