"""Signing in with an account of the Hub: there, and back with who somebody is (by authlib)."""

import logging
from dataclasses import dataclass
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client.errors import MismatchingStateError, OAuthError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from image_search.say import say
from image_search.settings import settings

PATIENCE = 10
"""Seconds within which the Hub has to answer."""

# What it raises if the Hub cannot be reached, or answers nonsense.
AWAY = (httpx2.HTTPError, AuthlibBaseError, ValueError, KeyError, TypeError, RuntimeError)


class NotSignedInError(Exception):
    """A sign-in that did not end well; the text is for who tried it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Account:
    """An account of the Hub, as the Hub tells of it."""

    name: str
    sub: str
    orgs: list[str]


class Hub:
    """The Hub as what one signs in with; what it needs to remember is in `request.session`."""

    def __init__(self) -> None:
        chosen = settings()
        logging.getLogger("authlib").setLevel(logging.ERROR)
        secret = chosen.oauth_client_secret
        provider = chosen.openid_provider_url.rstrip("/")
        self._client: Any = OAuth().register(
            "hub",
            client_id=chosen.oauth_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            server_metadata_url=f"{provider}/.well-known/openid-configuration",
            client_kwargs={
                "scope": chosen.oauth_scopes,
                "timeout": PATIENCE,
                "code_challenge_method": "S256",
            },
        )

    async def leave(self, request: Request, back: str) -> Response:
        """Send somebody there; they come back to the address `back`. Raises NotSignedInError."""
        try:
            answer: Response = await self._client.authorize_redirect(request, back)
        except AWAY as error:
            raise _away(error) from None
        return answer

    async def come_back(self, request: Request) -> Account:
        """Who came back. Raises NotSignedInError."""
        try:
            token = await self._client.authorize_access_token(request)
            claims = await self._client.userinfo(token=token)
        except MismatchingStateError:
            raise NotSignedInError(
                "This sign-in was not begun in this browser, or too long ago. Begin again."
            ) from None
        except OAuthError as error:
            if error.error == "access_denied":
                raise NotSignedInError("The sign-in was cancelled at Hugging Face.") from None
            say(f"warning: a sign-in at the Hub failed: {str(error.error)[:100]!r}")
            raise _unconfirmed() from None
        except JoseError as error:  # a signature, a time, a name in it is not as it should be
            say(f"warning: the Hub's word on a sign-in is not valid: {type(error).__name__}")
            raise _unconfirmed() from None
        except AWAY as error:
            raise _away(error) from None
        name, sub = claims.get("preferred_username"), claims.get("sub")
        # The Hub's names are ASCII; of others, some would become another name in small letters.
        if not (isinstance(name, str) and name and name.isascii() and isinstance(sub, str)):
            raise _unconfirmed()
        return Account(name, sub, organisations(claims.get("orgs")))


def organisations(claims: object) -> list[str]:
    """The names of the organisations that the Hub says somebody is in, in full."""
    listed = claims if isinstance(claims, list) else []
    names = (
        org.get("preferred_username")
        for org in listed
        if isinstance(org, dict) and not (org.get("pendingSSO") or org.get("missingMFA"))
    )
    return [name for name in names if isinstance(name, str)]


def _away(error: Exception) -> NotSignedInError:
    say(f"warning: the Hub cannot be asked who signs in: {type(error).__name__}")
    text = "Hugging Face cannot be reached at the moment. Try again in a while."
    return NotSignedInError(text, 502)


def _unconfirmed() -> NotSignedInError:
    return NotSignedInError("Hugging Face did not confirm who you are. Try again.")
