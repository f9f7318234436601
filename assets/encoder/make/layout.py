"""The part of a picture's vector that knows copies: where it is light and dark, without colour.

A shrunk, grey or mirrored copy keeps that nearly unchanged, whatever the picture shows. Texts have
zeros here, so the part plays no role for words.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import preprocess
import torch
from heads import LAYOUT
from torch import Tensor, nn
from torch.nn import functional

CELL = 20  # Pixels of a cell's side: 13 cells across the 260 that the network sees.
RIDGE = 1e-3
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, which Pillow's grey is too.


def cells(pixels: Tensor) -> Tensor:
    """Return (batch, 91) brightnesses of cells; what is left and what is right counts alike."""
    weights = torch.tensor(LUMA).view(1, 3, 1, 1)
    grey = functional.avg_pool2d((pixels * weights).sum(1, keepdim=True), CELL)
    alike = (grey + grey.flip(3)) / 2
    return alike[..., : (alike.shape[3] + 1) // 2].flatten(1)


class LayoutPart(nn.Module):
    """Cells around the mean picture, along axes in which pictures vary alike."""

    def __init__(self, mean: Tensor, projection: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("projection", projection)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (batch, 64) unit vectors."""
        return functional.normalize((cells(pixels) - self.mean) @ self.projection, dim=-1)


def fit_layout(rows: Tensor) -> LayoutPart:
    """Fit the axes on (n, 91) cells of training pictures."""
    mean = rows.mean(0)
    covariance = ((rows - mean).T @ (rows - mean) / len(rows)).double()
    values, directions = torch.linalg.eigh(covariance)
    projection = directions[:, -LAYOUT:] / (values[-LAYOUT:] + RIDGE).sqrt()
    # The largest entry decides the sign, so that every machine makes the same file.
    largest = projection.abs().argmax(0)
    projection = projection * projection.gather(0, largest[None]).sign()
    return LayoutPart(mean, projection.float())


def kept_cells(files: list[Path], cache: Path) -> Tensor:
    """Return the cells of many pictures, computed once."""
    if not cache.exists():
        rows = []
        for file in files:
            pixels = preprocess.to_array(preprocess.open_flat(file))[None]
            rows.append(cells(torch.from_numpy(np.ascontiguousarray(pixels)))[0].numpy())
        np.save(cache, np.stack(rows))
    found = np.load(cache)
    if len(found) != len(files):
        cache.unlink()
        return kept_cells(files, cache)
    return torch.from_numpy(found)
