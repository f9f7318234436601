"""The tab Search: the markup that assets/ui/page.js brings to life."""

from collections.abc import Sequence

import gradio as gr

from image_search.search import Searcher
from image_search.settings import ROOT
from image_search.ui import model_card
from image_search.ui.plain import plain

EMBEDDED_EXAMPLES = (
    "A musical instrument",
    "An animal",
    "A guitar",
    "Flowers in a vase",
    "A house",
    "The moon",
)
"""What the encoder that comes along answers well; the first three are the articles'."""

CLIP_EXAMPLES = (
    "A steam engine",
    "An illustration of the sun behind a mountain",
    "A musical instrument",
    "A guitar",
    "An animal",
    "an empty abyss",
)
"""What Daniel van Strien asked CLIP."""

WHY = ("Primary intended uses", "Out-of-scope use cases")


def tab(searcher: Searcher) -> None:
    """Put the tab's contents into the page that is being built."""
    embedded = searcher.artifact.manifest.encoder.name == "embedded"
    markup = (ROOT / "assets" / "ui" / "search.html").read_text(encoding="utf-8")
    markup = markup.replace(
        "__EXAMPLES__", _examples(EMBEDDED_EXAMPLES if embedded else CLIP_EXAMPLES)
    ).replace("__WARNING__", _warning(searcher))
    gr.HTML(markup, apply_default_css=False, js_on_load=None)


def _examples(examples: Sequence[str]) -> str:
    return "".join(f'<button type="button">{plain(example)}</button>' for example in examples)


def _warning(searcher: Searcher) -> str:
    """What the model is and is not for, always above the pictures; why, in its card's words."""
    told = model_card.passages()
    card = "".join(
        f"<blockquote>{''.join(f'<p>{_emphasis(p)}</p>' for p in told[heading])}</blockquote>"
        for heading in WHY
    )
    notice = f" {plain(searcher.encoder.notice)}" if searcher.encoder.notice else ""
    return (
        '<div id="warning" role="note" aria-label="What this search is not for"><p>'
        "<strong>For research only.</strong> A model made to study what such models can do (CLIP) "
        "puts these pictures in order. Its authors call deployment without testing in the domain "
        "out of scope, and nobody has tested it on this collection. Ask in English; never use it "
        "for surveillance or facial recognition."
        f"{notice}</p><details><summary>Why?</summary>"
        f"<p>CLIP’s model card says:</p>{card}"
        f'<p><a href="{model_card.SOURCE}" target="_blank" rel="noopener noreferrer">'
        "The model card of CLIP</a>. More of it stands under About.</p></details></div>"
    )


def _emphasis(paragraph: str) -> str:
    """The one word that the card emphasises."""
    return paragraph.replace("**Any**", "<strong>Any</strong>")
