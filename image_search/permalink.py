"""The address of a search on the page: the same question, and the version that it was put to."""

from urllib.parse import urlencode

from image_search.answers import Asked


def permalink(asked: Asked, version: str) -> str:
    """The part from ? on, without the visitor's own picture, which is not stored anywhere."""
    said = [
        ("text", asked.text.strip()),
        *(("like", id) for id in asked.like),
        *(("unlike", id) for id in asked.unlike),
        *(("where", one) for one in asked.where),
        ("contains", asked.contains.strip()),
        ("version", version),
    ]
    return "/?" + urlencode([(name, value) for name, value in said if value])


def picture_link(id: str) -> str:
    """The address of one picture on the page."""
    return "/?" + urlencode({"picture": id})
