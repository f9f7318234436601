"""The Space: opens the collection and serves its page."""

import image_search
from image_search.cli import run
from image_search.server import serve

if __name__ == "__main__":
    run(lambda: serve(image_search.open()))
