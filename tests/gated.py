"""The real app.py behind its gate, and what a test needs to come in as anybody."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from conftest import serving

from image_search.access import Access, Session, chosen_mode
from image_search.roles import Role
from image_search.search import Searcher
from image_search.settings import settings
from image_search.sign_in import COOKIE
from image_search.state import State
from image_search.terms import Terms
from image_search.ui import sign_in_pages

PASSWORD = "correct horse battery"
# Quick to check; what a keeper makes takes longer.
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
ROLES = {"mary": "member", "judith": "judge", "carl": "curator", "olga": "operator"}
USERS = " ".join([*(f"{name}:{HASH}:{role}" for name, role in ROLES.items()), f"rita:{HASH}"])
CONTACT = "keeper@example.org"


@dataclass
class Gated:
    """What is served, and keys to it: the state is shared with the process that serves."""

    address: str
    access: Access
    terms: Terms
    state: State

    def session(self, name: str, **changed: Any) -> Session:
        """Somebody of the list who has just signed in."""
        user = self.access.users.get(name)
        sub = self.access.fingerprint(user.hash) if user else f"id-of-{name}"
        end = time.time() + 600  # not in whole seconds: one that was signed out ends no later one
        told = {"name": name, "sub": sub, "org": "", "exp": end, **changed}
        return Session(**told)

    def cookie(self, name: str, **changed: Any) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.access.seal(self.session(name, **changed))}"}

    def storage(self, name: str) -> dict[str, Any]:
        """The same for a browser: Playwright's storage_state."""
        value = self.cookie(name)["Cookie"].partition("=")[2]
        cookie = {"name": COOKIE, "value": value, "domain": "127.0.0.1", "path": "/"}
        how = {"expires": -1, "httpOnly": True, "secure": False, "sameSite": "Lax"}
        return {"cookies": [{**cookie, **how}], "origins": []}

    def client(self, headers: dict[str, str] | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=headers, timeout=30)

    def token(self, role: str, days: int = 1) -> str:
        text, _, kept = self.access.tokens.make(f"a {role}'s script", Role(role), days)
        assert kept
        return text


def soon(holds: Callable[[], object], seconds: float = 15) -> bool:
    """Whether something comes to hold: another process reads the state every few seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """These settings, and no others, for this process and those that it starts."""
    before = dict(os.environ)
    ours = ("IMAGE_SEARCH_", "OAUTH_", "OPENID_", "SPACE_")
    for name in [name for name in before if name.startswith(ours)]:
        del os.environ[name]
    os.environ.update(variables)
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


@contextmanager
def gated(searcher: Searcher, folder: Path, **variables: str) -> Iterator[Gated]:
    """The application with these settings; `folder` is its state."""
    chosen = {"IMAGE_SEARCH_STATE": str(folder), "IMAGE_SEARCH_CONTACT": CONTACT, **variables}
    with environment(**chosen):
        state = State.open()
        access = Access(chosen_mode(), state)
        info = searcher.artifact.manifest.collection
        terms = Terms(state, sign_in_pages.terms_text(info, searcher.encoder.notice))
        for name in (*ROLES, "rita"):
            terms.accept(name)
        try:
            with serving(searcher.artifact.path) as address:
                yield Gated(address, access, terms, state)
        finally:
            state.close()


def by_password(
    searcher: Searcher, folder: Path, **variables: str
) -> AbstractContextManager[Gated]:
    """The same in the mode `password`, with somebody of each role, who has accepted the terms."""
    chosen = {"IMAGE_SEARCH_ACCESS": "password", "IMAGE_SEARCH_USERS": USERS, **variables}
    return gated(searcher, folder, **chosen)
