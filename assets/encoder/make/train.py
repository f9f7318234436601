"""Train the heads on the kept features and sentence vectors with a contrastive loss."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import numpy as np
import torch
from heads import ImageHeads, TextHead
from sentences import Sentences
from texts import asked, texts_of
from torch import Tensor
from torch.nn import functional

SEED = 7
ASKINGS = 2  # Ways of asking that are prepared for each short text.
LONGEST_ASKED = 40
RIDGE = 3.0


@dataclass(frozen=True)
class Recipe:
    """What the held-out words decided."""

    heads: int = 3
    hidden: int = 512
    epochs: int = 16
    rate: float = 2e-3
    decay: float = 0.05
    pictures: int = 256  # A batch holds two views of each.
    start_heat: float = 0.07
    same_meaning: float = 0.92
    soft_share: float = 0.2
    soft_sharpness: float = 25.0
    title_share: float = 0.45
    asked_share: float = 0.4
    noise: float = 0.15
    views_weight: float = 0.2


class Corpus:
    """Every text of the training pictures as numbers of rows in one matrix of sentence vectors."""

    def __init__(self, pictures: list, embed: Sentences) -> None:
        chooser = random.Random(SEED)
        texts: dict[str, int] = {}
        self.texts_of_picture = [
            [texts.setdefault(text, len(texts)) for text in texts_of(picture)]
            for picture in pictures
        ]
        self.asked_as: dict[int, list[int]] = {}
        rows = list(texts)
        for number, text in enumerate(list(texts)):
            if len(text) <= LONGEST_ASKED and "," not in text:
                ways = [asked(text, chooser) for _ in range(ASKINGS)]
                self.asked_as[number] = list(range(len(rows), len(rows) + ASKINGS))
                rows += ways
        self.sentences = torch.tensor(embed(rows))

    def pairs(self) -> tuple[list[int], list[int]]:
        """Return texts as asked and the same texts as they are, plain ones on both sides too."""
        before, after = list(self.asked_as), list(self.asked_as)
        for number, ways in self.asked_as.items():
            before += ways
            after += [number] * len(ways)
        return before, after

    def draw(self, picture: int, chooser: random.Random, recipe: Recipe) -> int:
        """Return the row of one text for a picture: its title more often than its other texts."""
        own = self.texts_of_picture[picture]
        text = own[0] if chooser.random() < recipe.title_share else chooser.choice(own)
        if text in self.asked_as and chooser.random() < recipe.asked_share:
            return chooser.choice(self.asked_as[text])
        return text


def plain_meaning(corpus: Corpus) -> tuple[Tensor, Tensor]:
    """Fit the affine map from sentences as asked to plain ones (ridge towards doing nothing)."""
    before, after = corpus.pairs()
    asked_rows, plain_rows = corpus.sentences[before].double(), corpus.sentences[after].double()
    centre, target = asked_rows.mean(0), plain_rows.mean(0)
    left, right = asked_rows - centre, plain_rows - target
    identity = torch.eye(left.shape[1], dtype=torch.double)
    matrix = torch.linalg.solve(
        left.T @ left + RIDGE * identity, left.T @ right + RIDGE * identity
    ).T
    return matrix.float(), (target - matrix @ centre).float()


def targets(meanings: Tensor, recipe: Recipe) -> Tensor:
    """Return which texts of a batch mean the same, with a little credit for nearly so."""
    likeness = meanings @ meanings.T
    same = (likeness > recipe.same_meaning).float()
    soft = (likeness * recipe.soft_sharpness).softmax(1)
    return (1 - recipe.soft_share) * same / same.sum(1, keepdim=True) + recipe.soft_share * soft


def matching_loss(left: Tensor, right: Tensor, heat: Tensor, goal: Tensor) -> Tensor:
    """Return the symmetric cross-entropy between two sides that should match row by row."""
    scores = heat * left @ right.T
    one = -(goal * scores.log_softmax(1)).sum(1).mean()
    other = -(goal * scores.T.log_softmax(1)).sum(1).mean()
    return (one + other) / 2


def fit(features: Tensor, corpus: Corpus, recipe: Recipe) -> tuple[ImageHeads, TextHead]:
    """Train on (views, pictures, channels) features and the texts of the same pictures."""
    torch.manual_seed(SEED)
    chooser, numbers = random.Random(SEED), np.random.default_rng(SEED)
    views_there, there = features.shape[:2]
    flat = features.reshape(-1, features.shape[-1])
    image = ImageHeads(flat.mean(0), flat.std(0) + 0.05, recipe.hidden, recipe.heads)
    text = TextHead(*plain_meaning(corpus))
    with torch.inference_mode():
        meanings = text.meaning(corpus.sentences)
    meanings = meanings.clone()
    heat = torch.nn.Parameter(torch.tensor(np.log(1 / recipe.start_heat), dtype=torch.float32))
    learned = [*image.parameters(), *text.project.parameters()]
    optimiser = torch.optim.AdamW(
        [
            {"params": learned, "weight_decay": recipe.decay},
            {"params": [heat], "weight_decay": 0.0},
        ],
        lr=recipe.rate,
    )
    per_epoch = there // recipe.pictures
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, total_steps=recipe.epochs * per_epoch, pct_start=0.1
    )
    started, diagonal = time.time(), torch.eye(recipe.pictures)
    for epoch in range(recipe.epochs):
        order = numbers.permutation(there)
        for step in range(per_epoch):
            batch = order[step * recipe.pictures : (step + 1) * recipe.pictures]
            views = np.array([numbers.permutation(views_there)[:2] for _ in batch])
            pictures = torch.cat([features[views[:, side], batch] for side in (0, 1)])
            noisy = torch.rand(len(pictures), 1) < 0.5
            pictures = pictures + noisy * recipe.noise * image.spread * torch.randn_like(pictures)
            drawn = [corpus.draw(int(one), chooser, recipe) for one in (*batch, *batch)]
            sentences = meanings[drawn]
            goal = targets(sentences, recipe)
            words = text(functional.dropout(sentences, 0.1))
            strength = heat.exp().clamp(max=60)
            loss = torch.zeros(())
            for vectors in image.each(pictures):
                loss = loss + matching_loss(vectors, words, strength, goal)
                first, second = vectors.chunk(2)
                loss = loss + recipe.views_weight * matching_loss(first, second, strength, diagonal)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        if epoch % 4 == 3:
            value = float(loss.detach()) / recipe.heads
            print(
                f"  epoch {epoch + 1}: loss {value:.3f}, {time.time() - started:.0f} s", flush=True
            )
    return image.eval(), text.eval()
