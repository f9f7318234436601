"""The dataset card: README.md of an artifact, for people and for the Hub."""

import json

from image_search.manifest import Manifest

_FRONT_MATTER = """\
---
pretty_name: {name}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
task_categories:
- image-feature-extraction
tags:
- image-search
size_categories:
- {size}
---
"""

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


def card(manifest: Manifest, notice: str | None) -> str:
    """The card's text: what this is, from what, by which model, what was left out, the limits.

    `notice` is what the encoder says of itself, if it does.
    """
    info = manifest.collection
    encoder = manifest.encoder
    size = next((name for limit, name in _SIZES if manifest.rows < limit), "n>10M")
    left_out = sum(manifest.rejects.values())
    recall = manifest.index.recall
    sections = [
        f"# {info.name}",
        info.description,
        f"{manifest.rows:,} pictures with an embedding each, for search by words or by picture. "
        f"Built on {manifest.created[:10]} from “{manifest.source.name}” "
        f"({manifest.source.files:,} files found).",
        "## Model",
        f"`{encoder.name}`, revision `{encoder.revision}`, {encoder.dim} numbers a picture. "
        f"{notice or ''}".strip(),
        "The index finds "
        f"{recall.text_at_10:.1%} of the ten nearest pictures for words and "
        f"{recall.picture_at_10:.1%} for pictures ({recall.queries} questions, against exact "
        "search).",
        "## Columns",
        "| column | kind | role |\n|---|---|---|\n| id | text | |\n| image | picture | |\n"
        + "".join(f"| {f.name} | {f.kind} | {f.role or ''} |\n" for f in manifest.fields)
        + "| embeddings | unit vector, float32 | |",
        "## Left out",
        f"{left_out:,} files; each stands in `rejects.csv` with its reason."
        + "".join(f"\n- {reason}: {count:,}" for reason, count in manifest.rejects.items()),
        "## Rights",
        info.rights or "Not stated. Ask the collection before you use a picture elsewhere.",
        *(["## Contact", info.contact] if info.contact else []),
        "## Limits",
        "The model ranks every picture against any words at all, also where nothing fits, and it "
        "carries the prejudice of what it was trained on. A CLIP model's card puts use in a "
        "deployed system without testing in its domain out of scope, and surveillance and facial "
        "recognition always. Ask in English.",
    ]
    front = _FRONT_MATTER.format(name=json.dumps(info.name, ensure_ascii=False), size=size)
    return front + "\n" + "\n\n".join(section for section in sections if section) + "\n"
