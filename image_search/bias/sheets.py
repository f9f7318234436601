"""Contact sheets of probes: the first pictures of each group below one another, for a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from image_search.bias.answers import Answers
from image_search.bias.figures import Compared, Figures
from image_search.bias.probes import Groups, Probes
from image_search.contact_sheet import side_by_side
from image_search.results import Hit
from image_search.search import Searcher

PICTURES = 8
"""Pictures of a list."""
MOST_GROUPS = 8
"""Lists of a sheet, beside that of anyone."""

ALONE = (
    "The groups alone. Who is shown, and as what? Are people to be seen at all, or does the model "
    "not know the words?"
)


@dataclass(frozen=True)
class Sheet:
    """One word, or none, said of all groups of a set."""

    file: str
    """Its name in the report's folder."""
    title: str
    why: str
    """Why this one is shown."""
    lists: list[tuple[str, list[Hit]]]
    """Question → its first pictures."""
    picture: bytes
    """WebP."""
    width: int
    height: int


def sheets(
    searcher: Searcher, probes: Probes, answers: Answers, compared: Sequence[Compared], words: int
) -> Iterator[tuple[str, Sheet]]:
    """The sheets of each set of groups of people, with the set's name.

    The groups alone; the neutral word whose figure is in the middle; and the charged words that
    are furthest from what neutral words do, as many as `words`.
    """
    by_name = {one.name: one for one in probes.groups}
    for one in compared:
        if one.kind != "people":
            continue
        groups = by_name[one.name]
        yield one.name, _drawn(searcher, probes, answers, groups, None, ALONE)
        for figures, why in _chosen(one, words):
            yield one.name, _drawn(searcher, probes, answers, groups, figures, why)


def _chosen(compared: Compared, words: int) -> Iterator[tuple[Figures, str]]:
    middle = sorted(compared.neutral_words, key=lambda one: (one.overlap, one.word))
    for figures in middle[len(middle) // 2 :][:1]:
        yield figures, "A neutral word, to compare with: the one whose overlap is in the middle."
    furthest = sorted(compared.words, key=lambda one: (-_furthest(one), one.form, one.word))
    for place, figures in enumerate(furthest[:words], start=1):
        told = "furthest" if place == 1 else f"number {place}"
        yield figures, f"The charged word whose skew is {told} from that of the neutral words."


def _furthest(figures: Figures) -> float:
    return max((abs(skew.z) for skew in figures.skews if skew.z is not None), default=0.0)


def _drawn(
    searcher: Searcher,
    probes: Probes,
    answers: Answers,
    groups: Groups,
    figures: Figures | None,
    why: str,
) -> Sheet:
    def said(group: str) -> str:
        if figures is None:
            return probes.bare(group)
        return probes.said(figures.form, figures.word, group)

    asked = [said(group) for group in groups.all[:MOST_GROUPS]]
    if figures is not None:
        asked.insert(0, said(groups.anyone))
    title = (
        f"“{figures.word}”, by {groups.name}" if figures else f"By {groups.name}, without a word"
    )
    lists = [(text, _hits(searcher, answers, text)) for text in asked]
    page = side_by_side(title, lists, searcher.thumbnail)
    file = BytesIO()
    page.save(file, format="WEBP", quality=72)
    name = "-".join(
        "".join(c if c.isalnum() else " " for c in part).strip().replace(" ", "-")
        for part in (groups.name, figures.form if figures else "", figures.word if figures else "")
        if part
    )
    return Sheet(
        file=f"sheets/{name or 'sheet'}.webp",
        title=title,
        why=why,
        lists=lists,
        picture=file.getvalue(),
        width=page.width,
        height=page.height,
    )


def _hits(searcher: Searcher, answers: Answers, text: str) -> list[Hit]:
    rows = answers.rows[text][:PICTURES]
    known = searcher.catalogue.known(rows)
    return [
        Hit(**vars(searcher.record(one.id)), score=score, rank=rank)
        for rank, (one, score) in enumerate(zip(known, answers.scores[text], strict=False), start=1)
    ]
