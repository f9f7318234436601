"""Pictures by URL: within limits, politely, and never from inside the keeper's own network.

A list of URLs is written by strangers, and so is what their servers answer. Therefore:

    addresses   Only public ones. A name is looked up once for a connection, every address that it
                has is checked, and the connection goes to one of these: a second look-up could give
                another (DNS rebinding). TLS certificates are checked against the name all the same.
    redirects   Followed by hand, each one checked like the first URL.
    proxies     None, whatever the environment says: a proxy would look names up itself. (Of the
                environment only SSL_CERT_FILE and SSL_CERT_DIR count, for an own authority.)
    time        Connecting, silence and the whole have limits of their own.
    size        Counted while reading. Nothing is decompressed, so nothing can unfold.
    failures    What may pass is tried again, later and later, as the server asks (Retry-After).
                Reasons that begin with one of parts.UNREADABLE may be others in a later run.

Reasons never have a URL in them: it may carry a key.
"""

import ipaddress
import json
import math
import os
import random
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Self, TypeVar
from weakref import WeakValueDictionary

import httpcore2
from httpx2 import URL, Headers, InvalidURL

from image_search import __version__
from image_search.errors import CollectionError, PictureError
from image_search.images import HEAD_BYTES, check_head

USER_AGENT = f"image-search/{__version__}"

_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, *range(500, 600))
# Identity is asked for. Other words turn up with plain bytes ("aws-chunked", "none", "utf-8").
_COMPRESSED = {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"}
_NO_WEB_ADDRESS = "not downloaded: not a web address, which begins with http:// or https://"
# No such name, or one without addresses; the second is not known everywhere.
_NO_SUCH_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_IDLE_CONNECTIONS = 64
_IDLE_SECONDS = 15.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
T = TypeVar("T")

# Never pictures, not even in an institution's own network: no host at all, or where clouds tell a
# machine its secrets. (Python 3.11 calls several of them global.)
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/128", "ff00::/8"),
        *("169.254.0.0/16", "fe80::/10"),  # link-local; clouds' metadata
        *("100.100.100.200/32", "168.63.129.16/32"),  # Alibaba's, Azure's
        *("fd00:ec2::/32", "fd20:ce::/32"),  # Amazon's, Google's
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Limits:
    """What a download may take. Times are in seconds, sizes in bytes."""

    connect: float = 10.0
    """To reach one address of a server, and as long again for TLS."""
    read: float = 30.0
    """Without a byte from the server."""
    total: float = 120.0
    """For one picture, with all tries and redirects; waiting for `per_host` does not count."""
    size: int = 100_000_000
    """Of one picture; every thread that fetches may hold as much in memory."""
    file_size: int = 200_000_000_000
    """Of a file fetched with `fetch_to`."""
    redirects: int = 5
    """Followed for one try."""
    tries: int = 3
    """Of one URL, the first included; of a file, without any progress."""
    pause: float = 1.0
    """Before the second try; doubled for every further one, less up to a half by chance."""
    longest_pause: float = 60.0
    """A server that asks for more (Retry-After) is not asked again."""
    per_host: int = 8
    """Connections to one host at a time."""


class Downloader:
    """Fetches pictures by URL; one for all threads, which keep connections open between them.

    With `allow_private` it also fetches from this machine and from private networks, but not from
    link-local addresses or others where clouds keep a machine's secrets.
    """

    def __init__(self, limits: Limits = Limits(), allow_private: bool = False) -> None:
        self._limits = limits
        self._stopped = threading.Event()
        self._hosts: WeakValueDictionary[bytes, threading.Semaphore] = WeakValueDictionary()
        self._hosts_lock = threading.Lock()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),  # else made anew for every connection
            # As many as there are threads: each has one at a time.
            max_connections=None,
            max_keepalive_connections=_IDLE_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=_CheckedNetwork(allow_private),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Have fetches end soon, at the latest when their server is silent for `Limits.read`."""
        self._stopped.set()

    def close(self) -> None:
        """Close all connections, for good; leave the pool of threads that fetch first."""
        self.stop()
        self._pool.close()

    def fetch(self, url: str) -> bytes:
        """The bytes behind a URL, which begin like a picture's. Raises PictureError."""
        with self._timed(self._limits.total) as clock:
            return self._insist(clock, lambda: self._fetch_once(url))

    def fetch_to(self, url: str, path: Path, progress: Callable[[int], object]) -> None:
        """Fetch a file of any kind, however long it takes, to `path`, which is replaced.

        Until it is whole it is called `path`.part, beside it; a later call goes on with that if
        the server can and has the same file still. `progress` is told of bytes as they come, at
        first of those that are there already; of a negative number where it has to start over.
        Raises CollectionError.
        """
        file = _Unfinished(path, _shown(url), progress)
        furthest = file.size
        try:
            with self._timed(math.inf) as clock:
                while True:
                    try:
                        self._insist(clock, lambda: self._fetch_rest(url, file))
                        break
                    except _PassingError:
                        if file.size <= furthest:
                            raise
                        furthest = file.size
            file.finish()
        except _PassingError as error:
            raise CollectionError(
                f"{_shown(url)}: {error}. Try again: where the server can, it goes on."
            ) from error
        except PictureError as error:
            raise CollectionError(f"{_shown(url)}: {error}. Check the address.") from error
        except OSError as error:
            raise CollectionError(
                f"{path} cannot be written: {error.strerror or error}."
            ) from error

    def _fetch_once(self, url: str) -> bytes:
        limit = self._limits.size
        body = BytesIO()
        is_checked = False
        with self._get(url) as answer:
            _check(answer, limit)
            for chunk in answer.chunks:
                body.write(chunk)
                if body.tell() > limit:
                    raise _more_than(limit)
                if not is_checked and body.tell() >= HEAD_BYTES:
                    check_head(body.getvalue()[:HEAD_BYTES])
                    is_checked = True
        data = body.getvalue()
        check_head(data[:HEAD_BYTES])
        return data

    def _fetch_rest(self, url: str, file: "_Unfinished") -> None:
        """Fetch what is missing of a file, or all of it if the server has no other way."""
        limit = self._limits.file_size
        with self._get(url, file.headers()) as answer:
            if file.is_whole(answer):
                return
            if answer.status in (206, 416) and not file.goes_on(answer):
                file.forget()
                raise _PassingError("the file is another one now")
            _check(answer, limit, 206 if file.goes_on(answer) else 200)
            with file.writing(answer) as write:
                for chunk in answer.chunks:
                    write(chunk)
                    if file.size > limit:
                        break
        if file.size > limit:
            file.forget()
            raise _more_than(limit)

    @contextmanager
    def _get(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator["_Answer"]:
        """The answer to a request, after redirects, before its body is read."""
        limits = self._limits
        timeout = {"connect": limits.connect, "read": limits.read, "write": limits.read}
        target = _parse(url)
        for _ in range(limits.redirects + 1):
            sent = {
                "Host": target.netloc.decode(),
                "User-Agent": USER_AGENT,
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                **(headers or {}),
            }
            place = httpcore2.URL(
                scheme=target.raw_scheme,
                host=target.raw_host,
                port=target.port,
                target=target.raw_path,
            )
            with (
                self._one_of_few(target.raw_host),
                self._pool.stream(
                    "GET", place, headers=list(sent.items()), extensions={"timeout": timeout}
                ) as response,
            ):
                answer = _Answer(response.status, Headers(response.headers), response.iter_stream())
                location = answer.headers.get("location")
                if answer.status not in _REDIRECTS or location is None:
                    yield answer
                    return
                target = _parse(location, target)
        raise PictureError(f"not downloaded: more than {limits.redirects} redirects")

    def _insist(self, clock: "_Clock", once: Callable[[], T]) -> T:
        """Try until it succeeds, fails for good, or there are no more tries or time."""
        limits = self._limits
        tries = 0
        while True:
            tries += 1
            try:
                with _plain_reasons():
                    return once()
            except _PassingError as error:
                pause = min(limits.pause * 2 ** (tries - 1), limits.longest_pause)
                pause = max(pause * random.uniform(0.5, 1), error.wait)
                if tries >= limits.tries or pause > limits.longest_pause or not clock.wait(pause):
                    raise

    @contextmanager
    def _one_of_few(self, host: bytes) -> Iterator[None]:
        """Wait until there is a free place among the connections to a host."""
        with self._hosts_lock:
            places = self._hosts.setdefault(host, threading.Semaphore(self._limits.per_host))
        began = time.monotonic()
        with places:
            # Else the last of many pictures of one slow host would have no time left.
            _clock.get().add(time.monotonic() - began)
            yield

    @contextmanager
    def _timed(self, seconds: float) -> Iterator["_Clock"]:
        clock = _Clock(seconds, self._stopped)
        token = _clock.set(clock)
        try:
            yield clock
        finally:
            _clock.reset(token)


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Headers
    chunks: Iterator[bytes]


class _PassingError(PictureError):
    """A failure that may pass; `wait` is how many seconds the server wants to be left alone."""

    def __init__(self, words: str, wait: float = 0.0) -> None:
        super().__init__(f"cannot be read: {words}")  # as parts.UNREADABLE
        self.wait = wait


# Time


class _Clock:
    """What time a fetch has left: none as soon as the downloader is stopped."""

    def __init__(self, seconds: float, stopped: threading.Event) -> None:
        self._end = time.monotonic() + seconds
        self._stopped = stopped

    def add(self, seconds: float) -> None:
        self._end += seconds

    def left(self, timeout: float | None) -> float:
        """A time-out that does not go beyond the end. Raises PictureError if that has come."""
        if self._stopped.is_set():
            raise _PassingError("stopped")
        left = self._end - time.monotonic()
        if left <= 0:
            raise _PassingError("time-out")
        return left if timeout is None else min(timeout, left)

    def wait(self, seconds: float) -> bool:
        """Wait, and say whether there is time left then; at once if there will be none."""
        return time.monotonic() + seconds < self._end and not self._stopped.wait(seconds)


# The clock of the fetch that this thread is at: connections are made and read far below, by a
# library that knows time-outs of single steps only.
_clock: ContextVar[_Clock] = ContextVar("_clock")


# Connections


class _CheckedNetwork(httpcore2.NetworkBackend):
    """Connects to allowed addresses only: the very ones that were checked."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        _clock.get().left(timeout)  # looking a name up takes its own time, which nobody can limit
        addresses = _look_up(host, port)
        for address in addresses:
            if not is_allowed(address, self._allow_private):
                remedy = "; --allow-private permits it" if is_allowed(address, True) else ""
                raise PictureError(f"not downloaded: address not allowed ({address}{remedy})")
        for address in addresses:
            try:
                stream = self._network.connect_tcp(
                    str(address),
                    port,
                    timeout=_clock.get().left(timeout),
                    local_address=local_address,
                    socket_options=socket_options,
                )
                return _TimedStream(stream)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise PictureError("not downloaded: host not found")


class _TimedStream(httpcore2.NetworkStream):
    """A connection that ends with the clock of the fetch that it is used for."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _clock.get().left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _clock.get().left(timeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            timeout = _clock.get().left(timeout)
        except PictureError:
            self.close()  # nobody else would
            raise
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def is_allowed(address: Address, allow_private: bool = False) -> bool:
    """Whether pictures may come from an address: from public ones, or also from private ones.

    IPv6 addresses that stand for an IPv4 address (mapped, 6to4, NAT64) count as that one.
    """
    if isinstance(address, ipaddress.IPv6Address):
        meant = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            meant = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if meant is not None:
            return is_allowed(meant, allow_private)
    if any(address in network for network in _NEVER):
        return False
    if allow_private:
        return True
    return address.is_global and (address.version == 4 or address in _GLOBAL_V6)


def _look_up(host: str, port: int) -> list[Address]:
    """All addresses of a host; whatever spelling of one it is, such as 0x7f.1, is read here."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a name that cannot be one
        raise PictureError("not downloaded: host not found") from error
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_HOST:
            raise PictureError("not downloaded: host not found") from error
        raise _PassingError("host not looked up") from error
    return [ipaddress.ip_address(name) for name in dict.fromkeys(str(item[4][0]) for item in found)]


# URLs and answers


def _parse(url: str, base: URL | None = None) -> URL:
    """A URL that may be asked for, relative to that of a redirect."""
    try:
        parsed = URL(url.strip()) if base is None else base.join(url.strip())
    except (InvalidURL, ValueError) as error:
        raise PictureError(_NO_WEB_ADDRESS) from error
    is_port = parsed.port is None or 0 < parsed.port < 65536
    if parsed.scheme not in ("http", "https") or not parsed.raw_host or not is_port:
        raise PictureError(_NO_WEB_ADDRESS)
    if parsed.userinfo:
        raise PictureError("not downloaded: a user name or password in the URL")
    return parsed


def _shown(url: str) -> str:
    """A URL as it may be shown: without what may be secret."""
    try:
        parsed = URL(url.strip())
    except (InvalidURL, ValueError):
        return "The URL"
    path = parsed.raw_path.partition(b"?")[0]
    return f"{parsed.scheme}://{(parsed.netloc + path).decode()}" if parsed.netloc else "The URL"


def _check(answer: _Answer, limit: int, status: int = 200) -> None:
    """Raise PictureError if an answer is not of the status, is compressed or has too many bytes."""
    if answer.status in _PASSING:
        wait = _seconds(answer.headers.get("retry-after", ""))
        raise _PassingError(f"HTTP {answer.status}", wait)
    if answer.status != status:
        raise PictureError(f"not downloaded: HTTP {answer.status}")
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding in _COMPRESSED:
        raise PictureError(f"not downloaded: sent compressed ({encoding})")
    size = _length(answer)
    if size is not None and size > limit:
        raise PictureError(f"too large: {size} bytes (the limit is {limit} bytes)")


def _length(answer: _Answer) -> int | None:
    """The length of the body as announced; that it is a number was checked when it was received."""
    length = answer.headers.get("content-length")
    return None if length is None else int(length)


def _more_than(limit: int) -> PictureError:
    return PictureError(f"too large: more than {limit} bytes")


def _seconds(retry_after: str) -> float:
    """Retry-After, which is seconds or a date, as seconds from now; 0 if it is neither."""
    try:
        if retry_after.strip().isdecimal():
            return float(retry_after)
        date = parsedate_to_datetime(retry_after)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


@contextmanager
def _plain_reasons() -> Iterator[None]:
    """Turn what the library raises into PictureError, without what the server said."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise _PassingError("time-out") from error
    except httpcore2.ConnectError as error:
        cause = error.args[0] if error.args else None
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise PictureError(
                f"not downloaded: certificate not valid ({cause.verify_message})"
            ) from error
        if isinstance(cause, ssl.SSLError):
            raise _PassingError("no secure connection") from error
        raise _PassingError(getattr(cause, "strerror", None) or "no connection") from error
    except httpcore2.NetworkError as error:
        raise _PassingError("connection broken") from error
    except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
        raise _PassingError("answer cut short or not HTTP") from error
    except MemoryError as error:
        raise PictureError("too large: it does not fit into the memory") from error


# Large files


class _Unfinished:
    """A file that is being fetched: `path`.part, and beside it which file it is the start of."""

    def __init__(self, path: Path, url: str, progress: Callable[[int], object]) -> None:
        self.size = 0
        """Bytes that are there."""
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._state = path.with_name(f"{path.name}.part.json")
        self._url = url
        self._version: str | None = None
        self._whole = False
        """Whether nothing was missing when it was fetched."""
        self._progress = progress
        self._told = 0
        try:
            state = json.loads(self._state.read_text())
            if state["url"] == url and state["version"]:
                self._version = str(state["version"])
                self.size = self._part.stat().st_size
                self._whole = bool(state.get("whole"))
        except (OSError, ValueError, TypeError, KeyError):  # none, or torn: start from nothing
            pass

    def headers(self) -> dict[str, str]:
        """What asks for the rest only, or for all if the file is another one now."""
        if not self.size or self._version is None:
            return {}
        rest = {"Range": f"bytes={self.size}-", "If-Range": self._version}
        if not self._whole:
            return rest
        # For servers without ranges, which would send all of it again.
        by_tag = self._version.startswith('"')
        return {**rest, "If-None-Match" if by_tag else "If-Modified-Since": self._version}

    def goes_on(self, answer: _Answer) -> bool:
        """Whether an answer is the rest of this file; some servers pass over If-Range."""
        return (
            answer.status == 206
            and answer.headers.get("content-range", "").startswith(f"bytes {self.size}-")
            and _version(answer) in (self._version, None)  # it need not be said again
        )

    def is_whole(self, answer: _Answer) -> bool:
        """Whether nothing is missing: it was fetched before, or killed after the last byte."""
        if answer.status == 304:
            return self._whole
        return (
            answer.status == 416
            and self.size > 0
            and answer.headers.get("content-range") == f"bytes */{self.size}"
        )

    def forget(self) -> None:
        """Start from nothing."""
        self._part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)
        self._version = None
        self._whole = False
        self.size = 0
        self._tell()

    @contextmanager
    def writing(self, answer: _Answer) -> Iterator[Callable[[bytes], None]]:
        """Gives what appends to the file, which an answer with status 200 starts anew."""
        if answer.status == 200:
            self.forget()
            self._version = _version(answer)
            self._state.write_text(json.dumps({"url": self._url, "version": self._version}))
        _check_space(self._part.parent, _length(answer) or 0)
        self._tell()
        with self._part.open("ab") as file:

            def write(chunk: bytes) -> None:
                file.write(chunk)
                self.size += len(chunk)
                self._tell()

            yield write

    def finish(self) -> None:
        """Give the file its name."""
        self._tell()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self._path)
        self._state.unlink(missing_ok=True)

    def _tell(self) -> None:
        if self.size != self._told:
            self._progress(self.size - self._told)
            self._told = self.size


def _version(answer: _Answer) -> str | None:
    """What tells one version of a file from another, for If-Range: weak ETags are not allowed."""
    etag, date = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
    version = etag if etag.startswith('"') else date
    return version if version and version.isascii() else None


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise CollectionError(
            f"{folder} has {free:,} bytes free, but {size:,} are still to come. "
            "Make room, or choose another disk."
        )
