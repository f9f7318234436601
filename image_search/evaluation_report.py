"""What a test of a collection found: the report, as it is kept, published and shown."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from image_search.errors import ConfigError
from image_search.tested import EncoderIdentity, Extent
from image_search.tidy import tidy

KIND = "evaluation"
"""Records of the state that hold one."""

MOST_BYTES = 90_000
"""Of a report in the state, whose records may have 100 KB."""

FEWEST = 500
"""Hashes of tested pictures that are kept at least."""

FIGURES = {
    "precision_at_10": "Right of the first 10",
    "precision_at_50": "Right of the first 50",
    "recall_at_50": "Found in the first 50",
    "average_precision": "Average precision",
    "ndcg_at_10": "nDCG@10",
}
"""What is measured of every class, and what a keeper reads above it."""


def _past(moment: str) -> str:
    """A moment with its zone, not after tomorrow. Raises ValueError."""
    when = datetime.fromisoformat(moment)
    if when.tzinfo is None or when > datetime.now(UTC) + timedelta(days=1):
        raise ValueError("it has no zone, or lies in the future")
    return moment


# A report comes from a file or a record that anybody may have written.
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, AfterValidator(tidy)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Figure(_Record):
    """A figure, 0 to 1, and its interval at 95 %; None for what cannot be said."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Figures(_Record):
    """The means over the prompts of a class, or over the classes."""

    precision_at_10: Figure
    precision_at_50: Figure
    recall_at_50: Figure
    average_precision: Figure
    ndcg_at_10: Figure


class Shown(_Record):
    """One of the first pictures of a prompt, and whether judges say that it is right."""

    id: str
    verdict: bool | None


class PromptReport(_Record):
    """One prompt, asked of the index."""

    prompt: str
    precision_at_10: float
    judged_at_10: float
    judged_at_50: float
    index_recall_at_10: float
    first: list[Shown] = []
    """In the files only, not in the state."""


class ClassReport(_Record):
    """One class: what is known of it, and how well its prompts find it."""

    name: Name
    prompts: list[PromptReport]
    yes: Count
    no: Count
    tied: Count
    unsure: Count
    index: Figures
    """What visitors get."""
    exact: Figures
    """With every picture compared."""
    judged_at_10: Share
    judged_at_50: Share
    index_recall_at_10: Share
    depth: Annotated[int, Field(ge=0, le=10)]
    """10, or as many pictures as are known to be of the class, if these are fewer and all of the
    first ten were looked at: no question can bring more."""
    reached: Share | None
    """The share of right ones among the first `depth`: what is held against the bar. None if no
    picture is known to be of the class."""

    @property
    def judged(self) -> int:
        return self.yes + self.no


class ClassShare(_Record):
    """Of the pictures of a class in the sample, how many were put into it."""

    name: str
    pictures: int
    right: int


class Confusion(_Record):
    """Pictures of one class that were put into another."""

    shown: str
    taken_for: str
    pictures: int


class ZeroShot(_Record):
    """Pictures put into the one class whose prompts are nearest."""

    source: Literal["judgements", "labels"]
    pictures: int
    accuracy: Figure
    mean_of_classes: Figure
    always_the_same: float
    """The accuracy of always naming the most frequent class."""
    classes: list[ClassShare]
    confused: list[Confusion]


class Variant(_Record):
    """The same classes asked otherwise, or of another collection; `differences` are to the first
    variant, class by class."""

    name: str
    kind: Literal["base", "template", "encoder"]
    encoder: EncoderIdentity
    figures: Figures
    judged_at_10: float
    zero_shot: float | None
    differences: Figures | None
    classes: dict[str, float]
    """Precision at 10 of each."""


class TaxonomyInfo(_Record):
    name: Name
    version: Name
    sha256: str


class CollectionTested(_Record):
    name: str
    pictures: int
    """That can be found."""
    withdrawn: int


class Pair(_Record):
    """Two judges: on how many questions both answered, and Cohen's kappa. Not who they are."""

    both: int
    kappa: float | None


class Report(_Record):
    """What a test of a collection with a taxonomy found."""

    format_version: Literal[1] = 1
    created: Annotated[str, AfterValidator(_past)]
    taxonomy: TaxonomyInfo
    artifact_version: str
    encoder: EncoderIdentity
    collection: CollectionTested
    judgements: Count
    judges: Count
    kappa: float | None
    pairs: list[Pair]
    classes: Annotated[list[ClassReport], Field(min_length=1)]
    index: Figures
    exact: Figures
    index_recall_at_10: float
    judged_at_10: float
    zero_shot: ZeroShot | None
    variants: list[Variant]
    """None, or the collection itself and what it is compared with."""
    notes: list[str]
    tested: Extent

    def dumped(self) -> dict[str, Any]:
        """The report as plain data, with figures of four digits."""
        rounded: dict[str, Any] = _rounded(self.model_dump(mode="json"))
        return rounded

    def for_state(self) -> dict[str, Any]:
        """The same without ids of pictures, and small enough for a record.

        Of many pictures a smaller sample is kept if need be, and then no figures of prompts. Raises
        ConfigError if it has too many classes even so.
        """
        small = self._with_prompts(
            [[p.model_copy(update={"first": []}) for p in c.prompts] for c in self.classes]
        )
        if _size(small) > MOST_BYTES:
            small = small.model_copy(update={"tested": self.tested.fewer(FEWEST)})
        if _size(small) > MOST_BYTES:
            small = small._with_prompts([[] for _ in self.classes])
        if _size(small) > MOST_BYTES:
            raise ConfigError(
                f"The report on {len(self.classes):,} classes is too long to be kept with what "
                "people add. Test them in several taxonomies."
            )
        return small.dumped()

    def _with_prompts(self, prompts: list[list[PromptReport]]) -> "Report":
        pairs = zip(self.classes, prompts, strict=True)
        classes = [one.model_copy(update={"prompts": own}) for one, own in pairs]
        return self.model_copy(update={"classes": classes})


def _size(report: Report) -> int:
    return len(json.dumps(report.dumped(), ensure_ascii=False).encode())


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 4)
        case dict():
            return {key: _rounded(one) for key, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value


def parsed(raw: Any) -> Report | None:
    """A report that was kept or published; None if it is none, or of another release."""
    try:
        if isinstance(raw, bytes | str):
            return Report.model_validate_json(raw)
        return Report.model_validate(raw)
    except ValidationError:
        return None
