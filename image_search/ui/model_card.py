"""What CLIP's authors say of it: passages of their model card, word for word."""

from functools import cache

from image_search.settings import ROOT
from image_search.ui.plain import plain

SOURCE = "https://github.com/openai/CLIP/blob/main/model-card.md"


@cache
def passages() -> dict[str, list[str]]:
    """Heading → its paragraphs, in the order of the card."""
    text = (ROOT / "assets" / "model-card.md").read_text(encoding="utf-8")
    sections = (section.partition("\n") for section in text.split("\n## ")[1:])
    return {heading: body.strip().split("\n\n") for heading, _, body in sections}


def quoted(heading: str) -> str:
    """The paragraphs under a heading as HTML."""
    lines = (f"<p>{_emphasised(paragraph)}</p>" for paragraph in passages()[heading])
    return f"<blockquote>{''.join(lines)}</blockquote>"


def link(text: str) -> str:
    """A link to the whole card."""
    return f'<a href="{SOURCE}" target="_blank" rel="noopener noreferrer">{text}</a>'


def _emphasised(paragraph: str) -> str:
    parts = paragraph.split("**")  # the card's own Markdown: every second part is emphasised
    return "".join(
        f"<strong>{plain(part)}</strong>" if number % 2 else plain(part)
        for number, part in enumerate(parts)
    )
