"""A plain “or” between things: “a drawing of a cat or a dog” → “a drawing of a cat”, “a drawing of
a dog”.

What stands before the first thing is shared. Where that thing begins is told by its kin, what
stands behind “or”: the words that run like it (an article and a noun, a preposition and what it
governs), else from the last article, or behind the last preposition. What stands behind qualities
is shared too: “a red or blue car” → “a red car”, “a blue car”. It is no grammar of English, and
need not be: what was understood is shown, and quotes turn it off. An “or” in brackets is a word.
"""

from collections.abc import Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = _words(
    "a an the some any no another every each this that these those my your his her its our their "
    "one two three four five six seven eight nine ten several many few"
)
PREPOSITIONS = _words(
    "of in on at with by from under over near behind before beside between for to into through "
    "against without above below around across along among inside outside upon showing depicting "
    "wearing holding"
)
DEPICTIONS = _words(
    "illustration illustrations drawing drawings picture pictures photo photos photograph "
    "photographs image images painting paintings engraving engravings etching etchings woodcut "
    "woodcuts print prints sketch sketches portrait portraits scene scenes view views map maps "
    "plan plans depiction depictions lithograph lithographs cartoon cartoons poster posters "
    "postcard postcards caricature caricatures miniature miniatures diagram diagrams "
    "representation representations"
)
QUALITIES = _words(
    "red orange yellow green blue purple violet pink brown black white grey gray golden gold "
    "silver coloured colored colourful colorful dark light bright old young new ancient modern "
    "medieval early late small large big little great tall short long male female open closed "
    "left right upper lower wooden stone"
)
"""Of two of them with “or” between, each belongs to what stands behind."""

FIXED = frozenset({("more", "less"), ("sooner", "later"), ("now", "never")})
"""Words with “or” between them that name no two things."""

NEVER = _words("not so otherwise")
"""Words that name nothing of their own behind “or”."""

Word = tuple[str, bool]
"""A word, and whether it stood in quotes."""


def alternatives(words: Sequence[Word]) -> list[str]:
    """The things that are named, each with the words before; one text if there is only one."""
    whole = " ".join(text for text, _ in words)
    ors = [place for place in range(1, len(words) - 1) if words[place] == ("or", False)]
    ors = [place for place in ors if not _is_fixed(words, place)]
    if not ors:
        return [whole]
    parts = [list(words[a + 1 : b]) for a, b in zip([-1, *ors], [*ors, len(words)], strict=True)]
    if not all(parts):
        return [whole]
    kin, shared = _shape(parts[-1]), list[Word]()
    named = parts[-1][0][0].lower() in ARTICLES  # “a red or a blue car”
    if all(_is_quality(one[-1:]) for one in parts[:-1]) and _is_quality(parts[-1][named:][:1]):
        kin, shared = kin[: named + 1], parts[-1][named + 1 :]
        parts[-1] = parts[-1][: named + 1]
    first, *listed = _listed(parts[0], kin)
    start = _start(first, kin)
    before, thing = first[:start], first[start:]
    if before and before[-1] == ("either", False):
        before = before[:-1]
    elif thing[0] == ("either", False) and len(thing) > 1:
        thing = thing[1:]
    things = [thing, *listed, *parts[1:]]
    return list(dict.fromkeys(" ".join(text for text, _ in [*before, *t, *shared]) for t in things))


def _is_fixed(words: Sequence[Word], place: int) -> bool:
    before, after = words[place - 1][0].lower(), words[place + 1][0].lower()
    numbers = before in _NUMBERS and after in (*_NUMBERS, "more")  # “two or three boats”
    vague = after in (*_NUMBERS, "other") and place + 2 == len(words)  # “a boat or two”
    opened = "".join(text for text, _ in words[:place])
    in_brackets = any(opened.count(a) > opened.count(b) for a, b in ("()", "[]"))
    return numbers or vague or in_brackets or after in NEVER or (before, after) in FIXED


def _is_quality(words: Sequence[Word]) -> bool:
    return any(text.lower() in QUALITIES and not quoted for text, quoted in words)


_NUMBERS = _words("one two three four five six seven eight nine ten twelve twenty")


def _listed(words: list[Word], kin: str) -> list[list[Word]]:
    """The parts of “a cat, a bird” before “or a dog”, if they all begin as the last one does."""
    parts: list[list[Word]] = [[]]
    for text, quoted in words:
        ends = text.endswith(",") and text != "," and not quoted
        parts[-1].append((text.removesuffix(",") if ends else text, quoted))
        if ends:
            parts.append([])
    if not parts[-1]:
        parts.pop()  # a comma before “or”
    alike = all(_shape(part)[:1] == kin[:1] for part in parts[1:])
    if not all(parts) or (len(parts) > 1 and not alike):
        return [words]
    return parts


def _start(words: list[Word], kin: str) -> int:
    """Where the first thing begins, of which the last is `kin`."""
    shape = _shape(words)
    shown = _depiction(words, shape)
    if shown and kin[0] == "p":  # “a map of France or of Italy”
        shown -= 1
    rest = shape[shown:]
    if len(kin) <= len(rest) and rest.endswith(kin):
        return len(shape) - len(kin)
    if kin[0] in rest and kin[0] != "w":
        return shown + rest.rindex(kin[0])
    last = max(rest.rfind("a"), rest.rfind("p")) + 1
    return shown + (last if last < len(rest) else 0)


def _depiction(words: list[Word], shape: str) -> int:
    """How many words at the beginning only say that it is a picture: “an old drawing of”."""
    for place, (text, _) in enumerate(words[:4]):
        if text.lower() in DEPICTIONS and shape[place + 1 : place + 2] == "p":
            return place + 2 if place + 2 < len(words) else 0
    return 0


def _shape(words: Sequence[Word]) -> str:
    """Each word as a letter: article, preposition, or any other word."""
    return "".join(_letter(*word) for word in words)


def _letter(text: str, quoted: bool) -> str:
    """The letter of a word; of several in quotes, that of the first."""
    first, *others = text.lower().split()
    if quoted and not others:
        return "w"
    return "a" if first in ARTICLES else "p" if first in PREPOSITIONS else "w"
