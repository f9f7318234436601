"""The encoder that an artifact carries: checked against the one the collection was built with.

A model of the Hub is written as two ONNX files, so that serving needs neither torch nor a
download. Nothing is taken on trust: the towers are compared with the original on real pictures
and texts, and 8-bit weights are used only where the first ten results stay the same.
"""

import logging
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image
from pydantic import BaseModel

from image_search.encoder import (
    Encoder,
    EncoderSpec,
    ImageTower,
    OnnxEncoder,
    Pixels,
    TextTower,
    Vectors,
)
from image_search.errors import EncoderError
from image_search.index.exact import ROUNDING, ExactIndex

if TYPE_CHECKING:
    from image_search.sentence_transformer import SentenceTransformerEncoder

MIN_COSINE = 0.999
"""Least cosine between a vector of the original and of the export. In float32 on a CPU they agree
to 1e-6; the room is for a collection that was encoded in bfloat16 on a GPU."""

MIN_STORED = 0.99
"""Least cosine between a vector that was made in bfloat16, as it is stored, and the export's."""

MIN_TOP10 = 0.95
"""8-bit weights serve queries only if, on average over the probe queries, at least this share of
the first ten pictures is the same as with the original's vectors."""

OPSET = 17


class Agreement(BaseModel):
    """How near the artifact's encoder comes to the one that encoded the collection."""

    compared_texts: int
    compared_pictures: int
    text_min_cosine: float
    picture_min_cosine: float
    stored_min_cosine: float | None = None
    """Of vectors as they are stored, where the model itself made them, and those of the export."""
    int8_text_top10: float | None = None
    int8_picture_top10: float | None = None


def export_encoder(
    encoder: Encoder, folder: Path, texts: list[str], pictures: list[Image.Image]
) -> Agreement:
    """Write `encoder` as an artifact's `encoder/`, in float32, and say how well it agrees.

    `texts` and `pictures` are what both are tried on. Raises EncoderError if they disagree.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(encoder, OnnxEncoder):
        for name in ("encoder.json", "tokenizer.json", *_towers(encoder.spec)):
            shutil.copyfile(encoder.folder / name, folder / name)
        return _compare(encoder, encoder, folder, texts, pictures)
    from image_search.sentence_transformer import SentenceTransformerEncoder

    if not isinstance(encoder, SentenceTransformerEncoder):
        raise EncoderError(f"An encoder of kind {type(encoder).__name__} cannot be exported.")
    _export(encoder, folder)
    return _compare(encoder, encoder.original(), folder, texts, pictures)


def check_stored(encoder: Encoder, folder: Path, pixels: Pixels, agreement: Agreement) -> Agreement:
    """Compare what is going to be stored with the export; `pixels` are some pictures, prepared.

    Raises EncoderError if they disagree.
    """
    ours, theirs = encoder.encode_pixels(pixels), OnnxEncoder(folder).encode_pixels(pixels)
    cosine = _min_cosine(ours, theirs)
    if cosine < MIN_STORED:
        raise EncoderError(
            f"On {encoder.device} the model {encoder.name} gives other vectors than its export: "
            f"their cosine is {cosine:.4f} at worst, {MIN_STORED} is the least. Build with "
            "--device cpu, and please report this."
        )
    return agreement.model_copy(update={"stored_min_cosine": round(cosine, 6)})


def top10_agreement(queries: Vectors, others: Vectors, collection: Vectors) -> float:
    """The mean share of the first ten rows that two sets of query vectors have in common.

    `queries` and `others` are (q, dim), row by row the same question; `collection` is (n, dim).
    """
    if not len(queries):
        return 1.0
    exact = ExactIndex(collection)
    _, best = exact.nearest(queries, 10)
    rows, _ = exact.nearest(others, 10)
    # By the score, not by the row: of pictures that are the same any will do.
    scores = np.einsum("qkd,qd->qk", collection[rows], queries)
    return float(np.mean(scores >= best.min(axis=1, keepdims=True) - ROUNDING))


def _towers(spec: EncoderSpec) -> tuple[str, str]:
    return spec.text.file, spec.image.file


class Original(Protocol):
    """The model as its makers run it, with their own preprocessing."""

    def encode_texts(self, texts: list[str]) -> Vectors: ...
    def encode_images(self, pictures: list[Image.Image]) -> Vectors: ...


def _compare(
    encoder: Encoder,
    original: Original,
    folder: Path,
    texts: list[str],
    pictures: list[Image.Image],
) -> Agreement:
    exported = OnnxEncoder(folder)
    texts = [*texts, "ship", "a ship in a storm near the coast of Wales " * 20]
    text = _min_cosine(original.encode_texts(texts), exported.encode_texts(texts))
    picture = _min_cosine(original.encode_images(pictures), exported.encode_images(pictures))
    for tower, cosine in (("text", text), ("picture", picture)):
        if cosine < MIN_COSINE:
            raise EncoderError(
                f"The export of {encoder.name} does not agree with the original: its {tower} "
                f"vectors have a cosine of {cosine:.4f} at worst, {MIN_COSINE} is the least. "
                "Nothing was written over; please report this with the model's name."
            )
    return Agreement(
        compared_texts=len(texts),
        compared_pictures=len(pictures),
        text_min_cosine=round(text, 6),
        picture_min_cosine=round(picture, 6),
    )


def _min_cosine(first: Vectors, second: Vectors) -> float:
    return float((first * second).sum(axis=1).min(initial=1.0))


def _export(encoder: "SentenceTransformerEncoder", folder: Path) -> None:
    """Write both towers in float32 with encoder.json and tokenizer.json."""
    import torch

    class Tower(torch.nn.Module):
        """One half of CLIP with its projection; the vectors come out at length one."""

        def __init__(self, features: Any) -> None:
            super().__init__()
            self.clip = encoder.clip
            self.features = features

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(self.features(inputs).pooler_output, dim=-1)

    clip = encoder.clip.to("cpu")
    size = encoder.preprocessing.size
    # Traced with a text of several tokens and a batch of two: neither is then taken as fixed.
    ids = torch.tensor([encoder.tokenizer("a drawing of a steam engine")["input_ids"]])
    pixels = torch.zeros(2, 3, size, size)
    examples: list[tuple[str, Any, Any, str, dict[int, str]]] = [
        ("text.onnx", clip.get_text_features, ids, "input_ids", {0: "batch", 1: "tokens"}),
        ("image.onnx", clip.get_image_features, pixels, "pixel_values", {0: "batch"}),
    ]
    for file, features, example, name, axes in examples:
        # The tracer warns of every branch on a shape; `_compare` tries shapes it has not seen.
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Tower(features).eval(),
                (example,),
                folder / file,
                input_names=[name],
                output_names=["embedding"],
                dynamic_axes={name: axes, "embedding": {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,
            )
    clip.to(encoder.device)
    encoder.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    spec = EncoderSpec(
        format_version=1,
        name=encoder.name,
        revision=encoder.revision,
        dim=encoder.dim,
        text=TextTower(file="text.onnx", max_tokens=encoder.max_tokens),
        image=ImageTower(file="image.onnx", **encoder.preprocessing.model_dump()),
        precision={"text": "float32", "image": "float32"},
    )
    _write_spec(spec, folder)


def try_int8(
    folder: Path,
    texts: list[str],
    pictures: list[Image.Image],
    collection: Vectors,
    agreement: Agreement,
) -> Agreement:
    """Put 8-bit weights in a float32 tower's place where the first ten results stay the same.

    `collection` is (n, dim), the vectors that the first ten are counted over.
    """
    original = OnnxEncoder(folder)
    spec = original.spec
    if spec.precision != {"text": "float32", "image": "float32"}:
        return agreement
    queries = {"text": original.encode_texts(texts), "image": original.encode_images(pictures)}
    shares = {}
    files = {"text": spec.text.file, "image": spec.image.file}
    precision = dict(spec.precision)
    for tower, file in files.items():
        small = folder / f"{tower}-int8.onnx"
        _quantise(folder / file, small, gather=tower == "text")
        trial = spec.model_copy(
            update={tower: getattr(spec, tower).model_copy(update={"file": small.name})}
        )
        _write_spec(trial, folder)
        candidate = OnnxEncoder(folder)
        encoded = (
            candidate.encode_texts(texts) if tower == "text" else candidate.encode_images(pictures)
        )
        shares[tower] = top10_agreement(queries[tower], encoded, collection)
        if len(encoded) and shares[tower] >= MIN_TOP10:
            small.replace(folder / file)
            precision[tower] = "int8"
        else:
            small.unlink()
    _write_spec(spec.model_copy(update={"precision": precision}), folder)
    return agreement.model_copy(
        update={
            "int8_text_top10": round(shares["text"], 4),
            "int8_picture_top10": round(shares["image"], 4),
        }
    )


def _quantise(source: Path, target: Path, gather: bool) -> None:
    """8-bit weights per channel; the text tower's table of words (Gather) as well."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    # It advises pre-processing by way of the root logger, which is for static quantisation.
    root.setLevel(logging.ERROR)
    try:
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm", *(["Gather"] if gather else [])],
        )
    finally:
        root.setLevel(level)


def _write_spec(spec: EncoderSpec, folder: Path) -> None:
    (folder / "encoder.json").write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
