"""The thousand ImageNet classes as sentence vectors: names and dictionary definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

DEFINITION_WEIGHT = 0.7

Embed = Callable[[list[str]], np.ndarray]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors scaled to length one."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-6)).astype(np.float32)


def read_table(path: Path) -> dict[str, str]:
    """Return the second column of a tab-separated file by its first."""
    rows = (line.split("\t", 1) for line in path.read_text("utf-8").splitlines() if "\t" in line)
    return {key: value.strip() for key, value in rows}


def information_folder(source: Path) -> Path:
    """Return the folder of class lists inside the unpacked package."""
    return source / "timm/data/_info"


def picturable_nouns(source: Path) -> set[str]:
    """Return every name, in lower case, of the 21,843 things that ImageNet has pictures of."""
    lemmas = read_table(information_folder(source) / "imagenet_synset_to_lemma.txt").values()
    return {name for line in lemmas for name in line.lower().split(", ")}


def class_vectors(source: Path, embed: Embed) -> np.ndarray:
    """Return (1000, 384) unit vectors, one for each class of the image network's classifier."""
    folder = information_folder(source)
    synsets = (folder / "imagenet_synsets.txt").read_text("utf-8").split()
    lemmas = read_table(folder / "imagenet_synset_to_lemma.txt")
    definitions = read_table(folder / "imagenet_synset_to_definition.txt")
    names, meanings = [], []
    for synset in synsets:
        synonyms = lemmas[synset].split(", ")
        names.append(embed([*synonyms[:2], lemmas[synset]]).mean(0))
        meanings.append(f"{synonyms[0]}: {definitions[synset].split(';')[0]}")
    return unit(unit(np.stack(names)) + DEFINITION_WEIGHT * embed(meanings))
