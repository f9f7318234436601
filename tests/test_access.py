"""Accounts of the Hub: who counts as whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gated import environment

from image_search.access import Access
from image_search.oauth import organisations
from image_search.roles import Role
from image_search.state import State


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    settings = {
        "IMAGE_SEARCH_STATE": str(tmp_path / "state"),
        "IMAGE_SEARCH_ALLOW_USERS": "alice:curator,bob",
        "IMAGE_SEARCH_ALLOW_ORGS": "a-library,a-lab:judge",
    }
    with environment(**settings):
        state = State.open()
        yield Access("huggingface", state)
        state.close()


def test_a_name_stays_with_the_account_that_came_first(
    access: Access, capsys: pytest.CaptureFixture[str]
) -> None:
    assert access.begin("alice", "1")
    assert access.begin("Alice", "1")
    assert access.begin("alice", "2") is None  # who took a name that was given up
    assert "another account" in capsys.readouterr().err
    access.allowed.change("alice", Role.MEMBER, org=False, by="a test")
    session = access.begin("alice", "2")
    assert session
    visitor = access.visitor(session)
    assert visitor
    assert visitor.role == "member"
    assert access.begin("alice", "1") is None


def test_an_organisations_member_is_whoever_the_hub_says(access: Access) -> None:
    assert access.begin("carol", "1", ["a-library"])
    assert access.begin("carol", "2", ["A-Library"])
    session = access.begin("dora", "3", ["elsewhere", "a-library", "a-lab"])
    assert session
    assert session.org == "a-lab"
    assert access.begin("eve", "4", ["elsewhere"]) is None


def test_of_two_roles_the_higher_counts(access: Access) -> None:
    session = access.begin("bob", "1", ["a-lab"])
    assert session
    visitor = access.visitor(session)
    assert visitor
    assert visitor.role == "judge"
    access.allowed.change("a-lab", None, org=True, by="a test")
    visitor = access.visitor(session)
    assert visitor
    assert visitor.role == "member"


def test_who_was_taken_off_is_not_let_in_by_an_organisation_either(access: Access) -> None:
    session = access.begin("bob", "1", ["a-library"])
    assert session
    access.allowed.change("bob", None, org=False, by="a test")
    assert access.visitor(session) is None


def test_organisations_count_only_if_they_count_on_the_hub() -> None:
    told = [
        {"preferred_username": "one"},
        {"preferred_username": "two", "pendingSSO": True},
        {"preferred_username": "three", "missingMFA": True},
        {"preferred_username": "four", "pendingSSO": False, "missingMFA": None},
        {"preferred_username": ["five"]},
        {"name": "six"},
        "seven",
    ]
    assert organisations(told) == ["one", "four"]
    for nonsense in (None, "a-library", {"preferred_username": "a-library"}, 3):
        assert organisations(nonsense) == []


def test_a_session_of_one_mode_is_none_in_another(access: Access, tmp_path: Path) -> None:
    session = access.begin("alice", "1")
    assert session
    sealed = access.seal(session)
    assert access.unseal(sealed) == session
    other = Access("password", access.allowed._state)
    assert other.unseal(sealed) is None
