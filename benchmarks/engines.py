"""A database beside FAISS, and one shard beside two: loading, index, questions, recall, memory.

The vectors lie as CLIP's do; the questions lie between texts and pictures. Shards are real servers
on this machine, out of chdb-core: two of them share its processors, so that this shows what a
second shard costs, and not what a second machine brings. One turn each, for an index takes minutes.
"""

from pathlib import Path
from typing import Any

from common import NO_GPU, OURS, Figures, environment, measure, number

FIGURES = (
    "load, s",
    "index, s",
    "index, CPU s",
    "query p50, ms",
    "query p95, ms",
    "recall at 10",
    "recall at 60",
    "memory, MB",
    "on the disk, MB",
)

SMALL, LARGE = ("faiss", "chdb", "1"), ("faiss", "1", "2")
NAMES = {"faiss": "FAISS", "chdb": "embedded", "1": "one server", "2": "two shards"}


def compare(folder: Path, queries: int, ways: tuple[str, ...]) -> dict[str, Any]:
    """The figures of each way."""
    variables = environment(OURS, folder.parent / "home", **NO_GPU)
    return {
        "medians": {
            NAMES[way]: measure("engine_ways.py", way, folder, queries, variables=variables)
            for way in ways
        }
    }


def show(title: str, result: dict[str, Any]) -> str:
    """The table of a result."""
    ways: dict[str, Figures] = result["medians"]
    lines = [f"{title:<40}" + "".join(f"{way:>14}" for way in ways)]
    lines.append("-" * len(lines[0]))
    for name in FIGURES:
        cells = (number(figures.get(name)) for figures in ways.values())
        lines.append(f"{name:<40}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)
