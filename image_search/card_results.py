"""Figures of tests in a dataset card: its `model-index`, as the Hub knows it from models' cards.

The block is put into the front matter as text, so that all else in a card stays as it was written.
"""

import re
from typing import Any

from huggingface_hub import EvalResult, RepoCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]  # documented

from image_search.card import is_untouched, sealed, unsealed
from image_search.evaluation_report import FIGURES, Report

ModelIndex = list[dict[str, Any]]

KEY = "model-index"

SEARCH, ZERO_SHOT = "image-search", "zero-shot-image-classification"

_FRONT = re.compile(r"\A---\r?\n(.*?)(?:^|\n)---[ \t]*(?=\r?\n|\Z)", re.DOTALL)
_BLOCK = re.compile(rf"^{KEY}:.*?(?=^[^\s#-]|\Z)", re.DOTALL | re.MULTILINE)


def model_index_of(text: str) -> ModelIndex:
    """What a card says of tests; nothing if it cannot be read."""
    if not _FRONT.match(text):
        return []
    try:
        held = RepoCard(text).data.get(KEY)
    except Exception:  # of YAML, or of the client: a card that others broke is theirs to mend
        return []
    entries = held if isinstance(held, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and "name" in entry]


def with_model_index(text: str, model_index: ModelIndex) -> str:
    """A card with this in the place of what it said of tests. One that nobody has changed by hand
    still counts as such."""
    if not model_index:
        return text
    if is_untouched(text):
        return sealed(_with_block(unsealed(text), model_index))
    return _with_block(text, model_index)


def with_report(text: str, repo: str, report: Report) -> str:
    """A card with the figures of a report, in the place of those of the same test, if any."""
    held = model_index_of(text)
    name = report.encoder.name
    others = [entry for entry in held if entry["name"] != name]
    own: list[EvalResult] = []
    for entry in held:
        if entry["name"] == name:
            own += _results_of(entry)
    new = results_of(report, repo)
    tests = {(one.task_type, one.dataset_type, one.dataset_config) for one in new}
    kept = [
        one for one in own if (one.task_type, one.dataset_type, one.dataset_config) not in tests
    ]
    return with_model_index(text, [*others, *eval_results_to_model_index(name, [*kept, *new])])


def results_of(report: Report, repo: str) -> list[EvalResult]:
    """The figures of a report over all classes, as the Hub has them."""
    info = report.taxonomy
    test: dict[str, Any] = {
        "dataset_type": repo,
        "dataset_name": report.collection.name,
        "dataset_config": f"{info.name} {info.version}",
        "dataset_split": "train",
        "dataset_revision": f"version-{report.artifact_version[:12]}",
        "dataset_args": {
            "taxonomy_sha256": info.sha256,
            "classes": len(report.classes),
            "judgements": report.judgements,
            "created": report.created,
        },
    }
    figures = [(key, name, getattr(report.index, key).value) for key, name in FIGURES.items()]
    recall = ("index_recall_at_10", "Of the exact ten nearest", report.index_recall_at_10)
    found = [
        EvalResult(
            task_type=SEARCH,
            task_name="Search by words",
            metric_type=key,
            metric_name=name,
            metric_value=round(value, 4),
            **test,
        )
        for key, name, value in [*figures, recall]
        if value is not None
    ]
    if report.zero_shot and report.zero_shot.accuracy.value is not None:
        found.append(
            EvalResult(
                task_type=ZERO_SHOT,
                task_name="Putting pictures into classes",
                metric_type="accuracy",
                metric_name=f"Accuracy ({report.zero_shot.source})",
                metric_value=round(report.zero_shot.accuracy.value, 4),
                **test,
            )
        )
    return found


def _results_of(entry: dict[str, Any]) -> list[EvalResult]:
    """The results of one model; what another hand wrote otherwise is lost to none but itself."""
    try:
        return model_index_to_eval_results([entry])[1]
    except (LookupError, TypeError, ValueError):
        return []


def _with_block(text: str, model_index: ModelIndex) -> str:
    block = yaml_dump({KEY: model_index})
    front = _FRONT.match(text)
    if front is None:
        return f"---\n{block}---\n\n{text}"
    rest = _BLOCK.sub("", front[1])
    rest = rest if not rest or rest.endswith("\n") else f"{rest}\n"
    return f"---\n{rest}{block}---{text[front.end() :]}"
