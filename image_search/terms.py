"""Terms of use: what a member reads and accepts before the first search."""

import hashlib

from image_search.state import State

ACCEPTED, TEXT = "terms", "terms text"
"""Records: who accepted which version, and once for each version what it said."""


class Terms:
    """One text, and who has accepted it as it is now."""

    def __init__(self, state: State, text: str) -> None:
        """`text` is HTML, as members are shown it; another text is another version."""
        self.text = text
        self.version = hashlib.sha256(text.encode()).hexdigest()[:12]
        self._state = state
        self._generation = -1
        self._members: frozenset[str] = frozenset()

    def accepted_by(self, name: str) -> bool:
        """Whether a member has accepted this version."""
        if self._generation != self._state.generation:
            generation = self._state.generation
            records = self._state.records(ACCEPTED)
            self._members = frozenset(
                record.said["name"] for record in records if record.said["version"] == self.version
            )
            self._generation = generation
        return name.lower() in self._members

    def accept(self, name: str) -> None:
        """Keep that a member has accepted this version now; the text too, if it is new."""
        known = (record.said["version"] for record in self._state.records(TEXT))
        if self.version not in known:
            self._state.add(TEXT, version=self.version, text=self.text)
        if not self.accepted_by(name):
            self._state.add(ACCEPTED, name=name.lower(), version=self.version)
