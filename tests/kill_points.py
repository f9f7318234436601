"""A build that is killed before every single change that it makes on the disk, one after the other.

    python tests/kill_points.py FOLDER

A program of its own, since it forks: each build is a child that ends itself at the n-th change.
Prints a line for every point from which the same command did not get to the right end.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np
from colour_encoder import write as write_encoder
from PIL import Image

from image_search import parts
from image_search.artifact import Artifact
from image_search.build import build
from image_search.encoder import OnnxEncoder
from image_search.folder import open_folder
from image_search.verify import verify

KILLED = 99
CHANGES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


class Trial:
    """A folder of pictures, a collection that was built of it, and what it has become since."""

    def __init__(self, place: Path) -> None:
        parts.SIZE = 4
        self.place = place
        self.folder, self.out, self.former = (place / n for n in ("pictures", "out", "former"))
        self.encoder = OnnxEncoder(write_encoder(place / "encoder"))
        for number in range(24):
            self.add(f"{number:02}.png")
        assert self.child(lambda: self.build(self.former)) == 0
        self.add("00a.png")
        (self.folder / "15.png").unlink()
        (self.folder / "20.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
        fresh = place / "fresh"
        assert self.child(lambda: self.build(fresh)) == 0
        self.right = Artifact.open(fresh).manifest.files

    def add(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        colour = tuple(np.random.default_rng(sum(name.encode())).integers(0, 255, 3).tolist())
        Image.new("RGB", (8, 6), colour).save(self.folder / name)

    def build(self, out: Path) -> None:
        build(open_folder(self.folder), self.encoder, out, workers=1)

    @staticmethod
    def child(task: Callable[[], object]) -> int:
        process = os.fork()
        if process:
            return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        try:
            task()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)

    def killed_at(self, point: int) -> int:
        """Build, and end at that change; KILLED, or 0 if there are not so many."""
        left = point

        def count(event: str, arguments: tuple) -> None:
            nonlocal left
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or (writes and str(arguments[0]).startswith(str(self.place))):
                left -= 1
                if not left:
                    os._exit(KILLED)

        def task() -> None:
            sys.addaudithook(count)
            self.build(self.out)

        return self.child(task)

    def begin(self, former: bool) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.rmtree(self.out.with_name("out.partial"), ignore_errors=True)
        if former:
            shutil.copytree(self.former, self.out)

    def is_right(self) -> bool:
        """Whether the same command now leads to the right end."""
        if self.child(lambda: self.build(self.out)):
            return False
        left = [*self.place.glob("*.partial"), *self.place.glob("*.lock")]
        right = Artifact.open(self.out).manifest.files == self.right
        return right and not left and verify(self.out) == []


def main() -> None:
    trial = Trial(Path(sys.argv[1]))
    for former in (True, False):
        point, code = 0, KILLED
        while code == KILLED:
            point += 1
            trial.begin(former)
            code = trial.killed_at(point)
            assert code in (0, KILLED), code
            if former and not (trial.out.exists() or trial.out.with_name("out.partial").exists()):
                print(f"point {point}: the former collection is lost", flush=True)
            if not trial.is_right():
                print(f"point {point}, former {former}: it is not mended", flush=True)
        # At once: what waits to be written is written by every child as well.
        print(f"{point - 1} points", flush=True)


if __name__ == "__main__":
    main()
