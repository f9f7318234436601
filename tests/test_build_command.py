"""build_index.py as a keeper types it: what it says before and after, and the tutorial's data."""

import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from conftest import write_pictures
from PIL import Image

import image_search
from image_search.artifact import Artifact
from image_search.build_command import spell_bytes, spell_seconds
from image_search.verify import verify

ROOT = Path(__file__).parent.parent


def build(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run build_index.py with the small encoder, unless another one is named."""
    model = () if "--model" in arguments else ("--model", "embedded")
    return subprocess.run(
        [sys.executable, str(ROOT / "build_index.py"), *arguments, *model],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=300,
    )


def done(process: subprocess.CompletedProcess) -> str:
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_it_says_what_it_will_do_what_it_did_and_what_to_do_next(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = done(build(str(pictures), "--out", str(out)))
    for line in (
        f"5 pictures found in {pictures}, 1 left out .read as metadata, not a picture: 1.[.]",
        "5 pictures to encode.",
        r"Model embedded, revision \w{12}, on cpu; \d+ processes? decodes?.",
        r"Expected: about \d+ s, [\d.]+ [MKG]B of disk \([\d.,]+ GB are free\), .* of memory.",
        f"5 pictures are in {out}.",
        " +1  read as metadata, not a picture",
        "Seconds: query encoder .*",
        "Sizes: .*data .*thumbnails .*",
        f"  IMAGE_SEARCH_ARTIFACT={out} python app.py",
        f"  python -m image_search push {out} USER/NAME",
    ):
        assert re.search(f"(?m)^{line}$", said), line
    again = done(build(str(pictures), "--out", str(out)))
    assert "0 pictures to encode, 5 kept from an earlier build." in again


def test_a_dry_run_writes_nothing(pictures: Path, tmp_path: Path) -> None:
    said = done(build(str(pictures), "--out", str(tmp_path / "out"), "--dry-run"))
    assert "5 pictures to encode." in said
    assert "Expected: about" in said
    assert "Nothing was built" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures"]


def test_limit_takes_the_first_and_a_build_without_it_keeps_them(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done(build(str(pictures), "--out", str(out), "--limit", "2"))
    assert Artifact.open(out).catalogue.ids() == ["cold/blue.png", "cold/green.png"]
    assert Artifact.open(out).manifest.source.options["limit"] == 2
    assert "3 pictures to encode, 2 kept" in done(build(str(pictures), "--out", str(out)))
    assert verify(out) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{pictures}", "--out", "{pictures}/out"), "lies inside"),
        (("{pictures}", "--out", "{tmp}"), "holds what is to be read"),
        (("{pictures}", "--out", "{tmp}/o", "--url-suffix", "?w=1"), "means nothing for a folder"),
        (("{tmp}/nowhere.zip", "--out", "{tmp}/o"), "There is no"),
        (("{pictures}", "--out", "{tmp}/o", "--table", "x"), "write NAME=FILE"),
        (("{pictures}", "--out", "{tmp}/o", "--device", "cuda"), "runs on the CPU"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    pictures: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    typed = [a.format(pictures=pictures, tmp=tmp_path) for a in arguments]
    process = build(*typed)
    assert process.returncode == 1
    [line] = process.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures"]


def test_pictures_that_were_tried_and_failed_are_told(tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out put"
    write_pictures(pictures)
    for number in range(60):
        (pictures / f"x{number:02}.jpg").write_bytes(b"nothing")
    said = done(build(str(pictures), "--out", str(out), "--dry-run"))
    assert re.search(
        r"note: \d+ of \d+ pictures that were tried cannot be used. The first: x", said
    )
    said = done(build(str(pictures), "--out", str(out)))
    assert f"--artifact '{out}'\n" in said  # to be pasted as it is


def test_a_sample_of_nothing_but_what_was_left_out_before_is_no_trouble(tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    for number in range(400):
        (pictures / f"{number:03}.jpg").write_bytes(b"nothing")
    Image.new("RGB", (9, 9)).save(pictures / "008.jpg")  # where no sample is taken
    done(build(str(pictures), "--out", str(out)))
    said = done(build(str(pictures), "--out", str(out)))
    assert "0 pictures to encode, 1 kept from an earlier build." in said
    assert "Expected: about" in said
    assert "tried" not in said


def test_where_nothing_can_be_had_the_time_is_not_guessed(tmp_path: Path) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out"
    table.write_text("image\n" + "".join(f"http://127.0.0.1:9/{n}.jpg\n" for n in range(3)))
    said = done(build(str(table), "--out", str(out), "--dry-run"))
    assert "3 of 3 pictures that were tried cannot be used" in said
    assert "; --allow-private permits it)" in said
    assert "Expected" not in said
    process = build(str(table), "--out", str(out))
    assert process.returncode == 1
    assert "(t.csv, line 2): not downloaded: address not allowed" in process.stderr


def test_a_refused_address_is_tried_again_where_it_is_allowed(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    handler = partial(SimpleHTTPRequestHandler, directory=str(pictures))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        Thread(target=httpd.serve_forever, daemon=True).start()
        table = pictures / "t.csv"
        place = f"http://127.0.0.1:{httpd.server_port}"
        names = ("cold/blue.png", "cold/green.png", "nowhere.png")
        rows = ["warm/red.png", *(f"{place}/{name}" for name in names)]
        table.write_text("image\n" + "".join(f"{row}\n" for row in rows))
        assert "1 pictures are in" in done(build(str(table), "--out", str(out)))
        said = done(build(str(table), "--out", str(out), "--allow-private"))
        httpd.shutdown()
    assert "3 pictures are in" in said
    assert "1 of them from an earlier build" in said
    rejects = (out / "rejects.csv").read_text().splitlines()
    assert rejects[0] == "id,reason,where"
    assert re.fullmatch(r'[0-9a-f]{16},not downloaded: HTTP 404,"t.csv, line 5"', rejects[1])
    assert verify(out) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_twice_it_ends_as_stopped_once(tmp_path: Path, number: signal.Signals) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    image = Image.effect_noise((500, 500), 60)
    for n in range(400):
        image.save(pictures / f"{n}.jpg")
    process = subprocess.Popen(
        [sys.executable, ROOT / "build_index.py", pictures, "--out", out, "--model", "embedded"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A program in the background of a script inherits that Ctrl+C is passed over.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    small = "out.partial/parts/*.tmp/thumbnails.parquet"
    while not any(path.stat().st_size > 10_000 for path in tmp_path.glob(small)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for _ in range(3):
        if number == signal.SIGINT:  # as a terminal sends it, to all processes
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        time.sleep(0.1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Stopped. The same command goes on from here."
    assert "Traceback" not in said
    assert "leaked" not in said
    assert " kept from an earlier build." in done(build(str(pictures), "--out", str(out)))


def test_times_and_sizes_are_spelt_for_people() -> None:
    assert [spell_seconds(s) for s in (0, 40, 89, 300, 5300, 36_000)] == [
        *("about 1 s", "about 40 s", "about 89 s", "about 5 min", "about 88 min"),
        "about 10 h 00 min",
    ]
    assert [spell_bytes(n) for n in (10, 2500, 3_200_000, 71_500_000_000)] == [
        *("10 bytes", "2.5 KB", "3.2 MB", "71.5 GB"),
    ]


# MyScale's tutorial: Unsplash Lite's tables, in its own columns and parts

PHOTOS = [
    "photo_id",
    "photo_url",
    "photo_image_url",
    "photo_submitted_at",
    "photo_featured",
    "photo_width",
    "photo_height",
    "photo_aspect_ratio",
    "photo_description",
    "photographer_username",
    "photographer_first_name",
    "photographer_last_name",
    "exif_camera_make",
    "exif_camera_model",
    "exif_iso",
    "exif_aperture_value",
    "exif_focal_length",
    "exif_exposure_time",
    "photo_location_name",
    "photo_location_latitude",
    "photo_location_longitude",
    "photo_location_country",
    "photo_location_city",
    "stats_views",
    "stats_downloads",
    "ai_description",
    "ai_primary_landmark_name",
    "ai_primary_landmark_latitude",
    "ai_primary_landmark_longitude",
    "ai_primary_landmark_confidence",
    "blur_hash",
]
CONVERSIONS = [
    "converted_at",
    "conversion_type",
    "keyword",
    "photo_id",
    "anonymous_user_id",
    "conversion_country",
]
COLOURS = ["red", "green", "blue", "yellow", "white", "orange", "purple", "black"]


@pytest.fixture
def photo_server() -> Iterator[str]:
    """Serves photos by colour, asked for as the tutorial asks; every eighth is gone."""

    class Photos(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, urlsplit(self.path).query
            number = int(path.rpartition("-")[2])
            buffer = BytesIO()
            Image.new("RGB", (200, 150), COLOURS[number % 8]).save(buffer, "JPEG", quality=75)
            good = number % 8 != 7 and query == "q=75&fm=jpg&w=200&fit=max"
            self.send_response(200 if good else 404)
            self.send_header("Content-Length", str(buffer.tell() if good else 0))
            self.end_headers()
            if good:
                self.wfile.write(buffer.getvalue())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Photos)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def write_unsplash(folder: Path, server: str) -> None:
    """Two parts of photos, 30 each, and two of conversions."""
    for part in (0, 1):
        with (folder / f"photos.tsv00{part}").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, PHOTOS, delimiter="\t", restval="")
            table.writeheader()
            for number in range(30 * part, 30 * part + 30):
                table.writerow(
                    {
                        "photo_id": f"photo{number:02}-_x",
                        "photo_url": f"https://unsplash.com/photos/photo{number:02}-_x",
                        "photo_image_url": f"{server}/photo-{number}",
                        "photo_width": "4000",
                        "photo_description": 'A "quoted" photo, with\ttab' if number == 3 else "",
                        "photographer_username": "someone",
                        "stats_downloads": str(number * 100),
                    }
                )
        with (folder / f"conversions.tsv00{part}").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, CONVERSIONS, delimiter="\t", restval="")
            table.writeheader()
            for number in range(60):
                table.writerow(
                    {
                        "converted_at": "2020-02-28 23:57:35.151",
                        "conversion_type": "download",
                        "keyword": "bee" if part else "flower",
                        "photo_id": f"photo{number:02}-_x",
                        "conversion_country": "GB",
                    }
                )


def readme_command() -> list[str]:
    """The command that the README gives for the tutorial's data."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"python build_index\.py ('photos\.tsv\*'(?:[^\n]*\\\n)*[^\n]*)", text)
    assert found
    return shlex.split(found[1].replace("\\\n", " "))


def test_the_readmes_command_does_the_data_side_of_the_tutorial(
    tmp_path: Path, photo_server: str
) -> None:
    write_unsplash(tmp_path, photo_server)
    command = readme_command()
    command[command.index("--limit") + 1] = "40"
    command[command.index("--model") + 1] = "embedded"
    said = done(build(*command, "--allow-private", cwd=tmp_path))
    out = tmp_path / "unsplash"
    assert verify(out) == []
    searcher = image_search.open(out)
    assert len(searcher) == 35  # of the first forty, five are gone
    assert "not downloaded" in said
    kept = {f"photo{n:02}-_x" for n in range(40) if n % 8 != 7}
    assert set(searcher.artifact.catalogue.ids()) == kept
    [told] = searcher.artifact.manifest.tables
    assert (told.name, told.key, told.rows) == ("conversions", "photo_id", 70)
    conversions = pq.read_table(out / "tables/conversions.parquet")
    assert conversions.column_names == CONVERSIONS
    assert set(conversions.column("photo_id").to_pylist()) == kept
    record = searcher.record("photo03-_x")
    assert record.metadata["photo_description"] == 'A "quoted" photo, with\ttab'
    assert record.metadata["photo_image_url"] == f"{photo_server}/photo-3"
    assert record.metadata["stats_downloads"] == 300
    # Ten nearest to a photo, without itself, as the tutorial asks.
    near = searcher.search(like=["photo00-_x"], k=10)
    assert len(near.hits) == 10
    assert "photo00-_x" not in {hit.id for hit in near}
    assert near[0].id in {"photo08-_x", "photo16-_x", "photo24-_x", "photo32-_x"}
