"""A dataset as a collection: of the Hub, to which the real clients talk in a process of their own
(they read HF_ENDPOINT when they are imported), and of this machine."""

import io
import math
import multiprocessing
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_standin import Fault, HubStandin
from odd_files import encoded
from PIL import Image

from image_search.collection import Collection
from image_search.errors import CollectionError, HubError, ImageSearchError, PictureError
from image_search.fields import Value

COLOURS = ["red", "green", "blue", "white"]
Do = Callable[..., Any]


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubStandin]:
    with HubStandin(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(scope="module")
def do(hub: HubStandin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Do]:
    """Calls a function of this file where the clients know this Hub only, as one who may write."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HF_")]:
            patch.delenv(name)
        for name, value in hub.environment("owner", home).items():
            patch.setenv(name, value)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            yield lambda function, *args, **options: process.submit(
                _do, function, args, options
            ).result(timeout=100)


def _do(function: Do, args: Any, options: Any) -> Any:
    os.environ["HF_TOKEN"] = options.pop("token", "hf_owner")
    if not os.environ["HF_TOKEN"]:
        del os.environ["HF_TOKEN"]
    return function(*args, **options)


def load(source: Any, **options: Any) -> Collection:
    from image_search.dataset import open_dataset

    return open_dataset(source, **options)


def ids(found: Collection) -> list[str]:
    return [entry.id for entry in found]


def column(found: Collection, name: str) -> list[Value]:
    values: list[Value] = found.metadata.column(name).to_pylist()
    return values


# Of the Hub


def push(repo: str, *splits: str, **columns: Any) -> None:
    """Push pictures with ids and labels, as any keeper would, to a private dataset."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
    from datasets import Image as Pictures

    features = {"image": Pictures(), "label": ClassLabel(names=["1872", "1888"])}
    features |= {"fname": Value("string")}
    made = {}
    for split in splits or ("train",):
        rows = {
            "image": [{"bytes": picture(colour), "path": None} for colour in COLOURS],
            "label": [0, 1, -1, 1],
            "fname": [f"{split}-{colour}.png" for colour in COLOURS],
        }
        made[split] = Dataset.from_dict(rows, Features(features))
        for name, values in columns.items():
            made[split] = made[split].add_column(name, values)
    DatasetDict(made).push_to_hub(repo, private=True)


def push_with_embeddings_again(repo: str) -> None:
    """As the article does."""
    import datasets
    from datasets import load_dataset

    push(repo)
    dataset = load_dataset(repo, split="train")
    vectors = iter(np.eye(4, dtype="float32") * 3)
    dataset = dataset.map(lambda row: {"embeddings": next(vectors)})
    dataset.push_to_hub(repo, private=True)
    datasets.disable_progress_bars()


def test_a_dataset_of_the_hub_is_a_collection(hub: HubStandin, do: Do) -> None:
    do(push, "alice/books", "train", "test")
    found = do(load, "alice/books")
    assert found.kind == "dataset"
    assert found.name == "books"
    assert ids(found) == [f"{split}-{c}.png" for split in ("train", "test") for c in COLOURS]
    assert [(field.name, field.kind) for field in found.fields] == [
        ("label", "number"),
        ("split", "category"),
    ]
    assert column(found, "label") == [1872, 1888, None, 1888] * 2
    assert column(found, "split") == ["train"] * 4 + ["test"] * 4
    assert found.id_column == "fname"
    assert (found.rejects, found.vectors, found.readers) == ([], None, 0)
    assert found.notices == [
        f"alice/books is read as of its commit {hub.head('alice/books')}",
        "the ids are those of the column 'fname'",
    ]
    reader = pickle.loads(pickle.dumps(found.reader))
    assert [reader.read(entry.place) for entry in found] == [picture(c) for c in COLOURS] * 2
    assert len({entry.state for entry in found}) == len(COLOURS)
    reader.check()
    assert len(pickle.dumps(found.reader)) < 20_000
    only = do(load, "alice/books", split="test")
    assert ids(only) == [f"test-{colour}.png" for colour in COLOURS]
    assert [field.name for field in only.fields] == ["label"]
    assert [entry.state for entry in only] == [entry.state for entry in found][4:]


def test_the_article_s_pushing_again_breaks_the_card_and_is_read_all_the_same(
    hub: HubStandin, do: Do
) -> None:
    do(push_with_embeddings_again, "alice/article")
    found = do(load, "alice/article")
    assert ids(found) == [f"train-{colour}.png" for colour in COLOURS]
    assert column(found, "label") == [1872, 1888, None, 1888]
    assert [found.reader.read(entry.place) for entry in found] == [picture(c) for c in COLOURS]
    assert found.vectors is not None
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, np.eye(4))
    [told] = [line for line in found.notices if "README.md" in line]
    assert "delete the line `dataset_info:` and all that is indented below it" in told
    assert [field.name for field in found.fields] == ["label"]
    assert ids(do(load, "alice/article", split="train")) == ids(found)

    # what the notice says mends it
    card = hub.file("alice/article", "main", "README.md").decode()
    head, _, rest = card.partition("dataset_info:\n")
    kept = rest.splitlines(keepends=True)
    while kept[0].startswith((" ", "-")) and not kept[0].startswith("---"):
        kept.pop(0)
    hub.commit("alice/article", {"README.md": (head + "".join(kept)).encode()}, "mended")
    mended = do(load, "alice/article")
    assert not any("README.md" in line for line in mended.notices)
    assert mended.entries == found.entries


def test_a_dataset_without_a_card_is_read_too(hub: HubStandin, do: Do) -> None:
    do(push, "alice/bare")
    hub.commit("alice/bare", {"README.md": None}, "no card")
    found = do(load, "alice/bare")
    assert ids(found) == [f"train-{colour}.png" for colour in COLOURS]


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: HubStandin, do: Do) -> None:
    do(push, "alice/versions")
    first = hub.head("alice/versions")
    do(push, "alice/versions", "train", "more")
    assert len(do(load, "alice/versions")) == 8
    old = do(load, "alice/versions", revision=first)
    assert len(old) == 4
    assert f"alice/versions is read as of its commit {first}" in old.notices
    with pytest.raises(HubError, match="alice/versions has no revision v9; its versions are: none"):
        do(load, "alice/versions", revision="v9")
    with pytest.raises(CollectionError, match='cannot be read as a dataset: Unknown split "val"'):
        do(load, "alice/versions", split="val")
    with pytest.raises(CollectionError, match="alice/versions.*BuilderConfig 'german' not found"):
        do(load, "alice/versions", config="german")


@pytest.mark.parametrize(
    ("repo", "options", "message"),
    [
        ("alice/nowhere", {}, "no folder alice/nowhere here.* no dataset of that name that"),
        ("alice/doors", {"token": "hf_stranger"}, "no dataset of that name that your token"),
        ("alice/doors", {"token": ""}, "no dataset of that name that is public.*hf auth login"),
        ("alice/doors", {"token": "hf_wrong"}, "The Hub does not accept your token"),
        ("alice/gated", {"token": "hf_stranger"}, "alice/gated is gated: .* Ask for access at"),
        ("alice/gated", {"token": ""}, "alice/gated is gated: "),
        ("alice/empty", {}, "alice/empty cannot be read as a dataset: The directory at .* doesn't"),
        ("alice/text", {}, "alice/text: Which column has the pictures.* are: none. All .*: a, b"),
    ],
)
def test_what_cannot_be_had_is_explained(
    hub: HubStandin, do: Do, repo: str, options: Any, message: str
) -> None:
    if repo == "alice/doors" and repo not in hub.repos():
        do(push, repo)
    if repo == "alice/gated" and repo not in hub.repos():
        do(push, repo)
        hub.make_public(repo)
        hub.gate(repo)
    if repo == "alice/empty":
        hub.make_repo(repo, {"README.md": b"Nothing yet.\n"})
    if repo == "alice/text":
        hub.make_repo(repo, {"train.csv": b"a,b\n1,2\n"})
    with pytest.raises(ImageSearchError, match=message) as caught:
        do(load, repo, **options)
    assert "\n" not in str(caught.value)


def test_datasets_of_plain_files_are_read_as_the_hub_has_them(hub: HubStandin, do: Do) -> None:
    """As imagefolder and WebDataset read them: a folder a label, a table, a zip, tars."""
    red, blue = picture("red"), picture("blue")
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as zip:
        zip.writestr("in/a.png", red)
        zip.writestr("in/b.png", blue)
        zip.writestr("in/c.png", encoded("JPEG"))
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        for name, data in {"a.png": red, "a.txt": b"hello", "b.png": blue, "b.txt": b"x"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    table = b"file_name,title\na.png,The sea\nb.png,The land\n"
    hub.make_repo("alice/folders", {"1872/a.png": red, "1888/b.png": blue})
    hub.make_repo("alice/table", {"a.png": red, "b.png": blue, "metadata.csv": table})
    hub.make_repo("alice/zip", {"in.zip": zipped.getvalue()})
    hub.make_repo("alice/tar", {"data/train-0.tar": tarred.getvalue()})
    expected: dict[str, Any] = {
        "folders": (["a.png", "b.png"], {"label": [1872, 1888]}),
        "table": (["a.png", "b.png"], {"title": ["The sea", "The land"]}),
        "zip": (["in/a.png", "in/b.png", "in/c.png"], {}),
        "tar": (["a", "b"], {"txt": ["hello", "x"]}),
    }
    for name, (its_ids, columns) in expected.items():
        found = do(load, f"alice/{name}")
        assert ids(found) == its_ids
        assert {n: column(found, n) for n in found.metadata.column_names} == columns
        assert [found.reader.read(entry.place) for entry in found][:2] == [red, blue]
        assert len({entry.state for entry in found}) == len(its_ids)


def test_one_of_several_configurations_is_named(hub: HubStandin, do: Do) -> None:
    card = b"""---
configs:
- config_name: front
  data_files: front/*
- config_name: back
  data_files: back/*
---
"""
    files = {"README.md": card, "front/a.png": picture("red"), "back/b.png": picture("blue")}
    hub.make_repo("alice/configs", files)
    with pytest.raises(CollectionError, match=r"'front', 'back'\]. Name one with --config.$"):
        do(load, "alice/configs")
    assert ids(do(load, "alice/configs", config="back")) == ["b.png"]


def load_without_patience(source: str) -> Collection:
    """Tries again at once."""
    import time

    time.sleep = lambda _: None
    return load(source)


def test_an_older_version_in_the_cache_is_never_taken_for_the_newest(
    hub: HubStandin, do: Do
) -> None:
    do(push, "alice/moving")
    do(load, "alice/moving")
    do(push, "alice/moving", "train", "more")
    hub.faults.append(Fault(path="/resolve/", status=503, times=1000))
    try:
        with pytest.raises(ImageSearchError, match="alice/moving cannot be fetched from the Hub"):
            do(load_without_patience, "alice/moving")
    finally:
        hub.faults.clear()
    hub.faults.append(Fault(path="/api/datasets/alice/moving", status=503, times=1000))
    try:
        with pytest.raises(HubError, match=r"The Hub failed \(it answered 503\). Try again"):
            do(load_without_patience, "alice/moving")
    finally:
        hub.faults.clear()
    assert len(do(load, "alice/moving")) == 8


# Of this machine


def save(folder: Path, columns: dict[str, Any], saved: bool = False) -> str:
    """Write a dataset as `datasets` does, once or as two splits; give its place."""
    from datasets import Dataset, DatasetDict
    from datasets import Image as Pictures

    dataset = Dataset.from_dict(columns)
    for name in dataset.column_names:
        if name.startswith("image"):
            dataset = dataset.cast_column(name, Pictures())
    if saved:
        DatasetDict({"train": dataset, "test": dataset}).save_to_disk(folder)
    else:
        (folder / "data").mkdir(parents=True)
        dataset.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return str(folder)


def pictures(*paths: str | None) -> list[dict[str, Any]]:
    return [
        {"bytes": picture(colour), "path": path}
        for colour, path in zip(COLOURS, paths, strict=False)
    ]


@pytest.mark.parametrize(
    ("columns", "expected", "id_column"),
    [
        ({"id": [7, 8, 9]}, ["7", "8", "9"], "id"),
        ({"id": ["a", "a", "b"], "File_Name": ["x", "y", "z"]}, ["x", "y", "z"], "File_Name"),
        ({"id": ["a", None, "b"]}, ["a.png", "x/b.png", "c.png"], "id"),
        ({"fname": ["e\u0301", " b ", "c"]}, ["\u00e9", "b", "c"], "fname"),
        ({"title": ["a", "b", "c"]}, ["a.png", "x/b.png", "c.png"], "id"),
    ],
)
def test_what_the_ids_are(
    do: Do, tmp_path: Path, columns: Any, expected: list[str], id_column: str
) -> None:
    rows = {"image": pictures("a.png", "x/b.png", "/tmp/away/c.png"), **columns}
    found = do(load, do(save, tmp_path / "d", rows))
    assert ids(found) == expected
    assert found.id_column == id_column


def test_ids_are_rows_where_nothing_tells_them_apart(do: Do, tmp_path: Path) -> None:
    rows = {"image": pictures("a.png", "a.png", None), "id": [1, 1, 2]}
    folder = do(save, tmp_path / "d", rows)
    found = do(load, folder)
    assert ids(found) == ["train/0000000", "train/0000001", "train/0000002"]
    assert [n for n in found.notices if "the ids are numbers of rows" in n]
    assert column(found, "original_id") == [1, 1, 2]
    named = do(load, folder, id_column="ID")
    assert ids(named) == ["1", "2"]
    assert [(r.id, r.reason) for r in named.rejects] == [
        ("1 (train, row 1)", "an earlier row has the same id")
    ]
    with pytest.raises(CollectionError, match="has no column 'nr' for ids; there are id"):
        do(load, folder, id_column="nr")


def test_columns_become_fields_or_are_named(do: Do, tmp_path: Path) -> None:
    from datetime import date, datetime

    rows = {
        "image": pictures("a", "b"),
        "title": ["The sea", " "],
        "pages": [3, None],
        "height": [0.1, 2e-7],
        "day": [date(1872, 5, 3), None],
        "seen": [datetime(2020, 1, 2, 3, 4, 5), datetime(2021, 1, 2)],
        "colour": [True, False],
        "tags": [["sea", "", "ship"], []],
        "box": [[1, 2], [3, 4]],
        "shelf": [{"room": 1}, {"room": 2}],
    }
    found = do(load, do(save, tmp_path / "d", rows))
    assert {name: column(found, name) for name in found.metadata.column_names} == {
        "title": ["The sea", None],
        "pages": [3, None],
        "height": [0.1, 2e-7],
        "day": ["1872-05-03", None],
        "seen": ["2020-01-02 03:04:05", "2021-01-02 00:00:00"],
        "colour": ["true", "false"],
        "tags": [["sea", "ship"], None],
    }
    assert [(field.name, field.kind) for field in found.fields] == [
        ("title", "text"),
        ("pages", "number"),
        ("height", "number"),
        ("day", "date"),
        ("seen", "date"),
        ("colour", "text"),
        ("tags", "list"),
    ]
    left_out = "2 columns of the dataset are no metadata and left out: for example 'box'"
    assert left_out in found.notices


def test_rows_without_picture_or_vector_are_rejects(do: Do, tmp_path: Path) -> None:
    good = [3.0, 4.0]
    rows = {
        "image": [
            *pictures("a.png", "b.png", "c.png", "d.png"),
            {"bytes": picture("blue"), "path": "e.png"},
            {"bytes": picture("blue"), "path": "f.png"},
            None,
            {"bytes": None, "path": str(tmp_path / "gone.png")},
            {"bytes": b"<html>", "path": "h.png"},
        ],
        "embeddings": [
            *(good, None, [math.nan, 1.0], [0.0, 0.0], [1.0], [None, 1.0]),
            *(good, good, [0.0, -2.0]),
        ],
        "id": list("abcdefxgh"),
    }
    file = tmp_path / "train.parquet"
    pq.write_table(pa.table(rows), file)
    found = do(load, [file])
    assert ids(found) == ["a", "g", "h"]
    assert [(reject.id, reject.reason) for reject in found.rejects] == [
        *((f"{id} (train, row {n})", "no vector in its column 'embeddings'")
          for n, id in enumerate("bcdef", start=1)),
        ("x (train, row 6)", "no picture in its row"),
    ]  # fmt: skip
    assert found.vectors is not None
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8], [0.6, 0.8], [0, -1]], rtol=1e-6)
    assert found.vectors.dtype == np.float32
    with pytest.raises(PictureError, match="^cannot be read: No such file or directory$"):
        found.reader.read(found.entries[1].place)
    with pytest.raises(PictureError, match=r"^not a picture \(looks like a web page\)$"):
        found.reader.read(found.entries[2].place)


def test_pictures_may_be_files_beside_the_dataset(do: Do, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG"))
    rows = {"image": [{"bytes": None, "path": str(tmp_path / "a.jpg")}], "n": [1]}
    pq.write_table(pa.table(rows), tmp_path / "books.parquet")
    found = do(load, [tmp_path / "books.parquet"])
    assert ids(found) == ["a.jpg"]
    assert found.reader.read(found.entries[0].place) == encoded("JPEG")
    assert found.name == "books"


def test_a_saved_dataset_opens_with_its_splits(do: Do, tmp_path: Path) -> None:
    rows = {"image": pictures("a.png", "b.png")}
    folder = do(save, tmp_path / "d", rows, saved=True)
    assert ids(do(load, folder)) == [
        "train/0000000",
        "train/0000001",
        "test/0000000",
        "test/0000001",
    ]
    assert ids(do(load, folder, split="test")) == ["a.png", "b.png"]
    with pytest.raises(CollectionError, match="has no split 'val', only train, test"):
        do(load, folder, split="val")


def test_the_column_of_pictures_is_found_or_named(do: Do, tmp_path: Path) -> None:
    rows = {"image_front": pictures("a", "b"), "image_back": pictures("c", "d"), "n": [1, 2]}
    folder = do(save, tmp_path / "d", rows)
    with pytest.raises(CollectionError, match="Such columns are: image_front, image_back. All"):
        do(load, folder)
    assert ids(do(load, folder, image_column="image_back")) == ["c", "d"]
    with pytest.raises(CollectionError, match="'n' has no pictures"):
        do(load, folder, image_column="n")
    both = {"image": pictures("a", "b"), "image_back": pictures("c", "d")}
    assert ids(do(load, do(save, tmp_path / "e", both))) == ["a", "b"]


def test_parquet_files_of_other_programs(do: Do, tmp_path: Path) -> None:
    for n, colour in enumerate(COLOURS):
        rows = {"jpg": [picture(colour)], "id": [f"000{n}"], "year": [1872 + n]}
        pq.write_table(pa.table(rows), tmp_path / f"part-{n}.parquet")
    found = do(load, sorted(tmp_path.glob("part-*.parquet")))
    assert ids(found) == ["0000", "0001", "0002", "0003"]
    assert found.reader.read(found.entries[3].place) == picture("white")
    assert column(found, "year") == [1872, 1873, 1874, 1875]
    (tmp_path / "part-9.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(CollectionError, match="part-9.parquet cannot be read as a dataset: "):
        do(load, [tmp_path / "part-9.parquet"])
