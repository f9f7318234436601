"""What somebody could do to a collection, or learn of it, by filters, counts and odd words."""

import csv
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import found
import pyarrow as pa
import pytest
from conftest import build_folder, write_pictures
from test_api import api_of, picture

import image_search
from image_search import exports, query
from image_search.answers import PREFIX
from image_search.artifact import Artifact
from image_search.catalogue import Among, TableCatalogue
from image_search.encoder import OnnxEncoder
from image_search.engine.address import parse
from image_search.engine.engine import Engine
from image_search.engine.load import load
from image_search.errors import QueryError
from image_search.facets import facet
from image_search.fields import Field
from image_search.progress import Quiet
from image_search.question import question
from image_search.search import Searcher
from image_search.take_away import as_csv


def test_a_withdrawn_picture_does_not_stretch_the_scale(
    tmp_path: Path, colours: OnnxEncoder
) -> None:
    built = build_folder(write_pictures(tmp_path / "pictures"), colours, tmp_path / "built")
    withdrawn: set[str] = set()
    shown = image_search.open(built, withdrawn=withdrawn)

    def years() -> tuple[float, float]:
        [year] = [facet for facet in shown.facets().facets if facet.field == "year"]
        return year.bins[0].low, year.bins[-1].high

    assert years() == (1872, 1901)
    withdrawn.add("warm/red.png")
    assert years() == (1888, 1901)
    withdrawn.clear()
    assert years() == (1872, 1901)


def test_nor_in_a_database(database: str, tmp_path: Path, colours: OnnxEncoder) -> None:
    built = build_folder(write_pictures(tmp_path / "pictures"), colours, tmp_path / "built")
    artifact = Artifact.open(built)
    load(parse(database), artifact, Quiet(), lambda text: None)
    held = Engine.open(database, artifact.manifest, artifact.version, artifact.files.name).catalogue
    row = held.rows(["warm/red.png"])["warm/red.png"]
    assert held.extent("year") == (1872, 1900)
    assert held.extent("year", frozenset({row})) == (1888, 1900)
    assert held.extent("year") == (1872, 1900)


def test_words_and_values_that_no_database_takes(searcher: Searcher) -> None:
    with pytest.raises(QueryError, match="Up to 50 words can be looked for, not 51"):
        searcher.search(contains="a " * 51)
    assert len(searcher.search(contains="a " * 50)) == 3
    for field in ("title", "keywords"):
        assert len(searcher.search(where=f"{field}:\ud800")) == 0
        searcher.facets(question("", where=f"{field}:\ud800"))


@pytest.mark.parametrize(
    "text", ["a;=1+1", "a\t@SUM(1)", "a\n=1", "a; \t-cmd|x", "1;+x", "a;＝1", "a;-1+cmd|x"]
)
def test_no_cell_is_a_formula_where_semicolons_part_them(text: str) -> None:
    told = found.hit(title=text, artist=["x", "=1"], credit_line=f"x, {text}")
    data = as_csv(found.results(told), found.provenance()).decode("utf-8-sig")
    for delimiter in ";\t":
        for row in csv.reader(StringIO(data, newline=""), delimiter=delimiter):
            assert [c for c in row if c.lstrip()[:1] in {*"=+-@＝"}] == []


def test_lists_of_numbers_stay_as_they_are() -> None:
    told = found.hit(title="1; -2; +3,5", artist=["-1", "-2"])
    data = as_csv(found.results(told), found.provenance()).decode("utf-8-sig")
    assert "1; -2; +3,5" in data


def test_long_words_that_many_alternatives_share_are_understood_once() -> None:
    others = "".join(f" or a d{i}" for i in range(15))
    understood = query.parse(f"a {'harbour ' * 225}of a cat{others}")
    before = query._is_plain.cache_info().misses
    for place in range(16):
        assert "a harbour" in str(understood.without(0, place))
    assert query._is_plain.cache_info().misses - before <= 16  # and not 240 times


def test_who_has_many_files_made_waits_for_them(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def slow(*_: object) -> exports.File:
        held.wait(20)
        return exports.File(b"x", "image/png", "x.png")

    monkeypatch.setattr(exports, "export", slow)
    address = f"{PREFIX}/export/sheet?text=red"
    with api_of(searcher) as asks, ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(asks.get, address) for _ in range(4)]
        time.sleep(0.5)
        refused = asks.get(address)
        searched = asks.post(f"{PREFIX}/search", content=picture("red"))
        held.set()
        assert refused.status_code == 429
        assert "taking away 4 files already" in refused.json()["detail"]
        assert searched.status_code == 200
        assert {one.result().status_code for one in waiting} == {200}
        assert asks.get(address).status_code == 200


def test_numbers_beyond_measure_are_counted() -> None:
    table = pa.table({"id": ["a", "b", "c"], "n": [-1e308, 0.0, 1e308]})
    sizes = pa.table({"width": [1] * 3, "height": [1] * 3})
    told = facet(TableCatalogue(table, sizes), Field("n", "number"), Among(), [])
    assert [one.count for one in told.bins if one.count] == [1, 1, 1]
