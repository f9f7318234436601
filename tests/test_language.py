"""The note for questions that are not in English."""

import pytest

from image_search.language import note
from image_search.search import Searcher

OTHERS = {
    "alte Landkarte von Bayern": "German",
    "le marché aux poissons dans le vieux port": "French",
    "mujer con un abanico rojo": "Spanish",
    "корабль в гавани": "Russian",
    "Φωτογραφία του λιμανιού": "Greek",
    "港に停泊している船の写真": "Japanese",
    "נמל": "Hebrew",
}


@pytest.mark.parametrize(("text", "language"), OTHERS.items())
def test_another_language_is_named(text: str, language: str) -> None:
    assert note(text) == (
        f"The model was neither trained nor tested for {language}; ask in English."
    )


@pytest.mark.parametrize(
    "text",
    [
        "a guitar",
        "a woman playing a lute",
        "ships in a harbour at night",
        "old map of Bavaria",
        "hms victory",
        "Haus",  # a single word
        "château",
        "Johann Wolfgang von Goethe",
        "Rio de Janeiro",
        "São Paulo",
        "a print with 富士山 written on it",
        "1870",
        "",
        "?!",
    ],
)
def test_of_english_names_and_single_words_nothing_is_said(text: str) -> None:
    assert note(text) is None


def test_it_stands_above_the_pictures_for_every_caller(searcher: Searcher) -> None:
    said = "The model was neither trained nor tested for German; ask in English."
    assert said in searcher.search("alte Landkarte von Bayern").notices
    assert said in searcher.search('"alte Landkarte" +"von Bayern"').notices
    assert said not in searcher.search("old map of Bavaria").notices
