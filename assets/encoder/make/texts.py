"""What is said about a picture: cleaned texts, ways of asking, and the words that are held out."""

from __future__ import annotations

import random
import re
from collections import Counter

from pictures import Picture

# How people type what they look for. "{}" is what they look for.
TEMPLATES = (
    "a {}",
    "the {}",
    "A photo of a {}",
    "a photo of {}",
    "a photograph of a {}",
    "An illustration of a {}",
    "an illustration of {}",
    "a picture of a {}",
    "picture of {}",
    "a drawing of a {}",
    "drawing of {}",
    "an image of {}",
    "a painting of a {}",
    "an engraving of a {}",
    "pictures of {}",
    "show me a {}",
)
LONGEST_DESCRIPTION = 120
HELD_OUT_SEED = 20240607
HELD_OUT_WORDS = 90
MOST_MENTIONS = 60
# Folders whose titles usually say what is drawn, so that a title is a fair query.
NAMED_FOLDERS = (
    "animals",
    "buildings",
    "containers",
    "education",
    "electronics",
    "food",
    "geography",
    "people",
    "plants",
    "recreation",
    "science",
    "tools",
    "transportation",
)


def clean(text: str) -> str:
    """Return a text in lower case with single spaces."""
    return re.sub(r"\s+", " ", text).strip().lower()


def texts_of(picture: Picture) -> list[str]:
    """Return the training texts of a picture, its best name first."""
    title = clean(picture.title)
    keywords = [word for word in map(clean, picture.keywords) if len(word) > 2 and word != title]
    texts = [title] if len(title) > 1 else []
    if keywords:
        texts.append(", ".join(keywords[:6]))
        texts.append(", ".join([title, *keywords[:4]]))
    description = clean(picture.description)
    if 10 < len(description) < LONGEST_DESCRIPTION and "@" not in description:
        texts.append(description)
    texts += keywords[:5]
    folder = clean(re.sub(r"[_/]+", " ", picture.folder))
    return list(dict.fromkeys(texts)) or [folder or "a drawing"]


def asked(text: str, chooser: random.Random) -> str:
    """Return a text as somebody might ask for it."""
    template = chooser.choice(TEMPLATES).format(text)
    if re.match(r"(.* )?a [aeiou]", template):
        template = re.sub(r"\ba (?=[aeiou])", "an ", template)
    return template


def singular_forms(word: str) -> set[str]:
    """Return a word and what it may be the plural of."""
    forms = {word}
    if word.endswith("s"):
        forms.add(word[:-1])
    if word.endswith("es"):
        forms.add(word[:-2])
    if word.endswith("ies"):
        forms.add(word[:-3] + "y")
    return forms


def words_of(text: str) -> set[str]:
    """Return the words of a text in all their singular forms."""
    found: set[str] = set()
    for word in re.findall(r"[a-z]+", text.lower()):
        found |= singular_forms(word)
    return found


def mentions(picture: Picture) -> set[str]:
    """Return every word that anything about a picture says, its file name included."""
    everything = (picture.title, *picture.keywords, picture.description, picture.folder)
    name = picture.key if picture.source == "openclipart" else ""
    return words_of(" ".join((*everything, name)))


def query_of(picture: Picture) -> str:
    """Return a picture's title as a query: without "(B and W)" and the like."""
    title = re.sub(
        r"\(.*?\)|\b(bw|b and w|aj|svg|icon|icons|clipart|illustration)\b",
        " ",
        clean(picture.title),
    )
    return clean(re.sub(r"[^a-z' ]+", " ", title))


def named_by(picture: Picture) -> set[str]:
    """Return what a title is about: its last word, in all its singular forms."""
    return words_of(query_of(picture).rsplit(" ", 1)[-1])


def can_be_asked(picture: Picture, english: set[str]) -> bool:
    """Say whether a title is a fair query: one to five English words, in a telling folder."""
    words = query_of(picture).split()
    return (
        picture.source == "openclipart"
        and picture.folder.split("/")[0] in NAMED_FOLDERS
        and 1 <= len(words) <= 5
        and all(singular_forms(word) & english for word in words)
    )


def choose_words(
    pictures: list[Picture], english: set[str], nouns: set[str], seed: int = HELD_OUT_SEED
) -> list[str]:
    """Draw words to hold out: things that can be pictured and that 2 to 40 titles are about.

    A word that more than MOST_MENTIONS pictures mention ("white", "food") is not drawn: holding it
    out would take a large part of the training with it.
    """
    titled: Counter[str] = Counter()
    mentioned: Counter[str] = Counter()
    for picture in pictures:
        mentioned.update(mentions(picture))
        if can_be_asked(picture, english):
            titled.update(named_by(picture))
    candidates = sorted(
        word
        for word, count in titled.items()
        if 2 <= count <= 40 and mentioned[word] <= MOST_MENTIONS
        if len(word) > 2 and word in nouns
    )
    random.Random(seed).shuffle(candidates)
    return sorted(candidates[:HELD_OUT_WORDS])


def split(
    pictures: list[Picture], words: list[str], english: set[str]
) -> tuple[list[int], list[int]]:
    """Return which pictures may be trained on and which are the test: titles about a held-out word.

    Pictures that mention a held-out word elsewhere belong to neither.
    """
    held = set(words)
    training, test = [], []
    for number, picture in enumerate(pictures):
        if not held & mentions(picture):
            training.append(number)
        elif can_be_asked(picture, english) and held & named_by(picture):
            test.append(number)
    return training, test
