"""Bias probes: a bias that was put in is found, none is found where there is none; the report."""

import json
import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from image_search.bias import answers as asking
from image_search.bias.answers import Answers, ask
from image_search.bias.command import put
from image_search.bias.figures import Compared, Figures, compare
from image_search.bias.page import page
from image_search.bias.probes import NEUTRAL, Probes, read_probes, with_article
from image_search.bias.report import LIMITS, Report, probe, questions
from image_search.bias.sheets import PICTURES, Sheet, sheets
from image_search.cli import app
from image_search.contact_sheet import side_by_side
from image_search.encoder import Vectors, unit
from image_search.errors import CollectionError, ConfigError, ImageSearchError
from image_search.index.exact import ExactIndex
from image_search.index.faiss_index import FaissIndex
from image_search.overlap import rank_biased_overlap
from image_search.search import Searcher

DIM = 64
SMALL = """\
name = "Small"
version = 3
about = "For tests."
[forms]
plain = "a {word} {group}"
[[words]]
name = "bad"
kind = "negative"
form = "plain"
source = "us"
words = ["red", "blue"]
[[words]]
name = "others"
kind = "neutral"
form = "plain"
source = "us"
words = ["green", "yellow", "white", "red green", "green blue", "yellow blue"]
[[groups]]
name = "people"
kind = "people"
anyone = "person"
source = "us"
sets = [["yellow man", "blue woman"]]
[[groups]]
name = "things"
kind = "things"
anyone = "thing"
source = "us"
sets = [["green house", "blue hut"]]
"""


def direction(word: str) -> Vectors:
    """A direction for a word, the same every time."""
    made: Vectors = np.random.default_rng(zlib.crc32(word.encode())).normal(size=DIM)
    return unit(made.astype(np.float32))


class Words:
    """An encoder for which a text is the sum of its words; `planted` are nearer to other words."""

    def __init__(self, planted: dict[str, str] | None = None) -> None:
        self._planted = planted or {}

    def encode_texts(self, texts: list[str]) -> Vectors:
        return unit(np.stack([self._sum(text) for text in texts]))

    def read_part(self, text: str) -> str:
        return text

    def _sum(self, text: str) -> Vectors:
        words = [word for word in text.split() if word not in ("a", "an", "who", "is")]
        parts = [direction(word) for word in words]
        parts += [direction(self._planted[word]) for word in words if word in self._planted]
        return np.sum(parts, axis=0, dtype=np.float32)


def index_of(words: list[str], each: int = 150) -> FaissIndex:
    """Pictures around some words."""
    random = np.random.default_rng(7)
    noise = random.normal(size=(len(words) * each, DIM)) * 0.12
    around = np.repeat([direction(word) for word in words], each, axis=0)
    index = FaissIndex.build(DIM)
    index.add(unit((around + noise).astype(np.float32)))
    return index


@pytest.fixture(scope="module")
def starter() -> Probes:
    """The probes that come along, without the largest sets."""
    probes = read_probes()
    kept = tuple(one for one in probes.groups if one.name in ("gender", "age", "things"))
    return replace(probes, groups=kept)


def compared(probes: Probes, planted: dict[str, str] | None = None) -> dict[str, Compared]:
    pictures = index_of(["man", "woman", "young", "old", "person", "house", "building", "ship"])
    answers = ask(questions(probes), Words(planted), pictures)  # type: ignore[arg-type]
    return {one.name: one for one in compare(probes, answers)}


def word(found: Compared, named: str) -> Figures:
    [one] = [one for one in found.words if one.word == named]
    return one


@pytest.fixture(scope="module")
def fair(starter: Probes) -> dict[str, Compared]:
    return compared(starter)


@pytest.fixture(scope="module")
def biased(starter: Probes) -> dict[str, Compared]:
    return compared(starter, {"dangerous": "woman", "leader": "man", "honest": "old"})


def test_without_a_bias_the_figures_stay_within_what_neutral_words_do(
    fair: dict[str, Compared],
) -> None:
    for one in fair.values():
        for count in (one.overlaps, one.skews):
            assert count.figures >= 17
            # Were charged words like neutral ones, more would come about once in 1,000 times.
            assert count.beyond <= count.by_chance + 3.3 * count.by_chance**0.5
        assert abs(one.charged_overlap - one.neutral_overlap) < 0.1


def test_a_bias_that_was_planted_is_found(
    fair: dict[str, Compared], biased: dict[str, Compared]
) -> None:
    planted = [("gender", "dangerous", -1), ("gender", "leader", 1), ("age", "honest", -1)]
    for name, named, sign in planted:
        [skew] = word(biased[name], named).skews
        assert skew.is_beyond
        assert skew.z is not None
        assert skew.interval is not None
        assert skew.z * sign > 3  # towards the group that it was planted for
        low, high = skew.interval
        assert low <= skew.z <= high
        assert low > skew.neutral.greatest or high < skew.neutral.least
        [before] = word(fair[name], named).skews
        assert before.z is not None
        assert abs(before.z) < 2.5
    # It is the furthest of all words, and the first that is shown.
    furthest = max(biased["gender"].words, key=lambda one: abs(one.skews[0].z or 0))
    assert furthest.word in ("dangerous", "leader")
    # Words that nothing was planted in are as they were: also of people, and of things.
    assert word(biased["gender"], "lazy") == word(fair["gender"], "lazy")
    assert word(biased["age"], "lazy") == word(fair["age"], "lazy")


def test_a_word_that_parts_the_lists_is_below_the_neutral_overlap() -> None:
    # Where neutral words bring the same pictures for both groups, and one word does not.
    probes = read_probes()
    gender = replace(probes.groups[0], forms=("attribute",))
    index = index_of(["standing", "man", "woman"], each=60)

    class Parting(Words):
        def _sum(self, text: str) -> Vectors:
            if "savage" in text:
                return direction("man" if "woman" in text else "woman")
            return direction("standing") + 0.05 * super()._sum(text)

    probes = replace(probes, groups=(gender,))
    [one] = compare(probes, ask(questions(probes), Parting(), index))  # type: ignore[arg-type]
    savage = word(one, "savage")
    assert savage.overlap == 0
    assert savage.pairs[0].is_below
    assert savage.neutral.least > 0.1
    assert one.overlaps.figures == 17
    assert 1 <= one.overlaps.beyond <= 4


def test_lists_are_exact_in_order_and_the_same_every_time() -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(5000, DIM)).astype(np.float32))
    vectors[4000:4010] = vectors[3]  # the same picture eleven times
    index = FaissIndex.build(DIM)
    index.add(vectors)
    held = index.vectors(0, 5000)
    texts = ["man", "old woman", "tree"]
    answers = ask(texts, Words(), index, {7, 4003})  # type: ignore[arg-type]
    queries = Words().encode_texts(texts)
    for text, query in zip(texts, queries, strict=True):
        rows, scores = ExactIndex(held).search(query, asking.DEPTH, {7, 4003})
        assert answers.scores[text] == pytest.approx(scores.tolist(), abs=2e-6)
        assert set(answers.rows[text]) == set(rows.tolist())
    # Ties are in the order of the rows, and no hidden one is among them.
    copies = ask(["tree"], Same(held[3]), index, {7, 4003}).rows["tree"][:10]  # type: ignore[arg-type]
    assert copies == [3, 4000, 4001, 4002, 4004, 4005, 4006, 4007, 4008, 4009]


class Same(Words):
    """An encoder for which every text is one vector."""

    def __init__(self, vector: Vectors) -> None:
        self._vector = unit(vector)

    def encode_texts(self, texts: list[str]) -> Vectors:
        return np.stack([self._vector] * len(texts))


class Told:
    """What progress was told of."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.steps: dict[str, int] = {}

    def begin(self, what: str, steps: int) -> "Told":
        self.steps[what] = steps
        self.done[what] = 0
        return self

    def update(self, n: int) -> None:
        self.done[next(reversed(self.done))] += n


def test_blocks_change_nothing_and_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(["man", "woman", "tree"], each=33)
    told = Told()
    whole = ask(["man", "a tree"], Words(), index, {5}, told.begin)  # type: ignore[arg-type]
    assert told.done == told.steps
    assert list(told.steps.values()) == [2, 99]
    monkeypatch.setattr(asking, "BLOCK", 7)
    assert ask(["man", "a tree"], Words(), index, {5}).rows == whole.rows  # type: ignore[arg-type]


@pytest.mark.parametrize("pictures", [1, 2, 5, 30])
def test_a_handful_of_pictures_is_enough_not_to_fail(pictures: int, tmp_path: Path) -> None:
    index = index_of([f"word{n}" for n in range(pictures)], each=1)
    probes = small(tmp_path)
    answers: Answers = ask(questions(probes), Words(), index)  # type: ignore[arg-type]
    for one in compare(probes, answers):
        assert all(0 <= figures.overlap <= 1 for figures in one.words)
        if pictures < 20:  # fewer than FEWEST for a group
            assert all(skew.interval is None for figures in one.words for skew in figures.skews)


def test_words_that_a_model_does_not_tell_apart_have_no_skew(tmp_path: Path) -> None:
    probes = small(tmp_path)
    index = index_of(["man", "woman"])
    answers = ask(questions(probes), Same(direction("man")), index)  # type: ignore[arg-type]
    for one in compare(probes, answers):
        for figures in one.words:
            assert figures.overlap == pytest.approx(1)
            assert [(s.z, s.interval, s.is_beyond) for s in figures.skews] == [(None, None, False)]


# The file of probes.


def small(folder: Path, text: str = SMALL) -> Probes:
    path = folder / "probes.toml"
    path.write_text(text, encoding="utf-8")
    return read_probes(path)


def test_the_probes_that_come_along() -> None:
    probes = read_probes()
    assert {one.kind for one in probes.words} == {"negative", "positive", "occupation", "neutral"}
    assert {one.kind for one in probes.groups} == {"people", "things", "paraphrases"}
    people = [one for one in probes.groups if one.kind == "people"]
    assert {one.name for one in people} == {"gender", "origin", "religion", "age"}
    for one in (*probes.words, *probes.groups):
        assert len(one.source) > 20
    for form in probes.forms:
        assert len(list(probes.of_form(form, neutral=True))) == 20
    asked = questions(probes)
    assert len(asked) == len(set(asked)) < 3000
    assert {"a dangerous man", "an African person who is a thief", "an old house"} & {*asked} == {
        "a dangerous man",
        "an African person who is a thief",
    }
    assert not [text for text in asked if re.search(r"(?i)\ba [aio]|\ban [^aeiouh]", text)]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("a intelligent man", "an intelligent man"),
        ("a European person who is a onlooker", "a European person who is an onlooker"),
        ("a honest a usual A old man", "an honest a usual An old man"),
        ("a Indigenous person", "an Indigenous person"),
        ("a house, a unit, a uncle", "a house, a unit, an uncle"),
    ],
)
def test_an_before_a_vowel(text: str, right: str) -> None:
    assert with_article(text) == right


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version = 3", "version = 0", "line 2: version is “0”"),
        ("version = 3", "version = true", "line 2: version is “True”"),
        ("version = 3\n", "", "version is missing"),
        ('about = "For tests."', "about = 7", "line 3: about is “7”"),
        ("a {word} {group}", "a {word}", "line 5: plain is “a {word}”"),
        ('kind = "negative"', 'kind = "nasty"', "line 8: kind is “nasty”; wanted is one of neg"),
        ('form = "plain"', 'form = "plian"', "line 9: form is “plian”; wanted is one of plain"),
        ('source = "us"', 'source = ""', "line 10: source is “”"),
        ('["red", "blue"]', "[]", "line 11: words is “[]”"),
        ('["red", "blue"]', '["red", "red"]', "line 11: words is “red”; wanted is each only once"),
        ('["red", "blue"]', '["red", 4]', "line 11: words is “4”"),
        ('["red", "blue"]', f'["{"x" * 200}"]', "line 11: words is “xxx"),
        ('["red", "blue"]', '["red", "white"]', "line 17: words is “white”"),
        ("blue woman", "yellow man", "line 23: sets is “yellow man”; wanted is each only once"),
        ('[["green house", "blue hut"]]', '[["hut"]]', "line 29: sets is “['hut']”"),
        ('anyone = "thing"', 'anyone = "thing"\ncolour = 1', "line 28: “colour” means nothing"),
        ('name = "things"', 'name = "people"', "line 25: name is “people”"),
        ('kind = "people"', 'kind = "things"', "has no groups of people"),
        ('kind = "negative"', 'kind = "neutral"', "has no charged words"),
        (', "red green", "green blue"', "", "line 7: the words “bad” have the form plain"),
        ("[[words]]", "[[words]", "is not TOML: .*line 6"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_line_and_value(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    assert NEUTRAL == 5
    with pytest.raises(ConfigError) as raised:
        small(tmp_path, SMALL.replace(old, new, 1))
    assert re.search(re.sub(r"([\[\](){}])", r"\\\1", told), str(raised.value)), raised.value
    assert "probes.toml" in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        read_probes(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_bytes(b'name = "x"\nabout = "\xff"\n')
    with pytest.raises(ConfigError, match="line 2: this is not UTF-8"):
        read_probes(tmp_path / "odd.toml")


# The report.

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def made(
    searcher: Searcher, tmp_path: Path
) -> tuple[Report, Probes, list[tuple[str, Sheet]], Answers]:
    probes = small(tmp_path)
    report, answers = probe(searcher, probes, now=NOW)
    return report, probes, list(sheets(searcher, probes, answers, report.compared, 1)), answers


class Reader(HTMLParser):
    """What an HTML file holds: its tags in balance, the text, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "img", "line", "rect", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


def test_the_report_says_what_was_asked_and_what_it_cannot_say(made: Any) -> None:
    report, probes, drawn, _ = made
    data = json.loads(json.dumps(report.to_dict()))
    assert data["collection"]["pictures"] == 5
    assert data["probes"]["sha256"] == probes.sha256
    assert data["method"]["depth"] == 5
    assert [one["name"] for one in data["compared"]] == ["people", "things"]
    assert len(data["limits"]) == len(LIMITS) == 8
    reader = read(page(report, probes, drawn))
    said = " ".join(" ".join(reader.said).split())
    for head, text in LIMITS:
        assert head in said
        assert text in said
    assert "blue woman" in said
    assert "There are only 5 pictures" in said
    assert not re.search(r"pass(ed)?\b|fail|✓|✔|green tick|unbiased", said.replace("passing", ""))
    # It needs nothing beside it.
    assert reader.fetched
    assert all(address.startswith("data:image/webp;base64,") for address in reader.fetched)


def test_the_figures_are_those_of_everyday_searches(searcher: Searcher, made: Any) -> None:
    report, probes, _, _ = made
    [people] = report.people

    def found(text: str) -> dict[str, float]:
        return {hit.id: hit.score or 0.0 for hit in searcher.search(text, k=5)}

    # Of five pictures the nearest one stands for a group.
    man, woman = (next(iter(found(f"a {group}"))) for group in ("yellow man", "blue woman"))
    assert people.shared == (man == woman)
    near = {w: found(f"a {w} person") for _, w in probes.of_form("plain", neutral=True)}
    mean = float(np.mean([scores[man] - scores[woman] for scores in near.values()]))
    assert sum(one.skews[0].excess for one in people.neutral_words) == pytest.approx(0, abs=1e-5)
    for figures in people.words:
        scores = found(f"a {figures.word} person")
        [skew] = figures.skews
        assert skew.excess == pytest.approx(scores[man] - scores[woman] - mean, abs=2e-3)
        lists = [list(found(f"a {figures.word} {group}")) for group in people.sets[0]]
        assert figures.overlap == pytest.approx(rank_biased_overlap(*lists), abs=1e-4)


def test_the_sheets_are_of_the_furthest_words(made: Any) -> None:
    report, _, drawn, _ = made
    furthest = max(report.people[0].words, key=lambda one: abs(one.skews[0].z))
    assert f"“{furthest.word}”" in drawn[-1][1].title


def test_a_sheet_shows_each_group_and_anyone(made: Any) -> None:
    _, _, drawn, answers = made
    names = [name for name, _ in drawn]
    assert names == ["people"] * 3
    alone, neutral, furthest = (sheet for _, sheet in drawn)
    assert [asked for asked, _ in alone.lists] == ["a yellow man", "a blue woman"]
    assert len(neutral.lists) == len(furthest.lists) == 3
    assert furthest.lists[0][0].endswith(" person")
    for sheet in (alone, neutral, furthest):
        assert sheet.picture[8:12] == b"WEBP"
        for asked, hits in sheet.lists:
            assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
            assert [hit.score for hit in hits] == answers.scores[asked]
            assert len(hits) <= PICTURES


def test_groups_of_which_no_charged_word_is_said(searcher: Searcher, tmp_path: Path) -> None:
    other = 'plain = "a {word} {group}"\nlist = "{group}: {word}"'
    text = SMALL.replace('plain = "a {word} {group}"', other)
    text = text.replace('anyone = "person"', 'anyone = "person"\nforms = ["list"]')
    probes = small(tmp_path, text)
    report, answers = probe(searcher, probes)
    assert report.people[0].words == []
    drawn = list(sheets(searcher, probes, answers, report.compared, 3))
    assert len(drawn) == 1  # the groups alone
    assert "No words were asked" in page(report, probes, drawn)


def test_text_of_others_is_harmless(searcher: Searcher, tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    probes = small(tmp_path, SMALL.replace("blue woman", bad).replace('"us"', f'"{bad}"'))
    report, answers = probe(searcher, probes)
    report.collection["name"] = bad
    drawn = list(sheets(searcher, probes, answers, report.compared, 2))
    html = page(report, probes, drawn)
    assert "<script" not in html
    assert bad in " ".join(read(html).said)
    assert all(re.fullmatch(r"sheets/[\w-]+\.webp", sheet.file) for _, sheet in drawn)


def test_withdrawn_pictures_are_not_shown(searcher: Searcher, tmp_path: Path) -> None:
    probes = small(tmp_path)
    opened = Searcher.open(searcher.artifact.path, withdrawn={"warm/red.png", "gone.png"})
    report, answers = probe(opened, probes)
    assert report.collection["pictures"] == 4
    assert report.collection["withdrawn"] == 1
    row = searcher.row("warm/red.png")
    assert all(row not in rows and len(rows) == 4 for rows in answers.rows.values())
    everything = {one.id for one in searcher.overview()}
    with pytest.raises(CollectionError, match="nothing to probe"):
        probe(Searcher.open(searcher.artifact.path, withdrawn=everything), probes)


def test_a_question_that_is_not_read_to_the_end_is_named(
    searcher: Searcher, tmp_path: Path
) -> None:
    probes = small(tmp_path, SMALL.replace('"red", "blue"', f'"red", "{"blue " * 12}"'))
    report, _ = probe(searcher, probes)
    assert any("does not read all of 6 questions" in note for note in report.notes)


def test_lists_stand_below_one_another(searcher: Searcher) -> None:
    red = searcher.search("red", k=3).hits
    both = side_by_side("red", [("red", red), ("no", []), ("blue", red[:1])], searcher.thumbnail)
    one = side_by_side("red", [("red", red)], searcher.thumbnail)
    assert both.width == one.width == 3 * 128 + 2 * 16 + 2 * 32
    assert both.height > one.height + 100
    colours = {colour for _, colour in both.getcolors(1 << 24) or []}
    assert any(r > 240 and g < 20 for r, g, _ in colours)


# The command.


@pytest.fixture
def probes_file(tmp_path: Path) -> Path:
    path = tmp_path / "probes.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def test_the_command_writes_the_report(built: Path, probes_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    command = ["bias", "-a", str(built), "--out", str(out), "--probes", str(probes_file)]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    assert ran.exit_code == 0
    assert "by chance" in ran.stdout
    assert str(out / "report.html") in ran.stdout
    first = (out / "report.json").read_bytes()
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(list((out / "sheets").iterdir())) == 4
    # Again, with other sheets: the same figures, and the former report is replaced.
    ran = CliRunner().invoke(app, [*command, "--sheets", "0", "--json"], catch_exceptions=False)
    second = json.loads((out / "report.json").read_bytes())
    assert json.loads(ran.stdout) == second
    assert {**second, "created": ""} == {**json.loads(first), "created": ""}
    assert len(list((out / "sheets").iterdir())) == 2
    assert not out.with_name("report.partial").exists()


def test_nothing_else_is_written_over(built: Path, probes_file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for out in (tmp_path / "mine", probes_file):
        command = ["bias", "-a", str(built), "--out", str(out), "--probes", str(probes_file)]
        ran = CliRunner().invoke(app, command)
        assert isinstance(ran.exception, ConfigError)
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "thesis.txt").write_text("years")
    with pytest.raises(ImageSearchError, match=r"thesis\.txt"):
        put(tmp_path / "new", {"report.json": b""})
    assert (tmp_path / "mine" / "thesis.txt").exists()
    assert (tmp_path / "new.partial" / "thesis.txt").exists()
