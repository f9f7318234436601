"""What judges said of pictures: whether they show a class of a taxonomy."""

from dataclasses import dataclass
from typing import Literal

from image_search.state import State
from image_search.taxonomy import Taxonomy

KIND = "judgement"

Answer = Literal["yes", "no", "unsure"]


@dataclass(frozen=True)
class Judgement:
    """What somebody said of a picture."""

    class_name: str
    id: str
    answer: Answer
    by: str
    time: str


class Judgements:
    """All judgements of a state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def of(self, taxonomy: Taxonomy) -> list[Judgement]:
        """Those about a taxonomy: of each judge, class and picture the last."""
        found: dict[tuple[str, str, str], Judgement] = {}
        for record in self._state.records(KIND):
            said = record.said
            if said["taxonomy"] == taxonomy.sha256:
                key = said["by"], said["class"], said["id"]
                found[key] = Judgement(
                    said["class"], said["id"], said["answer"], said["by"], record.time
                )
        return list(found.values())
