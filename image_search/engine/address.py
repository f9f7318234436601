"""Where the database is.

    chdb://FOLDER                                          embedded, in a folder of this machine
    clickhouse://USER:PASSWORD@HOST:PORT/DATABASE          a server, over HTTP
    clickhouse://HOST,HOST/DATABASE?cluster=NAME           the shards of a cluster, all of them

With `secure=1` it is HTTPS. Left out: the user `default`, the ports 8123 and 8443, the database
`image_search`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from image_search.errors import ConfigError

HTTP, HTTPS = 8123, 8443
DATABASE = "image_search"

_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?")


@dataclass(frozen=True)
class Address:
    """A database; as a text without its password."""

    folder: Path | None = None
    """Where the embedded one lies."""
    hosts: tuple[tuple[str, int], ...] = ()
    """Names and ports of the servers; the first is asked, and knows the others by its cluster."""
    database: str = DATABASE
    user: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False
    cluster: str = ""
    """What the servers call the cluster; without one there is a single server."""

    def __str__(self) -> str:
        if self.folder:
            return f"chdb://{self.folder}"
        named = ((f"[{name}]" if ":" in name else name, port) for name, port in self.hosts)
        hosts = ",".join(f"{name}:{port}" for name, port in named)
        options = [f"cluster={self.cluster}"] * bool(self.cluster) + ["secure=1"] * self.secure
        return f"clickhouse://{hosts}/{self.database}{'?' if options else ''}{'&'.join(options)}"


def parse(text: str) -> Address:
    """The address that a text means. Raises ConfigError, which does not repeat a password."""
    scheme, separator, rest = text.strip().partition("://")
    if scheme == "chdb" and "?" in rest:
        raise _wrong("the name of a folder may have no question mark")
    if scheme == "chdb" and separator and rest:
        return Address(folder=Path(rest).expanduser().absolute())
    if scheme != "clickhouse" or not separator:
        raise _wrong("it begins neither with chdb:// nor with clickhouse://")
    if "@" in rest and "@" not in re.split("[/?#]", rest, maxsplit=1)[0]:
        raise _wrong("in a password /, # and ? are written %2F, %23 and %3F")
    try:
        parts = urlsplit(text.strip())
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise _wrong("it is no address") from None
    who, _, where = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    unknown = options.keys() - {"cluster", "secure"}
    if unknown:
        raise _wrong(f"it may say cluster and secure, not {', '.join(sorted(unknown))}")
    if options.get("secure", ["0"])[-1] not in ("0", "1"):
        raise _wrong("secure is 1 or 0")
    secure = options.get("secure", ["0"])[-1] == "1"
    cluster = options.get("cluster", [""])[-1]
    database = parts.path.strip("/") or DATABASE
    for what, name in (("database", database), ("cluster", cluster or "one")):
        if not _NAME.fullmatch(name):
            raise _wrong(f"the {what} {name!r} is no name: letters, digits and _ only")
    hosts = tuple(_host(host, HTTPS if secure else HTTP) for host in where.split(","))
    if len(hosts) > 1 and not cluster:
        raise _wrong("with several hosts it has to say ?cluster=NAME, as the servers call it")
    return Address(
        hosts=hosts,
        database=database,
        user=unquote(user) or "default",
        password=unquote(password),
        secure=secure,
        cluster=cluster,
    )


def _host(text: str, port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if not found or int(found[2] or 0) > 65_535:
        raise _wrong(f"{text!r} is no host, or no port")
    return found[1].strip("[]"), int(found[2] or port)


def _wrong(why: str) -> ConfigError:
    return ConfigError(
        f"The address of the database cannot be used: {why}. Write chdb://FOLDER, or "
        "clickhouse://USER:PASSWORD@HOST:PORT/DATABASE."
    )
