"""What the benchmarks share: processes of their own, turn by turn; medians; the machine; the table.

Nothing heavy is imported here: the measured processes import it too.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

OURS, ARTICLE, TUNED = "ours", "article", "article, 1 thread"
WAYS = (OURS, ARTICLE, TUNED)

EIGHT = "ours, 8 bits"
"""Ours with 8-bit weights for the words, where the model's own weights allow it."""

Figures = dict[str, float]

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Read by torch, FAISS and NumPy when they are loaded."""

NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
"""Questions are answered on a CPU, as where the page is served."""

WAITED = "waited for the "
"""How the figures begin that say what a build waited for."""

STARTED = "BENCHMARK_STARTED"
"""When a measured process was started, by the clock that all processes share."""

PACKAGES = (
    "datasets", "faiss-cpu", "gradio", "huggingface-hub", "numpy", "onnxruntime", "pillow",
    "pyarrow", "sentence-transformers", "simplejpeg", "torch", "transformers",
)  # fmt: skip


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


# Processes


def environment(way: str, home: Path, **more: str) -> dict[str, str]:
    """For a measured process: nothing but this machine is asked, caches lie in `home`."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "OMP_", "MKL_", "OPENBLAS_", "IMAGE_SEARCH_", "GRADIO_"))
        and not name.lower().endswith("_proxy")
    }
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "TQDM_DISABLE": "1",
        **(ONE_THREAD if way == TUNED else {}),
        **more,
    }


def start(arguments: Sequence[Any], variables: Mapping[str, str], **how: Any) -> Any:
    """A Python process that knows when it was started."""
    command = [sys.executable, *map(str, arguments)]
    variables = {**variables, STARTED: str(time.monotonic())}
    return subprocess.Popen(
        command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, text=True, **how
    )


def measure(script: str, *arguments: Any, variables: Mapping[str, str]) -> dict[str, Any]:
    """What a script prints as its last line, in JSON; its errors are shown if it fails."""
    process = start([HERE / script, *arguments], variables, stderr=subprocess.PIPE)
    said, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{script} {' '.join(map(str, arguments))} failed:\n{errors[-4000:]}")
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    return told


def since_start() -> float:
    """Seconds since this process was started by `start`."""
    return time.monotonic() - float(os.environ[STARTED])


def tell(figures: Mapping[str, Any]) -> None:
    """The last line of a measured process."""
    print(json.dumps(figures), flush=True)


def memory(pid: int | str = "self") -> Figures:
    """Megabytes: the most there was at a time; and what no other process could share, now."""
    status = Path(f"/proc/{pid}/status").read_text()

    def megabytes(name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else float("nan")

    return {"peak memory, MB": megabytes("VmHWM"), "of its own, MB": megabytes("RssAnon")}


def cpu_seconds() -> float:
    """What this process and all that it started have used, ended or not."""
    tick = os.sysconf("SC_CLK_TCK")
    used: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        used[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / tick

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in used and is_ours(used[pid][0]))

    return sum(seconds for pid, (_, seconds) in used.items() if is_ours(pid))


# Figures


def percentiles(seconds: Sequence[float]) -> Figures:
    """The median and the 95th of 100, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"query p50, ms": 1000 * cuts[49], "query p95, ms": 1000 * cuts[94]}


def in_turns(
    rounds: int, ways: Mapping[str, Callable[[], Figures]], what: str
) -> tuple[dict[str, Figures], list[dict[str, Figures]]]:
    """Medians for each way, and all there is to them; the ways take turns."""
    turns: list[dict[str, Figures]] = []
    for number in range(1, rounds + 1):
        turn: dict[str, Figures] = {}
        for way, run in ways.items():
            begin = time.monotonic()
            turn[way] = {**run(), "load": os.getloadavg()[0]}
            say(f"  {what}: {number} of {rounds}, {way}: {time.monotonic() - begin:.0f} s")
        turns.append(turn)
    medians = {
        way: {name: statistics.median(turn[way][name] for turn in turns) for name in turns[0][way]}
        for way in ways
    }
    return medians, turns


@dataclass(frozen=True)
class Expected:
    """By how much the article's figure should be more than ours, as it is and with one thread."""

    ratio: float | None = None
    tuned: float | None = None
    faster: bool = False
    """Whether the figure is a speed: then ours should be more than the article's."""


def ratio(figures: Mapping[str, Figures], name: str, way: str, faster: bool) -> float | None:
    """How many times as good ours is."""
    ours, other = figures[OURS].get(name), figures.get(way, {}).get(name)
    if not ours or not other:
        return None
    return ours / other if faster else other / ours


def table(title: str, medians: Mapping[str, Figures], expected: Mapping[str, Expected]) -> str:
    """The figures of `expected`, in its order, with ratios and what they should be."""
    head = f"{title:<50}{'ours':>9}{'article':>10}{'ratio':>7} {'expected':<12}"
    head += f"{'1 thread':>10}{'ratio':>7} {'expected':<12}"
    lines = [head.rstrip(), "-" * len(head)]
    for name, wanted in expected.items():
        if name not in medians[OURS]:
            continue
        line = f"{name:<50}{number(medians[OURS].get(name)):>9}"
        for way, least in ((ARTICLE, wanted.ratio), (TUNED, wanted.tuned)):
            had = ratio(medians, name, way, wanted.faster)
            shown = "" if had is None else f"{had:.2f}x" if had < 10 else f"{had:.0f}x"
            line += f"{number(medians.get(way, {}).get(name)):>10}{shown:>7}"
            line += f" {verdict(had, least):<12}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def verdict(had: float | None, least: float | None) -> str:
    if had is None or least is None:
        return ""
    return f"{'ok' if had >= least else 'MISSED'} (≥ {least:g})"


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


# The machine


def machine() -> dict[str, Any]:
    """What it was measured on, and with what."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", info)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory, GB": round(pages / 2**30),
        "gpu": _gpu(),
        "load before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _installed(name) for name in PACKAGES},
    }


def _gpu() -> str | None:
    asked = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
    return said.stdout.strip() or None


def _commit() -> str:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
