"""The two frozen networks: EfficientNet-Lite2 for pictures, a six-layer MiniLM for texts."""

from __future__ import annotations

import math

import torch
from quantise import on_grid
from torch import Tensor, nn
from torch.nn import functional

IMAGE_SIDE = 260
NORM_EPSILON = 1e-3
# Stages of EfficientNet-Lite2: kernel, stride, expansion, output channels, blocks.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 3),
    (5, 2, 6, 48, 3),
    (3, 2, 6, 88, 4),
    (5, 1, 6, 120, 4),
    (5, 2, 6, 208, 5),
    (3, 1, 6, 352, 1),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
MIDDLE_CHANNELS = sum(stage[3] for stage in STAGES[-3:])
CLASSES = 1000


class SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME is, for one known input side."""

    def __init__(
        self,
        side: int,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=True)
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        before, after = total // 2, total - total // 2
        if before == after:
            self.padding = (before, before)
            self.extra = None
        else:
            self.extra = (before, after, before, after)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the convolved picture."""
        if self.extra is not None:
            pixels = functional.pad(pixels, self.extra)
        return super().forward(pixels)

    def load(self, state: dict[str, Tensor], convolution: str, norm: str) -> None:
        """Take the weights with the batch norm folded in, rounded to the int8 grid."""
        spread = (state[f"{norm}.running_var"] + NORM_EPSILON).sqrt()
        factor = state[f"{norm}.weight"] / spread
        weight = state[f"{convolution}.weight"] * factor.view(-1, 1, 1, 1)
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * factor
        self.weight.data = on_grid(weight)
        self.bias.data = bias


class Block(nn.Module):
    """An inverted bottleneck without squeeze-and-excitation (the "Lite" kind)."""

    def __init__(
        self, side: int, inputs: int, outputs: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConvolution(side, inputs, inner) if expansion > 1 else None
        self.depthwise = SameConvolution(side, inner, inner, kernel, stride, groups=inner)
        self.project = SameConvolution(math.ceil(side / stride), inner, outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, before: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = before
        if self.expand is not None:
            hidden = self.expand(hidden).clamp(0, 6)
        hidden = self.project(self.depthwise(hidden).clamp(0, 6))
        return before + hidden if self.residual else hidden

    def load(self, state: dict[str, Tensor], prefix: str) -> None:
        """Take the weights of the block with this prefix."""
        if self.expand is not None:
            self.expand.load(state, f"{prefix}._expand_conv", f"{prefix}._bn0")
        self.depthwise.load(state, f"{prefix}._depthwise_conv", f"{prefix}._bn1")
        self.project.load(state, f"{prefix}._project_conv", f"{prefix}._bn2")


class Lite2(nn.Module):
    """EfficientNet-Lite2: a picture into its head features and its last stages' means."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        side = math.ceil(IMAGE_SIDE / 2)
        self.stem = SameConvolution(IMAGE_SIDE, 3, STEM_CHANNELS, 3, 2)
        self.stem.load(state, "_conv_stem", "_bn0")
        self.stages = nn.ModuleList()
        channels, number = STEM_CHANNELS, 0
        for kernel, stride, expansion, outputs, repeats in STAGES:
            stage = nn.Sequential()
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                block = Block(side, channels, outputs, kernel, step, expansion)
                block.load(state, f"_blocks.{number}")
                stage.append(block)
                side, channels, number = math.ceil(side / step), outputs, number + 1
            self.stages.append(stage)
        self.head = SameConvolution(side, channels, HEAD_CHANNELS)
        self.head.load(state, "_conv_head", "_bn1")

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return (batch, 1280) head features and (batch, 680) means of the last three stages."""
        hidden = self.stem(pixels).clamp(0, 6)
        means = []
        for stage in self.stages:
            hidden = stage(hidden)
            means.append(hidden.mean((2, 3)))
        return self.head(hidden).clamp(0, 6).mean((2, 3)), torch.cat(means[-3:], 1)


class Attention(nn.Module):
    """Multi-head self-attention with the residual and the norm of the original BERT."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the attended tokens; the mask is 0 where a token counts, else very negative."""
        batch, length, width = tokens.shape

        def split(flat: Tensor) -> Tensor:
            return flat.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

        query, key, value = (split(f(tokens)) for f in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / math.sqrt(width // self.heads) + mask
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, length, width)
        return self.norm(tokens + self.output(mixed))


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.wide = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the layer's output."""
        tokens = self.attention(tokens, mask)
        return self.norm(tokens + self.narrow(functional.gelu(self.wide(tokens))))


class MiniLM(nn.Module):
    """A BERT of six layers, pruned to some vocabulary rows and a maximal length."""

    def __init__(self, state: dict[str, Tensor], rows: list[int], max_tokens: int) -> None:
        super().__init__()
        words = state["embeddings.word_embeddings.weight"]
        self.words = nn.Embedding.from_pretrained(on_grid(words[rows]))
        # There is one sentence only, so the first segment's vector belongs to every position.
        places = state["embeddings.position_embeddings.weight"][:max_tokens]
        places = places + state["embeddings.token_type_embeddings.weight"][0]
        self.places = nn.Embedding.from_pretrained(on_grid(places))
        self.norm = nn.LayerNorm(words.shape[1], eps=1e-12)
        self.norm.load_state_dict(part(state, "embeddings.LayerNorm"))
        names = {
            "attention.query": "attention.self.query",
            "attention.key": "attention.self.key",
            "attention.value": "attention.self.value",
            "attention.output": "attention.output.dense",
            "attention.norm": "attention.output.LayerNorm",
            "wide": "intermediate.dense",
            "narrow": "output.dense",
            "norm": "output.LayerNorm",
        }
        self.layers = nn.ModuleList()
        depth = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.layer."))
        inner = state["encoder.layer.0.intermediate.dense.weight"].shape[0]
        for number in range(depth):
            layer = Layer(words.shape[1], 12, inner)
            for own, original in names.items():
                weights = part(state, f"encoder.layer.{number}.{original}")
                if "norm" not in own:
                    weights["weight"] = on_grid(weights["weight"])
                layer.get_submodule(own).load_state_dict(weights)
            self.layers.append(layer)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (batch, 384) unit sentence vectors: the mean of the last layer's tokens."""
        weights = attention_mask.to(torch.float32)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        tokens = self.norm(self.words(input_ids) + self.places(places))
        mask = ((1.0 - weights) * -1e9)[:, None, None, :]
        for layer in self.layers:
            tokens = layer(tokens, mask)
        total = (tokens * weights[:, :, None]).sum(1)
        return functional.normalize(total / weights.sum(1, keepdim=True), dim=-1)


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights under one prefix, without it."""
    return {
        key[len(prefix) + 1 :]: value
        for key, value in state.items()
        if key.startswith(f"{prefix}.")
    }
