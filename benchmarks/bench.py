"""Our way and the article's, measured in one run: serving, from the Hub, building, and databases;
and ours with conditions on a real catalogue, and its fields counted; and what may be asked.

    make bench                              # all of it: half an hour on two cores
    python benchmarks/bench.py --rows 10000 --only serving --rounds 1
    python benchmarks/bench.py --only building --pictures 2000 --json building.json

The article is Hugging Face's "Image search with datasets" (2022): `load_dataset`, a
SentenceTransformer, `map(encode)`, `add_faiss_index`, `get_nearest_examples`. It is measured as it
is and, where it answers questions, with one thread for torch and FAISS too, which is the best that
can be done for them.
Both ways have the same CLIP of the genuine size with random weights, and the same synthetic rows;
each is a fresh process at each turn, and the turns alternate. Figures are medians, ratios say how
many times as good ours is. Nothing outside this machine is asked, but for the catalogue's records,
which npm fetches once.

`--only` takes serving, hub, building, engine, catalogue and policy; the modules that are called so
say what exactly is measured.
Needs what `make test` installs, 8 GB of memory and 12 GB of disk. A table is printed, and all
turns are written as JSON. Never run by pytest.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import building
import catalogue
import engines
import fetching
import policy
import serving
from common import (
    ARTICLE,
    EIGHT,
    HERE,
    OURS,
    TUNED,
    Expected,
    Figures,
    environment,
    machine,
    measure,
    say,
    table,
)

PARTS = ("serving", "hub", "building", "engine", "catalogue", "policy")

LARGE = 100_000
"""From so many rows on the ratios are what was set as the goal; with few all is start-up."""

TINY_SIDE, ANY_SIDE = 32, 0


def make(folder: Path, kind: str, *arguments: Any) -> Path:
    """Have material.py make something, and say how long it took."""
    begin = time.monotonic()
    home = folder.parent / "home"
    measure("material.py", kind, folder, *arguments, variables=environment(OURS, home))
    say(f"{folder.name} is made: {time.monotonic() - begin:.0f} s")
    return folder


def run(
    arguments: argparse.Namespace, folder: Path, gpu: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Titles and results, each as soon as it is there."""
    # First of all: npm may be missing, and that is better known now than in half an hour.
    records = catalogue.records() if "catalogue" in arguments.only else None
    if "policy" in arguments.only:
        yield "The policy", policy.compare(folder)
    if set(arguments.only) == {"policy"}:  # which needs no model of the genuine size
        return
    model = make(folder / "model", "model")
    for rows in arguments.rows if "serving" in arguments.only else ():
        with tempfile.TemporaryDirectory(dir=folder) as name:
            place = make(Path(name) / "rows", "rows", model, rows, TINY_SIDE)
            home = Path(name) / "home"
            result = serving.compare(place, model, home, arguments.queries, arguments.rounds)
            spec = json.loads((place / "artifact/encoder/encoder.json").read_bytes())
        yield f"Serving {rows:,} pictures", {**result, "encoder": spec}
    if "hub" in arguments.only:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            place = make(Path(name) / "rows", "rows", model, arguments.hub_rows, ANY_SIDE)
            result = fetching.compare(place, model, Path(name), min(2, arguments.rounds))
        yield f"From the Hub, {arguments.hub_rows:,} pictures", result
    if "building" in arguments.only:
        count = arguments.pictures or (8192 if gpu else 2048)
        pictures = make(folder / "pictures", "pictures", count)
        result = building.compare(pictures, model, folder / "turn", min(2, arguments.rounds))
        yield f"Building {count:,} pictures", result
    if "engine" in arguments.only:
        for rows, ways in zip(arguments.engine_rows, (engines.SMALL, engines.LARGE), strict=False):
            with tempfile.TemporaryDirectory(dir=folder) as name:
                place = Path(name) / "rows"
                measure(
                    "engine_ways.py", "material", place, model, rows,
                    variables=environment(OURS, Path(name)),
                )  # fmt: skip
                result = engines.compare(place, arguments.queries, ways)
            yield f"A database, {rows:,} vectors", result
    if records:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            place, rows = Path(name) / "rows", arguments.catalogue_rows
            result = catalogue.compare(place, model, records, rows, arguments.queries)
        yield f"A catalogue, {rows:,} rows", result


def show(title: str, result: Mapping[str, Any], gpu: bool) -> str:
    """The table of a result."""
    if title == "The policy":
        return policy.show(title, result)
    medians: Mapping[str, Figures] = result["medians"]
    if title.startswith("Building"):
        shown = table(title, medians, building.expected(gpu))
        return f"{shown}\nWhat holds up our build: {result['bottleneck']}."
    if title.startswith("A database"):
        return engines.show(title, result)
    if title.startswith("A catalogue"):
        return catalogue.show(title, result)
    if title.startswith("From"):
        return table(title, medians, fetching.EXPECTED)
    rows = int(title.split()[1].replace(",", ""))
    expected = serving.EXPECTED
    if rows < LARGE:
        expected = {name: Expected() for name in expected}
    precision = result["encoder"]["precision"]["text"]
    shown = table(f"{title}, words: {precision}", medians, expected)
    if EIGHT in medians:
        eight = {OURS: medians[EIGHT], ARTICLE: medians[ARTICLE], TUNED: medians[TUNED]}
        shown += "\n\n" + table(f"{title}, words: 8 bits", eight, expected)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 417_000])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3, help="hub and building: at most 2")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--hub-rows", type=int, default=10_000)
    parser.add_argument(
        "--engine-rows", type=int, nargs="+", default=[100_000, 400_000],
        help="beside FAISS; one shard beside two",
    )  # fmt: skip
    parser.add_argument("--catalogue-rows", type=int, default=417_000)
    parser.add_argument("--pictures", type=int, help="default: 2,048; 8,192 with a GPU")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/DATE.json")
    arguments = parser.parse_args()
    begin = time.monotonic()
    told = machine()
    for name, value in told.items():
        say(f"{name}: {value}")
    gpu = told["gpu"] is not None
    path = arguments.json or HERE / "results" / f"{time.strftime('%Y-%m-%d-%H%M')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for title, result in run(arguments, Path(name), gpu):
            results[title] = result
            path.write_text(json.dumps({"machine": told, "results": results}, indent=2) + "\n")
            print(f"\n{show(title, result, gpu)}\n", flush=True)
    print(f"All turns are in {path}. It took {(time.monotonic() - begin) / 60:.0f} minutes.")


if __name__ == "__main__":
    main()
