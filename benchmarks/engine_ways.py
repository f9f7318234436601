"""What `engines.py` measures, each in a process of its own.

python benchmarks/engine_ways.py material FOLDER MODEL ROWS
python benchmarks/engine_ways.py faiss|chdb|1|2 FOLDER QUERIES
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clickhouse_node
import numpy as np
import pyarrow as pa
from common import Figures, cpu_seconds, memory, percentiles, tell
from material import _vectors

from image_search import probes
from image_search.encoder import OnnxEncoder, unit
from image_search.engine.address import parse
from image_search.engine.connection import LONG, Connection
from image_search.engine.load import load
from image_search.engine.tables import PHOTOS, Names
from image_search.index.clickhouse import ClickHouseIndex
from image_search.index.exact import ROUNDING, ExactIndex
from image_search.index.faiss_index import FaissIndex
from image_search.index.protocol import Index
from image_search.progress import Quiet

K = 60
"""Pictures of a page of results."""


def make(folder: Path, model: Path, rows: int, queries: int = 200) -> None:
    """Vectors and questions, and what exact search answers to these."""
    encoder = OnnxEncoder(model / "encoder")
    vectors = _vectors(rows, encoder)
    generator = np.random.default_rng(1)
    texts = encoder.encode_texts(probes.TEXTS)
    # As many as are wanted: each between a text and what tells the pictures apart.
    towards = vectors[generator.choice(rows, queries)]
    asked = unit(texts[generator.choice(len(texts), queries)] + towards)
    folder.mkdir(parents=True)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", asked)
    best, scores = ExactIndex(vectors).nearest(asked, K)
    order = np.argsort(-scores, axis=1)
    np.save(folder / "best.npy", np.take_along_axis(scores, order, axis=1))
    assert best.shape == (queries, K)


def run(way: str, folder: Path, queries: int) -> Figures:
    """Load, index and ask."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    if way == "faiss":
        return _faiss(vectors, folder, queries)
    place = Path(tempfile.mkdtemp(dir=folder))
    nodes = [] if way == "chdb" else clickhouse_node.start(place, int(way))
    try:
        address = clickhouse_node.address(nodes) if nodes else f"chdb://{place}/database"
        figures, index = _load(address, vectors)
        figures |= _ask(index, folder, queries)
        pids: list[int | str] = [node.pid for node in nodes] or ["self"]
        figures["memory, MB"] = sum(memory(pid)["of its own, MB"] for pid in pids)
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        return {**figures, "on the disk, MB": size / 1e6}
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(place, ignore_errors=True)


def _faiss(vectors: np.ndarray, folder: Path, queries: int) -> Figures:
    begin = time.monotonic()
    index = FaissIndex.build(vectors.shape[1])
    for start in range(0, len(vectors), 16_384):
        index.add(np.array(vectors[start : start + 16_384]))
    figures = {"load, s": time.monotonic() - begin, **_ask(index, folder, queries)}
    index.write(folder / "vectors.faiss")
    size = (folder / "vectors.faiss").stat().st_size
    return {**figures, "memory, MB": memory()["of its own, MB"], "on the disk, MB": size / 1e6}


def _load(address: str, vectors: np.ndarray) -> tuple[Figures, Index]:
    """As `engine load` does it, of rows without metadata; and when the index was begun."""
    count, dim = vectors.shape
    ids = pa.array([f"{n:09}.jpg" for n in range(count)])
    sizes = pa.table({"width": np.ones(count, np.int32), "height": np.ones(count, np.int32)})
    artifact: Any = SimpleNamespace(
        version="0" * 64,
        manifest=SimpleNamespace(
            rows=count,
            encoder=SimpleNamespace(dim=dim),
            collection=SimpleNamespace(name="rows"),
            tables=[],
        ),
        catalogue=SimpleNamespace(table=pa.table({"id": ids}), sizes=sizes),
        vectors=lambda start, rows: np.array(vectors[start : start + rows]),
    )
    begin, used = time.monotonic(), cpu_seconds()
    said: list[tuple[float, float]] = []
    parsed = parse(address)
    # What is said first is that the index is being made.
    load(parsed, artifact, Quiet(), lambda _: said.append((time.monotonic(), cpu_seconds())))
    (indexing, before), end = said[0], time.monotonic()
    names = Names(parsed.database, PHOTOS, artifact.version, parsed.cluster)
    index = ClickHouseIndex(Connection(parsed, patience=LONG), names.whole, count, dim, {})
    figures = {
        "load, s": indexing - begin,
        "index, s": end - indexing,
        "index, CPU s": cpu_seconds() - before,
        "load, CPU s": before - used,
    }
    return figures, index


def _ask(index: Index, folder: Path, count: int) -> Figures:
    queries, best = np.load(folder / "queries.npy")[:count], np.load(folder / "best.npy")
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    for query in queries[:5]:
        index.search(query, K)
    seconds, found = [], {10: 0, K: 0}
    for query, scores in zip(queries, best, strict=False):
        begin = time.perf_counter()
        rows, _ = index.search(query, K)
        seconds.append(time.perf_counter() - begin)
        cosines = vectors[rows] @ query
        for k in found:
            found[k] += int(np.sum(cosines[:k] >= scores[k - 1] - ROUNDING))
    shares = {f"recall at {k}": hits / (k * len(queries)) for k, hits in found.items()}
    return {**percentiles(seconds), **shares}


def main() -> None:
    way, folder, *rest = sys.argv[1:]
    if way == "material":
        make(Path(folder), Path(rest[0]), int(rest[1]))
        tell({})
    else:
        tell(run(way, Path(folder), int(rest[0])))


if __name__ == "__main__":
    main()
