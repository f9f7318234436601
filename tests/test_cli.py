"""The command line as an operator meets it: output, one line of error, exit codes."""

import csv
import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "image_search", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **environment},
        timeout=120,
    )


def test_words_find_pictures(built: Path) -> None:
    done = run("search", "red", "--artifact", built, "--k", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "  1   1.000  warm/red.png  A red thing",
        "  2   0.895  warm/orange.png  An orange",
    ]


def test_json_is_json(built: Path) -> None:
    found = json.loads(run("search", "blue", "-a", built, "--k", "1", "--json").stdout)
    assert found["hits"][0]["metadata"]["title"] == "The sea, at noon"
    assert len(found["artifact_version"]) == 64


def test_a_picture_finds_pictures_and_a_sheet_is_drawn(built: Path, tmp_path: Path) -> None:
    query, sheet = tmp_path / "query.png", tmp_path / "sheet.png"
    Image.new("RGB", (30, 30), "blue").save(query)
    done = run("search", "--image", query, "-a", built, "--k", "1", "--sheet", sheet)
    assert "cold/blue.png" in done.stdout
    with Image.open(sheet) as page:
        assert page.width == 880
        assert page.getpixel((40, 120)) == pytest.approx((0, 0, 254), abs=3)


@pytest.mark.parametrize(
    ("name", "message"), [("x.pdf", "call it x.png"), ("nowhere/x.png", "there is no folder")]
)
def test_a_sheet_that_cannot_be_written_is_refused_at_once(
    built: Path, tmp_path: Path, name: str, message: str
) -> None:
    process = run("search", "red", "--artifact", str(built), "--sheet", str(tmp_path / name))
    assert process.returncode == 2
    assert message in " ".join(process.stderr.replace("│", " ").split())
    assert process.stdout == ""


def test_the_setting_names_the_artifact(built: Path) -> None:
    done = run("search", "red", "--k", "1", IMAGE_SEARCH_ARTIFACT=str(built))
    assert "warm/red.png" in done.stdout


def test_info_says_what_it_is(built: Path) -> None:
    text = run("info", "-a", built).stdout
    assert "5 (1 files left out, see rejects.csv)" in text
    described = json.loads(run("info", "-a", built, "--json").stdout)
    assert described["rows"] == 5
    assert described["encoder"]["name"] == "colours"
    assert described["name"] == described["path"] == str(built)


def test_verify_is_silent_about_good_and_loud_about_bad(built: Path) -> None:
    good = run("verify", built)
    assert (good.returncode, good.stdout) == (0, f"{built}: everything is as it was built.\n")
    (built / "rejects.csv").write_text("x")
    bad = run("verify", built)
    assert (bad.returncode, "rejects.csv: is not what was built" in bad.stdout) == (1, True)
    assert json.loads(run("verify", built, "--json").stdout)["problems"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", "red", "--k", "0"],
        ["search", "red", "--k", "many"],
        ["no-such-command"],
        ["verify"],
        ["push", "folder"],
    ],
)
def test_a_command_typed_wrongly_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def one_line_error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


def test_an_error_is_one_line_that_says_what_to_do(built: Path, tmp_path: Path) -> None:
    missing = run("search", "red", "-a", tmp_path / "none")
    assert "There is no built collection at" in one_line_error(missing)
    text = tmp_path / "letter.jpg"
    text.write_text("Dear Sir")
    bad = run("search", "--image", text, "-a", built)
    assert "letter.jpg cannot be searched with: not a picture" in one_line_error(bad)
    absent = run("search", "--image", tmp_path / "absent.png", "-a", built)
    assert "No such file" in one_line_error(absent)
    empty = run("search", "  ", "-a", built)
    assert "Type what you are looking for" in one_line_error(empty)


def test_a_push_of_nothing_asks_nobody(built: Path, tmp_path: Path) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    missing = run("push", tmp_path / "none", "user/name", **nowhere)
    assert "There is no built collection at" in one_line_error(missing)
    unnamed = run("push", built, "name", **nowhere)
    assert "'name' is no name of a repository. Write it as user/name." in one_line_error(unnamed)


def test_a_wrong_setting_is_named_with_its_value(built: Path) -> None:
    line = one_line_error(run("search", "red", IMAGE_SEARCH_PORT="a lot"))
    assert "IMAGE_SEARCH_PORT is 'a lot'" in line


def test_build_index_builds_says_so_and_is_searchable(pictures: Path, tmp_path: Path) -> None:
    (pictures / "notes.txt").write_text("not a picture")
    out = tmp_path / "out"
    done = subprocess.run(
        [
            *(sys.executable, "build_index.py", pictures, "--out", out, "--model", "embedded"),
            *("--name", "Five squares", "--rights", "CC0", "--notice", "Only squares."),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for expected in (
        "5 pictures are in",
        "Left out: 2, each named in",
        "Model embedded",
        "IMAGE_SEARCH_ARTIFACT=",
    ):
        assert expected in done.stdout
    rejects = list(csv.reader(StringIO((out / "rejects.csv").read_text(encoding="utf-8"))))
    assert [row[0] for row in rejects] == ["id", "metadata.csv", "notes.txt"]
    assert run("verify", out).returncode == 0
    told = json.loads(run("info", "-a", out, "--json").stdout)["collection"]
    assert told == {
        "name": "Five squares", "description": "", "contact": "", "rights": "CC0",
        "notice": "Only squares.",
    }  # fmt: skip


def test_a_picture_of_the_collection_can_be_searched_with(built: Path) -> None:
    alone = json.loads(run("search", "--like", "warm/red.png", "-a", built, "--json").stdout)
    assert [hit["id"] for hit in alone["hits"]][:2] == ["warm/orange.png", "warm/yellow.png"]
    mixed = run("search", "green", "--like", "warm/red.png", "-a", built, "--json").stdout
    assert json.loads(mixed)["hits"][0]["id"] == "warm/yellow.png"
    unknown = run("search", "--like", "none", "-a", built)
    assert "no picture “none”" in one_line_error(unknown)


def test_build_index_refuses_at_the_door(pictures: Path, tmp_path: Path) -> None:
    def build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "build_index.py", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=120,
        )

    assert "There is no " in one_line_error(build(tmp_path / "none", "--out", tmp_path / "x"))
    inside = build(pictures, "--out", pictures / "built")
    assert "Name a place outside" in one_line_error(inside)
    assert build(pictures).returncode == 2
    assert build(pictures, "--out", tmp_path / "x", "--max-side", "3").returncode == 2
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").write_text("mine")
    assert "nothing was written over" in one_line_error(build(pictures, "--out", taken))


def test_a_question_in_signs_is_said_as_it_was_understood(built: Path) -> None:
    def first(*arguments: str) -> str:
        return run("search", *arguments, "-a", str(built), "--k", "1").stdout.splitlines()[0]

    assert first("red +2:green -blue") == "Understood: red +2:green -blue"
    assert first("a red or a blue thing") == "Understood: a red thing OR a blue thing"
    assert first("red", "--unlike", "cold/blue.png") == "  1   0.989  warm/red.png  A red thing"
    done = run("search", "-a", built, "--k", "1", "--", "-red")
    assert done.stdout.startswith("Understood: -red\n"), done.stderr
    assert run("search", "-red", "-a", built).returncode == 2


def test_filters_alone_list_pictures_without_a_number(built: Path) -> None:
    listed = run("search", "--where", "year:1880..", "-a", built)
    assert listed.stdout.splitlines() == [
        "  1  cold/blue.png  The sea, at noon",
        "  2  warm/orange.png  An orange",
    ]
    both = run("search", "red", "--where", "keywords:fire", "--where", "keywords:food", "-a", built)
    assert both.stdout.count("\n") == 2
    assert "orange" in run("search", "--contains", "ORAN", "-a", built, "--k", "1").stdout
    nothing = run("search", "red", "--where", "colour:red", "-a", built)
    assert "names no field" in one_line_error(nothing)


def test_a_slip_in_a_question_is_pointed_at(built: Path) -> None:
    said = one_line_error(run("search", 'red -"blue', "-a", built))
    assert "This quotation mark is not closed, at character 6" in said


def test_what_was_found_is_written_to_files(built: Path, tmp_path: Path) -> None:
    names = ["red.csv", "red.json", "red.BIB", "red.png"]
    done = run(
        *("search", "red", "-a", built, "--k", "2"),
        *(part for name in names for part in ("--out", tmp_path / name)),
    )
    assert done.stdout.count("\n") == 2, done.stderr
    assert done.stderr.count("The pictures are in ") == 4
    rows = list(csv.DictReader(StringIO((tmp_path / "red.csv").read_text("utf-8-sig"))))
    assert [row["id"] for row in rows] == ["warm/red.png", "warm/orange.png"]
    assert len(json.loads((tmp_path / "red.json").read_text())["results"]) == 2
    assert (tmp_path / "red.BIB").read_text().count("@misc{") == 3
    with Image.open(tmp_path / "red.png") as page:
        assert "2 pictures of 5" in page.text["Description"]  # type: ignore[attr-defined]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == set(names)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.pdf", "one of .csv, .json, .bib, .png"),
        ("x", "one of .csv"),
        ("nowhere/x.csv", "there is no folder"),
        ("folder.csv", "is a folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    done = run("search", "red", "-a", tmp_path / "none", "--out", tmp_path / name)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_searches_and_pictures_are_cited(built: Path) -> None:
    search = run("search", "red", "-a", built, "--k", "2", "--cite").stdout.splitlines()
    assert search[2] == ""
    assert search[3].startswith("Search for “red” in ")
    assert "2 pictures of 5" in search[3]
    text = run("cite", "warm/red.png", "cold/blue.png", "-a", built).stdout.splitlines()
    assert text[0].startswith("A red thing (1872).")
    assert text[1].startswith("The sea, at noon (1900).")
    entry = run("cite", "warm/red.png", "--bibtex", "-a", built).stdout
    assert entry.startswith("@misc{red-")
    [known] = json.loads(run("cite", "warm/red.png", "--json", "-a", built).stdout)
    assert (known["id"], known["bibtex"]) == ("warm/red.png", entry.removesuffix("\n"))
    assert "no picture “none”" in one_line_error(run("cite", "none", "-a", built))


def test_a_record_says_what_is_known(built: Path) -> None:
    lines = run("record", "warm/red.png", "-a", built).stdout.splitlines()
    assert lines[0] == "id          warm/red.png"
    assert "keywords    fire; blood" in lines
    assert "pixels      48 × 32" in lines
    assert "year" not in run("record", "cold/green.png", "-a", built).stdout


def test_facets_are_a_table_and_a_histogram(built: Path) -> None:
    lines = run("facets", "-a", built).stdout.splitlines()
    assert lines[0] == "5 pictures, all of the collection"
    assert "         1  1872  ████████████████████████████████████████" in lines
    assert "         1  fruit" in lines
    chosen = run("facets", "red", "--where", "keywords:fruit", "-a", built, "--most", "1").stdout
    assert chosen.startswith("1 picture, all that match\n")
    assert "*        1  fruit" in chosen
    assert "and 4 more" in chosen
    told = json.loads(run("facets", "red", "--where", "year:1872", "-a", built, "--json").stdout)
    assert told["pictures"] == 1
    assert {"field", "choices", "bins", "low"} <= set(told["facets"][0])
