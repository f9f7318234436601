"""What judges say of pictures: whether one shows what a class of the taxonomy names."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from image_search.state import State
from image_search.taxonomy import Taxonomy

KIND = "judgement"


class Answer(StrEnum):
    """To “Does this show: …?”."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Judgement:
    """What somebody said of a picture."""

    class_name: str
    id: str
    answer: Answer
    by: str
    time: str


@dataclass(frozen=True)
class Given:
    """An answer that arrives; None takes the one before back."""

    class_name: str
    id: str
    answer: Answer | None


class Judgements:
    """All judgements of a collection: of a judge, a class and a picture the last one counts.

    They are tied to what was asked (`Class.question`), so they outlive other versions of a
    taxonomy that ask the same, other prompts, and a rebuild: ids are stable.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._generation = -1
        self._known: dict[_Key, Judgement] = {}

    def of(self, taxonomy: Taxonomy) -> list[Judgement]:
        """What was said of the classes of a taxonomy, the oldest first."""
        asked = {one.question for one in taxonomy.classes}
        return [one for (question, _, _), one in self._now().items() if question in asked]

    def of_judge(self, taxonomy: Taxonomy, by: str) -> list[Judgement]:
        """The same of one judge."""
        return [one for one in self.of(taxonomy) if one.by == by.lower()]

    def add(self, taxonomy: Taxonomy, given: Iterable[Given], by: str, version: str) -> bool:
        """Keep answers of a judge, in their order; whether they are kept by now.

        What they have said already is not written again. `version` is the collection's. Raises
        QueryError if the taxonomy has no such class.
        """
        by = by.lower()
        known = self._now()
        before = {key: one.answer for key, one in known.items() if key[1] == by}
        new = []
        for one in given:
            question = taxonomy.named(one.class_name).question
            key = question, by, one.id
            if before.get(key) != one.answer:
                new.append(
                    {
                        "taxonomy": taxonomy.sha256,
                        "class": one.class_name,
                        "question": question,
                        "id": one.id,
                        "answer": one.answer,
                        "version": version,
                        "by": by,
                    }
                )
            if one.answer is None:
                before.pop(key, None)
            else:
                before[key] = one.answer
        return self._state.add_all(KIND, new)

    def _now(self) -> "dict[_Key, Judgement]":
        if self._generation != self._state.generation:
            generation = self._state.generation
            self._known = _read(self._state)
            self._generation = generation
        return self._known


_Key = tuple[str, str, str]
"""What was asked, who, and of which picture."""


def _read(state: State) -> dict[_Key, Judgement]:
    """What everybody said last, the latest at the end."""
    found: dict[_Key, Judgement] = {}
    for record in state.records(KIND):
        said = record.said
        key = said["question"], said["by"], said["id"]
        found.pop(key, None)
        if said["answer"] is not None:
            found[key] = Judgement(
                said["class"], said["id"], Answer(said["answer"]), said["by"], record.time
            )
    return found
