"""An image search on another machine, asked through its /api/v1.

What a server says is a stranger's word: it is bounded, checked, and of one line before it is shown.
The token goes to the address that was named, never in the clear, and nowhere else.
"""

import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
from PIL import Image, ImageOps
from pydantic import TypeAdapter, ValidationError

from image_search.citation import Citation
from image_search.conditions import typed
from image_search.errors import (
    ConfigError,
    ImageSearchError,
    NotFoundError,
    QueryError,
    ServerError,
)
from image_search.facets import Facets
from image_search.filters import Condition
from image_search.query import Query, Term
from image_search.question import MAX_RESULTS, QUERY_SIDE, Question, question
from image_search.results import Hit, Record, Results
from image_search.settings import HERE
from image_search.take_away import FILE_TYPES, Format
from image_search.tidy import tidy

API = "/api/v1"
TOKEN_HEADER = "x-image-search-token"
"""`Authorization` would not do: the proxy of a Space may keep it."""

PAGE = 200
"""Pictures of one answer; more are asked for again."""

TIMEOUT = httpx2.Timeout(60, connect=10)
"""Seconds. A sheet of pictures takes a server a while before it sends anything."""

MOST_BYTES = 256 * 1024 * 1024
"""No answer is longer; what goes on and on would fill the memory."""

LONGEST_WAIT = 600
"""Seconds within which all of an answer has to be here; what drips would keep us for ever."""

MOST_OF_JSON = 32 * 1024 * 1024
"""The same of what is parsed: as objects it takes twenty times the memory."""

QUESTION_AT_FAULT = (400, 408, 413, 414, 415, 422)

_TOKEN = re.compile(r"[!-~]+")
_T = TypeVar("_T")


class Client:
    """Asks the image search at an address. Safe to use from several threads.

    Its methods give what those of Searcher give, and raise what they raise; ServerError where the
    server does not answer as it should or lets nobody in, ConfigError where the address or the
    token cannot be used. Pictures that are searched with are sent without what their files say.
    """

    def __init__(self, address: str, token: str = "") -> None:
        self.address = _address(address)
        url = urlsplit(self.address)
        is_here = url.hostname in HERE
        if token and not _TOKEN.fullmatch(token):
            raise ConfigError("This is no token: it has signs that none has. Copy it again.")
        if token and url.scheme == "http" and not is_here:
            raise ConfigError(
                f"The token would travel in the clear to {self.address}, where everybody on the "
                f"way can read it. Write https://{url.netloc}{url.path}, or unset "
                "IMAGE_SEARCH_TOKEN if the server asks for none."
            )
        self._has_token = bool(token)
        self._http = httpx2.Client(
            headers={
                # Not packed: a few bytes could become any number.
                "Accept-Encoding": "identity",
                **({TOKEN_HEADER: token} if token else {}),
            },
            timeout=TIMEOUT,
            follow_redirects=False,  # they would take the token along
            trust_env=not is_here,  # what is on this machine needs no proxy
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def search(
        self,
        text: str | None = None,
        *,
        image: Image.Image | None = None,
        like: Sequence[str] | str = (),
        unlike: Sequence[str] | str = (),
        where: Sequence[str | Condition] | str = (),
        contains: str = "",
        k: int = 9,
    ) -> Results:
        """The k pictures nearest to what is given together, as Searcher.search has it."""
        return self.answer(question(text, image, like, unlike, where, contains), k)

    def answer(self, asked: Question | str, k: int = 9) -> Results:
        """The same of a question that was put together before."""
        if not 1 <= k <= MAX_RESULTS:
            raise QueryError(f"Between 1 and {MAX_RESULTS:,} pictures can be asked for, not {k:,}.")
        asked = _question(asked)
        picture = _png(asked)
        first: dict[str, Any] = {}
        hits: list[Hit] = []
        cursor = ""
        while len(hits) < k:
            params = [*_params(asked), ("k", str(min(PAGE, k - len(hits)))), ("cursor", cursor)]
            told = self._json("/search", params, picture)
            first = first or told
            more = self._made(list[Hit], told.get("hits"))
            hits += more
            cursor = str(told.get("cursor") or "")
            if not (cursor and more):
                break
        return self._results(first, hits[:k], asked)

    def facets(self, asked: Question | str | None = None) -> Facets:
        """What is known of the pictures of a question, or of all, counted field by field."""
        told = _question(asked) if asked is not None else None
        params, picture = (_params(told), _png(told)) if told else ([], None)
        return self._made(Facets, self._json("/facets", params, picture))

    def export(self, asked: Question | str, format: Format, k: int = 200) -> bytes:
        """The first k pictures that a question brings, as a file; a sheet holds up to 200."""
        asked = _question(asked)
        params = [*_params(asked), ("k", str(k))]
        kind = FILE_TYPES[format].media_type.partition(";")[0]
        return self._bytes(f"/export/{format}", kind, params, _png(asked))

    def cite(self, asked: Question | str, k: int = 9) -> Citation:
        """How to cite the first k pictures that a question brings."""
        asked = _question(asked)
        params = [*_params(asked), ("k", str(k))]
        return self._made(Citation, self._json("/citation", params, _png(asked)))

    def cite_picture(self, id: str) -> Citation:
        """How to cite a picture. Raises NotFoundError if the collection has none such."""
        return self._made(Citation, self._json(f"/citations/{_quoted(id)}"))

    def record(self, id: str) -> Record:
        """All that is known of a picture. Raises NotFoundError if the collection has none such."""
        return self._made(Record, self._json(f"/records/{_quoted(id)}"))

    def picture(self, id: str, shown: bool = False) -> bytes:
        """The picture file of an id. Raises NotFoundError if the collection has none such.

        Of one that is covered it is a plain picture with the notice, unless it is to be `shown`.
        """
        return self._bytes(f"/pictures/{_quoted(id)}", "image/", _shown(shown))

    def thumbnail(self, id: str, shown: bool = False) -> bytes:
        """The small picture (WebP) of an id, covered as `picture` is."""
        return self._bytes(f"/thumbnails/{_quoted(id)}", "image/", _shown(shown))

    def _results(self, told: dict[str, Any], hits: list[Hit], asked: Question) -> Results:
        try:
            groups = tuple(
                tuple(
                    Term(str(term["text"]), float(term["weight"]), term["picture"] is not None)
                    for term in group
                )
                for group in told["terms"]
                if group
            )
            return Results(
                query=tidy(told["query"]),
                hits=hits,
                total=int(told["total"]),
                notices=[tidy(notice) for notice in told["notices"]],
                no_match=bool(told["no_match"]),
                seconds=float(told["seconds"]),
                artifact_version=str(told["artifact_version"]),
                understood=Query(groups),
                like=asked.like,
                unlike=asked.unlike,
                where=tuple(str(one["where"]) for one in told["filters"]),
                contains=asked.contains,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise self._strange() from None

    def _json(
        self, path: str, params: Sequence[tuple[str, str]] = (), picture: bytes | None = None
    ) -> dict[str, Any]:
        told = self._parsed(self._bytes(path, "application/json", params, picture))
        if not isinstance(told, dict):
            raise self._strange()
        return told

    def _parsed(self, data: bytes) -> Any:
        try:
            return TypeAdapter(Any).validate_json(data)
        except ValidationError:
            raise self._strange() from None

    def _made(self, kind: type[_T], told: Any) -> _T:
        """What a server said as one of our own, checked."""
        try:
            return TypeAdapter(kind).validate_python(told)
        except ValidationError:
            raise self._strange() from None

    def _bytes(
        self,
        path: str,
        kind: str,
        params: Sequence[tuple[str, str]] = (),
        picture: bytes | None = None,
    ) -> bytes:
        """What is at a path, which has to be of a media type that begins with `kind`."""
        try:
            with self._http.stream(
                "GET" if picture is None else "POST",
                f"{self.address}{API}{path}",
                params=tuple(params),
                content=picture,
                headers={} if picture is None else {"Content-Type": "image/png"},
            ) as response:
                data = self._read(response)
        except httpx2.HTTPError as error:
            raise ServerError(_why(error, self.address)) from error
        except UnicodeEncodeError:
            raise QueryError("This has signs that no text can have, and cannot be sent.") from None
        if response.status_code != 200:
            raise self._refusal(response, data)
        if not response.headers.get("content-type", "").startswith(kind):
            raise self._strange()
        return data

    def _read(self, response: httpx2.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise self._strange()
        is_file = response.status_code == 200 and not _is_json(response)
        most, end = (MOST_BYTES if is_file else MOST_OF_JSON), time.monotonic() + LONGEST_WAIT
        data = bytearray()
        for part in response.iter_bytes():
            data += part
            if len(data) > most:
                raise ServerError(f"{self.address} sends more than any answer has. {_RIGHT}")
            if time.monotonic() > end:
                raise ServerError(f"{self.address} did not answer in time. Try again in a while.")
        return bytes(data)

    def _refusal(self, response: httpx2.Response, data: bytes) -> ImageSearchError:
        """What an answer that is none means for whoever asked."""
        status, told = response.status_code, self._detail(response, data)
        if 300 <= status < 400:
            to = tidy(response.headers.get("location", ""))[:200] or "another address"
            return ServerError(
                f"{self.address} sends on to {to}. Nothing was sent there; if you trust it, give "
                "that address."
            )
        if status == 401 or (status == 403 and not told):
            return ServerError(self._stranger())
        if status == 429:
            wait = response.headers.get("retry-after", "")
            when = f"in {wait} seconds" if wait.isdecimal() else "in a while"
            told = told or "That was too much at once."
            again = "" if "gain in" in told else f" Try again {when}."
            return ServerError(f"{told}{again}")
        if status >= 500:
            how = told or f"The server at {self.address} is out of order (HTTP {status})."
            return ServerError(how if "gain" in how else f"{how} Try again in a while.")
        if not told:
            return self._strange()
        if status == 404:
            return NotFoundError(told)
        return QueryError(told) if status in QUESTION_AT_FAULT else ServerError(told)

    def _stranger(self) -> str:
        if self._has_token:
            return (
                f"The server does not know this token, or it has ended. {self.address} says whom "
                "to ask for another; then set IMAGE_SEARCH_TOKEN to it."
            )
        return (
            f"{self.address} lets in only those it knows. It says there whom to ask for a token; "
            "then set IMAGE_SEARCH_TOKEN to it."
        )

    def _detail(self, response: httpx2.Response, data: bytes) -> str:
        """The sentence of a problem (RFC 9457); nothing if it is none of ours."""
        if not response.headers.get("content-type", "").startswith("application/problem+json"):
            return ""
        told = self._parsed(data)
        said = told.get("detail") if isinstance(told, dict) else None
        text = tidy(said)[:500] if isinstance(said, str) else ""
        return "" if text == "Not Found" else text  # a path that this server does not have

    def _strange(self) -> ServerError:
        return ServerError(
            f"{self.address} does not answer as an image search of this version does. {_RIGHT}"
        )


_RIGHT = "Is the address right?"


def _question(asked: Question | str) -> Question:
    return question(asked) if isinstance(asked, str) else asked


def _is_json(response: httpx2.Response) -> bool:
    return bool(response.headers.get("content-type", "").startswith("application/json"))


def _shown(shown: bool) -> list[tuple[str, str]]:
    return [("shown", "1")] if shown else []


def _quoted(id: str) -> str:
    return quote(id, safe="", errors="replace")


def _params(asked: Question) -> list[tuple[str, str]]:
    return [
        ("text", asked.text),
        *(("like", id) for id in asked.like),
        *(("unlike", id) for id in asked.unlike),
        *(("where", text) for one in asked.where for text in _typed(one)),
        ("contains", asked.contains),
    ]


def _typed(where: str | Condition) -> list[str]:
    if isinstance(where, str):
        return [where]
    texts = typed(where, ())
    if not texts:
        raise QueryError("A server can be asked for words by `contains` alone.")
    return texts


def _png(asked: Question) -> bytes | None:
    """The picture of a question as a file: upright, as large as models see, and nothing beside."""
    from image_search.images import fit, to_rgb

    if asked.image is None:
        return None
    if not all(asked.image.size):
        raise QueryError("That picture has no pixels. Choose another one.")
    file = BytesIO()
    picture = fit(to_rgb(ImageOps.exif_transpose(asked.image)), QUERY_SIDE)
    picture.info = {}
    picture.save(file, format="PNG")
    return file.getvalue()


def _address(given: str) -> str:
    """An address without a slash at its end. Raises ConfigError."""
    try:
        url = urlsplit(given.strip())
        whole = bool(url.scheme in ("http", "https") and url.hostname) and url.port != 0
    except ValueError:  # a port that is no number
        whole = False
    if not whole:
        raise ConfigError(
            f"{tidy(given)[:200]!r} is no address of a server. Write it as "
            "https://search.example.org."
        )
    if url.username is not None or url.query or url.fragment:
        raise ConfigError(
            "The address of a server is https:// and its name, without a user, a question or an "
            f"anchor: {url.scheme}://{url.netloc.rpartition('@')[2]}"
        )
    return f"{url.scheme}://{url.netloc}{url.path}".rstrip("/")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _why(error: httpx2.HTTPError, address: str) -> str:
    """Why a server cannot be asked, and what to do."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return (
                    f"{address} cannot prove that it is what it says ({cause.verify_message}). "
                    "Nothing was sent. Ask whoever runs it; a certificate of your own is named by "
                    "SSL_CERT_FILE."
                )
            case ssl.SSLError():
                return f"{address} does not speak https as it should. {_RIGHT}"
            case httpx2.TimeoutException():
                return f"{address} did not answer in time. Try again in a while."
            case socket.gaierror():
                return f"There is no {urlsplit(address).hostname}, or no network. {_RIGHT}"
            case ConnectionRefusedError():
                return f"Nothing answers at {address}. {_RIGHT} Is the program running there?"
    return f"The connection to {address} broke off. Try again in a while."
