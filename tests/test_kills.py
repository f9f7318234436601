"""Builds that are killed (kill -9) again and again end as if nothing had happened."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import write as write_encoder
from PIL import Image

from image_search.artifact import Artifact
from image_search.verify import verify

PICTURES = 20_000
KILLS = 10
SEED = 2022

# The real program, with an encoder that takes its time, so that a kill meets it at work.
DRIVER = """
import sys, time
from pathlib import Path
from image_search import build_command
from image_search.encoder import OnnxEncoder

class Slow(OnnxEncoder):
    def encode_pixels(self, pixels):
        time.sleep(seconds * len(pixels))
        return super().encode_pixels(pixels)

encoder, seconds = Path(sys.argv[1]), float(sys.argv[2])
build_command.open_encoder = lambda model, device=None: Slow(encoder)
sys.argv = ["build_index.py", *sys.argv[3:]]
build_command.main()
"""


class Site:
    """A folder of pictures, and the command that builds it."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "pictures"
        self.out = place / "out"
        self._encoder = write_encoder(place / "encoder")
        self._colours = np.random.default_rng(SEED)
        self._count = 0
        for number in range(PICTURES):
            self.add(f"{number // 1000:02}/{number:05}.png")

    def add(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = self._colours.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((24, 18)).save(path)

    def command(self, out: Path, seconds: float) -> list[str]:
        """Build to `out` with an encoder that sleeps so long for each picture."""
        return [
            *(sys.executable, "-c", DRIVER, str(self._encoder), str(seconds)),
            *(str(self.folder), "--out", str(out)),
        ]

    def kill_once(self, chance: random.Random) -> bool:
        """Begin to build, and kill at a random moment of the work; whether it was at work."""
        parts = self.out.with_name("out.partial") / "parts"
        former = set(parts.glob("*.tmp"))  # of the kill before
        with subprocess.Popen(
            self.command(self.out, 0.004), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not set(parts.glob("*.tmp")) - former:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 6))
            running = process.poll() is None
            process.kill()
        return running

    def finish(self, out: Path) -> Artifact:
        subprocess.run(self.command(out, 0), check=True, capture_output=True)
        assert verify(out) == []
        return Artifact.open(out)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("changing", [False, True], ids=["the same", "changing"])
def test_a_build_killed_ten_times_ends_as_an_undisturbed_one(
    tmp_path: Path, changing: bool
) -> None:
    site, chance = Site(tmp_path), random.Random(SEED)
    hit = 0
    for turn in range(KILLS):
        hit += site.kill_once(chance)
        assert not site.out.exists()
        if changing:
            names = sorted(site.folder.rglob("*.png"))
            for path in chance.sample(names, 20):
                path.unlink()
            for number in range(20):
                site.add(f"{turn:02}/new-{turn}-{number}.png")
    assert hit == KILLS
    left = len(list((tmp_path / "out.partial/parts").glob("*/part.json")))
    assert left > 0
    artifact = site.finish(site.out)
    undisturbed = site.finish(tmp_path / "undisturbed")
    assert len(artifact) == PICTURES
    assert artifact.manifest.files == undisturbed.manifest.files
    told = json.loads((site.out / "manifest.json").read_bytes())
    other = json.loads((tmp_path / "undisturbed/manifest.json").read_bytes())
    assert {k for k in told if told[k] != other[k]} <= {"created"}
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob("*.lock"))


@pytest.mark.slow
@pytest.mark.timeout(1500)  # three minutes on a quiet machine
def test_a_build_killed_before_any_change_on_the_disk_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "tests/kill_points.py", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=1400,
    )
    assert done.returncode == 0, done.stderr
    points = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert len(points) == 2
    assert min(points) > 40
