"""The same folder of pictures, built by our way and mapped by the article's.

`whole`: pictures a second with the model at work (CPU: ours is ONNX Runtime in float32, the
article's torch in float32; a GPU where torch finds one). Ours reads, decodes, encodes, makes
thumbnails and writes a collection to the disk; the article's is `map(encode)` alone.

`host`: the time of the machine for a picture with a model that answers at once, on the clock and as
processor time of all processes; what is expected is of the clock. `map` has one process, and ours
has as many as there are cores. "to the encoder" is the work of `map(encode)`; "all that is
stored" has the thumbnails and the files too: of the article the thumbnails of its first form, the
vectors of its second, and the parquet files of `push_to_hub`. Its first form alone encodes the
thumbnails and keeps no other picture. What `map` takes to hash the model before the first picture
(3 s) is left out. The model's own processor is the one without torchvision, which nothing here
needs. The article's way has all threads of torch: with one it is slower.
"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from common import ARTICLE, OURS, WAITED, Expected, Figures, environment, in_turns, measure

EXPECTED_CPU, EXPECTED_GPU = 2.5, 30.0


def expected(gpu: bool) -> dict[str, Expected]:
    speed = Expected(EXPECTED_GPU if gpu else EXPECTED_CPU, faster=True)
    host = Expected(6)
    return {
        "pictures a second": speed,
        "pictures a second, once it runs": speed,
        "once it runs, CPU ms a picture": Expected(),
        "to the encoder, ms a picture": host,
        "to the encoder, CPU ms a picture": Expected(),
        "all that is stored, ms a picture": host,
        "all that is stored, CPU ms a picture": Expected(),
        "first form: all that is stored, CPU ms a picture": Expected(),
        **{f"{WAITED}{what}, s": Expected() for what in ("pictures", "encoder", "disk")},
        "apart: query encoder, s": Expected(),
        "apart: index, s": Expected(),
        "apart: measure, s": Expected(),
    }


def compare(pictures: Path, model: Path, folder: Path, rounds: int) -> dict[str, Any]:
    ways = {way: partial(both, way, pictures, model, folder) for way in (OURS, ARTICLE)}
    medians, turns = in_turns(rounds, ways, "building")
    return {"medians": medians, "turns": turns, "bottleneck": bottleneck(medians["ours"])}


def both(way: str, pictures: Path, model: Path, folder: Path) -> Figures:
    return {
        **once(way, "whole", pictures, model, folder),
        **once(way, "host", pictures, model, folder),
    }


def once(way: str, what: str, pictures: Path, model: Path, folder: Path) -> Figures:
    """In an empty folder with empty caches: else `map` would find what it made before."""
    folder.mkdir()
    arguments = (way, what, pictures, model / "clip", folder / "out")
    try:
        variables = environment(way, folder / "home")
        return measure("build_ways.py", *arguments, variables=variables)
    finally:
        shutil.rmtree(folder)


def bottleneck(ours: Figures) -> str:
    """Which of the three our build waited for longest."""
    waits = {name: seconds for name, seconds in ours.items() if name.startswith(WAITED)}
    return max(waits, key=lambda name: waits[name]).removeprefix(WAITED).removesuffix(", s")
