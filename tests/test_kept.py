"""Building again: what has not changed is kept, what has changed is not, and damage is seen."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import write_pictures
from PIL import Image

from image_search import kept, parts
from image_search.artifact import Artifact, data_file, thumbnail_file
from image_search.build import Builder, Summary, build
from image_search.collection import Collection
from image_search.encoder import OnnxEncoder
from image_search.folder import open_folder
from image_search.part_worker import PartWorker
from image_search.verify import verify

Encoded = list[int]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Encoded:
    """How many pictures were encoded, call by call; those that compare the export left out."""
    counts: Encoded = []
    original = PartWorker._encode

    def watched(self: PartWorker, pixels: list, entries: list[int]) -> np.ndarray:
        if entries:
            counts.append(len(entries))
        return original(self, pixels, entries)

    monkeypatch.setattr(PartWorker, "_encode", watched)
    return counts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty small pictures, which become several parts."""
    monkeypatch.setattr(parts, "SIZE", 8)
    folder = tmp_path / "pictures"
    for number in range(60):
        add(folder, f"{number // 10}/{number:02}.png", number)
    return folder


def add(folder: Path, name: str, seed: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def same_as_new(folder: Path, encoder: OnnxEncoder, out: Path, **how: object) -> bool:
    """Whether the collection is what a build to an empty place gives."""
    fresh = out.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    build(open_folder(folder), encoder, fresh, **how)  # type: ignore[arg-type]
    assert verify(out) == []
    return Artifact.open(out).manifest.files == Artifact.open(fresh).manifest.files


def test_an_unchanged_folder_is_not_encoded_again(
    folder: Path, colours: OnnxEncoder, encoded: Encoded, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = build(open_folder(folder), colours, out)
    assert (first.rows, first.kept, sum(encoded)) == (60, 0, 60)
    inode = (out / data_file(0, len(Artifact.open(out).manifest.parts))).stat().st_ino
    encoded.clear()
    second = build(open_folder(folder), colours, out)
    assert (second.rows, second.kept, encoded) == (60, 60, [])
    assert second.version == first.version
    count = len(Artifact.open(out).manifest.parts)
    assert count > 3
    assert (out / data_file(0, count)).stat().st_ino == inode  # not even copied
    assert same_as_new(folder, colours, out)


def test_added_pictures_are_encoded_and_deleted_ones_dropped(
    folder: Path, colours: OnnxEncoder, encoded: Encoded, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    encoded.clear()
    add(folder, "0/00a.png", 100)
    add(folder, "9/last.png", 101)
    add(folder, "3/33.png", 102)  # changed
    (folder / "2/25.png").unlink()
    second = build(open_folder(folder), colours, out)
    assert (second.rows, second.kept, sum(encoded)) == (61, 58, 3)
    assert same_as_new(folder, colours, out)


def test_a_picture_that_is_added_changes_few_files(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    """So that little has to be pushed to the Hub again."""
    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    before = {f.sha256 for n, f in Artifact.open(out).manifest.files.items() if "data/" in n}
    add(folder, "0/00a.png", 100)
    build(open_folder(folder), colours, out)
    after = {f.sha256 for n, f in Artifact.open(out).manifest.files.items() if "data/" in n}
    assert len(after - before) <= 2
    assert len(before) > 4


def test_new_metadata_needs_no_encoding(
    colours: OnnxEncoder, encoded: Encoded, tmp_path: Path
) -> None:
    folder, out = write_pictures(tmp_path / "pictures"), tmp_path / "out"
    build(open_folder(folder), colours, out)
    encoded.clear()
    table = folder / "metadata.csv"
    table.write_text(table.read_text().replace("A red thing", "A crimson thing"))
    build(open_folder(folder), colours, out)
    assert encoded == []
    artifact = Artifact.open(out)
    row = artifact.catalogue.row("warm/red.png")
    assert row is not None
    assert artifact.catalogue.known([row])[0].metadata["title"] == "A crimson thing"
    assert same_as_new(folder, colours, out)


@pytest.mark.parametrize("how", [{"max_side": 300}, {"max_pixels": 10_000}])
def test_another_way_of_preparing_is_another_build(
    folder: Path, colours: OnnxEncoder, encoded: Encoded, tmp_path: Path, how: dict[str, int]
) -> None:
    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    encoded.clear()
    assert build(open_folder(folder), colours, out, **how).kept == 0
    assert sum(encoded) == 60
    assert same_as_new(folder, colours, out, **how)


def test_another_model_is_another_build(
    folder: Path, colours: OnnxEncoder, encoded: Encoded, tmp_path: Path
) -> None:
    out, other = tmp_path / "out", OnnxEncoder(colours.folder)
    other.spec = other.spec.model_copy(update={"revision": "2"})
    build(open_folder(folder), colours, out)
    encoded.clear()
    assert build(open_folder(folder), other, out).kept == 0
    assert sum(encoded) == 60


def test_rejects_are_kept_with_their_part_and_passing_ones_tried_again(
    folder: Path, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from image_search.errors import PictureError
    from image_search.folder import FolderReader

    out = tmp_path / "out"
    (folder / "4/44.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    read, tried = FolderReader.read, []

    def fail(self: FolderReader, place: str) -> bytes:
        tried.append(place)
        if place == "5/55.png":
            raise PictureError("cannot be read: Input/output error")
        return read(self, place)

    monkeypatch.setattr(FolderReader, "read", fail)
    here = dataclasses.replace(open_folder(folder), readers=1)  # reads in this process
    assert build(here, colours, out).rows == 58
    monkeypatch.setattr(FolderReader, "read", read)
    again = build(open_folder(folder), colours, out)
    assert again.rows == 59
    assert again.rejects == {"damaged": 1}
    assert same_as_new(folder, colours, out)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize("file", [data_file, thumbnail_file])
def test_a_damaged_part_is_made_again_and_said(
    folder: Path,
    colours: OnnxEncoder,
    encoded: Encoded,
    tmp_path: Path,
    file: Callable[[int, int], str],
) -> None:
    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    rows = Artifact.open(out).manifest.parts
    damage(out / file(1, len(rows)))
    encoded.clear()
    with Builder(open_folder(folder), colours, out) as builder:
        assert builder.run().rows == 60
    assert sum(encoded) == rows[1]
    assert len(builder.notices) == 1
    assert "was damaged since it was made" in builder.notices[0]
    assert same_as_new(folder, colours, out)


def test_parts_of_a_stopped_build_and_the_former_collection_are_both_kept(
    folder: Path, colours: OnnxEncoder, encoded: Encoded, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    class Stop:
        left = 3

        def update(self, n: int) -> None:
            self.left -= bool(n)
            if not self.left:
                raise StoppedError

    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    for number in range(60, 90):
        add(folder, f"0/{number}.png", number)
    with pytest.raises(StoppedError):
        build(open_folder(folder), colours, out, progress=Stop())
    encoded.clear()
    summary: Summary = build(open_folder(folder), colours, out)
    assert summary.rows == 90
    assert summary.kept > 60
    assert sum(encoded) == 90 - summary.kept
    assert same_as_new(folder, colours, out)


def test_rows_of_the_part_that_was_being_made_are_kept(
    folder: Path,
    colours: OnnxEncoder,
    encoded: Encoded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped, not killed: the encoder fails three times within one large part."""
    monkeypatch.setattr(parts, "SIZE", 1000)
    out, original = tmp_path / "out", PartWorker._encode
    left = [2]

    def failing(self: PartWorker, pixels: list, entries: list[int]) -> np.ndarray:
        if entries and not left[0]:
            raise KeyboardInterrupt
        left[0] -= bool(entries)
        return original(self, pixels, entries)

    for rows in (16, 32, 48):
        with monkeypatch.context() as patch:
            patch.setattr(PartWorker, "_encode", failing)
            left[0] = 2
            with pytest.raises(KeyboardInterrupt):
                build(open_folder(folder), colours, out, batch_size=8)
        with Builder(open_folder(folder), colours, out) as builder:
            [step] = builder.look()
            assert step.kept == rows
    encoded.clear()
    assert build(open_folder(folder), colours, out).kept == 48
    assert sum(encoded) == 12
    assert same_as_new(folder, colours, out)


def test_a_part_stopped_between_its_two_files_keeps_what_both_have(
    folder: Path, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SIZE", 1000)
    for module in (parts, kept):
        monkeypatch.setattr(module, "ROW_GROUP", 8)
    out, original = tmp_path / "out", parts.PartWriter._thumbnails
    with monkeypatch.context() as patch:

        def stopped(self: parts.PartWriter, rows: list[parts.Row]) -> object:
            if rows[0].index == 24:
                raise KeyboardInterrupt
            return original(self, rows)

        patch.setattr(parts.PartWriter, "_thumbnails", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(open_folder(folder), colours, out)
    assert build(open_folder(folder), colours, out).kept == 24
    assert same_as_new(folder, colours, out)


def test_pictures_that_will_be_gone_are_announced(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def said(**how: object) -> list[str]:
        with Builder(open_folder(folder), colours, out, **how) as builder:  # type: ignore[arg-type]
            builder.look()
        return builder.notices

    assert said() == []
    build(open_folder(folder), colours, out)
    assert said() == []
    with Builder(open_folder(folder).first(20), colours, out) as builder:
        builder.look()
    [line] = builder.notices
    assert line.startswith(f"40 of the 60 pictures in {out} are not in the source any more")
    [line] = said(max_side=300)
    assert line.startswith(f"nothing of {out} can be kept: it was built with another model")
    shutil.rmtree(folder)
    add(folder, "another.png", 1)
    [line] = said()
    assert line.startswith("60 of the 60 pictures")


def test_a_sample_of_what_is_kept_is_not_read_from_the_source(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (folder / "0/00.png").write_bytes(b"no picture")
    build(open_folder(folder), colours, out)
    add(folder, "new.png", 99)
    collection = open_folder(folder)
    asked: list[str] = []

    class Watched:
        def read(self, place: Path) -> bytes:
            asked.append(Path(place).name)
            return collection.reader.read(place)

        def check(self) -> None: ...
        def close(self) -> None: ...

    watched = dataclasses.replace(collection, reader=Watched(), readers=1)
    with Builder(watched, colours, out) as builder:
        forecast = builder.forecast()
        assert (forecast.new, forecast.kept) == (1, 59)
        assert forecast.rejects == []
        assert forecast.tried > 20
        assert set(asked) <= {"new.png"}
        asked.clear()
        assert builder.run().rows == 60
    assert asked == ["new.png"]
    assert same_as_new(folder, colours, out)


def test_where_parts_end_depends_on_the_ids_alone() -> None:
    ids = [f"{n:05}.jpg" for n in range(20_000)]
    whole = {(ids[a], ids[b - 1]) for a, b in parts.cut(ids)}
    fewer = ids[:5000] + ids[5001:]
    moved = {(fewer[a], fewer[b - 1]) for a, b in parts.cut(fewer)}
    assert len(whole - moved) <= 2
    assert 10 <= len(whole) <= 40
    assert sum(b - a for a, b in parts.cut(ids)) == len(ids)
    assert max(b - a for a, b in parts.cut(ids)) <= 2 * parts.SIZE


def test_the_forecast_counts_what_is_new(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with Builder(open_folder(folder), colours, out) as builder:
        forecast = builder.forecast()
        assert (forecast.pictures, forecast.new) == (60, 60)
        assert forecast.seconds > 0
        assert forecast.disk > 60 * 100
        assert forecast.free > 0
    assert not list(tmp_path.glob("out*"))  # a look leaves nothing behind
    build(open_folder(folder), colours, out)
    add(folder, "x.png", 1)
    with Builder(open_folder(folder), colours, out) as builder:
        assert builder.forecast().new == 1


def test_a_source_that_is_gone_stops_the_build_and_nothing_is_lost(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    from image_search.errors import CollectionError

    collection: Collection = open_folder(folder)
    folder.rename(tmp_path / "unplugged")
    with pytest.raises(CollectionError, match="is gone: No such file or directory"):
        build(collection, colours, tmp_path / "out")
    (tmp_path / "unplugged").rename(folder)
    assert build(collection, colours, tmp_path / "out").rows == 60


def test_several_builds_in_one_program_do_not_mix_up_their_files(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    """Parts of each have the names that others had in the build before."""
    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    for turn in range(4):
        (folder / f"0/0{turn}.png").unlink()
        add(folder, f"0/0{turn}z.png", 200 + turn)
        build(open_folder(folder), colours, out)
        assert same_as_new(folder, colours, out), turn


def test_what_is_put_into_the_collection_while_it_is_built_is_not_lost(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    from image_search.errors import ArtifactError

    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    add(folder, "x.png", 1)

    class Note:
        def update(self, n: int) -> None:
            (out / "my-notes.txt").write_text("years of work")

    with pytest.raises(ArtifactError, match="no build wrote, for example my-notes.txt"):
        build(open_folder(folder), colours, out, progress=Note())
    assert (out / "my-notes.txt").read_text() == "years of work"
    (out / "my-notes.txt").unlink()
    assert build(open_folder(folder), colours, out).rows == 61


def test_many_unreadable_pictures_do_not_stop_a_source_that_still_answers(
    folder: Path, colours: OnnxEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from image_search import encoding
    from image_search.errors import CollectionError, PictureError
    from image_search.folder import FolderReader

    monkeypatch.setattr(encoding, "GIVE_UP", 5)
    read, dead = FolderReader.read, [f"{n // 10}/{n:02}.png" for n in range(20, 40)]

    def some(self: FolderReader, place: str) -> bytes:
        if place in dead:
            raise PictureError("cannot be read: gone")
        return read(self, place)

    monkeypatch.setattr(FolderReader, "read", some)
    here = dataclasses.replace(open_folder(folder), readers=1)
    for _ in range(2):
        assert build(here, colours, tmp_path / "out").rows == 40
    with Builder(here, colours, tmp_path / "other") as builder:
        dead.extend(f"{n // 10}/{n:02}.png" for n in range(60))
        with pytest.raises(CollectionError, match="nor can one that could be read before"):
            builder.run()


def test_a_part_whose_ids_are_damaged_is_made_again(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    build(open_folder(folder), colours, out)
    path = out / thumbnail_file(0, len(Artifact.open(out).manifest.parts))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"0/00.png", b"0/\xff0.png"))
    add(folder, "0/00a.png", 1)
    assert build(open_folder(folder), colours, out).rows == 61
    assert same_as_new(folder, colours, out)


@pytest.mark.parametrize("name", ["Icon\r", "a\nb.png"])
def test_names_with_line_breaks_are_lines_of_their_own_in_rejects(
    folder: Path, colours: OnnxEncoder, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    (folder / name).write_bytes(b"")
    (folder / "Icon").write_bytes(b"")
    for _ in range(2):
        build(open_folder(folder), colours, out)
        lines = (out / "rejects.csv").read_text().splitlines()
        assert sorted(line.partition(",")[0] for line in lines[1:]) == sorted(
            ["Icon", name.replace("\r", "\\r").replace("\n", "\\n")]
        )


def test_a_collection_with_hardly_a_good_picture_is_built(
    folder: Path, colours: OnnxEncoder, tmp_path: Path
) -> None:
    """None of those that the sample takes first."""
    for number in range(60):
        if number != 33:
            (folder / f"{number // 10}/{number:02}.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert build(open_folder(folder), colours, tmp_path / "out").rows == 1
    assert verify(tmp_path / "out") == []
