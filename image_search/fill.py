"""Fetching all thumbnails in the background, so that they are there before anyone looks."""

import threading
from collections.abc import Callable, Sequence

from image_search.errors import ArtifactError, HubError
from image_search.say import say

FIRST_WAIT, LONGEST_WAIT = 5, 300
"""Seconds until the next try after a failure: twice as long each time."""


class Filler:
    """One thread that has files fetched by `take`, one after the other, and tries again when the
    Hub cannot be reached. Says one line when it ends."""

    def __init__(self, names: Sequence[str], take: Callable[[str], None]) -> None:
        self._names = names
        self._take = take
        self._stopped = threading.Event()
        # A daemon: a program that ends does not wait for it.
        self._thread = threading.Thread(target=self._run, name="thumbnails", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no other file; wait a moment for the one that is being fetched."""
        self._stopped.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        try:
            for name in self._names:
                self._insist(name)
                if self._stopped.is_set():
                    return
        except (OSError, ArtifactError) as error:  # a full disk; a file that is not what was built
            say(f"warning: thumbnails are fetched only as they are shown, not ahead: {error}")
        else:
            say("All thumbnails are on this machine now.")

    def _insist(self, name: str) -> None:
        """Fetch a file, however long the Hub is out of reach."""
        wait = FIRST_WAIT
        while not self._stopped.is_set():
            try:
                self._take(name)
                return
            except HubError:
                self._stopped.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
