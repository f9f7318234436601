"""What may be said of a collection: not tested in its domain, tested, or passed.

A report counts if it was made with this very encoder, with the taxonomy that the state has (if it
has one), and of at least half of the pictures that are here now. The newest that counts is held
against the bar, as the settings have it at this moment.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from image_search.artifact import Artifact
from image_search.errors import ConfigError, QueryError
from image_search.evaluation_report import KIND, ClassReport, Report, parsed
from image_search.judgements import Judgement, Judgements
from image_search.manifest import Manifest
from image_search.repo import REPO
from image_search.settings import Mode, settings
from image_search.state import State
from image_search.taxonomy import KIND as TAXONOMY
from image_search.taxonomy import Taxonomies, Taxonomy
from image_search.tested import Change, EncoderIdentity

ROUNDING = 1e-6
"""What a share may fall short of the bar by: reports are rounded."""

UNTESTED = "This collection has not been tested."
"""What stands on a page before anything else is known."""

MOST_NAMED = 12
"""Classes that a sentence names; the report has all."""

HOW_TO_OPEN = (
    "To open it to everybody, have it tested and passed (python -m image_search evaluate --help), "
    "or let named people in only (IMAGE_SEARCH_ACCESS=password or huggingface). If you open it "
    "untested all the same, say so: IMAGE_SEARCH_OPEN_UNTESTED=yes; the page then says that you "
    "decided so."
)


class Standing(BaseModel):
    """How a collection stands; `said` is for everybody to read. `why_not` says why the newest
    report does not count, where none does. `untested` is how many pictures came since, exactly or
    about."""

    verdict: Literal["not tested", "tested", "passed"] = "not tested"
    said: str = UNTESTED
    tested_on: str | None = None
    taxonomy: str | None = None
    taxonomy_version: str | None = None
    judgements: int | None = None
    below: list[str] = []
    """Classes that do not reach the bar."""
    too_few: list[str] = []
    """Classes of which too few pictures were judged."""
    untested: int = 0
    untested_is_exact: bool = True
    why_not: str = ""
    open_untested: bool = False
    """Whether it is open to everybody by the operator's own decision, without having passed."""


@dataclass(frozen=True)
class Found:
    """A report that counts, and what came and went since."""

    report: Report
    change: Change


class Standings:
    """How one collection stands, at every moment. Safe to use from several threads."""

    def __init__(self, artifact: Artifact, state: State | None) -> None:
        self._artifact = artifact
        self._state = state
        self._beside = [one for data in artifact.files.reports() if (one := parsed(data))]
        self._ids: list[str] | None = None
        self._last: tuple[list[int], Standing, Report | None] | None = None

    def now(self) -> Standing:
        """How it stands at this moment."""
        return self._now()[0]

    def report(self) -> Report | None:
        """The report that counts, if any does."""
        return self._now()[1]

    @property
    def generation(self) -> int:
        """Another number may mean another standing."""
        return self._state.generation if self._state else 0

    def taxonomy(self) -> Taxonomy | None:
        """The newest of the state."""
        return newest_taxonomy(self._state) if self._state else None

    def judgements(self, report: Report) -> list[Judgement]:
        """What judges say by now of the taxonomy of a report, as far as it is here."""
        taxonomy = self.taxonomy()
        if self._state is None or taxonomy is None or taxonomy.sha256 != report.taxonomy.sha256:
            return []
        return Judgements(self._state).of(taxonomy)

    def _now(self) -> tuple[Standing, Report | None]:
        # Records are only ever added: these numbers say whether there is anything new. Judgements
        # come all the time, and change nothing here.
        state = self._state
        known = [len(state.records(kind)) for kind in (KIND, TAXONOMY)] if state else []
        last = self._last
        if last is None or last[0] != known:
            kept = reports_of(state) if state else []
            found, why_not = choose(
                [*self._beside, *kept],
                EncoderIdentity.of(self._artifact.manifest),
                self.taxonomy(),
                self._change,
                self._artifact.manifest.rows,
            )
            report = found.report if found else None
            last = self._last = known, standing(found, why_not), report
        return last[1], last[2]

    def _change(self, report: Report) -> Change:
        if report.tested.ids_sha256 == self._artifact.manifest.ids_sha256:
            return Change(0, 0, True)
        if self._ids is None:
            self._ids = self._artifact.catalogue.table.column("id").to_pylist()
        return report.tested.change(self._ids)


def reports_of(state: State) -> list[Report]:
    """The reports of a state, the oldest first."""
    found = (parsed(record.said.get("report")) for record in state.records(KIND))
    return [one for one in found if one]


def newest_taxonomy(state: State) -> Taxonomy | None:
    """The taxonomy of a state, if there is one that can be read."""
    try:
        kept = Taxonomies(state).latest()
    except QueryError:  # of another release
        return None
    return kept.taxonomy if kept else None


def choose(
    reports: Iterable[Report],
    encoder: EncoderIdentity,
    taxonomy: Taxonomy | None,
    change_since: Callable[[Report], Change],
    rows: int,
) -> tuple[Found | None, str]:
    """The newest report that counts; if none does, why the newest of all does not."""
    why = ""
    oldest_first = sorted(reports, key=lambda one: one.created)
    for report in oldest_first[::-1]:
        reason = _why_not(report, encoder, taxonomy)
        change = Change(0, 0, True)
        if not reason:
            change = change_since(report)
            if 2 * change.added > rows:
                reason = (
                    f"it was made when {report.tested.pictures:,} pictures were here, and most of "
                    f"the {rows:,} of now were not among them"
                )
        if not reason:
            return Found(report, change), ""
        why = why or f"A test of {_day(report.created)} does not count here: {reason}."
    return None, why


def standing(found: Found | None, why_not: str = "") -> Standing:
    """What follows from a report, by the bar of the settings."""
    if found is None:
        return _told(Standing(why_not=why_not, said=" ".join(filter(None, (UNTESTED, why_not)))))
    report, change = found.report, found.change
    few = [one.name for one in report.classes if one.judged < settings().bar_judged]
    below = [one.name for one in report.classes if one.name not in few and not _reaches(one)]
    return _told(
        Standing(
            verdict="tested" if few or below else "passed",
            said=_sentence(report, below, few) + _about(change),
            tested_on=report.created[:10],
            taxonomy=report.taxonomy.name,
            taxonomy_version=report.taxonomy.version,
            judgements=report.judgements,
            below=below,
            too_few=few,
            untested=change.added,
            untested_is_exact=change.is_exact,
        )
    )


def check_open(mode: Mode, now: Standing) -> None:
    """Raise ConfigError where everybody could reach what has not passed, and nobody decided so."""
    if mode != "open" or settings().on_loopback or settings().open_untested:
        return
    if now.verdict != "passed":
        raise ConfigError(
            f"IMAGE_SEARCH_ACCESS is open, at an address that everybody can reach. {now.said} "
            f"{HOW_TO_OPEN}"
        )


def standing_now(artifact: Artifact) -> Standing:
    """How a collection stands by the settings' state, for programs that do not keep it open.

    Makes nothing where there is no state yet.
    """
    place = settings().state
    if not Path(place).exists() and not REPO.fullmatch(place):
        return Standings(artifact, None).now()
    state = State.open(make=False)
    try:
        return Standings(artifact, state).now()
    finally:
        state.close()


def foreseen(manifest: Manifest, published: Sequence[Report], state: State | None) -> Standing:
    """How a collection will stand, by its manifest alone: what came and went is not counted."""
    found, why_not = choose(
        [*published, *(reports_of(state) if state else [])],
        EncoderIdentity.of(manifest),
        newest_taxonomy(state) if state else None,
        lambda report: Change(0, 0, True),
        manifest.rows,
    )
    return standing(found, why_not)


def _why_not(report: Report, encoder: EncoderIdentity, taxonomy: Taxonomy | None) -> str:
    if other := encoder.difference(report.encoder):
        return f"it was made with {other}"
    if taxonomy and report.taxonomy.sha256 != taxonomy.sha256:
        made = f"{report.taxonomy.name}, version {report.taxonomy.version}"
        return (
            f"it was made with another taxonomy ({made}) than the one that is here now "
            f"({taxonomy.name}, version {taxonomy.version})"
        )
    return ""


def _reaches(one: ClassReport) -> bool:
    return one.reached is not None and one.reached >= settings().bar - ROUNDING


def _sentence(report: Report, below: Sequence[str], few: Sequence[str]) -> str:
    kept = "judgement" if report.judgements == 1 else "judgements"
    with_what = (
        f"on {_day(report.created)} with the taxonomy “{report.taxonomy.name}”, version "
        f"{report.taxonomy.version} ({report.judgements:,} {kept})"
    )
    bar = f"{settings().bar:.0%} of the first ten right"
    if not below and not few:
        return (
            f"This collection was tested {with_what}, and each of the {len(report.classes)} "
            f"classes reached the bar: {bar}. Of other questions that says nothing."
        )
    reasons = []
    if below:
        reasons.append(f"below the bar ({bar}): {_listed(below)}")
    if few:
        reasons.append(f"judged on too few pictures: {_listed(few)}")
    end = "did not pass" if below else "the test is not finished"
    return f"This collection was tested {with_what} and {end}; {'; '.join(reasons)}."


def _about(change: Change) -> str:
    if not change.added:
        return ""
    about = "" if change.is_exact else "About "
    were = "picture was" if change.added == 1 else "pictures were"
    are = "is" if change.added == 1 else "are"
    return f" {about}{change.added:,} {were} added since and {are} untested."


def _told(now: Standing) -> Standing:
    """The same, with what the operator has decided."""
    chosen = settings()
    is_open = chosen.access == "open" and not chosen.on_loopback
    if now.verdict == "passed" or not is_open or not chosen.open_untested:
        return now
    said = (
        f"{now.said} It is open to everybody although it has not passed a test; whoever runs it "
        "decided so."
    )
    return now.model_copy(update={"said": said, "open_untested": True})


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {more:,} others" if more > 0 else shown


def _day(created: str) -> str:
    return f"{datetime.fromisoformat(created):%-d %B %Y}"
