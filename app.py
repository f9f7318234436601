"""The Space: opens the collection and serves its page."""

import typer

import image_search
from image_search.cli import run
from image_search.server import serve


def main() -> None:
    """Serve the page of a collection: the one that IMAGE_SEARCH_ARTIFACT names, else the demo."""
    serve(image_search.open())


if __name__ == "__main__":
    run(lambda: typer.run(main))
