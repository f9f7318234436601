"""From a folder to an artifact: every file accounted for, resumed after a stop, the same twice."""

import csv
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import odd_files
import pytest
from conftest import build_folder
from PIL import Image

import image_search
from image_search import parts
from image_search.artifact import Artifact
from image_search.build import build
from image_search.encoder import OnnxEncoder
from image_search.errors import ArtifactError, CollectionError, PictureError
from image_search.folder import FolderReader, open_folder
from image_search.manifest import CollectionInfo
from image_search.verify import verify


def rejects_of(out: Path) -> dict[str, str]:
    with (out / "rejects.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["reason"] for row in csv.DictReader(file)}


def test_every_file_is_a_row_or_a_reject(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    odd = odd_files.make_odd_files(pictures / "odd")
    out = build_folder(pictures, colours, tmp_path / "out")
    ids = set(Artifact.open(out).catalogue.ids())
    rejects = rejects_of(out)
    assert not ids & set(rejects)
    for name, reason in odd.items():
        if reason is None:
            assert f"odd/{name}" in ids, f"{name} should have become a row"
        else:
            assert rejects[f"odd/{name}"].startswith(reason)
    assert rejects["metadata.csv"]
    assert sum(Artifact.open(out).manifest.rejects.values()) == len(rejects)
    assert verify(out) == []


def test_two_builds_have_the_same_vectors_and_files(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    first, second = (
        Artifact.open(build_folder(pictures, colours, tmp_path / name)) for name in ("a", "b")
    )
    assert first.vectors().tobytes() == second.vectors().tobytes()
    assert first.catalogue.ids() == second.catalogue.ids()
    differing = {
        name
        for name, info in first.manifest.files.items()
        if second.manifest.files[name].sha256 != info.sha256
    }
    assert differing == set()


def test_vectors_are_of_length_one_and_in_the_order_of_the_index(built: Path) -> None:
    artifact = Artifact.open(built)
    vectors = artifact.vectors()
    assert vectors.shape == (5, 3)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    for row, vector in enumerate(vectors):
        assert artifact.index.search(vector, 1)[0].tolist() == [row]


class StoppedError(Exception):
    """A build that is interrupted."""


class StopAfter:
    """A progress that stops the build once enough pictures were dealt with."""

    def __init__(self, pictures: int) -> None:
        self.left = pictures

    def update(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise StoppedError


class Counting:
    """The colour encoder, counting what it encodes."""

    def __init__(self, encoder: OnnxEncoder) -> None:
        self.encoder = encoder
        self.encoded = 0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        self.encoded += len(pixels)
        return OnnxEncoder.encode_pixels(self.encoder, pixels)


def test_a_stopped_build_goes_on_where_it_was(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SIZE", 2)
    collection, out = open_folder(pictures), tmp_path / "out"
    with pytest.raises(StoppedError):
        build(collection, colours, out, progress=StopAfter(0))
    assert not out.exists()
    told = map(parts.read_told, (tmp_path / "out.partial/parts").glob("*[0-9a-f]"))
    done = sum(part.rows for part in told if part)
    assert 0 < done < 5
    counting = Counting(colours)
    monkeypatch.setattr(colours, "encode_pixels", counting)
    build(collection, colours, out)
    assert counting.encoded == 5 - done  # nor is the export compared again
    assert sum(Artifact.open(out).manifest.parts) == 5
    assert verify(out) == []
    undisturbed = tmp_path / "undisturbed"
    build(collection, colours, undisturbed)
    assert Artifact.open(out).vectors().tobytes() == Artifact.open(undisturbed).vectors().tobytes()
    assert not list(tmp_path.glob("*.partial"))


def test_a_changed_picture_is_not_taken_from_the_stopped_build(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SIZE", 2)
    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        build(open_folder(pictures), colours, out, progress=StopAfter(0))
    Image.new("RGB", (50, 50), "red").save(pictures / "cold/blue.png")
    build(open_folder(pictures), colours, out)
    assert image_search.open(out).search("blue", k=1)[0].score < 0.1


DRIVER = """
import sys
from image_search import parts
from image_search.build_command import main
parts.SIZE = 8
sys.argv = ["build_index.py", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_a_build_killed_at_every_stage_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    """The real program in small parts, killed as soon as something new lies on the disk."""
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(40):
        pixels = generator.integers(0, 255, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    command = [sys.executable, "-c", DRIVER, str(folder), "--model", "embedded", "--out"]
    work = tmp_path / "out.partial"
    seen = 0
    for stage in ("encoder", "parts/*", "parts/*", "parts/*", "artifact", "artifact/index/*"):
        before = set(work.glob(stage)) if stage == "parts/*" else set()
        process = subprocess.Popen([*command, str(out)], stdout=-3, stderr=-3)
        while process.poll() is None and not set(work.glob(stage)) - before:
            time.sleep(0.005)
        seen += process.poll() is None
        process.kill()
        process.wait()
        assert not out.exists() or verify(out) == []
    assert seen >= 5  # really killed at work, not after the end
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    subprocess.run([*command, str(tmp_path / "undisturbed")], check=True, capture_output=True)
    assert verify(out) == []
    undisturbed = Artifact.open(tmp_path / "undisturbed")
    assert Artifact.open(out).manifest.files == undisturbed.manifest.files
    assert len(undisturbed) == 40


def test_the_former_collection_is_back_after_a_kill_between_the_two_renames(
    pictures: Path, colours: OnnxEncoder, built: Path
) -> None:
    work = built.with_name("built.partial")
    work.mkdir()
    built.rename(work / "old")  # where such a kill leaves it
    for path in pictures.rglob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    with pytest.raises(CollectionError, match="None of the"):
        build(open_folder(pictures), colours, built)
    assert verify(built) == []


def test_a_torn_part_is_made_again(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SIZE", 2)
    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        build(open_folder(pictures), colours, out, progress=StopAfter(0))
    part = next((tmp_path / "out.partial/parts").glob("*[0-9a-f]/data.parquet"))
    part.write_bytes(b"")
    build(open_folder(pictures), colours, out)
    assert verify(out) == []


def test_a_passing_fault_is_not_remembered(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SIZE", 2)
    out = tmp_path / "out"
    collection = dataclasses.replace(open_folder(pictures), readers=1)  # reads in this process
    read = FolderReader.read

    def fail_once(self: FolderReader, place: str) -> bytes:
        if place == "cold/blue.png":
            raise PictureError("cannot be read: Input/output error")
        return read(self, place)

    monkeypatch.setattr(FolderReader, "read", fail_once)
    with pytest.raises(StoppedError):
        build(collection, colours, out, progress=StopAfter(0))
    monkeypatch.setattr(FolderReader, "read", read)
    build(collection, colours, out)
    assert Artifact.open(out).catalogue.row("cold/blue.png") is not None


def test_two_builds_at_once_do_not_get_in_each_others_way(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    class Second:
        """Starts the same build while the first one works."""

        def update(self, n: int) -> None:
            with pytest.raises(ArtifactError, match="being built by another process"):
                build(open_folder(pictures), colours, out)

    build(open_folder(pictures), colours, out, progress=Second())
    assert verify(out) == []


def test_a_picture_that_vanishes_meanwhile_is_named(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    collection = open_folder(pictures)
    (pictures / "cold/blue.png").unlink()
    build(collection, colours, tmp_path / "out")
    assert rejects_of(tmp_path / "out")["cold/blue.png"].startswith("cannot be read: No such file")


def test_building_again_replaces_the_collection_whole(
    pictures: Path, colours: OnnxEncoder, built: Path
) -> None:
    (pictures / "warm/red.png").unlink()
    build(open_folder(pictures), colours, built)
    assert Artifact.open(built).catalogue.row("warm/red.png") is None
    assert verify(built) == []


def test_a_folder_with_something_else_is_never_written_over(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter-1.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="not a built collection, or a damaged one; nothing"):
        build(open_folder(pictures), colours, out)
    assert (out / "chapter-1.txt").read_text() == "years of work"


def test_a_manifest_of_somebody_else_does_not_make_a_built_collection(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    """IIIF calls its file manifest.json as well."""
    out = tmp_path / "iiif"
    out.mkdir()
    (out / "manifest.json").write_text('{"@context": "http://iiif.io/api/presentation/3"}')
    (out / "scan.tif").write_bytes(b"the only copy")
    with pytest.raises(ArtifactError, match="not a built collection, or a damaged one; nothing"):
        build(open_folder(pictures), colours, out)
    assert (out / "scan.tif").read_bytes() == b"the only copy"


def test_a_file_that_somebody_put_into_a_built_collection_is_not_lost(
    pictures: Path, colours: OnnxEncoder, built: Path
) -> None:
    (built / "my-judgements.csv").write_text("mine")
    with pytest.raises(ArtifactError, match=r"no build wrote, for example my-judgements\.csv"):
        build(open_folder(pictures), colours, built)
    assert (built / "my-judgements.csv").read_text() == "mine"


def test_a_folder_of_pictures_called_like_the_place_of_work_is_not_lost(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    folder = pictures.rename(tmp_path / "scans.partial")
    with pytest.raises(ArtifactError, match="holds something else .* nothing was touched"):
        build(open_folder(folder), colours, tmp_path / "scans")
    assert (folder / "warm/red.png").exists()


def test_a_grainy_scan_is_stored(colours: OnnxEncoder, tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "grain.tif")
    build(open_folder(folder), colours, out)
    assert Artifact.open(out).picture(0).startswith(b"\xff\xd8")


def test_a_folder_without_a_single_good_picture_is_an_error_with_the_reason(
    colours: OnnxEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(CollectionError, match="None of the 1 files .* a.jpg: damaged"):
        build(open_folder(folder), colours, tmp_path / "out")


def test_a_picture_is_stored_no_larger_than_asked(colours: OnnxEncoder, tmp_path: Path) -> None:
    from io import BytesIO

    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir()
    Image.new("RGB", (3000, 1500), "red").save(folder / "large.jpg")
    build(open_folder(folder), colours, out, max_side=600)
    with Image.open(BytesIO(Artifact.open(out).picture(0))) as picture:
        assert picture.size == (600, 300)
    with Image.open(BytesIO(Artifact.open(out).thumbnail(0))) as thumbnail:
        assert thumbnail.size == (256, 128)


def test_the_articles_own_steps_read_the_artifact(built: Path) -> None:
    """load_dataset, add_faiss_index, get_nearest_examples: the same order as ours."""
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    dataset = load_dataset(str(built), split="train")
    assert dataset.column_names[:2] == ["id", "image"]
    assert dataset.features["embeddings"].length == 3
    assert dataset[0]["image"].size == (48, 32)
    assert dataset[4]["keywords"] == ["fire", "blood"] or dataset[4]["keywords"] is None
    dataset.add_faiss_index(column="embeddings")
    opened = image_search.open(built)
    query = opened.encoder.encode_texts(["red"])[0]
    _, examples = dataset.get_nearest_examples("embeddings", query, k=5)
    assert examples["id"] == [hit.id for hit in opened.search("red", k=5)]


def test_the_card_says_what_the_collection_is(
    pictures: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    info = CollectionInfo(name='Plain "colours"', description="Five squares.", rights="CC0")
    out = tmp_path / "out"
    build(open_folder(pictures), colours, out, info)
    text = (out / "README.md").read_text(encoding="utf-8")
    for expected in (
        'pretty_name: "Plain \\"colours\\""',
        "data/train-*.parquet",
        "Five squares.",
        "5 pictures",
        "`colours`",
        "Knows five colours.",
        "CC0",
        "| title | text | title |",
    ):
        assert expected in text
