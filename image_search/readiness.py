"""Whether the collection can answer, for whoever watches over the server."""

import threading
import time

from image_search.say import say
from image_search.search import Searcher


class Readiness:
    """Whether the collection answers, found out by asking it, but not more often than needed."""

    FRESH = 10
    """Seconds for which an answer holds: anybody may ask for it."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._lock = threading.Lock()
        self._until = 0.0
        self.last = True

    @property
    def busy(self) -> bool:
        """Whether it is being found out; it can take long if the collection is far away."""
        return self._lock.locked()

    def __call__(self) -> bool:
        """Whether it answers now, or did when it was asked last."""
        if self._lock.acquire(blocking=False):
            try:
                if time.monotonic() >= self._until:
                    self._ask()
            finally:
                self._lock.release()
        return self.last

    def _ask(self) -> None:
        try:
            self._searcher.search("a picture", k=1)
            if not self.last:
                say("The collection answers again.")
            self.last = True
        except Exception as error:  # whatever it is: it does not answer
            if self.last:
                say(f"error: the collection does not answer: {error}")
            self.last = False
        self._until = time.monotonic() + self.FRESH
