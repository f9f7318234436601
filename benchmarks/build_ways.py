"""Our way and the article's from a folder of pictures to vectors; each in a process of its own.

    python benchmarks/build_ways.py WAY whole|host PICTURES CLIP OUT

Run by building.py. `whole` tells the pictures a second with the model at work. `host` tells the
processor time of all processes for a picture, with a model that answers at once; without what the
processes need to begin, which does not grow with the pictures.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from common import OURS, WAITED, Figures, cpu_seconds, tell

T = TypeVar("T")

BATCH = 32
"""Pictures that the article encodes at a time."""

THUMBNAIL = (224, 224)
"""As in the article's first form."""

APART = ("query encoder", "index", "measure")
"""Stages of our build that the article has not, or has when it serves; told beside."""

WAITS = ("waiting for pictures", "for the encoder", "for the disk")
"""What our build waited for: the longest of them holds up the others."""


# Ours


class Times:
    """A progress that remembers when how much was done."""

    def __init__(self) -> None:
        self.done: list[tuple[float, float, int]] = []

    def update(self, n: int) -> None:
        self.done.append((time.perf_counter(), cpu_seconds(), n))

    def figures(self) -> Figures:
        """From the first batch to the last."""
        seconds, cpu = (self.done[-1][i] - self.done[0][i] for i in (0, 1))
        count = sum(n for _, _, n in self.done[1:])
        return running(count, seconds, cpu)


def running(count: int, seconds: float, cpu: float) -> Figures:
    return {
        "pictures a second, once it runs": count / seconds if seconds else float("nan"),
        "once it runs, CPU ms a picture": 1000 * cpu / count if count else float("nan"),
    }


def ours_whole(pictures: Path, clip: str, out: Path) -> Figures:
    """What build_index.py does, the loading of the model apart."""
    from image_search.build import Builder
    from image_search.folder import open_folder
    from image_search.sentence_transformer import SentenceTransformerEncoder

    encoder = SentenceTransformerEncoder(clip)
    times = Times()
    begin = time.perf_counter()
    with Builder(open_folder(pictures), encoder, out) as builder:
        summary = builder.run(times)
    seconds = time.perf_counter() - begin
    apart = {stage: summary.seconds[stage] for stage in APART}
    return {
        "pictures a second": summary.rows / (seconds - sum(apart.values())),
        **times.figures(),
        **{f"{WAITED}{stage.rpartition(' ')[2]}, s": summary.seconds[stage] for stage in WAITS},
        **{f"apart: {stage}, s": spent for stage, spent in apart.items()},
    }


def ours_host(pictures: Path, clip: str, out: Path) -> Figures:
    from stubs import only_pixels, stub_line

    from image_search.folder import open_folder
    from image_search.images import MAX_PIXELS
    from image_search.parts import Job, Recipe
    from image_search.prepare import preparer
    from image_search.sentence_transformer import SentenceTransformerEncoder
    from image_search.workers import Work, Workers

    encoder = SentenceTransformerEncoder(clip)
    collection = open_folder(pictures)
    recipe = Recipe(
        model=encoder.name,
        revision=encoder.revision,
        precision=encoder.precision,
        dim=encoder.dim,
        preprocessing=encoder.preprocessing,
        resizer="torch",
        max_side=1024,
        max_pixels=MAX_PIXELS,
    )
    batch = encoder.batch_size
    how = recipe.preprocessing, recipe.max_side, recipe.max_pixels
    count = os.cpu_count() or 1

    def cost(prepare: Callable[[], Any], do: Callable[[Workers], object]) -> Figures:
        workers = Workers(Work(collection.reader, prepare), count)
        list(workers.prepare(collection.entries[: 64 * count]))  # all processes are up then
        return spent(lambda: do(workers), len(collection))

    encode = cost(
        partial(only_pixels, *how),
        lambda workers: stub_encode(workers, collection.entries, batch),
    )
    whole = cost(
        partial(preparer, recipe.resizer, *how),
        lambda workers: stub_line(Job(collection, recipe), out, workers, batch),
    )
    return {
        **named("to the encoder", encode),
        **named("all that is stored", whole),
        **named("first form: all that is stored", whole),
    }


def stub_encode(workers: Any, entries: Iterable[Any], batch: int) -> None:
    """Batches as the encoder gets them."""
    import numpy as np

    prepared = workers.prepare(entries)
    for some in in_batches(prepared, batch):
        np.stack([made.pixels for made in some])


def in_batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while some := list(islice(items, size)):
        yield some


# The article's


def load_article(pictures: Path, clip: str) -> tuple[Any, Any]:
    """Its dataset and its model; what is done only once is done already."""
    from datasets import load_dataset
    from sentence_transformers import SentenceTransformer

    dataset = load_dataset("imagefolder", data_dir=str(pictures), split="train")
    model = SentenceTransformer(clip)
    model.encode(dataset[:2]["image"])
    return dataset, model


def encoded(dataset: Any, model: Any, column: str = "image") -> Any:
    """The line that the article is about."""
    return dataset.map(
        lambda batch: {"embeddings": model.encode(batch[column])},
        batched=True,
        batch_size=BATCH,
        new_fingerprint=f"encoded-{column}",  # or it hashes the whole model first
    )


def article_whole(pictures: Path, clip: str) -> Figures:
    dataset, model = load_article(pictures, clip)
    cpu, begin = cpu_seconds(), time.perf_counter()
    encoded(dataset, model)
    seconds, cpu = time.perf_counter() - begin, cpu_seconds() - cpu
    return {"pictures a second": len(dataset) / seconds, **running(len(dataset), seconds, cpu)}


def article_host(pictures: Path, clip: str, out: Path) -> Figures:
    """Its second form, with the thumbnails of the first; and the first by itself."""
    import torch

    dataset, model = load_article(pictures, clip)

    def forward(features: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**features, "sentence_embedding": torch.zeros(len(features["pixel_values"]), 512)}

    model[0].forward = forward
    count = len(dataset)
    out.mkdir(parents=True)
    made: dict[str, Any] = {}

    def keep(name: str, do: Callable[[], Any]) -> Figures:
        return spent(lambda: made.update({name: do()}), count)

    thumbnails = keep("thumbnails", lambda: with_thumbnails(dataset))
    small = made["thumbnails"].remove_columns("image")
    encode = keep("vectors", lambda: encoded(dataset, model))
    encode_small = keep("small", lambda: encoded(small, model, "thumbnail"))
    whole = made["vectors"].add_column("thumbnail", made["thumbnails"].data["thumbnail"])
    write = spent(lambda: write_parquet(whole, out / "whole.parquet"), count)
    write_small = spent(lambda: write_parquet(made["small"], out / "small.parquet"), count)
    return {
        **named("to the encoder", encode),
        **named("all that is stored", added(thumbnails, encode, write)),
        **named("first form: all that is stored", added(thumbnails, encode_small, write_small)),
        **named("stage: thumbnails", thumbnails),
        **named("stage: parquet", write),
    }


def with_thumbnails(dataset: Any) -> Any:
    """As in the first form: opened from bytes, so that pixels and not a path are stored."""
    from datasets import Image
    from PIL import Image as Pillow

    def small(row: dict[str, Any]) -> dict[str, Any]:
        image = Pillow.open(BytesIO(Path(row["image"]["path"]).read_bytes()))
        image.thumbnail(THUMBNAIL)
        return {"thumbnail": image}

    paths = dataset.cast_column("image", Image(decode=False))
    return paths.map(small, new_fingerprint="thumbnails").cast_column("thumbnail", Image())


def write_parquet(dataset: Any, path: Path) -> None:
    """As `push_to_hub`, before it uploads: the pictures' bytes taken in, then written."""
    from datasets.table import embed_table_storage

    shard = dataset.with_format("arrow").map(
        embed_table_storage, batched=True, batch_size=1000, keep_in_memory=True
    )
    shard.with_format(None).to_parquet(path)


# Both


def spent(do: Callable[[], object], count: int) -> Figures:
    """Milliseconds for each of `count` pictures: of all processors together, and on the clock."""
    cpu, begin = cpu_seconds(), time.perf_counter()
    do()
    return {
        "CPU ms": 1000 * (cpu_seconds() - cpu) / count,
        "ms": 1000 * (time.perf_counter() - begin) / count,
    }


def named(what: str, figures: Figures) -> Figures:
    return {f"{what}, {name} a picture": value for name, value in figures.items()}


def added(*figures: Figures) -> Figures:
    return {name: sum(some[name] for some in figures) for name in figures[0]}


def main() -> None:
    way, what, *rest = sys.argv[1:]
    pictures, clip, out = Path(rest[0]), rest[1], Path(rest[2])
    if way == OURS:
        tell(ours_whole(pictures, clip, out) if what == "whole" else ours_host(pictures, clip, out))
    elif what == "whole":
        tell(article_whole(pictures, clip))
    else:
        tell(article_host(pictures, clip, out))


if __name__ == "__main__":
    main()
