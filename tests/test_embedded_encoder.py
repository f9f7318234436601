"""The encoder that comes with the project: its files, its floors, and what it finds in the demo."""

import hashlib
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from image_search.demo import LABELLED
from image_search.encoder import EMBEDDED, OnnxEncoder, embedded_encoder
from image_search.search import Searcher
from image_search.selfcheck import FIRST, LEAST_PRECISION, shows

FILES = ("text.onnx", "image.onnx", "tokenizer.json", "encoder.json")


@pytest.fixture(scope="module")
def encoder() -> OnnxEncoder:
    return embedded_encoder()


def test_it_is_small_enough_to_come_along() -> None:
    assert sum((EMBEDDED / name).stat().st_size for name in FILES) <= 32_000_000


def test_its_revision_is_its_contents(encoder: OnnxEncoder) -> None:
    digest = hashlib.sha256()
    for name in ("text.onnx", "image.onnx", "tokenizer.json"):
        digest.update((EMBEDDED / name).read_bytes())
    assert digest.hexdigest().startswith(encoder.revision)


def test_it_says_what_it_is(encoder: OnnxEncoder) -> None:
    assert encoder.name == "embedded"
    assert "not CLIP" in (encoder.spec.notice or "")


def test_every_word_is_read(encoder: OnnxEncoder) -> None:
    """Whatever is typed in Latin letters has a token of its own or in pieces."""
    unknown = encoder._tokenizer.token_to_id("[UNK]")
    text = "Xylographic Qwghlm zöölogical façade, naïve jack-o'-lantern 1872 & Co. (etc.)!?"
    assert unknown not in encoder._tokenizer.encode(text).ids


def test_capitals_and_articles_change_little(encoder: OnnxEncoder) -> None:
    plain, typed = encoder.encode_texts(["guitar", "A Guitar"])
    other = encoder.encode_texts(["a locomotive"])[0]
    assert plain @ typed > 0.75 > plain @ other


def test_the_published_figures_are_of_these_files_and_above_the_floors() -> None:
    """Measured by assets/encoder/make/evaluate.py, by way of ONNX Runtime."""
    figures = json.loads((EMBEDDED / "evaluation.json").read_text(encoding="utf-8"))
    for name in FILES:
        digest = hashlib.sha256((EMBEDDED / name).read_bytes()).hexdigest()
        assert figures["files"][name]["sha256"] == digest, f"{name} was changed after measuring"
    held_out, outside = figures["held_out_drawings"], figures["stamps"]
    words = (EMBEDDED / "make" / "heldout_words.txt").read_text().split()
    assert len(words) == figures["held_out_words"] >= 80
    assert held_out["as_titled"]["at_10"] >= 0.40
    assert held_out["categories"]["precision_at_10"] >= 0.56
    assert outside["as_titled"]["at_10"] >= 0.45
    assert outside["copies"]["recall_at_1"] >= 0.95


def test_a_shrunk_grey_copy_finds_its_original(demo: Searcher) -> None:
    vectors = demo.artifact.vectors()
    rows = range(0, len(vectors), 6)
    first = 0
    for row in rows:
        with Image.open(BytesIO(demo.artifact.picture(row))) as original:
            copy = ImageOps.grayscale(original.convert("RGB"))
        copy.thumbnail((160, 160))
        squeezed = BytesIO()
        copy.save(squeezed, "JPEG", quality=70)
        with Image.open(squeezed) as picture:
            scores = vectors @ demo.encoder.encode_images([picture])[0]
        first += int(np.argmax(scores)) == row
    assert first / len(rows) >= 0.95


def test_the_labelled_questions_find_what_they_ask_for(demo: Searcher) -> None:
    shares = {
        question: sum(shows(hit, label) for hit in demo.search(question, k=FIRST)) / FIRST
        for question, label in LABELLED.items()
    }
    assert np.mean(list(shares.values())) >= LEAST_PRECISION, shares


def test_two_builds_have_identical_vectors(tmp_path: Path) -> None:
    """The real encoder, real pictures, two builds from nothing."""
    from image_search.artifact import Artifact
    from image_search.build import build
    from image_search.demo import FOLDER
    from image_search.folder import open_folder

    collection = open_folder(FOLDER / "pictures" / "nmk")
    first, second = tmp_path / "first", tmp_path / "second"
    build(collection, embedded_encoder(), first)
    build(collection, OnnxEncoder(EMBEDDED, threads=1), second)
    vectors = Artifact.open(first).vectors()
    assert vectors.tobytes() == Artifact.open(second).vectors().tobytes()
    assert len(vectors) == 47


@pytest.mark.parametrize("words", ["a guitar", "A guitar.", "an illustration of a guitar"])
def test_a_guitar_is_found_however_it_is_asked_for(demo: Searcher, words: str) -> None:
    assert sum(shows(hit, "guitar|cello|violin|banjo") for hit in demo.search(words, k=5)) >= 4
