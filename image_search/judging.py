"""What the tab “Judge” is told, and what becomes of what judges say.

Knows addresses, but no requests. A judge learns nothing of ranks, scores, prompts and others.
"""

from collections import Counter
from typing import Annotated

from pydantic import BaseModel, Field

from image_search import answers
from image_search.agreement import agreement
from image_search.errors import NotFoundError, QueryError
from image_search.judgements import Answer, Given, Judgements
from image_search.pool import Pools, in_order
from image_search.search import Searcher
from image_search.state import State
from image_search.taxonomy import Taxonomies, Taxonomy

REMEMBERED = 50
"""Of a judge's own answers, how many they can go back to after a reload."""


class AskedClass(BaseModel):
    """A class, and how far the judge who asks has come: `judged` of `pictures`."""

    name: str
    about: str
    judged: int
    pictures: int


class ToJudge(BaseModel):
    """A picture and what is to be seen with it; `thumbnail` and `picture` are addresses.
    `covered` as of any record: a judge sees it only after asking for it."""

    id: str
    title: str
    width: int
    height: int
    thumbnail: str
    picture: str
    covered: bool
    notice: str | None


class Said(BaseModel):
    """What the judge who asks has said of a picture."""

    class_name: str
    answer: Answer
    picture: ToJudge


class Progress(BaseModel):
    """The taxonomy that counts (`sha256` is empty if there is none), and what the judge who asks
    has said, the latest first."""

    name: str
    version: str
    about: str
    sha256: str
    classes: list[AskedClass]
    latest: list[Said]


class NextPictures(BaseModel):
    """Pictures of a class that the judge who asks has not judged yet, in an order of their own;
    `left` is how many there are in all."""

    class_name: str
    left: int
    pictures: list[ToJudge]


class Saying(BaseModel):
    """An answer to “Does this show: …?”; null takes it back."""

    class_name: Annotated[str, Field(max_length=1_000)]
    id: Annotated[str, Field(max_length=10_000)]
    answer: Answer | None


class KeptAnswers(BaseModel):
    """`left_out` are pictures that the collection does not have, or has no more; `kept` is false if
    the answers count already, but could not be written down yet: that is tried again and again."""

    kept: bool
    left_out: list[str]


class TaxonomyFile(BaseModel):
    """The taxonomy that counts, as it was written; all is empty if there is none."""

    text: str
    sha256: str
    by: str
    time: str
    kept: bool = True


class JudgePair(BaseModel):
    """Two judges: how many pictures both have judged, the share on which they agree, and Cohen's
    kappa (null where it has no value: both said one and the same throughout)."""

    judges: tuple[str, str]
    both: int
    agreed: float
    kappa: float | None


class JudgesAgreement(BaseModel):
    """How far judges agree. `kappa` is the mean of the pairs'; `judged` says how many pictures of
    which class each has judged."""

    kappa: float | None
    pairs: list[JudgePair]
    judged: dict[str, dict[str, int]]


class Judging:
    """The judging of one collection."""

    def __init__(self, searcher: Searcher, state: State) -> None:
        self._searcher = searcher
        self._state = state
        self._taxonomies = Taxonomies(state)
        self._judgements = Judgements(state)
        self._pools = Pools(searcher)

    def file(self) -> TaxonomyFile:
        """The taxonomy, for who may change it."""
        latest = self._taxonomies.latest()
        if latest is None:
            return TaxonomyFile(text="", sha256="", by="", time="")
        taxonomy = latest.taxonomy
        return TaxonomyFile(
            text=taxonomy.text, sha256=taxonomy.sha256, by=latest.by, time=latest.time
        )

    def use(self, text: str, by: str) -> TaxonomyFile:
        """Have a taxonomy count. Raises QueryError, also if one of its prompts cannot be asked."""
        taxonomy = Taxonomy.parse(text)
        for one in taxonomy.classes:
            self._pools.of(taxonomy, one)
        _, kept = self._taxonomies.set(text, by)
        return self.file().model_copy(update={"kept": kept})

    def progress(self, judge: str, base: str) -> Progress:
        """What is judged, and how far a judge has come; `base` stands before addresses."""
        latest = self._taxonomies.latest()
        if latest is None:
            return Progress(name="", version="", about="", sha256="", classes=[], latest=[])
        taxonomy = latest.taxonomy
        mine = self._judgements.of_judge(taxonomy, judge)
        classes = []
        for one in taxonomy.classes:
            pool = self._pools.of(taxonomy, one)
            judged = sum(said.class_name == one.name and said.id in pool for said in mine)
            classes.append(
                AskedClass(name=one.name, about=one.about, judged=judged, pictures=len(pool))
            )
        shown = [said for said in reversed(mine) if self._is_there(said.id)][:REMEMBERED]
        return Progress(
            name=taxonomy.name,
            version=taxonomy.version,
            about=taxonomy.about,
            sha256=taxonomy.sha256,
            classes=classes,
            latest=[
                Said(
                    class_name=said.class_name,
                    answer=said.answer,
                    picture=self._to_judge(said.id, base),
                )
                for said in shown
            ],
        )

    def next(self, judge: str, base: str, class_name: str, k: int) -> NextPictures:
        """The pictures of a class that a judge is shown next. Raises QueryError."""
        taxonomy = self._taxonomies.current()
        one = taxonomy.named(class_name)
        mine = self._judgements.of_judge(taxonomy, judge)
        judged = {said.id for said in mine if said.class_name == class_name}
        left = in_order(
            self._pools.of(taxonomy, one) - judged, judge, one, key=self._state.secret()
        )
        return NextPictures(
            class_name=class_name,
            left=len(left),
            pictures=[self._to_judge(id, base) for id in left[:k]],
        )

    def keep(self, judge: str, sha256: str, said: list[Saying]) -> KeptAnswers:
        """Keep what a judge says, asked by the taxonomy with this hash. Raises QueryError.

        That may be one which counts no more: what it asked in the same words still counts.
        """
        taxonomy = self._taxonomies.of(sha256)
        if taxonomy is None:
            raise QueryError("There is no such taxonomy (any more). Load the page again.")
        left_out = [one.id for one in said if not self._is_there(one.id)]
        given = [
            Given(one.class_name, one.id, one.answer) for one in said if one.id not in left_out
        ]
        kept = self._judgements.add(taxonomy, given, judge, self._searcher.artifact.version)
        return KeptAnswers(kept=kept, left_out=left_out)

    def agreement(self) -> JudgesAgreement:
        """How far all judges agree. Raises QueryError."""
        said = self._judgements.of(self._taxonomies.current())
        found = agreement(said)
        counted: dict[str, Counter[str]] = {}
        for one in said:
            counted.setdefault(one.by, Counter())[one.class_name] += 1
        return JudgesAgreement(
            kappa=found.kappa,
            pairs=[JudgePair(**vars(pair)) for pair in found.pairs],
            judged={by: dict(counts) for by, counts in sorted(counted.items())},
        )

    def _to_judge(self, id: str, base: str) -> ToJudge:
        known = answers.record(self._searcher, base, id)
        return ToJudge(**known.model_dump(include=set(ToJudge.model_fields)))

    def _is_there(self, id: str) -> bool:
        try:
            self._searcher.row(id)
        except NotFoundError:
            return False
        return True
