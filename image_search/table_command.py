"""The commands `table list`, `table counts` and `table top`: questions about what lies beside."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

import image_search
from image_search.options import AsJson, Collection
from image_search.tidy import tidy

if TYPE_CHECKING:
    from image_search.engine.questions import Count

table = typer.Typer(help="Questions about the tables beside the pictures, such as downloads.")

Name = Annotated[str, typer.Argument(metavar="TABLE", help="The table, as `table list` names it.")]


@table.command("list")
def list_tables(artifact: Collection = None, as_json: AsJson = False) -> None:
    """List the tables beside the pictures."""
    opened = image_search.open(artifact).artifact
    if as_json:
        listed = [info.model_dump() for info in opened.manifest.tables]
        print(json.dumps(listed, ensure_ascii=False, indent=2))
        return
    for info in opened.manifest.tables:
        columns = ", ".join(info.columns) or "no others"
        print(f"{info.name}: {info.rows:,} rows; {info.key} names the picture; {columns}")
    if not opened.manifest.tables:
        print("There is none. `build_index.py --table NAME=FILE` keeps one beside the pictures.")


@table.command("counts")
def counts(
    name: Name,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of pictures.")] = None,
    text: Annotated[str | None, typer.Option(help="The pictures nearest to these words.")] = None,
    like: Annotated[
        str | None, typer.Option(help="This picture, and those nearest to it, by its id.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="How many pictures.")] = 10,
    artifact: Collection = None,
    as_json: AsJson = False,
) -> None:
    """Say in how many rows of a table each picture stands: downloads per picture, say."""
    searcher = image_search.open(artifact)
    asked = list(ids or ())
    if like:
        asked.append(like)
    if text or like:
        found = searcher.search(text, like=[like] if like else (), k=k)
        asked += [hit.id for hit in found][: max(0, k - len(asked))]
    if not asked:
        raise typer.BadParameter("of which pictures? Name ids, or --text, or --like")
    _print(searcher.counts(name, asked), as_json)


@table.command("top")
def top(
    name: Name,
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a picture.")],
    column: Annotated[
        str | None, typer.Option(help="Of which column. Default: its keywords.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="How many values.")] = 5,
    artifact: Collection = None,
    as_json: AsJson = False,
) -> None:
    """Say which values of a table stand most often with a picture: its top keywords, say."""
    _print(image_search.open(artifact).top(name, id, column, k), as_json)


def _print(found: "Sequence[Count]", as_json: bool) -> None:
    if as_json:
        print(json.dumps([vars(one) for one in found], ensure_ascii=False, indent=2))
        return
    for one in found:
        print(tidy(f"{one.count:8,}  {one.value}"))
    if not found:
        print("There is no row about it.")
