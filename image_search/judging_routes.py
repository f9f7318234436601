"""The routes of /api/v1 for judges and for who writes the taxonomy."""

from typing import Annotated

from fastapi import Body, FastAPI, Query, Request
from pydantic import BaseModel, Field

from image_search.answers import MAX_PAGE
from image_search.api import base_of, only, visitor_of
from image_search.judging import (
    JudgesAgreement,
    Judging,
    KeptAnswers,
    NextPictures,
    Progress,
    Saying,
    TaxonomyFile,
)
from image_search.roles import Role

PAGE = 60
"""Pictures that a judge is sent at once."""

ClassName = Annotated[str, Query(alias="class", description="The name of a class.")]
Size = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many pictures.")]
File = Annotated[str, Body(media_type="text/plain", description="The text of the file (TOML).")]


class Sayings(BaseModel):
    """Answers of a judge, in their order; `taxonomy` is the sha256 of the one that asked."""

    taxonomy: str
    answers: Annotated[list[Saying], Field(min_length=1, max_length=1_000)]


def add_judging(api: FastAPI, judging: Judging) -> None:
    """Let judges judge, and curators say what."""
    judges, curators = [only(Role.JUDGE)], [only(Role.CURATOR)]

    @api.get("/judging", dependencies=judges)
    def progress(request: Request) -> Progress:
        """What there is to judge, how far you have come, and what you said last. For judges."""
        return judging.progress(visitor_of(request).name, base_of(request))

    @api.get("/judging/next", dependencies=judges)
    def next_pictures(request: Request, class_name: ClassName, k: Size = PAGE) -> NextPictures:
        """Pictures of a class that you have not judged yet, in an order of your own. For judges."""
        return judging.next(visitor_of(request).name, base_of(request), class_name, k)

    @api.post("/judgements", dependencies=judges)
    def judge(request: Request, said: Sayings) -> KeptAnswers:
        """Say whether pictures show what a class names: yes, no, unsure; null takes back what you
        said before. Of a picture the last answer counts. For judges."""
        return judging.keep(visitor_of(request).name, said.taxonomy, said.answers)

    @api.get("/judgements/agreement", dependencies=curators)
    def agreement() -> JudgesAgreement:
        """How far the judges have come, and how far they agree: Cohen's kappa. For curators."""
        return judging.agreement()

    @api.get("/taxonomy", dependencies=curators)
    def taxonomy() -> TaxonomyFile:
        """The taxonomy that counts, as it was written. For curators."""
        return judging.file()

    @api.put("/taxonomy", dependencies=curators)
    def use_taxonomy(request: Request, text: File = "") -> TaxonomyFile:
        """Have another taxonomy count: the text of its file (TOML) is the body. For curators."""
        return judging.use(text, visitor_of(request).name)
