"""The command `evaluate`: what is typed, what is kept, and what is said about it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import image_search
from image_search.errors import ConfigError, StateError
from image_search.options import AsJson, Collection
from image_search.repo import REPO
from image_search.settings import settings
from image_search.state import State
from image_search.tidy import tidy

if TYPE_CHECKING:
    from image_search.evaluation import Question
    from image_search.evaluation_report import Figure, Figures, Report, Variant
    from image_search.search import Searcher
    from image_search.taxonomy import Taxonomy


def evaluate(
    taxonomy: Annotated[
        Path | None,
        typer.Option(help="The classes, a TOML file. Default: the newest that the state has."),
    ] = None,
    artifact: Collection = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write report.json and report.html there."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="A table with the columns id and class, one class a picture: how many pictures "
            "go to the right class. Default: those that judges gave exactly one class.",
        ),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare with the prompts put into this, such as “a drawing of {}”; repeatable."
        ),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARTIFACT",
            help="Compare with another collection of the same pictures, made with another model; "
            "repeatable.",
        ),
    ] = None,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish", help="Put the report beside the collection on the Hub, and on its card."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Test a collection in its domain: what its prompts find, against what judges said.

    The report is kept with what people add: a running app shows it within seconds.
    """
    from image_search.evaluation import Question
    from image_search.judgements import Judgements
    from image_search.zero_shot import read_labels

    with _state() as state:
        searcher = image_search.open(artifact)
        repo = _repo_of(searcher) if publish else ""
        asked = _taxonomy(taxonomy, state)
        judgements = Judgements(state).of(asked)
        if not judgements and labels is None:
            raise ConfigError(
                f"Nobody has judged anything for {asked.name}, version {asked.version}, in "
                f"{state.name}. Judge in the app, under Judge, first; is it the right state "
                "(IMAGE_SEARCH_STATE)?"
            )
        question = Question(
            taxonomy=asked,
            judgements=judgements,
            labels=None if labels is None else read_labels(labels, asked),
            templates=template or (),
            others=[image_search.open(place) for place in compare or ()],
        )
        report = _with_bar(searcher, question)
        told = _kept(state, searcher, report)
        places = _written(searcher, report, out, repo, told)
    if as_json:
        print(json.dumps(report.dumped(), ensure_ascii=False, indent=2))
    else:
        print(as_table(report))
        print("\n".join([told, *places]))


def as_table(report: "Report") -> str:
    """A report in lines for a terminal."""
    info = report.taxonomy
    head = ["class", "yes", "no", "right of 10", "of 50", "found", "AP", "nDCG", "judged", "bar"]
    rows = []
    for one in report.classes:
        figures = _figures(one.index)
        bar = "–" if one.reached is None else f"{one.reached:.0%}"
        reached = bar if one.depth in (0, 10) else f"{bar} of {one.depth}"
        rows.append(
            [
                tidy(one.name),
                str(one.yes),
                str(one.no),
                *figures,
                f"{one.judged_at_10:.0%}",
                reached,
            ]
        )
    over = _figures(report.index)
    rows.append(["all classes", "", "", *over, f"{report.judged_at_10:.0%}", ""])
    rows.append(["  exact search", "", "", *_figures(report.exact), "", ""])
    judges = "judge" if report.judges == 1 else "judges"
    agreed = "" if report.kappa is None else f", kappa {report.kappa:.2f}"
    lines = [
        f"{tidy(report.collection.name)}, {report.collection.pictures:,} pictures, model "
        f"{report.encoder.name}",
        f"{tidy(info.name)}, version {tidy(info.version)}: {report.judgements:,} judgements of "
        f"{report.judges:,} {judges}{agreed}",
        "",
        *_columns([head, *rows]),
        f"The index finds {report.index_recall_at_10:.1%} of the exact ten nearest.",
    ]
    if found := report.zero_shot:
        lines.append(
            f"Put into the right class: {_of(found.accuracy)} of {found.pictures:,} pictures "
            f"({found.source}); always the most frequent class: {found.always_the_same:.2f}."
        )
    if report.variants:
        lines += ["", *_columns(_compared(report.variants))]
    return "\n".join([*lines, "", *(f"note: {tidy(note)}" for note in report.notes)])


def _compared(variants: "list[Variant]") -> list[list[str]]:
    rows = [["side by side", "right of 10", "of 50", "found", "AP", "nDCG", "judged", "class"]]
    for one in variants:
        figures = _figures(one.figures)
        zero_shot = "–" if one.zero_shot is None else f"{one.zero_shot:.2f}"
        rows.append([tidy(one.name), *figures, f"{one.judged_at_10:.0%}", zero_shot])
        if one.differences:
            rows.append(["  difference", *_figures(one.differences, signed=True), "", ""])
    return rows


def _figures(figures: "Figures", signed: bool = False) -> list[str]:
    """The first with its interval; those of the others are in the file."""
    from image_search.evaluation_report import FIGURES

    first, *others = [getattr(figures, key) for key in FIGURES]
    bare = [one.model_copy(update={"low": None}) for one in others]
    return [_of(one, signed) for one in (first, *bare)]


def _of(figure: "Figure", signed: bool = False) -> str:
    if figure.value is None:
        return "–"
    sign = "+" if signed else ""
    value, low, high = (None if n is None else round(n, 2) + 0.0 for n in _numbers(figure))
    within = "" if low is None else f" ({low:{sign}.2f} to {high:{sign}.2f})"
    return f"{value:{sign}.2f}{within}"


def _numbers(figure: "Figure") -> "tuple[float | None, float | None, float | None]":
    return figure.value, figure.low, figure.high


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def _with_bar(searcher: "Searcher", question: "Question") -> "Report":
    """Test, with a progress bar on a terminal."""
    from tqdm import tqdm

    from image_search.evaluation import evaluate as evaluate_

    hidden = not sys.stderr.isatty()
    with tqdm(desc="Testing", total=question.prompts, unit=" prompts", disable=hidden) as bar:
        return evaluate_(searcher, question, lambda prompt: bar.update())


@contextmanager
def _state() -> Iterator[State]:
    """The state of the settings; only a folder is made here."""
    on_hub = REPO.fullmatch(settings().state) and not Path(settings().state).exists()
    state = State.open(make=not on_hub)
    try:
        yield state
    finally:
        state.close()


def _taxonomy(file: Path | None, state: State) -> "Taxonomy":
    from image_search.standing import newest_taxonomy
    from image_search.taxonomy import Taxonomy

    if file is not None:
        return Taxonomy.parse(file.read_text(encoding="utf-8"))
    found = newest_taxonomy(state)
    if found is None:
        raise ConfigError(
            f"There is no taxonomy in {state.name}. Name a file (--taxonomy FILE), or add one in "
            "the app, under Judge."
        )
    return found


def _repo_of(searcher: "Searcher") -> str:
    named = REPO.fullmatch(searcher.artifact.files.published)
    if named is None:
        raise ConfigError(
            f"{searcher.artifact.files.name} is a folder: a report is published beside a "
            "collection on the Hub. Push it, and name it as --artifact user/name."
        )
    return named["repo"]


def _kept(state: State, searcher: "Searcher", report: "Report") -> str:
    """Keep a report with what people add; how the collection stands by it."""
    from image_search.evaluation_report import KIND
    from image_search.standing import Standings

    if not state.add(KIND, report=report.for_state()):
        raise StateError(
            f"{state.name} cannot be written now, so the report was not kept. Try again in a while."
        )
    return Standings(searcher.artifact, state).now().said


def _written(
    searcher: "Searcher", report: "Report", out: Path | None, repo: str, told: str
) -> list[str]:
    """Write and publish a report; where it is now."""
    from image_search.evaluation_html import as_html
    from image_search.evaluation_pictures import within_file

    if out is None and not repo:
        return ["With --out FOLDER it is written with the pictures, to be printed or sent."]
    html = as_html(report, within_file(report, searcher), told)
    places = []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        data = json.dumps(report.dumped(), ensure_ascii=False, indent=1)
        for name, text in (("report.json", data), ("report.html", html)):
            made = out / f"{name}.part"
            made.write_text(text, encoding="utf-8")
            made.replace(out / name)
        places.append(f"Written: {out / 'report.html'}, {out / 'report.json'}")
    if repo:
        from image_search.evaluation_hub import publish

        published = publish(repo, report, html)
        places.append(f"Published: {', '.join(published.files)} in {published.url}")
    return places
