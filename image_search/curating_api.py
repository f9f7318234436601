"""What curators do through /api/v1: notices, reports and decisions, use; and how to report."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from image_search import answers
from image_search.answers import PictureRecord
from image_search.api import Done, base_of, only, visitor_of
from image_search.errors import NotFoundError
from image_search.notices import LONGEST_TEXT, Notice, Notices
from image_search.reports import LONGEST_WORDS, REASONS, Decision, Reason, Report, Reports
from image_search.roles import Role
from image_search.search import Searcher
from image_search.search_log import SearchLog
from image_search.state import State
from image_search.usage import Usage, Use
from image_search.withdrawal import LONGEST_REASON, Withdrawals

SHOWN_DECISIONS = 200
"""Reports that are listed as decided, the latest."""


class ToNotice(BaseModel):
    """A notice: its text, and which pictures it covers, in exactly one of three ways: some `ids`,
    those of which something is known (`where`, as for a search), or `everything`."""

    text: Annotated[str, Field(max_length=LONGEST_TEXT)]
    ids: Annotated[list[str], Field(max_length=1_000)] = []
    where: Annotated[list[str], Field(max_length=100)] = []
    everything: bool = False


class KnownNotice(BaseModel):
    """A notice that holds; `ids` are the first of its pictures, `pictures` is how many it names."""

    id: str
    text: str
    by: str
    time: str
    where: list[str]
    pictures: int
    ids: list[str]
    everything: bool


class Noted(BaseModel):
    """`covered` is how many pictures the notice is for now; `kept` is as for a withdrawal."""

    id: str
    covered: int
    kept: bool


class ToReport(BaseModel):
    """What is wrong with a picture: a reason, and words where one wants to say more."""

    id: Annotated[str, Field(max_length=10_000)]
    reason: Reason
    words: Annotated[str, Field(max_length=LONGEST_WORDS)] = ""


class ShownReport(BaseModel):
    """A report; never who made it. `record` is null if the picture is not there any more."""

    id: str
    picture: str
    record: PictureRecord | None
    reason: str
    words: str
    time: str
    decision: str
    why: str
    decided_by: str
    decided: str


class ShownReports(BaseModel):
    """Those nobody has decided on, the oldest first, and the latest decisions."""

    open: list[ShownReport]
    decided: list[ShownReport]


class ToDecide(BaseModel):
    """What comes of the open reports of one picture. `why` is the reason of a withdrawal, or the
    text of the notice that covers it; it may stay empty where there is nothing to do."""

    decision: Decision
    why: Annotated[str, Field(max_length=LONGEST_REASON)] = ""


def add_curating(
    api: FastAPI, searcher: Searcher, withdrawals: Withdrawals, state: State, log: SearchLog
) -> None:
    """Add these routes to /api/v1."""
    notices, reports = Notices(state), Reports(state)
    _add_notices(api, searcher, notices)
    _add_reports(api, searcher, reports, log)
    _add_decisions(api, searcher, reports, _deeds(withdrawals, notices))
    _add_use(api, Usage(state))


def _add_notices(api: FastAPI, searcher: Searcher, notices: Notices) -> None:
    curators = [only(Role.CURATOR)]

    @api.get("/notices", dependencies=curators)
    def listed() -> list[KnownNotice]:
        """The notices that cover pictures, the latest first. For curators."""
        return [_known(notice) for notice in notices.all()]

    @api.post("/notices", dependencies=curators)
    def cover(request: Request, wanted: ToNotice) -> Noted:
        """Cover pictures with a notice until somebody asks for them. For curators."""
        for id in wanted.ids:
            searcher.row(id)
        covered = len(searcher) if wanted.everything else len(wanted.ids)
        if wanted.where:
            covered = searcher.count_covered(wanted.where)
        id, kept = notices.add(
            wanted.text,
            visitor_of(request).name,
            pictures=wanted.ids,
            where=wanted.where,
            everything=wanted.everything,
        )
        return Noted(id=id, covered=covered, kept=kept)

    @api.delete("/notices/{id}", dependencies=curators)
    def uncover(request: Request, id: str) -> Noted:
        """Take a notice away: its pictures are shown again. For curators."""
        return Noted(id=id, covered=0, kept=notices.remove(id, visitor_of(request).name))


def _add_reports(api: FastAPI, searcher: Searcher, reports: Reports, log: SearchLog) -> None:
    @api.post("/reports")
    def report(request: Request, said: ToReport) -> Done:
        """Tell the curators that something is wrong with a picture. They do not see who did."""
        searcher.row(said.id)
        by = log.pseudonym(visitor_of(request).name)
        return Done(ids=[said.id], kept=reports.add(said.id, said.reason, said.words, by))

    @api.get("/reports/reasons")
    def reasons() -> dict[str, str]:
        """The reasons to choose from, by name."""
        return {str(name): said for name, said in REASONS.items()}

    @api.get("/reports", dependencies=[only(Role.CURATOR)])
    def reported(request: Request) -> ShownReports:
        """What was reported, and what was decided. For curators."""

        def shown(report: Report) -> ShownReport:
            record = _record(searcher, base_of(request), report.picture)
            told: dict[str, Any] = {n: v for n, v in vars(report).items() if n != "by"}
            return ShownReport(**told, record=record)

        return ShownReports(
            open=[shown(one) for one in reports.open()],
            decided=[shown(one) for one in reports.decided()[:SHOWN_DECISIONS]],
        )


Deed = Callable[[str, str, str], object]
"""What is done with a picture: its id, why, and who does it."""


def _deeds(withdrawals: Withdrawals, notices: Notices) -> dict[Decision, Deed]:
    return {
        "withdraw": lambda id, why, by: withdrawals.suppress([id], why, by),
        "cover": lambda id, why, by: notices.add(why, by, pictures=[id]),
        "nothing": lambda id, why, by: None,
    }


def _add_decisions(
    api: FastAPI, searcher: Searcher, reports: Reports, deeds: dict[Decision, Deed]
) -> None:
    @api.post("/reports/{id}/decision", dependencies=[only(Role.CURATOR)])
    def decide(request: Request, id: str, decided: ToDecide) -> Done:
        """Decide on a report, and with it on all open ones of the same picture. For curators."""
        by, picture = visitor_of(request).name, reports.open_one(id).picture
        if decided.decision != "nothing":
            searcher.row(picture)  # not what is gone already
        deeds[decided.decision](picture, decided.why, by)
        return Done(ids=[picture], kept=reports.decide(id, decided.decision, decided.why, by))


def _add_use(api: FastAPI, usage: Usage) -> None:
    @api.get("/use", dependencies=[only(Role.CURATOR)])
    def use() -> Use:
        """Searches by day, questions that found nothing, refusals; nobody's name. For curators."""
        return usage.now()


def _known(notice: Notice) -> KnownNotice:
    return KnownNotice(
        id=notice.id,
        text=notice.text,
        by=notice.by,
        time=notice.time,
        where=list(notice.where),
        pictures=len(notice.pictures),
        ids=list(notice.pictures[:20]),
        everything=not (notice.where or notice.pictures),
    )


def _record(searcher: Searcher, base: str, id: str) -> PictureRecord | None:
    try:
        return answers.record(searcher, base, id)
    except NotFoundError:
        return None
