"""The search page: a field, a picture to search with, and the pictures that were found."""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import gradio as gr

from image_search import images
from image_search.errors import ArtifactError, EncoderError, PictureError, QueryError
from image_search.results import Hit
from image_search.search import QUERY_SIDE, Searcher
from image_search.settings import settings

THUMBNAILS, PICTURES = "/thumbnails/", "/pictures/"
URL = ":/?#@!$&'*+,;=%~"
"""What an address may hold besides letters, digits and -._, but brackets, which end a link."""

WARNING = (
    "**For research only.** The order of these pictures comes from a model that has not been "
    "tested on this collection; the authors of CLIP call such use "
    "[out of scope](https://github.com/openai/CLIP/blob/main/model-card.md). It understands "
    "English only, and it must never be used for surveillance or facial recognition."
)

# Fonts of the visitor's own machine: no request goes anywhere else.
THEME = gr.themes.Base(
    primary_hue="teal",
    neutral_hue="stone",
    font=["system-ui", "sans-serif"],
    font_mono=["monospace"],
).set(
    # White on the theme's own teal is too faint to read (2.5:1; this is 5.5:1).
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
)

# After an answer the picture that was shown before goes. On a phone the new ones lie below the
# fold; elsewhere the page stays where it is.
TO_RESULTS = """() => {
  if (innerWidth < 700) document.getElementById('message').scrollIntoView({behavior: 'smooth'});
  return '';
}"""
TO_DETAIL = "() => document.getElementById('message').scrollIntoView({behavior: 'smooth'})"

EXAMPLES = (
    "A musical instrument",
    "An animal",
    "A guitar",
    "Flowers in a vase",
    "A house",
)

CSS = """
.gradio-container { max-width: 1200px !important; margin: 0 auto; }
/* Gradio's gallery would be as wide as its columns ask, wider than a phone. */
.gradio-container, .gradio-container main, #found, #found * { min-width: 0; }
@media (max-width: 600px) {
  #ask { flex-wrap: wrap; }
  #ask > * { flex: 1 1 100% !important; }
}
/* Captions below the pictures and in full: some credit lines have to be read. */
#found .thumbnail-lg { aspect-ratio: auto; height: auto; justify-content: flex-start; }
#found .thumbnail-lg > img { height: 150px; object-fit: contain; }
#found .caption-label {
  position: static; max-width: 100%; white-space: normal; text-align: left;
  border: 0; background: none; font-size: .75rem; line-height: 1.3; overflow-wrap: anywhere;
}
#found .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); align-items: start;
}
#found .grid-wrap { max-height: none; height: auto; overflow: visible; }
#found:not(:has(img)) { display: none; }
#examples { flex-wrap: wrap; gap: .5rem; }
#examples button { flex: 0 0 auto; width: auto; white-space: nowrap; }
#detail thead { display: none; }
#detail td:first-child { white-space: nowrap; overflow-wrap: normal; }
#detail img { max-height: 70vh; }
#warning { border-left: 3px solid var(--color-accent); padding: 0 0 0 .75rem; }
#warning p { margin: .25rem 0; }
"""


def build(searcher: Searcher) -> gr.Blocks:
    """The page of one collection, not yet served."""
    manifest = searcher.artifact.manifest
    notice = searcher.encoder.notice
    page: gr.Blocks

    # Gradio finds `gr.Request` by a function's annotations, which a partial does not show.
    def by_words(words: str, request: gr.Request) -> tuple[str, list[Any]]:
        return search_words(searcher, words, request)

    def by_picture(path: str | None, request: gr.Request) -> tuple[str, list[Any]]:
        return search_picture(searcher, path, request)

    def show(chosen: gr.SelectData, request: gr.Request) -> str:
        return show_picture(searcher, chosen.value, request)

    with gr.Blocks(
        title=manifest.collection.name, analytics_enabled=False, delete_cache=(3600, 3600)
    ) as page:
        gr.Markdown(_head(searcher))
        gr.Markdown(f"{WARNING}\n\n{notice or ''}", elem_id="warning")
        with gr.Row(equal_height=True, elem_id="ask"):
            words = gr.Textbox(
                label="What are you looking for?",
                placeholder="A few English words, for example: a musical instrument",
                scale=4,
                lines=1,
                max_lines=1,
                autofocus=True,
            )
            search = gr.Button("Search", variant="primary", scale=0, min_width=120)
        with gr.Accordion("Search with a picture instead", open=False):
            picture = gr.Image(
                label="A picture to search with; it is deleted within two hours",
                sources=["upload", "clipboard"],
                type="filepath",
                height=220,
            )
            _take_uploads_only(picture)
            look = gr.Button("Search with this picture")
        examples = gr.Row(elem_id="examples")
        message = gr.Markdown(elem_id="message")
        detail = gr.Markdown(elem_id="detail")
        found = gr.Gallery(
            label="Pictures",
            show_label=False,
            columns=5,
            object_fit="contain",
            height="auto",
            elem_id="found",
            interactive=False,
            allow_preview=False,
            buttons=[],
        )
        outputs: list[Any] = [message, found]
        asked = gr.on(
            [words.submit, search.click],
            by_words,
            words,
            outputs,
            api_name="search",
            concurrency_limit=4,
        )
        looked = look.click(
            by_picture,
            picture,
            outputs,
            api_name="search_picture",
            concurrency_limit=2,
        )
        tried = []
        with examples:
            for example in EXAMPLES:
                chip = gr.Button(example, size="sm", scale=0, min_width=80)
                typed = chip.click(
                    None, None, words, js=f"() => {json.dumps(example)}", api_visibility="private"
                )
                tried.append(typed.then(by_words, words, outputs, api_visibility="private"))
        for answered in (asked, looked, *tried):
            # In the browser alone: a second call to the server races with the next search, and
            # Gradio's stream of answers then loses that one.
            answered.then(None, None, detail, js=TO_RESULTS, api_visibility="private")
        found.select(show, None, detail, api_visibility="private").then(
            None, js=TO_DETAIL, api_visibility="private"
        )
    return page


def search_words(searcher: Searcher, words: str, request: gr.Request) -> tuple[str, list[Any]]:
    """A sentence about the result, and (address, caption) of every picture."""
    return _search(searcher, request, text=words)


def search_picture(
    searcher: Searcher, path: str | None, request: gr.Request
) -> tuple[str, list[Any]]:
    """The same for a picture file."""
    if path is None:
        return _said("Choose or paste a picture first.")
    try:
        image = images.decode(
            Path(path).read_bytes(), max_pixels=settings().max_pixels, max_side=QUERY_SIDE
        )
    except PictureError as error:
        return _said(f"This file cannot be searched with: {error}.")
    except OSError:  # Gradio has deleted it meanwhile
        return _said("The picture is gone. Choose it again.")
    return _search(searcher, request, image=image)


def show_picture(searcher: Searcher, chosen: Any, request: gr.Request) -> str:
    """The picture that was chosen from the gallery, large, with all that is known of it."""
    id = unquote(urlsplit(chosen["image"]["url"]).path.removeprefix(THUMBNAILS))
    row = searcher.artifact.catalogue.row(id)
    if row is None:
        return ""
    [fields] = searcher.artifact.catalogue.metadata([row])
    lines = [f"![]({_address(searcher, request, PICTURES, id)})", "", "| | |", "|---|---|"]
    for field in searcher.artifact.manifest.fields:
        if (value := fields[field.name]) is not None:
            text = ", ".join(value) if isinstance(value, list) else str(value)
            shown = f"[{_plain(text)}]({quote(text, safe=URL)})" if field.kind == "url" else None
            lines.append(f"| {_plain(field.name)} | {shown or _plain(text)} |")
    return "\n".join([*lines, f"| file | {_plain(id)} |"])


def _search(searcher: Searcher, request: gr.Request, **query: Any) -> tuple[str, list[Any]]:
    try:
        results = searcher.search(**query, k=settings().results)
    except QueryError as error:
        return _said(str(error))
    except (ArtifactError, EncoderError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return _said("This collection was changed or damaged. Whoever runs it has to look at it.")
    gallery = [(_address(searcher, request, THUMBNAILS, h.id), caption(h)) for h in results]
    lines = [f"The {len(results):,} nearest pictures to **{_plain(results.query)}**."]
    text = "\n\n".join([*(_plain(notice) for notice in results.notices), *lines])
    return text, gallery


def _said(text: str) -> tuple[str, list[Any]]:
    """A sentence in place of results."""
    return _plain(text), []


def _address(searcher: Searcher, request: gr.Request, folder: str, id: str) -> str:
    """Where a picture lies; the version in the address lets a browser keep it for long."""
    assert request.request is not None  # a handler always has one
    base = str(request.request.base_url).rstrip("/")
    return f"{base}{folder}{quote(id, safe='')}?v={searcher.artifact.short_version}"


def caption(hit: Hit) -> str:
    """What stands under a picture: its title or the credit it has to carry, and its score."""
    score = f"{hit.score:.2f}"
    if hit.title in hit.credit:  # as credit lines mostly have it
        return f"{hit.credit} · {score}"
    return " · ".join(filter(None, [hit.title, hit.credit, score]))


def _head(searcher: Searcher) -> str:
    collection = searcher.artifact.manifest.collection
    line = f"{collection.description} {len(searcher.artifact):,} pictures.".strip()
    return f"# {_plain(collection.name)}\n\n{_plain(line)}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: what a visitor or a record says is never markup."""
    return "".join(f"&#{ord(c)};" if not (c.isalnum() or c in " .,:;?'’“”") else c for c in text)


def _take_uploads_only(picture: gr.Image) -> None:
    """Have `picture` hand over the uploaded file as it is, and nothing but an upload.

    By itself Gradio fetches any public address that a caller names, and opens the file with
    formats and errors of its own.
    """
    move = picture.async_move_resource_to_block_cache

    async def move_upload(url_or_file_path: str | Path | None) -> str | None:
        if str(url_or_file_path).lower().startswith(("http:", "https:")):
            raise gr.Error(
                "Upload the picture itself; addresses are not fetched.", print_exception=False
            )
        return await move(url_or_file_path)

    def hand_over(payload: Any) -> str | None:
        return payload.path if payload else None

    picture.async_move_resource_to_block_cache = move_upload  # type: ignore[method-assign]
    picture.preprocess = hand_over  # type: ignore[method-assign]
