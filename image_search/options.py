"""Options that several commands have."""

from pathlib import Path
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

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Only for a dataset made by hand: what made its embeddings, such as clip-ViT-B-32.",
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="Ask the image search at this address instead, such as https://search.example.org. "
        "Default: the setting IMAGE_SEARCH_SERVER. Your token for it is IMAGE_SEARCH_TOKEN.",
    ),
]
Text = Annotated[
    str | None,
    typer.Argument(
        help="What to look for, in English words. “a harbour +fog -boats”: several things, less "
        "of some; “2:a harbour”: its weight; “a cat OR a dog”; “like:ID”; quotes turn all of that "
        'off. If it begins with a minus, put it last, behind two of them: -- "-boats".'
    ),
]
Image = Annotated[Path | None, typer.Option("--image", help="Search with this picture.")]
Like = Annotated[
    list[str] | None,
    typer.Option("--like", help="Search with a picture of the collection, by its id; repeatable."),
]
Unlike = Annotated[
    list[str] | None,
    typer.Option("--unlike", help="Less like this picture of the collection; repeatable."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD:VALUE",
        help="Only pictures of which this is known: year:1850..1870, “institution:The Met”. Of "
        "one field several values: any of them; several ranges: all. `facets` lists what there is.",
    ),
]
Acknowledge = Annotated[
    list[str] | None,
    typer.Option(
        "--acknowledge",
        metavar="RULE",
        help="Search all the same though this rule of the policy warned; repeatable.",
    ),
]
Contains = Annotated[
    str,
    typer.Option(
        "--contains",
        metavar="WORDS",
        help="Only pictures whose title or keywords have all these words, or begin with them.",
    ),
]
