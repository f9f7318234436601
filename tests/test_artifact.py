"""An artifact is opened whole, verified byte by byte, and refused with what to do."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import build_folder

import image_search
from image_search.artifact import Artifact
from image_search.encoder import OnnxEncoder
from image_search.errors import ArtifactError
from image_search.index.faiss_index import FaissIndex
from image_search.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    MANIFEST_HASH,
    Manifest,
    file_info,
    write_manifest,
)
from image_search.verify import verify


def test_an_artifact_says_what_it_holds(built: Path) -> None:
    artifact = Artifact.open(built)
    manifest = artifact.manifest
    assert (len(artifact), manifest.parts, manifest.encoder.dim) == (5, [5], 3)
    assert manifest.collection.name == "pictures"
    assert [(f.name, f.kind, f.role) for f in manifest.fields][:2] == [
        ("title", "text", "title"),
        ("year", "number", "year"),
    ]
    assert manifest.index.recall.text_at_10 == 1.0
    assert manifest.encoder.agreement.text_min_cosine == pytest.approx(1)
    assert len(artifact.version) == 64


def test_a_good_artifact_verifies(built: Path) -> None:
    assert verify(built) == []


def test_verify_catches_one_flipped_byte_in_any_file(built: Path) -> None:
    files = [path for path in built.rglob("*") if path.is_file()]
    assert len(files) == 13
    for path in files:
        good = path.read_bytes()
        for place in {0, len(good) // 2, len(good) - 1}:
            bad = bytearray(good)
            bad[place] ^= 1
            path.write_bytes(bad)
            problems = verify(built)
            assert problems, f"a flipped byte at {place} of {path.name} went unseen"
            assert path.name.removesuffix(".sha256") in problems[0]
        path.write_bytes(good)
    assert verify(built) == []


def test_verify_names_what_is_missing_and_what_is_too_much(built: Path) -> None:
    (built / "rejects.csv").unlink()
    (built / "notes.txt").write_text("mine")
    assert verify(built) == ["notes.txt: is not of this build", "rejects.csv: is missing"]


def rewrite(built: Path, name: str, write: Callable[[Path], object]) -> None:
    """Change a file of an artifact and put its new hash into the manifest."""
    write(built / name)
    manifest = Manifest.model_validate_json((built / MANIFEST).read_bytes())
    files = {**manifest.files, name: file_info(built / name)}
    write_manifest(built, manifest.model_copy(update={"files": files}))


def reorder(path: Path) -> None:
    """Swap the first two rows."""
    pq.write_table(pq.read_table(path).take([1, 0, 2, 3, 4]), path, row_group_size=16)


def shift_metadata(path: Path) -> None:
    """Move every value but the ids one row on."""
    table = pq.read_table(path)
    moved = table.drop_columns(["id"]).take([4, 0, 1, 2, 3])
    pq.write_table(moved.add_column(0, "id", table.column("id")), path)


def reverse_index(path: Path) -> None:
    index = FaissIndex.read(path)
    reversed_ = FaissIndex.build(index.dim)
    reversed_.add(np.ascontiguousarray(index.vectors(0, len(index))[::-1]))
    reversed_.write(path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("data/train-00000-of-00001.parquet", reorder, "data: its rows are not in the order"),
        ("thumbnails/train-00000-of-00001.parquet", reorder, "thumbnails: its rows are not in"),
        ("metadata.parquet", reorder, "the rows of metadata.parquet are not those"),
        ("metadata.parquet", shift_metadata, "metadata.parquet: does not say the same as data"),
        ("index/vectors.faiss", reverse_index, "does not hold the embeddings of data in their"),
    ],
)
def test_verify_notices_what_is_out_of_order_though_every_hash_is_right(
    built: Path, name: str, change: Callable[[Path], None], said: str
) -> None:
    rewrite(built, name, change)
    assert said in verify(built)[0]


def test_verify_measures_recall_again(built: Path) -> None:
    manifest = Manifest.model_validate_json((built / MANIFEST).read_bytes())
    better = manifest.index.recall.model_copy(update={"text_at_10": 1.5})
    index = manifest.index.model_copy(update={"recall": better})
    write_manifest(built, manifest.model_copy(update={"index": index}))
    assert "its recall text_at_10 is 100.0% and was 150.0%" in verify(built)[0]


@pytest.mark.parametrize("name", ["/etc/hostname", "../pictures/warm/red.png"])
def test_a_manifest_cannot_point_out_of_its_folder(built: Path, name: str) -> None:
    raw = json.loads((built / MANIFEST).read_text())
    raw["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    write_raw(built, json.dumps(raw).encode())
    with pytest.raises(ArtifactError, match="does not lie in the collection"):
        Artifact.open(built)
    assert "does not lie in the collection" in verify(built)[0]


def test_a_manifest_that_is_no_json_is_refused_though_its_hash_is_right(built: Path) -> None:
    write_raw(built, b"{")
    with pytest.raises(ArtifactError, match="manifest.json is not JSON"):
        Artifact.open(built)


def write_raw(built: Path, data: bytes) -> None:
    (built / MANIFEST).write_bytes(data)
    (built / MANIFEST_HASH).write_text(f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n")


def test_a_collection_rebuilt_under_an_open_one_is_noticed(
    built: Path, pictures: Path, colours: OnnxEncoder
) -> None:
    """Never a picture under another's title."""
    artifact = Artifact.open(built)
    (pictures / "cold/blue.png").unlink()
    build_folder(pictures, colours, built)
    with pytest.raises(ArtifactError, match="was built again since it was opened"):
        artifact.thumbnail(0)


def use(built: Path) -> str | None:
    """Open, search, read every picture; what an ArtifactError said, if there was one."""
    try:
        searcher = image_search.open(built)
        for hit in searcher.search("red", k=5):
            searcher.picture(hit.id)
            searcher.thumbnail(hit.id)
    except ArtifactError as error:
        return str(error)
    return None


def test_damage_anywhere_is_named_with_the_remedy_and_never_a_surprise(built: Path) -> None:
    """Bits flipped all over: opening, searching and reading end well or in an ArtifactError."""
    generator = np.random.default_rng(0)
    files = [p for p in built.rglob("*") if p.is_file() and p.suffix in (".parquet", ".faiss")]
    for path in files:
        good = path.read_bytes()
        for place in generator.integers(0, len(good), 40):
            bad = bytearray(good)
            bad[place] ^= 1 << int(generator.integers(0, 8))
            path.write_bytes(bad)
            said = use(built)
            assert said is None or " again" in said, said
        path.write_bytes(good)


def test_pictures_and_thumbnails_are_read_one_by_one(built: Path) -> None:
    artifact = Artifact.open(built)
    row = artifact.catalogue.row("cold/blue.png")
    assert row is not None
    assert artifact.picture(row).startswith(b"\x89PNG")
    assert artifact.thumbnail(row)[8:12] == b"WEBP"
    with pytest.raises(IndexError):
        artifact.picture(5)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: (p / "index/vectors.faiss").unlink(), "index/vectors.faiss is missing"),
        (lambda p: (p / "metadata.parquet").write_bytes(b"x"), "1 bytes instead of"),
        (lambda p: (p / MANIFEST).write_text("{}"), "its sha256 differs"),
        (lambda p: (p / MANIFEST_HASH).unlink(), "is not a collection that build_index.py wrote"),
        (lambda p: (p / MANIFEST).unlink(), "is not a collection that build_index.py wrote"),
    ],
)
def test_a_broken_artifact_is_refused_with_the_remedy(built: Path, damage, said: str) -> None:
    damage(built)
    with pytest.raises(ArtifactError, match=said) as raised:
        Artifact.open(built)
    assert "python build_index.py FOLDER --out" in str(raised.value)


def test_another_index_in_its_place_is_refused(built: Path) -> None:
    index = FaissIndex.build(4)
    index.add(np.eye(4, dtype=np.float32))
    rewrite(built, "index/vectors.faiss", index.write)
    with pytest.raises(ArtifactError, match="4 vectors of 4 numbers instead of 5 of 3"):
        _ = Artifact.open(built).index


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="There is no built collection at"):
        Artifact.open(tmp_path / "nowhere")


def test_a_newer_format_is_refused_with_the_upgrade_hint(built: Path) -> None:
    raw = json.loads((built / MANIFEST).read_text())
    write_raw(built, json.dumps({**raw, "format_version": FORMAT_VERSION + 1}).encode())
    with pytest.raises(ArtifactError, match=f"reads format {FORMAT_VERSION}. Use a newer"):
        Artifact.open(built)
