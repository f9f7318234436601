"""A real ONNX encoder that understands colours, so that tests can assert exact scores.

A text is the sum of its colour words, a picture is its mean colour: "red" and a red picture have
the cosine 1, "red" and a blue one 0. Written in the format of every other encoder, and read by
the same `OnnxEncoder`.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "white": (1, 1, 1),
}
MAX_TOKENS = 8
SIZE = 16


def write(folder: Path) -> Path:
    """Write the encoder's four files."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {"[UNK]": 0, **{word: i for i, word in enumerate(COLOURS, start=1)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    # An unknown word is a little of every colour.
    table = np.array([(0.1, 0.1, 0.1), *COLOURS.values()], np.float32)
    _save(
        folder / "text.onnx",
        [
            helper.make_node("Gather", ["table", "input_ids"], ["words"]),
            helper.make_node("ReduceSum", ["words", "axis"], ["sum"], keepdims=0),
            helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1),
        ],
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"]),
        {"table": table, "axis": np.array([1])},
    )
    _save(
        folder / "image.onnx",
        [
            helper.make_node("ReduceMean", ["pixel_values"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("LpNormalization", ["mean"], ["embedding"], axis=1),
        ],
        helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE]),
        {},
    )
    spec = {
        "format_version": 1,
        "name": "colours",
        "revision": "1",
        "dim": 3,
        "text": {"file": "text.onnx", "max_tokens": MAX_TOKENS},
        "image": {
            "file": "image.onnx",
            "size": SIZE,
            "fit": "crop",
            "mean": [0] * 3,
            "std": [1] * 3,
        },
        "notice": "Knows five colours.",
    }
    (folder / "encoder.json").write_text(json.dumps(spec))
    return folder


def _save(path: Path, nodes: list, entry: onnx.ValueInfoProto, constants: dict) -> None:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [entry],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)
