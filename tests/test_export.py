"""A model of the Hub → what serving needs, checked against the original.

With a randomly initialised CLIP: its pictures and texts mean nothing, everything else is genuine.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import random_clip
from conftest import build_folder
from PIL import Image

import image_search
from image_search import export
from image_search.artifact import Artifact
from image_search.encoder import OnnxEncoder, unit
from image_search.errors import EncoderError
from image_search.export import Agreement, export_encoder, top10_agreement, try_int8
from image_search.sentence_transformer import SentenceTransformerEncoder
from image_search.verify import verify

TEXTS = ["a red house", "ships", "An illustration of the sun behind a mountain"]


def pictures(count: int) -> list[Image.Image]:
    generator = np.random.default_rng(7)
    return [
        Image.fromarray(generator.integers(0, 255, (60 + 9 * i, 80, 3), dtype=np.uint8))
        for i in range(count)
    ]


def write_encoder(clip: SentenceTransformerEncoder, folder: Path, count: int) -> Agreement:
    """Export and try 8 bits, as a build does before and after encoding."""
    collection = clip.encode_images(pictures(20))
    agreement = export_encoder(clip, folder, TEXTS, pictures(count))
    return try_int8(folder, TEXTS, pictures(count), collection, agreement)


@pytest.fixture(scope="module")
def clip(random_clip_folder: Callable[[bool], Path]) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder(str(random_clip_folder(True)), device="cpu")


def test_the_export_agrees_with_the_original(
    clip: SentenceTransformerEncoder, tmp_path: Path
) -> None:
    agreement = write_encoder(clip, tmp_path, 4)
    assert agreement.text_min_cosine > 0.99999
    assert agreement.picture_min_cosine > 0.99999
    exported = OnnxEncoder(tmp_path)
    assert exported.spec.name == "random-clip"
    assert exported.spec.image.size == 224
    assert exported.spec.text.max_tokens == 77
    original = clip.original()
    precision = exported.spec.precision
    nearness = {"float32": 1e-5, "int8": 0.1}
    assert exported.encode_texts(TEXTS) == pytest.approx(
        original.encode_texts(TEXTS), abs=nearness[precision["text"]]
    )
    assert exported.encode_images(pictures(3)) == pytest.approx(
        original.encode_images(pictures(3)), abs=nearness[precision["image"]]
    )


@pytest.mark.parametrize(("least", "precision"), [(0.0, "int8"), (1.1, "float32")])
def test_int8_serves_only_where_the_first_ten_agree(
    clip: SentenceTransformerEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    least: float,
    precision: str,
) -> None:
    monkeypatch.setattr(export, "MIN_TOP10", least)
    agreement = write_encoder(clip, tmp_path, 2)
    assert 0 < (agreement.int8_text_top10 or 0) <= 1
    assert OnnxEncoder(tmp_path).spec.precision == {"text": precision, "image": precision}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "encoder.json",
        "image.onnx",
        "text.onnx",
        "tokenizer.json",
    ]


def test_the_rule_for_int8_counts_the_first_ten() -> None:
    collection = unit(np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))
    queries = collection[:5]
    assert top10_agreement(queries, queries, collection) == 1.0
    assert top10_agreement(queries, -queries, collection) == 0.0
    nudged = unit(queries + np.float32(0.05))
    assert 0.5 < top10_agreement(queries, nudged, collection) < 1.0


def test_an_export_that_disagrees_is_refused(
    clip: SentenceTransformerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The towers right, the preprocessing wrong: what the comparison is for."""
    wrong = clip.preprocessing.model_copy(update={"fit": "pad"})
    monkeypatch.setattr(clip, "preprocessing", wrong)
    with pytest.raises(EncoderError, match="picture vectors have a cosine of"):
        export_encoder(clip, tmp_path, TEXTS, pictures(4))


def test_a_long_text_is_cut_as_the_original_cuts_it(
    clip: SentenceTransformerEncoder, tmp_path: Path
) -> None:
    export_encoder(clip, tmp_path, TEXTS, pictures(1))
    exported = OnnxEncoder(tmp_path)
    long = "a ship in a storm near the coast of Wales " * 20
    assert exported.read_part(long) == clip.read_part(long)
    assert 200 < len(exported.read_part(long)) < len(long)
    assert exported.read_part("a ship") == clip.read_part("a ship") == "a ship"


def test_a_collection_built_with_it_is_searchable_without_torch(
    clip: SentenceTransformerEncoder, pictures_folder: Path, tmp_path: Path
) -> None:
    out = build_folder(pictures_folder, clip, tmp_path / "out")
    assert verify(out) == []
    manifest = Artifact.open(out).manifest
    assert manifest.encoder.name == "random-clip"
    assert len(manifest.encoder.revision) == 40
    opened = image_search.open(out)
    assert len(opened.search("a guitar", k=3)) == 3
    red = Image.open(pictures_folder / "warm/red.png")
    assert opened.search(image=red, k=1)[0].id == "warm/red.png"


@pytest.fixture
def pictures_folder(pictures: Path) -> Path:
    return pictures


def test_both_layouts_of_the_hub_give_the_same_vectors(
    random_clip_folder: Callable[[bool], Path], tmp_path: Path
) -> None:
    """OpenAI's repositories and sentence-transformers' store a CLIP differently."""
    plain = SentenceTransformerEncoder(str(random_clip_folder(True)), device="cpu")
    legacy = SentenceTransformerEncoder(
        str(random_clip.save_legacy(tmp_path / "legacy", small=True)), device="cpu"
    )
    assert plain.encode_texts(TEXTS) == pytest.approx(legacy.encode_texts(TEXTS), abs=1e-6)
    assert plain.encode_images(pictures(2)) == pytest.approx(
        legacy.encode_images(pictures(2)), abs=1e-6
    )


@pytest.mark.slow
def test_the_genuine_size_exports_too(
    random_clip_folder: Callable[[bool], Path], pictures_folder: Path, tmp_path: Path
) -> None:
    clip = SentenceTransformerEncoder(str(random_clip_folder(False)), device="cpu")
    assert (clip.dim, clip.max_tokens, clip.preprocessing.size) == (512, 77, 224)
    out = build_folder(pictures_folder, clip, tmp_path / "out")
    agreement = Artifact.open(out).manifest.encoder.agreement
    assert min(agreement.text_min_cosine, agreement.picture_min_cosine) > 0.99999
    assert verify(out) == []
