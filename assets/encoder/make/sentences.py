"""Sentence vectors of the frozen text network, as quantised and pruned as it is shipped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from backbones import MiniLM
from safetensors.torch import load_file
from tokenizers import Tokenizer

MAX_TOKENS = 64
BATCH = 64


def text_folder(source: Path) -> Path:
    """Return the folder of the text network's files inside its unpacked package."""
    (weights,) = source.rglob("model.safetensors")
    return weights.parent


class Sentences:
    """Texts into (n, 384) unit vectors, each text computed once and kept in the work folder."""

    def __init__(self, source: Path, tokenizer: Path, rows: list[int], work: Path) -> None:
        self.network = MiniLM(
            load_file(text_folder(source) / "model.safetensors"), rows, MAX_TOKENS
        )
        self.network.eval()
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding(pad_id=0)
        mark = hashlib.sha256(tokenizer.read_bytes()).hexdigest()[:12]
        self.cache = work / f"sentences_{mark}.npz"
        self.known: dict[str, np.ndarray] = {}
        if self.cache.exists():
            stored = np.load(self.cache)
            self.known = dict(zip(stored["texts"].tolist(), stored["vectors"], strict=True))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return the vectors of the texts, in their order."""
        missing = sorted(
            {text for text in texts if text not in self.known}, key=lambda t: (len(t), t)
        )
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            self.known.update(zip(batch, self.compute(batch), strict=True))
            if start // BATCH % 50 == 49:
                print(f"  texts: {start + len(batch)} of {len(missing)}", flush=True)
        if len(missing) > 1000:
            known = np.stack(list(self.known.values()))
            np.savez(self.cache, texts=np.array(list(self.known)), vectors=known)
        return np.stack([self.known[text] for text in texts])

    def compute(self, texts: list[str]) -> np.ndarray:
        """Run one batch through the network."""
        encoded = self.tokenizer.encode_batch(texts)
        ids = torch.tensor([entry.ids for entry in encoded])
        mask = torch.tensor([entry.attention_mask for entry in encoded])
        with torch.inference_mode():
            return self.network(ids, mask).numpy()
