"""Run the exported files as the product does: ONNX Runtime, tokenizers, Pillow and nothing else."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
import preprocess
from PIL import Image
from tokenizers import Tokenizer


class Encoder:
    """Texts and pictures into unit vectors, one thread each."""

    def __init__(self, folder: Path) -> None:
        """Open the four files of a folder and note how long that takes."""
        self.description = json.loads((folder / "encoder.json").read_text("utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.load_seconds: dict[str, float] = {}
        self.sessions = {}
        for part in ("text", "image"):
            started = time.perf_counter()
            self.sessions[part] = onnxruntime.InferenceSession(
                folder / f"{part}.onnx", options, providers=["CPUExecutionProvider"]
            )
            self.load_seconds[part] = time.perf_counter() - started
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(self.description["text"]["max_tokens"])
        self.tokenizer.enable_padding()

    def texts(self, texts: list[str], batch: int = 1) -> np.ndarray:
        """Return (n, dim) vectors of texts."""
        rows = []
        for start in range(0, len(texts), batch):
            encoded = self.tokenizer.encode_batch(texts[start : start + batch])
            ids = np.array([entry.ids for entry in encoded], dtype=np.int64)
            mask = np.array([entry.attention_mask for entry in encoded], dtype=np.int64)
            inputs = {"input_ids": ids, "attention_mask": mask}
            rows.append(self.sessions["text"].run(None, inputs)[0])
        return np.concatenate(rows)

    def arrays(self, arrays: np.ndarray) -> np.ndarray:
        """Return (n, dim) vectors of prepared pictures, as one batch."""
        return self.sessions["image"].run(None, {"pixel_values": arrays})[0]

    def pictures(self, pictures: list[Image.Image]) -> np.ndarray:
        """Return (n, dim) vectors of flat RGB pictures."""
        return np.concatenate([self.arrays(preprocess.to_array(one)[None]) for one in pictures])
