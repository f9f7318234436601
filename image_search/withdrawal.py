"""Pictures that were withdrawn: as if they were not there, until somebody restores them."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_search.errors import QueryError
from image_search.repo import REPO
from image_search.settings import settings
from image_search.state import State
from image_search.tidy import tidy

KIND = "suppression"

TOGETHER = 20
"""Pictures of one record, which may have 100 KB."""

LONGEST_REASON = 1_000
"""Characters."""


@dataclass(frozen=True)
class Withdrawal:
    """A picture that is withdrawn, since when, why and by whom."""

    id: str
    reason: str
    by: str
    time: str


class Withdrawals(Set[str]):
    """The ids of all pictures that are withdrawn at this moment.

    They hold for every version of the collection: ids are stable.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._generation = -1
        self._known: dict[str, Withdrawal] = {}

    def __contains__(self, id: object) -> bool:
        return id in self._now()

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._now()))

    def __len__(self) -> int:
        return len(self._now())

    def all(self) -> list[Withdrawal]:
        """What is withdrawn, the latest first."""
        return list(reversed(self._now().values()))

    def suppress(self, ids: Sequence[str], reason: str, by: str) -> bool:
        """Withdraw pictures, at once; whether that is kept by now. Raises QueryError."""
        reason = tidy(reason)
        if not reason:
            raise QueryError("Say why: whoever comes after you has to know.")
        if len(reason) > LONGEST_REASON:
            raise QueryError(f"The reason may have {LONGEST_REASON:,} characters.")
        return self._keep(ids, withdrawn=True, reason=reason, by=by)

    def restore(self, ids: Sequence[str], by: str) -> bool:
        """Show pictures again, at once; whether that is kept by now. Raises QueryError."""
        for id in ids:
            if id not in self:
                raise QueryError(f"The picture “{id[:200]}” is not withdrawn.")
        return self._keep(ids, withdrawn=False, by=by)

    def _keep(self, ids: Sequence[str], **said: Any) -> bool:
        unique = list(dict.fromkeys(ids))
        some = (unique[start : start + TOGETHER] for start in range(0, len(unique), TOGETHER))
        return self._state.add_all(KIND, [{**said, "pictures": pictures} for pictures in some])

    def _now(self) -> dict[str, Withdrawal]:
        if self._generation != self._state.generation:
            generation = self._state.generation
            self._known = _read(self._state)
            self._generation = generation
        return self._known


def _read(state: State) -> dict[str, Withdrawal]:
    found: dict[str, Withdrawal] = {}
    for record in state.records(KIND):
        said = record.said
        for id in said["pictures"]:
            found.pop(id, None)  # withdrawn again, it stands with the latest
            if said["withdrawn"]:
                found[id] = Withdrawal(id, said["reason"], said["by"], record.time)
    return found


def withdrawn_now() -> Set[str]:
    """What the settings' state says is withdrawn, for programs that do not keep it open.

    Makes nothing where there is no state yet.
    """
    place = settings().state
    if not Path(place).exists() and not REPO.fullmatch(place):
        return frozenset()
    return Withdrawals(State.open())
