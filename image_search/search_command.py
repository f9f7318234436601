"""The commands `search`, `facets`, `record` and `cite`: they ask a collection here or a server."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from image_search.desk import desk
from image_search.errors import PictureError, QueryError
from image_search.options import (
    AsJson,
    Collection,
    Contains,
    Image,
    Like,
    Model,
    Server,
    Text,
    Unlike,
    Where,
)
from image_search.tidy import printable, tidy

if TYPE_CHECKING:
    from image_search.facets import Bin, Facet
    from image_search.question import Question
    from image_search.results import Record, Results
    from image_search.take_away import Format

FORMATS: dict[str, "Format"] = {".csv": "csv", ".json": "json", ".bib": "bibtex", ".png": "sheet"}
"""What a file is, by how its name ends."""

BAR = 40
"""Signs of the longest bar of a histogram."""

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a picture, as `search` has it.")]


def search(
    text: Text = None,
    image: Image = None,
    like: Like = None,
    unlike: Unlike = None,
    where: Where = None,
    contains: Contains = "",
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="How many pictures.")] = 9,
    artifact: Collection = None,
    model: Model = None,
    server: Server = None,
    as_json: AsJson = False,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write what was found to this file: .csv, .json, .bib (BibTeX), or .png (a sheet "
            "of the pictures with captions and credits, up to 200); repeatable.",
        ),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="The same as --out with a .png.")
    ] = None,
    cite: Annotated[bool, typer.Option("--cite", help="Say how to cite this search.")] = False,
) -> None:
    """Find the pictures nearest to words, to a picture, to known ones, or to all of it together.

    With --where or --contains alone it lists the pictures of which that is known.
    """
    if not (text is not None or image or like or unlike or where or contains):
        raise typer.BadParameter("give words, --image FILE, --like ID or --where FIELD:VALUE")
    files = [*(out or ()), *([sheet] if sheet else ())]
    if sheet and sheet.suffix.lower() != ".png":
        raise typer.BadParameter(f"--sheet writes a PNG: call it {sheet.stem}.png")
    for file in files:
        _refuse(file)
    asked = _question(text, image, like, unlike, where, contains)
    asks = desk(artifact, model, server)
    results = asks.answer(asked, k)
    citation = asks.cite(asked, k) if cite else None
    if as_json:
        _print_json({**results.to_dict(), **({"citation": vars(citation)} if citation else {})})
    else:
        _print_results(results)
        if citation:
            print(f"\n{printable(citation.text)}")
    for file in files:
        _write(file, asks.export(asked, FORMATS[file.suffix.lower()], k))
        print(f"The pictures are in {file}.", file=sys.stderr)


def facets(
    text: Text = None,
    image: Image = None,
    like: Like = None,
    unlike: Unlike = None,
    where: Where = None,
    contains: Contains = "",
    most: Annotated[
        int, typer.Option("--most", min=1, max=100, help="How many values of a field.")
    ] = 10,
    artifact: Collection = None,
    model: Model = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Count what is known of the pictures of a question, or of all: values, years, numbers.

    What it prints can be given to --where, with the field's name and a colon before it.
    """
    is_asked = text is not None or image or like or unlike or where or contains
    asked = _question(text, image, like, unlike, where, contains) if is_asked else None
    counted = desk(artifact, model, server).facets(asked)
    if as_json:
        _print_json(asdict(counted))
        return
    of = "the nearest of those that match" if counted.nearest else "all that match"
    some = f"{counted.pictures:,} picture{'' if counted.pictures == 1 else 's'}"
    print(f"{some}, {of if asked else 'all of the collection'}")
    for facet in counted.facets:
        print()
        for line in _counted(facet, most):
            print(printable(line))


def record(
    id: Id,
    artifact: Collection = None,
    model: Model = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Say all that is known of a picture."""
    known = desk(artifact, model, server).record(id)
    if as_json:
        _print_json(vars(known))
        return
    rows = _rows(known)
    wide = max(len(name) for name in rows) + 2
    for name, value in rows.items():
        print(f"{tidy(name):{wide}}{tidy(value)}")


def cite(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of pictures.")],
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print entries for BibTeX.")] = False,
    artifact: Collection = None,
    model: Model = None,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Say how to cite pictures. (A search: `search … --cite`.)"""
    asks = desk(artifact, model, server)
    citations = [asks.cite_picture(id) for id in ids]
    if as_json:
        _print_json([{"id": id, **vars(c)} for id, c in zip(ids, citations, strict=True)])
        return
    for citation in citations:
        lines = [*citation.bibtex.splitlines(), ""] if bibtex else [citation.text]
        print("\n".join(map(printable, lines)))


def _question(
    text: str | None,
    image: Path | None,
    like: list[str] | None,
    unlike: list[str] | None,
    where: list[str] | None,
    contains: str,
) -> "Question":
    from image_search.question import question

    picture = _read_image(image) if image else None
    return question(text, picture, like or (), unlike or (), where or (), contains)


def _print_results(results: "Results") -> None:
    if not _is_plain(results):
        print(printable(f"Understood: {results.understood}"))
    for notice in results.notices:
        print(notice)
    for hit in results:
        title = "" if hit.id.endswith(hit.title) else f"  {hit.title}"
        # a server rounds to four digits; rounded at once to three, some would come out otherwise
        score = "" if hit.score is None else f"{round(hit.score, 4):6.3f}  "
        notice = f"  [{hit.notice}]" if hit.notice else ""
        print(printable(f"{hit.rank:3}  {score}{hit.id}{title}{notice}"))


def _is_plain(results: "Results") -> bool:
    """Whether the words were read as one sentence, as they would be without any signs."""
    terms = results.understood.terms
    return not terms or (len(terms) == 1 and terms[0].weight == 1 and not terms[0].is_picture)


def _print_json(told: Any) -> None:
    text = json.dumps(told, ensure_ascii=False, indent=2)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def _rows(known: "Record") -> dict[str, str]:
    """What is known of a picture, by name."""
    fields = {
        name: "; ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in known.metadata.items()
        if value is not None
    }
    about = {"id": known.id, "title": known.title, "credit": known.credit}
    about["notice"] = known.notice or ""
    size = {"pixels": f"{known.width} × {known.height}"}
    return {name: value for name, value in {**about, **fields, **size}.items() if value}


def _counted(facet: "Facet", most: int) -> list[str]:
    """A field in lines."""
    unknown = f"  ({facet.unknown:,} unknown)" if facet.unknown else ""
    if facet.bins:
        return [f"{facet.field}{unknown}", *_histogram(facet)]
    # those that were asked for stand first
    shown = facet.choices[: max(most, sum(choice.chosen for choice in facet.choices))]
    lines = [f"{'*' if c.chosen else ' '} {c.count:8,}  {c.value}" for c in shown]
    rest = facet.different - len(shown)
    more = [f"            and {rest:,} more"] if rest > 0 else []
    return [f"{facet.field}{unknown}", *lines, *more]


def _histogram(facet: "Facet") -> list[str]:
    """A bar for each bin from the first to the last that holds anything."""
    filled = [place for place, one in enumerate(facet.bins) if one.count]
    if not filled:
        return []
    bins = facet.bins[filled[0] : filled[-1] + 1]
    highest = max(one.count for one in bins)
    whole = facet.kind == "date" or facet.role == "year"
    names = [_range(one, whole) for one in bins]
    wide = max(map(len, names))
    return [
        f"  {one.count:8,}  {name:>{wide}}  {'█' * _bar(one.count, highest)}".rstrip()
        for one, name in zip(bins, names, strict=True)
    ]


def _bar(count: int, highest: int) -> int:
    """How long a bar is; of a count, which a server that is no good may have below 0."""
    return max(0, -(-count * BAR // highest)) if highest > 0 else 0


def _range(one: "Bin", whole: bool) -> str:
    """A bin as --where takes it; of whole numbers both ends are within."""
    low, high = one.low, one.high - 1 if whole else one.high
    if whole:
        return f"{low:.0f}" if low == high else f"{low:.0f}..{high:.0f}"
    return f"{low:.15g}..{high:.15g}"


def _read_image(path: Path) -> Any:
    from image_search import images
    from image_search.question import QUERY_SIDE
    from image_search.settings import settings

    try:
        return images.decode(
            path.read_bytes(), max_pixels=settings().max_pixels, max_side=QUERY_SIDE
        )
    except PictureError as error:
        raise QueryError(f"{path} cannot be searched with: {error}.") from None


def _refuse(file: Path) -> None:
    """Refuse a file that cannot be written, before anything is searched."""
    if file.suffix.lower() not in FORMATS:
        kinds = ", ".join(FORMATS)
        raise typer.BadParameter(f"what {file.name} is to be does not say its end: one of {kinds}")
    if not file.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent} for {file.name}")
    if file.is_dir():
        raise typer.BadParameter(f"{file} is a folder")


def _write(file: Path, data: bytes) -> None:
    """Write a file as a whole, or not at all."""
    half = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        half.write_bytes(data)
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)
