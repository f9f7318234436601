"""The report on a test as a page: one file, that prints, in the light and in the dark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from image_search.evaluation_report import (
    FIGURES,
    ClassReport,
    Figure,
    Figures,
    Report,
    Variant,
    ZeroShot,
)
from image_search.settings import ROOT, settings


@dataclass(frozen=True)
class First:
    """One of the first pictures of a prompt: where it can be seen, and what judges say."""

    source: str
    """An address, or a data: URI; empty if it cannot be had."""
    title: str
    verdict: bool | None


Firsts = Callable[[str, str], Sequence[First]]
"""Class and prompt → its first pictures."""


def as_html(report: Report, firsts: Firsts, standing: str = "") -> str:
    """The whole page; `standing` is what is said of the collection now."""
    body = [
        f"<h1>A test of “{escape(report.collection.name)}”</h1>",
        f"<p class=verdict>{escape(standing)}</p>" if standing else "",
        _what(report),
        _summary(report),
        _classes(report),
        _notes(report),
        _zero_shot(report.zero_shot) if report.zero_shot else "",
        _variants(report.variants) if report.variants else "",
        _pictures(report, firsts),
        _method(report),
    ]
    title = escape(f"Test of {report.collection.name}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="robots" content="noindex"><title>{title}</title>'
        f"<style>{_style()}</style></head><body><main>{''.join(body)}</main></body></html>"
    )


def _style() -> str:
    return (ROOT / "assets" / "ui" / "report.css").read_text(encoding="utf-8")


def _what(report: Report) -> str:
    info, made = report.taxonomy, datetime.fromisoformat(report.created)
    judges = "judge" if report.judges == 1 else "judges"
    kappa = ""
    if report.kappa is not None:
        kappa = f", agreement (Cohen’s kappa) {report.kappa:.2f}"
    return (
        f"<p>{made:%-d %B %Y} · taxonomy {escape(info.name)}, version {escape(info.version)} · "
        f"{report.judgements:,} judgements of {report.judges:,} {judges}{kappa} · "
        f"{report.collection.pictures:,} pictures"
        f"{f', {report.collection.withdrawn:,} withdrawn' if report.collection.withdrawn else ''}"
        f"</p><p class=quiet>Model {escape(report.encoder.name)}, revision "
        f"{escape(report.encoder.revision)}. Collection version "
        f"{escape(report.artifact_version[:12])}.</p>"
    )


def _summary(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{name}</td>{_cell(getattr(report.index, key))}{_cell(getattr(report.exact, key))}"
        "</tr>"
        for key, name in FIGURES.items()
    )
    return (
        "<h2>Over all classes</h2><table><caption>Means over the classes; below each, where it "
        "would lie in 95 of 100 choices of such classes.</caption><thead><tr><td></td>"
        "<th>As visitors get it</th><th>Exact search</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        f"<p>The index finds {report.index_recall_at_10:.1%} of the exact ten nearest pictures of "
        f"these prompts. {report.judged_at_10:.0%} of the first ten pictures are judged.</p>"
    )


def _classes(report: Report) -> str:
    head = "".join(f"<th>{name}</th>" for name in FIGURES.values())
    rows = "".join(_class(one) for one in report.classes)
    return (
        '<h2>Class by class</h2><div class=wide tabindex=0 role=region aria-label="Class by class">'
        "<table><caption>As visitors get it. Below each "
        "figure, where it would lie with these prompts in 95 of 100 collections of such pictures. "
        "An interval without width is no certainty.</caption><thead><tr><th>Class</th>"
        f"<th>Judged yes, no</th>{head}<th>Judged of the first 10</th><th>Held against the bar of "
        f"{settings().bar:.0%}</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _class(one: ClassReport) -> str:
    figures = "".join(_cell(getattr(one.index, key)) for key in FIGURES)
    reached = "nothing to find" if one.reached is None else f"{one.reached:.0%}"
    right = one.reached is not None and one.reached >= settings().bar
    mark = "yes" if right and one.judged >= settings().bar_judged else "no"
    few = "<small>too few judged</small>" if one.judged < settings().bar_judged else ""
    depth = f"<small>of the first {one.depth}</small>" if 0 < one.depth < 10 else ""
    return (
        f"<tr><td>{escape(one.name)}</td><td>{one.yes:,}, {one.no:,}</td>{figures}"
        f"<td>{one.judged_at_10:.0%}</td><td class={mark}>{'✓' if mark == 'yes' else '✗'} {reached}"
        f"{depth}{few}</td></tr>"
    )


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    lines = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return f"<h2>To be known with these figures</h2><ul>{lines}</ul>"


def _zero_shot(found: ZeroShot) -> str:
    source = "that a table gives one class" if found.source == "labels" else "that judges gave one"
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{one.right:,} of {one.pictures:,}</td></tr>"
        for one in found.classes
        if one.pictures
    )
    confused = "; ".join(
        f"{one.pictures:,} of {escape(one.shown)} for {escape(one.taken_for)}"
        for one in found.confused
    )
    return (
        f"<h2>Putting pictures into classes</h2><p>Of {found.pictures:,} pictures {source}, "
        f"{_words(found.accuracy)} were put into it, {_words(found.mean_of_classes)} as the mean "
        f"over classes. Always naming the most frequent class would be right for "
        f"{found.always_the_same:.0%}.</p><table><tbody>{rows}</tbody></table>"
        f"{f'<p class=quiet>Taken for one another: {confused}.</p>' if confused else ''}"
    )


def _variants(variants: Sequence[Variant]) -> str:
    head = "".join(f"<th>{name}</th>" for name in FIGURES.values())

    def row(one: Variant) -> str:
        cells = "".join(
            _cell(getattr(one.figures, key), _differing(one.differences, key)) for key in FIGURES
        )
        zero_shot = "–" if one.zero_shot is None else f"{one.zero_shot:.0%}"
        return (
            f"<tr><td>{escape(one.name)}</td>{cells}<td>{one.judged_at_10:.0%}</td>"
            f"<td>{zero_shot}</td></tr>"
        )

    return (
        '<h2>Side by side</h2><div class=wide tabindex=0 role=region aria-label="Side by side">'
        "<table><caption>Below each figure the difference to "
        "the first line, class by class, and where it would lie in 95 of 100 choices of classes: "
        "where that holds 0, neither is better as far as this shows.</caption><thead><tr>"
        f"<td></td>{head}<th>Judged of the first 10</th><th>Put into the right class</th></tr>"
        f"</thead><tbody>{''.join(map(row, variants))}</tbody></table></div>"
    )


def _pictures(report: Report, firsts: Firsts) -> str:
    parts = ["<h2>The first ten pictures of each prompt</h2>"]
    for one in report.classes:
        parts.append(f"<h3>{escape(one.name)}</h3>")
        for prompt in one.prompts:
            shown = "".join(map(_first, firsts(one.name, prompt.prompt)))
            right = f"{prompt.precision_at_10 * 10:.0f} of 10 right"
            parts.append(
                f"<p>“{escape(prompt.prompt)}” <span class=quiet>{right}, "
                f"{prompt.judged_at_10:.0%} judged</span></p>"
                f"{f'<ol class=first>{shown}</ol>' if shown else ''}"
            )
    return "".join(parts)


def _first(one: First) -> str:
    mark, kind = {True: ("✓ right", "yes"), False: ("✗ wrong", "no"), None: ("? not judged", "")}[
        one.verdict
    ]
    title = escape(one.title)
    image = f'<img src="{escape(one.source)}" alt="{title}" title="{title}" loading="lazy">'
    return f"<li class={kind or 'quiet'}>{image if one.source else title}{mark}</li>"


def _method(report: Report) -> str:
    return (
        "<h2>How this was measured, and what it does not say</h2><p class=quiet>Each prompt of a "
        "class is a question; figures of a class are means over its prompts. A picture that nobody "
        "judged, that judges are divided about or unsure of counts as wrong; the share judged "
        "stands beside. “Found” is of the pictures that are known to be right, whichever question "
        "brought them up: those that no question brought up are unknown, so the true share is "
        "lower. The figures are of these classes, prompts and pictures, judged by these people. "
        "They say nothing of other questions, nothing of names, dates or writing, and nothing of "
        "what harm an answer may do. No result makes surveillance or facial recognition a use of "
        f"this search.</p><p class=quiet>Encoder {escape(report.encoder.sha256[:12])} "
        f"({escape(report.encoder.precision)}), taxonomy {escape(report.taxonomy.sha256[:12])}.</p>"
    )


def _cell(figure: Figure, difference: Figure | None = None) -> str:
    small = _range(figure) if difference is None else _difference(difference)
    return f"<td>{_share(figure.value)}{f'<small>{small}</small>' if small else ''}</td>"


def _differing(differences: Figures | None, key: str) -> Figure | None:
    return getattr(differences, key) if differences else None


def _difference(figure: Figure) -> str:
    if figure.value is None:
        return ""
    within = "" if figure.low is None else f" ({figure.low:+.2f} to {figure.high:+.2f})"
    return f"{figure.value:+.2f}{within}"


def _range(figure: Figure) -> str:
    return "" if figure.low is None else f"{figure.low:.2f} to {figure.high:.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _words(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    within = "" if figure.low is None else f" ({figure.low:.0%} to {figure.high:.0%})"
    return f"{figure.value:.0%}{within}"
