"""Testing a collection in its domain: a taxonomy, what judges said, and the report on both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from image_search.agreement import agreement
from image_search.artifact import Artifact
from image_search.errors import ConfigError
from image_search.evaluation_report import (
    ClassReport,
    CollectionTested,
    Figures,
    Pair,
    PromptReport,
    Report,
    Shown,
    TaxonomyInfo,
    Variant,
    ZeroShot,
)
from image_search.judgements import Judgement
from image_search.metrics import judged_at, precision_at
from image_search.rankings import (
    PLACE,
    TEN,
    Ranker,
    Ranking,
    figures_of,
    hits_of,
    known_depth,
    over_classes,
    templated,
)
from image_search.search import Searcher
from image_search.taxonomy import Taxonomy
from image_search.tested import EncoderIdentity, Extent
from image_search.verdicts import Verdicts, fully_judged, verdicts
from image_search.zero_shot import zero_shot

FULLY_JUDGED = 0.9
"""The share of the first ten that has to be judged for a comparison to be fair."""

Progress = Callable[[str], object]
"""Told each prompt that was measured."""


@dataclass(frozen=True)
class Question:
    """What is tested, by what, and with what it is compared."""

    taxonomy: Taxonomy
    judgements: Sequence[Judgement]
    labels: Mapping[str, str] | None = None
    """Picture → its one class, for the zero-shot accuracy; None: of what judges said."""
    templates: Sequence[str] = ()
    """Prompts are put into these, for comparison."""
    others: Sequence[Searcher] = ()
    """The same pictures with other encoders, for comparison."""

    @property
    def prompts(self) -> int:
        """How many are measured in all."""
        count = sum(len(one.prompts) for one in self.taxonomy.classes)
        return count * (1 + len(self.templates) + len(self.others))


def evaluate(
    searcher: Searcher, question: Question, progress: Progress = lambda prompt: None
) -> Report:
    """Ask every prompt of every class, and hold what comes against what judges said.

    The same judgements give the same report, but for its date. Raises ConfigError if a template
    has no place for a prompt.
    """
    for template in question.templates:
        if template.count(PLACE) != 1:
            raise ConfigError(
                f"The template “{template}” has to hold {PLACE} once, where the prompt goes: "
                "“a drawing of {}”."
            )
    base = _Run(searcher, question, progress)
    classes = base.reports()
    manifest = searcher.artifact.manifest
    agreed = agreement(question.judgements)
    variants = _variants(searcher, base, question, progress)
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        taxonomy=TaxonomyInfo(
            name=question.taxonomy.name,
            version=str(question.taxonomy.version),
            sha256=question.taxonomy.sha256,
        ),
        artifact_version=searcher.artifact.version,
        encoder=EncoderIdentity.of(manifest),
        collection=CollectionTested(
            name=manifest.collection.name,
            pictures=len(base.ranker.found),
            withdrawn=len(base.ranker.hidden),
        ),
        judgements=len(question.judgements),
        judges=len({one.by for one in question.judgements}),
        kappa=agreed.kappa,
        pairs=[Pair(both=one.both, kappa=one.kappa) for one in agreed.pairs],
        classes=classes,
        index=over_classes([one.index for one in classes]),
        exact=over_classes([one.exact for one in classes]),
        index_recall_at_10=_mean([one.index_recall_at_10 for one in classes]),
        judged_at_10=_mean([one.judged_at_10 for one in classes]),
        zero_shot=base.zero_shot,
        variants=variants,
        notes=_notes(base, classes, variants, question),
        tested=tested(searcher.artifact),
    )


def tested(artifact: Artifact) -> Extent:
    """The pictures of a collection, to be compared with those of another time."""
    ids = artifact.catalogue.table.column("id").to_pylist()
    return Extent.of(ids, artifact.manifest.ids_sha256)


class _Run:
    """One way of asking all prompts: a collection, and perhaps a template."""

    def __init__(
        self, searcher: Searcher, question: Question, progress: Progress, template: str = PLACE
    ) -> None:
        self.ranker = Ranker(searcher)
        self._measure(question, progress, template)

    def _measure(self, question: Question, progress: Progress, template: str) -> None:
        self.prompts = {
            one.name: [templated(prompt, template) for prompt in one.prompts]
            for one in question.taxonomy.classes
        }
        known = verdicts(question.judgements)
        self.unknown = sum(len((of.yes | of.no) - self.ranker.found) for of in known.values())
        self.verdicts = {
            name: known.get(name, Verdicts()).among(set(self.ranker.found)) for name in self.prompts
        }
        self.rankings: dict[str, list[Ranking]] = {}
        for name, prompts in self.prompts.items():
            self.rankings[name] = []
            for prompt in prompts:
                self.rankings[name].append(self.ranker.rank(prompt))
                progress(prompt)
        labels = question.labels
        given = fully_judged(self.verdicts, list(self.prompts)) if labels is None else labels
        self.zero_shot: ZeroShot | None = zero_shot(
            self.ranker, self.prompts, given, from_labels=labels is not None
        )

    def again(self, question: Question, progress: Progress, template: str) -> "_Run":
        """The same collection, asked by another template."""
        run = _Run.__new__(_Run)
        run.ranker = self.ranker
        run._measure(question, progress, template)
        return run

    def reports(self) -> list[ClassReport]:
        return [self._report(number, name) for number, name in enumerate(self.prompts)]

    def figures(self) -> list[Figures]:
        """Of the index, class by class."""
        return [
            figures_of([one.index for one in rankings], self.verdicts[name])
            for name, rankings in self.rankings.items()
        ]

    def judged_at(self, name: str, k: int) -> float:
        """The share of the first k pictures of a class's prompts that is judged."""
        return _mean([self._judged(name, one, k) for one in self.rankings[name]])

    def _judged(self, name: str, ranking: Ranking, k: int) -> float:
        return judged_at([self.verdicts[name].of(id) for id in ranking.index], k)

    def _report(self, number: int, name: str) -> ClassReport:
        rankings, known = self.rankings[name], self.verdicts[name]
        lists = [hits_of(one.index, known) for one in rankings]
        depth = known_depth(known)
        if depth and not known.has_seen(id for one in rankings for id in one.index[:TEN]):
            depth = TEN  # else who judges only what is right would raise the share
        return ClassReport(
            name=name,
            prompts=[
                PromptReport(
                    prompt=one.prompt,
                    precision_at_10=precision_at(hits, TEN),
                    judged_at_10=self._judged(name, one, TEN),
                    judged_at_50=self._judged(name, one, 50),
                    index_recall_at_10=one.index_recall_at_10,
                    first=[Shown(id=id, verdict=known.of(id)) for id in one.index[:TEN]],
                )
                for one, hits in zip(rankings, lists, strict=True)
            ],
            yes=len(known.yes),
            no=len(known.no),
            tied=len(known.tied),
            unsure=len(known.unsure),
            index=figures_of([one.index for one in rankings], known, number),
            exact=figures_of([one.exact for one in rankings], known, number),
            judged_at_10=self.judged_at(name, TEN),
            judged_at_50=self.judged_at(name, 50),
            index_recall_at_10=_mean([one.index_recall_at_10 for one in rankings]),
            depth=depth,
            reached=_mean([precision_at(hits, depth) for hits in lists]) if depth else None,
        )


def _variants(
    searcher: Searcher, base: _Run, question: Question, progress: Progress
) -> list[Variant]:
    """The base and what it is compared with; none if that is nothing."""
    if not question.templates and not question.others:
        return []
    before = base.figures()

    def variant(run: _Run, name: str, kind: str, of: Searcher) -> Variant:
        each = before if run is base else run.figures()
        return Variant.model_validate(
            {
                "name": name,
                "kind": kind,
                "encoder": EncoderIdentity.of(of.artifact.manifest),
                "figures": over_classes(each),
                "judged_at_10": _mean([run.judged_at(one, TEN) for one in run.prompts]),
                "zero_shot": run.zero_shot and run.zero_shot.accuracy.value,
                "differences": None if run is base else over_classes(each, before),
                "classes": {
                    name: figures.precision_at_10.value
                    for name, figures in zip(run.prompts, each, strict=True)
                },
            }
        )

    own = searcher.artifact.manifest.encoder.name
    made = [variant(base, f"{own}, prompts as they are", "base", searcher)]
    for template in question.templates:
        run = base.again(question, progress, template)
        made.append(variant(run, f"“{template}”", "template", searcher))
    for other in question.others:
        run = _Run(other, question, progress)
        name = f"{other.artifact.manifest.encoder.name} ({other.artifact.files.name})"
        made.append(variant(run, name, "encoder", other))
    return made


def _notes(
    base: _Run, classes: Sequence[ClassReport], variants: Sequence[Variant], question: Question
) -> list[str]:
    """What a reader has to know to take the figures for what they are."""
    notes = []
    empty = [one.name for one in classes if not one.yes]
    if empty:
        notes.append(
            f"No picture is judged to be of {_listed(empty)}: recall, average precision and nDCG "
            "leave these classes out."
        )
    few = [one.name for one in classes if 0 < one.yes < TEN]
    if few:
        notes.append(
            f"Fewer than ten pictures are known to be of {_listed(few)}: ten right ones among the "
            "first ten are not to be had there."
        )
    if (share := _mean([one.judged_at_10 for one in classes])) < 1:
        notes.append(
            f"{share:.0%} of the first ten pictures are judged. The others count as wrong."
        )
    tied = sum(one.tied for one in classes)
    unsure = sum(one.unsure for one in classes)
    if tied or unsure:
        notes.append(
            f"Judges were divided about {tied:,} pictures and unsure about {unsure:,}: these count "
            "as not judged."
        )
    if base.unknown:
        notes.append(
            f"{base.unknown:,} judgements are of pictures that are withdrawn or not in this "
            "collection; they were left out."
        )
    if len({one.by for one in question.judgements}) < 2:
        notes.append("One person alone has judged: nothing is known of how far others would agree.")
    cut = [p for own in base.prompts.values() for p in own if base.ranker.is_cut(p)]
    if cut:
        notes.append(f"The model read these prompts only in part: {_listed(cut)}.")
    if base.zero_shot and base.zero_shot.source == "judgements":
        notes.append(
            "The pictures that were put into classes are those that searches had found, and no "
            "sample by chance: of other pictures fewer may be right, or more."
        )
    thin = [one.name for one in variants if one.judged_at_10 < FULLY_JUDGED]
    if thin:
        notes.append(
            f"Of what {_listed(thin)} found first, many pictures were never judged and count as "
            "wrong, so the comparison is not fair to it. Have them judged first."
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
