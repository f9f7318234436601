"""An artifact is opened whole, verified byte by byte, and refused with what to do."""

import json
from pathlib import Path

import pytest

from image_search.artifact import MANIFEST, MANIFEST_HASH, Artifact, verify
from image_search.errors import ArtifactError


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
    assert len(files) == 12
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


def test_verify_notices_rows_in_another_order(built: Path) -> None:
    """Every hash right, but the data belongs to another order of rows."""
    import pyarrow.parquet as pq

    from image_search.artifact import Manifest, file_info, write_manifest

    path = next((built / "data").iterdir())
    table = pq.read_table(path)
    pq.write_table(table.take([1, 0, 2, 3, 4]), path, row_group_size=16)
    manifest = Manifest.model_validate_json((built / MANIFEST).read_bytes())
    files = {**manifest.files, f"data/{path.name}": file_info(path)}
    write_manifest(built, manifest.model_copy(update={"files": files}))
    assert verify(built) == ["data: its rows are not in the order of the manifest"]


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
    import numpy as np

    from image_search.artifact import Manifest, file_info, write_manifest
    from image_search.index import FaissIndex

    index = FaissIndex.build(4)
    index.add(np.eye(4, dtype=np.float32))
    path = built / "index/vectors.faiss"
    index.write(path)
    manifest = Manifest.model_validate_json((built / MANIFEST).read_bytes())
    files = {**manifest.files, "index/vectors.faiss": file_info(path)}
    write_manifest(built, manifest.model_copy(update={"files": files}))
    with pytest.raises(ArtifactError, match="4 vectors of 4 numbers instead of 5 of 3"):
        _ = Artifact.open(built).index


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="There is no built collection at"):
        Artifact.open(tmp_path / "nowhere")


def test_a_newer_format_is_refused_with_the_upgrade_hint(built: Path) -> None:
    import hashlib

    raw = json.loads((built / MANIFEST).read_text())
    data = json.dumps({**raw, "format_version": 2}).encode()
    (built / MANIFEST).write_bytes(data)
    (built / MANIFEST_HASH).write_text(f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n")
    with pytest.raises(ArtifactError, match="format 2; this program reads format 1. Use a newer"):
        Artifact.open(built)
