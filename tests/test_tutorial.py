"""MyScale's tutorial on Unsplash's own columns: its questions, listing and SQL, as they stand."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import clickhouse_node
import httpx
import pytest
from clickhouse_node import Node
from conftest import serving
from gated import environment
from PIL import Image

import image_search

DOWNLOADS = {
    "Qgb9urMZ8lw": 1729, "f0OL01IHbCM": 1444, "Bgae-sqbe_g": 313, "XYg2zLjxxa0": 207,
    "BkW8I1n354I": 184, "5yFOvJZp7Rg": 63, "sKPPBn6OkJg": 48, "joL0nSbZ-lI": 20,
    "fzDtQWW8dV4": 8, "DCAERnaj31U": 3,
}  # fmt: skip
"""What the tutorial prints: downloads of the ten nearest, the photo itself among them."""

KEYWORDS = {"bee": 1615, "bees": 21, "bumblebee": 13, "honey": 13, "honey bee": 12}
"""Of the most downloaded one, its five top keywords."""

CHOSEN = "XYg2zLjxxa0"
"""The photo that is searched with; the others lie beside it, those of OTHERS far away."""

OTHERS = {f"other{number:06}": number for number in range(12)}

LISTED = [list(pair) for pair in DOWNLOADS.items()]
TOP = [list(pair) for pair in KEYWORDS.items()]


@pytest.fixture(scope="module")
def unsplash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection built by the README's command, out of tables as Unsplash gives them."""
    folder = tmp_path_factory.mktemp("unsplash")
    order = [CHOSEN, *(id for id in DOWNLOADS if id != CHOSEN)]
    with (folder / "photos.tsv000").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["photo_id", "photo_url", "photo_image_url", "photo_description"])
        for number, id in enumerate([*order, *OTHERS]):
            colour = (255, 8 * number, 0) if id in DOWNLOADS else (0, 8 * number, 255)
            Image.new("RGB", (40, 30), colour).save(folder / f"{id}.png")
            rows.writerow([id, f"https://unsplash.com/photos/{id}", f"{id}.png", "a thing"])
    columns = "converted_at conversion_type keyword photo_id anonymous_user_id conversion_country"
    words = [word for word, count in KEYWORDS.items() for _ in range(count)]
    words += [f"rare {number % 9}" for number in range(1729 - len(words))]
    with (folder / "conversions.tsv000").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(columns.split())
        for id, count in (DOWNLOADS | OTHERS | {"not-kept": 5}).items():
            for number in range(count):
                word = words[number] if id == "Qgb9urMZ8lw" else f"word {number % 7}"
                rows.writerow(["2020-02-29 01:02:03", "download", word, id, "someone", "US"])
    done = subprocess.run(
        [sys.executable, "build_index.py", f"{folder}/photos.tsv*", "--model", "embedded",
         "--table", f"conversions={folder}/conversions.tsv*", "--out", f"{folder}/built"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "built"


@pytest.fixture(params=["files", "chdb", "cluster"])
def engine(
    request: pytest.FixtureRequest, unsplash: Path, tmp_path: Path, cluster: list[Node]
) -> Iterator[str]:
    """Nothing, so that the embedded database reads the files; a folder; two shards."""
    address = {
        "files": "",
        "chdb": f"chdb://{tmp_path}/database",
        "cluster": clickhouse_node.address(cluster, "unsplash"),
    }[request.param]
    if address:
        command("engine", "load", str(unsplash), "--to", address)
    yield address
    if request.param == "cluster":
        command("engine", "drop", address, "--yes")


def command(*arguments: str, engine: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "image_search", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "IMAGE_SEARCH_ENGINE": engine},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(text: str) -> list[list[object]]:
    return [[one["value"], one["count"]] for one in json.loads(text)]


def test_the_two_questions_print_the_tutorials_listing(unsplash: Path, engine: str) -> None:
    of = ("-a", str(unsplash))
    counts = ("table", "counts", "conversions", "--like", CHOSEN, "--k", "10", *of)
    assert listed(command(*counts, "--json", engine=engine)) == LISTED
    shown = command(*counts, engine=engine).split()
    assert shown[:6] == ["1,729", "Qgb9urMZ8lw", "1,444", "f0OL01IHbCM", "313", "Bgae-sqbe_g"]
    top = ("table", "top", "conversions", "Qgb9urMZ8lw", *of)
    assert listed(command(*top, "--json", engine=engine)) == TOP
    assert command(*top, engine=engine).split()[:4] == ["1,615", "bee", "21", "bees"]


def test_the_interface_answers_the_same(unsplash: Path, engine: str) -> None:
    variables = {"IMAGE_SEARCH_STATE": os.environ["IMAGE_SEARCH_STATE"]}
    with (
        environment(**variables, IMAGE_SEARCH_ENGINE=engine),
        serving(unsplash) as address,
        httpx.Client(base_url=f"{address}/api/v1", timeout=30) as client,
    ):
        (table,) = client.get("/collection").json()["tables"]
        assert table["columns"][0] == "keyword"
        found = client.get("/search", params={"like": CHOSEN, "k": 9}).json()["hits"]
        ids = [CHOSEN, *(hit["id"] for hit in found)]
        counts = client.get("/tables/conversions/counts", params={"id": ids}).json()
        assert [[one["value"], one["count"]] for one in counts["counts"]] == LISTED
        top = client.get("/tables/conversions/top/Qgb9urMZ8lw").json()
        assert [[one["value"], one["count"]] for one in top["counts"]] == TOP
        assert (top["column"], counts["column"]) == ("keyword", "photo_id")
        countries = client.get(
            "/tables/conversions/top/Qgb9urMZ8lw", params={"column": "conversion_country"}
        ).json()["counts"]
        assert countries == [{"value": "US", "count": 1729}]
        for path, status in (
            ("/tables/none/counts?id=Qgb9urMZ8lw", 404),
            ("/tables/conversions/counts?id=nobody", 404),
            ("/tables/conversions/counts", 422),
            ("/tables/conversions/top/Qgb9urMZ8lw?column=none'--", 400),
            ("/tables/conversions/top/Qgb9urMZ8lw?k=0", 422),
        ):
            assert client.get(path).status_code == status


def test_a_picture_that_is_withdrawn_is_not_counted(unsplash: Path, tmp_path: Path) -> None:
    state = {"IMAGE_SEARCH_STATE": str(tmp_path / "state")}
    with environment(**state):
        command("suppress", CHOSEN, "--reason", "asked for", "-a", str(unsplash))
        with serving(unsplash) as address:
            asked = f"{address}/api/v1/tables/conversions"
            assert httpx.get(f"{asked}/counts?id={CHOSEN}").status_code == 404
            assert httpx.get(f"{asked}/top/{CHOSEN}").status_code == 404


def test_a_collection_whose_manifest_names_no_columns_is_asked_too(unsplash: Path) -> None:
    searcher = image_search.open(unsplash, withdrawn=set())
    manifest = searcher.artifact.manifest
    bare = [info.model_copy(update={"columns": []}) for info in manifest.tables]
    searcher.artifact.manifest = manifest.model_copy(update={"tables": bare})
    assert "keyword" in searcher.questions.tables["conversions"].columns[0]


# What the tutorial sends to its database.
NEAREST = """
SELECT id, photo_id, photo_image_url, distance(photo_embed, {vector}) AS dist
FROM photos WHERE photo_id != '{photo}' ORDER BY dist LIMIT 10
"""
DOWNLOADED = """
SELECT photo_id, count() AS downloads FROM conversions
JOIN (
    SELECT photo_id, distance(photo_embed, {vector}) AS dist FROM photos ORDER BY dist LIMIT 10
) AS nearest ON conversions.photo_id = nearest.photo_id
GROUP BY photo_id ORDER BY downloads DESC
"""
SEARCHED = """
SELECT keyword, count() AS uses FROM conversions WHERE photo_id = 'Qgb9urMZ8lw'
GROUP BY keyword ORDER BY uses DESC, keyword LIMIT 5
"""


@pytest.mark.parametrize("engine", ["chdb", "cluster"], indirect=True)
def test_the_tutorials_own_sql_runs_as_it_stands(unsplash: Path, engine: str) -> None:
    def sql(statement: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads(
            command("engine", "sql", statement, "--json", "--engine", engine)
        )
        return rows

    vector = sql(f"SELECT photo_embed FROM photos WHERE photo_id = '{CHOSEN}'")[0]["photo_embed"]
    near = sql(NEAREST.format(vector=vector, photo=CHOSEN))
    assert len(near) == 10
    assert {row["photo_id"] for row in near[:9]} == set(DOWNLOADS) - {CHOSEN}
    assert [row["dist"] for row in near] == sorted(row["dist"] for row in near)  # type: ignore[type-var]
    used = " SETTINGS force_data_skipping_indices = 'by_meaning'"
    assert sql(NEAREST.format(vector=vector, photo=CHOSEN) + used) == near
    assert [list(row.values()) for row in sql(DOWNLOADED.format(vector=vector))] == LISTED
    assert [list(row.values()) for row in sql(SEARCHED)] == TOP


def test_odd_names_of_tables_and_columns_are_asked_the_same_everywhere(
    tmp_path: Path, cluster: list[Node]
) -> None:
    """Columns called as ours are, dots, a table called photos, a path that is a pattern."""
    folder = tmp_path / "a {b,c} [d]?*"
    folder.mkdir()
    with (folder / "photos.csv").open("w") as file:
        file.write("value,file\n")
        for number in range(3):
            Image.new("RGB", (40, 30), (80 * number, 0, 0)).save(folder / f"{number}.png")
            file.write(f"it's {number},{number}.png\n")
    (folder / "one.csv").write_text(
        "value,rows,dc.type,when\n"
        + "it's 0,x,a,2020-02-29 01:02:03\n" * 3
        + "it's 1,y,b,1500-01-01\n"
    )
    (folder / "two.csv").write_text("value,keyword\nit's 0,other\n")
    build = [
        sys.executable, "build_index.py", f"{folder}/photos.csv", "--id-column", "value",
        "--image-column", "file", "--model", "embedded", "--out", f"{folder}/built",
        "--table", f"photos={folder}/one.csv", "--table", f"photos_table={folder}/two.csv",
    ]  # fmt: skip
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    address = clickhouse_node.address(cluster, "odd")
    command("engine", "load", f"{folder}/built", "--to", address)
    of = ("-a", f"{folder}/built", "--json")
    for engine in ("", address):

        def ask(*arguments: str, engine: str = engine) -> list[list[object]]:
            return listed(command("table", *arguments, *of, engine=engine))

        assert ask("counts", "photos", "it's 1", "it's 0", "it's 2") == [
            ["it's 0", 3],
            ["it's 1", 1],
            ["it's 2", 0],
        ]
        assert ask("top", "photos", "it's 0", "--column", "rows") == [["x", 3]]
        assert ask("top", "photos", "it's 0", "--column", "dc.type") == [["a", 3]]
        assert ask("top", "photos", "it's 0", "--column", "when") == [
            ["2020-02-29 01:02:03.000000", 3]
        ]
        assert ask("top", "photos_table", "it's 0") == [["other", 1]]
    command("engine", "drop", address, "--yes")
