"""From the start of a process to the first answer, then a hundred more; with and without Gradio.

Both ways start from the same rows on this disk. The article's dataset lies in the Arrow cache of
`datasets` already, as at every start but the first, and is asked for as a folder (of a repository
the Hub would be asked first); its index is made at every start, as the article does.
"""

import json
import re
import time
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from common import (
    EIGHT,
    NO_GPU,
    OURS,
    ROOT,
    WAYS,
    Expected,
    Figures,
    environment,
    in_turns,
    measure,
    memory,
    start,
)

EXPECTED = {
    "start to first answer, s": Expected(4),
    "query p50, ms": Expected(3, 2),
    "query p95, ms": Expected(3, 2),
    "peak memory, MB": Expected(3),
    "of its own, MB": Expected(),
    "with Gradio: start to first answer, s": Expected(),
    "with Gradio: peak memory, MB": Expected(),
    "with Gradio: of its own, MB": Expected(),
}

TEXT = "a steam engine"


def compare(rows: Path, model: Path, home: Path, queries: int, rounds: int) -> dict[str, Any]:
    """Medians and turns; `rows` holds the two collections, `home` the article's Arrow cache."""
    answers("article", rows, model, home, 0)  # fills the Arrow cache: the first start
    ways = {
        way: partial(both, way, rows, model, home, queries)
        for way in (OURS, EIGHT, *WAYS[1:])
        if place(way, rows).exists()
    }
    medians, turns = in_turns(rounds, ways, "serving")
    return {"medians": medians, "turns": turns}


def both(way: str, rows: Path, model: Path, home: Path, queries: int) -> Figures:
    return {
        **answers(way, rows, model, home, queries),
        **{f"with Gradio: {name}": value for name, value in page(way, rows, model, home).items()},
    }


def answers(way: str, rows: Path, model: Path, home: Path, queries: int) -> Figures:
    arguments = (way, "answers", place(way, rows), model / "clip", queries)
    return measure("ways.py", *arguments, variables=environment(way, home, **NO_GPU))


def place(way: str, rows: Path) -> Path:
    return rows / {OURS: "artifact", EIGHT: "artifact-8-bits"}.get(way, "article")


def page(way: str, rows: Path, model: Path, home: Path) -> Figures:
    """The same until a program behind a web page answers."""
    if way in (OURS, EIGHT):
        more = {"IMAGE_SEARCH_ARTIFACT": str(place(way, rows)), "IMAGE_SEARCH_PORT": "0"}
        command: list[Any] = ["app.py"]
    else:
        more = {}
        command = [ROOT / "benchmarks" / "ways.py", way, "page", place(way, rows)]
        command += [model / "clip", 0]
    begin = time.monotonic()
    with start(command, environment(way, home, **NO_GPU, **more)) as process:
        try:
            line = process.stdout.readline()
            found = re.search(r"http://\S+?(?=/?\s)", line)
            if not found:
                raise SystemExit(f"{way} with Gradio did not start; it said {line!r}")
            ask = ask_ours if way in (OURS, EIGHT) else ask_gradio
            hits = ask(found.group())
            figures = {"start to first answer, s": time.monotonic() - begin, **memory(process.pid)}
        finally:
            process.terminate()
    if hits != 9:
        raise SystemExit(f"{way} with Gradio gave {hits} pictures instead of 9")
    return figures


def ask_ours(address: str) -> int:
    query = urllib.parse.urlencode({"text": TEXT, "k": 9})
    with open_here(f"{address}/api/v1/search?{query}") as answer:
        return len(json.load(answer)["hits"])


def ask_gradio(address: str) -> int:
    """Gradio's own two steps: ask, then wait for the event."""
    body = json.dumps({"data": [TEXT]}).encode()
    headers = {"Content-Type": "application/json"}
    call = f"{address}/gradio_api/call/search"
    with open_here(urllib.request.Request(call, body, headers)) as answer:
        event = json.load(answer)["event_id"]
    with open_here(f"{call}/{event}") as answer:
        lines = answer.read().decode().splitlines()
    return len(json.loads(next(line[6:] for line in lines if line.startswith("data: ")))[0])


def open_here(request: Any) -> Any:
    """Without the proxy that this machine may have."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300)
