"""Options that several commands have."""

from typing import Annotated

import typer

Collection = Annotated[
    str | None,
    typer.Option(
        "--artifact",
        "-a",
        help="The built collection: a folder, or user/name@revision of the Hub. Default: the "
        "setting IMAGE_SEARCH_ARTIFACT, else the demo.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
