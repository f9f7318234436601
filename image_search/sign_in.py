"""Signing in and out, the terms of use, and health: what is answered outside the gate."""

from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlsplit

from anyio import CapacityLimiter, fail_after, sleep, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from image_search.access import Access, Session
from image_search.api import problem
from image_search.oauth import Hub, NotSignedInError
from image_search.readiness import Readiness
from image_search.say import say
from image_search.settings import ROOT, settings
from image_search.terms import Terms
from image_search.throttle import Lock
from image_search.ui import sign_in_pages
from image_search.users import LONGEST_NAME, fits

COOKIE = "image_search"
BEGUN = "image_search_sign_in"
"""The cookie of a sign-in that is under way at the Hub."""

TERMS = "/terms"
FILES = ("sign-in.css", "sign-in.js", "icon.svg")
HEALTH = frozenset({"/healthz", "/readyz"})
OPEN = frozenset(
    {"/login", "/login/huggingface", "/login/callback", "/logout", *(f"/login/{f}" for f in FILES)}
)

LARGEST_FORM = 16 * 1024
"""Bytes of a name and a password."""

PATIENCE = 20
"""Seconds within which a form has to arrive."""

HASHING = 2
"""Passwords that are checked at once: each takes 64 MB and a processor for a moment."""

WRONG = "This name and this password do not belong together."

LONGEST_NEXT = 1_500
"""Characters of where somebody wanted to go, as far as a sign-in at the Hub remembers it."""

LONGEST_SIGN_IN = 600
"""Seconds that somebody has to sign in at the Hub."""

# The sign-in pages need no more than this, so they are allowed no more.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors "
)


class SignIn:
    """The application of everything that somebody may reach who is not let in yet."""

    def __init__(
        self,
        access: Access,
        terms: Terms,
        contact: str,
        ready: Readiness,
        standing: Callable[[], str],
    ) -> None:
        """`standing` says how far the collection was tested, at this moment."""
        self.access = access
        self.terms = terms
        self.contact = contact
        self.ready = ready
        self.standing = standing
        self._lock = Lock()
        self._hashing = CapacityLimiter(HASHING)
        self._asking = CapacityLimiter(1)
        self._hub = Hub() if access.mode == "huggingface" else None

    def app(self) -> Starlette:
        routes = [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/login", self.show),
            Route("/login", self.check_password, methods=["POST"]),
            Route("/login/huggingface", self.go_to_hub),
            Route("/login/callback", self.come_back),
            Route("/login/{file}", self.file),
            Route("/logout", self.ask_to_sign_out),
            Route("/logout", self.sign_out, methods=["POST"]),
            Route(TERMS, self.show_terms),
            Route(TERMS, self.accept_terms, methods=["POST"]),
        ]
        begun = Middleware(
            SessionMiddleware,
            secret_key=self.access.key("sign-in"),
            session_cookie=BEGUN,
            max_age=LONGEST_SIGN_IN,
            same_site="none" if settings().on_space else "lax",
            https_only=_is_https(),
        )
        return Starlette(
            routes=routes, middleware=[begun], exception_handlers={HTTPException: _told}
        )

    # Health

    async def healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether the collection answers; what is wrong is told to the operator only."""
        ready = self.ready.last
        if not self.ready.busy:  # else all who ask would wait for one that hangs
            ready = await to_thread.run_sync(self.ready, limiter=self._asking)
        return JSONResponse({"status": "ok" if ready else "not ready"}, 200 if ready else 503)

    # A name and a password

    async def show(self, request: Request) -> Response:
        if request.state.visitor is not None:
            return RedirectResponse(_next(request), 303)
        return self._page(request)

    async def check_password(self, request: Request) -> Response:
        if self.access.mode != "password":
            raise HTTPException(405, "Here one signs in with an account of Hugging Face.")
        form = await _form(request)
        name, password = form.get("name", "").strip(), form.get("password", "")
        if len(name) > LONGEST_NAME:
            return self._page(request, WRONG, 401)
        address = request.client.host if request.client else ""
        wait = self._lock.wait(name, address)
        if wait:
            return self._locked(request, name, wait)
        # Counted before it is looked at, so that many at once are not one.
        delay = self._lock.count(name, address)
        user = self.access.users.get(name)
        like = self.access.users.slowest()
        right = await to_thread.run_sync(fits, user, password, like, limiter=self._hashing)
        session = None
        if right and user:
            session = self.access.begin(user.name, self.access.fingerprint(user.hash))
        if session is None:
            if self._lock.wait(name, address):
                say(f"warning: too many wrong passwords for {name!r}, the last from {address}.")
            await sleep(delay)
            return self._page(request, WRONG, 401, name)
        self._lock.forget(name, address)
        return self._enter(session, _next(request))

    def _locked(self, request: Request, name: str, wait: int) -> Response:
        minutes = -(-wait // 60)
        trouble = (
            "There were too many wrong passwords. Try again in "
            f"{minutes} {'minutes' if minutes > 1 else 'minute'}."
        )
        told = self._page(request, trouble, 429, name)
        told.headers["Retry-After"] = str(wait)
        return told

    # An account of the Hub

    async def go_to_hub(self, request: Request) -> Response:
        if self._hub is None:
            return RedirectResponse("/login", 303)
        there = _next(request)
        # A cookie holds 4 KB, and what authlib keeps takes one of them.
        request.session.clear()
        request.session["next"] = there if len(there) <= LONGEST_NEXT else "/"
        address = settings().public_address or str(request.base_url).rstrip("/")
        try:
            return await self._hub.leave(request, f"{address}/login/callback")
        except NotSignedInError as error:
            return _failed(error, there)

    async def come_back(self, request: Request) -> Response:
        if self._hub is None:
            return RedirectResponse("/login", 303)
        there = safe(str(request.session.get("next", "/")))
        try:
            account = await self._hub.come_back(request)
        except NotSignedInError as error:
            if request.state.visitor is not None:  # a window that was opened again
                return RedirectResponse(there, 303)
            return _failed(error, there)
        finally:
            request.session.clear()
        session = await to_thread.run_sync(
            self.access.begin, account.name, account.sub, account.orgs
        )
        if session is None:
            say(f"note: {account.name!r} signed in at the Hub, and is not let in.")
            return page(sign_in_pages.refused(account.name, self.contact, there), 403)
        return self._enter(session, there)

    # Terms, and out again

    async def show_terms(self, request: Request) -> Response:
        visitor = request.state.visitor
        told, there = self.standing(), _next(request)
        shown = sign_in_pages.terms(self.terms.text, visitor.name, self.contact, there, told)
        return page(shown)

    async def accept_terms(self, request: Request) -> Response:
        await to_thread.run_sync(self.terms.accept, request.state.visitor.name)
        return RedirectResponse(_next(request), 303)

    async def ask_to_sign_out(self, request: Request) -> Response:
        """Asks: another site's page can open this, and must not be able to do it."""
        signed_in = request.state.visitor is not None
        return page(sign_in_pages.sign_out() if signed_in else sign_in_pages.signed_out())

    async def sign_out(self, request: Request) -> Response:
        session = self.access.unseal(request.cookies.get(COOKIE, ""))
        if session is not None:
            await to_thread.run_sync(self.access.end, session)
        answer = RedirectResponse("/logout", 303)
        _set_cookie(answer, "", 0)
        # Pictures that were seen must not be there for whoever sits down next.
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    async def file(self, request: Request) -> Response:
        path = ROOT / "assets" / "ui" / request.path_params["file"]
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    def _page(
        self, request: Request, trouble: str = "", status: int = 200, name: str = ""
    ) -> Response:
        html = sign_in_pages.sign_in(self.access.mode, self.contact, _next(request), trouble, name)
        return page(html, status)

    def _enter(self, session: Session, next: str) -> Response:
        answer = RedirectResponse(next, 303)
        _set_cookie(answer, self.access.seal(session), settings().session_hours * 3600)
        return answer


def safe(next: str) -> str:
    """A path of ours; what leads anywhere else becomes the first page."""
    plain = next.isprintable() and "\\" not in next and next.startswith("/")
    try:
        parts = urlsplit(next)
    except ValueError:
        return "/"
    ours = plain and not next.startswith("//") and not parts.scheme and not parts.netloc
    return next if ours else "/"


def _next(request: Request) -> str:
    return safe(request.query_params.get("next", "/"))


def _is_https() -> bool:
    return settings().on_space or settings().public_address.startswith("https://")


def _set_cookie(answer: Response, text: str, seconds: int) -> None:
    """Our cookie; of 0 seconds it is gone."""
    answer.set_cookie(
        COOKIE,
        text,
        max_age=seconds,
        path="/",
        secure=_is_https(),
        httponly=True,
        # On a Space the page lies in a frame of the Hub's, which is another site.
        samesite="none" if settings().on_space else "lax",
    )


async def _form(request: Request) -> dict[str, str]:
    """A small form, read here: whoever sends it is a stranger. Raises HTTPException."""
    body = b""
    try:
        with fail_after(PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_FORM:
                    raise HTTPException(413, "That is too long for a name and a password.")
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
    except TimeoutError:
        raise HTTPException(408, "The form did not arrive in time. Send it again.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The form did not arrive in full. Send it again.") from None
    except ValueError:
        raise HTTPException(400, "This is not the form of the sign-in page.") from None
    return {field: values[0] for field, values in fields.items()}


def page(html: str, status: int = 200) -> HTMLResponse:
    """One of the sign-in pages, which may do little."""
    frame = "https://huggingface.co" if settings().on_space else "'none'"
    return HTMLResponse(html, status, {"Content-Security-Policy": POLICY + frame})


def _failed(error: NotSignedInError, there: str) -> Response:
    back = f"/login?next={quote(there, safe='')}"
    return page(sign_in_pages.failed(str(error), back), error.status)


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail)
