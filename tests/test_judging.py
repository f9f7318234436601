"""Judging: what judges are shown and are not, what becomes of their answers, how far they agree."""

import colorsys
import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import build_folder
from gated import Gated, by_password
from PIL import Image
from sklearn.metrics import cohen_kappa_score

import image_search
from image_search.agreement import agreement, cohen_kappa
from image_search.answers import PREFIX
from image_search.encoder import OnnxEncoder
from image_search.errors import QueryError
from image_search.judgements import Answer, Given, Judgement, Judgements
from image_search.judging import Judging, Saying
from image_search.pool import BY_CHANCE, DEPTH, Pools, in_order
from image_search.search import Searcher
from image_search.state import State
from image_search.taxonomy import Taxonomies, Taxonomy

FILE = """\
name = "Colours"
version = "1"
[[class]]
name = "something red"
about = "Most of it."
prompts = ["red", "red yellow"]
[[class]]
name = "something blue"
prompts = ["blue"]
"""
RED, BLUE = "something red", "something blue"
COUNT = 160


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, colours: OnnxEncoder) -> Path:
    """A collection of more pictures than are judged for a class."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        colour = [round(255 * part) for part in colorsys.hsv_to_rgb(number / COUNT, 1, 1)]
        Image.new("RGB", (8, 8), tuple(colour)).save(folder / f"{number}.png")
    return build_folder(folder, colours, tmp_path_factory.mktemp("out") / "built")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State.open(tmp_path / "state")
    yield state
    state.close()


@pytest.fixture
def judgements(state: State) -> Judgements:
    return Judgements(state)


@pytest.fixture(scope="module")
def house(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    with by_password(image_search.open(many), tmp_path_factory.mktemp("state")) as found:
        with found.client(found.cookie("carl")) as carl:
            answer = carl.put(f"{PREFIX}/taxonomy", content=FILE)
            assert answer.status_code == 200, answer.text
        yield found


def test_a_pool_is_what_the_prompts_bring_and_some_by_chance(many: Path) -> None:
    searcher = image_search.open(many, withdrawn=frozenset())
    red, blue = Taxonomy.parse(FILE).classes
    pool = Pools(searcher).of(Taxonomy.parse(FILE), red)
    nearest = {hit.id for prompt in red.prompts for hit in searcher.search(prompt, k=DEPTH)}
    assert nearest < pool
    assert 0 < len(pool - nearest) <= BY_CHANCE
    other = Taxonomy.parse(FILE.replace("Colours", "Hues"))
    assert Pools(searcher).of(other, red) - nearest != pool - nearest
    # Whatever chance chose for one class, it chose others for another.
    nearest_blue = {hit.id for hit in searcher.search("blue", k=DEPTH)}
    of_blue = Pools(searcher).of(Taxonomy.parse(FILE), blue)
    assert of_blue - nearest_blue - nearest != pool - nearest - nearest_blue


def test_a_pool_is_the_same_after_a_restart_and_withdrawn_pictures_leave_it(many: Path) -> None:
    withdrawn: set[str] = set()
    taxonomy = Taxonomy.parse(FILE)
    red = taxonomy.classes[0]
    pools = Pools(Searcher.open(many, withdrawn))
    before = pools.of(taxonomy, red)
    assert Pools(Searcher.open(many, withdrawn)).of(taxonomy, red) == before
    nearest = {hit.id for p in red.prompts for hit in Searcher.open(many, set()).search(p, k=DEPTH)}
    gone = {min(nearest), min(before - nearest)}
    withdrawn |= gone
    after = pools.of(taxonomy, red)
    assert gone == before - after
    assert 1 <= len(after - before) <= 4  # the next nearest, and the next by chance
    withdrawn.clear()
    assert pools.of(taxonomy, red) == before


def test_a_collection_smaller_than_a_pool_is_judged_as_a_whole(searcher: Searcher) -> None:
    taxonomy = Taxonomy.parse(FILE)
    pool = Pools(searcher).of(taxonomy, taxonomy.classes[1])
    assert len(pool) == 5


def test_a_prompt_that_the_search_refuses_is_named(
    many: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = image_search.open(many, withdrawn=frozenset())

    def refuse(text: str, **_: Any) -> Any:
        raise QueryError("That is not asked here.")

    monkeypatch.setattr(searcher, "search", refuse)
    judging = Judging(searcher, state)
    with pytest.raises(QueryError, match="“red” of “something red”: That is not asked here"):
        judging.use(FILE, "carl")
    assert Taxonomies(state).latest() is None


def test_every_judge_has_an_order_of_their_own(many: Path) -> None:
    taxonomy = Taxonomy.parse(FILE)
    searcher = image_search.open(many, withdrawn=frozenset())
    red, blue = taxonomy.classes
    pool = Pools(searcher).of(taxonomy, red)
    key = bytes(32)
    order = in_order(pool, "Judith", red, key)
    assert order == in_order(sorted(pool), "judith", red, key)
    others = [
        in_order(pool, "carl", red, key),
        in_order(pool, "judith", blue, key),
        in_order(pool, "judith", red, b"\1" * 32),
    ]
    assert all(sorted(other) == sorted(order) and other != order for other in others)
    ranks = {hit.id: hit.rank for hit in searcher.search("red", k=COUNT)}
    shown = [ranks[id] for id in order]
    count = len(shown)
    inversions = sum(a > b for i, a in enumerate(shown) for b in shown[i:]) / (count**2 / 2)
    assert 0.35 < inversions < 0.65  # as by chance: neither along the ranks nor against them


# What judges say


def test_the_last_answer_counts_and_may_be_taken_back(judgements: Judgements) -> None:
    taxonomy = Taxonomy.parse(FILE)

    def say(answer: Answer | None, by: str = "judith", id: str = "1.png", of: str = RED) -> None:
        assert judgements.add(taxonomy, [Given(of, id, answer)], by, "v1")

    say(Answer.YES)
    say(Answer.NO, id="2.png")
    say(Answer.NO, "Carl")
    say(Answer.UNSURE, of=BLUE)
    say(Answer.UNSURE)  # a change of mind, by now the latest
    assert [(one.by, one.class_name, one.id, one.answer) for one in judgements.of(taxonomy)] == [
        ("judith", RED, "2.png", "no"),
        ("carl", RED, "1.png", "no"),
        ("judith", BLUE, "1.png", "unsure"),
        ("judith", RED, "1.png", "unsure"),
    ]
    assert len(judgements.of_judge(taxonomy, "Judith")) == 3
    say(None)
    say(None, id="3.png")  # there was none
    assert [one.id for one in judgements.of(taxonomy)] == ["2.png", "1.png", "1.png"]
    with pytest.raises(QueryError, match="no class “green”"):
        say(Answer.YES, of="green")


def test_what_was_said_already_is_not_written_again(
    judgements: Judgements, state: State, tmp_path: Path
) -> None:
    taxonomy = Taxonomy.parse(FILE)
    sent = [Given(RED, "1.png", Answer.YES), Given(RED, "2.png", Answer.NO)]
    for _ in range(3):
        assert judgements.add(taxonomy, sent, "judith", "v1")
    again = [Given(RED, "1.png", answer) for answer in (Answer.NO, None, None, Answer.YES)]
    assert judgements.add(taxonomy, again, "judith", "v1")
    said = [record.said for record in state.records("judgement")]
    assert [(one["id"], one["answer"]) for one in said] == [
        ("1.png", "yes"),
        ("2.png", "no"),
        ("1.png", "no"),
        ("1.png", None),
        ("1.png", "yes"),
    ]
    assert said[0] == {
        "taxonomy": taxonomy.sha256,
        "class": RED,
        "question": taxonomy.classes[0].question,
        "id": "1.png",
        "answer": "yes",
        "version": "v1",
        "by": "judith",
    }
    reopened = State.open(tmp_path / "state")
    assert Judgements(reopened).of(taxonomy) == judgements.of(taxonomy)
    reopened.close()


def test_correcting_one_class_leaves_what_was_said_of_others(judgements: Judgements) -> None:
    taxonomy = Taxonomy.parse(FILE)
    given = [Given(RED, "1.png", Answer.YES), Given(BLUE, "1.png", Answer.NO)]
    judgements.add(taxonomy, given, "judith", "v1")
    prompts = Taxonomy.parse(FILE.replace('["red",', '["red", "red white",'))
    assert prompts.sha256 != taxonomy.sha256
    assert len(judgements.of(prompts)) == 2
    meant = Taxonomy.parse(FILE.replace("Most of it.", "All of it."))
    assert [one.class_name for one in judgements.of(meant)] == [BLUE]
    renamed = Taxonomy.parse(FILE.replace("something blue", "something azure"))
    assert [one.class_name for one in judgements.of(renamed)] == [RED]
    assert len(judgements.of(taxonomy)) == 2


def test_answers_to_a_taxonomy_that_was_changed_meanwhile_are_kept(
    searcher: Searcher, state: State
) -> None:
    judging = Judging(searcher, state)
    old = judging.use(FILE, "carl").sha256
    new = judging.use(FILE.replace('["blue"]', '["blue", "blue green"]'), "carl").sha256
    assert old != new
    said = [Saying(class_name=BLUE, id="cold/blue.png", answer=Answer.YES)]
    assert judging.keep("judith", old, said).kept
    standing = judging.progress("judith", PREFIX)
    assert [(one.name, one.judged) for one in standing.classes] == [(RED, 0), (BLUE, 1)]
    with pytest.raises(QueryError, match="Load the page again"):
        judging.keep("judith", "0" * 64, said)


# Over HTTP


def page_of(house: Gated, name: str, of: str = RED, k: int = 200) -> dict[str, Any]:
    with house.client(house.cookie(name)) as client:
        answer = client.get(f"{PREFIX}/judging/next", params={"class": of, "k": k})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def standing_of(house: Gated, name: str) -> dict[str, Any]:
    with house.client(house.cookie(name)) as client:
        found: dict[str, Any] = client.get(f"{PREFIX}/judging").json()
        return found


def say(house: Gated, name: str, *said: tuple[str, str, str | None]) -> Any:
    with house.client(house.cookie(name)) as client:
        answers = [{"class_name": c, "id": id, "answer": answer} for c, id, answer in said]
        body = {"taxonomy": Taxonomy.parse(FILE).sha256, "answers": answers}
        return client.post(f"{PREFIX}/judgements", json=body)


def test_who_may_do_what(house: Gated) -> None:
    ask: list[tuple[str, str, dict[str, Any], str]] = [
        ("GET", "/judging", {}, "judge"),
        ("GET", "/judging/next?class=something+red", {}, "judge"),
        ("POST", "/judgements", {"json": {"taxonomy": "x", "answers": []}}, "judge"),
        ("GET", "/judgements/agreement", {}, "curator"),
        ("GET", "/taxonomy", {}, "curator"),
        ("PUT", "/taxonomy", {"content": "nonsense"}, "curator"),
    ]
    order = ["member", "judge", "curator", "operator"]
    for number, name in enumerate(["mary", "judith", "carl", "olga"]):
        with house.client(house.cookie(name)) as client:
            for method, path, how, least in ask:
                status = client.request(method, f"{PREFIX}{path}", **how).status_code
                assert (status != 403) is (number >= order.index(least)), (name, path)
    with house.client() as stranger:
        assert stranger.get(f"{PREFIX}/judging").status_code == 401
    token = {"X-Image-Search-Token": house.token("member")}
    with house.client(token) as program:
        assert program.get(f"{PREFIX}/judging").status_code in (401, 403)


def test_a_judge_is_told_nothing_of_rank_score_prompts_and_others(house: Gated) -> None:
    first, second = page_of(house, "judith"), page_of(house, "olga")
    assert {one["id"] for one in first["pictures"]} == {one["id"] for one in second["pictures"]}
    assert [one["id"] for one in first["pictures"]] != [one["id"] for one in second["pictures"]]
    assert page_of(house, "judith") == first
    picture = first["pictures"][0]
    assert set(picture) == {
        *("id", "title", "width", "height", "thumbnail", "picture", "covered", "notice")
    }
    before = standing_of(house, "judith")
    say(house, "olga", (RED, picture["id"], "yes"), (RED, first["pictures"][1]["id"], "unsure"))
    assert page_of(house, "judith") == first
    assert standing_of(house, "judith") == before
    told = json.dumps([before, first])
    for secret in ("score", "rank", "olga", "red yellow", "unsure", "kappa", "prompts", "carl"):
        assert secret not in told
    with house.client(house.cookie("judith")) as client:
        assert client.get(picture["thumbnail"]).status_code == 200
        assert client.get(picture["picture"]).status_code == 200


def test_a_judge_goes_on_where_they_were(house: Gated) -> None:
    ids = [one["id"] for one in page_of(house, "judith", BLUE)["pictures"]]
    count = len(ids)
    answer = say(house, "judith", *((BLUE, id, "yes") for id in ids[:3]), (BLUE, "none.png", "no"))
    assert answer.json() == {"kept": True, "left_out": ["none.png"]}
    say(house, "judith", (BLUE, ids[1], "no"))
    left = page_of(house, "judith", BLUE, k=2)
    assert left["left"] == count - 3
    assert [one["id"] for one in left["pictures"]] == ids[3:5]
    standing = standing_of(house, "judith")
    blue = next(one for one in standing["classes"] if one["name"] == BLUE)
    assert (blue["judged"], blue["pictures"]) == (3, count)
    latest = [(one["picture"]["id"], one["answer"]) for one in standing["latest"]]
    assert latest == [(ids[1], "no"), (ids[2], "yes"), (ids[0], "yes")]
    say(house, "judith", (BLUE, ids[1], None))
    assert [one["id"] for one in page_of(house, "judith", BLUE, k=2)["pictures"]] == [
        ids[1],
        ids[3],
    ]
    say(house, "judith", (BLUE, ids[0], None), (BLUE, ids[2], None))
    assert page_of(house, "judith", BLUE)["left"] == count


def test_a_withdrawn_picture_is_judged_no_more(house: Gated) -> None:
    first, second, *_ = [one["id"] for one in page_of(house, "carl", RED)["pictures"]]
    say(house, "carl", (RED, first, "yes"))
    with house.client(house.cookie("carl")) as carl:
        asked = {"ids": [first, second], "reason": "a test"}
        assert carl.post(f"{PREFIX}/withdrawals", json=asked).status_code == 200
        try:
            ids = {one["id"] for one in page_of(house, "carl")["pictures"]}
            assert not ids & {first, second}
            assert standing_of(house, "carl")["latest"] == []
            told = say(house, "carl", (RED, second, "yes"))
            assert told.json()["left_out"] == [second]
        finally:
            for id in (first, second):
                carl.delete(f"{PREFIX}/withdrawals/{id}")
    assert standing_of(house, "carl")["latest"][0]["picture"]["id"] == first
    say(house, "carl", (RED, first, None))


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([], 422),
        ([{"class_name": RED, "id": "1.png", "answer": "perhaps"}], 422),
        ([{"class_name": "green", "id": "1.png", "answer": "yes"}], 400),
        ([{"class_name": RED, "id": "1.png"}], 422),
    ],
)
def test_what_is_no_answer_is_refused(house: Gated, answers: list[Any], status: int) -> None:
    body = {"taxonomy": Taxonomy.parse(FILE).sha256, "answers": answers}
    with house.client(house.cookie("judith")) as client:
        assert client.post(f"{PREFIX}/judgements", json=body).status_code == status


def test_a_curator_has_another_file_count_or_is_told_why_not(house: Gated) -> None:
    with house.client(house.cookie("carl")) as carl:
        wrong = carl.put(f"{PREFIX}/taxonomy", content=FILE.replace('["blue"]', "[]"))
        assert wrong.status_code == 400
        assert wrong.json()["detail"].startswith("Line 8: The class “something blue” has no")
        told = carl.get(f"{PREFIX}/taxonomy").json()
        assert (told["text"], told["by"]) == (FILE, "carl")
        assert (
            told["sha256"] == Taxonomy.parse(FILE).sha256 == standing_of(house, "judith")["sha256"]
        )
        unknown = carl.get(f"{PREFIX}/judging/next", params={"class": "green"})
        assert unknown.status_code == 400


def test_curators_see_how_far_judges_agree(house: Gated) -> None:
    ids = [one["id"] for one in page_of(house, "judith")["pictures"]][10:14]
    said = {"judith": "yes yes no no", "carl": "yes no no no"}
    for name, answers in said.items():
        say(house, name, *((RED, id, a) for id, a in zip(ids, answers.split(), strict=True)))
    with house.client(house.cookie("carl")) as carl:
        told = carl.get(f"{PREFIX}/judgements/agreement").json()
    pair = next(one for one in told["pairs"] if one["judges"] == ["carl", "judith"])
    assert pair == {"judges": ["carl", "judith"], "both": 4, "agreed": 0.75, "kappa": 0.5}
    assert told["judged"]["judith"] == {RED: 4}


# Agreement


def test_kappa_is_that_of_scikit_learn() -> None:
    dice = random.Random(8)
    for _ in range(200):
        skill = dice.random()
        truth = dice.choices(["yes", "no", "unsure"], [5, 3, 1], k=dice.randint(2, 40))
        both = [
            (said, said if dice.random() < skill else dice.choice(["yes", "no", "unsure"]))
            for said in truth
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where there is no value, and says nan
            theirs = cohen_kappa_score(*zip(*both, strict=True))
        ours = cohen_kappa(both)
        assert theirs != theirs if ours is None else ours == pytest.approx(theirs)


def test_kappa_where_there_is_little_to_say() -> None:
    assert cohen_kappa([]) is None
    assert cohen_kappa([("yes", "yes")] * 5) is None
    assert cohen_kappa([("yes", "no")]) == 0
    assert cohen_kappa([("yes", "yes"), ("no", "no")]) == 1
    assert cohen_kappa([("yes", "no"), ("no", "yes")]) == -1


def test_agreement_is_of_what_two_have_judged_both() -> None:
    def said(by: str, answers: str) -> list[Judgement]:
        return [
            Judgement(RED, f"{number}.png", Answer(answer), by, "2026")
            for number, answer in enumerate(answers.split())
            if answer != "-"
        ]

    told = agreement(
        [
            *said("a", "yes yes no no yes"),
            *said("b", "yes no no no - yes"),
            *said("c", "- - - - yes yes"),
            Judgement(BLUE, "0.png", Answer.NO, "d", "2026"),
        ]
    )
    assert [(pair.judges, pair.both, pair.agreed) for pair in told.pairs] == [
        (("a", "b"), 4, 0.75),
        (("a", "c"), 1, 1.0),
        (("b", "c"), 1, 1.0),
    ]
    assert [pair.kappa for pair in told.pairs] == [0.5, None, None]
    assert told.kappa == 0.5
    assert agreement([]).kappa is None
