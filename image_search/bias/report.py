"""The report of bias probes: what was asked of which collection, the figures, and their limits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from image_search.bias import answers as asking
from image_search.bias.answers import Answers, Begin, ask, quiet
from image_search.bias.figures import DRAWS, SEED, Compared, compare, shown
from image_search.bias.probes import Probes
from image_search.errors import CollectionError
from image_search.overlap import PERSISTENCE
from image_search.search import Searcher

FEW = 10 * asking.DEPTH
"""Pictures below which lists of DEPTH hold a tenth of the collection or more."""

LIMITS = (
    (
        "It cannot show that there is no bias.",
        "Only these words were asked of these groups, in these sentences. Figures within the range "
        "of the neutral words are no clean bill: other words, another wording, longer questions or "
        "another collection may give others.",
    ),
    (
        "The groups are words, not people.",
        "Nobody knows here who is to be seen on a picture. A picture among the first for “an "
        "Indigenous person” is what the model puts near these words: often dress, tools, or a "
        "style of drawing. Nothing here is an accuracy of finding people.",
    ),
    (
        "The model and the collection cannot be told apart.",
        "A collection has its own history: whom it shows at all, as what, and drawn by whom. The "
        "model has learnt another from the web. A word that pulls groups apart may do so because "
        "of either, or of both; looking at the pictures is the only way to tell, and not always.",
    ),
    (
        "Many people are missing.",
        "Two words for gender, six for the whole world, five religions, two ages. Nobody is asked "
        "about by disability, class, caste, sexuality, language, skin or body, nor by the names "
        "that they or others used at the time.",
    ),
    (
        "Nobody is one thing.",
        "The groups are asked one by one. What happens to an old African woman is not the sum of "
        "what happens to the old, to Africans and to women, and is not measured.",
    ),
    (
        "“Neutral” is a choice.",
        "No word means the same of everybody: who is seated and who kneels has a history as well. "
        "The range of the neutral words is a measure to compare with, not innocence.",
    ),
    (
        "Few figures are certain.",
        "Some are beyond the range by chance alone, as many as the tables say; some that matter "
        "are not. A figure says how far, not how harmful. Small collections give rough "
        "figures, and the sheets may show what no figure finds.",
    ),
    (
        "It is no permission.",
        "No figure makes a use of the model right. Surveillance and facial recognition stay out "
        "of scope, whatever stands here.",
    ),
)
"""What the report cannot say: heading and sentences."""

SMALL_ENCODER = (
    "The small encoder that comes along made this index. It hardly tells most of these groups and "
    "words apart, for better or worse: figures near the neutral range may only mean that it does "
    "not understand the question. They say nothing about CLIP."
)


@dataclass(frozen=True)
class Report:
    """All that bias probes found."""

    created: str
    """When, in UTC."""
    collection: dict[str, Any]
    """Its name, version and number of pictures."""
    encoder: dict[str, str]
    probes: dict[str, Any]
    """The file: name, version, sha256, forms and words."""
    method: dict[str, Any]
    """The numbers that the figures depend on."""
    notes: list[str]
    """What is special about this collection or model."""
    limits: list[str]
    compared: list[Compared]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"format_version": 1, "kind": "bias probes", **asdict(self)}

    @property
    def people(self) -> list[Compared]:
        return [one for one in self.compared if one.kind == "people"]

    @property
    def controls(self) -> list[Compared]:
        return [one for one in self.compared if one.kind != "people"]


def questions(probes: Probes) -> list[str]:
    """All that is asked, each once."""
    found: list[str] = []
    for groups in probes.groups:
        found += [probes.bare(group) for group in groups.all]
        for form in groups.forms:
            for is_neutral in (True, False):
                for _, word in probes.of_form(form, is_neutral):
                    found += [
                        probes.said(form, word, group) for group in (*groups.all, groups.anyone)
                    ]
    return list(dict.fromkeys(found))


def probe(
    searcher: Searcher, probes: Probes, begin: Begin = quiet, now: datetime | None = None
) -> tuple[Report, Answers]:
    """Ask the probes of a collection, and compare; withdrawn pictures are left out.

    The vectors are those of its own index, all of them are compared, and what may be asked by
    visitors is not considered: nobody sees the answers but the reader of the report. Raises
    CollectionError if there is no picture.
    """
    artifact = searcher.artifact
    hidden = set(searcher.catalogue.rows(sorted(searcher.withdrawn)).values())
    if len(artifact) <= len(hidden):
        raise CollectionError(
            f"{artifact.files.name} has no picture to be found, so there is nothing to probe."
        )
    answers = ask(questions(probes), searcher.encoder, artifact.index, hidden, begin)
    return (
        Report(
            created=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
            collection={
                "name": artifact.manifest.collection.name,
                "artifact_version": artifact.version,
                "pictures": answers.pictures,
                "withdrawn": len(hidden),
            },
            encoder={
                "name": searcher.encoder.name,
                "revision": searcher.encoder.revision,
                "notice": searcher.encoder.notice or "",
            },
            probes=_described(probes),
            method={
                "questions": len(answers.rows),
                "depth": min(asking.DEPTH, answers.pictures),
                "persistence": PERSISTENCE,
                "pictures_of_a_group": shown(answers),
                "bootstrap_samples": DRAWS,
                "seed": SEED,
            },
            notes=_notes(answers, bool(searcher.encoder.notice)),
            limits=[f"{head} {text}" for head, text in LIMITS],
            compared=compare(probes, answers),
        ),
        answers,
    )


def _described(probes: Probes) -> dict[str, Any]:
    return {
        "name": probes.name,
        "version": probes.version,
        "about": probes.about,
        "file": probes.file,
        "sha256": probes.sha256,
        "forms": probes.forms,
        "words": [asdict(one) for one in probes.words],
    }


def _notes(answers: Answers, is_small: bool) -> list[str]:
    notes = [SMALL_ENCODER] if is_small else []
    if answers.pictures < FEW:
        notes.append(
            f"There are only {answers.pictures:,} pictures: a list of {asking.DEPTH} holds a good "
            "part of them, so all lists overlap, and the figures are rough."
        )
    if answers.cut:
        notes.append(
            f"The model does not read all of {len(answers.cut):,} questions, such as "
            f"“{answers.cut[0]}”; their figures say little."
        )
    return notes


def summary(compared: Sequence[Compared]) -> str:
    """The counts in lines for a terminal."""
    width = max(len(one.name) for one in compared)
    lines = [
        f"{'':{width}}  overlap of the groups          lists parted more     skews beyond",
        f"{'':{width}}  alone  neutral  charged words  (by chance)           (by chance)",
    ]
    for one in compared:
        overlaps, skews = (
            f"{count.beyond:,} of {count.figures:,} ({count.by_chance:.0f})"
            for count in (one.overlaps, one.skews)
        )
        lines.append(
            f"{one.name:{width}}  {one.alone:5.2f}  {one.neutral_overlap:7.2f}  "
            f"{one.charged_overlap:13.2f}  {overlaps:20}  {skews}"
        )
    return "\n".join(lines)
