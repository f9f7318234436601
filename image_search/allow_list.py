"""The list of those who are let in by name: what the settings say, and changes to it since."""

from datetime import datetime

from image_search.errors import ConfigError
from image_search.roles import Role, names_and_roles
from image_search.settings import settings
from image_search.state import State

KIND = "member"
"""Records of changes; the last one of a name counts, also against a setting."""

ACCOUNT = "account"
"""Records of which account first signed in by a name."""

Key = tuple[str, bool]
"""A name in small letters, and whether it is an organisation of the Hub."""


class AllowList:
    """Looked up at every request, so that a change counts at once and everywhere."""

    def __init__(self, state: State) -> None:
        """Raises ConfigError if a setting cannot be understood."""
        self._state = state
        self._generation = -1
        people, orgs = (
            names_and_roles(text) for text in (settings().allow_users, settings().allow_orgs)
        )
        self._set = {(name, False): role for name, role in people.items()}
        self._set |= {(name, True): role for name, role in orgs.items()}
        self._changes: dict[Key, Role | None] = {}
        self._off: dict[str, float] = {}

    def role(self, name: str, org: bool = False) -> Role | None:
        """The role of a name on the list; None if it is not there."""
        key = (name.lower(), org)
        changes = self.changes()
        return changes[key] if key in changes else self._set.get(key)

    def changed_role(self, name: str) -> Role | None:
        """The role that somebody was given since, if any."""
        return self.changes().get((name.lower(), False))

    def taken_off(self, name: str) -> bool:
        """Whether somebody was let in no more, whatever else speaks for them."""
        return self.changes().get((name.lower(), False), Role.MEMBER) is None

    def since(self, name: str) -> float:
        """When somebody was last taken off (seconds since 1970); sessions from before are over."""
        self.changes()
        return self._off.get(name.lower(), 0.0)

    def is_known_as(self, name: str, sub: str) -> bool:
        """Whether an account of the Hub is the one that came first by a name on the list.

        Names can be given up, and taken by others. Who is let in anew (`member add`) may be
        another account.
        """
        if self.role(name) is None:  # let in by an organisation, which the Hub has confirmed
            return True
        key = name.lower()
        added = [
            r.id for r in self._state.records(KIND) if r.said["name"] == key and r.said["role"]
        ]
        first = next(
            (
                record.said["sub"]
                for record in self._state.records(ACCOUNT)
                if record.said["name"] == key and record.id > max(added, default="")
            ),
            None,
        )
        if first is None:
            self._state.add(ACCOUNT, name=key, sub=sub)
        return first in (None, sub)

    def best(self, orgs: list[str]) -> str:
        """Of these organisations the one with the highest role, if any is on the list."""
        roles = {org.lower(): self.role(org, org=True) for org in orgs}
        listed = {org: role for org, role in roles.items() if role is not None}
        return max(listed, key=lambda org: listed[org].height, default="")

    def change(self, name: str, role: Role | None, org: bool, by: str) -> bool:
        """Let somebody in, or (None) no more; whether that is kept by now. Raises ConfigError."""
        if not name.strip():
            raise ConfigError("A name is missing.")
        return self._state.add(KIND, name=name.strip().lower(), org=org, role=role, by=by)

    def all(self) -> dict[Key, Role]:
        """Everybody on the list."""
        now = {**self._set, **self.changes()}
        return {key: role for key, role in sorted(now.items()) if role is not None}

    def changes(self) -> dict[Key, Role | None]:
        """What was changed since the settings were made; None for whoever was taken off."""
        if self._generation != self._state.generation:
            generation = self._state.generation
            records = self._state.records(KIND)
            self._off = {
                record.said["name"]: datetime.fromisoformat(record.time).timestamp()
                for record in records
                if not record.said["role"] and not record.said["org"]
            }
            self._changes = {
                (record.said["name"], record.said["org"]): Role(record.said["role"])
                if record.said["role"]
                else None
                for record in records
            }
            self._generation = generation
        return self._changes
