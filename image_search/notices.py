"""Notices that cover pictures until somebody asks for them: kept with what people add.

A notice covers some pictures by their ids, those of which something is known (in the language of
`conditions`), or all. It never hides that a picture is there; that is what `withdrawal` is for.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from image_search.errors import QueryError
from image_search.repo import REPO
from image_search.settings import settings
from image_search.state import State
from image_search.tidy import tidy

KIND = "notice"

LONGEST_WHERE = 10_000
"""Characters of all conditions of one notice."""

TOGETHER = 20
"""Pictures of one record, which may have 100 KB."""

LONGEST_TEXT = 200
"""Characters: it has to be read on a small tile."""


@dataclass(frozen=True)
class Notice:
    """What stands in the place of some pictures, since when, and by whom.

    It covers `pictures`, or what fulfils `where`; without either, all.
    """

    id: str
    text: str
    by: str
    time: str
    pictures: tuple[str, ...] = ()
    where: tuple[str, ...] = ()


class Noticed(Protocol):
    """Anything that says which notices there are at this moment."""

    def all(self) -> tuple[Notice, ...]:
        """The latest first; the same tuple as before if nothing has changed."""


class NoNotices:
    """Nothing is covered."""

    def all(self) -> tuple[Notice, ...]:
        return ()


class Notices:
    """The notices of a state. They hold for every version of the collection: ids are stable."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._generation = -1
        self._known: tuple[Notice, ...] = ()

    def all(self) -> tuple[Notice, ...]:
        """The notices that hold now, the latest first; the same tuple while none has changed."""
        if self._generation != self._state.generation:
            generation = self._state.generation
            read = _read(self._state)
            if read != self._known:  # most of what people add is none of this
                self._known = read
            self._generation = generation
        return self._known

    def add(
        self,
        text: str,
        by: str,
        *,
        pictures: Iterable[str] = (),
        where: Sequence[str] = (),
        everything: bool = False,
    ) -> tuple[str, bool]:
        """Cover pictures, at once; the notice's id, and whether it is kept by now.

        Exactly one of the three says which pictures. Raises QueryError.
        """
        text = tidy(text)
        if not text:
            raise QueryError("Say what is to be seen, such as: Shows violence.")
        if len(text) > LONGEST_TEXT:
            raise QueryError(f"A notice may have {LONGEST_TEXT} characters, not {len(text):,}.")
        unique = list(dict.fromkeys(pictures))
        if [bool(unique), bool(where), everything].count(True) != 1:
            raise QueryError(
                "Say which pictures the notice is for: some by their ids, those of which something "
                "is known (FIELD:VALUE), or all. One of the three."
            )
        if len("".join(where)) > LONGEST_WHERE:
            raise QueryError(f"What is known may have {LONGEST_WHERE:,} characters in all.")
        id = secrets.token_hex(4)
        said = {"notice": id, "text": text, "by": by}
        if unique:
            some = (unique[start : start + TOGETHER] for start in range(0, len(unique), TOGETHER))
            kept = self._state.add_all(KIND, [{**said, "pictures": ids} for ids in some])
        else:
            kept = self._state.add(KIND, **said, where=list(where))
        return id, kept

    def remove(self, id: str, by: str) -> bool:
        """Take a notice away, at once; whether that is kept by now. Raises QueryError."""
        if id not in {notice.id for notice in self.all()}:
            raise QueryError(f"There is no notice “{id[:200]}”.")
        return self._state.add(KIND, notice=id, removed=True, by=by)


def _read(state: State) -> tuple[Notice, ...]:
    found: dict[str, Notice] = {}
    pictures: dict[str, list[str]] = {}
    for record in state.records(KIND):
        said = record.said
        id = said["notice"]
        if said.get("removed"):
            found.pop(id, None)
            continue
        where = tuple(said.get("where", ()))
        found.setdefault(id, Notice(id, said["text"], said["by"], record.time, (), where))
        pictures.setdefault(id, []).extend(said.get("pictures", ()))
    made = [replace(notice, pictures=tuple(pictures[id])) for id, notice in found.items()]
    return tuple(reversed(made))


def notices_now() -> Noticed:
    """Those of the settings' state, for programs that do not keep it open.

    Makes nothing where there is no state yet.
    """
    place = settings().state
    if not Path(place).exists() and not REPO.fullmatch(place):
        return NoNotices()
    return Notices(State.open())
