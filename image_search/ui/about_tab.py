"""The tab About: how it works, this collection in numbers, what CLIP's authors say of it."""

import gradio as gr

from image_search import answers
from image_search.search import Searcher
from image_search.ui import model_card
from image_search.ui.plain import plain

HOW = """\
## How it works

Nobody has described these pictures. A model has looked at each of them once and put it at a place
in a space with hundreds of directions, so that what means much the same lies close together:
guitars beside lutes, and far from ships. Words have their place in the same space. When you ask
for “a guitar”, the program finds the place of these words and shows the pictures that lie nearest,
nearest first. When you ask with a picture, it does the same with the picture’s place.

**What a score is, and what it is not.** The number with a picture is the cosine between the two
places: how near it is, 1 at most. It only puts the pictures of one question in order. It is no
percentage and no certainty that the thing is there; words score far lower than pictures do, and
numbers of different models cannot be compared. Every question finds pictures, also where there is
nothing to find. If even the nearest lies farther off than nine in ten everyday questions come, a
line says so; many misses stay unnoticed.

**What it cannot do.** It does not read names, dates or handwriting, counts badly, and does not
understand “not”. It has learnt the prejudice of what it was trained on, and old books add theirs:
do not take what comes first for what is typical, or true.

A picture that you search with is read in memory and not kept.
"""


def tab(searcher: Searcher) -> None:
    """Put the tab's contents into the page that is being built."""
    gr.Markdown("\n\n".join([HOW, _numbers(searcher), _card(searcher)]), elem_id="about")


def _numbers(searcher: Searcher) -> str:
    told = answers.describe(searcher)
    recall = told.index.recall
    left_out = "; ".join(f"{plain(reason)}: {n:,}" for reason, n in told.rejects.items())
    rows = {
        "Pictures": f"{told.pictures:,}",
        "Built": f"{told.created[:10]}",
        "Model": f"{plain(told.model.name)}, revision {plain(told.model.revision)}",
        "Numbers for a picture": f"{told.model.dim}, {plain(told.model.precision)}",
        "Files left out": left_out or "none",
        "Found of the ten nearest": f"{recall.text_at_10:.1%} for words, "
        f"{recall.picture_at_10:.1%} for pictures ({recall.queries} questions, against an exact "
        "search)",
        "“Nothing close” below": f"{told.no_match.threshold:.3f} ({told.no_match.percentile:.0f} % "
        f"of {told.no_match.texts} everyday questions stay below it)",
        "Rights": plain(told.rights) or "not stated; ask the collection",
        "Contact": plain(told.contact) or "not stated",
        "Version, to be cited": f"{told.artifact_version}",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"## This collection in numbers\n\n| what | here |\n|---|---|\n{table}"


def _card(searcher: Searcher) -> str:
    quoted = "\n\n".join(
        f"**{heading}**\n\n" + "\n>\n".join(f"> {paragraph}" for paragraph in paragraphs)
        for heading, paragraphs in model_card.passages().items()
    )
    notice = searcher.encoder.notice
    return (
        "## What CLIP’s authors say of it\n\n"
        + (f"{plain(notice)} What follows was said of CLIP.\n\n" if notice else "")
        + f"{quoted}\n\nFrom [the model card of CLIP]({model_card.SOURCE}), OpenAI, January 2021, "
        "MIT licence."
    )
