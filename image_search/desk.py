"""Whom the command line asks: a collection here, or a server that has one."""

from typing import TYPE_CHECKING, Protocol

import typer

import image_search
from image_search.settings import settings

if TYPE_CHECKING:
    from image_search.citation import Citation
    from image_search.facets import Facets
    from image_search.question import Question
    from image_search.results import Record, Results
    from image_search.search import Searcher
    from image_search.take_away import Format


class Desk(Protocol):
    """A collection that answers, wherever it is."""

    def answer(self, question: "Question", k: int = 9) -> "Results":
        """The first k pictures that a question brings."""

    def facets(self, question: "Question | None" = None) -> "Facets":
        """What is known of the pictures of a question, or of all, counted."""

    def export(self, question: "Question", format: "Format", k: int = 200) -> bytes:
        """The first k pictures that a question brings, as a file."""

    def cite(self, question: "Question", k: int = 9) -> "Citation":
        """How to cite the first k pictures that a question brings."""

    def record(self, id: str) -> "Record":
        """All that is known of a picture. Raises NotFoundError."""

    def cite_picture(self, id: str) -> "Citation":
        """How to cite a picture. Raises NotFoundError."""


class Here:
    """A collection that this process has opened: nobody serves it, so nothing has an address."""

    def __init__(self, searcher: "Searcher") -> None:
        self.searcher = searcher

    def answer(self, question: "Question", k: int = 9) -> "Results":
        return self.searcher.answer(question, k)

    def facets(self, question: "Question | None" = None) -> "Facets":
        return self.searcher.facets(question)

    def export(self, question: "Question", format: "Format", k: int = 200) -> bytes:
        from image_search.exports import file_of, fitting, provenance

        results = self.searcher.answer(question, fitting(format, k))
        about = provenance(self.searcher, "", None)
        return file_of(results, format, about, self.searcher, "")

    def cite(self, question: "Question", k: int = 9) -> "Citation":
        from image_search.citation import of_search
        from image_search.exports import provenance

        return of_search(self.searcher.answer(question, k), provenance(self.searcher, "", None))

    def record(self, id: str) -> "Record":
        return self.searcher.record(id)

    def cite_picture(self, id: str) -> "Citation":
        from image_search.citation import of_picture
        from image_search.exports import provenance

        return of_picture(self.searcher.record(id), provenance(self.searcher, "", None))


def desk(artifact: str | None, model: str | None, server: str | None) -> Desk:
    """Whoever is to be asked by what stands on the command line, else by the settings.

    A collection that is named counts more than the setting IMAGE_SEARCH_SERVER.
    """
    if server and (artifact or model):
        raise typer.BadParameter(
            "a server has its own collection: leave out --artifact and --model"
        )
    address = server or ("" if artifact or model else settings().server)
    if address:
        return image_search.connect(address)
    return Here(image_search.open(artifact, model=model))
