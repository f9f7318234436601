"""API tokens: for scripts, for gradio_client and for the command line.

A token is `ist_<id>_<secret>`. Of the secret, 256 bits of chance, only the sha256 is kept: it
cannot be guessed, so a slow hash would add nothing.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from image_search.errors import ConfigError
from image_search.roles import Role
from image_search.state import State

KIND = "token"

LONGEST_LIFE = 366
"""Days after which a token ends at the latest."""

_FORM = re.compile(r"ist_([0-9a-f]{8})_([\w-]{43})", re.ASCII)


@dataclass(frozen=True)
class Token:
    """What is kept of a token."""

    id: str
    name: str
    role: Role
    sha256: str
    expires: str
    """ISO 8601, UTC."""
    revoked: bool = False

    @property
    def counts(self) -> bool:
        """Whether it opens anything now."""
        return not self.revoked and self.expires > _now()


class Tokens:
    """The tokens of a state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._generation = -1
        self._known: dict[str, Token] = {}

    def make(self, name: str, role: Role, days: int) -> tuple[str, Token, bool]:
        """A new token: its text, which is never to be had again; what is kept; and whether that
        is kept by now. Raises ConfigError."""
        if not name.strip():
            raise ConfigError("A token needs the name of who uses it: --name NAME.")
        if not 1 <= days <= LONGEST_LIFE:
            raise ConfigError(f"A token holds for 1 to {LONGEST_LIFE} days, not {days}.")
        id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        expires = _iso(datetime.now(UTC) + timedelta(days=days))
        token = Token(id, name.strip(), role, _sha256(secret), expires)
        kept = self._state.add(
            KIND, token=id, name=token.name, role=role, sha256=token.sha256, expires=expires
        )
        return f"ist_{id}_{secret}", token, kept

    def revoke(self, id: str) -> bool:
        """End a token; whether that is kept by now. Raises ConfigError if there is none such."""
        if id not in self.all():
            raise ConfigError(
                f"There is no token {id}. `python -m image_search token list` lists them."
            )
        return self._state.add(KIND, token=id, revoked=True)

    def all(self) -> dict[str, Token]:
        """Every token ever made, by id."""
        if self._generation != self._state.generation:
            generation = self._state.generation
            self._known = _read(self._state)
            self._generation = generation
        return self._known

    def find(self, text: str) -> Token | None:
        """The token of this text, if it counts."""
        form = _FORM.fullmatch(text.strip())
        token = self.all().get(form[1]) if form else None
        if form is None or token is None:
            return None
        fits = hmac.compare_digest(token.sha256, _sha256(form[2]))
        return token if fits and token.counts else None


def _read(state: State) -> dict[str, Token]:
    found: dict[str, Token] = {}
    revoked = set()
    for record in state.records(KIND):
        said = record.said
        if said.get("revoked"):
            revoked.add(said["token"])
        else:
            found[said["token"]] = Token(
                said["token"], said["name"], Role(said["role"]), said["sha256"], said["expires"]
            )
    return {id: replace(token, revoked=id in revoked) for id, token in found.items()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _now() -> str:
    return _iso(datetime.now(UTC))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
