"""A state in a private dataset of the Hub, which several processes may use at the same time.

The requests are made here and not by huggingface_hub's own methods, which try again for half a
minute and wait for an answer without end: nobody who adds something is to wait for that.
"""

import base64
import json
import random
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, not in __all__
    build_hf_headers,
    hf_raise_for_status,
)

from image_search import hub
from image_search.errors import HubError, StateError
from image_search.hub import ATTRIBUTES, PATIENCE, client, telling
from image_search.state_memory import RECORDS, Line, Memory, by_folder

T = TypeVar("T")

EVERY = 5
"""Seconds after which the Hub is asked for its newest commit: one small request."""

LOG_EVERY = 30
"""Seconds for which the log is collected: the Hub takes about 128 commits an hour, and each is
kept in the history until that is squashed. What is lost when the program is killed is no more."""

SEGMENT = 256_000
"""Bytes of a file after which another is begun: it is sent whole whenever it grows."""

TRIES = 30
"""Others write as well, and each time somebody is the first."""

PAUSE = 0.5
"""Seconds at most before the second try, then up to LONGER times that: so that two do not meet
again and again."""

LONGER = 8

LONG = 60
"""Seconds in which the Hub has changed many files, or the history."""

FETCHERS = 8

README = "README.md"
ABOUT = """---
viewer: false
---
# What people added to an image search

Kept here by the program, one JSON object a line: `records` is what people
added (withdrawn pictures, accepted terms, who is let in), `searches` the record of searches by day,
and `secret` what sessions are signed with. Whoever can read this dataset can see what others
searched for and sign in as anybody: **never make it public**. The program writes it; do not edit it
by hand.
"""
OWN = {ATTRIBUTES, README, "secret", "records", "searches"}


class _MovedError(Exception):
    """Somebody committed since the Hub was looked at: look again."""


class _MissingError(_MovedError):
    """There is no such file or folder in that commit."""


@dataclass
class _Segment:
    """A file that this process alone writes."""

    path: str
    data: bytes = b""
    """What the Hub has taken for sure."""
    versions: set[str] = field(default_factory=set)
    """git's names of what was sent: an answer may be lost though the Hub has taken it."""
    held: str | None = None
    """git's name of what the Hub had when it was looked at."""

    def see(self, held: str | None) -> bool:
        """Learn what the Hub has; whether nobody else has changed or removed it."""
        self.held = held
        return held in self.versions if held else not self.data


class Dataset:
    """A state in a dataset.

    Every process writes files of its own, as a whole each time, in commits on top of the one whose
    records it has read: so nobody writes over another's, nor what another has erased.
    """

    def __init__(self, repo: str, memory: Memory) -> None:
        self.name = repo
        self._memory = memory
        self._segments: dict[str, _Segment] = {}
        self._known: set[str] = set()
        """git's names of the files of records that were read."""
        self._read_at = ""
        self._checked_at = ""
        """The commit at which the segments were seen to be as they were written."""
        self._history_holds = False
        """Whether something that was removed is still in the history."""

    @property
    def every(self) -> float:
        return EVERY

    @property
    def log_every(self) -> float:
        return LOG_EVERY

    def open(self, make: bool) -> None:
        try:
            self._check_there(make)
        except HubError as error:
            raise HubError(f"{error} (If a folder is meant, write ./{self.name}.)") from None
        self._ask("GET", f"{self._api}/auth-check/write", None)
        self._retried(None, lambda head: self._check_strangers(head, make))
        self._retried(None, lambda head: self._catch_up(head, None))

    def read(self, until: float) -> None:
        self._retried(until, lambda head: self._catch_up(head, until))

    def write(self, until: float) -> None:
        self._retried(until, lambda head: self._write(head, until))

    def logs(self) -> Iterator[list[bytes]]:
        paths = self._retried(None, lambda head: self._tree(head, "searches"))
        for day, _ in groupby(sorted(paths), _day):
            yield self._retried(None, partial(self._one_day, day))

    def edit(self, cut: Callable[[bytes], bytes]) -> None:
        kept: dict[str, bytes | None] = {}
        """What is left of a file, by git's name of it; None: all. Nothing is fetched twice."""

        def attempt(head: str) -> None:
            blobs = self._tree(head, "searches")
            new = [path for path, blob in blobs.items() if blob not in kept]
            for _, some in groupby(sorted(new), _day):
                paths = list(some)
                for path, data in zip(paths, self._fetch(head, paths), strict=True):
                    left = cut(data)
                    kept[blobs[path]] = None if left == data else left
            changed = {p: kept[b] or None for p, b in blobs.items() if kept[b] is not None}
            if changed:
                self._commit(head, changed, "Erase from the record of searches", None, LONG)

        self._history_holds = True  # it may be, from the last time
        self._retried(None, attempt)
        self._squash()

    def prune(self, first: str | None) -> int:
        def attempt(head: str) -> int:
            paths = self._tree(head, "searches")
            old = [path for path in paths if first is None or _day(path) < first]
            if old:
                self._commit(head, dict.fromkeys(old), "Remove old searches", None, LONG)
            return len(old)

        count = self._retried(None, attempt)
        self._history_holds |= count > 0
        if self._history_holds:
            self._squash()
        return count

    def secret(self, fresh: str) -> str:
        def attempt(head: str) -> str:
            try:
                return self._get(head, "secret", None).decode("ascii", "replace")
            except _MissingError:
                self._commit(head, {"secret": fresh.encode()}, "A secret", None)
            return fresh

        return self._retried(None, attempt)

    # Reading

    def _check_there(self, make: bool) -> None:
        """Raise StateError if there is no such dataset, unless it may be made."""
        with telling(self.name):
            try:
                client().dataset_info(self.name, expand=["sha"], timeout=PATIENCE)
            except GatedRepoError:
                raise
            except RepositoryNotFoundError:
                if not make:
                    raise StateError(
                        f"There is no state at {self.name}, or your token may not see it. Check "
                        "IMAGE_SEARCH_STATE; a folder is written ./name/name."
                    ) from None
                client().create_repo(self.name, repo_type="dataset", private=True, exist_ok=True)

    def _look(self, until: float | None) -> str:
        """The newest commit. Raises StateError if everybody may read it."""
        told = self._ask("GET", f"{self._api}?expand=sha&expand=private", until).json()
        if not told.get("private"):
            raise StateError(
                f"{self.name} is public: everybody could see what people searched for, and sign "
                f"in as anybody. Make it private at {hub.url(self.name)}/settings, or set "
                "IMAGE_SEARCH_STATE to another dataset."
            )
        if not told.get("sha"):
            raise HubError(f"The Hub does not say what {self.name} holds. Try again in a while.")
        return str(told["sha"])

    def _check_strangers(self, head: str, make: bool) -> None:
        """Raise StateError if it is something else; say in it what it is, if it may be made."""
        names = {entry["path"] for entry in self._list(head, "")}
        if strange := sorted(names - OWN):
            raise StateError(
                f"{self.name} holds something else, for example {strange[0]}. Set "
                "IMAGE_SEARCH_STATE to a dataset of its own: it is made if it does not exist."
            )
        if make and README not in names:
            self._commit(head, {README: ABOUT.encode()}, "What this is", None)

    def _catch_up(self, head: str, until: float | None) -> None:
        """Read the records of a commit that are new."""
        if head == self._read_at:
            return
        blobs = self._tree(head, RECORDS, until)
        new = [path for path, blob in blobs.items() if blob not in self._known]
        for data in self._fetch(head, new, until):
            self._memory.learn(data)
        self._known = set(blobs.values())
        self._read_at = head

    def _one_day(self, day: str, head: str) -> list[bytes]:
        return self._fetch(head, list(self._tree(head, f"searches/{day}")))

    def _fetch(self, head: str, paths: list[str], until: float | None = None) -> list[bytes]:
        if len(paths) < 2:
            return [self._get(head, path, until) for path in paths]
        with ThreadPoolExecutor(FETCHERS) as pool:
            return list(pool.map(lambda path: self._get(head, path, until), paths))

    def _tree(self, head: str, folder: str, until: float | None = None) -> dict[str, str]:
        """The JSON files under a folder, and git's names of them."""
        try:
            entries = self._list(head, f"/{folder}?recursive=true", until)
        except _MissingError:
            return {}
        return {
            entry["path"]: entry["oid"] for entry in entries if entry["path"].endswith(".jsonl")
        }

    def _list(self, head: str, what: str, until: float | None = None) -> list[dict[str, Any]]:
        address: str | None = f"{self._api}/tree/{head}{what}"
        entries = []
        while address:
            answer = self._ask("GET", address, until)
            entries += answer.json()
            address = answer.links.get("next", {}).get("url")
        return entries

    def _get(self, head: str, path: str, until: float | None) -> bytes:
        address = hf_hub_url(
            self.name, path, repo_type="dataset", revision=head, endpoint=constants.ENDPOINT
        )
        return self._ask("GET", address, until).content

    # Writing

    def _write(self, head: str, until: float | None) -> None:
        self._catch_up(head, until)
        self._check_segments(head, until)
        batch = self._memory.batch()
        if not batch:
            return
        grown: dict[str, bytes] = {}
        for folder, lines in by_folder(batch).items():
            segment = self._segment(folder)
            grown[folder] = segment.data + b"".join(line.data for line in lines)
            segment.versions.add(hub.git_hash(grown[folder]))
        files: dict[str, bytes | None] = {
            self._segments[folder].path: data
            for folder, data in grown.items()
            if self._segments[folder].held != hub.git_hash(data)  # else only the answer was lost
        }
        if files:
            head = self._commit(head, files, _summary(batch), until)
        for folder, data in grown.items():
            segment = self._segments[folder]
            segment.data, segment.held = data, hub.git_hash(data)
            if folder == RECORDS:
                self._known.add(segment.held)
        self._memory.wrote(batch)
        self._read_at = self._checked_at = head
        self._forget_days(batch)

    def _segment(self, folder: str) -> _Segment:
        segment = self._segments.get(folder)
        if segment is None or len(segment.data) >= SEGMENT:
            name = f"{time.time_ns():016x}{self._memory.writer}{secrets.token_hex(2)}.jsonl"
            segment = self._segments[folder] = _Segment(f"{folder}/{name}")
        return segment

    def _check_segments(self, head: str, until: float | None) -> None:
        """Leave alone what somebody else has changed: go on in a new segment."""
        if head == self._checked_at:
            return
        if paths := [segment.path for segment in self._segments.values()]:
            answer = self._ask(
                "POST", f"{self._api}/paths-info/{head}", until, data={"paths": paths}
            )
            blobs = {entry["path"]: entry["oid"] for entry in answer.json()}
            self._segments = {
                folder: segment
                for folder, segment in self._segments.items()
                if segment.see(blobs.get(segment.path))
            }
        self._checked_at = head

    def _forget_days(self, batch: list[Line]) -> None:
        """Of days that are over nothing more is written."""
        latest = max(line.folder for line in batch)
        self._segments = {
            folder: segment
            for folder, segment in self._segments.items()
            if folder >= latest or folder == RECORDS
        }

    def _commit(
        self,
        head: str,
        files: dict[str, bytes | None],
        summary: str,
        until: float | None,
        patience: float = PATIENCE,
    ) -> str:
        """Write files (delete where None) on top of a commit; the new one."""
        operations: list[dict[str, Any]] = [
            {"key": "header", "value": {"summary": summary, "parentCommit": head}}
        ]
        for path, data in files.items():
            if data is None:
                operations.append({"key": "deletedFile", "value": {"path": path}})
            else:
                content = base64.b64encode(data).decode()
                value = {"path": path, "content": content, "encoding": "base64"}
                operations.append({"key": "file", "value": value})
        answer = self._ask(
            "POST",
            f"{self._api}/commit/main",
            until,
            patience,
            content=b"".join(json.dumps(operation).encode() + b"\n" for operation in operations),
            headers={"Content-Type": "application/x-ndjson"},
        )
        return str(answer.json()["commitOid"])

    def _squash(self) -> None:
        """Leave nothing in the history. Raises HubError."""
        try:
            address, message = f"{self._api}/super-squash/main", {"message": "What is kept"}
            self._ask("POST", address, None, LONG, json=message)
        except _MovedError:
            raise HubError(f"The history of {self.name} was not removed. Try again.") from None
        except HubError as error:
            raise HubError(
                f"What was to be removed from {self.name} is removed, but its history still holds "
                f"it. Do the same again. {error}"
            ) from None
        self._history_holds = False

    # Asking

    @property
    def _api(self) -> str:
        return f"{constants.ENDPOINT}/api/datasets/{quote(self.name)}"

    def _retried(self, until: float | None, attempt: Callable[[str], T]) -> T:
        """What `attempt` gives for the newest commit, again whenever that has changed meanwhile."""
        for number in range(TRIES):
            try:
                return attempt(self._look(until))
            except _MovedError:
                if until is not None and time.monotonic() > until:
                    break
                time.sleep(random.uniform(0, PAUSE) * min(number, LONGER))
        raise HubError(f"Others write to {self.name} all the time. Try again in a while.")

    def _ask(
        self,
        method: str,
        address: str,
        until: float | None,
        patience: float = PATIENCE,
        headers: dict[str, str] | None = None,
        **what: Any,
    ) -> httpx2.Response:
        def send() -> httpx2.Response:
            all_headers = {**build_hf_headers(), **(headers or {})}
            left = patience if until is None else max(until - time.monotonic(), 1)
            timeout = min(left, patience)
            return get_session().request(
                method, address, headers=all_headers, timeout=timeout, **what
            )

        with telling(self.name):
            try:
                answer = send()
            except (httpx2.NetworkError, httpx2.RemoteProtocolError, RuntimeError):
                # A connection that was kept open was closed meanwhile, by the Hub or (the
                # RuntimeError) by another thread's failure: that says nothing about the Hub.
                answer = send()
            if answer.status_code in (409, 412):  # somebody else was first
                raise _MovedError
            try:
                hf_raise_for_status(answer)
            except RevisionNotFoundError:  # the history was squashed
                raise _MovedError from None
            except EntryNotFoundError:
                raise _MissingError from None
        return answer


def _day(path: str) -> str:
    return path.split("/")[1]


def _summary(batch: list[Line]) -> str:
    """What is told in the history: no names, no searches."""
    count = sum(line.folder == RECORDS for line in batch)
    return f"{count} records, {len(batch) - count} searches"
