"""Write the trained encoder as the files that the product reads."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import onnx
import preprocess
import torch
from backbones import IMAGE_SIDE, Lite2, MiniLM
from heads import ClassMixture, ImageHeads, Joint, TextHead, compressed
from layout import LayoutPart
from quantise import pack
from sentences import MAX_TOKENS
from torch import Tensor, nn

OPSET = 17
DIM = 576
FILES = ("text.onnx", "image.onnx", "tokenizer.json")
NOTICE = (
    "The small encoder that comes with this program answers here, not CLIP: it knows everyday "
    "things in photographs and plain drawings, and can hardly read engravings."
)
PRECISION = "weights int8 (one scale a channel), computed in float32"


class TextEncoder(nn.Module):
    """Token numbers into unit vectors."""

    def __init__(self, network: MiniLM, head: TextHead, joint: Joint) -> None:
        super().__init__()
        self.network, self.head, self.joint = network, head, joint

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (batch, dim) unit vectors."""
        meaning = self.head.meaning(self.network(input_ids, attention_mask))
        return self.joint.text(self.head(meaning), meaning)


class ImageEncoder(nn.Module):
    """Normalised pixels into unit vectors."""

    def __init__(
        self,
        network: Lite2,
        heads: ImageHeads,
        classes: ClassMixture,
        layout: LayoutPart,
        joint: Joint,
    ) -> None:
        super().__init__()
        self.network, self.heads, self.classes = network, heads, classes
        self.layout, self.joint = layout, joint

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return (batch, dim) unit vectors."""
        head, means = self.network(pixel_values)
        features = compressed(head, means)
        layout = self.layout(pixel_values)
        return self.joint.picture(self.heads(features), self.classes(head), layout)


def to_onnx(
    model: nn.Module, inputs: dict[str, Tensor], axes: dict[int, str], target: Path
) -> None:
    """Trace a module, pack its weights as int8 and write it."""
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / "traced.onnx"
        torch.onnx.export(
            model.eval(),
            tuple(inputs.values()),
            traced,
            input_names=list(inputs),
            output_names=["embedding"],
            dynamic_axes={**dict.fromkeys(inputs, axes), "embedding": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
        packed = pack(onnx.load(traced))
    packed.producer_name, packed.producer_version = "image-search embedded encoder", ""
    packed.doc_string = "See README.md beside this file: what it is, licences, limits."
    temporary = target.with_suffix(".tmp")
    onnx.save(packed, temporary)
    temporary.replace(target)


def write_text(model: TextEncoder, target: Path) -> None:
    """Write text.onnx."""
    ids = torch.tensor([[2, 10, 11, 12, 3], [2, 10, 3, 0, 0]])
    mask = (ids > 0).long()
    inputs = {"input_ids": ids, "attention_mask": mask}
    to_onnx(model, inputs, {0: "batch", 1: "tokens"}, target)


def write_image(model: ImageEncoder, target: Path) -> None:
    """Write image.onnx."""
    pixels = torch.randn(2, 3, IMAGE_SIDE, IMAGE_SIDE)
    to_onnx(model, {"pixel_values": pixels}, {0: "batch"}, target)


def revision_of(folder: Path) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 over the three files together."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]


def write_description(folder: Path) -> None:
    """Write encoder.json."""
    description = {
        "format_version": 1,
        "name": "embedded",
        "revision": revision_of(folder),
        "dim": DIM,
        "text": {"file": "text.onnx", "max_tokens": MAX_TOKENS},
        "image": {"file": "image.onnx", **preprocess.PREPROCESSING},
        "precision": {"text": PRECISION, "image": PRECISION},
        "notice": NOTICE,
    }
    content = json.dumps(description, indent=2, ensure_ascii=False)
    (folder / "encoder.json").write_text(content + "\n", "utf-8")
