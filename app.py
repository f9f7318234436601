"""The Space: opens the collection and serves its page to those who are let in."""

import typer

import image_search
from image_search.access import chosen_mode
from image_search.cli import run
from image_search.notices import Notices
from image_search.server import serve
from image_search.state import State
from image_search.withdrawal import Withdrawals


def main() -> None:
    """Serve the page of a collection: the one that IMAGE_SEARCH_ARTIFACT names, else the demo."""
    chosen_mode()  # what is wrong with it is said before the collection is fetched
    state = State.open()
    serve(image_search.open(withdrawn=Withdrawals(state), notices=Notices(state)), state)


if __name__ == "__main__":
    run(lambda: typer.run(main))
