"""Pictures that a notice might be for, found by prompts: a curator looks at them and decides.

Nothing is covered by a proposal. It is two files: a sheet of the pictures, and a table of scores in
which `cover` says what `notice add --from` would take; whoever looked changes that.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from image_search.contact_sheet import MOST, sheet
from image_search.errors import QueryError
from image_search.results import Hit, Record, Results
from image_search.search import Searcher
from image_search.tidy import tidy

BELOW = 50
"""Pictures below the threshold that are listed too: whether it cuts at the right place is to be
seen there."""

YES = ("yes", "y", "1", "true", "x")


@dataclass(frozen=True)
class Proposal:
    """A picture, how near it lies to the nearest of the prompts, and to which."""

    record: Record
    score: float
    prompt: str
    above: bool


@dataclass(frozen=True)
class Proposals:
    """The nearest pictures, nearest first: those above the threshold and some below it."""

    threshold: float
    above: int
    """How many lie at the threshold or above, of the whole collection."""
    pictures: list[Proposal]


def propose(
    searcher: Searcher, prompts: Sequence[str], threshold: float | None = None, k: int = 50
) -> Proposals:
    """The pictures nearest to any of the prompts: from a score on, or else the k nearest.

    Covered pictures are among them, withdrawn ones are not. Raises QueryError without a prompt.
    """
    if not any(prompt.strip() for prompt in prompts):
        raise QueryError("Say with --prompt what is to be seen, such as: an execution.")
    best: dict[int, tuple[float, str]] = {}
    for prompt in prompts:
        for row, score in _nearest(searcher, prompt, threshold, k):
            if row not in best or score > best[row][0]:
                best[row] = score, prompt
    ordered = sorted(best, key=lambda row: (-best[row][0], row))
    if threshold is None:
        threshold = best[ordered[:k][-1]][0] if ordered else 0.0
    above = sum(best[row][0] >= threshold for row in ordered)
    shown = ordered[: above + BELOW]
    ids = [known.id for known in searcher.catalogue.known(shown)]
    pictures = [
        Proposal(searcher.record(id), *best[row], above=best[row][0] >= threshold)
        for id, row in zip(ids, shown, strict=True)
    ]
    return Proposals(threshold, above, pictures)


def _nearest(
    searcher: Searcher, prompt: str, threshold: float | None, k: int
) -> list[tuple[int, float]]:
    """Rows and scores, so many that one lies below the threshold, or all."""
    vector = searcher.encoder.encode_texts([prompt])[0]
    hidden = searcher.withdrawn_rows()
    wanted = k + BELOW
    while True:
        rows, scores = searcher.index.search(vector, wanted, hidden)
        found = list(zip(rows.tolist(), scores.tolist(), strict=True))
        enough = threshold is None or sum(score < threshold for _, score in found) >= BELOW
        if enough or len(found) < wanted:
            return found
        wanted *= 4


def as_table(proposals: Proposals) -> str:
    """The proposals as CSV, for a person and for `notice add --from`."""
    file = StringIO(newline="")
    table = csv.writer(file)
    table.writerow(["cover", "id", "score", "prompt", "title"])
    for one in proposals.pictures:
        cover = "yes" if one.above else "no"
        score = f"{one.score:.4f}"
        words = [_harmless(tidy(text)) for text in (one.prompt, one.record.title)]
        table.writerow([cover, one.record.id, score, *words])
    return file.getvalue()


def as_sheet(searcher: Searcher, proposals: Proposals, path: Path) -> None:
    """Write the first MOST of them as one picture (PNG), uncovered: they are to be looked at."""
    hits = [
        Hit(**{**vars(one.record), "credit": _standing(one)}, score=one.score, rank=rank)
        for rank, one in enumerate(proposals.pictures[:MOST], 1)
    ]
    title = (
        f"Proposed to be covered: {proposals.above:,} pictures from {proposals.threshold:.4f} on"
    )
    results = Results(query=title, hits=hits, total=len(hits))
    half = path.with_name(f"{path.name}.tmp")
    page = sheet(results, lambda id: searcher.thumbnail(id, shown=True), title)
    page.save(half, format="PNG")
    half.replace(path)


def _standing(one: Proposal) -> str:
    return "" if one.above else "Below the threshold"


def chosen(path: Path) -> list[str]:
    """The ids of such a table that are to be covered; without a column `cover` all of them.

    Raises QueryError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"{path} cannot be read: {error}.") from None
    rows = list(csv.DictReader(StringIO(text, newline="")))
    if not rows or "id" not in rows[0]:
        raise QueryError(f"{path} is no table with a column “id” and a row below it.")
    ids = [row["id"] for row in rows if (row.get("cover") or "yes").strip().lower() in YES]
    if not ids:
        raise QueryError(f"No row of {path} says yes under “cover”.")
    return ids


def _harmless(text: str) -> str:
    """No spreadsheet is to run it as a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@") else text
