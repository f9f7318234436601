"""What can go wrong, and who has to read about it.

ImageSearchError            anything this project raises on purpose
├── QueryError              a visitor's question cannot be answered; shown to the visitor as written
│   ├── NotFoundError       it names a picture that the collection does not have
│   └── PolicyError         the policy refuses it, or wants the visitor to be asked first
├── ConfigError             a setting or an argument is wrong; the operator mends it
├── CollectionError         the keeper's pictures or metadata cannot be used as they are
├── PictureError            one picture cannot be used; its text is the reason in rejects.csv
├── EncoderError            a model cannot be had or does not do what it should
├── HubError                the Hub cannot be reached or does not give or take what it should
├── EngineError             the database that searches does not answer, or not as a whole
├── ServerError             another machine's image search does not answer, or lets nobody in
├── StateError              what people add cannot be kept where it should, or read from there
└── ArtifactError           a built collection is missing, damaged or of another make

Every message says what happened, with which value, and what to do next. Only `main()`s exit.
"""


class ImageSearchError(Exception):
    """Any error of this project."""


class QueryError(ImageSearchError):
    """A question that cannot be answered; the text is shown to the visitor as it is."""


class QuerySyntaxError(QueryError):
    """A question that is not understood: `length` characters of `text` from `place` on."""

    def __init__(self, told: str, text: str, place: int, length: int = 0) -> None:
        shown = f"{'…' if place > 40 else ''}{text[max(0, place - 40) : place]}"
        rest = f"{text[place : place + 20]}{'…' if len(text) > place + 20 else ''}"
        super().__init__(f"{told}, at character {place + 1}: {shown}▸{rest}")
        self.place = place
        self.length = length


class NotFoundError(QueryError):
    """A picture that the collection does not have, or has no more."""


class PolicyError(QueryError):
    """A question that the policy refuses, or (tier `warn`) that is asked only once the visitor has
    acknowledged the rule."""

    def __init__(self, reason: str, rule: str, tier: str, title: str, address: str) -> None:
        """`reason` is the rule's; `title` and `address` say where to read more."""
        on = (
            f" To search all the same, acknowledge the rule: acknowledged={rule}; on the command "
            f"line --acknowledge {rule}."
            if tier == "warn"
            else ""
        )
        super().__init__(f"{reason}{on} (Rule “{rule}”; see {title}, {address})")
        self.reason = reason
        self.rule = rule
        self.tier = tier
        self.source_title = title
        self.source_address = address


class ConfigError(ImageSearchError):
    """A setting or an argument is wrong."""


class CollectionError(ImageSearchError):
    """The keeper's pictures or metadata cannot be used as they are."""


class PictureError(ImageSearchError):
    """One picture cannot be used; the text is the reason given in rejects.csv."""


class EncoderError(ImageSearchError):
    """A model cannot be had, or does not do what it should."""


class HubError(ImageSearchError):
    """The Hub cannot be reached, or does not give or take what it should; the next try may do."""


class EngineError(ImageSearchError):
    """The database that searches does not answer, or could give only a part of the answer.

    `told` is for visitors; `detail`, with names of machines, for the operator. `code` is the
    database's own.
    """

    def __init__(self, told: str, detail: str = "", code: int | None = None) -> None:
        super().__init__(f"{told} ({detail})" if detail else told)
        self.told = told
        self.detail = detail
        self.code = code


class ServerError(ImageSearchError):
    """An image search on another machine does not answer, not as it should, or lets nobody in."""


class StateError(ImageSearchError):
    """What people add cannot be kept where the operator said, or cannot be read from there."""


class ArtifactError(ImageSearchError):
    """A built collection is missing, damaged or of another make."""
