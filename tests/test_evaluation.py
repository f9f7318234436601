"""A test in the domain: exact figures on five colours, and what a report says of itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import write_pictures
from PIL import Image

import image_search
from image_search.build import build
from image_search.encoder import OnnxEncoder
from image_search.errors import ConfigError
from image_search.evaluation import Question, evaluate
from image_search.evaluation_report import parsed
from image_search.folder import open_folder
from image_search.judgements import Answer, Judgement
from image_search.rankings import Ranker, templated
from image_search.search import Searcher
from image_search.taxonomy import Taxonomy
from image_search.tested import Extent
from image_search.verdicts import verdicts
from image_search.zero_shot import read_labels

TAXONOMY = Taxonomy.parse(
    """
    name = "Colours"
    version = "1"
    [[class]]
    name = "warm"
    prompts = ["red", "yellow"]
    [[class]]
    name = "cold"
    prompts = ["blue"]
    """
)
RED, ORANGE, YELLOW = "warm/red.png", "warm/orange.png", "warm/yellow.png"
GREEN, BLUE = "cold/green.png", "cold/blue.png"


def judged(by: str, class_name: str, **answers: str) -> list[Judgement]:
    ids = {"red": RED, "orange": ORANGE, "yellow": YELLOW, "green": GREEN, "blue": BLUE}
    return [
        Judgement(class_name, ids[name], Answer(answer), by, "2026-11-21T10:00:00Z")
        for name, answer in answers.items()
    ]


ANSWERS = [
    *judged("ann", "warm", red="yes", orange="yes", yellow="no", green="no", blue="no"),
    *judged("ben", "warm", red="yes", orange="yes", yellow="yes", green="unsure", blue="no"),
    *judged("ann", "cold", blue="yes", green="no", red="no", orange="no"),
]


def test_exact_figures(searcher: Searcher) -> None:
    report = evaluate(searcher, Question(TAXONOMY, ANSWERS))
    warm, cold = report.classes
    # “red” brings red, orange, yellow, green, blue: red and orange are right, yellow is tied.
    # “yellow” brings yellow, orange, and green and red, which are as near.
    first = [shown.id for shown in warm.prompts[0].first]
    assert first[:3] == [RED, ORANGE, YELLOW]
    assert [shown.verdict for shown in warm.prompts[0].first[:3]] == [True, True, None]
    assert [shown.id for shown in warm.prompts[1].first] == [YELLOW, ORANGE, GREEN, RED, BLUE]
    assert (warm.yes, warm.no, warm.tied, warm.unsure) == (2, 2, 1, 0)
    assert warm.index.precision_at_10.value == 0.2  # two of ten places
    assert warm.index.recall_at_50.value == 1
    by_yellow = (1 / 2 + 2 / 4) / 2
    assert warm.index.average_precision.value == pytest.approx((1 + by_yellow) / 2)
    assert warm.index == warm.exact
    assert (warm.depth, warm.reached) == (2, (1 + 0.5) / 2)
    assert (warm.judged_at_10, warm.index_recall_at_10) == (0.8, 1)
    assert (cold.yes, cold.no, cold.depth, cold.reached) == (1, 3, 10, 0.1)  # one is unseen
    assert report.index.average_precision.value == pytest.approx(((1 + by_yellow) / 2 + 1) / 2)
    low, high = warm.index.average_precision.low, warm.index.average_precision.high
    assert low is not None
    assert high is not None
    assert 0 < low < warm.index.average_precision.value < high <= 1  # type: ignore[operator]


def test_one_yes_does_not_pass(searcher: Searcher) -> None:
    """Who judges only what is right is held to ten pictures."""
    only = [judged("ann", "cold", blue="yes"), judged("ann", "warm", red="yes", blue="no")]
    cold = evaluate(searcher, Question(TAXONOMY, [one for some in only for one in some])).classes[1]
    assert (cold.yes, cold.depth) == (1, 10)
    assert cold.reached == 0.1


@pytest.mark.parametrize(
    "forged",
    [
        {"classes": []},
        {"created": "2999-01-01T00:00:00Z"},
        {"created": "yesterday"},
        {"created": "2024-01-01T00:00:00"},
        {"judgements": -5},
        {"reached": 5.0},
        {"reached": float("inf")},
        {"yes": -1},
        {"shift": 41},
        {"shift": -1},
        {"hashes": "x"},
        {"hashes": "eHh4"},
    ],
    ids=str,
)
def test_a_report_that_cannot_be_true_is_none(searcher: Searcher, forged: dict[str, Any]) -> None:
    told = evaluate(searcher, Question(TAXONOMY, ANSWERS)).dumped()
    assert parsed(json.dumps(told))
    for place in (told, told["classes"][0], told["tested"]):
        place.update({name: value for name, value in forged.items() if name in place})
    assert parsed(json.dumps(told)) is None


def test_what_is_said_beside_the_figures(searcher: Searcher) -> None:
    report = evaluate(searcher, Question(TAXONOMY, ANSWERS))
    assert (report.judgements, report.judges) == (14, 2)
    assert report.pairs[0].both == 5
    assert report.kappa == report.pairs[0].kappa == pytest.approx((3 / 5 - 9 / 25) / (1 - 9 / 25))
    said = " ".join(report.notes)
    assert "divided about 1 pictures" in said
    assert "The others count as wrong" in said
    assert "ann" not in json.dumps(report.dumped())  # a published report names no judge


def test_zero_shot_of_what_judges_saw_in_full_and_of_labels(
    searcher: Searcher, tmp_path: Path
) -> None:
    full = evaluate(searcher, Question(TAXONOMY, ANSWERS)).zero_shot
    assert full
    # Red and orange are warm and not cold, blue is cold and not warm; green and yellow are neither.
    assert (full.source, full.pictures, full.accuracy.value) == ("judgements", 3, 1)
    table = tmp_path / "labels.csv"
    table.write_text(f"id,class\n{RED},warm\n{GREEN},cold\n{BLUE},cold\nelsewhere.png,cold\n")
    labels = read_labels(table, TAXONOMY)
    labelled = evaluate(searcher, Question(TAXONOMY, ANSWERS, labels)).zero_shot
    assert labelled
    assert (labelled.source, labelled.pictures) == ("labels", 3)
    # Green is nearer to red and yellow together than to blue.
    assert labelled.accuracy.value == pytest.approx(2 / 3)
    assert labelled.mean_of_classes.value == pytest.approx((1 + 1 / 2) / 2)
    assert labelled.always_the_same == pytest.approx(2 / 3)
    assert [(c.shown, c.taken_for) for c in labelled.confused] == [("cold", "warm")]
    table.write_text(f"id,class\n{RED},lukewarm\n")
    with pytest.raises(ConfigError, match="line 2: the taxonomy has no class “lukewarm”"):
        read_labels(table, TAXONOMY)
    table.write_text(f"id,class\n{RED},warm\n{RED},cold\n")
    with pytest.raises(ConfigError, match="“warm” above"):
        read_labels(table, TAXONOMY)


def test_a_withdrawn_picture_is_neither_found_nor_missed(built: Path) -> None:
    opened = image_search.open(built, withdrawn={ORANGE})
    warm = evaluate(opened, Question(TAXONOMY, ANSWERS)).classes[0]
    assert ORANGE not in {shown.id for prompt in warm.prompts for shown in prompt.first}
    assert warm.yes == 1
    assert warm.index.recall_at_50.value == 1


def test_templates_and_other_collections_are_compared_class_by_class(
    searcher: Searcher, built: Path
) -> None:
    other = image_search.open(built, withdrawn=frozenset())
    asked = Question(TAXONOMY, ANSWERS, templates=["{} blue"], others=[other])
    base, worse, same = evaluate(searcher, asked).variants
    assert [one.kind for one in (base, worse, same)] == ["base", "template", "encoder"]
    assert base.differences is None
    assert same.differences
    assert same.differences.average_precision.value == 0
    assert worse.differences
    assert worse.differences.average_precision.value is not None
    assert worse.differences.average_precision.value < 0
    with pytest.raises(ConfigError, match="has to hold {} once"):
        evaluate(searcher, Question(TAXONOMY, ANSWERS, templates=["a drawing"]))


def test_prompts_are_questions_of_the_search(searcher: Searcher) -> None:
    ranker = Ranker(searcher)
    for prompt in ("red OR blue", "yellow -green", f"red +like:{BLUE}", "yellow"):
        found = [hit.id for hit in searcher.search(prompt, k=5)]
        assert ranker.rank(prompt).index == ranker.rank(prompt).exact == found, prompt
    assert templated("a cat OR a dog -red", "a drawing of {}") == (
        "a drawing of a cat OR a drawing of a dog -a drawing of red"
    )
    assert templated("  a cat", "{}") == "  a cat"


def test_majority_ties_and_unsure() -> None:
    told = [
        *judged("ann", "warm", red="yes", blue="no", green="unsure"),
        *judged("ben", "warm", red="yes", blue="yes", green="unsure"),
        *judged("cid", "warm", red="no", blue="unsure"),
    ]
    warm = verdicts(told)["warm"]
    assert (warm.yes, warm.no, warm.tied, warm.unsure) == ({RED}, set(), {BLUE}, {GREEN})


def test_the_copy_for_the_state_names_no_picture_and_can_be_read(searcher: Searcher) -> None:
    report = evaluate(searcher, Question(TAXONOMY, ANSWERS))
    assert RED in json.dumps(report.dumped())
    kept = report.for_state()
    assert RED not in json.dumps(kept)
    again = parsed(json.dumps(kept))
    assert again
    assert again.classes[0].reached == report.classes[0].reached
    assert parsed(b"[]") is None


def test_no_report_is_longer_than_a_record_may_be(searcher: Searcher) -> None:
    report = evaluate(searcher, Question(TAXONOMY, ANSWERS))
    ids = [f"pictures/{n}.jpg" for n in range(20_000)]
    long = report.model_copy(update={"classes": report.classes * 20, "tested": Extent.of(ids, "")})
    kept = long.for_state()
    assert len(json.dumps(kept)) < 100_000
    assert kept["classes"][0]["prompts"]
    largest = long.classes[0].model_copy(update={"prompts": long.classes[0].prompts * 6})
    longest = long.model_copy(update={"classes": [largest] * 50})
    kept = longest.for_state()
    assert len(json.dumps(kept)) < 100_000
    assert not kept["classes"][0]["prompts"]
    with pytest.raises(ConfigError, match="4,000 classes"):
        report.model_copy(update={"classes": report.classes * 2_000}).for_state()


@pytest.mark.parametrize(("count", "is_exact"), [(3_000, True), (100_000, False)])
def test_pictures_that_came_and_went_are_counted(count: int, is_exact: bool) -> None:
    ids = [f"{n:06}.jpg" for n in range(count)]
    tested = Extent.of(ids, "")
    assert 0 < tested.count <= 4_000
    assert tested.change(ids).added == tested.change(ids).removed == 0
    new = [f"new/{n}.jpg" for n in range(count // 2)]
    change = tested.change([*ids[count // 10 :], *new])
    assert change.is_exact == is_exact
    room = 0 if is_exact else 0.15  # a sample of 2,000 of the new ones, and of 300 of the old
    assert change.added == pytest.approx(count // 2, rel=room)
    assert change.removed == pytest.approx(count // 10, rel=2 * room)


def test_a_rebuild_with_more_pictures_keeps_the_encoder(
    pictures: Path, built: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    before = evaluate(image_search.open(built, frozenset()), Question(TAXONOMY, ANSWERS))
    write_pictures(pictures)
    Image.new("RGB", (48, 32), (255, 255, 255)).save(pictures / "cold/white.png")
    build(open_folder(pictures), colours, tmp_path / "more")
    after = evaluate(image_search.open(tmp_path / "more", frozenset()), Question(TAXONOMY, ANSWERS))
    assert before.encoder == after.encoder
    assert before.artifact_version != after.artifact_version
    ids = [*write_ids(), "cold/white.png"]
    assert before.tested.change(ids).added == 1
    assert before.tested.ids_sha256 != after.tested.ids_sha256


def write_ids() -> list[str]:
    return [RED, ORANGE, YELLOW, GREEN, BLUE]
