"""Preprocessing pixel by pixel, the ONNX encoder's habits, and its errors."""

import json
import shutil
from pathlib import Path

import colour_encoder
import numpy as np
import pytest
from PIL import Image

from image_search.encoder import OnnxEncoder, Preprocessing, Vectors, unit
from image_search.errors import EncoderError

NEUTRAL = {"mean": (0, 0, 0), "std": (1, 1, 1)}


def gradient(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng(width * height)
    return Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8))


def ready(preprocessing: Preprocessing, picture: Image.Image) -> Vectors:
    """What the tower reads of one picture."""
    return preprocessing.normalised(preprocessing.pixels(picture)[None])[0]


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (224, 224), (100, 999), (17, 5)])
def test_crop_gives_the_pixels_of_clips_own_processor(size: tuple[int, int]) -> None:
    from transformers.models.clip import CLIPImageProcessorPil

    theirs = CLIPImageProcessorPil()
    ours = Preprocessing(
        size=224, fit="crop", mean=tuple(theirs.image_mean), std=tuple(theirs.image_std)
    )
    picture = gradient(*size)
    expected = theirs(images=picture, return_tensors="np")["pixel_values"][0]
    assert ready(ours, picture) == pytest.approx(np.asarray(expected), abs=1e-5)


def test_pad_shows_all_of_the_picture_on_its_background() -> None:
    square = Preprocessing(size=8, fit="pad", background=(0, 0, 255), **NEUTRAL).pixels(
        Image.new("RGB", (80, 40), "red")
    )
    assert square.shape == (8, 8, 3)
    assert square[:2].tolist() == [[[0, 0, 255]] * 8] * 2
    assert square[2:6].tolist() == [[[255, 0, 0]] * 8] * 4
    assert square[6:].tolist() == [[[0, 0, 255]] * 8] * 2


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_the_thinnest_picture_is_taken(fit: str, size: tuple[int, int]) -> None:
    numbers = ready(Preprocessing(size=32, fit=fit, **NEUTRAL), Image.new("L", size, 255))
    assert numbers.shape == (3, 32, 32)
    assert numbers.dtype == np.float32
    assert numbers.min() == 1.0


def test_values_are_normalised_by_channel() -> None:
    preprocessing = Preprocessing(size=4, fit="crop", mean=(0.5, 0, 0.2), std=(0.5, 1, 0.4))
    numbers = ready(preprocessing, Image.new("RGB", (4, 4), (255, 0, 51)))
    assert numbers[:, 0, 0] == pytest.approx([1, 0, 0], abs=1e-6)


def test_transparency_counts_as_white(colours: OnnxEncoder) -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    white = Image.new("RGB", (20, 20), "white")
    assert colours.encode_images([clear]) == pytest.approx(colours.encode_images([white]))


def test_vectors_are_unit_float32(colours: OnnxEncoder) -> None:
    texts = colours.encode_texts(["red", "red blue"])
    assert texts.dtype == np.float32
    assert texts == pytest.approx(np.array([[1, 0, 0], [0.5**0.5, 0, 0.5**0.5]]), abs=1e-6)
    assert colours.encode_texts([]).shape == (0, 3)
    assert colours.encode_images([]).shape == (0, 3)


def test_a_black_picture_has_no_direction_but_does_no_harm() -> None:
    assert unit(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]


def test_a_list_gives_the_same_bits_whatever_the_threads(colours: OnnxEncoder) -> None:
    pictures = [gradient(30 + i, 40) for i in range(50)]
    alone = OnnxEncoder(colours.folder, threads=1).encode_images(pictures)
    assert alone.tobytes() == colours.encode_images(pictures).tobytes()


def test_the_image_tower_is_read_at_the_first_picture(tmp_path: Path) -> None:
    folder = colour_encoder.write(tmp_path / "encoder")
    encoder = OnnxEncoder(folder)
    (folder / "image.onnx").write_bytes(b"damaged")
    assert encoder.encode_texts(["red"]).shape == (1, 3)
    with pytest.raises(EncoderError, match=r"image\.onnx is not a model"):
        encoder.encode_images([Image.new("RGB", (9, 9))])


def test_the_part_that_is_read_of_a_text(colours: OnnxEncoder) -> None:
    assert colours.read_part("Red or blue") == "Red or blue"
    assert colours.read_part("Red " * 20) == ("Red " * colour_encoder.MAX_TOKENS).strip()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: shutil.rmtree(p), "No encoder in"),
        (lambda p: (p / "tokenizer.json").write_text("{}"), r"tokenizer\.json cannot be read"),
        (lambda p: (p / "text.onnx").unlink(), r"text\.onnx is not a model"),
        (lambda p: (p / "encoder.json").write_text("{"), r"encoder\.json cannot be used"),
        (
            lambda p: (p / "encoder.json").write_text(
                json.dumps({**json.loads((p / "encoder.json").read_text()), "dim": "many"})
            ),
            "dim: Input should be a valid integer",
        ),
    ],
)
def test_a_broken_encoder_is_refused(tmp_path: Path, damage, said: str) -> None:
    folder = colour_encoder.write(tmp_path / "encoder")
    damage(folder)
    with pytest.raises(EncoderError, match=said):
        OnnxEncoder(folder)
