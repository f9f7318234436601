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
        """Raises ConfigError that names the first line that cannot be used.

        Later, of a file that was changed, only such lines are left out.
        """
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
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._read_again(self._path)
                self._stamp = stamp
        return {**self._fixed, **self._listed}

    def _read_again(self, path: Path) -> None:
        bad: list[str] = []
        try:
            self._listed = _read(path, bad)
        except ConfigError as error:
            self._listed, bad = {}, [str(error)]
        for line in bad:
            say(f"error: {line} That line is left out." if self._listed else f"error: {line}")
        say(f"{path} was read again: it lets in {len(self._listed):,}.")

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


def _read(path: Path, bad: list[str] | None = None) -> dict[str, User]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}, the file of users, cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}, the file of users, is not text (UTF-8).") from None
    return _parsed(text, str(path), bad)


def _parsed(text: str, place: str, bad: list[str] | None = None) -> dict[str, User]:
    """The users of a text. What cannot be used is told in `bad`; without it, by ConfigError."""
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        for entry in "" if line.lstrip().startswith("#") else line.split():
            try:
                user = _user(entry, f"{place}, line {number}")
            except ConfigError as error:
                if bad is None:
                    raise
                bad.append(str(error))
                continue
            if user.name.lower() in users:
                say(f"warning: {place}: {user.name} stands there twice; the last line counts.")
            users[user.name.lower()] = user
    return users


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
    try:
        return User(name, hashed, role_named(role) if role else Role.MEMBER)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
