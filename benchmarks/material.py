"""What the benchmarks work on, all of it made here: a model, collections, a folder of pictures.

    python benchmarks/material.py model FOLDER
    python benchmarks/material.py rows FOLDER MODEL ROWS SIDE
    python benchmarks/material.py pictures FOLDER COUNT
    python benchmarks/material.py push FOLDER          (of rows, to the Hub of HF_ENDPOINT)

Run by bench.py, which says where the modules are.

The model is a CLIP of the genuine ViT-B/32 size with random weights. A collection has vectors as
CLIP's lie: a mean cosine of .5 between pictures and .25 with a text. It is a genuine artifact,
written by the project's own code, and the same rows are a dataset as `push_to_hub` writes it.
The pictures are JPEGs of 600 to 1,000 pixels out of the demo's photographs and drawings, with
the grain of a scan.
"""

import os
import random
import shutil
import sys
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import random_clip
from common import ARTICLE, OURS, tell
from datasets import Dataset, Features, List, Value, load_dataset
from PIL import Image

import image_search.push
from image_search import export, images, probes
from image_search.assemble import Ingredients, assemble
from image_search.collection import Collection, Entry, describe
from image_search.encoder import OnnxEncoder, Preprocessing, Vectors, read_spec, unit
from image_search.export import Agreement
from image_search.folder import FolderReader
from image_search.manifest import (
    ENCODER,
    MANIFEST,
    MANIFEST_HASH,
    CollectionInfo,
    file_info,
    read_manifest,
    write_manifest,
)
from image_search.parts import Job, PartWriter, Recipe, Row, Slice
from image_search.prepare import Prepared, preparer
from image_search.progress import Stopwatch
from image_search.sentence_transformer import SentenceTransformerEncoder

DEMO = Path(__file__).parents[1] / "assets" / "demo" / "pictures"

SHARD = 500_000_000
"""Bytes of a parquet file of `push_to_hub`."""

SPREAD = 0.5
"""Mean cosine between two pictures, as measured of CLIP."""

NEAR = 0.25
"""Mean cosine between a picture and a text: far less, the gap between the two kinds."""

GRAIN = 5
"""Standard deviation of the noise on a scan, of 255 levels: a JPEG then has a quarter of a byte a
pixel, as those of scanned book illustrations have."""

TINY = 32
"""Pixels a side of the pictures where only their number counts."""


def make_model(folder: Path) -> None:
    """A CLIP with random weights, as the article loads it and as an artifact carries it."""
    random_clip.save_legacy(folder / "clip")
    encoder = SentenceTransformerEncoder(str(folder / "clip"), device="cpu")
    pictures = [Image.open(path).convert("RGB") for path in _demo()[::40]]
    agreement = export.export_encoder(encoder, folder / "encoder", probes.TEXTS, pictures)
    (folder / "agreement.json").write_text(agreement.model_dump_json())


def make_rows(folder: Path, model: Path, rows: int, side: int) -> None:
    """`artifact` and `article` with the same rows; few pictures, of `side` pixels, again and
    again."""
    encoder = OnnxEncoder(model / "encoder")
    vectors = _vectors(rows, encoder)
    collection = _collection(rows, vectors)
    recipe = Recipe(
        model="clip-ViT-B-32",
        revision=encoder.revision,
        precision="given",
        dim=encoder.dim,
        preprocessing=Preprocessing(**encoder.preprocessing.model_dump()),
        resizer="torch",
        max_side=1024,
        max_pixels=images.MAX_PIXELS,
    )
    job = Job(collection, recipe)
    work = folder / "work"
    shutil.copytree(model / "encoder", work / "encoder")
    prepare = preparer(recipe.resizer, recipe.preprocessing, recipe.max_side, recipe.max_pixels)
    pictures = [prepare(data) for data in jpegs(side, 512 if side > TINY else 8)]
    parts = [_part(job, slice, work / "parts", pictures) for slice in job.slices()]
    made = Ingredients(
        collection=collection,
        recipe=recipe,
        extras=(),
        info=CollectionInfo(name=f"{rows:,} rows"),
        options={},
        agreement=Agreement.model_validate_json((model / "agreement.json").read_bytes()),
        pictures=[Image.open(BytesIO(picture.stored)) for picture in pictures[:32]],
        notices=[],
    )
    assemble(made, parts, work, Stopwatch())
    (work / "artifact").rename(folder / "artifact")
    shutil.rmtree(work)
    _write_8_bits(folder)
    _write_article(folder)


def make_pictures(folder: Path, count: int) -> None:
    """JPEGs in folders by year, none the same."""
    seen = len(_demo())
    for number, data in enumerate(islice(cycle(jpegs(0, seen)), count)):
        path = folder / str(1850 + number % 50) / f"{number:06}_A picture_{1850 + number % 50}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        # A comment behind the picture's end: the same pixels are decoded, and no file is another's.
        path.write_bytes(data + number.to_bytes(4, "big"))


def push(folder: Path) -> dict[str, str]:
    """Where both collections are on the Hub then."""
    pushed = image_search.push.push(folder / "artifact", "alice/ours")
    load_dataset(str(folder / "article"), split="train").push_to_hub("alice/article", private=True)
    return {OURS: f"{pushed.repo}@{pushed.tag}", ARTICLE: "alice/article"}


def jpegs(side: int, count: int) -> list[bytes]:
    """The demo's pictures as JPEGs with a longest side of `side` pixels; 0: of 600 to 1,000."""
    chance = np.random.default_rng(0)
    made = []
    for path in islice(cycle(_demo()), count):
        image = Image.open(path).convert("RGB")
        scale = (side or chance.integers(600, 1000, endpoint=True)) / max(image.size)
        width, height = (max(1, round(length * scale)) for length in image.size)
        pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
        pixels = pixels + GRAIN * chance.standard_normal((height, width, 1), np.float32)
        buffer = BytesIO()
        scan = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        scan.save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def _demo() -> list[Path]:
    """Photographs and drawings in turn, so that any beginning has both."""
    found = [path for path in sorted(DEMO.rglob("*")) if path.is_file()]
    random.Random(0).shuffle(found)
    return found


def _vectors(rows: int, encoder: OnnxEncoder) -> Vectors:
    """As CLIP's: all in one narrow cone, and the texts outside of it."""
    generator = np.random.default_rng(0)
    text = unit(encoder.encode_texts(probes.TEXTS).mean(axis=0, keepdims=True))[0]
    other = generator.normal(size=encoder.dim)
    other -= other @ text * text
    other /= np.linalg.norm(other)
    towards = NEAR / np.sqrt(SPREAD)
    middle = towards * text + np.sqrt(1 - towards**2) * other
    # Real vectors differ in few directions much and in many a little.
    strength = np.arange(1, encoder.dim + 1) ** -0.25
    strength /= np.linalg.norm(strength)
    turned = np.linalg.qr(generator.normal(size=(encoder.dim, encoder.dim)))[0].astype(np.float32)
    vectors = np.empty((rows, encoder.dim), np.float32)
    for start in range(0, rows, 16_384):
        block = generator.standard_normal((min(16_384, rows - start), encoder.dim), np.float32)
        block = block * strength.astype(np.float32) @ turned
        vectors[start : start + len(block)] = unit(
            np.float32(np.sqrt(SPREAD)) * middle.astype(np.float32)
            + np.float32(np.sqrt(1 - SPREAD)) * block
        )
    return vectors


def _collection(rows: int, vectors: Vectors) -> Collection:
    """Rows that are called as those of the British Library's digitised books."""
    numbers = range(rows)
    years = [1510 + n * 7919 % 390 for n in numbers]
    ids = sorted(f"{y}/{n:09}_0_{n % 900:06}_1_[The Ring and the Book]_{y}.jpg"
                 for n, y in zip(numbers, years, strict=True))  # fmt: skip
    columns: dict[str, Any] = {
        "title": [f"The Ring and the Book, plate {n % 900}" for n in numbers],
        "book": [f"{n // 40:09}" for n in numbers],
        "plate": [n % 900 for n in numbers],
        "year": [int(id[:4]) for id in ids],
    }
    fields, metadata = describe(columns, None, rows, [])
    return Collection(
        kind="folder",
        name=f"{rows:,} rows",
        fields=fields,
        entries=[Entry(id, id, "") for id in ids],
        metadata=metadata,
        rejects=[],
        notices=[],
        reader=FolderReader(Path()),  # nothing is read: see `_part`
        vectors=vectors,
    )


def _part(job: Job, slice: Slice, folder: Path, pictures: list[Prepared]) -> Path:
    writer = PartWriter(job, slice, folder)
    assert job.collection.vectors is not None
    for index in range(slice.start, slice.stop):
        made = pictures[index % len(pictures)]
        vector = job.collection.vectors[index]
        writer.add(Row(index, made.stored, made.thumbnail, made.width, made.height, vector))
    writer.finish()
    return folder / slice.key


def _write_8_bits(folder: Path) -> None:
    """The same artifact as it is where the words' tower may have 8-bit weights.

    Whether it may depends on what the weights mean, so random ones do not tell.
    """
    manifest, _ = read_manifest(folder / "artifact")
    spec = read_spec(folder / "artifact" / ENCODER)
    if spec.precision["text"] == "int8":
        return
    small = folder / "artifact-8-bits"
    shutil.copytree(folder / "artifact", small, copy_function=os.link)
    files = dict(manifest.files)
    for name in (f"{ENCODER}/{spec.text.file}", f"{ENCODER}/encoder.json", MANIFEST, MANIFEST_HASH):
        (small / name).unlink()  # or the other one's would be written to
    export._quantise(
        folder / "artifact" / ENCODER / spec.text.file, small / ENCODER / spec.text.file, True
    )
    precision = {**spec.precision, "text": "int8"}
    export._write_spec(spec.model_copy(update={"precision": precision}), small / ENCODER)
    for name in (f"{ENCODER}/{spec.text.file}", f"{ENCODER}/encoder.json"):
        files[name] = file_info(small / name)
    write_manifest(small, manifest.model_copy(update={"files": files}))


def _write_article(folder: Path) -> None:
    """The same rows in the files that `push_to_hub` makes of a dataset."""
    files = sorted(map(str, (folder / "artifact" / "data").iterdir()))
    read = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "tmp"))
    # What `map(encode)` gives is a list of any length.
    features = Features({**read.features, "embeddings": List(Value("float32"))})
    dataset: Dataset = read.cast(features)
    count = int(dataset._estimate_nbytes() / SHARD) + 1
    (folder / "article").mkdir()
    for number in range(count):
        shard = dataset.shard(count, number, contiguous=True)
        shard.to_parquet(folder / "article" / f"train-{number:05}-of-{count:05}.parquet")
    shutil.rmtree(folder / "tmp")


def main() -> None:
    kind, name, *rest = sys.argv[1:]
    folder, told = Path(name), dict[str, str]()
    if kind == "model":
        make_model(folder)
    elif kind == "rows":
        make_rows(folder, Path(rest[0]), int(rest[1]), int(rest[2]))
    elif kind == "pictures":
        make_pictures(folder, int(rest[0]))
    else:
        told = push(folder)
    tell(told)


if __name__ == "__main__":
    main()
