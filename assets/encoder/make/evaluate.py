"""Measure the committed files and write evaluation.json: python evaluate.py --work FOLDER."""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.dont_write_bytecode = True

import classes  # noqa: E402
import leaks  # noqa: E402
import measures  # noqa: E402
import numpy as np  # noqa: E402
import preprocess  # noqa: E402
import resvg_py  # noqa: E402
import sources  # noqa: E402
import texts  # noqa: E402
import vocabulary  # noqa: E402
from pictures import list_pictures  # noqa: E402
from PIL import Image, ImageOps  # noqa: E402
from runtime import Encoder  # noqa: E402
from sentences import text_folder  # noqa: E402

HERE = Path(__file__).resolve().parent
STAMPS = "usr/share/tuxpaint/stamps"
# Queries of the folders of Open Clip Art, as regular expressions on the folder.
DRAWN_CATEGORIES = {
    "an animal": "animals",
    "a bird": "animals/birds",
    "an insect": "animals/bugs",
    "a fish": "animals/fish",
    "a mammal": "animals/mammals",
    "food": "food",
    "a fruit": "food/fruit",
    "a dessert": "food/desserts",
    "a drink": "food/beverages",
    "bread": "food/breads_and_carbs",
    "a building": "buildings",
    "a plant": "plants",
    "a flower": "plants/flowers",
    "a person": "people",
    "clothing": "people/clothing",
    "a vehicle": "transportation",
    "sports": "recreation/sports",
    "a musical instrument": "recreation/music",
    "a toy": "recreation/toys",
    "a tool": "tools",
    "a weapon": "tools/weapons",
    "a map": "geography",
    "electronics": "electronics",
    "a container": "containers",
}
# The same for the folders of the stamps.
STAMP_CATEGORIES = {
    "an animal": "animals",
    "a bird": "animals/birds",
    "an insect": "animals/(insects|bugs)",
    "a fish": "animals/fish",
    "a mammal": "animals/mammals",
    "food": "food",
    "a fruit": "food/fruit",
    "a vegetable": "food/vegetables",
    "a vehicle": "vehicles",
    "a ship": "vehicles/ship",
    "an airplane": "vehicles/(flight|plane|air)",
    "clothes": "clothes",
    "a plant": "plants",
    "a person": "people",
    "a flower": "plants/flower",
    "a tree": "plants/tree",
    "outer space": "space",
    "a musical instrument": "hobbies/music|.*music",
    "a building": "town|buildings",
    "weather": "naturalforces|.*weather",
    "christmas": "seasonal/christmas",
    "halloween": "seasonal/halloween",
}


def small_grey_mirrored(picture: Image.Image) -> Image.Image:
    """Return the copy that should find its original: half the size, grey, mirrored."""
    size = (max(1, picture.width // 2), max(1, picture.height // 2))
    return (
        ImageOps.mirror(picture.resize(size, Image.Resampling.BICUBIC)).convert("L").convert("RGB")
    )


def grey_thumbnail(picture: Image.Image) -> Image.Image:
    """Return a grey JPEG of 160 pixels, as a scan of an old catalogue might be."""
    grey = ImageOps.grayscale(picture)
    grey.thumbnail((160, 160))
    stored = io.BytesIO()
    grey.save(stored, "JPEG", quality=70)
    return Image.open(stored).convert("RGB")


def bounded(picture: Image.Image, side: int = 640) -> Image.Image:
    """Return a picture no longer than a side, so that "half the size" means the same for all."""
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    return picture


def measure_set(
    encoder: Encoder,
    pictures: list[Image.Image],
    queries: list[str],
    folders: list[str],
    categories: dict[str, str],
) -> dict[str, object]:
    """Measure one set of pictures whose i-th query names the i-th picture."""
    pictures = [bounded(picture) for picture in pictures]
    vectors = encoder.pictures(pictures)
    groups = measures.grouped(queries)
    asked = random.Random(1)
    ways = {
        "as_titled": list(groups),
        "as_typed": [f"An illustration of {query}" for query in groups],
        "in_many_ways": [texts.asked(query, asked) for query in groups],
    }
    found: dict[str, object] = {}
    for name, asked_queries in ways.items():
        scores = encoder.texts(asked_queries) @ vectors.T
        found[name] = asdict(measures.title_recall(scores, groups))
    scores = encoder.texts(list(categories)) @ vectors.T
    precision, rate, count = measures.category_precision(scores, list(categories.values()), folders)
    found["categories"] = {"precision_at_10": precision, "base_rate": rate, "queries": count}
    found["copies"] = measure_copies(encoder, pictures, vectors)
    return found


def measure_copies(
    encoder: Encoder,
    pictures: list[Image.Image],
    vectors: np.ndarray,
    copy: Callable[[Image.Image], Image.Image] = small_grey_mirrored,
) -> dict[str, float]:
    """Measure whether copies find their originals; pictures that are there twice count once."""
    marks = np.stack([leaks.perceptual_hash(picture) for picture in pictures])
    likeness = vectors @ vectors.T
    same = (marks[:, None] == marks[None]).all(2) & (likeness > 0.97)
    once = np.array([n for n in range(len(pictures)) if not same[n, :n].any()])
    copies = encoder.pictures([copy(pictures[n]) for n in once])
    recall = measures.copy_recall(vectors[once], copies)
    return {
        "recall_at_1": recall,
        "chance": 1 / len(once),
        "pool": len(once),
        "twins_left_out": len(pictures) - len(once),
    }


def drawn(svg: Path) -> Image.Image | None:
    """Return an SVG file as a flat picture, or nothing where it states no size."""
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg.read_text("utf-8"), width=520)
    except ValueError:
        return None
    return preprocess.flatten(Image.open(io.BytesIO(bytes(png))))


def stamps(folder: Path) -> tuple[list[Image.Image], list[str], list[str]]:
    """Return pictures, descriptions and folders of the stamps, without letters and signs."""
    root = folder / STAMPS
    found: tuple[list, list, list] = ([], [], [])
    for text in sorted(root.rglob("*.txt")):
        place = text.relative_to(root).parent.as_posix()
        png, svg = text.with_suffix(".png"), text.with_suffix(".svg")
        if place.startswith("symbols") or not (png.exists() or svg.exists()):
            continue
        if png.exists():
            picture = preprocess.open_flat(png)
        else:
            picture = drawn(svg)
            if picture is None:
                continue
        first_line = text.read_text("utf-8").splitlines()[0].strip()
        for part, value in zip(found, (picture, first_line.rstrip("."), place), strict=True):
            part.append(value)
    return found


def measure_running(encoder: Encoder, pictures: list[Image.Image]) -> dict[str, float]:
    """Measure times on this machine, one thread, and whether vectors depend on the batch."""
    arrays = np.stack([preprocess.to_array(picture) for picture in pictures[:32]])
    single = np.concatenate([encoder.arrays(one[None]) for one in arrays])
    together = encoder.arrays(arrays)
    sentences = [*STAMP_CATEGORIES, *(f"An illustration of {word}" for word in DRAWN_CATEGORIES)][
        :32
    ]
    alone, batch = encoder.texts(sentences, 1), encoder.texts(sentences, 32)

    def milliseconds(action: Callable[[], object], repeats: int = 30) -> float:
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            action()
            times.append(time.perf_counter() - started)
        return round(statistics.median(times) * 1000, 2)

    return {
        "text_query_ms": milliseconds(lambda: encoder.texts(["A guitar on a chair"])),
        "picture_ms": milliseconds(lambda: encoder.arrays(arrays[:1])),
        "load_text_s": round(encoder.load_seconds["text"], 3),
        "load_image_s": round(encoder.load_seconds["image"], 3),
        "image_same_batch_identical": bool((together == encoder.arrays(arrays)).all()),
        "text_same_batch_identical": bool((batch == encoder.texts(sentences, 32)).all()),
        "image_batch_1_or_32_largest_difference": float(np.abs(single - together).max()),
        "text_batch_1_or_32_largest_difference": float(np.abs(alone - batch).max()),
    }


def main() -> None:
    """Measure everything and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for downloads and caches")
    parser.add_argument("--encoder", type=Path, default=HERE.parent)
    parser.add_argument("--demo", type=Path, default=HERE.parents[1] / "demo", help="demo folder")
    options = parser.parse_args()
    work, encoder = options.work.resolve(), Encoder(options.encoder)
    folders = sources.fetch_all(sources.TRAINING + sources.EVALUATION, work)
    pictures = list_pictures(folders, work)
    nouns = classes.picturable_nouns(folders["class_names"])
    original = text_folder(folders["text_backbone"]) / "tokenizer.json"
    held_out = re.findall(r"\S+", (HERE / "heldout_words.txt").read_text("utf-8"))
    _, numbers = texts.split(pictures, held_out, vocabulary.english_words(original, nouns))
    test = [pictures[number] for number in numbers]

    images = [preprocess.open_flat(picture.file) for picture in test]
    queries = [texts.query_of(picture) for picture in test]
    places = [picture.folder for picture in test]
    report: dict[str, object] = {
        "revision": encoder.description["revision"],
        "files": {
            name: {
                "bytes": (options.encoder / name).stat().st_size,
                "sha256": sources.sha256_of(options.encoder / name),
            }
            for name in ("text.onnx", "image.onnx", "tokenizer.json", "encoder.json")
        },
        "held_out_words": len(held_out),
        "held_out_drawings": measure_set(encoder, images, queries, places, DRAWN_CATEGORIES),
    }
    print(json.dumps(report["held_out_drawings"], indent=1), flush=True)
    report["stamps"] = measure_set(encoder, *stamps(folders["stamps"]), STAMP_CATEGORIES)
    print(json.dumps(report["stamps"], indent=1), flush=True)
    shown = [bounded(preprocess.open_flat(file)) for file in leaks.demo_files(options.demo)]
    if shown:
        report["demo_copies"] = measure_copies(encoder, shown, encoder.pictures(shown))
        report["demo_thumbnails"] = measure_copies(
            encoder, shown, encoder.pictures(shown), grey_thumbnail
        )
        print(json.dumps([report["demo_copies"], report["demo_thumbnails"]]), flush=True)
    report["running"] = measure_running(encoder, images)
    print(json.dumps(report["running"], indent=1), flush=True)
    content = json.dumps(report, indent=2)
    (options.encoder / "evaluation.json").write_text(content + "\n", "utf-8")


if __name__ == "__main__":
    main()
