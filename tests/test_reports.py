"""Reports of pictures, what curators decide on them, and what they see of use."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gated import Gated, by_password
from starlette.testclient import TestClient

from image_search.answers import PREFIX
from image_search.api import create_api
from image_search.curating_api import add_curating
from image_search.errors import QueryError
from image_search.notices import Notices
from image_search.reports import LONGEST_WORDS, MOST_OPEN, REASONS, Reports
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.state import State
from image_search.usage import DAYS, Usage, counted
from image_search.withdrawal import Withdrawals

RED, ORANGE, BLUE = "warm/red.png", "warm/orange.png", "cold/blue.png"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State.open(tmp_path / "state")
    yield state
    state.close()


def test_what_is_reported_is_open_until_somebody_decides(state: State, tmp_path: Path) -> None:
    reports = Reports(state)
    assert reports.add(RED, "rights", "  my\naunt's ", "p1")
    assert reports.add(RED, "rights", "my aunt's", "p1")  # once more by the same: nothing new
    assert reports.add(RED, "harm", "", "p2")
    assert reports.add(BLUE, "other", "upside down", "p1")
    assert [(one.picture, one.reason, one.words) for one in reports.open()] == [
        (RED, REASONS["rights"], "my aunt's"),
        (RED, REASONS["harm"], ""),
        (BLUE, REASONS["other"], "upside down"),
    ]
    first, _, blue = reports.open()
    assert reports.decide(first.id, "withdraw", "rights", "carl")  # both of the picture
    assert [one.picture for one in reports.open()] == [BLUE]
    assert [(one.decision, one.why, one.decided_by) for one in reports.decided()] == [
        ("withdraw", "rights", "carl")
    ] * 2
    with pytest.raises(QueryError, match="carl has decided"):
        reports.decide(first.id, "nothing", "", "olga")
    assert reports.add(RED, "harm", "", "p2")  # again, after the decision
    again = State.open(tmp_path / "state")
    assert [one.picture for one in Reports(again).open()] == [BLUE, RED]
    assert Reports(again).decided()[0].decided
    again.close()
    assert blue.by not in repr(blue)


def test_nobody_floods_the_curators(state: State) -> None:
    reports = Reports(state)
    assert reports.add(RED, "harm", "one", "p1")
    with pytest.raises(QueryError, match="already"):
        reports.add(RED, "harm", "two", "p1")
    for number in range(MOST_OPEN - 1):
        assert reports.add(f"{number}.png", "harm", "", "p1")
    with pytest.raises(QueryError, match=f"{MOST_OPEN} pictures"):
        reports.add(BLUE, "harm", "", "p1")
    many = 3_000
    state.add_all(
        "report",
        [{"picture": BLUE, "reason": "harm", "words": "", "by": str(n)} for n in range(many)],
    )
    one = next(one for one in reports.open() if one.picture == BLUE)
    assert reports.decide(one.id, "nothing", "", "carl")  # in several records
    assert not [one for one in reports.open() if one.picture == BLUE]


def test_reports_have_bounds(state: State) -> None:
    reports = Reports(state)
    with pytest.raises(QueryError, match="in a few words"):
        reports.add(RED, "other", " ", "p")
    with pytest.raises(QueryError, match="1,000 characters"):
        reports.add(RED, "harm", "x" * (LONGEST_WORDS + 1), "p")
    with pytest.raises(QueryError, match="no report"):
        reports.decide("none", "nothing", "", "carl")
    assert reports.open() == []


@pytest.fixture(scope="module")
def house(searcher: Searcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    with by_password(searcher, tmp_path_factory.mktemp("state")) as house:
        yield house


def test_a_report_becomes_a_suppression_and_says_nobodys_name(house: Gated) -> None:
    with house.client(house.cookie("mary")) as mary, house.client(house.cookie("carl")) as carl:
        assert set(mary.get(f"{PREFIX}/reports/reasons").json()) == set(REASONS)
        said = {"id": ORANGE, "reason": "person", "words": "my neighbour"}
        assert mary.post(f"{PREFIX}/reports", json=said).json() == {"ids": [ORANGE], "kept": True}
        assert mary.post(f"{PREFIX}/reports", json={**said, "id": "none"}).status_code == 404
        assert mary.post(f"{PREFIX}/reports", json={**said, "reason": "dull"}).status_code == 422
        for forbidden in ("/reports", "/use", "/notices"):
            assert mary.get(f"{PREFIX}{forbidden}").status_code == 403
        listed = carl.get(f"{PREFIX}/reports")
        assert "mary" not in listed.text
        assert "by" not in listed.json()["open"][0]
        [report] = listed.json()["open"]
        assert (report["picture"], report["words"]) == (ORANGE, "my neighbour")
        assert report["record"]["title"] == "An orange"
        address = f"{PREFIX}/reports/{report['id']}/decision"
        assert mary.post(address, json={"decision": "nothing"}).status_code == 403
        assert carl.post(address, json={"decision": "withdraw"}).status_code == 400  # why?
        why = {"decision": "withdraw", "why": "Reported: a living person"}
        assert carl.post(address, json=why).json() == {"ids": [ORANGE], "kept": True}
        assert mary.get(f"{PREFIX}/records/{ORANGE}").status_code == 404
        [withdrawn] = carl.get(f"{PREFIX}/withdrawals").json()
        assert (withdrawn["id"], withdrawn["reason"], withdrawn["by"]) == (
            ORANGE, "Reported: a living person", "carl",
        )  # fmt: skip
        told = carl.get(f"{PREFIX}/reports").json()
        assert told["open"] == []
        [decided] = told["decided"]
        assert (decided["decision"], decided["decided_by"]) == ("withdraw", "carl")
        assert decided["record"] is None
        assert carl.post(address, json=why).status_code == 400  # decided already


def test_a_reported_picture_is_covered_in_the_list_and_by_a_decision(
    searcher: Searcher, state: State
) -> None:
    """Without the gate: the routes of a curator are of another role, so they are asked for here."""
    notices, withdrawals = Notices(state), Withdrawals(state)
    parts = searcher.artifact, searcher.encoder, searcher.index, searcher.catalogue
    covered = Searcher(*parts, withdrawn=withdrawals, notices=notices)
    api = create_api(covered, withdrawals, SearchLog(state))
    add_curating(api, covered, withdrawals, state, SearchLog(state))
    with as_curator(api) as client:
        client.post("/reports", json={"id": RED, "reason": "harm"})
        [report] = client.get("/reports").json()["open"]
        assert report["record"]["covered"] is False
        address = f"/reports/{report['id']}/decision"
        assert client.post(address, json={"decision": "cover", "why": ""}).status_code == 400
        client.post(address, json={"decision": "cover", "why": "Shows blood"})
        [decided] = client.get("/reports").json()["decided"]
        assert decided["record"]["notice"] == "Shows blood"
        assert client.get("/thumbnails/" + RED).headers["cache-control"] == "no-store"


def as_curator(api: Any) -> TestClient:
    """A client whom the routes take for a curator."""
    from image_search.access import Visitor
    from image_search.roles import Role

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["visitor"] = Visitor("carl", Role.CURATOR, "person")
        await api(scope, receive, send)

    return TestClient(inside)


# Use


def line(days_ago: int = 0, words: str = "", **more: Any) -> dict[str, Any]:
    day = datetime.now(UTC).date() - timedelta(days_ago)
    return {"time": f"{day}T10:00:00Z", "by": "0123456789abcdef", "words": words, **more}


def test_use_is_words_and_counts() -> None:
    today = datetime.now(UTC).date()
    use = counted(
        [
            line(3, "a dog", no_match=True),
            line(3, "A  dog", no_match=True, found=12),
            line(1, "", filters=["year:1866"], found=0),
            line(0, "find this man", refused="surveillance"),
            line(0, "a cat", found=60, no_match=False),
            line(0, "a cat"),  # as they were written before
            line(DAYS, "too old", no_match=True),
            {"strange": 1},
        ],
        today,
    )
    days = [today - timedelta(n) for n in (3, 2, 1, 0)]
    assert [(date.fromisoformat(d.day), d.searches) for d in use.days] == list(
        zip(days, (2, 0, 1, 3), strict=True)
    )
    assert (use.searches, use.found_nothing, use.refused) == (6, 3, 1)
    assert [(one.words, one.count) for one in use.nothing] == [("a dog", 2), ("year:1866", 1)]
    assert [(one.rule, one.words, one.count) for one in use.refusals] == [
        ("surveillance", "find this man", 1)
    ]
    assert "0123456789abcdef" not in repr(use)
    assert counted([], today).days == []


def test_the_record_is_read_at_most_once_a_minute(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def searches() -> Iterator[dict[str, Any]]:
        read.append(1)
        yield line(0, "a dog")

    monkeypatch.setattr(state, "searches", searches)
    usage = Usage(state)
    assert usage.now() is usage.now()
    assert len(read) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    usage.now()
    assert len(read) == 2


def test_many_lines_take_no_memory() -> None:
    """As a stream: of 90 days' lines none stays, and of different questions only so many."""
    import tracemalloc

    lines = (line(n % 90, f"question {n}", no_match=True) for n in range(20_000))
    tracemalloc.start()
    use = counted(lines, datetime.now(UTC).date())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert use.found_nothing == 20_000
    assert peak < 4_000_000  # all of the lines would take more than 10
