"""`python -m image_search`."""

from image_search.cli import main

main()
