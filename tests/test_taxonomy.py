"""Taxonomies: what a file may hold, what it is told where it is wrong, and which one counts."""

import json
from pathlib import Path

import pytest
from gated import environment
from typer.testing import CliRunner

from image_search.cli import app
from image_search.errors import QueryError
from image_search.state import State
from image_search.state_memory import LONGEST as LONGEST_RECORD
from image_search.taxonomy import LONGEST, MOST_CLASSES, MOST_PROMPTS, Class, Taxonomies, Taxonomy

FILE = """\
# For the keeper alone.
name = "What our readers look for"
version = "1"
about = "From their letters."

[[class]]
name = "something red"
about = "Red is what most would call so."
prompts = ["red", "red OR yellow"]

[[class]]
name = "something blue"
prompts = [
    "blue",
    "blue white",
]
"""


def test_a_file_is_read() -> None:
    taxonomy = Taxonomy.parse(FILE)
    assert (taxonomy.name, taxonomy.version) == ("What our readers look for", "1")
    assert taxonomy.about == "From their letters."
    assert taxonomy.classes == (
        Class("something red", ("red", "red OR yellow"), "Red is what most would call so."),
        Class("something blue", ("blue", "blue white")),
    )
    assert taxonomy.text == FILE
    assert taxonomy.named("something blue") is taxonomy.classes[1]
    with pytest.raises(QueryError, match="no class “green”"):
        taxonomy.named("green")


def test_its_hash_is_of_what_decides_the_test() -> None:
    hash = Taxonomy.parse(FILE).sha256
    same = FILE.replace("# For the keeper alone.", "# And others.").replace("letters", "notes")
    assert Taxonomy.parse(same.replace("\n", "\r\n")).sha256 == hash
    assert Taxonomy.parse(f"\ufeff{FILE}".replace('version = "1"', "version = 1")).sha256 == hash
    for before, after in [
        ('version = "1"', 'version = "2"'),
        ("“”", "“”"),
        ("What our", "What their"),
        ("something blue", "something green"),
        ("what most", "what few"),
        ('"blue white"', '"white blue"'),
    ]:
        changed = FILE.replace(before, after)
        assert (Taxonomy.parse(changed).sha256 == hash) is (changed == FILE)


def test_a_class_is_asked_by_its_name_and_what_is_said_of_it() -> None:
    red, blue = Taxonomy.parse(FILE).classes
    assert red.question != blue.question
    assert Class(red.name, ("scarlet",), red.about).question == red.question
    assert Class(red.name, red.prompts, "Or pink.").question != red.question


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('name = "What our readers look for"', "", "The name of the file is missing"),
        ('version = "1"', "", "The version of the file is missing"),
        ('version = "1"', "version = 1.10", r"Line 3: The version of the file is 1\.1; write it"),
        ("[[class]]", "[class]", "Line 11, column 7: This cannot be read .Cannot declare"),
        ('name = "something red"', "", "Line 6: The name of class 1 is missing"),
        ("something red", " ", "Line 7: The name of class 1 is empty"),
        ("something blue", "Something Red", "Line 12: There are two classes “Something Red”"),
        ('"red", "red OR', '"blue", "red OR', "Line 14: The prompt “blue” stands in “something re"),
        ('"blue white"', '"Blue"', "Line 15: The prompt “Blue” stands twice in “something blue”"),
        ('["red", "red OR yellow"]', "[]", "Line 7: The class “something red” has no prompts"),
        ('["red", "red OR yellow"]', '"red"', "Line 7: The class “something red” has no prompts"),
        ('"blue white"', "3", "Line 11: The prompt of “something blue” of class 2 is 3; write it"),
        ('"blue white"', '"like:a.png"', "Line 15: The prompt “like:a.png” .* names a picture"),
        ('"blue white"', "'\"blue'", "Line 15: The prompt “\"blue” of “something blue”: "),
        ('"blue white"', f'"{"x" * 201}"', "Line 15: .* has 201 characters; it may have 200"),
        ("something blue", "x" * 101, "Line 12: The name of class 2 has 101 characters"),
        ("Red is", "x" * 501, "Line 8: The about of class 1 has"),
        ("prompts = [\n", 'colour = "blue"\nprompts = [\n', "Line 13: “colour” means nothing here"),
        ("about = \"From", "notes = \"From", "Line 4: “notes” means nothing here"),
        ('"blue white"', '"blue', "Line 15, column .*: This cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(before: str, after: str, told: str) -> None:
    assert before in FILE
    with pytest.raises(QueryError, match=f"^{told}"):
        Taxonomy.parse(FILE.replace(before, after))


def test_a_file_without_classes_and_one_with_too_many_are_refused() -> None:
    head = 'name = "a"\nversion = "1"\n'
    for none in ("", "class = []", 'class = "red"', "class = [1]"):
        with pytest.raises(QueryError, match=r"\[\[class\]\]"):
            Taxonomy.parse(head + none)

    def many(count: int) -> str:
        return head + "".join(
            f'[[class]]\nname = "c{n}"\nprompts = ["p{n}"]\n' for n in range(count)
        )

    assert len(Taxonomy.parse(many(MOST_CLASSES)).classes) == MOST_CLASSES
    with pytest.raises(QueryError, match=f"Line 153: These are {MOST_CLASSES + 1} classes"):
        Taxonomy.parse(many(MOST_CLASSES + 1))
    prompts = [f"p{n}" for n in range(MOST_PROMPTS + 1)]
    with pytest.raises(QueryError, match=f"Line 5: .* has {MOST_PROMPTS + 1} prompts"):
        Taxonomy.parse(f'{head}[[class]]\nname = "c"\nprompts = {json.dumps(prompts)}')
    with pytest.raises(QueryError, match="too many brackets|cannot be read"):
        Taxonomy.parse(f"a = {'[' * 10_000}")


def test_the_longest_file_fits_a_record(tmp_path: Path) -> None:
    longest = FILE + "#" + '"\\' * ((LONGEST - len(FILE) - 1) // 2)
    with pytest.raises(QueryError, match="it may have 40,000"):
        Taxonomy.parse(longest + "\n\n")
    state = State.open(tmp_path / "state")
    _, kept = Taxonomies(state).set(longest, "carl")
    assert kept
    assert LONGEST_RECORD > len((tmp_path / "state/records/0001.jsonl").read_bytes()) > 79_000
    state.close()


def test_the_newest_counts_and_those_before_are_known(tmp_path: Path) -> None:
    state = State.open(tmp_path / "state")
    taxonomies = Taxonomies(state)
    assert taxonomies.latest() is None
    with pytest.raises(QueryError, match="no taxonomy yet"):
        taxonomies.current()
    first, _ = taxonomies.set(FILE, "carl")
    second, _ = taxonomies.set(FILE.replace('"1"', '"2"'), "olga")
    taxonomies.set(second.text, "carl")  # nothing new
    with pytest.raises(QueryError):
        taxonomies.set("nonsense", "carl")
    state.close()
    state = State.open(tmp_path / "state")
    again = Taxonomies(state)
    latest = again.latest()
    assert latest is not None
    assert (latest.taxonomy, latest.by) == (second, "olga")
    assert again.of(first.sha256) == first
    assert again.of("other") is None
    state.close()


def test_the_commands_set_and_show_it(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["taxonomy", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    file = tmp_path / "taxonomy.toml"
    file.write_text(FILE, encoding="utf-8")
    with environment(IMAGE_SEARCH_STATE=str(tmp_path / "state")):
        told = run("set", str(file))
        assert "“What our readers look for”, version 1" in told
        assert "2 classes, 4 prompts" in told
        assert run("show") == FILE
        shown = json.loads(run("show", "--json"))
        assert shown["sha256"] == Taxonomy.parse(FILE).sha256
        assert [one["name"] for one in shown["classes"]] == ["something red", "something blue"]
        file.write_bytes(b"name = \xff")
        with pytest.raises(QueryError, match=r"taxonomy\.toml is not UTF-8"):
            run("set", str(file))
        file.write_text("name = 1", encoding="utf-8")
        with pytest.raises(QueryError, match=r"taxonomy\.toml: "):
            run("set", str(file))
        assert run("show") == FILE
