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
