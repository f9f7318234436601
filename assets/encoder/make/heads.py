"""The trained part: what turns the frozen networks' features into one shared space."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1280 + 208 + 120 + 352
SENTENCE = 384
SHARED = 256
LAYOUT = 64
CALIBRATION = 192
DROPOUT = 0.3


def compressed(head: Tensor, means: Tensor) -> Tensor:
    """Return the square roots of the features: a few strong channels must not drown the rest."""
    return torch.cat([head.clamp(min=0).sqrt(), means.sign() * means.abs().sqrt()], -1)


def image_head(hidden: int) -> nn.Sequential:
    """Return an untrained image head."""
    return nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(FEATURES, hidden),
        nn.GELU(),
        nn.LayerNorm(hidden),
        nn.Dropout(DROPOUT),
        nn.Linear(hidden, SHARED),
    )


class ImageHeads(nn.Module):
    """Several image heads into one space; their mean direction is the picture's vector."""

    def __init__(self, mean: Tensor, spread: Tensor, hidden: int, heads: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.heads = nn.ModuleList(image_head(hidden) for _ in range(heads))

    def each(self, features: Tensor) -> list[Tensor]:
        """Return every head's (batch, 256) unit vectors."""
        scaled = (features - self.mean) / self.spread
        return [functional.normalize(head(scaled), dim=-1) for head in self.heads]

    def forward(self, features: Tensor) -> Tensor:
        """Return (batch, 256) unit vectors."""
        return functional.normalize(torch.stack(self.each(features)).sum(0), dim=-1)


class TextHead(nn.Module):
    """First takes out how something is asked for, then projects what is asked for."""

    def __init__(self, matrix: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.plain = nn.Linear(SENTENCE, SENTENCE)
        self.plain.weight.data, self.plain.bias.data = matrix, offset
        self.plain.requires_grad_(False)
        self.project = nn.Linear(SENTENCE, SHARED, bias=False)

    def meaning(self, sentences: Tensor) -> Tensor:
        """Return unit sentence vectors of what is asked for, without "a photo of"."""
        return functional.normalize(self.plain(sentences), dim=-1)

    def forward(self, meanings: Tensor) -> Tensor:
        """Return (batch, 256) unit vectors in the shared space."""
        return functional.normalize(self.project(meanings), dim=-1)


class ClassMixture(nn.Module):
    """The classifier's guess as a sentence vector: the mean of likely classes' names (ConSE)."""

    def __init__(
        self, classifier: dict[str, Tensor], vectors: Tensor, top: int, heat: float
    ) -> None:
        super().__init__()
        self.classify = nn.Linear(1280, len(vectors))
        self.classify.load_state_dict(classifier)
        self.vectors = nn.Parameter(vectors, requires_grad=False)
        self.register_buffer("centre", torch.zeros(vectors.shape[1]))
        self.top, self.heat = top, heat

    def mixture(self, head: Tensor) -> Tensor:
        """Return (batch, 384) unit mixtures, not centred yet."""
        likely = (self.classify(head) / self.heat).softmax(-1)
        least = likely.topk(self.top, dim=-1).values[:, -1:]
        return functional.normalize((likely * (likely >= least)) @ self.vectors, dim=-1)

    def forward(self, head: Tensor) -> Tensor:
        """Return (batch, 384) unit vectors around the mean picture."""
        return functional.normalize(self.mixture(head) - self.centre, dim=-1)


def principal_axes(rows: Tensor, count: int) -> Tensor:
    """Return (count, width) orthonormal directions that hold most of what tells the rows apart."""
    _, directions = torch.linalg.eigh((rows.T @ rows).double())
    axes = directions[:, -count:].flip(1).T
    largest = axes.abs().argmax(1, keepdim=True)
    return (axes * axes.gather(1, largest).sign()).float()


class Joint(nn.Module):
    """Puts the parts of a vector side by side: learned, named by classes, and the layout.

    Some pictures answer every question a little, others hardly any. Against a bank of everyday
    questions, texts are centred on the mean question, and the two parts of a picture that texts
    meet are scaled so that its scores spread as widely as every other picture's; the layout,
    which is zero for texts, takes the rest of the unit length.
    """

    SHARE = 0.65  # Mean length of a picture's first two parts together.
    LONGEST = 0.8

    def __init__(self, axes: Tensor, named_weight: float) -> None:
        super().__init__()
        self.axes = nn.Parameter(axes.T.contiguous(), requires_grad=False)
        self.named_weight = named_weight
        width = SHARED + len(axes)
        self.register_buffer("question", torch.zeros(width))
        self.spread = nn.Parameter(torch.eye(width), requires_grad=False)
        self.register_buffer("usual", torch.ones(()))

    def meeting(self, learned: Tensor, named: Tensor) -> Tensor:
        """Return the two parts that texts and pictures share, as unit vectors."""
        weighted = self.named_weight**0.5 * (named @ self.axes)
        return functional.normalize(torch.cat([learned, weighted], -1), dim=-1)

    def calibrate(self, questions: Tensor, pictures: Tensor) -> None:
        """Learn the mean question and the spread of the questions from (n, 512) unit vectors."""
        self.question.copy_(questions.mean(0))
        covariance = (questions - self.question).T @ (questions - self.question) / len(questions)
        values, directions = torch.linalg.eigh(covariance.double())
        half = directions * values.clamp(min=0).sqrt()
        self.spread.data = half[:, -CALIBRATION:].flip(1).float().contiguous()
        self.usual.copy_((pictures @ self.spread).norm(dim=-1).mean())

    def text(self, learned: Tensor, named: Tensor) -> Tensor:
        """Return (batch, 576) unit vectors of texts."""
        centred = self.meeting(learned, named) - self.question
        # Zeros that follow the batch: a tensor made of its length would be traced as a constant.
        return functional.normalize(torch.cat([centred, centred[:, :LAYOUT] * 0], -1), dim=-1)

    def picture(self, learned: Tensor, named: Tensor, layout: Tensor) -> Tensor:
        """Return (batch, 576) unit vectors of pictures."""
        met = self.meeting(learned, named)
        spread = (met @ self.spread).norm(dim=-1, keepdim=True).clamp(min=1e-6)
        length = (self.SHARE * self.usual / spread).clamp(max=self.LONGEST)
        whole = torch.cat([length * met, (1 - length**2).sqrt() * layout], -1)
        return functional.normalize(whole, dim=-1)
