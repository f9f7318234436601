"""Reports of pictures: what members say is wrong with one, and what a curator decided."""

from dataclasses import dataclass, field, replace
from typing import Literal

from image_search.errors import QueryError
from image_search.state import State
from image_search.tidy import tidy

KIND = "report"

LONGEST_WORDS = 1_000
"""Characters."""

MOST_OPEN = 100
"""Reports by one person that nobody has decided on."""

TOGETHER = 200
"""Reports that one record decides on; it may have 100 KB."""

Reason = Literal["description", "rights", "person", "harm", "mistaken", "other"]
REASONS: dict[Reason, str] = {
    "description": "Its description is wrong or harmful",
    "rights": "Rights",
    "person": "It shows a living person",
    "harm": "It is offensive or harmful",
    "mistaken": "It is not what it says",
    "other": "Something else",
}
"""What may be chosen, as the page says it."""

Decision = Literal["withdraw", "cover", "nothing"]


@dataclass(frozen=True)
class Report:
    """What somebody said of a picture, and what came of it. `by` is nobody's to see."""

    id: str
    picture: str
    reason: str
    words: str
    time: str
    by: str = field(repr=False)
    """A pseudonym: several reports by one person can be told, and the person cannot."""
    decision: str = ""
    """Empty while nobody has decided."""
    why: str = ""
    decided_by: str = ""
    decided: str = ""
    """When."""


class Reports:
    """The reports of a state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._generation = -1
        self._known: dict[str, Report] = {}

    def add(self, picture: str, reason: Reason, words: str, by: str) -> bool:
        """Report a picture; whether that is kept by now. `by` is a pseudonym. Raises QueryError.

        Who says the same of the same picture again, before somebody decided, adds nothing; with
        other words neither.
        """
        words = tidy(words)
        if len(words) > LONGEST_WORDS:
            raise QueryError(f"A report may have {LONGEST_WORDS:,} characters, not {len(words):,}.")
        if reason == "other" and not words:
            raise QueryError("Say in a few words what it is.")
        own = [one for one in self.open() if by and one.by == by]
        same = [one for one in own if (one.picture, one.reason) == (picture, REASONS[reason])]
        if any(one.words == words for one in same):
            return True
        if same:
            raise QueryError("You have reported this already; a curator will look at it.")
        if len(own) >= MOST_OPEN:
            raise QueryError(
                f"{MOST_OPEN} pictures that you reported wait for a curator. Write to whoever runs "
                "this if there are more."
            )
        return self._state.add(KIND, picture=picture, reason=reason, words=words, by=by)

    def open(self) -> list[Report]:
        """Those nobody has decided on, the oldest first."""
        return [report for report in self._now().values() if not report.decision]

    def decided(self) -> list[Report]:
        """Those that somebody has decided on, what was decided last first."""
        done = [report for report in self._now().values() if report.decision]
        return sorted(done, key=lambda report: report.decided, reverse=True)

    def open_one(self, id: str) -> Report:
        """A report that nobody has decided on. Raises QueryError."""
        report = self._now().get(id)
        if report is None:
            raise QueryError(f"There is no report “{id[:200]}”.")
        if report.decision:
            raise QueryError(f"{report.decided_by} has decided on this report already.")
        return report

    def decide(self, id: str, decision: Decision, why: str, by: str) -> bool:
        """Note what was decided on all open reports of the picture of one; whether it is kept."""
        picture = self.open_one(id).picture
        ids = [report.id for report in self.open() if report.picture == picture]
        some = (ids[start : start + TOGETHER] for start in range(0, len(ids), TOGETHER))
        said = {"decision": decision, "why": tidy(why), "by": by}
        return self._state.add_all(KIND, [{**said, "decides": part} for part in some])

    def _now(self) -> dict[str, Report]:
        if self._generation != self._state.generation:
            generation = self._state.generation
            self._known = _read(self._state)
            self._generation = generation
        return self._known


def _read(state: State) -> dict[str, Report]:
    found: dict[str, Report] = {}
    for record in state.records(KIND):
        said = record.said
        if "decides" not in said:
            reason = REASONS.get(said["reason"], said["reason"])
            made = Report(
                record.id, said["picture"], reason, said["words"], record.time, said["by"]
            )
            found[record.id] = made
            continue
        for id in said["decides"]:
            if id in found and not found[id].decision:
                found[id] = replace(
                    found[id],
                    decision=said["decision"],
                    why=said["why"],
                    decided_by=said["by"],
                    decided=record.time,
                )
    return found
