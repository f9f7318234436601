"""The tab Search: the markup that assets/ui/page.js brings to life."""

from collections.abc import Sequence

import gradio as gr

from image_search.search import Searcher
from image_search.settings import ROOT
from image_search.standing import UNTESTED
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
    markup = (ROOT / "assets" / "ui" / "search.html").read_text(encoding="utf-8")
    markup = markup.replace("__EXAMPLES__", _examples(proposed(searcher))).replace(
        "__WARNING__", _warning(searcher)
    )
    gr.HTML(markup, apply_default_css=False, js_on_load=None)


def proposed(searcher: Searcher) -> tuple[str, ...]:
    """Questions that the model of a collection answers well."""
    embedded = searcher.artifact.manifest.encoder.name == "embedded"
    return EMBEDDED_EXAMPLES if embedded else CLIP_EXAMPLES


def _examples(examples: Sequence[str]) -> str:
    return "".join(f'<button type="button">{plain(example)}</button>' for example in examples)


def _warning(searcher: Searcher) -> str:
    """What the model is and is not for, always above the pictures; why, in its card's words."""
    notice = f" {plain(searcher.encoder.notice)}" if searcher.encoder.notice else ""
    return (
        '<div id="warning" role="note" aria-label="What this search is not for"><p>'
        "<strong>This search is for research only.</strong> Models of this kind (CLIP) are made "
        "for research; "
        f"{model_card.link('their model card')} calls deployment without in-domain testing out of "
        # page.js says what is known of it by now: a test may be made while this is served.
        f'scope. <span class="standing">{UNTESTED}</span> '
        '<a class="tested" href="/api/v1/evaluation" target="_blank" hidden>Its report.</a> '
        "Ask in English; never use it for "
        f"surveillance or facial recognition.{notice} </p><details><summary>Why?</summary>"
        f"<p>The model card of CLIP says:</p>{''.join(map(model_card.quoted, WHY))}"
        f"<p>There is more under About; in full: {model_card.link('the model card of CLIP')}."
        "</p></details></div>"
    )
