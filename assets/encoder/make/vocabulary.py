"""Prune the WordPiece vocabulary: keep every piece, and the words people search with."""

from __future__ import annotations

import json
import re
from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# BERT numbered its words roughly by frequency: words below this number are kept whatever they mean.
FREQUENT = 12_000
LETTERS = re.compile(r"[a-z]{2,}")


def words_in(text: str) -> set[str]:
    """Return the lower-case words of a text."""
    return set(re.findall(r"[a-z]+", text.lower()))


def with_inflections(words: set[str]) -> set[str]:
    """Return words with their regular plurals and -ing forms."""
    inflected = {word + ending for word in words for ending in ("", "s", "es", "ing")}
    inflected |= {word[:-1] + "ies" for word in words if word.endswith("y")}
    return inflected | {word[:-1] + "ing" for word in words if word.endswith("e")}


def kept_tokens(vocabulary: dict[str, int], wanted: set[str]) -> list[str]:
    """Return the tokens to keep, special ones first, then in their old order."""
    kept = list(SPECIAL)
    for token, number in sorted(vocabulary.items(), key=lambda entry: entry[1]):
        if token in SPECIAL or token.startswith("[unused"):
            continue
        if LETTERS.fullmatch(token) and number >= FREQUENT and token not in wanted:
            continue
        kept.append(token)
    return kept


def english_words(original: Path, nouns: set[str]) -> set[str]:
    """Return frequent words of the network's vocabulary and the words in names of things."""
    vocabulary = json.loads(original.read_text("utf-8"))["model"]["vocab"]
    frequent = {
        word for word, number in vocabulary.items() if LETTERS.fullmatch(word) and number < FREQUENT
    }
    return frequent | {"a"}.union(*map(words_in, nouns))


def prune(original: Path, wanted: set[str], target: Path) -> list[int]:
    """Write the pruned tokenizer; return, for each new token number, the old one."""
    content = json.loads(original.read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    tokens = kept_tokens(vocabulary, with_inflections(wanted))
    numbers = {token: number for number, token in enumerate(tokens)}
    content["model"]["vocab"] = numbers
    content["padding"] = content["truncation"] = None
    for token in content["added_tokens"]:
        token["id"] = numbers[token["content"]]
    for name, token in content["post_processor"]["special_tokens"].items():
        token["ids"] = [numbers[name]]
    compact = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    target.write_text(compact + "\n", "utf-8")
    return [vocabulary[token] for token in tokens]
