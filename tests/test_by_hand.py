"""Datasets made as in the articles, with the articles' own steps: they open, in the same order."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import write_pictures
from hub_standin import HubStandin

PROMPT = "a red thing"

# Daniel van Strien's steps of 2022 (second form): load, push, load, map, push again. Then his
# search. As a program of its own, since it has the real clients talk to the stand-in of the Hub.
ARTICLE = """
import sys, json
from datasets import disable_progress_bars, load_dataset
from sentence_transformers import SentenceTransformer
disable_progress_bars()
folder, model_folder, prompt, repo = sys.argv[1:]
model = SentenceTransformer(model_folder, device="cpu")
dataset = load_dataset("imagefolder", data_dir=folder, split="train")
if repo:
    dataset.push_to_hub(repo, private=True)
    dataset = load_dataset(repo, split="train")
with_embeddings = dataset.map(
    lambda batch: {"embeddings": model.encode(batch["image"])}, batched=True, batch_size=32
)
if repo:
    with_embeddings.push_to_hub(repo, private=True)
else:
    with_embeddings.to_parquet(folder + "-by-hand/data/train-00000-of-00001.parquet")
with_embeddings = with_embeddings.add_column("row", list(range(len(with_embeddings))))
import faiss
with_embeddings.add_faiss_index("embeddings", metric_type=faiss.METRIC_INNER_PRODUCT)
question = model.encode(prompt, normalize_embeddings=True)
scores, found = with_embeddings.get_nearest_examples("embeddings", question, k=5)
print(json.dumps({"rows": found["row"], "titles": found["title"]}))
"""


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    folder = write_pictures(tmp_path / "plates")
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))
    lines = "".join(f"{name},title {n}\n" for n, name in enumerate(names))
    (folder / "metadata.csv").write_text("file_name,title\n" + lines)
    return folder


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )


def titles(done: subprocess.CompletedProcess) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [hit["title"] for hit in json.loads(done.stdout)["hits"]]


def test_a_folder_of_parquet_with_embeddings_opens_in_the_articles_order(
    plates: Path, tmp_path: Path, random_clip_folder: Callable[[bool], Path]
) -> None:
    model, by_hand = str(random_clip_folder(True)), f"{plates}-by-hand"
    (Path(by_hand) / "data").mkdir(parents=True)
    environment = {"HF_HOME": str(tmp_path / "hub"), "IMAGE_SEARCH_CACHE": str(tmp_path / "cache")}
    article = run("-c", ARTICLE, str(plates), model, PROMPT, "", **environment)
    assert article.returncode == 0, article.stderr
    search = ("-m", "image_search", "search", PROMPT, "--artifact", by_hand, "--json", "--k", "5")
    first = run(*search, "--model", model, **environment)
    assert titles(first) == json.loads(article.stdout)["titles"]
    again = run(*search, "--model", model, **environment)
    assert "Making an index" in first.stderr
    assert "Making an index" not in again.stderr
    assert titles(again) == titles(first)
    without = run(*search, **environment)
    assert without.returncode == 1
    assert "IMAGE_SEARCH_MODEL" in without.stderr
    other = run(*search, "--model", str(_other_clip(tmp_path)), **environment)
    assert other.returncode == 1
    assert "were not made by" in other.stderr


def test_load_map_and_push_again_breaks_the_card_and_opens_all_the_same(
    plates: Path, tmp_path: Path, random_clip_folder: Callable[[bool], Path]
) -> None:
    model, repo = str(random_clip_folder(True)), "alice/plates"
    with HubStandin(tmp_path / "hub-standin") as hub:
        environment = {
            **hub.environment("owner", tmp_path / "home"),
            "IMAGE_SEARCH_CACHE": str(tmp_path / "cache"),
        }
        article = run("-c", ARTICLE, str(plates), model, PROMPT, repo, **environment)
        assert article.returncode == 0, article.stderr
        load = "import datasets, sys; datasets.load_dataset(sys.argv[1])"
        broken = run("-c", load, repo, **{**environment, "HF_HOME": str(tmp_path / "other")})
        assert "CastError" in broken.stderr  # what the article's reader would meet
        search = ("-m", "image_search", "search", PROMPT, "--artifact", repo, "--json", "--k", "5")
        found = run(*search, "--model", model, **environment)
        assert titles(found) == json.loads(article.stdout)["titles"]
        assert "delete the line `dataset_info:`" in found.stderr
        built = tmp_path / "built"
        command = ("build_index.py", repo, "--model", model, "--out", str(built))
        done = run(*command, "--push", "alice/search", **environment)
        assert done.returncode == 0, done.stderr
        search = (*search[:5], "alice/search", *search[6:])
        assert titles(run(*search, **environment)) == titles(found)


def _other_clip(folder: Path) -> Path:
    """A model of the same shape with other weights."""
    import random_clip
    import torch

    made = random_clip.save(folder / "other-clip", small=True)
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(made)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(std=0.05)
    model.save_pretrained(made)
    return made
