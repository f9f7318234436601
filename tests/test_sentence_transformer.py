"""A model of the Hub by name: found, missing, out of reach, of another kind."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_search.errors import EncoderError
from image_search.sentence_transformer import SentenceTransformerEncoder

WAYS = "--model embedded"


def build(
    folder: Path, out: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess:
    """Run build_index.py as a keeper does."""
    return subprocess.run(
        [sys.executable, "build_index.py", str(folder), "--out", str(out), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(out.parent / "hub"), **environment},
        timeout=120,
    )


def test_the_hub_out_of_reach_is_one_line_with_two_ways_on(pictures: Path, tmp_path: Path) -> None:
    done = build(pictures, tmp_path / "out", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith(
        "error: The Hugging Face Hub is out of reach, so the model clip-ViT-B-32"
    )
    assert "pip install -r requirements-build.txt" in line
    assert WAYS in line
    assert not (tmp_path / "out").exists()


def test_without_sentence_transformers_it_is_one_line_too(
    pictures: Path, tmp_path: Path, random_clip_folder: Callable[[bool], Path]
) -> None:
    """As on a machine with requirements.txt alone: importing it fails."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sentence_transformers.py").write_text(
        "raise ModuleNotFoundError('No module named', name='sentence_transformers')"
    )
    done = build(
        pictures,
        tmp_path / "out",
        "--model",
        str(random_clip_folder(True)),
        PYTHONPATH=str(blocked),
    )
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "needs sentence_transformers, which is not installed" in line
    assert "pip install -r requirements-build.txt" in line
    assert WAYS in line


class NotFound(http.server.BaseHTTPRequestHandler):
    """A Hub that does not know the repository."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def empty_hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotFound)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_misspelt_model_is_named(pictures: Path, tmp_path: Path, empty_hub: str) -> None:
    done = build(pictures, tmp_path / "out", "--model", "clip-Vit-32", HF_ENDPOINT=empty_hub)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error: There is no model clip-Vit-32 on the Hugging Face Hub")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizer

    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertModel(config).save_pretrained(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"]
    BertTokenizer(vocab={w: i for i, w in enumerate(words)}).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="is a BertModel, not a CLIP"):
        SentenceTransformerEncoder(str(tmp_path), device="cpu")


def test_a_folder_with_nothing_usable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match="could not be loaded"):
        SentenceTransformerEncoder(str(tmp_path), device="cpu")


def test_the_revision_of_a_folder_is_its_contents(
    random_clip_folder: Callable[[bool], Path], tmp_path: Path
) -> None:
    import shutil

    first = SentenceTransformerEncoder(str(random_clip_folder(True)), device="cpu")
    copy = shutil.copytree(random_clip_folder(True), tmp_path / "copy")
    assert SentenceTransformerEncoder(str(copy), device="cpu").revision == first.revision
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert SentenceTransformerEncoder(str(copy), device="cpu").revision != first.revision


def test_it_says_where_it_runs_and_takes_any_mode(
    random_clip_folder: Callable[[bool], Path],
) -> None:
    encoder = SentenceTransformerEncoder(str(random_clip_folder(True)))
    assert encoder.device in ("cuda", "mps", "cpu")
    vectors = encoder.encode_images(
        [Image.new("L", (9, 9), 255), Image.new("RGBA", (9, 9)), Image.new("RGB", (9, 9), "white")]
    )
    assert vectors[1] == pytest.approx(vectors[0], abs=1e-5)
    assert vectors[2] == pytest.approx(vectors[0], abs=1e-5)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_pixels_are_normalised_and_shared_among_copies_of_the_model(
    random_clip_folder: Callable[[bool], Path],
) -> None:
    """As on a machine with several GPUs, each with a copy."""
    clip = SentenceTransformerEncoder(str(random_clip_folder(True)), device="cpu")
    generator = np.random.default_rng(3)
    pictures = [
        Image.fromarray(generator.integers(0, 255, (230 + n, 250, 3), dtype=np.uint8))
        for n in range(7)
    ]
    pixels = np.stack([clip.preprocessing.pixels(picture) for picture in pictures])
    alone = clip.encode_pixels(pixels)
    original = clip.original().encode_images(pictures)
    assert (alone * original).sum(axis=1).min() > 0.9999
    clip._copies = [clip.clip] * 3
    # Bit by bit, whatever else is in the batch: a build that goes on meets other batches.
    assert clip.encode_pixels(pixels).tobytes() == alone.tobytes()
    assert clip.encode_pixels(pixels[:1]).tobytes() == alone[:1].tobytes()
    assert clip.encode_pixels(pixels[:0]).shape == (0, clip.dim)


def test_on_a_cpu_the_exported_model_encodes_the_collection(
    pictures: Path, random_clip_folder: Callable[[bool], Path], tmp_path: Path
) -> None:
    """In float32: ONNX Runtime takes half of torch's time; the vectors are the same."""
    from image_search.artifact import Artifact
    from image_search.build import build as build_collection
    from image_search.folder import open_folder

    clip = SentenceTransformerEncoder(str(random_clip_folder(True)), device="cpu")
    clip.precision = "float32"  # as on processors that do not compute in bfloat16
    clip.encode_pixels = None  # type: ignore[assignment,method-assign]
    collection = open_folder(pictures)
    build_collection(collection, clip, tmp_path / "out")
    images = [Image.open(pictures / entry.id) for entry in collection]
    assert Artifact.open(tmp_path / "out").vectors() == pytest.approx(
        clip.original().encode_images(images), abs=1e-4
    )


def test_what_another_device_stores_is_compared_with_the_export(
    pictures: Path, random_clip_folder: Callable[[bool], Path], tmp_path: Path
) -> None:
    """As on a GPU, where pictures are encoded in 16 bits by the model itself."""
    from image_search.artifact import Artifact
    from image_search.build import build as build_collection
    from image_search.folder import open_folder

    # Still the processor, but not by that name.
    clip = SentenceTransformerEncoder(str(random_clip_folder(True)), device="cpu:0")
    build_collection(open_folder(pictures), clip, tmp_path / "out")
    agreement = Artifact.open(tmp_path / "out").manifest.encoder.agreement
    assert agreement.stored_min_cosine == pytest.approx(1, abs=1e-4)
    right = clip.encode_pixels
    clip.encode_pixels = lambda pixels: right(255 - pixels)  # type: ignore[method-assign]
    with pytest.raises(EncoderError, match="gives other vectors than its export"):
        build_collection(open_folder(pictures), clip, tmp_path / "other")
