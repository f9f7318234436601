"""The commands `notice add`, `list`, `remove`, `propose`: what covers pictures until asked for."""

from pathlib import Path
from typing import Annotated

import typer

import image_search
from image_search.errors import QueryError
from image_search.notices import Notices
from image_search.operator_commands import _kept, _me, _print, _state
from image_search.options import AsJson, Collection

notice_app = typer.Typer(help="Notices that cover sensitive pictures until somebody asks for them.")


@notice_app.command("add")
def add(
    text: Annotated[
        str, typer.Option("--text", help="What to say in the pictures' place: “Shows violence”.")
    ],
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of pictures.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="FIELD:VALUE",
            help="The pictures of which this is known, as for `search`; those to come, too.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All pictures.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The pictures of a table: see `propose`."),
    ] = None,
    artifact: Collection = None,
) -> None:
    """Cover pictures with a notice, within seconds: they are found, and shown to who asks."""
    from image_search.proposals import chosen

    pictures = [*(ids or ()), *(chosen(file) if file else ())]
    with _state(make=True) as state:
        searcher = image_search.open(artifact, withdrawn=frozenset())
        known = searcher.catalogue.rows(pictures)
        if unknown := [id for id in pictures if id not in known]:
            raise QueryError(
                f"{searcher.artifact.files.name} has no picture “{unknown[0][:200]}”; nothing was "
                "covered. Is it the right collection (--artifact, IMAGE_SEARCH_ARTIFACT)?"
            )
        count = searcher.count_covered(where) if where else len(known)
        id, kept = Notices(state).add(
            text, _me(), pictures=pictures, where=where or (), everything=everything
        )
        _kept(state, kept)
    covered = len(searcher) if everything else count
    print(f"Covered: {covered:,} pictures by the notice {id} (in {state.name}).")
    if not covered:
        print("No picture has that now: the notice waits for those to come. Is it spelt right?")
    print(f"`python -m image_search notice remove {id}` shows them again.")


@notice_app.command("list")
def listed(as_json: AsJson = False) -> None:
    """List the notices that hold, the latest first."""
    with _state() as state:
        told = [
            {
                "id": one.id,
                "text": one.text,
                "where": list(one.where),
                "pictures": list(one.pictures),
                "by": one.by,
                "time": one.time,
                "for": ", ".join(one.where)
                or (f"{len(one.pictures):,} pictures" if one.pictures else "all pictures"),
            }
            for one in Notices(state).all()
        ]
    _print(told, as_json, "{id}  {time}  {text}  for {for}  ({by})", "There is no notice.")


@notice_app.command("remove")
def remove(id: Annotated[str, typer.Argument(help="The id of a notice: see `list`.")]) -> None:
    """Take a notice away: its pictures are shown again."""
    with _state() as state:
        _kept(state, Notices(state).remove(id, _me()))
    print(f"The notice {id} covers nothing any more.")


@notice_app.command("propose")
def propose(
    prompts: Annotated[
        list[str],
        typer.Option("--prompt", help="What is to be seen, in English words; repeatable."),
    ],
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=-1, max=1, help="Propose what has this score or more."),
    ] = None,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Without a threshold: propose so many, the nearest.")
    ] = 50,
    out: Annotated[
        Path, typer.Option("--out", help="Where to write: this name with .csv and with .png.")
    ] = Path("proposed"),
    artifact: Collection = None,
) -> None:
    """Look for pictures that a notice might be for. Nothing is covered before you say so."""
    from image_search import proposals

    if not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}")
    searcher = image_search.open(artifact)
    made = proposals.propose(searcher, prompts, threshold, k)
    table, picture = out.with_name(f"{out.name}.csv"), out.with_name(f"{out.name}.png")
    half = table.with_name(f"{table.name}.tmp")
    half.write_text(proposals.as_table(made), encoding="utf-8")
    half.replace(table)
    proposals.as_sheet(searcher, made, picture)
    below = len(made.pictures) - made.above
    print(f"Threshold: {made.threshold:.4f}. At or above it: {made.above:,} of {len(searcher):,}.")
    print(f"{picture} shows the first of them; {table} has their scores, and {below} below it.")
    print("Nothing is covered. Those at or above the threshold have a yes under “cover”: look at")
    print("each, change it to no where the model is wrong, and say:")
    print(f'  python -m image_search notice add --from {table} --text "…"')
