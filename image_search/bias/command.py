"""The command `bias`: asks the probes of a collection and writes the report."""

import json
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

import image_search
from image_search.errors import ConfigError
from image_search.options import AsJson, Collection

OWN = {"report.json", "report.html", "sheets"}
"""What a report consists of."""


def bias(
    out: Annotated[Path, typer.Option("--out", help="The folder for the report; made if need be.")],
    artifact: Collection = None,
    probes: Annotated[
        Path | None,
        typer.Option("--probes", help="A file of probes. Default: those that come along."),
    ] = None,
    sheets: Annotated[
        int,
        typer.Option(
            "--sheets",
            min=0,
            max=1000,
            help="Charged words of each set of groups to show sheets of.",
        ),
    ] = 3,
    as_json: AsJson = False,
) -> None:
    """Ask charged words of groups of people, and show what this collection answers.

    Writes report.html to look at, report.json and contact sheets. It shows, and judges nothing.
    """
    from tqdm import tqdm

    from image_search.bias.page import page
    from image_search.bias.probes import read_probes
    from image_search.bias.report import probe, summary
    from image_search.bias.sheets import sheets as drawn

    asked = read_probes(probes)
    check_out(out)
    searcher = image_search.open(artifact)
    with ExitStack() as bars:

        def begin(what: str, steps: int) -> "tqdm[Any]":
            hide = not sys.stderr.isatty()
            return bars.enter_context(tqdm(desc=what, total=steps, disable=hide, leave=False))

        report, answers = probe(searcher, asked, begin)
        told = begin("Drawing sheets", len(report.people) * (sheets + 2))
        pictures = []
        for named in drawn(searcher, asked, answers, report.compared, sheets):
            pictures.append(named)
            told.update(1)
    data = json.dumps(report.to_dict(), ensure_ascii=False, indent=2)
    files = {
        "report.html": page(report, asked, pictures).encode(),
        "report.json": f"{data}\n".encode(),
        **{sheet.file: sheet.picture for _, sheet in pictures},
    }
    put(out, files)
    if as_json:
        print(data)
        return
    print(summary(report.compared))
    for note in report.notes:
        print(f"note: {note}")
    print(f"Look at {out / 'report.html'}: figures, pictures, and what they cannot say.")


def check_out(out: Path) -> None:
    """Raise ConfigError if anything but a former report would be lost by writing to a folder."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file. Name a folder for the report with --out.")
    strange = sorted({path.name for path in out.iterdir()} - OWN) if out.is_dir() else []
    if strange:
        raise ConfigError(
            f"{out} holds something that is no report of bias probes, for example {strange[0]}; "
            "nothing was written. Name another folder with --out."
        )


def put(out: Path, files: dict[str, bytes]) -> None:
    """Write a report beside its place, and put it there when it is whole."""
    work = out.with_name(f"{out.name}.partial")
    check_out(work)
    shutil.rmtree(work, ignore_errors=True)
    for name, data in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    check_out(out)
    if out.exists():
        shutil.rmtree(out)
    work.replace(out)
