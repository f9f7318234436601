"""What counts of what judges said: one verdict a class and picture, and how far judges agree."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from image_search.judgements import Judgement
from image_search.metrics import cohen_kappa


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

    def among(self, ids: set[str]) -> "Verdicts":
        """The same of some pictures only."""
        return Verdicts(self.yes & ids, self.no & ids, self.tied & ids, self.unsure & ids)


@dataclass(frozen=True)
class Agreement:
    """Two judges, on how many questions both answered, and Cohen's kappa."""

    judges: tuple[str, str]
    both: int
    kappa: float | None


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


def agreements(judgements: Iterable[Judgement]) -> list[Agreement]:
    """How far each two judges agree on what both were asked; three answers: yes, no, unsure."""
    answers: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for one in judgements:
        answers[one.by][one.class_name, one.id] = one.answer
    found = []
    for first, second in combinations(sorted(answers), 2):
        both = sorted(answers[first].keys() & answers[second].keys())
        if both:
            given = ([answers[judge][key] for key in both] for judge in (first, second))
            found.append(Agreement((first, second), len(both), cohen_kappa(*given)))
    return found


def mean_kappa(found: Sequence[Agreement]) -> float | None:
    """The mean over the pairs of judges, by how many questions both answered."""
    known = [(one.kappa, one.both) for one in found if one.kappa is not None]
    total = sum(both for _, both in known)
    return sum(kappa * both for kappa, both in known) / total if total else None


def fully_judged(found: Mapping[str, Verdicts], classes: Sequence[str]) -> dict[str, str]:
    """Picture → its class, where one class says yes and every other no."""
    some = set().union(*(found[name].yes for name in classes if name in found))
    of_picture = {}
    for id in sorted(some):
        told = {name: found[name].of(id) if name in found else None for name in classes}
        if list(told.values()).count(True) == 1 and None not in told.values():
            of_picture[id] = next(name for name, verdict in told.items() if verdict)
    return of_picture
