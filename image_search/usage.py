"""What was asked over time, out of the record of searches: words and counts, and nobody's name."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from image_search.state import State
from image_search.tidy import tidy

FRESH = 60
"""Seconds for which it is not read again."""

DAYS = 90
"""How far back one looks, at most."""

LISTED = 50
"""Questions that are listed."""

REMEMBERED = 5_000
"""Different questions that are counted: whoever asks more of them at random fills no memory."""

A_BREATH = 500
"""Lines after which others get a turn."""


@dataclass(frozen=True)
class Day:
    """How many searches there were on a day (UTC)."""

    day: str
    searches: int


@dataclass(frozen=True)
class Asked:
    """A question in its words, how often it was asked, and the rule that refused it, if one did."""

    words: str
    count: int
    rule: str = ""


@dataclass(frozen=True)
class Use:
    """What the record of searches says. A page of further results counts as a search."""

    days: list[Day]
    """From the first day on record to today, without gaps."""
    searches: int
    found_nothing: int
    refused: int
    nothing: list[Asked]
    """The questions that found nothing, the most frequent first."""
    refusals: list[Asked]
    """Those that were refused."""


class Usage:
    """Counts, at most once a minute; the record is read line by line, and none is kept."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._until = 0.0
        self._use: Use | None = None

    def now(self) -> Use:
        """What was asked. While another thread counts, what is known already is given.

        Raises StateError, HubError.
        """
        known = self._use
        if known and (time.monotonic() < self._until or self._lock.locked()):
            return known
        with self._lock:
            if self._use is None or time.monotonic() >= self._until:
                self._use = counted(self._state.searches(), datetime.now(UTC).date())
                self._until = time.monotonic() + FRESH
            return self._use


def counted(lines: Iterable[dict[str, Any]], today: date) -> Use:
    """The lines of the record, counted; those that have other fields than today's are welcome."""
    first = (today - timedelta(DAYS - 1)).isoformat()
    days: Counter[str] = Counter()
    nothing: Counter[str] = Counter()
    refusals: Counter[tuple[str, str]] = Counter()
    found_nothing = refused = 0
    for number, line in enumerate(lines):
        if number % A_BREATH == 0:
            time.sleep(0)  # counting is no reason for anybody's search to wait
        day = str(line.get("time", ""))[:10]
        if not first <= day <= today.isoformat():
            continue
        days[day] += 1
        if rule := line.get("refused"):
            refused += 1
            _count(refusals, (str(rule), _said(line)))
        elif line.get("no_match") or line.get("found") == 0:
            found_nothing += 1
            _count(nothing, _said(line))
    return Use(
        days=_without_gaps(days, today),
        searches=days.total(),
        found_nothing=found_nothing,
        refused=refused,
        nothing=[Asked(words, count) for words, count in nothing.most_common(LISTED)],
        refusals=[
            Asked(words, count, rule) for (rule, words), count in refusals.most_common(LISTED)
        ],
    )


def _count(counter: Counter[Any], what: Any) -> None:
    if what in counter or len(counter) < REMEMBERED:
        counter[what] += 1


def _said(line: dict[str, Any]) -> str:
    """A question in words, whatever case they were typed in."""
    filters = line.get("filters")
    parts = [tidy(str(line.get("words") or "")).casefold()]
    parts += [tidy(str(one)) for one in filters] if isinstance(filters, list) else []
    parts += ["a picture"] if line.get("picture") else []
    return ", ".join(part[:200] for part in parts if part) or "pictures like others"


def _without_gaps(days: Counter[str], today: date) -> list[Day]:
    if not days:
        return []
    first = date.fromisoformat(min(days))
    span = (first + timedelta(n) for n in range((today - first).days + 1))
    return [Day(day.isoformat(), days[day.isoformat()]) for day in span]
