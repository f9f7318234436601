"""A CLIP model of the Hub, through sentence-transformers: what a collection is built with.

Needs torch and sentence-transformers (requirements-build.txt). Knows nothing of ONNX; what
serving needs is made from it in `image_search.export`.
"""

import copy
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from image_search.encoder import BATCH, DEFAULT_MODEL, Pixels, Preprocessing, Vectors, unit
from image_search.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

GPU_BATCH, TEXTS = 512, 512
"""Pictures that a GPU gets at a time, and texts."""

TWO_WAYS = (
    "Either install what it needs (pip install -r requirements-build.txt) on a machine that "
    "reaches the Hugging Face Hub, or build with the encoder that comes along: --model embedded."
)


class SentenceTransformerEncoder:
    """A CLIP model by name (`name[@revision]`) or folder, on the best device at hand.

    `clip-ViT-B-32` and `openai/clip-vit-base-patch32` and their kin are understood. Pictures go
    through our own preprocessing, read from the model's, so that a query meets the same one;
    `image_search.export` checks it against the model's own. Pictures are encoded in bfloat16 where
    a GPU or the processor computes in it, in float32 elsewhere.
    `device` is a name of torch's: `cuda` means all visible GPUs, `cuda:1` that one.
    Raises EncoderError if it cannot be had, with the ways on.
    """

    def __init__(self, model: str = DEFAULT_MODEL, device: str | None = None) -> None:
        try:
            import torch
            from sentence_transformers import SentenceTransformer
            from transformers import CLIPModel
        except ImportError as error:
            raise EncoderError(
                f"The model {model} needs {error.name}, which is not installed. {TWO_WAYS}"
            ) from None
        location, self.revision = resolve(model)
        here = Path(model).is_dir()
        self.name = Path(model).name if here else model.partition("@")[0]
        self.source = os.path.abspath(model) if here else f"{self.name}@{self.revision}"
        """What opens the very same model, also on another machine."""
        self.device = device or _best_device()
        try:
            self.model = SentenceTransformer(location, device=self.device)
        except (OSError, ValueError, KeyError) as error:
            raise EncoderError(
                f"The model {model} could not be loaded: {_first_line(error)}. {TWO_WAYS}"
            ) from None
        module: Any = self.model[0]
        self.clip: Any = getattr(module, "model", module)
        kind = type(self.clip)
        if not issubclass(kind, CLIPModel):
            raise EncoderError(
                f"The model {model} is a {kind.__name__}, not a CLIP with a tower for texts "
                f"and one for pictures. Try {DEFAULT_MODEL} or openai/clip-vit-base-patch16."
            )
        self.tokenizer: Any = module.processor.tokenizer
        self.max_tokens = int(self.clip.config.text_config.max_position_embeddings)
        self.preprocessing = _preprocessing(module.processor.image_processor)
        self.dim = int(self.clip.config.projection_dim)
        # Of pictures; the weights stay in float32, since the export is made from them.
        self.precision = "bfloat16" if _computes_bfloat16(self.device) else "float32"
        self.notice = None
        torch.set_num_threads(os.cpu_count() or 1)

    @property
    def batch_size(self) -> int:
        """Pictures that are encoded at a time, by all GPUs together."""
        if self.device == "cpu":  # as many as the artifact's own encoder, which does it in float32
            return BATCH * max(4, os.cpu_count() or 1)
        return GPU_BATCH * len(self._copies)

    def encode_texts(self, texts: list[str]) -> Vectors:
        """(n, dim) unit vectors."""
        import torch

        rows = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(texts), TEXTS):
            tokens = self.tokenizer(
                texts[start : start + TEXTS],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                output = self.clip.get_text_features(**tokens.to(self.clip.device))
            rows.append(output.pooler_output.float().cpu().numpy())
        return unit(np.concatenate(rows))

    def encode_images(self, pictures: list[Image.Image]) -> Vectors:
        """(n, dim) unit vectors; pictures of any mode, transparency on white."""
        if not pictures:
            return np.empty((0, self.dim), np.float32)
        return self.encode_pixels(np.stack([self.preprocessing.pixels(p) for p in pictures]))

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, dim) unit vectors; the GPUs share the work, and normalise the pixels themselves."""
        shares = [part for part in np.array_split(pixels, len(self._copies)) if len(part)]
        with ThreadPoolExecutor(len(self._copies)) as pool:
            parts = list(pool.map(self._encode_on, self._copies, shares))
        return unit(np.concatenate([np.empty((0, self.dim), np.float32), *parts]))

    def read_part(self, text: str) -> str:
        encoding = self.tokenizer(
            text, truncation=True, max_length=self.max_tokens, return_offsets_mapping=True
        )
        full = self.tokenizer(text)
        if len(full["input_ids"]) <= self.max_tokens:
            return text
        return text[: max(end for _, end in encoding["offset_mapping"])]

    def original(self) -> "Original":
        """The same model through sentence-transformers' own preprocessing, to compare with."""
        return Original(self.model)

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")

    @cached_property
    def _copies(self) -> list[Any]:
        """The model on every device that encodes pictures."""
        import torch

        others = range(1, torch.cuda.device_count()) if self.device == "cuda" else ()
        return [self.clip, *(copy.deepcopy(self.clip).to(f"cuda:{n}") for n in others)]

    def _encode_on(self, clip: Any, pixels: Pixels) -> Vectors:
        """What one copy of the model makes of (n, size, size, 3).

        Raises EncoderError if its device has no room for so many.
        """
        import torch

        device = clip.device
        mean, std = (
            torch.tensor(numbers, device=device).view(1, 3, 1, 1) * 255
            for numbers in (self.preprocessing.mean, self.preprocessing.std)
        )
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        try:
            if device.type == "cuda":  # only pinned memory is copied beside other work
                batch = batch.pin_memory()
            with torch.inference_mode(), self._autocast():
                numbers = batch.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
                output = clip.get_image_features((numbers - mean) / std)
            vectors: Vectors = output.pooler_output.float().cpu().numpy()
        except torch.OutOfMemoryError:
            raise EncoderError(
                f"{device} has not enough memory for {len(pixels)} pictures at a time. Name a "
                "smaller --batch-size; the same command goes on from here."
            ) from None
        return vectors


class Original:
    """A model as sentence-transformers runs it."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self._model = model

    def encode_texts(self, texts: list[str]) -> Vectors:
        return unit(self._model.encode(texts, convert_to_numpy=True))

    def encode_images(self, pictures: list[Image.Image]) -> Vectors:
        if not pictures:
            return np.empty((0, self.encode_texts(["a"]).shape[1]), np.float32)
        return unit(self._model.encode(pictures, convert_to_numpy=True))


def resolve(model: str) -> tuple[str, str]:
    """Where a model lies and its revision: (local folder, commit on the Hub or hash of the files).

    Asks the Hub once, with a short time limit; left to themselves the libraries would retry for
    over a minute before they say that there is no network.
    """
    if Path(model).is_dir():
        return model, _folder_revision(Path(model))
    import httpx2
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, _, wanted = model.partition("@")
    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        try:
            revision = HfApi().model_info(repository, revision=wanted or None, timeout=15).sha
            folder = snapshot_download(repository, revision=revision, ignore_patterns=_NOT_NEEDED)
        except (httpx2.TransportError, ConnectionError, LocalEntryNotFoundError):
            # No network: an earlier download serves as well, its folder is named by its commit.
            folder = snapshot_download(repository, revision=wanted or None, local_files_only=True)
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        raise EncoderError(
            f"There is no model {model} on the Hugging Face Hub, or it is not open to you. Check "
            f"the name ({DEFAULT_MODEL} is one) and, for a private one, the token HF_TOKEN."
        ) from None
    except (LocalEntryNotFoundError, httpx2.TransportError, ConnectionError):
        raise EncoderError(
            f"The Hugging Face Hub is out of reach, so the model {model} cannot be had. {TWO_WAYS}"
        ) from None
    except HfHubHTTPError as error:
        raise EncoderError(
            f"The Hugging Face Hub refused the model {model}: {_first_line(error)}. {TWO_WAYS}"
        ) from None
    return folder, Path(folder).name


_NOT_NEEDED = ["*.h5", "*.msgpack", "*.onnx", "*.ot", "onnx/*", "openvino/*"]
"""Copies of the weights for other frameworks."""


def _folder_revision(folder: Path) -> str:
    """A hash over a model's files, for one that lies in a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:40]


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _computes_bfloat16(device: str) -> bool:
    """Whether it pays: measured on a processor with AVX512_BF16, two thirds of the time that ONNX
    Runtime takes in float32, and vectors with a cosine of .99999 to those."""
    import torch

    if device == "cpu":
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
    return device.startswith("cuda")


def _preprocessing(processor: Any) -> Preprocessing:
    """What a CLIP image processor does, in our words. Raises EncoderError for another kind."""
    size, crop = processor.size, processor.crop_size
    if not (processor.do_center_crop and "shortest_edge" in size):
        raise EncoderError(
            f"This model prepares pictures in a way that is not known here (size {size}, crop "
            f"{crop}). Try {DEFAULT_MODEL} or openai/clip-vit-base-patch16."
        )
    return Preprocessing(
        size=int(crop["height"]),
        fit="crop",
        resample=Image.Resampling(int(processor.resample)).name.lower(),
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
