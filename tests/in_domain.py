"""A taxonomy, judgements and reports for tests, on the five colours of conftest."""

from typing import Any

from image_search.evaluation import Question, evaluate
from image_search.evaluation_report import KIND, Report
from image_search.judgements import Answer, Given, Judgement, Judgements
from image_search.search import Searcher
from image_search.state import State
from image_search.taxonomy import Taxonomy

RED, ORANGE, YELLOW = "warm/red.png", "warm/orange.png", "warm/yellow.png"
GREEN, BLUE = "cold/green.png", "cold/blue.png"

TEXT = """
name = "Colours & light"
version = "1"
[[class]]
name = "warm"
prompts = ["red", "yellow"]
[[class]]
name = "cold"
prompts = ["blue"]
"""
TAXONOMY = Taxonomy.parse(TEXT)
OTHER = Taxonomy.parse(TEXT.replace('version = "1"', 'version = "2"'))

RIGHT = {"warm": (RED, ORANGE, YELLOW), "cold": (BLUE,)}
"""What everybody would say."""


def judge(state: State, by: str = "ann", taxonomy: Taxonomy = TAXONOMY, **wrong: str) -> None:
    """Have somebody judge every picture for every class; `wrong`: class → one that they deny."""
    given = []
    for name, right in RIGHT.items():
        for id in (RED, ORANGE, YELLOW, GREEN, BLUE):
            yes = id in right and wrong.get(name) != id
            given.append(Given(name, id, Answer.YES if yes else Answer.NO))
    Judgements(state).add(taxonomy, given, by, version="")


def judged() -> list[Judgement]:
    """The same, of nobody's state."""
    return [
        Judgement(name, id, Answer.YES if id in right else Answer.NO, "ann", "2026-11-21T10:00:00Z")
        for name, right in RIGHT.items()
        for id in (RED, ORANGE, YELLOW, GREEN, BLUE)
    ]


def report_on(searcher: Searcher, state: State | None = None, **changed: Any) -> Report:
    """A report on a collection, by what the state says or else everybody would."""
    judgements = Judgements(state).of(TAXONOMY) if state else judged()
    report = evaluate(searcher, Question(TAXONOMY, judgements))
    return report.model_copy(update=changed)


def keep(state: State, report: Report) -> None:
    state.add(KIND, report=report.for_state())
