"""What a language model may ask of the collection, as tools of the Model Context Protocol.

Knows the protocol's words, but no HTTP: `mcp_door` is where calls come in. All that is answered
comes from `answers`, as on the page and through /api/v1.
"""

import base64
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi.encoders import jsonable_encoder
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent, Tool, ToolAnnotations
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from image_search import answers, images
from image_search.answers import Asked, PictureRecord
from image_search.errors import (
    ArtifactError,
    EncoderError,
    EngineError,
    HubError,
    NotFoundError,
    PictureError,
    QueryError,
)
from image_search.mcp_words import (
    LANGUAGE,
    LIMITS,
    NO_USE,
    OTHERS_WORDS,
    description,
    plain,
    summary,
    values,
)
from image_search.provenance import Provenance, rights_of, source_of
from image_search.results import Record
from image_search.say import say
from image_search.search import Searcher
from image_search.search_log import SearchLog

MOST = 20
"""Pictures of one answer: each costs a model some hundred words' worth of attention."""

SIDE = 1024
"""Longest side, in pixels, of a picture that is handed over; models shrink what is larger."""

LONGEST = 300
"""Characters of what is told in words of one field; `structuredContent` has all of it."""


def _given(value: Any) -> Any:
    """One text in the place of a list of one: models write that now and then."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_given)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ToSearch(_Arguments):
    """What to look for: at least one of `text`, `like`, `where` and `contains`."""

    text: str = Field(
        "",
        description="What is to be seen, in a few English words, such as: a woman playing a lute. "
        "`a harbour +fog -boats`: several things, less of some; `2:a harbour`: its weight; `a cat "
        "OR a dog`: the better of the two; quotes turn that off. No names, dates or numbers of "
        "things, and no “not”: use a minus, `where` or `contains` for these.",
    )
    like: Texts = Field(
        default_factory=list,
        description="Ids of pictures that were found before: more like these. Up to 20 with "
        "`unlike`; alone, or together with `text` to refine it.",
    )
    unlike: Texts = Field(
        default_factory=list, description="Ids of pictures that were found before: less like these."
    )
    where: Texts = Field(
        default_factory=list,
        description="Filters, FIELD:VALUE, such as year:1850..1870, year:1850.. or "
        "institution:The Met. describe_collection names the fields and their values.",
    )
    contains: str = Field(
        "",
        description="Words that the title or the keywords have to have, or to begin with: for "
        "names, which the model does not know.",
    )
    k: int = Field(9, ge=1, le=MOST, description="How many pictures.")
    cursor: str = Field(
        "",
        description="The `cursor` of the answer before, for the pictures after those: everything "
        "else the same.",
    )


class ToGet(_Arguments):
    """Which picture."""

    id: str = Field(description="The id of a picture, as an answer of search_pictures has it.")
    shown: bool = Field(
        False,
        description="Show it even if a notice covers it: only where the person whom you help has "
        "read the notice and wants to see the picture.",
    )


class ToDescribe(_Arguments):
    """Nothing needs to be said."""


@dataclass(frozen=True)
class _Caller:
    """Who asks, and where this is served for them."""

    name: str
    base: str


@dataclass(frozen=True)
class _Offer:
    """A tool: what is said of it, what it takes, and what it does."""

    name: str
    title: str
    description: str
    takes: type[_Arguments]
    does: Callable[[Any, _Caller], CallToolResult]

    def told(self) -> Tool:
        return Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            inputSchema=self.takes.model_json_schema(),
            annotations=ToolAnnotations(
                readOnlyHint=True, idempotentHint=True, openWorldHint=False
            ),
        )


class Tools:
    """The tools of one collection. Safe to use from several threads."""

    def __init__(self, searcher: Searcher, log: SearchLog) -> None:
        self._searcher = searcher
        self._log = log
        manifest = searcher.artifact.manifest
        self._provenance = Provenance(
            collection=manifest.collection.name,
            dataset="",
            artifact_version=searcher.artifact.version,
            model=manifest.encoder.name,
            revision=manifest.encoder.revision,
            rights=manifest.collection.rights,
            address="",
            retrieved=date.today(),
            fields=manifest.fields,
        )
        offers = (
            _Offer(
                "search_pictures",
                "Search pictures",
                "Find the pictures of this collection that are nearest to words, to pictures found "
                "before, or to both together, and filter by what is known of them. Gives their "
                "thumbnails, and of each id, title, credit line, rights, source, fields and score "
                "(a cosine: higher is nearer; it orders the pictures of one question and is no "
                "probability). A model has looked at the pictures, not at their descriptions. "
                f"{LIMITS} {OTHERS_WORDS} Give credit and rights wherever a picture is shown.",
                ToSearch,
                self._search,
            ),
            _Offer(
                "get_picture",
                "Look at a picture",
                "One picture of this collection by its id: larger than its thumbnail (a JPEG of at "
                f"most {SIDE} pixels a side), with all that is known of it. One that a notice "
                f"covers is shown only with `shown`. {OTHERS_WORDS} {NO_USE}",
                ToGet,
                self._get,
            ),
            _Offer(
                "describe_collection",
                "Describe the collection",
                "What this collection is: what its keeper says of it, of the rights and of whom to "
                "ask; how many pictures; which fields can be filtered by, and their most frequent "
                "values; which model reads the pictures and what it cannot do; how a question may "
                "be written. Ask this before the first search.",
                ToDescribe,
                self._describe,
            ),
        )
        self._offers = {offer.name: offer for offer in offers}

    @property
    def instructions(self) -> str:
        """What a client tells its model of all this."""
        info = self._searcher.artifact.manifest.collection
        said = " ".join(filter(None, (f"Pictures of “{info.name}”.", info.description)))
        return f"{said} Begin with describe_collection. {LIMITS}"

    def offered(self) -> list[Tool]:
        """What there is."""
        return [offer.told() for offer in self._offers.values()]

    def call(self, tool: str, arguments: dict[str, Any], by: str, base: str) -> CallToolResult:
        """What a tool answers to the member of a name. Blocks; never raises.

        `base` is what stands before /thumbnails in an address.
        """
        try:
            offer = self._offers.get(tool)
            if offer is None:
                raise QueryError(f"There is no tool “{tool[:100]}”, but {', '.join(self._offers)}.")
            given = {name: value for name, value in arguments.items() if value is not None}
            return offer.does(offer.takes.model_validate(given), _Caller(by, base))
        except Exception as error:
            told = _reason(error)
            return CallToolResult(content=[TextContent(type="text", text=told)], isError=True)

    def _search(self, wanted: ToSearch, caller: _Caller) -> CallToolResult:
        asked = Asked(
            wanted.text, tuple(wanted.like), tuple(wanted.unlike), tuple(wanted.where),
            wanted.contains,
        )  # fmt: skip
        found = answers.answer(
            self._searcher, self._log, caller.name, caller.base, asked, wanted.k, wanted.cursor
        )
        content: list[ContentBlock] = [_text(summary(found))]
        for hit in found.hits:
            content.append(_text(f"{hit.rank}. {self._said(hit, hit.score)}"))
            content += [_covered(hit.notice)] if hit.notice else self._thumbnail(hit.id)
        told = jsonable_encoder(found)
        told["hits"] = [self._all(hit) for hit in found.hits]
        return CallToolResult(content=content, structuredContent=told)

    def _get(self, wanted: ToGet, caller: _Caller) -> CallToolResult:
        content: list[ContentBlock]
        record = answers.record(self._searcher, caller.base, wanted.id)
        if record.notice and not wanted.shown:
            content = [_text(self._said(record)), _covered(record.notice)]
            return CallToolResult(content=content, structuredContent=self._told(record))
        file = self._searcher.picture(record.id, shown=True)
        try:
            picture = images.decode(file, max_side=SIDE)
        except PictureError as error:
            raise ArtifactError(f"The picture {record.id!r} cannot be read: {error}") from error
        content = [_text(self._said(record)), _jpeg(picture)]
        return CallToolResult(content=content, structuredContent=self._told(record))

    def _describe(self, wanted: ToDescribe, caller: _Caller) -> CallToolResult:
        about = answers.describe(self._searcher)
        counted = answers.facets(self._searcher, Asked())
        by_name = {facet.field: facet for facet in counted.facets}
        told = {
            "name": about.name,
            "description": about.description,
            "notice": about.notice,
            "rights": about.rights,
            "contact": about.contact,
            "pictures": about.pictures,
            "fields": [
                {**field.model_dump(), **values(by_name.get(field.name))} for field in about.fields
            ],
            "model": about.model.model_dump(),
            "limits": LIMITS,
            "query_language": LANGUAGE,
            "artifact_version": about.artifact_version,
        }
        return CallToolResult(content=[_text(description(told))], structuredContent=told)

    def _told(self, record: PictureRecord) -> dict[str, Any]:
        """All of one picture, and which version it is of."""
        return {**self._all(record), "artifact_version": self._searcher.artifact.version}

    def _all(self, record: PictureRecord) -> dict[str, Any]:
        """A record as plain data, with the rights and the page that it comes from."""
        told: dict[str, Any] = jsonable_encoder(record)
        rights, source = self._rights_and_source(record)
        return {**told, "rights": rights, "source": source}

    def _said(self, record: PictureRecord, score: float | None = None) -> str:
        """A record in words, for clients that show their model nothing else."""
        rights, source = self._rights_and_source(record)
        told = {"credit": record.credit, "rights": rights, "source": source}
        roles = ("title", "credit", "rights", "source_url")
        fields = self._searcher.artifact.manifest.fields
        told |= {f.name: plain(record.metadata.get(f.name)) for f in fields if f.role not in roles}
        known = "; ".join(f"{name}: {text[:LONGEST]}" for name, text in told.items() if text)
        scored = "" if score is None else f"; score {score:.4f}"
        return f"{record.title} (id {record.id}{scored}){f'; {known}' if known else ''}"

    def _rights_and_source(self, record: PictureRecord) -> tuple[str, str]:
        known = Record(
            id=record.id,
            metadata=record.metadata,
            title=record.title,
            credit=record.credit,
            width=record.width,
            height=record.height,
            notice=record.notice,
        )
        return rights_of(known, self._provenance), source_of(known, self._provenance)

    def _thumbnail(self, id: str) -> list[ContentBlock]:
        try:
            # Not every client knows WebP; every one knows JPEG.
            return [_jpeg(images.decode(self._searcher.thumbnail(id)))]
        except NotFoundError:  # withdrawn since it was found
            return [_text("This picture was withdrawn.")]
        except HubError:
            return [_text(answers.OUT_OF_REACH)]
        except PictureError as error:
            raise ArtifactError(f"The thumbnail of {id!r} cannot be read: {error}") from error


def _reason(error: Exception) -> str:
    """What the caller hears of an error; what is the operator's is told to them."""
    match error:
        case QueryError():
            return str(error)
        case ValidationError():
            said = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return f"These arguments are not understood. {'; '.join(said)}."[:2_000]
        case EngineError():
            say(f"error: {error}")
            return error.told
        case ArtifactError() | EncoderError():
            print(f"error: {error}", file=sys.stderr, flush=True)
            return answers.OUT_OF_ORDER
        case HubError():  # the operator was told
            return answers.OUT_OF_REACH
        case _:
            traceback.print_exception(error)
            return answers.UNFORESEEN


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _covered(notice: str) -> TextContent:
    """In the place of a picture."""
    return _text(
        f"This picture is covered by a notice: {notice}. Tell the person whom you help what it "
        "says; if they want to see the picture, call get_picture with its id and shown=true."
    )


def _jpeg(picture: Image.Image) -> ImageContent:
    data = base64.b64encode(images.as_jpeg(picture)).decode()
    return ImageContent(type="image", data=data, mimeType="image/jpeg")
