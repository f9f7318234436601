"""The users of the mode `password`: names and argon2 hashes, from a setting or a file."""

import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.profiles import RFC_9106_LOW_MEMORY

from image_search.errors import ConfigError
from image_search.roles import Role, role_named
from image_search.say import say

SHORTEST = 8
"""Characters of a password, as NIST SP 800-63B has it."""

LONGEST_NAME = 200

LONGEST = 1_000
"""Characters of a password that is looked at: hashing takes time."""

_HASHER = PasswordHasher()  # argon2id with the parameters that RFC 9106 names second


@dataclass(frozen=True)
class User:
    name: str
    hash: str
    role: Role


class Users:
    """All users there are now: a file that was changed counts from the next question on."""

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        """Raises ConfigError that names the first line that cannot be used."""
        self._fixed = _parsed(text, "IMAGE_SEARCH_USERS")
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._listed: dict[str, User] = {}
        if path is not None:
            self._stamp, self._listed = _stamp(path), _read(path)

    def get(self, name: str) -> User | None:
        """The user of this name; large and small letters are the same."""
        return self.all().get(name.lower())

    def all(self) -> dict[str, User]:
        """Every user there is now, by name in small letters."""
        if self._path is not None:
            try:
                stamp = _stamp(self._path)
                if stamp != self._stamp:
                    self._listed = _read(self._path)
                    self._stamp = stamp
            except ConfigError as error:
                # Who was taken off must not stay in because of a slip elsewhere in the file.
                if self._listed or self._stamp:
                    say(f"error: {error} Until then none of its users is let in.")
                self._listed, self._stamp = {}, None
        return {**self._fixed, **self._listed}

    def slowest(self) -> str:
        """The hash that takes longest to compare with; empty if there is no user."""
        return max((user.hash for user in self.all().values()), key=_cost, default="")


def hash_password(password: str) -> str:
    """The argon2id hash of a password. Raises ConfigError if it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(f"A password has {SHORTEST} to {LONGEST:,} characters.")
    return _HASHER.hash(password)


def fits(user: User | None, password: str, like: str = "") -> bool:
    """Whether a password is the user's.

    If there is no such user it takes as long as with the hash `like`.
    """
    try:
        _HASHER.verify(user.hash if user else _nobodys(like), password[:LONGEST])
    except Argon2Error:
        return False
    return user is not None


def line(name: str, password: str, role: Role = Role.MEMBER) -> str:
    """A user as it stands in the file or the setting."""
    if not name or set(name) & set(": \t\n"):
        raise ConfigError(f"“{name}” is no name for a user: no spaces and no colons.")
    ending = "" if role is Role.MEMBER else f":{role}"
    return f"{name}:{hash_password(password)}{ending}"


def _cost(hashed: str) -> int:
    parameters = extract_parameters(hashed)
    return parameters.time_cost * parameters.memory_cost


@lru_cache(maxsize=4)
def _nobodys(like: str) -> str:
    """A hash that takes as long to compare with as another one."""
    parameters = extract_parameters(like) if like else RFC_9106_LOW_MEMORY
    return PasswordHasher.from_parameters(parameters).hash(secrets.token_hex())


def _read(path: Path) -> dict[str, User]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}, the file of users, cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}, the file of users, is not text (UTF-8).") from None
    return _parsed(text, str(path))


def _parsed(text: str, place: str) -> dict[str, User]:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    entries = [entry for line in lines for entry in line.split()]
    users = (_user(entry, f"{place}, user {n}") for n, entry in enumerate(entries, start=1))
    return {user.name.lower(): user for user in users}


def _user(entry: str, place: str) -> User:
    """`name:hash[:role]`. What stands there is not repeated in an error: it may be a password."""
    name, _, rest = entry.partition(":")
    hashed, _, role = rest.partition(":")
    try:
        _HASHER.check_needs_rehash(hashed)
    except InvalidHashError:
        raise ConfigError(
            f"{place}: this is not `name:hash` with a hash of argon2. Make such a line with: "
            "python -m image_search password NAME."
        ) from None
    if not name:
        raise ConfigError(f"{place} has no name before its colon.")
    return User(name, hashed, role_named(role) if role else Role.MEMBER)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"{path}, the file of users, cannot be read: {error.strerror}.") from None
    return found.st_mtime_ns, found.st_size, found.st_ino
