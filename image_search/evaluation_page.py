"""The report that counts at this moment, as the app shows it."""

from datetime import datetime, timedelta

from image_search.errors import NotFoundError
from image_search.evaluation_html import as_html
from image_search.evaluation_pictures import by_address
from image_search.evaluation_report import Report
from image_search.search import Searcher
from image_search.standing import Standings
from image_search.verdicts import verdicts


class Evaluation:
    """Shows how one collection was tested. Safe to use from several threads."""

    def __init__(self, searcher: Searcher, standings: Standings) -> None:
        self._searcher = searcher
        self._standings = standings
        self._made: tuple[tuple[str, bool, int], str] = (("", False, -1), "")

    def report(self) -> Report:
        """The report. Raises NotFoundError while there is none that counts."""
        found = self._standings.report()
        if found is None:
            raise NotFoundError(self._standings.now().said)
        return found

    def page(self, base: str, for_judge: bool = False) -> str:
        """The report as HTML; `base` is what stands before /thumbnails. Raises NotFoundError.

        Judges are not told what others said of single pictures: they may be asked about them next.
        """
        report = self.report()
        # Whatever is withdrawn or judged makes another generation of the state.
        key = base, for_judge, self._standings.generation
        if self._made[0] != key:
            until = datetime.fromisoformat(report.created) + timedelta(seconds=1)  # it is cut off
            said = [] if for_judge else self._standings.judgements(report)
            before = [one for one in said if datetime.fromisoformat(one.time) <= until]
            firsts = by_address(self._searcher, base, verdicts(before))
            self._made = key, as_html(report, firsts, self._standings.now().said)
        return self._made[1]
