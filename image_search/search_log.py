"""The record of searches: what was asked and shown, when, and by which pseudonym."""

import hashlib
import hmac
import threading
import time
from collections.abc import Sequence

from image_search.errors import ImageSearchError
from image_search.say import say
from image_search.settings import settings
from image_search.state import State

EVERY = 3 * 60 * 60
"""Seconds between two looks at what is too old; days are removed whole."""


class SearchLog:
    """Records searches, unless that is switched off (IMAGE_SEARCH_LOG_DAYS=0)."""

    def __init__(self, state: State) -> None:
        # Kept with the state, and not what sessions are signed with: an operator elsewhere has to
        # be able to find what was recorded of somebody.
        self._key = hmac.digest(state.secret(), b"pseudonyms", "sha256")
        self._state = state
        self._on = settings().log_days > 0

    def forget_in_time(self) -> None:
        """Remove what is older than it may be, now and from time to time, in the background."""
        threading.Thread(target=self._forget, name="search-log", daemon=True).start()

    def _forget(self) -> None:
        while True:
            try:
                self._state.prune(settings().log_days)
            except ImageSearchError as error:  # it is tried again
                say(f"warning: old searches cannot be removed now: {error}")
            time.sleep(EVERY)

    def pseudonym(self, name: str) -> str:
        """What stands for a member in the record; empty for nobody."""
        if not name:
            return ""
        return hmac.new(self._key, name.lower().encode(), "sha256").hexdigest()[:16]

    def keep(
        self,
        by: str,
        *,
        words: str,
        like: Sequence[str],
        unlike: Sequence[str],
        filters: Sequence[str],
        picture: bytes | None,
        version: str,
        acknowledged: Sequence[str] = (),
        shown: Sequence[str] = (),
        found: int = 0,
        no_match: bool = False,
        seconds: float = 0.0,
        refused: str = "",
        tier: str = "",
    ) -> None:
        """Record one search by a member of this name. Never waits, never fails.

        `refused` is the rule of the policy by which it was not answered, `tier` whether that was
        final (`refuse`) or the visitor was asked whether to go on (`warn`).
        """
        if not self._on:
            return
        self._state.log(
            by=self.pseudonym(by),
            words=words,
            like=list(like),
            unlike=list(unlike),
            filters=list(filters),
            picture=None if picture is None else hashlib.sha256(picture).hexdigest(),
            version=version,
            shown=list(shown),
            ms=round(seconds * 1000, 1),
            **(
                {"refused": refused, "tier": tier}
                if refused
                else {"found": found, "no_match": no_match, "acknowledged": list(acknowledged)}
            ),
        )
