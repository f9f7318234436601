"""A CLIP of the genuine ViT-B/32 architecture with random weights, saved as the Hub stores it.

CLIP's own weights cannot be had on a machine without the Hub. Everything but the meaning of the
vectors can be tried with this one: shapes, preprocessing, tokenizer, export, agreement. The
tokenizer is the real one: its vocabulary ships in the package open_clip_torch (MIT).
"""

import gzip
import json
from importlib.metadata import files
from pathlib import Path


def _merges() -> list[str]:
    """The 48,894 merges of CLIP's byte-pair vocabulary."""
    paths = files("open_clip_torch") or []
    vocabulary = next(p for p in paths if p.name == "bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(vocabulary.read_binary()).decode("utf-8").split("\n")
    return lines[1 : 49152 - 256 - 2 + 1]


def _vocabulary(merges: list[str]) -> dict[str, int]:
    """Token → id: 256 byte symbols, the same at a word's end, the merges, start and end."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(m.split()) for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}


def save(folder: Path, small: bool = False) -> Path:
    """Write the model in the layout of openai/clip-vit-base-patch32; the same weights every time.

    `small` keeps the shape of the architecture but not its size, for tests of everything else.
    """
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    merges = _merges()
    layers = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128} if small else {}
    config = CLIPConfig(
        text_config={
            "vocab_size": 49408,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_hidden_layers": 12,
            "num_attention_heads": 8,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
            **layers,
        },
        vision_config={
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 8 if small else 12,
            "image_size": 224,
            "patch_size": 32,
            **layers,
        },
        projection_dim=32 if small else 512,
    )
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    CLIPModel(config).eval().save_pretrained(folder)
    tokenizer = CLIPTokenizer(
        vocab=_vocabulary(merges),
        merges=[tuple(m.split()) for m in merges],
        model_max_length=77,
    )
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)
    return folder


def save_legacy(folder: Path, small: bool = False) -> Path:
    """Write the same model in the layout of sentence-transformers/clip-ViT-B-32 (0_CLIPModel)."""
    save(folder / "0_CLIPModel", small)
    module = {
        "idx": 0,
        "name": "0",
        "path": "0_CLIPModel",
        "type": "sentence_transformers.models.CLIPModel",
    }
    (folder / "modules.json").write_text(json.dumps([module]))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"__version__": {"sentence_transformers": "2.0.0"}})
    )
    return folder
