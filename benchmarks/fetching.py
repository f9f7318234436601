"""From the Hub with an empty cache: bytes fetched, and seconds from the start to the first answer.

The Hub is tests/hub_standin.py on this machine, so no network is slow here: the bytes are what
counts. Ours fetches the query encoder with the collection; the article fetches its model as well,
which this Hub does not have: it lies on the disk, and its bytes are added to "with the model".
"""

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import (
    ARTICLE,
    NO_GPU,
    OURS,
    ROOT,
    TUNED,
    Expected,
    Figures,
    environment,
    in_turns,
    measure,
)

if TYPE_CHECKING:
    from hub_standin import HubStandin

EXPECTED = {
    "start to first answer, s": Expected(),
    "fetched, MB": Expected(),
    "fetched with the model, MB": Expected(),
    "requests": Expected(),
    "peak memory, MB": Expected(),
}


def compare(rows: Path, model: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Push both collections of `rows`, then open them again and again."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from hub_standin import HubStandin

    with HubStandin(folder / "hub") as hub:
        variables = online(hub, OURS, folder / "pushing")
        places = measure("material.py", "push", rows, variables=variables)
        shutil.rmtree(folder / "pushing")
        ways = {
            way: partial(once, hub, way, places[way.partition(",")[0]], model, folder / "home")
            for way in (OURS, ARTICLE, TUNED)
        }
        medians, turns = in_turns(rounds, ways, "from the Hub")
    return {"medians": medians, "turns": turns}


def once(hub: "HubStandin", way: str, place: str, model: Path, home: Path) -> Figures:
    arguments = (way, "answers", place, model / "clip", 0)
    try:
        with hub.recording() as exchanges:
            figures = measure("ways.py", *arguments, variables=online(hub, way, home))
    finally:
        shutil.rmtree(home)
    fetched = sum(exchange.bytes_out for exchange in exchanges) / 1e6
    apart = 0.0 if way == OURS else size(model / "clip") / 1e6
    return {
        **figures,
        "fetched, MB": fetched,
        "fetched with the model, MB": fetched + apart,
        "requests": len(exchanges),
    }


def online(hub: "HubStandin", way: str, home: Path) -> dict[str, str]:
    return {
        **environment(way, home),
        **hub.environment("owner", home),
        "HF_HUB_OFFLINE": "0",
        **NO_GPU,
    }


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
