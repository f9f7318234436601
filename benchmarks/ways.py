"""Our way and the article's to an answer; each is run in a process of its own.

    python benchmarks/ways.py WAY answers|page PLACE CLIP QUERIES

Run by serving.py and fetching.py. `answers` tells how long the first answer took from the start of
the process, how long the next ones took, and the memory. `page` serves the article's way by Gradio,
and says its address (ours is app.py). PLACE is a folder or a repository of a Hub.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from common import EIGHT, OURS, TUNED, memory, percentiles, since_start, tell

K = 9

WARM_UP = 10
"""Queries before those that are measured."""

THINGS = (
    "steam engine", "guitar", "dog", "cat", "map of a city", "castle by a river", "mountain",
    "portrait of a king", "ship in a storm", "botanical drawing", "musical instrument", "church",
)  # fmt: skip
STYLES = (
    "a", "an illustration of a", "a photograph of a", "an old engraving that shows a",
    "a small decorated initial with a", "a coloured drawing of a", "half a page about a",
    "a badly damaged picture of a", "two people beside a", "the sun behind a", "not a",
)  # fmt: skip

Ask = Callable[[str], Any]


def texts(count: int) -> list[str]:
    """Questions, none like another."""
    return [
        f"{STYLES[n % len(STYLES)]} {THINGS[n // len(STYLES) % len(THINGS)]}, number {n}"
        for n in range(count)
    ]


def ours(place: str) -> Ask:
    import image_search

    collection = image_search.open(place)
    return lambda text: list(collection.search(text, k=K))


def article(place: str, clip: str, tuned: bool) -> Ask:
    """The blog's second form: load, add the index, encode the prompt, get the nearest."""
    from datasets import load_dataset
    from sentence_transformers import SentenceTransformer

    if tuned:
        import faiss
        import torch

        torch.set_num_threads(1)
        faiss.omp_set_num_threads(1)
    dataset = load_dataset(place, split="train")
    model = SentenceTransformer(clip)
    dataset.add_faiss_index(column="embeddings")

    def ask(text: str) -> Any:
        return dataset.get_nearest_examples("embeddings", model.encode(text), k=K)

    return ask


def answers(ask: Ask, queries: int) -> None:
    asked = texts(1 + WARM_UP + queries)
    ask(asked[0])
    ready = since_start()
    times = []
    for text in asked[1:]:
        begin = time.perf_counter()
        ask(text)
        times.append(time.perf_counter() - begin)
    figures = {"start to first answer, s": ready}
    if queries:
        figures |= percentiles(times[WARM_UP:])
    tell(figures | memory())


def page(ask: Ask) -> None:
    """The least that Gradio needs: words in, the titles out (no pictures: that is for free)."""
    import gradio

    def search(text: str) -> Any:
        return ask(text).examples["title"]

    interface = gradio.Interface(search, "text", "json", api_name="search")
    _, address, _ = interface.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, show_error=True
    )
    print(f"Open {address} in a browser.", flush=True)
    threading.Event().wait()


def main() -> None:
    way, what, place, clip, queries = sys.argv[1:]
    ask = ours(place) if way in (OURS, EIGHT) else article(place, clip, way == TUNED)
    if what == "page":
        page(ask)
    else:
        answers(ask, int(queries))


if __name__ == "__main__":
    main()
