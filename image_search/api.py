"""/api/v1: what the page does, for programs too. Knows HTTP; searching is Searcher's.

Every answer is JSON but for the pictures themselves. Every error is a problem as RFC 9457 has it;
its `detail` is a sentence for a person.
"""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from math import ceil
from typing import Annotated, Any

from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import image_search
from image_search import answers, exports, images
from image_search.access import NOBODY, Visitor
from image_search.answers import (
    MAX_PAGE,
    PREFIX,
    Asked,
    Collection,
    Counts,
    Overview,
    PictureHit,
    PictureRecord,
    SearchAnswer,
)
from image_search.errors import (
    ArtifactError,
    ConfigError,
    EncoderError,
    EngineError,
    HubError,
    NotFoundError,
    PolicyError,
    QueryError,
)
from image_search.evaluation_page import Evaluation
from image_search.evaluation_report import Report
from image_search.exports import Citation
from image_search.facets import Facets
from image_search.near_copies import near_copies
from image_search.roles import Role
from image_search.say import say
from image_search.search import MAX_RESULTS, Searcher
from image_search.search_log import SearchLog
from image_search.settings import settings
from image_search.standing import Standings
from image_search.take_away import FILE_TYPES, Format
from image_search.withdrawal import Withdrawals

DECODERS = 2
"""Pictures to search with that are decoded at once: one can fill a gigabyte for a moment."""

BODIES = 16
"""Picture files that are in memory at once, arriving or waiting; further ones wait outside."""

SHEETS = 2
"""Files of what was found that are made at once: a sheet of 200 pictures takes seconds. Questions
with a picture do not wait for them."""

FILES = 40
"""Pictures that are read at once. On the Hub that can take long: questions have threads of their
own."""

BODIES_OF_ONE = 4
"""Of these, how many one visitor may send at once."""

PATIENCE = 20
"""Seconds within which something more of a picture has to arrive."""

LONGEST_WAIT = 180
"""Seconds within which all of it has to: 20 MB at 1 Mbit/s."""

# A file never changes, but it can be withdrawn, and whoever looks be taken off the list: so it is
# asked for again after a minute, and then not sent again.
FOR_A_MINUTE = "private, max-age=60, must-revalidate"

Text = Annotated[
    str,
    Query(
        description="What to look for, in English words, up to 2,000 characters. `a harbour +fog "
        "-boats`: several things, less of some; `2:a harbour`: its weight; `a cat OR a dog`: the "
        "better of the two; `like:ID`: a picture; quotes turn all of that off."
    ),
]
Like = Annotated[
    list[str],
    Query(
        default_factory=list,
        description="Ids of pictures of this collection to look for, up to 20.",
    ),
]
Unlike = Annotated[
    list[str],
    Query(default_factory=list, description="Ids of pictures less like which are wanted."),
]
Where = Annotated[
    list[str],
    Query(
        default_factory=list,
        description="Filters by what is known of the pictures: `year:1850..1870`, "
        "`institution:The Met`. Of one field several values: any of them.",
    ),
]
Contains = Annotated[
    str, Query(description="Words that the title or the keywords have to have, or to begin with.")
]
Acknowledged = Annotated[
    list[str],
    Query(
        default_factory=list,
        description="Rules of the policy that an answer (409) warned by: go on all the same.",
    ),
]


def _asked(
    like: Like,
    unlike: Unlike,
    where: Where,
    acknowledged: Acknowledged,
    text: Text = "",
    contains: Contains = "",
) -> Asked:
    """A question in the address of a request."""
    pictures, filters = (tuple(like), tuple(unlike)), tuple(where)
    return Asked(text, *pictures, filters, contains, acknowledged=tuple(acknowledged))


AskedInWords = Annotated[Asked, Depends(_asked)]
Ids = Annotated[
    list[str], Query(min_length=1, max_length=MAX_PAGE, description="Ids of pictures, up to 200.")
]
TopSize = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many values.")]
Column = Annotated[
    str | None, Query(description="A column of the table; default: the first that it lists.")
]
PageSize = Annotated[
    int | None,
    Query(ge=1, le=MAX_PAGE, description="How many pictures; default: the page's."),
]
Chosen = Annotated[
    list[str],
    Query(
        default_factory=list,
        max_length=exports.MAX_CHOSEN,
        description="Ids of some of the results: only these.",
    ),
]
ExportSize = Annotated[int, Query(ge=1, le=MAX_RESULTS, description="How many of the results.")]
CitedSize = Annotated[
    int | None,
    Query(ge=1, le=MAX_RESULTS, description="How many of the results are cited; default: all."),
]
Shown = Annotated[
    bool, Query(description="Show the picture even if a notice covers it: you want to see it.")
]
Cursor = Annotated[
    str, Query(description="The `cursor` of the answer before, to go on with the same question.")
]


class RuleSource(BaseModel):
    """Where to read more about a rule."""

    title: str
    address: str


class Problem(BaseModel):
    """An error: RFC 9457, media type application/problem+json."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Refusal(Problem):
    """A question that a rule of the policy does not let pass: for good (403, tier `refuse`), or
    until the rule is named by `acknowledged` (409, tier `warn`)."""

    reason: str
    rule: str
    tier: str
    source: RuleSource


class Health(BaseModel):
    status: str = "ok"


class You(BaseModel):
    """Who the server takes the caller for; `name` is empty where nobody is asked."""

    name: str
    role: Role


class ToWithdraw(BaseModel):
    """Pictures to withdraw, and why."""

    ids: Annotated[list[str], Field(min_length=1, max_length=1_000)]
    reason: str


class Done(BaseModel):
    """`kept` is false if it counts already, but could not be written down yet: that is tried
    again and again, and lost only if the server ends before."""

    ids: list[str]
    kept: bool


class WithdrawnPicture(BaseModel):
    """A picture that is withdrawn."""

    id: str
    reason: str
    by: str
    time: str


class NearCopies(BaseModel):
    """Pictures that look like copies of another; a person decides."""

    pictures: list[PictureHit]


def visitor_of(request: Request) -> Visitor:
    """Whoever the gate let in."""
    visitor = request.scope.get("state", {}).get("visitor", NOBODY)
    return visitor if isinstance(visitor, Visitor) else NOBODY


def only(role: Role) -> Any:
    """A route for those who have at least this role."""

    def check(request: Request) -> None:
        visitor = visitor_of(request)
        if not visitor.role.may(role):
            who = f"{visitor.name} is a {visitor.role}" if visitor.name else "Nobody signed in"
            raise HTTPException(403, f"Only a {role} may do this. {who}.")

    return Depends(check)


def create_api(
    searcher: Searcher,
    withdrawals: Withdrawals,
    log: SearchLog,
    standings: Standings | None = None,
) -> FastAPI:
    """The application that is mounted at PREFIX, for one collection.

    Without `standings` it is said to be untested.
    """
    api = FastAPI(
        title="Image search",
        version=image_search.__version__,
        description="Search a collection of pictures by words, by picture, or both. "
        "Errors are problems as RFC 9457 has them.",
        docs_url=None,  # they would load their script from another server
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": _PROBLEM},
    )
    _tell_problems(api)
    decoders, bodies = CapacityLimiter(DECODERS), CapacityLimiter(BODIES)
    files, sheets = CapacityLimiter(FILES), CapacityLimiter(SHEETS)
    sending, taking = Sending("sending", "pictures"), Sending("taking away", "files")

    async def with_picture(request: Request, asked: Asked, ask: Callable[[Asked], Any]) -> Any:
        """Ask with the picture that is the body. It is decoded in memory and not kept."""
        async with sending.by(request), bodies:
            sent = replace(asked, picture=await _body(request))
            return await to_thread.run_sync(ask, sent, limiter=decoders)

    def answered(request: Request, k: int | None, cursor: str, asked: Asked) -> SearchAnswer:
        by, base = visitor_of(request).name, base_of(request)
        return answers.answer(searcher, log, by, base, asked, k, cursor)

    @api.get("/search")
    def search(
        request: Request, asked: AskedInWords, k: PageSize = None, cursor: Cursor = ""
    ) -> SearchAnswer:
        """The pictures nearest to words, to pictures of the collection, or to both together."""
        return answered(request, k, cursor, asked)

    @api.post("/search", openapi_extra=_PICTURE_BODY)
    async def search_with_picture(
        request: Request, asked: AskedInWords, k: PageSize = None, cursor: Cursor = ""
    ) -> SearchAnswer:
        """The same with a picture: its file is the body. It is decoded in memory and not kept."""
        ask = partial(answered, request, k, cursor)
        answer: SearchAnswer = await with_picture(request, asked, ask)
        return answer

    @api.get("/facets")
    def facets(asked: AskedInWords) -> Facets:
        """What is known of the pictures of a question, counted field by field: the values of
        categories and lists, a histogram of numbers and of the years of dates. Without a question:
        of all pictures."""
        return answers.facets(searcher, asked)

    @api.post("/facets", openapi_extra=_PICTURE_BODY)
    async def facets_with_picture(request: Request, asked: AskedInWords) -> Facets:
        """The same with a picture: its file is the body."""
        counted: Facets = await with_picture(request, asked, partial(answers.facets, searcher))
        return counted

    def exported(
        request: Request, format: Format, k: int, chosen: list[str], asked: Asked
    ) -> Response:
        by, origin = visitor_of(request).name, origin_of(request)
        file = exports.export(searcher, log, by, origin, asked, format, k, chosen)
        how = {"Content-Disposition": f'attachment; filename="{file.name}"'}
        return Response(file.data, media_type=file.media_type, headers=how)

    @api.get("/export/{format}", response_class=Response, responses=_EXPORT)
    async def export(
        request: Request, format: Format, asked: AskedInWords, id: Chosen, k: ExportSize = 200
    ) -> Response:
        """What a question brings, to carry off: a table (csv), json, entries for bibtex, or a sheet
        of pictures with captions and credits (PNG, up to 200). With `id` only these of them."""
        ask = partial(exported, request, format, k, id, asked)
        async with taking.by(request):
            return await to_thread.run_sync(ask, limiter=sheets)

    @api.post(
        "/export/{format}", response_class=Response, responses=_EXPORT, openapi_extra=_PICTURE_BODY
    )
    async def export_with_picture(
        request: Request, format: Format, asked: AskedInWords, id: Chosen, k: ExportSize = 200
    ) -> Response:
        """The same with a picture: its file is the body."""
        ask = partial(exported, request, format, k, id)
        file: Response = await with_picture(request, asked, ask)
        return file

    def cited(request: Request, k: int | None, asked: Asked) -> Citation:
        by, origin = visitor_of(request).name, origin_of(request)
        return exports.cite_search(searcher, log, by, origin, asked, k)

    @api.get("/citation")
    def citation(request: Request, asked: AskedInWords, k: CitedSize = None) -> Citation:
        """How to cite a search: what was asked, when, of which version, by which model; with `k`
        only the first of its results are meant."""
        return cited(request, k, asked)

    @api.post("/citation", openapi_extra=_PICTURE_BODY)
    async def citation_with_picture(
        request: Request, asked: AskedInWords, k: CitedSize = None
    ) -> Citation:
        """The same with a picture: its file is the body."""
        told: Citation = await with_picture(request, asked, partial(cited, request, k))
        return told

    @api.get("/citations/{id:path}")
    def citation_of_picture(request: Request, id: str) -> Citation:
        """How to cite a picture."""
        return exports.cite_picture(searcher, origin_of(request), id)

    @api.get("/overview")
    def overview(request: Request) -> Overview:
        """Pictures that stand for the whole collection, chosen when it was built."""
        return answers.overview(searcher, base_of(request))

    @api.get("/tables/{table}/counts")
    def counts(table: str, id: Ids) -> Counts:
        """In how many rows of a table beside the pictures each picture stands, most first."""
        return answers.counts(searcher, table, id)

    @api.get("/tables/{table}/top/{id:path}")
    def top(table: str, id: str, k: TopSize = 5, column: Column = None) -> Counts:
        """The values that stand most often with a picture in such a table, most first."""
        return answers.top(searcher, table, id, column, k)

    @api.get("/records/{id:path}")
    def record(request: Request, id: str) -> PictureRecord:
        """One picture and all that is known of it."""
        return answers.record(searcher, base_of(request), id)

    @api.get("/thumbnails/{id:path}", response_class=Response, responses=_FILE)
    async def thumbnail(request: Request, id: str, shown: Shown = False) -> Response:
        """The small picture, WebP, at most 256 pixels a side. Of one that a notice covers a plain
        one that says why, unless `shown`."""
        read = partial(_file, searcher, request, id, searcher.thumbnail, shown)
        return await to_thread.run_sync(read, limiter=files)

    @api.get("/pictures/{id:path}", response_class=Response, responses=_FILE)
    async def picture(request: Request, id: str, shown: Shown = False) -> Response:
        """The picture as the collection keeps it; covered as its thumbnail is."""
        read = partial(_file, searcher, request, id, searcher.picture, shown)
        return await to_thread.run_sync(read, limiter=files)

    @api.get("/collection")
    def collection() -> Collection:
        """This collection in numbers, the model that reads it, and how far that was tested."""
        return answers.describe(searcher, standings.now() if standings else None)

    @api.get("/you")
    def you(request: Request) -> You:
        """Who the server takes the caller for, and what they may do."""
        return You(**vars(visitor_of(request)))

    _add_withdrawals(api, searcher, withdrawals)
    if standings:
        _add_evaluation(api, Evaluation(searcher, standings))

    @api.get("/health")
    def health() -> Health:
        """Whether questions can be answered."""
        searcher.check()
        return Health()

    return api


def _add_withdrawals(api: FastAPI, searcher: Searcher, withdrawals: Withdrawals) -> None:
    """What a curator does."""
    curators = [only(Role.CURATOR)]

    @api.get("/withdrawals", dependencies=curators)
    def withdrawn() -> list[WithdrawnPicture]:
        """The pictures that are withdrawn, the latest first. For curators."""
        return [WithdrawnPicture(**vars(one)) for one in withdrawals.all()]

    @api.post("/withdrawals", dependencies=curators)
    def withdraw(request: Request, wanted: ToWithdraw) -> Done:
        """Withdraw pictures: from now on they are nowhere to be found. For curators."""
        for id in wanted.ids:
            searcher.record(id)
        kept = withdrawals.suppress(wanted.ids, wanted.reason, visitor_of(request).name)
        return Done(ids=wanted.ids, kept=kept)

    @api.delete("/withdrawals/{id:path}", dependencies=curators)
    def restore(request: Request, id: str) -> Done:
        """Show a withdrawn picture again. For curators."""
        return Done(ids=[id], kept=withdrawals.restore([id], visitor_of(request).name))

    @api.get("/near-copies/{id:path}", dependencies=curators)
    def copies(request: Request, id: str) -> NearCopies:
        """Pictures that look like copies of one: whoever withdraws it may mean these too."""
        found = near_copies(searcher, id)
        return NearCopies(pictures=answers.hits(searcher, base_of(request), found))


def _add_evaluation(api: FastAPI, shown: Evaluation) -> None:
    """The report on how the collection was tested."""

    @api.get("/evaluation", response_class=HTMLResponse)
    def evaluation(request: Request) -> str:
        """The report that counts at this moment, as a page with the first pictures of its prompts.
        404 while the collection is not tested."""
        return shown.page(base_of(request), visitor_of(request).role is Role.JUDGE)

    @api.get("/evaluation.json")
    def evaluation_figures() -> Report:
        """The same report in figures."""
        return shown.report()


def base_of(request: Request) -> str:
    """Where this API lies, as the caller sees it."""
    return str(request.scope.get("root_path", PREFIX))


def origin_of(request: Request) -> str:
    """What stands before an address of this server: https:// and the host."""
    return settings().public_address or f"{request.url.scheme}://{request.url.netloc}"


def problem(status: int, detail: str) -> JSONResponse:
    """An error in the form of this API."""
    told = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(told.model_dump(), status, media_type="application/problem+json")


def _tell_problems(api: FastAPI) -> None:
    """Have every error leave `api` as a problem, and none with a stack trace."""

    @api.exception_handler(PolicyError)
    def against_policy(request: Request, error: PolicyError) -> Response:
        status = 409 if error.tier == "warn" else 403
        told = Refusal(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=str(error),
            reason=error.reason,
            rule=error.rule,
            tier=error.tier,
            source=RuleSource(title=error.source_title, address=error.source_address),
        )
        return JSONResponse(told.model_dump(), status, media_type="application/problem+json")

    @api.exception_handler(QueryError)
    def refused(request: Request, error: QueryError) -> Response:
        return problem(404 if isinstance(error, NotFoundError) else 400, str(error))

    @api.exception_handler(ArtifactError)
    @api.exception_handler(EncoderError)
    def damaged(request: Request, error: Exception) -> Response:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return problem(503, answers.OUT_OF_ORDER)

    @api.exception_handler(ConfigError)
    def not_installed(request: Request, error: ConfigError) -> Response:
        say(f"error: {error}")
        return problem(501, "The tables beside the pictures cannot be asked here.")

    @api.exception_handler(EngineError)
    def without_database(request: Request, error: EngineError) -> Response:
        say(f"error: {error}")
        told = problem(503, error.told)
        told.headers["Retry-After"] = "10"
        return told

    @api.exception_handler(HubError)
    def out_of_reach(request: Request, error: Exception) -> Response:  # the operator was told
        return problem(503, answers.OUT_OF_REACH)

    @api.exception_handler(RequestValidationError)
    def misspelt(request: Request, error: RequestValidationError) -> Response:
        said = (f"{e['loc'][-1]} is {str(e['input'])[:100]!r}: {e['msg']}" for e in error.errors())
        return problem(422, "; ".join(said) + ".")

    @api.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        told = problem(error.status_code, error.detail)
        told.headers.update(error.headers or {})
        return told

    @api.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> Response:  # it is logged all the same
        return problem(500, answers.UNFORESEEN)


class Sending:
    """Who sends how many pictures to search with, or has so many files made, at this moment."""

    def __init__(self, doing: str, what: str) -> None:
        self._told = f"You are {doing} {BODIES_OF_ONE} {what} already. Wait for the answers."
        self._count: Counter[str] = Counter()

    @asynccontextmanager
    async def by(self, request: Request) -> AsyncIterator[None]:
        """Let a visitor send one more. Raises HTTPException if these are too many."""
        address = request.client.host if request.client else ""
        who = visitor_of(request).name or address
        if self._count[who] >= BODIES_OF_ONE:
            raise HTTPException(
                429,
                self._told,
                {"Retry-After": "5"},
            )
        self._count[who] += 1
        try:
            yield
        finally:
            self._count[who] -= 1
            if not self._count[who]:
                del self._count[who]


async def _body(request: Request) -> bytes:
    """The whole body, kept in memory only. Raises HTTPException if it is too large or a form."""
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise HTTPException(415, "Send the picture file itself as the body, not a form.")
    limit = answers.max_upload_bytes()
    parts: list[bytes] = []
    size = 0
    try:
        stream = request.stream()
        with fail_after(LONGEST_WAIT):
            while True:
                with fail_after(PATIENCE):
                    part = await anext(stream, None)
                if part is None:
                    break
                size += len(part)
                if size <= limit:
                    parts.append(part)
                else:  # read on for a while: who is cut off while sending never sees the answer
                    parts.clear()
                if size > 5 * limit:
                    break
    except ClientDisconnect:
        raise HTTPException(400, "The picture did not arrive in full. Send it again.") from None
    except TimeoutError:
        raise HTTPException(408, "The picture did not arrive in time. Send it again.") from None
    if size > limit:
        raise HTTPException(
            413,
            f"The picture file has {ceil(size / 1e6):,} MB; it may have "
            f"{settings().max_upload_mb:,} MB. Choose or make a smaller one.",
        )
    return b"".join(parts)


def _file(
    searcher: Searcher,
    request: Request,
    id: str,
    read: Callable[[str, bool], bytes],
    shown: bool,
) -> Response:
    if not shown and searcher.notice(id) is not None:
        # Nothing of it is kept: whoever takes the notice away, or asks, sees the picture at once.
        data = read(id, False)
        return Response(data, media_type="image/webp", headers={"Cache-Control": "no-store"})
    tag = f'"{searcher.artifact.short_version}-{searcher.catalogue.rows([id]).get(id)}"'
    headers = {"ETag": tag, "Cache-Control": FOR_A_MINUTE}
    held = request.headers.get("if-none-match", "")
    if tag in (part.strip().removeprefix("W/") for part in held.split(",")):
        searcher.record(id)  # not of a picture that was withdrawn
        return Response(status_code=304, headers=headers)
    data = read(id, shown)
    return Response(data, media_type=images.media_type(data), headers=headers)


_PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A picture file: JPEG, PNG, WebP, GIF, TIFF, BMP, JPEG 2000, AVIF or HEIC.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_PROBLEM: dict[str, Any] = {
    "description": "A problem.",
    "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
}
_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {kind.media_type.partition(";")[0]: {} for kind in FILE_TYPES.values()},
    }
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture file.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
