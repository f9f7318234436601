"""The page: Gradio around the tabs, and endpoints for gradio_client."""

import re
from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel

from image_search import answers
from image_search.answers import Asked
from image_search.api import visitor_of
from image_search.errors import ArtifactError, EncoderError, EngineError, QueryError
from image_search.facets import Facets
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.ui import about_tab, curate_tab, search_tab
from image_search.ui.plain import plain

# Fonts of the visitor's own machine: no request goes anywhere else.
THEME = gr.themes.Base(
    primary_hue="teal",
    neutral_hue="stone",
    font=["system-ui", "sans-serif"],
    font_mono=["monospace"],
)

SCRIPTS = (
    "page",
    "carry",
    "chips",
    "covers",
    "element",
    "field",
    "filters",
    "grid",
    "panel",
    "question",
    "tables",
)

HEAD = "\n".join(
    [
        '<meta name="robots" content="noindex">',
        '<link rel="stylesheet" href="/ui/style.css">',
        *(f'<link rel="modulepreload" href="/ui/{script}.js">' for script in SCRIPTS),
        '<script type="module" src="/ui/page.js"></script>',
    ]
)

NO_SCRIPT = b"<noscript><p>This page needs JavaScript. Programs use /api/v1.</p></noscript>"

# What Gradio tells other sites of its page: its own name and picture.
_ADVERTISEMENT = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')


def with_own_head(html: bytes, searcher: Searcher) -> bytes:
    """Gradio's page with our head: its `head` option would add it only after all its scripts."""
    name = plain(searcher.artifact.manifest.collection.name)
    head = f"<head><title>{name}</title>{HEAD}".encode()
    html = _ADVERTISEMENT.sub(b"", html).replace(b"<head>", head, 1)
    return html.replace(b"</body>", NO_SCRIPT + b"</body>", 1)


def build(searcher: Searcher, log: SearchLog, closed: bool) -> gr.Blocks:
    """The page of one collection, not yet served; `closed`: people sign in."""
    page: gr.Blocks

    def search(
        request: gr.Request,
        words: str = "",
        k: int | None = None,
        like: list[str] | None = None,
        unlike: list[str] | None = None,
        where: list[str] | None = None,
        contains: str = "",
        cursor: str = "",
    ) -> dict[str, Any]:
        asked, size = asked_of(words, like, unlike, where, contains), page_size(k)
        by, base = _name_of(request), answers.PREFIX
        return told(lambda: answers.answer(searcher, log, by, base, asked, size, cursor))

    def facets(
        words: str = "",
        like: list[str] | None = None,
        unlike: list[str] | None = None,
        where: list[str] | None = None,
        contains: str = "",
    ) -> dict[str, Any]:
        asked = asked_of(words, like, unlike, where, contains)
        return told(lambda: answers.facets(searcher, asked))

    def record(id: str) -> dict[str, Any]:
        return told(lambda: answers.record(searcher, answers.PREFIX, id))

    with gr.Blocks(
        title=searcher.artifact.manifest.collection.name, analytics_enabled=False
    ) as page:
        gr.HTML(_head(searcher, closed), apply_default_css=False, js_on_load=None)
        with gr.Tabs():
            with gr.Tab("Search"):
                search_tab.tab(searcher)
            with gr.Tab("About"):
                about_tab.tab(searcher)
            with gr.Tab("Curate", elem_id="curate"):  # page.js shows it to curators alone
                curate_tab.tab()
        gr.HTML(_foot(searcher), apply_default_css=False, js_on_load=None)
        for endpoint, description in (
            (search, "The pictures nearest to words, as /api/v1/search gives them."),
            (facets, "What is known of these pictures, counted, as /api/v1/facets gives it."),
            (record, "All that is known of a picture, as /api/v1/records gives it."),
        ):
            gr.api(  # type: ignore[attr-defined]
                endpoint,
                api_name=endpoint.__name__,
                api_description=description,
                concurrency_limit=4,
            )
    return page


def told(make: Callable[[], BaseModel | Facets]) -> dict[str, Any]:
    """What /api/v1 answers, as plain data. Raises gr.Error with what it would say."""
    try:
        made = make()
    except QueryError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except EngineError as error:
        raise gr.Error(error.told, print_exception=False) from None
    except (ArtifactError, EncoderError) as error:
        raise gr.Error(answers.OUT_OF_ORDER) from error
    plain: dict[str, Any] = jsonable_encoder(made)
    return plain


def asked_of(
    words: str,
    like: list[str] | None,
    unlike: list[str] | None,
    where: list[str] | None,
    contains: str,
) -> Asked:
    """A question of a caller's values. Raises gr.Error if one of them is of another kind."""
    for name, values in (("like", like), ("unlike", unlike), ("where", where)):
        if not (values is None or (isinstance(values, list) and all(map(_is_text, values)))):
            raise gr.Error(f"{name} is a list of texts, not {values!r}.", print_exception=False)
    for name, text in (("words", words), ("contains", contains)):
        if not _is_text(text):
            raise gr.Error(f"{name} is a text, not {text!r}.", print_exception=False)
    return Asked(words, tuple(like or ()), tuple(unlike or ()), tuple(where or ()), contains)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def page_size(k: int | None) -> int | None:
    """How many pictures a caller wants. Raises gr.Error if that is no such number."""
    if k is not None and not (type(k) is int and 1 <= k <= answers.MAX_PAGE):
        raise gr.Error(
            f"k is {k!r}; it is a whole number from 1 to {answers.MAX_PAGE}.",
            print_exception=False,
        )
    return k


def _name_of(request: gr.Request) -> str:
    """The member who asks."""
    return visitor_of(request.request).name if request.request else ""


def _head(searcher: Searcher, closed: bool) -> str:
    collection = searcher.artifact.manifest.collection
    # The name is the script's, for the page is the same for all; so is the number: pictures can be
    # withdrawn while this is served.
    you = (
        '<form id="you" method="post" action="/logout">Signed in as <strong>…</strong>. '
        "<button>Sign out</button></form>"
    )
    return (
        f'<header id="head">{you if closed else ""}'
        f"<h1>{plain(collection.name)}</h1>"
        f'<p>{plain(collection.description)} <span id="count">&nbsp;</span></p>'
        f"{f'<p>{plain(collection.notice)}</p>' if collection.notice else ''}"
        "</header>"
    )


def _foot(searcher: Searcher) -> str:
    collection = searcher.artifact.manifest.collection
    contact = f"Questions: {collection.contact}" if collection.contact else ""
    rights = f"Rights: {collection.rights}" if collection.rights else ""
    lines = "".join(f"<p>{plain(line)}</p>" for line in (rights, contact) if line)
    return f'<footer id="foot">{lines}</footer>' if lines else ""
