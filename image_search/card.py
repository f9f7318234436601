"""The dataset card: README.md of an artifact, for people and for the Hub."""

import hashlib
import json
import re

from image_search.manifest import Manifest

_FRONT_MATTER = """\
---
pretty_name: {name}
{licence}configs:
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

_CREATIVE_COMMONS = {
    *(f"by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
    *("by-sa-3.0", "by-sa-4.0", "by-nd-4.0", "by-nc-2.0", "by-nc-3.0", "by-nc-4.0"),
    *("by-nc-sa-2.0", "by-nc-sa-3.0", "by-nc-sa-4.0", "by-nc-nd-3.0", "by-nc-nd-4.0"),
}
"""Those that the Hub has an id for (huggingface.co/docs/hub/repositories-licenses)."""

_CC_ZERO = re.compile(r"\bcc[ -]?0\b|\bcc[ -]zero\b|publicdomain/zero", re.IGNORECASE)
_CC = re.compile(
    r"(?:\bcc[ -]|creativecommons\.org/licenses/)(by(?:[ -](?:nc|nd|sa))*)(?:[ /-]*(\d\.\d))?",
    re.IGNORECASE,
)
_PUBLIC_DOMAIN = re.compile(r"\bpublic[ -]domain\b|publicdomain/mark", re.IGNORECASE)

UNNAMED = "user/name"
"""What a card calls its repository until it is pushed into one."""

_SEAL = "\n<!-- Written by image-search; once changed here, a push leaves it as it is. {} -->\n"
_SEALED = re.compile(re.escape(_SEAL).replace(r"\{\}", "[0-9a-f]{64}") + r"\Z")

_USE = """\
```python
import image_search

collection = image_search.open("{repo}")
for hit in collection.search("a guitar", k=9):
    print(hit.score, hit.id, hit.title)
```

The same nine with `datasets` (its scores are squared distances):

```python
from datasets import load_dataset

pictures = load_dataset("{repo}", split="train")
pictures.add_faiss_index("embeddings")
question = collection.encoder.encode_texts(["a guitar"])[0]
scores, nearest = pictures.get_nearest_examples("embeddings", question, k=9)
```"""


def card(manifest: Manifest, notice: str | None) -> str:
    """The card's text: what this is, from what, by which model, what was left out, the limits.

    `notice` is what the encoder says of itself, if it does.
    """
    info = manifest.collection
    encoder = manifest.encoder
    agreement = encoder.agreement
    left_out = sum(manifest.rejects.values())
    recall = manifest.index.recall
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    sections = [
        f"# {info.name}",
        info.description,
        info.notice,
        f"{manifest.rows:,} pictures with an embedding each, for search by words or by picture.",
        "## How to open it",
        _USE.format(repo=UNNAMED),
        "Tags named version-… are exact versions; name one after an @, or as `revision=`.",
        "## Where it comes from",
        f"Built on {manifest.created[:10]} from “{manifest.source.name}”: "
        f"{manifest.source.files:,} files found, {manifest.rows:,} used, {left_out:,} left out.",
        f"Made with {versions}." if versions else "",
        "## Model",
        f"`{encoder.name}`, revision `{encoder.revision}`, {encoder.dim} numbers a picture. "
        f"{notice or ''}".strip(),
        "`encoder/` holds it for questions, without torch; its vectors of words come within a "
        f"cosine of {agreement.text_min_cosine:.4f} of the original's.",
        "The index finds "
        f"{recall.text_at_10:.1%} of the ten nearest pictures for words and "
        f"{recall.picture_at_10:.1%} for pictures ({recall.queries} questions, against exact "
        "search).",
        "## Columns",
        "| column | kind | role |\n|---|---|---|\n| id | text | |\n| image | picture | |\n"
        + "".join(f"| {f.name} | {f.kind} | {f.role or ''} |\n" for f in manifest.fields)
        + "| embeddings | unit vector, float32 | |",
        *(["## Tables beside the pictures", _tables(manifest)] if manifest.tables else []),
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
    front = _FRONT_MATTER.format(
        name=json.dumps(info.name, ensure_ascii=False),
        licence=_licence_lines(info.rights),
        size=next((name for limit, name in _SIZES if manifest.rows < limit), "n>10M"),
    )
    return sealed(front + "\n" + "\n\n".join(section for section in sections if section) + "\n")


def named(text: str, repo: str) -> str:
    """A card that a build wrote, for the repository that it is pushed into."""
    return sealed(unsealed(text).replace(f'"{UNNAMED}"', json.dumps(repo)))


def is_untouched(text: str) -> bool:
    """Whether a card is as this program wrote it: nobody has changed it by hand."""
    return text == sealed(unsealed(text))


def licence(rights: str) -> str | None:
    """The Hub's id of the one licence that a statement of rights names; None if it states none.

    Several licences, or one that the Hub does not know, are `other`.
    """
    if not rights.strip():
        return None
    found = {_creative_commons(kind, version) for kind, version in _CC.findall(rights)}
    if _CC_ZERO.search(rights):
        found.add("cc0-1.0")
    return found.pop() if len(found) == 1 else "other"


def _creative_commons(kind: str, version: str) -> str:
    name = f"{kind.lower().replace(' ', '-')}-{version}"
    return f"cc-{name}" if name in _CREATIVE_COMMONS else "cc"


def _tables(manifest: Manifest) -> str:
    return "\n".join(
        f"- `tables/{table.name}.parquet`: {table.rows:,} rows; `{table.key}` names the picture"
        for table in manifest.tables
    )


def _licence_lines(rights: str) -> str:
    id = licence(rights)
    if id is None:
        return ""
    if id == "other" and _PUBLIC_DOMAIN.search(rights):
        return "license: other\nlicense_name: public-domain\n"
    return f"license: {id}\n"


def sealed(text: str) -> str:
    """A text with its own hash at the end."""
    return text + _SEAL.format(hashlib.sha256(text.encode()).hexdigest())


def unsealed(text: str) -> str:
    """A text without its seal."""
    return _SEALED.sub("", text)
