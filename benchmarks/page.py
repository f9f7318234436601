"""From the press of a key to the pictures, in a real browser; and twenty visitors at once.

    python benchmarks/page.py [ADDRESS] [--json FILE]

Without an address it serves the demo by itself. Needs requirements-dev.txt and chromium. Never
run by pytest.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from image_search.probes import TEXTS  # noqa: E402

QUESTIONS = 60
VISITORS = 20

# Times from the key to: the answer in the grid, its first picture drawn, all on the screen drawn.
WATCH = """
addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const start = performance.now();
  const before = document.querySelector("#grid").firstChild;
  window.times = null;
  const times = [];
  const look = () => {
    const grid = document.querySelector("#grid");
    if (grid.firstChild && grid.firstChild !== before) {
      const seen = [...grid.querySelectorAll("img")].filter(
        (image) => image.getBoundingClientRect().top < innerHeight);
      const drawn = seen.filter((image) => image.complete && image.naturalWidth).length;
      const now = performance.now() - start;
      if (!times.length) times.push(now);
      if (times.length === 1 && drawn) times.push(now);
      if (times.length === 2 && drawn === seen.length) times.push(now);
    }
    if (times.length < 3) requestAnimationFrame(look);
    else window.times = times;
  };
  look();
}, true);
"""


def percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1)}


def in_the_browser(address: str) -> dict[str, dict[str, float]]:
    """Milliseconds from Enter, over QUESTIONS questions that were never asked before."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("#grid li")
        page.evaluate(WATCH)
        all_times = []
        for text in TEXTS[:QUESTIONS]:
            page.fill("#words", text)
            page.press("#words", "Enter")
            all_times.append(page.wait_for_function("window.times").json_value())
        browser.close()
    names = ("answer", "first picture", "all on the screen")
    return {name: percentiles([times[n] for times in all_times]) for n, name in enumerate(names)}


def one(client: httpx.Client, address: str, text: str) -> float:
    start = time.perf_counter()
    client.get(f"{address}/api/v1/search", params={"text": text, "k": 60}).raise_for_status()
    return 1000 * (time.perf_counter() - start)


def at_the_server(address: str) -> dict[str, dict[str, float]]:
    """Milliseconds of a request for 60 results: one after the other, and VISITORS at once."""
    with httpx.Client(timeout=60) as client:
        alone = [one(client, address, text) for text in TEXTS]

    def visit(number: int) -> list[float]:
        with httpx.Client(timeout=60) as client:
            return [one(client, address, text) for text in TEXTS[number::4]]

    with ThreadPoolExecutor(VISITORS) as pool:
        together = [ms for times in pool.map(visit, range(VISITORS)) for ms in times]
    return {"one visitor": percentiles(alone), f"{VISITORS} visitors": percentiles(together)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", nargs="?")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.address:
        result = measure(arguments.address.rstrip("/"))
    else:
        from conftest import serving

        from image_search.demo import ensure_demo

        with serving(ensure_demo()) as address:
            result = measure(address)
    for name, times in result.items():
        print(f"{name:20} p50 {times['p50']:7.1f} ms   p95 {times['p95']:7.1f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(address: str) -> dict[str, dict[str, float]]:
    return {**at_the_server(address), **in_the_browser(address)}


if __name__ == "__main__":
    main()
