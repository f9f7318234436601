"""The report as one HTML file, which needs nothing beside it. It shows; it judges nothing."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from image_search.bias.figures import Compared, Count, Figures, Skew
from image_search.bias.probes import Groups, Probes
from image_search.bias.report import LIMITS, Report
from image_search.bias.sheets import Sheet
from image_search.settings import ROOT
from image_search.tidy import tidy

STYLE = ROOT / "assets" / "bias-report.css"
STRIP = 150
"""Pixels of a strip that a figure stands on."""
FURTHEST = 5.0
"""Standard deviations at the end of a strip, and where a cell is no darker any more."""

_LEAD = (
    "Charged words were said of groups of people, and this collection was asked for each. The "
    "figures tell how far a charged word pulls the answers for different groups apart, and to "
    "whose pictures it is nearer, beside what neutral words do; the sheets show the pictures. It "
    "shows something to look at. It passes no judgement, and it absolves nobody."
)

_READING = (
    "<strong>Alike</strong>: how much the lists of two groups share, from 0 (nothing) to 1 (the "
    "same pictures in the same order); the mean over all pairs of groups. The grey band is what "
    "neutral words reach, with a line at their middle. Left of the band the word parts the groups "
    "more than any neutral word does.",
    "<strong>Nearer to</strong>: whether the word, said of anyone, is nearer to the first "
    "pictures of a group than neutral words are (above 0) or farther from them (below 0), in "
    "standard deviations of the neutral words; beneath it or as a line, the interval of 95 of "
    "100 bootstrap samples. A line that ends at the edge goes on beyond it.",
    "Where a group has the same colour for praise and blame, that says more of its pictures than "
    "of the words: look at what they show.",
    "Filled dots and underlined figures lie beyond all neutral words. That happens by chance as "
    "well: the first table says how often.",
)


def page(report: Report, probes: Probes, sheets: Sequence[tuple[str, Sheet]]) -> str:
    """The whole file; `sheets` come with the name of their set of groups."""
    title = f"Bias probes: {_text(report.collection['name'])}"
    parts = [
        _head(report),
        "<h2>What this cannot say</h2>",
        _list([f"<strong>{_text(head)}</strong> {_text(text)}" for head, text in LIMITS], "limits"),
        _overview(report),
        "<h3>How to read the tables</h3>",
        _list(_READING),
    ]
    for compared in report.people:
        parts.append(_people(compared))
        parts += [_sheet(one) for name, one in sheets if name == compared.name]
    parts += [_controls(report), _asked(probes), _method(report)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n'
        f"<title>{title}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    collection, encoder, probes = report.collection, report.encoder, report.probes
    facts = {
        "Pictures": f"{collection['pictures']:,}"
        + (f" ({collection['withdrawn']:,} withdrawn)" if collection["withdrawn"] else ""),
        "Version": collection["artifact_version"][:12],
        "Model": f"{encoder['name']}, revision {encoder['revision'][:40]}",
        "Probes": f"{probes['name']}, version {probes['version']}; "
        f"{report.method['questions']:,} questions",
        "Made": report.created[:10],
    }
    listed = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts.items())
    notes = "".join(f'<p class="note">{_text(note)}</p>' for note in report.notes)
    return (
        f'<p class="eyebrow">Bias probes</p>\n<h1>{_text(collection["name"])}</h1>\n'
        f'<p class="lead">{_LEAD}</p>\n<dl class="facts">{listed}</dl>\n{notes}'
    )


def _overview(report: Report) -> str:
    head = (
        "<tr><th></th>"
        '<th class="number">Alike<small>groups alone</small></th>'
        '<th class="number">Alike<small>neutral words</small></th>'
        '<th class="number">Alike<small>charged words</small></th>'
        '<th class="number">Pairs parted more<small>than by any neutral word</small></th>'
        '<th class="number">Expected<small>by chance, about</small></th>'
        '<th class="number">Words nearer or farther<small>than any neutral word</small></th>'
        '<th class="number">Expected<small>by chance, about</small></th></tr>'
    )
    rows = []
    for title, some in (
        ("Groups of people", report.people),
        ("For comparison", report.controls),
    ):
        if some:
            rows.append(f'<tr class="part"><th colspan="8">{title}</th></tr>')
        for one in some:
            alike = (one.alone, one.neutral_overlap, one.charged_overlap)
            cells = "".join(f'<td class="number">{value:.2f}</td>' for value in alike)
            counts = "".join(_counted(count) for count in (one.overlaps, one.skews))
            rows.append(f"<tr><th>{_text(one.name)}</th>{cells}{counts}</tr>")
    return (
        "<h2>All figures together</h2>\n"
        "<p>If charged words were like neutral ones, about as many figures would lie beyond the "
        "neutral words as are expected by chance. <em>Things</em> are asked with the same words "
        "and show what the words do where nobody is meant; <em>paraphrases</em> are two ways of "
        "saying the same, and show how much changes when nothing does.</p>\n"
        + _table("All figures together", head, rows)
    )


def _counted(count: Count) -> str:
    return (
        f'<td class="number">{count.beyond:,} of {count.figures:,}</td>'
        f'<td class="number">{count.by_chance:.0f}</td>'
    )


def _people(compared: Compared) -> str:
    groups = "; ".join(", ".join(one) for one in compared.sets)
    name = compared.name[:1].upper() + compared.name[1:]
    return (
        f"<h2>{_text(name)}</h2>\n<p>{_text(groups)}. {_text(compared.note)}</p>\n"
        f'<p class="quiet">{_text(compared.source)}</p>\n'
        f"<p>Of the first pictures for two of these groups alone, {compared.shared:.0%} are the "
        "same ones on average; a skew between them rests on the others.</p>\n"
        + _words(f"Charged words, by {compared.name}", compared.words)
        + "<details><summary>The neutral words, each beside the others</summary>"
        + _words(f"Neutral words, by {compared.name}", compared.neutral_words)
        + "</details>"
    )


def _words(name: str, figures: Sequence[Figures]) -> str:
    if not figures:
        return "<p>No words were asked.</p>"
    skews = figures[0].skews
    two = len(skews) == 1
    heads = "".join(
        f"<th>{_direction(skew)}</th>"
        if two
        else f'<th class="number"><small>nearer to</small>{_text(skew.group)}</th>'
        for skew in skews
    )
    rows: list[str] = []
    part = ""
    for one in figures:
        if one.words != part:
            part = one.words
            told = part if one.kind in ("neutral", part) else f"{part} ({one.kind})"
            rows.append(f'<tr class="part"><th colspan="{2 + len(skews)}">{_text(told)}</th></tr>')
        alike = _overlap(one)
        cells = "".join(_strip(skew) if two else _cell(skew) for skew in one.skews)
        rows.append(f"<tr><th>{_text(one.word)}</th>{alike}{cells}</tr>")
    return _table(name, f"<tr><th></th><th>Alike<small>0 to 1</small></th>{heads}</tr>", rows)


def _direction(skew: Skew) -> str:
    return f"← nearer to “{_text(skew.others)}” · nearer to “{_text(skew.group)}” →"


def _overlap(one: Figures) -> str:
    neutral = one.neutral
    out = one.overlap < neutral.least
    told = (
        f"{one.overlap:.2f}; neutral words {neutral.least:.2f} to {neutral.greatest:.2f}, "
        f"in the middle {neutral.median:.2f}"
    )
    places = [value * STRIP for value in (neutral.least, neutral.median, neutral.greatest)]
    drawing = _svg(told, places, one.overlap * STRIP, None, out)
    return f'<td class="strip">{drawing} {_number(f"{one.overlap:.2f}", out)}</td>'


def _strip(skew: Skew) -> str:
    if skew.z is None:
        return '<td class="strip">–</td>'

    def place(z: float) -> float:
        return (min(max(z / FURTHEST, -1), 1) + 1) / 2 * STRIP * 1.6

    neutral = skew.neutral
    told = f"{_signed(skew.z)}; neutral words {_signed(neutral.least)} to "
    told += _signed(neutral.greatest)
    reach = None if skew.interval is None else (place(skew.interval[0]), place(skew.interval[1]))
    places = [place(value) for value in (neutral.least, neutral.median, neutral.greatest)]
    drawing = _svg(told, places, place(skew.z), reach, skew.is_beyond, STRIP * 1.6, place(0))
    return f'<td class="strip">{drawing} {_number(_signed(skew.z), skew.is_beyond)}</td>'


def _cell(skew: Skew) -> str:
    if skew.z is None:
        return '<td class="skew">–</td>'
    far = min(abs(skew.z) / FURTHEST, 1) * 70
    side = "towards" if skew.z > 0 else "away"
    interval = ""
    if skew.interval is not None:
        interval = f"<small>{_signed(skew.interval[0])} … {_signed(skew.interval[1])}</small>"
    return (
        f'<td class="skew" style="--far:{far:.0f}%;--side:var(--{side})">'
        f"{_number(_signed(skew.z), skew.is_beyond)}{interval}</td>"
    )


def _number(text: str, is_beyond: bool) -> str:
    return f'<span class="beyond">{text}</span>' if is_beyond else f"<span>{text}</span>"


def _svg(
    told: str,
    neutral: Sequence[float],
    dot: float,
    reach: tuple[float, float] | None,
    out: bool,
    width: float = STRIP,
    middle: float | None = None,
) -> str:
    """A dot on a strip with the neutral band; places in pixels."""
    least, median, greatest = neutral
    lines = f'<line class="axis" x1="0" x2="{width:.0f}" y1="9" y2="9"/>'
    if middle is not None:
        lines += f'<line class="axis" x1="{middle:.1f}" x2="{middle:.1f}" y1="0" y2="18"/>'
    if reach is not None:
        lines += f'<line class="reach" x1="{reach[0]:.1f}" x2="{reach[1]:.1f}" y1="9" y2="9"/>'
    return (
        f'<svg role="img" aria-label="{_text(told)}" width="{width + 10:.0f}" height="18" '
        f'viewBox="-5 0 {width + 10:.0f} 18"><title>{_text(told)}</title>'
        f'<rect class="band" x="{least:.1f}" y="4" height="10" rx="2" '
        f'width="{max(greatest - least, 1):.1f}"/>'
        f'<line class="median" x1="{median:.1f}" x2="{median:.1f}" y1="4" y2="14"/>'
        f'{lines}<circle class="dot{" out" if out else ""}" cx="{dot:.1f}" cy="9" r="4"/></svg>'
    )


def _sheet(sheet: Sheet) -> str:
    lists = "".join(
        f"<h4>{_text(asked)}</h4><ol>"
        + "".join(
            f"<li>{_text(hit.title)}"
            f"{f' <small>{_text(hit.credit)}</small>' if hit.credit else ''}"
            f" <small>{_text(hit.id)}, {hit.score:.3f}</small></li>"
            for hit in hits
        )
        + "</ol>"
        for asked, hits in sheet.lists
    )
    data = b64encode(sheet.picture).decode()
    asked = ", ".join(f"“{text}”" for text, _ in sheet.lists)
    return (
        f'<figure><figcaption><h3 class="unseen">{_text(sheet.title)}</h3>'
        f"{_text(sheet.why)}</figcaption>"
        f'<div class="wide" tabindex="0" role="region" aria-label="{_text(sheet.title)}">'
        f'<img src="data:image/webp;base64,{data}" width="{sheet.width}" height="{sheet.height}" '
        f'alt="The first pictures for {_text(asked)}, a row each"></div>'
        f"<details><summary>These pictures, with their credits</summary>{lists}</details></figure>"
    )


def _controls(report: Report) -> str:
    parts = ["<h2>The controls</h2>"]
    for one in report.controls:
        pairs = "; ".join(" / ".join(groups) for groups in one.sets)
        parts.append(
            f"<h3>{_text(one.name[:1].upper() + one.name[1:])}</h3>"
            f"<p>{_text(pairs)}. {_text(one.note)}</p>"
            f'<p class="quiet">{_text(one.source)}</p>'
            "<details><summary>The charged words</summary>"
            + _table(
                f"Charged words, by {one.name}",
                "<tr><th></th><th>Alike<small>0 to 1</small></th></tr>",
                [f"<tr><th>{_text(w.word)}</th>{_overlap(w)}</tr>" for w in one.words],
            )
            + "</details>"
        )
    return "\n".join(parts) if report.controls else ""


def _asked(probes: Probes) -> str:
    forms = _list([f"{_text(name)}: “{_text(form)}”" for name, form in probes.forms.items()])
    words = "".join(
        f"<dt>{_text(one.name)} ({_text(one.kind)}, {_text(one.form)})</dt>"
        f"<dd>{_text(', '.join(one.words))}</dd>"
        f'<dd class="quiet">{_text(one.source)}</dd>'
        for one in probes.words
    )
    groups = "".join(_groups(one) for one in probes.groups)
    return (
        f"<h2>What was asked</h2>\n<p>{_text(probes.about)}</p>\n{forms}\n"
        f'<details><summary>All words, with their sources</summary><dl class="words">{words}</dl>'
        "</details>\n<details><summary>All groups, with their sources</summary>"
        f'<dl class="words">{groups}</dl></details>'
    )


def _groups(one: Groups) -> str:
    listed = "; ".join(", ".join(groups) for groups in one.sets)
    return (
        f"<dt>{_text(one.name)} ({_text(one.kind)})</dt><dd>{_text(listed)}; where none is named: "
        f'{_text(one.anyone)}</dd><dd class="quiet">{_text(one.source)}</dd>'
    )


def _method(report: Report) -> str:
    method = report.method
    items = (
        f"The {method['depth']} nearest pictures of each question were found by comparing it with "
        "every vector of this collection's own index. Equally near pictures are put in the order "
        "of the collection. Withdrawn pictures are left out.",
        "Alike is the extrapolated rank-biased overlap of Webber, Moffat &amp; Zobel (2010, A "
        "Similarity Measure for Indefinite Rankings, doi:10.1145/1852102.1852106), with "
        f"p\u00a0=\u00a0{method['persistence']}: the first ten pictures have 86% of the weight.",
        "Nearer to: the mean cosine of the word said of anyone (“a dangerous person”) with the "
        f"first {method['pictures_of_a_group']} pictures of a group alone (“a man”), less the "
        "mean of the same for the other groups of the set. The neutral words' mean of that is "
        "taken off, and the rest is divided by their standard deviation. In each of "
        f"{method['bootstrap_samples']:,} bootstrap samples the pictures of each group and the "
        "neutral words are drawn again with replacement.",
        "Beyond: less alike than under any neutral word of the same form; or nearer or farther "
        "than any. Of n neutral words and another like them, the other is the last of all in 1 of "
        "n + 1 cases: that is what “by chance” counts.",
        "The same file of probes and the same collection give the same figures.",
    )
    return (
        f"<h2>How the figures are made</h2>\n{_list(items)}\n"
        f'<p class="quiet">Probes: {_text(report.probes["file"])}, version '
        f"{report.probes['version']}, sha256 <code>{_text(report.probes['sha256'])}</code>. "
        "Collection: version "
        f"<code>{_text(report.collection['artifact_version'])}</code>. All figures, by pair and by "
        "word, stand in report.json beside this file.</p>"
    )


def _table(name: str, head: str, rows: Iterable[str]) -> str:
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{_text(name)}"><table>'
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _list(items: Iterable[str], kind: str = "") -> str:
    """A list of HTML."""
    named = f' class="{kind}"' if kind else ""
    return f"<ul{named}>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−") if abs(value) >= 0.05 else "0.0"


def _text(value: Any) -> str:
    """Text of others, harmless in HTML."""
    return escape(tidy(str(value)))
