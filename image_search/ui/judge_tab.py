"""The tab Judge: the markup that assets/ui/judge.js brings to life, for those who may."""

import gradio as gr

from image_search.search import Searcher
from image_search.settings import ROOT
from image_search.ui import search_tab
from image_search.ui.plain import plain

HEAD = """\
# What this collection is tested for: some classes, each with its prompts.
# Change all of it. Five to twenty classes of what people really look for here are a good test.
name = "What our readers look for"
# Another version, when you change it: a report says which one it is about.
version = "1"
"""

CLASS = """
{told}[[class]]
name = "{name}"
{about}prompts = ["{name}", "{other}"]
"""

TOLD = """\
# A class. Judges are asked “Does this show: …?”, with its name. What is said about it tells them
# what counts, and may be left out. Prompts are questions as typed into the search; judges do not
# see them. Several ways of asking make a better test.
"""

ABOUT = 'about = "Also small, or at the edge; not where it is only meant."\n'


def tab(searcher: Searcher) -> None:
    """Put the tab's contents into the page that is being built."""
    markup = (ROOT / "assets" / "ui" / "judge.html").read_text(encoding="utf-8")
    markup = markup.replace("__EXAMPLE__", plain(example(search_tab.proposed(searcher))))
    gr.HTML(markup, apply_default_css=False, js_on_load=None)


def example(questions: tuple[str, ...]) -> str:
    """A taxonomy to begin with, made of questions that the page proposes."""
    text = HEAD
    for number, question in enumerate(questions):
        name = f"{question[0].lower()}{question[1:]}"
        text += CLASS.format(
            name=name,
            other=f"a picture of {name.removeprefix('an illustration of ')}",
            told="" if number else TOLD,
            about="" if number else ABOUT,
        )
    return text
