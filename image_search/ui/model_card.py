"""What CLIP's authors say of it: passages of their model card, word for word."""

from functools import cache

from image_search.settings import ROOT

SOURCE = "https://github.com/openai/CLIP/blob/main/model-card.md"


@cache
def passages() -> dict[str, list[str]]:
    """Heading → its paragraphs, as Markdown, in the order of the card."""
    text = (ROOT / "assets" / "model-card.md").read_text(encoding="utf-8")
    sections = (section.partition("\n") for section in text.split("\n## ")[1:])
    return {heading: body.strip().split("\n\n") for heading, _, body in sections}
