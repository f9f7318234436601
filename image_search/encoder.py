"""Texts and pictures → unit vectors of one space.

Knows models, not collections. Two encoders: `OnnxEncoder` reads the folder `encoder/` of an
artifact and needs neither torch nor a download; `image_search.sentence_transformer` holds the
one that builds with a model of the Hub.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tokenizers import Tokenizer

from image_search import images
from image_search.errors import EncoderError
from image_search.settings import ROOT

Vectors = NDArray[np.float32]

Pixels = NDArray[np.uint8]
"""Squares as a tower sees them, before they are normalised: (n, size, size, 3), 0..255."""

EMBEDDED = ROOT / "assets" / "encoder"
"""The encoder that comes with the project, for work without a model hub."""

DEFAULT_MODEL = "clip-ViT-B-32"
"""What a collection is built with if nothing else is said."""

FILE_NAME = r"^[\w.-]+$"
"""A file beside encoder.json, never one of another folder."""

BATCH = 8
"""Pictures an ONNX session gets at once: more is no faster on a CPU, and less memory is used."""


class Preprocessing(BaseModel):
    """How a picture becomes the numbers an image tower reads; the same for collection and query."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: int
    """The side of the square that the tower sees, in pixels."""
    fit: Literal["crop", "pad"]
    """crop: the shorter side fills the square and the rest is cut off; pad: all is seen."""
    resample: str = "bicubic"
    """The name of a Pillow filter."""
    background: tuple[int, int, int] = (255, 255, 255)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Mean and standard deviation of red, green and blue, in 0..1, taken off and divided by."""

    def frame(self, width: int, height: int) -> "Frame":
        """How a picture of this size is fitted into the square."""
        reference = (min if self.fit == "crop" else max)(width, height)
        # For a crop cut off, as CLIP's own processor does: the pixels are then the very same.
        # Rounded otherwise, so that a small copy is framed as its original is.
        whole = int if self.fit == "crop" else round
        scaled = [max(1, whole(self.size * side / reference)) for side in (width, height)]
        left, top = (abs(side - self.size) // 2 for side in scaled)
        return Frame(scaled[0], scaled[1], left, top)

    def pixels(self, image: Image.Image) -> Pixels:
        """The square that the tower sees: (size, size, 3), 0..255. Any PIL mode is taken."""
        image = images.to_rgb(image)
        if self.fit == "crop" and central(*image.size) != (0, 0, *image.size):
            image = image.crop(central(*image.size))
        frame = self.frame(*image.size)
        image = image.resize((frame.width, frame.height), Image.Resampling[self.resample.upper()])
        if self.fit == "crop":
            left, top = frame.left, frame.top
            image = image.crop((left, top, left + self.size, top + self.size))
        else:
            square = Image.new("RGB", (self.size, self.size), self.background)
            square.paste(image, (frame.left, frame.top))
            image = square
        return np.asarray(image)

    def normalised(self, pixels: Pixels) -> Vectors:
        """What the tower reads: (n, 3, size, size) float32 out of (n, size, size, 3)."""
        mean = np.array(self.mean, np.float32)
        std = np.array(self.std, np.float32)
        numbers = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(numbers.transpose(0, 3, 1, 2))


class Frame(NamedTuple):
    """The size to which a picture is scaled, and what is cut off, or left free, at its sides."""

    width: int
    height: int
    left: int
    top: int


class TextTower(BaseModel):
    """The half of an encoder that reads words."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str = Field(pattern=FILE_NAME)
    max_tokens: int
    """Word pieces the tower reads at most, with its start and end marks."""


class ImageTower(Preprocessing):
    """The half of an encoder that reads pictures."""

    file: str = Field(pattern=FILE_NAME)


class EncoderSpec(BaseModel):
    """What `encoder.json` says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: Literal[1]
    name: str
    revision: str
    dim: int
    text: TextTower
    image: ImageTower
    precision: dict[str, str] = {}
    notice: str | None = None
    """A sentence for the people who search with it, where the encoder needs one."""


class Encoder(Protocol):
    """Anything that puts texts and pictures into one space."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def precision(self) -> str:
        """In what numbers pictures are encoded, such as float32."""

    @property
    def device(self) -> str:
        """Where it computes, such as cpu or cuda."""

    @property
    def batch_size(self) -> int:
        """Pictures that `encode_pixels` is best given at a time."""

    @property
    def notice(self) -> str | None:
        """A sentence for the people who search with it, where one is needed."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes pixels for `encode_pixels`."""

    def encode_texts(self, texts: list[str]) -> Vectors:
        """(n, dim) unit vectors."""

    def encode_images(self, pictures: list[Image.Image]) -> Vectors:
        """(n, dim) unit vectors; pictures of any mode, transparency on white."""

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, dim) unit vectors of pictures that were prepared by `preprocessing`."""

    def read_part(self, text: str) -> str:
        """The part of a text that the model reads: all of it unless it is over the limit."""


def central(width: int, height: int) -> tuple[int, int, int, int]:
    """The middle of a picture that is far longer than wide: the rest would be cut off anyway.

    Scaled whole, a strip of 1 × 60,000 pixels would need all of the memory. Left, top, right and
    bottom; all of the picture if it is no such strip.
    """
    longest = 16 * min(width, height)
    left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
    return left, top, width - left, height - top


def unit(vectors: Vectors) -> Vectors:
    """Vectors of length one, (n, dim) float32: the one place where that is made so."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


class OnnxEncoder:
    """An encoder out of a folder with encoder.json, tokenizer.json and two ONNX files.

    Reads the text tower when made and the image tower at the first picture. Safe to use from
    several threads. `threads` batches of pictures are encoded at a time; a query needs one.
    Raises EncoderError if the folder does not hold a usable encoder.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self.spec = read_spec(folder)
        self._threads = threads
        self._lock = Lock()
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise EncoderError(f"{folder / 'tokenizer.json'} cannot be read: {error}.") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.spec.text.max_tokens)
        self._text = _session(folder / self.spec.text.file)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def revision(self) -> str:
        return self.spec.revision

    @property
    def dim(self) -> int:
        return self.spec.dim

    @property
    def precision(self) -> str:
        return "float32"

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def batch_size(self) -> int:
        return BATCH * max(4, self._threads)

    @property
    def notice(self) -> str | None:
        return self.spec.notice

    @property
    def preprocessing(self) -> Preprocessing:
        return self.spec.image

    @cached_property
    def _image(self) -> ort.InferenceSession:
        return _session(self.folder / self.spec.image.file)

    def encode_texts(self, texts: list[str]) -> Vectors:
        """(n, dim) unit vectors. One text at a time: padding a query would cost three times."""
        rows = [self._encode_text(text) for text in texts]
        return unit(np.concatenate(rows)) if rows else np.empty((0, self.dim), np.float32)

    def encode_images(self, pictures: list[Image.Image]) -> Vectors:
        """(n, dim) unit vectors."""
        if not pictures:
            return np.empty((0, self.dim), np.float32)
        return self.encode_pixels(np.stack([self.preprocessing.pixels(p) for p in pictures]))

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, dim) unit vectors; the same bits whatever else is in the list (tested)."""
        if not len(pixels):
            return np.empty((0, self.dim), np.float32)
        with self._lock:  # two first pictures at once would load the tower twice
            session = self._image
        starts = range(0, len(pixels), BATCH)

        def encode(start: int) -> Vectors:
            batch = self.preprocessing.normalised(pixels[start : start + BATCH])
            return _run(session, {"pixel_values": batch})

        if self._threads == 1 or len(starts) == 1:
            return unit(np.concatenate([encode(start) for start in starts]))
        with ThreadPoolExecutor(self._threads) as pool:
            return unit(np.concatenate(list(pool.map(encode, starts))))

    def read_part(self, text: str) -> str:
        encoding = self._tokenizer.encode(text)
        if not encoding.overflowing:
            return text
        end = max(end for _, end in encoding.offsets)
        return text[:end]

    def _encode_text(self, text: str) -> Vectors:
        encoding = self._tokenizer.encode(text)
        inputs = {"input_ids": np.array([encoding.ids], np.int64)}
        if any(i.name == "attention_mask" for i in self._text.get_inputs()):
            inputs["attention_mask"] = np.ones_like(inputs["input_ids"])
        return _run(self._text, inputs)


def embedded_encoder() -> OnnxEncoder:
    """The encoder that comes with the project, set up for encoding a collection."""
    return OnnxEncoder(EMBEDDED, threads=os.cpu_count() or 1)


def read_spec(folder: Path) -> EncoderSpec:
    """What encoder.json in a folder says. Raises EncoderError that names the folder."""
    try:
        return EncoderSpec.model_validate_json((folder / "encoder.json").read_bytes())
    except OSError as error:
        raise EncoderError(f"No encoder in {folder}: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise EncoderError(
            f"{folder / 'encoder.json'} cannot be used: {place}: {first['msg']}."
        ) from None


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One thread a query: requests run side by side, and threads that spin would starve them.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise EncoderError(f"{path} is not a model that can be loaded: {error}") from None


def _run(session: ort.InferenceSession, inputs: dict[str, Any]) -> Vectors:
    try:
        output: Vectors = session.run(None, inputs)[0]
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise EncoderError(f"The encoder failed, its files may be damaged: {error}") from None
    return output
