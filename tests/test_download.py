"""Pictures by URL, from a server that misbehaves: a picture or a reason, and never for ever."""

import json
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from odd_server import BROKEN, LARGE, ODD, PICTURE, PLAIN, OddServer, response, serving_oddly

import image_search
from image_search import download as module
from image_search.download import Downloader, Limits, is_allowed
from image_search.errors import CollectionError, PictureError
from image_search.parts import UNREADABLE

LIMITS = Limits(
    connect=1, read=1, total=3, size=200_000, file_size=10_000_000,
    tries=3, pause=0.01, longest_pause=2,
)  # fmt: skip

NOT_HTTP = "cannot be read: answer cut short or not HTTP"
NO_WEB_ADDRESS = "not downloaded: not a web address"

Resolve = Callable[..., list[str]]


@pytest.fixture
def server() -> Iterator[OddServer]:
    with serving_oddly() as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No thread is left over; nor a connection, of which pytest makes an error by itself."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.fixture
def downloader() -> Iterator[Downloader]:
    """One that may fetch from this machine."""
    with Downloader(LIMITS, allow_private=True) as downloader:
        yield downloader


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[Downloader]:
    """One for which 127.0.0.1, and nothing else here, is a public address."""

    def allowed(address: Any, allow_private: bool = False) -> bool:
        return str(address) == "127.0.0.1" or is_allowed(address, allow_private)

    monkeypatch.setattr(module, "is_allowed", allowed)
    with Downloader(LIMITS) as downloader:
        yield downloader


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Gives names addresses, a list for every look-up; the list it returns is of the look-ups."""
    real = socket.getaddrinfo

    def use(**answers: list[list[str]]) -> list[str]:
        looked_up: list[str] = []

        def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> Any:
            looked_up.append(host)
            left = answers.get(host.replace(".", "_"))
            if left is None:
                return real(host, port, *args, flags=socket.AI_NUMERICHOST, **options)
            addresses = left.pop(0)
            return [item for a in addresses for item in real(a, port, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return looked_up

    return use


def reason(downloader: Downloader, url: str) -> str:
    with pytest.raises(PictureError) as error:
        downloader.fetch(url)
    return str(error.value)


# What comes


@pytest.mark.parametrize(
    "path",
    ["/picture", "/too-long", "/no-length", "/aws-chunked", "/redirect-relative", "/reset-once",
     "/redirect?hops=4&to=/picture", "/redirect?code=307&to=/picture", "/slow?seconds=0.2",
     "/picture?a=b#there", " /picture\n".strip(" ")],
)  # fmt: skip
def test_a_picture_is_had(server: OddServer, downloader: Downloader, path: str) -> None:
    assert downloader.fetch(server.url(path)) == PICTURE


def test_a_body_in_pieces_is_put_together(server: OddServer, downloader: Downloader) -> None:
    assert downloader.fetch(server.url("/chunked")) == PICTURE[:2000]


REASONS = {
    "/no-such-picture": "not downloaded: HTTP 404",
    "/asked-wrongly": "not downloaded: HTTP 401",
    "/no-content": "not downloaded: HTTP 204",
    "/unasked-part": "not downloaded: HTTP 206",
    "/nowhere": "not downloaded: HTTP 302",
    "/status-999": "not downloaded: HTTP 999",
    "/html": "not a picture (looks like a web page)",
    "/endless-page": "not a picture (looks like a web page)",
    "/tiny-chunks": "not a picture (looks like text)",
    "/empty": "empty file (0 bytes)",
    "/gzip": "not downloaded: sent compressed (gzip)",
    "/gzip-bomb": "not downloaded: sent compressed (gzip)",
    "/silent-gzip": "not a picture",
    "/announced": "too large: 123456789012 bytes (the limit is 200000 bytes)",
    "/endless-picture": "too large: more than 200000 bytes",
    "/loop": "not downloaded: more than 5 redirects",
    "/redirect?hops=5&to=/picture": "not downloaded: more than 5 redirects",
    "/redirect-to-file": NO_WEB_ADDRESS,
    "/odd-location": NO_WEB_ADDRESS,
    "/redirect-with-password": "not downloaded: a user name or password in the URL",
    "/status?code=503": "cannot be read: HTTP 503",
    "/status?code=408": "cannot be read: HTTP 408",
    "/status?code=429&after=soon": "cannot be read: HTTP 429",
    "/status?code=429&after=1000": "cannot be read: HTTP 429",
    "/slow": "cannot be read: time-out",
    "/dripping-head": "cannot be read: time-out",
    "/dripping-body": "cannot be read: time-out",
    "/endless-hints": "cannot be read: time-out",
    "/reset": "cannot be read: connection broken",
    "/too-short": NOT_HTTP,
    "/garbage": NOT_HTTP,
    "/nothing": NOT_HTTP,
    "/half-a-head": NOT_HTTP,
    "/huge-head": NOT_HTTP,
    "/odd-length": NOT_HTTP,
    "/negative-length": NOT_HTTP,
    "/two-lengths": NOT_HTTP,
    "/odd-chunks": NOT_HTTP,
    "/half-chunked": NOT_HTTP,
}
TIMED_OUT = [path for path in REASONS if REASONS[path].endswith("time-out")]


@pytest.mark.parametrize("path", [path for path in REASONS if path not in TIMED_OUT])
def test_everything_else_is_a_reason(server: OddServer, downloader: Downloader, path: str) -> None:
    secret = ("&" if "?" in path else "?") + "key=hidden"
    said = reason(downloader, server.url(path + secret))
    assert said.startswith(REASONS[path])
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 100
    assert "hidden" not in said
    passing = REASONS[path].startswith(UNREADABLE) and path != "/status?code=429&after=1000"
    assert server.times(path.partition("?")[0]) in ((3,) if passing else (1, 6))


@pytest.mark.parametrize("path", TIMED_OUT)
def test_no_server_holds_a_fetch_for_longer_than_the_limit(server: OddServer, path: str) -> None:
    limits = replace(LIMITS, read=60, total=0.7)
    began = time.monotonic()
    with Downloader(limits, allow_private=True) as downloader:
        assert reason(downloader, server.url(path)) == "cannot be read: time-out"
    assert 0.7 <= time.monotonic() - began < 10


def test_silence_ends_a_try(server: OddServer) -> None:
    began = time.monotonic()
    with Downloader(replace(LIMITS, read=0.2, total=60), allow_private=True) as downloader:
        assert reason(downloader, server.url("/slow")) == "cannot be read: time-out"
    assert server.times("/slow") == LIMITS.tries
    assert 0.6 <= time.monotonic() - began < 10


def test_every_odd_path_is_tried() -> None:
    tried = {path.partition("?")[0] for path in [*REASONS]}
    good = {"/picture", "/too-long", "/no-length", "/aws-chunked", "/redirect-relative", "/chunked"}
    others = {"/echo", "/canned", "/file", "/slow-file", "/reset-once"}
    assert {*BROKEN, *PLAIN, *ODD} == (tried | good | others) - {"/no-such-picture"}


def test_a_page_is_not_read_to_its_end(server: OddServer, downloader: Downloader) -> None:
    """Nor does it fill the memory up to the limit of pictures."""
    tracemalloc.start()
    with Downloader(replace(LIMITS, size=10**12), allow_private=True) as downloader:
        reason(downloader, server.url("/endless-page"))
        reason(downloader, server.url("/tiny-chunks"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_any_bytes_are_a_picture_or_a_reason(server: OddServer) -> None:
    random_ = random.Random(0)
    good = [
        response(200, PICTURE), PLAIN["/chunked"], response(302, Location="/picture"),
        response(200, PICTURE, Content_Encoding="br", Retry_After="5"), response(404, PICTURE),
    ]  # fmt: skip
    limits = replace(LIMITS, tries=1, read=0.2)
    with Downloader(limits, allow_private=True) as downloader:
        for _ in range(300):
            data = bytearray(random_.choice(good))
            for _ in range(random_.choice((1, 3, 10))):
                data[random_.randrange(min(len(data), 120))] = random_.randrange(256)
            server.canned = bytes(data)
            try:
                downloader.fetch(server.url("/canned"))
            except PictureError as error:
                said = str(error)
                assert len(said) < 120
                assert said.isascii()
                assert said.isprintable()


# Manners


def test_who_asks_says_so_and_sends_nothing_else(
    server: OddServer, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    answer = downloader.fetch(server.url("/echo")).removeprefix(PICTURE)
    assert json.loads(answer) == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"image-search/{image_search.__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


def test_what_comes_too_much_is_not_the_next_picture(
    server: OddServer, downloader: Downloader
) -> None:
    assert downloader.fetch(server.url("/too-long")) == PICTURE
    assert downloader.fetch(server.url("/echo")).startswith(PICTURE)


def test_a_connection_is_used_again(server: OddServer, downloader: Downloader) -> None:
    for _ in range(5):
        downloader.fetch(server.url("/picture"))
    assert server.connections == 1


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: OddServer, downloader: Downloader, code: int) -> None:
    assert downloader.fetch(server.url(f"/status?code={code}&until=3")) == PICTURE
    assert server.times("/status") == 3


def test_pauses_are_longer_each_time_and_not_the_same(
    server: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def wait(clock: Any, seconds: float) -> bool:
        pauses.append(seconds)
        return True

    monkeypatch.setattr(module._Clock, "wait", wait)
    limits = replace(LIMITS, tries=8, pause=1, longest_pause=10)
    with Downloader(limits, allow_private=True) as downloader:
        for _ in range(2):
            reason(downloader, server.url("/status?code=503"))
    for once, whole in zip(pauses[:7], (1, 2, 4, 8, 10, 10, 10), strict=True):
        assert whole / 2 <= once <= whole
    assert pauses[:7] != pauses[7:]


def test_a_server_is_left_alone_for_as_long_as_it_asks(
    server: OddServer, downloader: Downloader
) -> None:
    began = time.monotonic()
    assert downloader.fetch(server.url("/status?code=429&until=2&after=1")) == PICTURE
    assert time.monotonic() - began >= 1


def test_a_server_that_asks_for_very_long_is_given_up(server: OddServer) -> None:
    began = time.monotonic()
    limits = replace(LIMITS, total=1000, longest_pause=0.5)
    with Downloader(limits, allow_private=True) as downloader:
        reason(downloader, server.url("/status?code=429&until=2&after=60"))
    assert time.monotonic() - began < 10


def test_retry_after_in_all_its_forms() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < module._seconds(format_datetime(soon, usegmt=True)) <= 100
    assert 90 < module._seconds(format_datetime(soon.replace(tzinfo=None))) <= 100
    assert module._seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert module._seconds(" 120 ") == 120
    assert module._seconds("9" * 5000) > 1e100
    for nonsense in ("", "soon", "-5", "1.5", "²", "Wed, 99 Oct 2015", "Mon, 1 Jan 99999 1:1:1"):
        assert module._seconds(nonsense) == 0


def test_one_host_is_asked_by_few_at_a_time(server: OddServer) -> None:
    """And who waits for the others does not lose the time for it."""
    limits = replace(LIMITS, per_host=2, total=0.9)
    url = server.url("/slow?seconds=0.2")
    with Downloader(limits, allow_private=True) as downloader, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(downloader.fetch, [url] * 16)) == [PICTURE] * 16
    assert server.at_once == 2


def test_stopping_ends_what_is_under_way(server: OddServer) -> None:
    limits = replace(LIMITS, total=100, pause=100, longest_pause=100)
    with Downloader(limits, allow_private=True) as downloader, ThreadPoolExecutor(2) as pool:
        urls = [server.url("/dripping-body"), server.url("/status?code=503")]
        told = [pool.submit(reason, downloader, url) for url in urls]
        while len(server.asked) < 2:
            time.sleep(0.01)
        downloader.stop()
        assert told[0].result(20) == "cannot be read: stopped"
        assert told[1].result(20) in ("cannot be read: stopped", "cannot be read: HTTP 503")
    assert reason(downloader, server.url("/picture")) == "cannot be read: stopped"


# Addresses

PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1",
          "64:ff9b::1.1.1.1"]  # fmt: skip
PRIVATE = ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
           "198.18.0.1", "::1", "fc00::1", "fd12::1", "fec0::1", "::ffff:127.0.0.1",
           "2002:7f00:1::", "64:ff9b::10.0.0.1", "2001:0:a00:1::1"]  # fmt: skip
NEVER = ["0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.1.1", "224.0.0.1", "239.1.1.1",
         "240.0.0.1", "255.255.255.255", "192.0.0.192", "100.100.100.200", "168.63.129.16",
         "::", "fe80::1", "fe80::1%1", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254",
         "::ffff:0.0.0.0", "2002:a9fe:a9fe::", "64:ff9b::169.254.169.254"]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC + PRIVATE + NEVER)
def test_which_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ip_address(address)) == (address in PUBLIC)
    assert is_allowed(ip_address(address), allow_private=True) == (address not in NEVER)


SPELLINGS = ["127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "127.1", "0", "localhost",
             "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
             "[0:0:0:0:0:0:0:1]", "169.254.169.254", "2852039166", "10.0.0.1", "[::]",
             "[fe80::1]", "[64:ff9b::127.0.0.1]"]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
def test_addresses_here_are_refused_however_they_are_spelt(server: OddServer, host: str) -> None:
    with Downloader(LIMITS) as downloader:
        said = reason(downloader, server.url("/picture", host))
    assert said.startswith("not downloaded: address not allowed (")
    assert server.connections == 0


INSIDE = ["127.0.0.2", "0x7f.2", "2130706434", "0", "[::1]", "[::ffff:10.0.0.1]", "10.0.0.1",
          "169.254.169.254", "2852039166", "[::]", "[fe80::1]", "[64:ff9b::10.0.0.1]"]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("code", [301, 308])
def test_redirects_do_not_lead_inside(
    server: OddServer, strict: Downloader, host: str, code: int
) -> None:
    url = server.url(f"/redirect?hops=2&code={code}&to={server.url('/picture', host)}")
    assert reason(strict, url).startswith("not downloaded: address not allowed (")
    assert server.times("/redirect") == 3
    assert server.times("/picture") == 0
    assert strict.fetch(server.url("/redirect?to=/picture")) == PICTURE


def test_a_name_is_looked_up_once_and_that_address_is_taken(
    server: OddServer, strict: Downloader, resolve: Resolve
) -> None:
    """A name that is public when it is checked and private when it is used (DNS rebinding)."""
    looked_up = resolve(good_example=[["127.0.0.1"], ["127.0.0.2"]])
    assert strict.fetch(server.url("/picture", "good.example")) == PICTURE
    assert looked_up == ["good.example", "127.0.0.1"]
    assert server.asked[0].headers["host"] == f"good.example:{server.port}"
    # the open connection is the one that was checked
    assert strict.fetch(server.url("/picture", "good.example")) == PICTURE
    assert looked_up == ["good.example", "127.0.0.1"]
    # it is closed: the next look-up is checked again
    assert reason(strict, server.url("/nothing", "good.example")).endswith(
        "allowed (127.0.0.2; --allow-private permits it)"
    )


def test_one_address_inside_is_enough_to_be_refused(
    server: OddServer, strict: Downloader, resolve: Resolve
) -> None:
    resolve(bad_example=[["127.0.0.1", "10.0.0.1"]])
    said = reason(strict, server.url("/picture", "bad.example"))
    remedy = "--allow-private permits it"
    assert said == f"not downloaded: address not allowed (10.0.0.1; {remedy})"
    resolve(cloud_example=[["169.254.169.254"]])
    said = reason(strict, server.url("/picture", "cloud.example"))
    assert said == "not downloaded: address not allowed (169.254.169.254)"  # never
    assert server.connections == 0


def test_further_addresses_are_tried(
    server: OddServer, downloader: Downloader, resolve: Resolve
) -> None:
    resolve(two_example=[["127.0.0.9", "127.0.0.1"]])
    assert downloader.fetch(server.url("/picture", "two.example")) == PICTURE


def test_a_server_that_does_not_answer_may_do_so_later(downloader: Downloader) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        said = reason(downloader, f"http://127.0.0.1:{port}/")
    assert said == "cannot be read: Connection refused"


@pytest.mark.parametrize(
    ("errno", "expected"),
    [
        (socket.EAI_NONAME, "not downloaded: host not found"),
        (socket.EAI_AGAIN, "cannot be read: host not looked up"),
        (socket.EAI_FAIL, "cannot be read: host not looked up"),
    ],
)
def test_names_without_an_address(
    downloader: Downloader, monkeypatch: pytest.MonkeyPatch, errno: int, expected: str
) -> None:
    def getaddrinfo(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(errno, "whatever the system says")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert reason(downloader, "http://no.example/") == expected


def test_ipv6(downloader: Downloader) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving_oddly("::1") as server:
        assert downloader.fetch(server.url("/picture", "[::1]")) == PICTURE
        assert server.asked[0].headers["host"] == f"[::1]:{server.port}"


# URLs

NO_URLS = ["", " ", "plates/1.jpg", "C:\\plates\\1.jpg", "//example.org/1.jpg", "http://",
           "http:///1.jpg", "http://?", "https:1.jpg", "file:///etc/passwd", "ftp://example.org/",
           "data:image/png;base64,AA", "gopher://example.org/", "ws://example.org/",
           "javascript:alert(1)", "http+unix://x/", "http://example.org:0/",
           "http://example.org:99999/", "http://example.org:x/", "http://example.org:-1/",
           "http://[::1", "http://[zz]/", "http://1.2.3.256/", "http://0177.0.0.1/",
           "http://exa\nmple.org/", "http://example.org/\r\nHost: x", "http://\ud800.org/",
           "http://example.org/\ud800", "http://☃☃ .org/", "http://" + "x" * 70_000]  # fmt: skip


@pytest.mark.parametrize("url", NO_URLS)
def test_what_is_no_web_address_is_said_so(downloader: Downloader, url: str) -> None:
    assert reason(downloader, url).startswith(NO_WEB_ADDRESS)


@pytest.mark.parametrize("user", ["me", "me:hidden", ":hidden", "me%40x:hidden", "a@b"])
def test_passwords_in_urls_are_refused_and_not_repeated(downloader: Downloader, user: str) -> None:
    said = reason(downloader, f"http://{user}@127.0.0.1/1.jpg")
    assert said == "not downloaded: a user name or password in the URL"


def test_any_url_is_a_reason(resolve: Resolve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is; nothing is ever asked outside."""
    resolve()
    random_ = random.Random(0)
    alphabet = "htps:/@#?%[]\\.0123456789abx-_~ \t\n\0é①。İßﬀ\ud800🖼"
    starts = ["http://127.0.0.1/a", "https://localhost/", "http://[::1]:80/x?y#z", "http://", ""]
    limits = replace(LIMITS, tries=1)
    with Downloader(limits) as downloader:
        for _ in range(3000):
            letters = list(random_.choice(starts))
            for _ in range(random_.choice((1, 2, 5, 20))):
                letters.insert(random_.randrange(len(letters) + 1), random_.choice(alphabet))
            said = reason(downloader, "".join(letters))
            assert said.startswith("not downloaded: ")
            assert said.isascii()
            assert said.isprintable()
    for label in ("x" * 64 + ".org", ".example.org", "a..b", "xn--" + "9" * 50):
        assert reason(downloader, f"http://{label}/")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for good.example that nobody but itself vouches for."""
    if not shutil.which("openssl"):
        pytest.skip("NO TLS TESTS: openssl is not installed (apt-get install openssl)")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=good.example",
         "-addext", "subjectAltName=DNS:good.example",
         "-keyout", "key.pem", "-out", "certificate.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_certificates_are_checked_against_the_name(
    certificate: Path, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    here = ["127.0.0.1"]
    resolve(good_example=[here, here, here], other_example=[here])
    bad = "not downloaded: certificate not valid ("
    with serving_oddly(tls=tls) as server:
        with Downloader(LIMITS, allow_private=True) as downloader:
            said = reason(downloader, server.url("/picture", "good.example"))
            assert said == f"{bad}self-signed certificate)"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "certificate.pem"))
        with Downloader(LIMITS, allow_private=True) as downloader:
            assert downloader.fetch(server.url("/picture", "good.example")) == PICTURE
            for host in ("other.example", "127.0.0.1"):
                assert reason(downloader, server.url("/picture", host)).startswith(bad)
            assert server.times("/picture") == 1
            assert reason(downloader, server.url("/endless-page", "good.example")).startswith("not")


def test_tls_without_an_answer(server: OddServer) -> None:
    """A server that speaks no TLS, and one that is silent."""
    limits = replace(LIMITS, connect=0.2, tries=2)
    with (
        Downloader(limits, allow_private=True) as downloader,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        port = silent.getsockname()[1]
        assert reason(downloader, f"https://127.0.0.1:{port}/") == "cannot be read: time-out"
        url = server.url("/picture").replace("http:", "https:")
        assert reason(downloader, url).startswith("cannot be read: ")


def test_a_connection_that_comes_too_late_is_closed(
    server: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = httpcore2.SyncBackend.connect_tcp

    def late(*args: Any, **options: Any) -> Any:
        stream = connect(*args, **options)
        time.sleep(0.4)
        return stream

    monkeypatch.setattr(httpcore2.SyncBackend, "connect_tcp", late)
    with Downloader(replace(LIMITS, total=0.3), allow_private=True) as downloader:
        url = server.url("/picture").replace("http:", "https:")
        assert reason(downloader, url) == "cannot be read: time-out"


# Many at once


def test_five_hundred_of_all_kinds(server: OddServer) -> None:
    """All are accounted for, in time and memory that the limits bound."""
    limits = replace(LIMITS, total=2, tries=2, per_host=16)
    quick = [path for path in REASONS if path not in TIMED_OUT]
    good = ["/picture", "/no-length", "/redirect?hops=2&to=/picture", "/slow?seconds=0.01"]
    paths = TIMED_OUT * 4
    while len(paths) < 500:
        paths += (quick + good * 5)[: 500 - len(paths)]
    random.Random(0).shuffle(paths)

    def outcome(path: str) -> str:
        try:
            return "a picture" if downloader.fetch(server.url(path)) == PICTURE else "other bytes"
        except PictureError as error:
            return str(error)

    tracemalloc.start()
    began = time.monotonic()
    with Downloader(limits, allow_private=True) as downloader, ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(outcome, paths))
    took = time.monotonic() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(outcomes) == 500
    for path, said in zip(paths, outcomes, strict=True):
        assert said.startswith(REASONS.get(path, "a picture")), path
    assert took < 500 / 16 * (limits.total + limits.read)
    assert peak < 16 * limits.size * 3 + 30_000_000


# Large files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plates.zip"


def only(path: Path) -> bool:
    """Whether a file is whole and nothing is beside it."""
    return path.read_bytes() == LARGE and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ranges", ["well", "no", "unnamed", "careless"])
def test_a_file_is_had(server: OddServer, downloader: Downloader, path: Path, ranges: str) -> None:
    path.write_bytes(b"an older one")
    steps: list[int] = []
    downloader.fetch_to(server.url(f"/file?ranges={ranges}"), path, steps.append)
    assert only(path)
    assert sum(steps) == len(LARGE)


@pytest.mark.parametrize("ranges", ["well", "careless"])
def test_a_file_that_breaks_off_is_gone_on_with(
    server: OddServer, downloader: Downloader, path: Path, ranges: str
) -> None:
    """As often as it takes, as long as something comes."""
    server.break_after = 150_000
    steps: list[int] = []
    downloader.fetch_to(server.url(f"/file?ranges={ranges}"), path, steps.append)
    assert only(path)
    assert sum(steps) == len(LARGE)
    assert min(steps) > 0
    assert server.times("/file") == -(-len(LARGE) // server.break_after)


@pytest.mark.parametrize("ranges", ["no", "unnamed"])
def test_a_file_that_always_breaks_off_is_given_up(
    server: OddServer, downloader: Downloader, path: Path, ranges: str
) -> None:
    server.break_after = 150_000
    steps: list[int] = []
    with pytest.raises(CollectionError) as error:
        downloader.fetch_to(server.url(f"/file?ranges={ranges}&key=hidden"), path, steps.append)
    assert str(error.value) == (
        f"{server.url('/file')}: {NOT_HTTP}. Try again: where the server can, it goes on."
    )
    assert min(steps) < 0 <= sum(steps) == path.with_name("plates.zip.part").stat().st_size
    assert not path.exists()
    server.break_after = 0
    downloader.fetch_to(server.url(f"/file?ranges={ranges}"), path, steps.append)
    assert only(path)


@pytest.mark.parametrize("ranges", ["well", "careless"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_killed_download_goes_on_unless_the_file_has_changed(
    server: OddServer, downloader: Downloader, path: Path, ranges: str, changed: bool
) -> None:
    url = server.url(f"/slow-file?ranges={ranges}")
    code = (
        "import sys, pathlib; from image_search.download import Downloader\n"
        "Downloader(allow_private=True).fetch_to(sys.argv[1], pathlib.Path(sys.argv[2]), print)"
    )
    part = path.with_name("plates.zip.part")
    half = len(LARGE) // 2
    with subprocess.Popen([sys.executable, "-c", code, url, path], stdout=-3) as process:
        while not (part.exists() and part.stat().st_size == half):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    if changed:
        server.version = '"2"'
        part.write_bytes(b"x" * half)  # what the old one had
    steps: list[int] = []
    downloader.fetch_to(url, path, steps.append)
    assert only(path)
    assert sum(steps) == len(LARGE)
    assert server.asked[1].headers["range"] == f"bytes={half}-"
    assert server.asked[1].headers["if-range"] == '"1"'
    assert (steps[0] == half) == (not changed)


def test_killed_after_the_last_byte(server: OddServer, downloader: Downloader, path: Path) -> None:
    state = {"url": server.url("/file"), "version": server.version}
    path.with_name("plates.zip.part.json").write_text(json.dumps(state))
    path.with_name("plates.zip.part").write_bytes(LARGE)
    steps: list[int] = []
    downloader.fetch_to(server.url("/file"), path, steps.append)
    assert only(path)
    assert steps == [len(LARGE)]
    assert [asked.headers["range"] for asked in server.asked] == [f"bytes={len(LARGE)}-"]


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"url": 1', "null", "\0"])
def test_a_torn_state_is_passed_over(
    server: OddServer, downloader: Downloader, path: Path, state: str
) -> None:
    path.with_name("plates.zip.part.json").write_text(state)
    path.with_name("plates.zip.part").write_bytes(b"something else")
    downloader.fetch_to(server.url("/file"), path, print)
    assert only(path)


def test_files_that_cannot_be_had(
    server: OddServer, downloader: Downloader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(url: str, path: Path = path) -> str:
        with pytest.raises(CollectionError) as error:
            downloader.fetch_to(url, path, lambda _: None)
        assert not path.exists()
        return str(error.value)

    missing = server.url("/missing")
    assert said(missing) == f"{missing}: not downloaded: HTTP 404. Check the address."
    hidden = missing.replace("http://", "http://me:hidden@") + "?key=hidden"
    assert said(hidden).startswith(f"{missing}: not downloaded: a user name or password")
    assert said("plates.zip").startswith("The URL: not downloaded: not a web address")
    assert said("http://[zz]/?hidden").startswith("The URL: not downloaded: not a web address")
    assert "too large: more than 10000000 bytes" in said(server.url("/endless-picture"))
    assert "too large: 123456789012 bytes" in said(server.url("/announced"))
    assert list(path.parent.iterdir()) == []
    nowhere = path.parent / "no" / "folder.zip"
    assert said(server.url("/file"), nowhere) == (
        f"{nowhere} cannot be written: No such file or directory."
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1000))
    assert said(server.url("/file")) == (
        f"{path.parent} has 1,000 bytes free, but 1,048,576 are still to come. "
        "Make room, or choose another disk."
    )
