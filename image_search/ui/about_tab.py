"""The tab About: how it works, this collection in numbers, what CLIP's authors say of it."""

from datetime import datetime

import gradio as gr

from image_search import answers
from image_search.search import Searcher
from image_search.standing import UNTESTED
from image_search.ui import model_card, sign_in_pages
from image_search.ui.plain import plain

HOW = """
<h2>How it works</h2>
<p>The search does not read titles or descriptions. It looks only at the pictures. A model has seen
each of them once and given it a place, so that pictures that mean much the same lie near each
other: guitars beside lutes, and far from ships. Words have their place there too. When you ask for
“a guitar”, the program finds the place of these words and shows the pictures that lie nearest,
nearest first. When you ask with a picture, it starts from the place of that picture. Pictures that
you like draw the question towards them, those that you do not push it away. Filters go by what is
known of the pictures, and leave none out that matches.</p>
<p><strong>What nearness is, and what it is not.</strong> The number with each picture says how near
it lies to the question: 1 at most (the cosine of the angle between the two). It puts the pictures
of one question in order, and that is all. It is not a percentage, and no certainty that the thing
is there. Words never come as near as pictures do, so compare numbers of one question only. Every
question finds pictures, also where there is nothing to find. If even the nearest lies unusually far
off, a line says so; it does not notice every miss.</p>
<p><strong>What it cannot do.</strong> It does not know names and dates, cannot read handwriting,
counts badly and does not understand “not” (a minus takes away: “a harbour -boats”). It has learnt
prejudices from its training pictures,
and old pictures add theirs: do not take what comes first for what is typical, or true.</p>
"""


TESTED = f"""
<h2>In-domain test</h2>
<p><span class="standing">{UNTESTED}</span>
<a class="tested" href="/api/v1/evaluation" target="_blank" hidden>Its report.</a></p>
<p>Models of this kind are to be tested on the very pictures, and with the very kinds of questions,
that they are used for: that is what the authors of CLIP ask for. People have looked at what the
prompts of a fixed list of classes bring, and said what is right. The report shows how much of it
was, class by class, with the pictures. It says nothing of other questions.</p>
"""


def tab(searcher: Searcher) -> None:
    """Put the tab's contents into the page that is being built."""
    kept = f"<h2>What is kept</h2>{sign_in_pages.kept()}"
    contents = "".join([HOW, TESTED, kept, _numbers(searcher), _card(searcher)])
    gr.HTML(f'<div id="about">{contents}</div>', apply_default_css=False, js_on_load=None)


def _numbers(searcher: Searcher) -> str:
    told = answers.describe(searcher)
    recall = told.index.recall
    built = datetime.fromisoformat(told.created)
    left_out = "; ".join(f"{reason}: {count:,}" for reason, count in told.rejects.items())
    rows = {
        "Pictures": f"{searcher.artifact.manifest.rows:,} when it was built",
        "Built on": f"{built:%-d %B %Y}",
        "Files left out": left_out or "none",
        "Rights": told.rights,
        "Contact": told.contact,
        "Model": f"{told.model.name}, revision {told.model.revision}",
        "Nearest pictures found": f"{recall.text_at_10:.1%} of the ten nearest for words, "
        f"{recall.picture_at_10:.1%} for pictures ({recall.queries} questions, compared with "
        "looking at every picture)",
        "“Nothing is close”": f"is said below {told.no_match.threshold:.3f}: of "
        f"{told.no_match.texts} everyday questions {told.no_match.percentile:.0f} % come no nearer",
        "Version": f"{told.artifact_version} (to be cited with a result)",
    }
    lines = (f"<dt>{name}</dt><dd>{plain(value)}</dd>" for name, value in rows.items() if value)
    return f"<h2>This collection in numbers</h2><dl>{''.join(lines)}</dl>"


def _card(searcher: Searcher) -> str:
    notice = searcher.encoder.notice
    not_clip = f"<p>{plain(notice)} What follows was said of CLIP.</p>" if notice else ""
    quoted = "".join(
        f"<h3>{heading}</h3>{model_card.quoted(heading)}" for heading in model_card.passages()
    )
    return (
        f"<h2>What CLIP’s authors say of it</h2>{not_clip}{quoted}"
        f"<p>From {model_card.link('the model card of CLIP')}, OpenAI, January 2021, MIT "
        "licence.</p>"
    )
