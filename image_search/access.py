"""Who is let in, and what they may do. Knows nothing of HTTP: that is the gate's."""

import hashlib
import hmac
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from itsdangerous import BadData, URLSafeSerializer

from image_search.allow_list import AllowList
from image_search.errors import ConfigError
from image_search.roles import Role
from image_search.say import say
from image_search.settings import Mode, settings
from image_search.state import State
from image_search.tokens import Tokens
from image_search.users import Users

ENDED = "sign-out"
"""Records of sessions that somebody ended."""


@dataclass(frozen=True)
class Visitor:
    """Whoever asks, and was let in."""

    name: str
    """Empty where nobody is asked who they are."""
    role: Role
    kind: Literal["nobody", "person", "token"]


NOBODY = Visitor("", Role.MEMBER, "nobody")


@dataclass(frozen=True)
class Session:
    """All that the cookie of somebody who signed in holds."""

    name: str
    sub: str
    """Of a Hub account its id; of a user a fingerprint of the hash: a new password is a new one."""
    org: str
    """The organisation of the list that they were in when they signed in."""
    exp: float
    """When it ends: seconds since 1970, so exactly that no two of somebody's are the same."""


class Access:
    """Decides who is let in; everything is looked up at every request."""

    def __init__(self, mode: Mode, state: State, users: str = "") -> None:
        """`users` are further ones, in the form of the setting. Raises ConfigError."""
        chosen = settings()
        self.mode = mode
        self._state = state
        self._generation = -1
        self._ended: frozenset[str] = frozenset()
        self.tokens = Tokens(state)
        self.allowed = AllowList(state)
        self.users = Users(f"{chosen.users}\n{users}", chosen.users_file)
        given = chosen.secret.get_secret_value().encode() if chosen.secret else state.secret()
        self._key = hmac.digest(given, b"sessions", "sha256")
        # Who signed in by one mode must not be taken for their namesake in another.
        self._seal = URLSafeSerializer(
            self.key(f"session {mode}"), signer_kwargs={"digest_method": hashlib.sha256}
        )

    def key(self, use: str) -> str:
        """A key for something that is signed."""
        return hmac.new(self._key, use.encode(), "sha256").hexdigest()

    # Who signs in

    def begin(self, name: str, sub: str, orgs: Sequence[str] = ()) -> Session | None:
        """A session for somebody who has proved who they are; None if they are not let in."""
        end = round(time.time() + settings().session_hours * 3600, 6)
        session = Session(name, sub, self.allowed.best(list(orgs)), end)
        if self.visitor(session) is None:
            return None
        if self.mode == "huggingface" and not self.allowed.is_known_as(name, sub):
            say(f"warning: {name!r} is another account than the one that was let in by that name.")
            return None
        return session

    def fingerprint(self, hashed: str) -> str:
        """The `sub` of a user of the list."""
        return hmac.new(self._key, hashed.encode(), "sha256").hexdigest()[:16]

    def seal(self, session: Session) -> str:
        """A session as text that nobody else can make."""
        text = self._seal.dumps(asdict(session))
        return text if isinstance(text, str) else text.decode()

    def unseal(self, text: str) -> Session | None:
        """The session that a cookie holds, if it is one of ours and has not ended."""
        try:
            session = Session(**self._seal.loads(text))
        except (BadData, TypeError):
            return None
        return session if session.exp > time.time() and not self._has_ended(session) else None

    def end(self, session: Session) -> None:
        """Have a session count no more, wherever its cookie may be."""
        self._state.add(ENDED, session=self._mark(session))

    def _mark(self, session: Session) -> str:
        """What is kept of a session that was ended: it cannot be made into one."""
        return self.fingerprint(repr(session))

    def _has_ended(self, session: Session) -> bool:
        if self._generation != self._state.generation:
            generation = self._state.generation
            ended = self._state.records(ENDED)
            self._ended = frozenset(record.said["session"] for record in ended)
            self._generation = generation
        return bool(self._ended) and self._mark(session) in self._ended

    # Who asks

    def visitor(self, session: Session) -> Visitor | None:
        """Who a session stands for, if they are let in at this moment."""
        begun = session.exp - settings().session_hours * 3600
        if self.allowed.taken_off(session.name) or begun < self.allowed.since(session.name):
            return None
        if self.mode == "password":
            user = self.users.get(session.name)
            if user is None or self.fingerprint(user.hash) != session.sub:
                return None
            role = self.allowed.changed_role(session.name) or user.role
            return Visitor(user.name, role, "person")
        own = self.allowed.role(session.name)
        roles = [own, self.allowed.role(session.org, org=True) if session.org else None]
        best = max((role for role in roles if role), key=lambda role: role.height, default=None)
        return None if best is None else Visitor(session.name, best, "person")

    def bearer(self, text: str) -> Visitor | None:
        """Who a token stands for, if it counts at this moment."""
        token = self.tokens.find(text)
        return None if token is None else Visitor(token.name, token.role, "token")


def chosen_mode() -> Mode:
    """The mode that the settings mean. Raises ConfigError where it has to be chosen.

    Nothing that others can reach is open by default: who runs it has to say so.
    """
    chosen = settings()
    if chosen.access is None and not chosen.on_loopback:
        where = "On a Space" if chosen.on_space else f"At {chosen.host}"
        raise ConfigError(
            f"{where} others can reach the page: say who is let in, by IMAGE_SEARCH_ACCESS. "
            "`password`: the users of a list (python -m image_search password NAME makes a line "
            "of it); `huggingface`: accounts and organisations of the Hub; `open`: everybody, if "
            "you really want that."
        )
    mode = chosen.access or "open"
    if mode == "huggingface" and not (chosen.oauth_client_id and chosen.oauth_client_secret):
        raise ConfigError(
            "IMAGE_SEARCH_ACCESS is huggingface, but OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET are "
            "not set. A Space has them if its README says `hf_oauth: true`; elsewhere make an "
            "OAuth app at https://huggingface.co/settings/applications, with the redirect address "
            "https://YOUR-ADDRESS/login/callback."
        )
    return mode
