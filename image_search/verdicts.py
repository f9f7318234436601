"""What counts of what judges said: one verdict a class and picture."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from image_search.judgements import Judgement


@dataclass
class Verdicts:
    """What is known of the pictures of one class: each `yes` or `no`, or why it is neither."""

    yes: set[str] = field(default_factory=set)
    no: set[str] = field(default_factory=set)
    tied: set[str] = field(default_factory=set)
    """As many judges said yes as no: not judged."""
    unsure: set[str] = field(default_factory=set)
    """Nobody was sure: not judged."""

    def of(self, id: str) -> bool | None:
        """True, False, or None for what is not judged."""
        return True if id in self.yes else False if id in self.no else None

    @property
    def judged(self) -> int:
        return len(self.yes) + len(self.no)

    def has_seen(self, ids: Iterable[str]) -> bool:
        """Whether a judge has said something of each, be it that they are unsure."""
        return set(ids) <= self.yes | self.no | self.tied | self.unsure

    def among(self, ids: set[str]) -> "Verdicts":
        """The same of some pictures only."""
        return Verdicts(self.yes & ids, self.no & ids, self.tied & ids, self.unsure & ids)


def verdicts(judgements: Iterable[Judgement]) -> dict[str, Verdicts]:
    """Class → what counts: the majority of the judges; `unsure` is no vote, a tie no verdict."""
    answers: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in judgements:
        answers[one.class_name, one.id].append(one.answer)
    found: dict[str, Verdicts] = defaultdict(Verdicts)
    for (class_name, id), given in answers.items():
        yes, no = given.count("yes"), given.count("no")
        of_class = found[class_name]
        if not yes and not no:
            of_class.unsure.add(id)
        elif yes == no:
            of_class.tied.add(id)
        else:
            (of_class.yes if yes > no else of_class.no).add(id)
    return dict(found)


def fully_judged(found: Mapping[str, Verdicts], classes: Sequence[str]) -> dict[str, str]:
    """Picture → its class, where one class says yes and every other no."""
    some = set().union(*(found[name].yes for name in classes if name in found))
    of_picture = {}
    for id in sorted(some):
        told = {name: found[name].of(id) if name in found else None for name in classes}
        if list(told.values()).count(True) == 1 and None not in told.values():
            of_picture[id] = next(name for name, verdict in told.items() if verdict)
    return of_picture
