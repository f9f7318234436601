"""Make the embedded encoder from registry packages: python make.py --work FOLDER."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import classes  # noqa: E402
import export  # noqa: E402
import features  # noqa: E402
import leaks  # noqa: E402
import numpy as np  # noqa: E402
import sources  # noqa: E402
import texts  # noqa: E402
import torch  # noqa: E402
import train  # noqa: E402
import vocabulary  # noqa: E402
from backbones import Lite2  # noqa: E402
from heads import ClassMixture, Joint, compressed, principal_axes  # noqa: E402
from layout import fit_layout, kept_cells  # noqa: E402
from pictures import Picture, list_pictures  # noqa: E402
from sentences import Sentences, text_folder  # noqa: E402

HERE = Path(__file__).resolve().parent
# More of it helps photographs and things that no drawing showed, and costs the held-out words
# little: recall at ten .51 with 1, .48 with 2.
NAMED_WEIGHT = 2.0
NAMED_WIDTH = 256
TOP_CLASSES = 30
CLASS_HEAT = 1.5


def allowed_rows(
    pictures: list[Picture],
    plain: np.ndarray,
    split: tuple[list[int], list[int]],
    demo: Path,
    work: Path,
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which pictures are trained on, and how many were left out for what."""
    training, test = split
    shown = leaks.demo_drawings(demo)
    kept = [
        n
        for n in training
        if not (pictures[n].source == "openclipart" and pictures[n].key in shown)
    ]
    counts = {
        "pictures": len(pictures),
        "mention_a_held_out_word": len(pictures) - len(training),
        "held_out_test_pictures": len(test),
        "demo_pictures": len(leaks.demo_files(demo)),
        "demo_drawings_left_out": len(training) - len(kept),
    }
    hashes = leaks.kept_hashes([Path(picture.file) for picture in pictures], work / "hashes.npy")
    forbidden = {"test": (plain[test], hashes[test])}
    files = leaks.demo_files(demo)
    if files:
        there = leaks.features_of(files, work / "features.onnx")
        forbidden["demo"] = (there, leaks.hashes_of(files))
    for name, (vectors, marks) in forbidden.items():
        alike, hashed = leaks.near_copies(plain[kept], hashes[kept], vectors, marks)
        counts[f"near_copies_of_{name}_by_features"] = int(alike.sum())
        counts[f"near_copies_of_{name}_by_hash_only"] = int((hashed & ~alike).sum())
        kept = [n for n, drop in zip(kept, alike | hashed, strict=True) if not drop]
    counts["trained_on"] = len(kept)
    return np.array(kept), counts


def main() -> None:
    """Fetch, list, extract, train, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for downloads and caches")
    parser.add_argument("--out", type=Path, default=HERE.parent, help="where the encoder goes")
    parser.add_argument("--demo", type=Path, default=HERE.parents[1] / "demo", help="demo folder")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--threads", type=int, default=1, help="of torch; 1 gives the same files")
    options = parser.parse_args()
    work, out = options.work.resolve(), options.out.resolve()
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)

    print("1/6 packages", flush=True)
    folders = sources.fetch_all(sources.TRAINING, work)
    print("2/6 pictures and words", flush=True)
    pictures = list_pictures(folders, work)
    nouns = classes.picturable_nouns(folders["class_names"])
    original = text_folder(folders["text_backbone"]) / "tokenizer.json"
    english = vocabulary.english_words(original, nouns)
    held_out = texts.choose_words(pictures, english, nouns)
    (HERE / "heldout_words.txt").write_text("\n".join(held_out) + "\n", "utf-8")
    split = texts.split(pictures, held_out, english)

    print("3/6 features of the pictures", flush=True)
    network = work / "features.onnx"
    if not network.exists():
        features.export_features(folders["image_backbone"], network)
    extracted = features.extract(pictures, network, work, options.workers)
    rows, counts = allowed_rows(pictures, extracted[0], split, options.demo, work)
    print(f"  {json.dumps(counts)}", flush=True)

    print("4/6 vectors of the texts", flush=True)
    seen = [pictures[number] for number in rows]
    spoken = [" ".join((*texts.texts_of(picture), picture.description)) for picture in seen]
    wanted = {word for text in (*spoken, *nouns) for word in re.findall("[a-z]+", text.lower())}
    tokens = vocabulary.prune(original, wanted, out / "tokenizer.json")
    embed = Sentences(folders["text_backbone"], out / "tokenizer.json", tokens, work)
    corpus = train.Corpus(seen, embed)
    vectors = torch.tensor(classes.class_vectors(folders["class_names"], embed))

    print("5/6 training", flush=True)
    kept = torch.tensor(extracted[:, rows])
    flat = compressed(kept[..., :1280], kept[..., 1280:])
    heads, text_head = train.fit(flat, corpus, train.Recipe())
    state = features.image_state(folders["image_backbone"])
    classifier = {"weight": state["_fc.weight"], "bias": state["_fc.bias"]}
    mixture = ClassMixture(classifier, vectors, TOP_CLASSES, CLASS_HEAT).eval()
    with torch.no_grad():
        mixture.centre.copy_(mixture.mixture(kept[0, :, :1280]).mean(0))
        named = mixture(kept[0, :, :1280]).clone()
    # Axes of all classes, not of the drawings: photographs show what no drawing does.
    joint = Joint(principal_axes(vectors - vectors.mean(0), NAMED_WIDTH), NAMED_WEIGHT)
    with torch.no_grad():
        meanings = text_head.meaning(corpus.sentences[list(corpus.asked_as)])
        questions = joint.meeting(text_head(meanings), meanings)
        joint.calibrate(questions, joint.meeting(heads(flat[0]), named))
    files = [Path(picture.file) for picture in pictures]
    layout = fit_layout(kept_cells(files, work / "cells.npy")[rows])

    print("6/6 files", flush=True)
    export.write_text(export.TextEncoder(embed.network, text_head, joint), out / "text.onnx")
    whole = export.ImageEncoder(Lite2(state), heads, mixture, layout, joint)
    export.write_image(whole, out / "image.onnx")
    export.write_description(out)
    (out / "training.json").write_text(json.dumps(counts, indent=2) + "\n", "utf-8")
    for name in (*export.FILES, "encoder.json"):
        file = out / name
        print(f"  {name}: {file.stat().st_size:,} bytes, sha256 {sources.sha256_of(file)}")


if __name__ == "__main__":
    main()
