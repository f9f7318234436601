"""Answering a question: our way (ONNX Runtime, FAISS at 16 bits) and the articles' way, measured.

    python benchmarks/serving.py [--rows 20000] [--json FILE]

The articles' way is sentence-transformers and torch for the question and `datasets`' FAISS index
(32 bits) for the search. Both use the same randomly initialised ViT-B/32 (speed does not depend
on what the weights mean) and the same random vectors, without pictures. Each runs in a fresh
process, turn by turn, several times; the medians and their ratios are printed. Needs
requirements-dev.txt. Never run by pytest.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent

OURS = """
import sys, time
start = time.perf_counter()
from pathlib import Path
import image_search
from image_search.encoder import OnnxEncoder
from image_search.index import FaissIndex
folder = Path(sys.argv[1])
encoder, index = OnnxEncoder(folder / "encoder"), FaissIndex.read(folder / "vectors.faiss")
def ask(text):
    return index.search(encoder.encode_texts([text])[0], 9)
"""

ARTICLES = """
import sys, time
start = time.perf_counter()
from pathlib import Path
from datasets import load_from_disk
from sentence_transformers import SentenceTransformer
folder = Path(sys.argv[1])
model = SentenceTransformer(str(folder / "clip"), device="cpu")
dataset = load_from_disk(str(folder / "dataset"))
dataset.load_faiss_index("embeddings", str(folder / "flat.faiss"))
def ask(text):
    return dataset.get_nearest_examples("embeddings", model.encode(text), k=9)
"""

MEASURE = r"""
ask("a steam engine")
ready = time.perf_counter() - start
times = []
for i in range(50):
    begin = time.perf_counter()
    ask(f"an illustration of a musical instrument, number {i}")
    times.append(time.perf_counter() - begin)
import json, re
peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1))
times.sort()
print(json.dumps({
    "start to first answer, s": ready,
    "question p50, ms": times[25] * 1000,
    "question p95, ms": times[47] * 1000,
    "peak memory, MB": peak / 1024,
}))
"""


def prepare(folder: Path, rows: int) -> None:
    """The model, the exported encoder and the vectors that both ways start from."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import faiss
    import numpy as np
    import random_clip
    from datasets import Dataset
    from PIL import Image

    from image_search import probes
    from image_search.encoder import unit
    from image_search.export import export_encoder, try_int8
    from image_search.index import FaissIndex
    from image_search.sentence_transformer import SentenceTransformerEncoder

    generator = np.random.default_rng(0)
    clip = SentenceTransformerEncoder(str(random_clip.save(folder / "clip")), device="cpu")
    vectors = unit(generator.normal(size=(rows, clip.dim)).astype(np.float32))
    picture = Image.fromarray(generator.integers(0, 255, (300, 300, 3), dtype=np.uint8))
    agreement = export_encoder(clip, folder / "encoder", probes.TEXTS, [picture])
    print(try_int8(folder / "encoder", probes.TEXTS, [picture], vectors, agreement))
    index = FaissIndex.build(clip.dim)
    index.add(vectors)
    index.write(folder / "vectors.faiss")
    flat = faiss.IndexFlatIP(clip.dim)
    flat.add(vectors)
    faiss.write_index(flat, str(folder / "flat.faiss"))
    Dataset.from_dict({"id": [str(i) for i in range(rows)]}).save_to_disk(str(folder / "dataset"))


def measure(way: str, folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", way + MEASURE, str(folder)],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.rows)
        rounds = [
            {"ours": measure(OURS, folder), "articles": measure(ARTICLES, folder)}
            for _ in range(arguments.rounds)
        ]
    table = {
        what: {way: statistics.median(r[way][what] for r in rounds) for way in ("ours", "articles")}
        for what in rounds[0]["ours"]
    }
    print(f"{arguments.rows:,} vectors of 512, medians of {arguments.rounds} runs of each")
    for what, ways in table.items():
        ratio = ways["articles"] / ways["ours"]
        print(
            f"{what:26} ours {ways['ours']:8.1f}   articles {ways['articles']:8.1f}   {ratio:.1f}x"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": arguments.rows, "medians": table}, indent=2))


if __name__ == "__main__":
    main()
