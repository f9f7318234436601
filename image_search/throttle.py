"""How much may be asked in a minute, and how often a password may be wrong.

Counted in the memory of this process (by the library limits): a restart begins anew.
"""

import ipaddress
import math
import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter

from image_search.settings import settings

SHARE = 20
"""A picture, or a file of the page, counts this part of a question: a page of results shows 60."""

ADDRESS = 10
"""The members at one address may ask so many times as much together: a reading room shares one."""


class Throttle:
    """Counts requests."""

    def __init__(self) -> None:
        amount = settings().requests_per_minute * SHARE
        self._member = RateLimitItemPerMinute(amount)
        self._address = RateLimitItemPerMinute(amount * ADDRESS)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def wait(self, member: str, address: str, light: bool) -> int:
        """Count a request; 0 if it may be answered, else the seconds after which to try again.

        `member` is empty for somebody who has not signed in: then the address counts for one.
        """
        near = network(address)
        counts = [(self._member, f"member {member}" if member else f"nobody {near}")]
        if member:  # what strangers ask must not be at the expense of members beside them
            counts.append((self._address, f"address {near}"))
        cost = 1 if light else SHARE
        full = [count for count in counts if not self._limiter.test(*count, cost=cost)]
        if full:
            return max(self._left(*count) for count in full)
        for item, key in counts:
            self._limiter.hit(item, key, cost=cost)
        return 0

    def _left(self, item: RateLimitItem, key: str) -> int:
        left = self._limiter.get_window_stats(item, key).reset_time - time.time()
        return min(60, max(1, math.ceil(left)))


class Lock:
    """Counts wrong passwords; after some of them even the right one is not looked at.

    By name and address; by address for those who try many names; by name for those who come from
    many addresses. The last does not count where somebody has signed in by that name before: else
    a stranger could lock them out.
    """

    LIMITS = (
        (RateLimitItemPerMinute(5, 15), "{name} at {network}"),
        (RateLimitItemPerMinute(20, 15), "{network}"),
        (RateLimitItemPerHour(50), "{name}"),
    )

    FIRST, LONGEST = 0.5, 8.0
    """Seconds by which the answer to the first wrong password is delayed, twice as long each
    time, and at most."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._storage)
        self._welcome: set[str] = set()
        """Names at addresses where the right password was given."""

    def wait(self, name: str, address: str) -> int:
        """0 if a password may be tried, else the seconds until then."""
        keys = self._keys(name, address)
        if keys[0][1] in self._welcome:
            keys = keys[:2]
        ends = [
            self._limiter.get_window_stats(item, key).reset_time
            for item, key in keys
            if not self._limiter.test(item, key)
        ]
        return max(1, math.ceil(max(ends) - time.time())) if ends else 0

    def count(self, name: str, address: str) -> float:
        """Count a wrong password; the seconds by which to delay the answer."""
        delay = 0.0
        for item, key in self._keys(name, address):
            self._limiter.hit(item, key)
            wrong = item.amount - self._limiter.get_window_stats(item, key).remaining
            delay = max(delay, self.FIRST * 2 ** (wrong - 1))
        return min(delay, self.LONGEST)

    def forget(self, name: str, address: str) -> None:
        """The right password was given: what was wrong with it there does not count any more.

        Of the other counts only this one is taken back: else whoever knows one password could go
        on guessing others.
        """
        (own, own_key), *others = self._keys(name, address)
        self._limiter.clear(own, own_key)
        self._welcome.add(own_key)
        for item, key in others:
            self._storage.decr(item.key_for(key))

    def _keys(self, name: str, address: str) -> list[tuple[RateLimitItem, str]]:
        parts = {"name": name.lower(), "network": network(address)}
        return [(item, form.format(**parts)) for item, form in self.LIMITS]


def network(address: str) -> str:
    """What counts as one address: of IPv6 a household has a whole network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
