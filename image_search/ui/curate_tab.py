"""The tab Curate: the markup that assets/ui/curate.js brings to life, for those who may."""

import gradio as gr

from image_search.settings import ROOT


def tab() -> None:
    """Put the tab's contents into the page that is being built."""
    markup = (ROOT / "assets" / "ui" / "curate.html").read_text(encoding="utf-8")
    gr.HTML(markup, apply_default_css=False, js_on_load=None)
