"""The policy: what its phrases match, what its file may say, and that nothing gets round it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated import environment
from PIL import Image

from image_search.encoder import Vectors
from image_search.errors import ConfigError, PolicyError
from image_search.nearness import Nearness
from image_search.policy import Policy
from image_search.search import Searcher
from image_search.wording import split

HEAD = 'reason = "Why."\nsource = { title = "Here", address = "https://example.org/why" }\n'


def rule(name: str, tier: str = "refuse", **said: Any) -> str:
    lines = "".join(f"{key} = {value!r}\n" for key, value in said.items())
    return f'[[rule]]\nname = "{name}"\ntier = "{tier}"\n{HEAD}{lines}'


def met(text: str, *phrases: str, more: str = "", **said: Any) -> bool:
    policy = Policy.parse(more + rule("one", phrases=list(phrases), **said))
    return bool(policy.met_by([text]))


@pytest.fixture(scope="module")
def starter() -> Policy:
    return Policy.open()


SPELLINGS = [
    "facial recognition",
    "FACIAL RECOGNITION!",
    "fáciàl recognítion",
    "facial-recognition",
    "faсial reсоgnition",  # Cyrillic letters
    "ｆａｃｉａｌ recognition",  # noqa: RUF100
    "f4cial rec0gnition",
    "facial recogntion",
    "facial recog nition",
    "f a c i a l recognition",
    "facial re\u200bcognition",
    "a guide to facial recognitions",
    "facial'recognition",
    "fac\ufffdial recog\u0345nition",
    "facial㐀recognition",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_however_it_is_written(text: str) -> None:
    assert met(text, "facial recognition")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("colours of the harbour", "color of the harbor"),
        ("recognising", "recognize"),
        ("paedophiles", "pedophile"),
        ("who's that woman", "who is that woman"),
        ("identifies strangers", "identify stranger"),
    ],
)
def test_spelling_and_inflection_make_no_difference(text: str, phrase: str) -> None:
    assert met(text, phrase)


def test_other_words_are_no_misspellings() -> None:
    assert not met("naive art", "native art")
    assert not met("map of Niger", "nigger")
    assert met("map of Nigger", "nigger")
    assert not met("Traker", "tracker", more='as-they-are = ["traker"]\n')
    assert met("Traker", "tracker")


def test_the_notation() -> None:
    assert met("who is this woman", "who is (this|that) (man|woman)")
    assert not met("who is she", "who is (this|that) (man|woman)")
    assert met("who is man", "who is the? man")
    assert met("find out a stranger's real name", "find ... name")
    assert not met("find one two three four five name", "find ... name")
    words = '[words]\nperson = ["man", "old woman"]\n'
    assert met("watch the old woman", "watch the {person}", more=words)
    assert met("a child, naked", "naked & child")
    assert not met("a naked man", "naked & child")
    assert met("two indians", "=indians")
    assert not met("an indian elephant", "=indians")
    assert met("the (bad (old|young)) thief".replace("(", ""), "(bad (old|young)|good)")


def test_what_is_free_is_taken_out_first() -> None:
    assert not met("the face of a clock", "face", unless=["face of a clock"])
    assert met("a face beside the face of a clock", "face", unless=["face of a clock"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (rule("one", phrases=["a"]) + rule("one", phrases=["b"]), "rule “one” .* twice"),
        (rule("one", phrases=["a (b"]), r"rule “one” \(line 6\), “a \(b”: .*not closed"),
        (rule("one", phrases=["{whom}"]), r"line 6.*there is no {whom}"),
        (rule("one", phrases=["a &"]), "nothing beside an &"),
        (rule("one", tier="forbid", phrases=["a"]), r"rule “one” \(line 2\), tier: .*'note'"),
        (rule("one"), r"rule “one” \(line 2\): it needs phrases"),
        (rule("one", pictures=["a face"]), "nobody is refused for a picture alone"),
        (rule("one", phrase=["a"]), r"rule “one” \(line 2\), phrase: "),
        ('[[rule]]\nname = "one\n', "line 2"),
    ],
)
def test_mistakes_are_told_with_rule_and_line(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Policy.parse(text)


def test_a_policy_that_cannot_be_used_ends_the_start(searcher: Searcher, tmp_path: Path) -> None:
    own = tmp_path / "policy.toml"
    own.write_text(rule("one", phrases=["(a"]))
    with environment(IMAGE_SEARCH_POLICY=str(own)), pytest.raises(ConfigError, match="line 6"):
        Searcher.open(searcher.artifact.path)
    with (
        environment(IMAGE_SEARCH_POLICY=str(tmp_path / "none.toml")),
        pytest.raises(ConfigError, match=r"none\.toml cannot be read"),
    ):
        Searcher.open(searcher.artifact.path)


def test_a_policy_of_ones_own_takes_the_starters_place(searcher: Searcher, tmp_path: Path) -> None:
    own = tmp_path / "policy.toml"
    own.write_text(rule("no-red", phrases=["red"]))
    with environment(IMAGE_SEARCH_POLICY=str(own)):
        changed = Searcher.open(searcher.artifact.path)
        assert changed.search("facial recognition", k=1)
        with pytest.raises(PolicyError) as refused:
            changed.search("a red thing")
    assert (refused.value.rule, refused.value.tier) == ("no-red", "refuse")
    assert "https://example.org/why" in str(refused.value)


# The starter policy


MEANT = {
    "identify": ["who is this man", "find out her real name", "identify the people in this photo"],
    "recognise-faces": ["facial recognition", "match this face to other pictures"],
    "surveil": ["track a person's movements", "spy on my neighbour", "hidden camera"],
    "infer-traits": ["people who look like criminals", "does he look gay", "a typical Jewish nose"],
    "minors": ["naked children", "erotic pictures of schoolgirls"],
    "slurs": ["a redskin on a horse"],
    "charged": ["savage indians", "primitive African tribe"],
    "sexual": ["sexy nurse"],
    "gore": ["mutilated bodies"],
    "groups": ["Chinese woman with a fan"],
    "enslavement": ["enslaved people on a plantation"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, some in MEANT.items() for t in some])
def test_what_the_rules_mean(starter: Policy, name: str, text: str) -> None:
    assert name in [one.name for one in starter.met_by([text])]


FREE = """portrait of an unknown man; portrait of King Charles; Venus bathing; a reclining nude
boys bathing in a river; the infant Jesus, naked; execution of Marie Antoinette
Judith with the head of Holofernes; Salome; martyrdom of Saint Sebastian; police officers in London
a prison; a prisoner in his cell; railway tracks; dog tracking a hare; a watchman; the night watch
a crowd in a street; people watching a parade; the face of a clock; north face of the Eiger
a name plate; the thief on the cross; a garden spade; a bundle of faggots; woman carrying faggots
great tit on a branch; Sussex; blood oranges; wild horses; primitive tools; savage beasts
Jewish cemetery; Chinese vase; Indian elephant; map of Niger; a spyglass; camera obscura"""


def test_ordinary_history_is_free(starter: Policy) -> None:
    for text in FREE.replace("\n", "; ").split("; "):
        assert starter.met_by([text]) == [], text


def test_a_rule_of_the_starter_has_all_it_needs(starter: Policy) -> None:
    assert {one.name for one in starter.rules if one.tier == "refuse"} == set(list(MEANT)[:5])
    for one in starter.rules:
        assert one.reason.endswith(".")
        assert one.phrases or one.pictures


# Questions

DETOURS = [
    "who is this man",
    '"who is" +"this man"',
    'a harbour -"who is this man"',
    "0.1:who +is +this +man",
    "a harbour OR who is this man",
    "who is OR this man",
    'a boat OR "who is" +this +man',
]


@pytest.mark.parametrize("text", DETOURS)
def test_signs_and_quotes_are_no_way_round(searcher: Searcher, text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        searcher.search(text)
    assert refused.value.rule == "identify"


@pytest.mark.parametrize("text", ["facial -fog +recognition", "facial OR cat +recognition"])
def test_every_way_to_choose_is_a_question(searcher: Searcher, text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        searcher.search(text)
    assert refused.value.rule == "recognise-faces"


def test_words_of_titles_are_looked_at_too(searcher: Searcher) -> None:
    for asked in (
        {"contains": "facial recognition"},
        {"text": "facial", "contains": "recognition"},
    ):
        with pytest.raises(PolicyError):
            searcher.search(**asked)  # type: ignore[arg-type]


def test_known_pictures_are_not_looked_at(searcher: Searcher) -> None:
    assert searcher.search(like="warm/red.png").notices == []


def test_a_warning_can_be_acknowledged_and_a_refusal_cannot(searcher: Searcher) -> None:
    with pytest.raises(PolicyError) as warned:
        searcher.search("savage indians")
    assert (warned.value.rule, warned.value.tier) == ("charged", "warn")
    assert "acknowledged=charged" in str(warned.value)
    results = searcher.search("savage indians", acknowledged="charged")
    assert results.acknowledged == ("charged",)
    with pytest.raises(PolicyError):
        searcher.search("savage indians, mutilated", acknowledged=["charged"])
    assert searcher.search("savage indians, mutilated", acknowledged=["charged", "gore"])
    with pytest.raises(PolicyError, match="does not find out"):
        searcher.search("who is this man", acknowledged=["identify"])


def test_the_graver_rule_is_told_first(searcher: Searcher) -> None:
    with pytest.raises(PolicyError) as refused:
        searcher.search("savage indians, and who is this man")
    assert refused.value.tier == "refuse"


def test_a_note_stands_above_the_pictures(searcher: Searcher) -> None:
    [said] = [n for n in searcher.search("a Chinese woman").notices if "peoples and creeds" in n]
    assert said


# Nearness


class Pointing:
    """An encoder whose vectors a test chooses: a text's first number says where it points."""

    asked = 0

    def encode_texts(self, texts: list[str]) -> Vectors:
        self.asked += 1
        angles = [float(text) if split(text)[0].isdigit() else 90.0 for text in texts]
        radians = np.deg2rad(np.array(angles, np.float32))
        return np.stack([np.cos(radians), np.sin(radians)], axis=1)


class Rows:
    """An index of pictures at some angles."""

    def __init__(self, *angles: float) -> None:
        self._angles = angles

    def __len__(self) -> int:
        return len(self._angles)

    def vector(self, row: int) -> Vectors:
        return at(self._angles[row])


def at(angle: float) -> Vectors:
    return np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))], np.float32)


def nearness(folder: Path, said: str, *pictures: float) -> Nearness:
    policy = Policy.parse(said)
    encoder: Any = Pointing()
    index: Any = Rows(*pictures)
    return Nearness(policy, encoder, index, folder / "kept.npz")


def test_nearness_counts_only_beyond_every_ordinary_text(tmp_path: Path) -> None:
    # All ordinary texts point to 90°; the rule's example to 0°, what it does not mean to 20°.
    near = nearness(tmp_path, rule("one", examples=["0"], ordinary=["20"]))
    assert [one.name for one in near.met_by_words(at(5))] == ["one"]
    assert not near.met_by_words(at(12))  # nearer to what is not meant
    assert not near.met_by_words(at(85))
    close = nearness(tmp_path / "close", rule("one", examples=["89"]))
    assert not close.met_by_words(at(85))


def test_a_picture_counts_only_beyond_every_picture_of_the_collection(tmp_path: Path) -> None:
    said = rule("face", tier="note", pictures=["0"])
    assert nearness(tmp_path, said, 60.0, 80.0).met_by_picture(at(20))
    assert not nearness(tmp_path, said, 10.0, 80.0).met_by_picture(at(12))


def test_vectors_are_kept_and_made_anew_for_another_encoder(tmp_path: Path) -> None:
    said = rule("one", examples=["0"])
    first = nearness(tmp_path, said)
    first.prepare()
    again = nearness(tmp_path, said)
    again.met_by_words(at(5))
    assert again._encoder.asked == 1  # to see whether it is the same
    other = nearness(tmp_path, said)
    other._encoder.encode_texts = lambda texts: np.tile(at(3), (len(texts), 1))  # type: ignore[method-assign]
    assert not other.met_by_words(at(5))  # all is the same to it
    (tmp_path / "kept.npz").write_bytes(b"no such file")
    assert nearness(tmp_path, said).met_by_words(at(5))


def test_a_visitors_picture_is_looked_at(searcher: Searcher, tmp_path: Path) -> None:
    own = tmp_path / "policy.toml"
    # No picture of the collection is as white as this; what the encoder makes of the words is.
    own.write_text(rule("white", tier="warn", pictures=["white"]))
    with environment(IMAGE_SEARCH_POLICY=str(own), IMAGE_SEARCH_CACHE=str(tmp_path)):
        changed = Searcher.open(searcher.artifact.path)
        with pytest.raises(PolicyError):
            changed.search(image=Image.new("RGB", (9, 9), "white"))
        assert changed.search(image=Image.new("RGB", (9, 9), "red"))


def test_a_value_of_a_field_may_be_the_rest_of_a_question(searcher: Searcher) -> None:
    with pytest.raises(PolicyError) as refused:
        searcher.search("naked", where=["keywords:child"])
    assert refused.value.rule == "minors"


@pytest.mark.parametrize("damage", ["cut", "nothing", "zeros", "texts"])
def test_damaged_vectors_are_made_anew(tmp_path: Path, damage: str) -> None:
    nearness(tmp_path, rule("one", examples=["0"])).prepare()
    [kept] = tmp_path.rglob("*.npz")
    with np.load(kept) as known:
        texts, vectors = str(known["texts"]), known["vectors"]
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-40])
    if damage == "nothing":
        kept.write_bytes(b"")
    if damage == "zeros":
        np.savez(kept, texts=texts, vectors=np.vstack([vectors[:1], 0 * vectors[1:]]))
    if damage == "texts":
        np.savez(kept, texts=texts, vectors=vectors.astype(str))
    again = nearness(tmp_path, rule("one", examples=["0"]))
    again.prepare()
    with np.load(kept) as known:
        assert np.allclose(known["vectors"], vectors)
