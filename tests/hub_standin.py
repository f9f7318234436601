"""A local stand-in of the Hugging Face Hub, to which the real clients talk over HTTP.

    with HubStandin(folder) as hub:
        api = HfApi(endpoint=hub.url, token=hub.token("owner"))
        subprocess.run(..., env=hub.environment("owner", home))

By hand: ``python tests/hub_standin.py --port 8765 --root DIR [--xet]``.

It holds dataset repositories with their history, knows four tokens (`IDENTITIES`), answers
errors as the Hub does, and takes large files through git-LFS or, with ``xet=True``, through Xet
as well. A Space is such a repository called `spaces/user/name`, with variables, secrets and
hardware; it does not run. What it holds is in `folder` and outlives it. Other requests are answered
501.

Read from the bottom: `HubStandin` is what tests hold; `Wire` logs requests and makes some fail;
`Api` answers them; `XetStore` and `Store` keep what it has.

Not imitated: models, what a Space does, organisations, pull requests, discussions, `.gitignore` at
preupload, copies of large files between repositories, rate limits, the dataset viewer, and Xet's
search for chunks that somebody else has uploaded (a client knows its own).
"""

import argparse
import asyncio
import base64
import fnmatch
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import struct
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlencode

import pyarrow
import uvicorn
import yaml
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
# Large files come from another host, as from the Hub's CDN: a client keeps following a redirect
# that stays on the Hub's own host, and there finds none of the headers it looks for.
STORAGE_HOST = "localhost"

TREE_PAGE, EXPANDED_TREE_PAGE, COMMITS_PAGE = 1000, 50, 50
REGULAR_FILE_LIMIT = 10 * 2**20
SIGNED_FOR = 3600  # seconds

# What the Hub writes into the .gitattributes of a new dataset.
GITATTRIBUTES = """
*.7z *.arrow *.avro *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lz4 *.mds *.mlmodel *.model
*.msgpack *.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors
*.tar *.tar.* *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents* *.pcm *.sam *.raw *.aac *.flac
*.mp3 *.ogg *.wav *.bmp *.gif *.png *.tiff *.jpg *.jpeg *.webp *.mp4 *.webm
"""
LARGE_FILES = GITATTRIBUTES.split()

SPACES = "spaces/"
"""What the names of Spaces begin with here: a dataset may have the same name."""

# What the Hub writes into a new Space.
SPACE_README = """---
title: {title}
emoji: 📉
colorFrom: indigo
colorTo: gray
sdk: {sdk}
app_file: app.py
pinned: false
---

Check out the configuration reference at https://huggingface.co/docs/hub/spaces-config-reference
"""

HARDWARE = {"cpu-basic": 0.0, "cpu-upgrade": 0.03, "t4-small": 0.4}
"""What a Space can run on, in dollars an hour."""


# Who may do what


@dataclass(frozen=True)
class Identity:
    """The holder of a token."""

    user: str
    token: str
    writes: bool

    def owns(self, repo: str) -> bool:
        return repo.removeprefix(SPACES).split("/")[0] == self.user


IDENTITIES = {
    "owner": Identity("alice", "hf_owner", writes=True),
    "reader": Identity("alice", "hf_reader", writes=False),
    "space": Identity("alice", "hf_space", writes=True),
    "stranger": Identity("bob", "hf_stranger", writes=True),
}


class HubError(Exception):
    """An answer other than success; `code` is what clients tell one kind from another by."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **headers}
        if code:
            self.headers["X-Error-Code"] = code

    def response(self) -> Response:
        return JSONResponse({"error": str(self)}, self.status, self.headers)


def no_repo(known: bool) -> HubError:
    """A missing repository and a private one of somebody else look the same."""
    if known:
        return HubError(404, "Repository not found", "RepoNotFound")
    # The client takes any such 401 for a missing repository, but only from https://; the code
    # makes it the same exception over plain http.
    return HubError(401, "Invalid username or password.", "RepoNotFound")


def no_revision(revision: str) -> HubError:
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


# What is stored


@dataclass(frozen=True)
class File:
    """A file in a commit. `oid` is git's; that of a large file is its LFS pointer's."""

    oid: str
    size: int
    sha256: str | None = None
    xet: str | None = None

    @property
    def blob(self) -> str:
        """The name under which its content is stored."""
        return self.sha256 or self.oid


Tree = dict[str, File]


@dataclass(frozen=True)
class Commit:
    title: str
    message: str
    author: str
    date: str
    tree: str
    parent: str | None


@dataclass
class Repo:
    id: str
    private: bool
    created: str
    gated: str | bool = False
    granted: list[str] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    # The large files uploaded to this repository, in a commit or not yet.
    objects: list[str] = field(default_factory=list)
    # Of Spaces only. The files of a protected one are private, its page is not.
    protected: bool = False
    hardware: str = "cpu-basic"
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def is_space(self) -> bool:
        return self.id.startswith(SPACES)

    @property
    def name(self) -> str:
        """As clients know it: user/name."""
        return self.id.removeprefix(SPACES)

    def become(self, visibility: str) -> None:
        """The Hub's documents do not say what it tells of a protected Space; here: private."""
        self.protected = visibility == "protected"
        self.private = visibility in ("private", "protected")


def write_atomically(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    part.write_bytes(data)
    part.replace(path)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def wants_lfs(path: str, size: int, sample: bytes) -> bool:
    name = path.rsplit("/", 1)[-1]
    listed = any(fnmatch.fnmatchcase(name, pattern) for pattern in LARGE_FILES)
    return size > 0 and (listed or size > REGULAR_FILE_LIMIT or b"\0" in sample)


class Store:
    """Repositories in a folder. Blobs and trees never change; a repository is one file, replaced
    whole, so a commit is there entirely or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        for name in ("repos", "trees", "blobs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if not (key := folder / "key").exists():
            write_atomically(key, secrets.token_bytes(32))
        self.key = key.read_bytes()
        self._repos = {repo.id: repo for repo in map(self._read, (folder / "repos").glob("*.json"))}

    @staticmethod
    def _read(path: Path) -> Repo:
        repo = Repo(**json.loads(path.read_bytes()))
        repo.commits = {oid: Commit(**commit) for oid, commit in repo.commits.items()}  # type: ignore[arg-type]
        return repo

    def _path(self, repo: str) -> Path:
        return self.folder / "repos" / (repo.replace("/", "--") + ".json")

    def save(self, repo: Repo) -> None:
        write_atomically(self._path(repo.id), json.dumps(asdict(repo)).encode())

    def find(self, repo: str) -> Repo | None:
        return self._repos.get(repo)

    def names(self) -> list[str]:
        return sorted(self._repos)

    def get(self, repo: str) -> Repo:
        if found := self.find(repo):
            return found
        raise no_repo(known=True)

    def create(self, repo: str, private: bool, sdk: str = "gradio") -> Repo:
        with self.lock:
            created = self._repos[repo] = Repo(repo, private, now())
            lines = "".join(
                f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LARGE_FILES
            )
            tree = {".gitattributes": self.regular(lines.encode())}
            if created.is_space:
                readme = SPACE_README.format(title=repo.rpartition("/")[2], sdk=sdk)
                tree["README.md"] = self.regular(readme.encode())
            author = created.name.split("/")[0]
            created.refs["refs/heads/main"] = self._record(
                created, tree, None, "initial commit", "", author
            )
            self.save(created)
            return created

    def delete(self, repo: str) -> None:
        with self.lock:
            self.get(repo)
            del self._repos[repo]
            self._path(repo).unlink()

    # Content

    def blob(self, name: str) -> Path:
        return self.folder / "blobs" / name

    def regular(self, data: bytes) -> File:
        """A file kept in git itself."""
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        write_atomically(self.blob(oid), data)
        return File(oid, len(data))

    def large(self, sha256: str, xet: str | None = None) -> File:
        """A file of which git keeps a pointer; the content is here already."""
        size = self.blob(sha256).stat().st_size
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return File(self.regular(pointer.encode()).oid, size, sha256, xet)

    def add_object(self, repo: Repo, part: Path, sha256: str) -> None:
        """Take what was uploaded to `part`, if it is what it is said to be."""
        with part.open("rb") as data:
            if hashlib.file_digest(data, "sha256").hexdigest() != sha256:
                raise HubError(400, "The content does not match its sha256")
        with self.lock:
            part.replace(self.blob(sha256))
            if sha256 not in repo.objects:
                repo.objects.append(sha256)
                self.save(repo)

    def new_part(self) -> Path:
        return self.blob(f"{uuid.uuid4().hex}.part")

    # History

    def resolve(self, repo: Repo, revision: str) -> str:
        """The commit a branch, tag or (beginning of an) id stands for."""
        with self.lock:
            for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
                if ref in repo.refs:
                    return repo.refs[ref]
            if re.fullmatch("[0-9a-f]{7,40}", revision):
                for commit in repo.commits:
                    if commit.startswith(revision):
                        return commit
        raise no_revision(revision)

    def tree(self, repo: Repo, revision: str) -> Tree:
        tree = repo.commits[self.resolve(repo, revision)].tree
        entries = json.loads((self.folder / "trees" / tree).read_bytes())
        return {path: File(**file) for path, file in entries.items()}

    def history(self, repo: Repo, revision: str) -> Iterator[tuple[str, Commit]]:
        """From the newest commit to the oldest."""
        commit: str | None = self.resolve(repo, revision)
        while commit and commit in repo.commits:
            yield commit, repo.commits[commit]
            commit = repo.commits[commit].parent

    def commit(
        self,
        repo: Repo,
        branch: str,
        edit: Callable[[Tree], None],
        title: str,
        message: str = "",
        author: str = "alice",
        parent: str | None = None,
    ) -> str:
        with self.lock:
            if (head := repo.refs.get(f"refs/heads/{branch}")) is None:
                raise no_revision(branch)
            if parent and parent != head:
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            edit(tree := self.tree(repo, head))
            made = self._record(repo, tree, head, title, message, author)
            repo.refs[f"refs/heads/{branch}"] = made
            self.save(repo)
            return made

    def squash(self, repo: Repo, branch: str, title: str, author: str) -> None:
        with self.lock:
            tree = self.tree(repo, branch)
            made = self._record(repo, tree, None, title, "", author)
            repo.refs[f"refs/heads/{branch}"] = made
            self.save(repo)

    def _record(
        self, repo: Repo, tree: Tree, parent: str | None, title: str, message: str, author: str
    ) -> str:
        entries = json.dumps({path: asdict(tree[path]) for path in sorted(tree)}).encode()
        name = hashlib.sha1(entries).hexdigest()
        write_atomically(self.folder / "trees" / name, entries)
        made = Commit(title, message, author, now(), name, parent)
        # The time makes two commits of the same change two.
        oid = hashlib.sha1(f"{made} {time.time_ns()}".encode()).hexdigest()
        repo.commits[oid] = made
        return oid

    # Signatures

    def sign(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), "sha256").hexdigest()


# Xet, from https://huggingface.co/docs/xet: a file is a list of terms, each a run of chunks in a
# xorb; a shard is what a client tells about the files it uploaded.


@dataclass(frozen=True)
class Term:
    xorb: str
    length: int
    first: int
    end: int


@dataclass(frozen=True)
class XetFile:
    hash: str
    sha256: str
    terms: list[Term]

    @property
    def size(self) -> int:
        return sum(term.length for term in self.terms)


def xet_hex(raw: bytes) -> str:
    """Xet writes a hash as four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def parse_shard(shard: bytes) -> Iterator[XetFile]:
    """The files of a shard: its first section, in records of 48 bytes up to one of 0xff."""
    record, verification, metadata = 48, 1 << 31, 1 << 30
    at = record
    while (raw := shard[at : at + 32]) != b"\xff" * 32:
        flags, count = struct.unpack_from("<II", shard, at + 32)
        at += record
        terms = []
        for start in range(at, at + count * record, record):
            numbers = struct.unpack_from("<III", shard, start + 36)
            terms.append(Term(xet_hex(shard[start : start + 32]), *numbers))
        at += count * record * (2 if flags & verification else 1)
        if not flags & metadata:
            raise HubError(400, "A file of a dataset needs its sha256")
        yield XetFile(xet_hex(raw), xet_hex(shard[at : at + 32]), terms)
        at += record


def chunk_offsets(xorb: bytes) -> list[int]:
    """Where each chunk begins, and where the last one ends: a footer may follow."""
    offsets = [0]
    while (at := offsets[-1]) < len(xorb) and xorb[at] == 0:
        offsets.append(at + 8 + int.from_bytes(xorb[at + 1 : at + 4], "little"))
    return offsets


def unpack_chunk(chunk: bytes) -> bytes:
    scheme, size, data = chunk[4], int.from_bytes(chunk[5:8], "little"), chunk[8:]
    if scheme == 0:
        return data
    data = bytes(pyarrow.decompress(data, size, codec="lz4", asbytes=True))
    if scheme == 1:
        return data
    # The first bytes of all groups of four, then all the second ones, and so on.
    unpacked, at = bytearray(size), 0
    for lane in range(4):
        count = len(range(lane, size, 4))
        unpacked[lane::4] = data[at : at + count]
        at += count
    return bytes(unpacked)


class XetStore:
    """Xorbs as uploaded, and the files made of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._xorbs = store.folder / "xorbs"
        self._files = store.folder / "xet-files"
        for folder in (self._xorbs, self._files):
            folder.mkdir(exist_ok=True)
        self._hashes: dict[str, str] = {}
        for path in self._files.iterdir():
            self._hashes[self.file(path.name).sha256] = path.name

    def xorb(self, name: str) -> Path:
        return self._xorbs / name

    def add_xorb(self, name: str, data: bytes) -> bool:
        new = not self.xorb(name).exists()
        write_atomically(self.xorb(name), data)
        return new

    def add_shard(self, shard: bytes) -> None:
        for file in parse_shard(shard):
            data = b"".join(map(self._unpack, file.terms))
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise HubError(400, "The content does not match its sha256")
            write_atomically(self._store.blob(file.sha256), data)
            write_atomically(self._files / file.hash, json.dumps(asdict(file)).encode())
            self._hashes[file.sha256] = file.hash

    def _unpack(self, term: Term) -> bytes:
        if not self.xorb(term.xorb).exists():
            raise HubError(400, f"The shard names a xorb that is not here: {term.xorb}")
        xorb = self.xorb(term.xorb).read_bytes()
        offsets = chunk_offsets(xorb)
        return b"".join(
            unpack_chunk(xorb[offsets[chunk] : offsets[chunk + 1]])
            for chunk in range(term.first, term.end)
        )

    def hash_of(self, sha256: str) -> str | None:
        return self._hashes.get(sha256)

    def file(self, name: str) -> XetFile:
        path = self._files / name
        if not path.exists():
            raise HubError(404, "No such file")
        found = json.loads(path.read_bytes())
        return XetFile(found["hash"], found["sha256"], [Term(**term) for term in found["terms"]])

    def reconstruction(self, name: str, start: int, end: int, sign: Callable[[str], str]) -> Any:
        """How to get the bytes from `start` to before `end`: whole terms, and what to skip."""
        file = self.file(name)
        terms: list[dict[str, Any]] = []
        fetch: dict[str, list[dict[str, Any]]] = {}
        skipped = at = 0
        for term in file.terms:
            if at + term.length > start and at < end:
                skipped = skipped if terms else start - at
                chunks = {"start": term.first, "end": term.end}
                terms.append({"hash": term.xorb, "unpacked_length": term.length, "range": chunks})
                offsets = chunk_offsets(self.xorb(term.xorb).read_bytes())
                place = {"start": offsets[term.first], "end": offsets[term.end] - 1}
                url = sign(f"/_cas/xorbs/{term.xorb}")
                fetch.setdefault(term.xorb, []).append(
                    {"range": chunks, "url": url, "url_range": place}
                )
            at += term.length
        return {"offset_into_first_range": skipped, "terms": terms, "fetch_info": fetch}


# What is answered

Handler = Callable[..., Awaitable[Response]]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
PARTS = {
    "repo": f"(?:{SPACES})?[^/]+/[^/]+?",
    "revision": "[^/]+",
    "name": "[^/]+",
    "number": "[0-9]+",
    "path": ".+",
}


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Mark what a handler answers; it gets the parts of the path, decoded, by name."""
    expression = re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{PARTS[part[1]]})", pattern)
    expression = expression.replace("/datasets/", "/(?:datasets|spaces)/")

    def mark(handler: Handler) -> Handler:
        # Matched before decoding: a revision may have an encoded slash in it.
        ROUTES.append((method, re.compile(expression), handler))
        return handler

    return mark


def yes(value: str | None) -> bool:
    return (value or "").lower() in ("1", "true")


def bearer(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ").strip()


def card_of(readme: str) -> Any:
    """The metadata at the head of a README; None where there is none."""
    found = re.match(r"---\r?\n(.*?)\r?\n---", readme, re.DOTALL)
    return yaml.safe_load(found[1]) if found else None


def byte_range(request: Request, size: int) -> tuple[int, int]:
    """The first byte that is wanted and the one after the last."""
    if not (header := request.headers.get("range")):
        return 0, size
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if not found or header == "bytes=-":
        raise HubError(400, f"Not understood: Range: {header}")
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = max(size - int(last), 0), size
    if start >= end:
        raise HubError(416, "Range not satisfiable", **{"Content-Range": f"bytes */{size}"})
    return start, end


def content(request: Request, path: Path, **headers: str) -> Response:
    """A file or the wanted range of it. Read whole: Starlette's own way leaves it open in a
    thread for a moment after the answer, too long for a stand-in that stops."""
    size = path.stat().st_size
    start, end = byte_range(request, size) if size else (0, 0)
    with path.open("rb") as data:
        data.seek(start)
        body = data.read(end - start)
    status = 200
    if "range" in request.headers:
        status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{size}"
    headers["Accept-Ranges"] = "bytes"
    return Response(body, status, headers, media_type="application/octet-stream")


class Door:
    """Who asks, and whether they may."""

    def __init__(self, store: Store, xet: bool, part_size: int | None) -> None:
        self.store = store
        self.xet = XetStore(store) if xet else None
        self.part_size = part_size
        self.port = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except HubError as error:
            response = error.response()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode()
        method = "GET" if request.method == "HEAD" else request.method
        for wanted, pattern, handler in ROUTES:
            if wanted == method and (found := pattern.fullmatch(path)):
                parts = {name: unquote(part) for name, part in found.groupdict().items()}
                if "repo" in parts and path.removeprefix("/api").startswith(f"/{SPACES}"):
                    parts["repo"] = SPACES + parts["repo"]
                return await handler(self, request, **parts)
        raise HubError(501, f"The stand-in does not imitate {request.method} {path}")

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def page(self, repo: str) -> str:
        """Where people look at a repository."""
        return f"{self.url}/{repo if repo.startswith(SPACES) else f'datasets/{repo}'}"

    def signed(self, path: str, method: str = "GET") -> str:
        """A URL at the storage host that needs no token, for a while."""
        expires = str(int(time.time()) + SIGNED_FOR)
        query = {"Expires": expires, "Signature": self.store.sign(f"{method} {path} {expires}")}
        return f"http://{STORAGE_HOST}:{self.port}{path}?{urlencode(query)}"

    def check_signature(self, request: Request) -> None:
        method = "GET" if request.method == "HEAD" else request.method
        expires = request.query_params.get("Expires", "0")
        expected = self.store.sign(f"{method} {request.scope['raw_path'].decode()} {expires}")
        given = request.query_params.get("Signature", "")
        if not hmac.compare_digest(given, expected) or int(expires) < time.time():
            raise HubError(403, "Access denied")

    def identity(self, request: Request) -> Identity | None:
        if not (token := bearer(request)):
            return None
        for identity in IDENTITIES.values():
            if token == identity.token:
                return identity
        raise HubError(401, "Invalid credentials in Authorization header")

    def xet_token(self, role: str, scope: str) -> str:
        return f"{role}.{scope}.{self.store.sign(f'xet {role} {scope}')}"

    def xet_grant(self, request: Request) -> tuple[str, str] | None:
        """For whom the token to Xet was made, and for what."""
        role, _, rest = bearer(request).partition(".")
        scope = rest.partition(".")[0]
        return (role, scope) if bearer(request) == self.xet_token(role, scope) else None

    def role(self, request: Request) -> str:
        """Whose token this is: what the log tells instead of the token."""
        token = bearer(request)
        if not token:
            return "nobody"
        if grant := self.xet_grant(request):
            return grant[0]
        return next((role for role, who in IDENTITIES.items() if who.token == token), "unknown")

    def known(self, request: Request) -> Identity:
        if identity := self.identity(request):
            return identity
        raise HubError(401, "Invalid username or password.")

    def seen(self, request: Request, repo: str) -> Repo:
        """The repository, for who may know of it."""
        identity = self.identity(request)
        found = self.store.find(repo)
        if found is None or (found.private and not (identity and identity.owns(repo))):
            raise no_repo(known=identity is not None)
        return found

    def readable(self, request: Request, repo: str) -> Repo:
        """The repository, for who may see its files: of a gated one all may know the names."""
        found, identity = self.seen(request, repo), self.identity(request)
        if not found.gated or (
            identity and (identity.owns(repo) or identity.user in found.granted)
        ):
            return found
        restricted = f"Access to dataset {found.name} is restricted"
        if identity is None:
            raise HubError(
                401, f"{restricted}. You must be authenticated to access it.", "GatedRepo"
            )
        raise HubError(
            403,
            f"{restricted} and you are not in the authorized list. "
            f"Visit {self.page(repo)} to ask for access.",
            "GatedRepo",
        )

    def writable(self, request: Request, repo: str) -> tuple[Repo, Identity]:
        found, identity = self.seen(request, repo), self.known(request)
        if not (identity.owns(repo) and identity.writes):
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        return found, identity


class Api(Door):
    """The requests of the clients, one method each. To the Hub itself first."""

    @route("GET", "/api/whoami-v2")
    async def whoami(self, request: Request) -> Response:
        identity = self.known(request)
        token = {"displayName": "stand-in", "role": "write" if identity.writes else "read"}
        return JSONResponse(
            {
                "type": "user",
                "id": hashlib.md5(identity.user.encode()).hexdigest()[:24],
                "name": identity.user,
                "fullname": identity.user.title(),
                "isPro": False,
                "orgs": [],
                "auth": {"type": "access_token", "accessToken": token},
            }
        )

    @route("POST", "/api/repos/create")
    async def create(self, request: Request) -> Response:
        identity, body = self.known(request), await request.json()
        repo, kind = self._named(identity, body), body["type"]
        if not (identity.owns(repo) and identity.writes):
            raise HubError(
                403, f"You don't have the rights to create a {kind} under this namespace"
            )
        name, url = repo.removeprefix(SPACES), self.page(repo)
        with self.store.lock:
            if self.store.find(repo):
                message = f"You already created this {kind} repo"
                return JSONResponse({"error": message, "url": url}, 409)
            created = self.store.create(repo, False, body.get("sdk", ""))
            created.become(body.get("visibility", "public"))
            created.hardware = body.get("hardware", created.hardware)
            self.store.save(created)
        return JSONResponse({"url": url, "name": name, "id": name})

    def _named(self, identity: Identity, body: dict[str, Any]) -> str:
        """The repository that a request to make or delete one is about."""
        if body.get("type") not in ("dataset", "space"):
            raise HubError(501, "The stand-in holds datasets and Spaces only")
        prefix = SPACES if body["type"] == "space" else ""
        return f"{prefix}{body.get('organization') or identity.user}/{body['name']}"

    @route("DELETE", "/api/repos/delete")
    async def delete(self, request: Request) -> Response:
        repo = self._named(self.known(request), await request.json())
        self.writable(request, repo)
        self.store.delete(repo)
        return Response("OK")

    @route("POST", "/api/validate-yaml")
    async def validate(self, request: Request) -> Response:
        try:
            card_of((await request.json())["content"])
        except yaml.YAMLError as error:
            return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return JSONResponse({"errors": [], "warnings": []})

    @route("GET", "/api/datasets/{repo}")
    async def info(self, request: Request, repo: str) -> Response:
        return await self.info_at(request, repo, "main")

    @route("GET", "/api/datasets/{repo}/revision/{revision}")
    async def info_at(self, request: Request, repo: str, revision: str) -> Response:
        found = self.seen(request, repo)
        sha = self.store.resolve(found, revision)
        told = self._info(found, sha, blobs=yes(request.query_params.get("blobs")))
        if wanted := request.query_params.getlist("expand"):
            told = {name: told[name] for name in told if name in ("_id", "id", *wanted)}
        return JSONResponse(told)

    def _info(self, repo: Repo, sha: str, blobs: bool) -> dict[str, Any]:
        tree = self.store.tree(repo, sha)
        card = self._card(tree)
        told = {"sdk": card.get("sdk"), **self._address(repo)} if repo.is_space else {}
        return told | {
            "_id": hashlib.md5(repo.id.encode()).hexdigest()[:24],
            "id": repo.name,
            "author": repo.name.split("/")[0],
            "sha": sha,
            "private": repo.private,
            "gated": repo.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": card.get("tags", []),
            "cardData": card,
            "createdAt": repo.created,
            "lastModified": repo.commits[sha].date,
            "usedStorage": sum(file.size for file in tree.values()),
            "siblings": [self._sibling(path, tree[path], blobs) for path in sorted(tree)],
        }

    @staticmethod
    def _address(repo: Repo) -> dict[str, str]:
        subdomain = re.sub("[^a-z0-9]", "-", repo.name.lower())
        return {"subdomain": subdomain, "host": f"https://{subdomain}.hf.space"}

    def _card(self, tree: Tree) -> dict[str, Any]:
        if not (readme := tree.get("README.md")):
            return {}
        with suppress(yaml.YAMLError):
            return card_of(self.store.blob(readme.blob).read_text("utf-8")) or {}
        return {}

    @staticmethod
    def _sibling(path: str, file: File, blobs: bool) -> dict[str, Any]:
        if not blobs:
            return {"rfilename": path}
        told = {"rfilename": path, "size": file.size, "blobId": file.oid}
        if file.sha256:
            told["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
        return told

    @route("GET", "/api/datasets/{repo}/auth-check")
    async def check_read(self, request: Request, repo: str) -> Response:
        self.readable(request, repo)
        return Response("OK")

    @route("GET", "/api/datasets/{repo}/auth-check/write")
    async def check_write(self, request: Request, repo: str) -> Response:
        self.writable(request, repo)
        return Response("OK")

    @route("PUT", "/api/datasets/{repo}/settings")
    async def settings(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        wanted = await request.json()
        with self.store.lock:
            if "visibility" in wanted:
                found.become(wanted["visibility"])
            found.gated = wanted.get("gated", found.gated)
            self.store.save(found)
        return JSONResponse(wanted)

    # What a Space has beside its files

    @route("GET", "/api/spaces/hardware")
    async def all_hardware(self, request: Request) -> Response:
        return JSONResponse(
            [
                {
                    "name": name,
                    "prettyName": name,
                    "cpu": "2 vCPU",
                    "ram": "16 GB",
                    "accelerator": None,
                    "unitCostMicroUSD": round(dollars * 1e6 / 60),
                    "unitCostUSD": dollars / 60,
                    "unitLabel": "minute",
                }
                for name, dollars in HARDWARE.items()
            ]
        )

    @route("GET", "/api/spaces/{repo}/runtime")
    async def runtime(self, request: Request, repo: str) -> Response:
        return JSONResponse(self._runtime(self.seen(request, repo)))

    @route("POST", "/api/spaces/{repo}/hardware")
    async def request_hardware(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        flavor = (await request.json())["flavor"]
        if flavor not in HARDWARE:
            raise HubError(400, f"Invalid hardware: {flavor}")
        with self.store.lock:
            found.hardware = flavor
            self.store.save(found)
        return JSONResponse(self._runtime(found))

    @staticmethod
    def _runtime(repo: Repo) -> dict[str, Any]:
        hardware = {"current": None, "requested": repo.hardware}
        return {"stage": "BUILDING", "hardware": hardware, "storage": None, "gcTimeout": 172800}

    @route("GET", "/api/spaces/{repo}/variables")
    async def variables(self, request: Request, repo: str) -> Response:
        return JSONResponse(self.seen(request, repo).variables)

    @route("POST", "/api/spaces/{repo}/variables")
    async def set_variable(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        return self._set(found, found.variables, await request.json())

    @route("DELETE", "/api/spaces/{repo}/variables")
    async def delete_variable(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        return self._unset(found, found.variables, await request.json())

    @route("GET", "/api/spaces/{repo}/secrets")
    async def secrets(self, request: Request, repo: str) -> Response:
        return JSONResponse(self._without_values(self.writable(request, repo)[0].secrets))

    @route("POST", "/api/spaces/{repo}/secrets")
    async def set_secret(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        self._set(found, found.secrets, await request.json())
        return JSONResponse(self._without_values(found.secrets))

    @route("DELETE", "/api/spaces/{repo}/secrets")
    async def delete_secret(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        self._unset(found, found.secrets, await request.json())
        return JSONResponse(self._without_values(found.secrets))

    @staticmethod
    def _without_values(told: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        """Nobody is told the value of a secret again."""
        return {key: {n: v for n, v in one.items() if n != "value"} for key, one in told.items()}

    def _set(self, repo: Repo, held: dict[str, dict[str, str]], told: dict[str, str]) -> Response:
        with self.store.lock:
            held[told.pop("key")] = {**told, "updatedAt": now()}
            self.store.save(repo)
        return JSONResponse(held)

    def _unset(self, repo: Repo, held: dict[str, dict[str, str]], told: dict[str, str]) -> Response:
        with self.store.lock:
            if held.pop(told["key"], None) is None:
                raise HubError(404, f"There is no {told['key']}")
            self.store.save(repo)
        return JSONResponse(held)

    # Listings

    @route("GET", "/api/datasets/{repo}/tree/{revision}")
    async def tree(self, request: Request, repo: str, revision: str) -> Response:
        return await self.tree_under(request, repo, revision, "")

    @route("GET", "/api/datasets/{repo}/tree/{revision}/{path}")
    async def tree_under(self, request: Request, repo: str, revision: str, path: str) -> Response:
        found = self.readable(request, repo)
        tree = self.store.tree(found, revision)
        entries = self._entries(tree, path.strip("/"), yes(request.query_params.get("recursive")))
        if path and not entries:
            raise HubError(404, f'{path} does not exist on "{revision}"', "EntryNotFound")
        expand = yes(request.query_params.get("expand"))
        page, headers = self._page(request, entries, EXPANDED_TREE_PAGE if expand else TREE_PAGE)
        if expand:
            self._add_last_commits(found, revision, page)
        return JSONResponse(page, headers=headers)

    def _entries(self, tree: Tree, under: str, recursive: bool) -> list[dict[str, Any]]:
        """Folders, then files."""
        prefix = f"{under}/" if under else ""
        folders: set[str] = set()
        files = []
        for path in sorted(tree):
            if not path.startswith(prefix):
                continue
            parents = path.removeprefix(prefix).split("/")[:-1]
            depth = len(parents) if recursive else min(len(parents), 1)
            folders.update(prefix + "/".join(parents[: n + 1]) for n in range(depth))
            if recursive or not parents:
                files.append(self._file_entry(path, tree[path]))
        return [self._folder_entry(path) for path in sorted(folders)] + files

    @staticmethod
    def _file_entry(path: str, file: File) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
        if file.sha256:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
        if file.xet:
            entry["xetHash"] = file.xet
        return entry

    @staticmethod
    def _folder_entry(path: str) -> dict[str, Any]:
        oid = hashlib.sha1(path.encode()).hexdigest()
        return {"type": "directory", "oid": oid, "size": 0, "path": path}

    def _page(
        self, request: Request, entries: list[dict[str, Any]], size: int
    ) -> tuple[list[dict[str, Any]], dict[str, str]]:
        start = int(request.query_params.get("cursor", 0))
        end = start + size
        if end >= len(entries):
            return entries[start:end], {}
        query = urlencode({**request.query_params, "cursor": end})
        following = f"{self.url}{request.scope['raw_path'].decode()}?{query}"
        return entries[start:end], {"Link": f'<{following}>; rel="next"'}

    def _add_last_commits(self, repo: Repo, revision: str, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            oid, commit = self._last_change(repo, revision, entry["path"])
            entry["lastCommit"] = {"id": oid, "title": commit.title, "date": commit.date}

    def _last_change(self, repo: Repo, revision: str, path: str) -> tuple[str, Commit]:
        def content(commit: str) -> Tree:
            tree = self.store.tree(repo, commit)
            return {p: file for p, file in tree.items() if p == path or p.startswith(f"{path}/")}

        last, *older = self.store.history(repo, revision)
        for earlier in older:
            if content(earlier[0]) != content(last[0]):
                break
            last = earlier
        return last

    @route("POST", "/api/datasets/{repo}/paths-info/{revision}")
    async def paths_info(self, request: Request, repo: str, revision: str) -> Response:
        found = self.readable(request, repo)
        tree = self.store.tree(found, revision)
        form = parse_qs((await request.body()).decode())
        entries = []
        for path in form.get("paths", []):
            if path in tree:
                entries.append(self._file_entry(path, tree[path]))
            elif any(other.startswith(f"{path.rstrip('/')}/") for other in tree):
                entries.append(self._folder_entry(path))
        if yes(form.get("expand", [""])[0]):
            self._add_last_commits(found, revision, entries)
        return JSONResponse(entries)

    @route("GET", "/api/datasets/{repo}/commits/{revision}")
    async def commits(self, request: Request, repo: str, revision: str) -> Response:
        entries = [
            {
                "id": oid,
                "title": commit.title,
                "message": commit.message,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for oid, commit in self.store.history(self.seen(request, repo), revision)
        ]
        page, headers = self._page(request, entries, COMMITS_PAGE)
        return JSONResponse(page, headers=headers)

    # Branches and tags

    @route("GET", "/api/datasets/{repo}/refs")
    async def refs(self, request: Request, repo: str) -> Response:
        refs = dict(self.seen(request, repo).refs)

        def under(prefix: str) -> list[dict[str, str]]:
            return [
                {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": commit}
                for ref, commit in refs.items()
                if ref.startswith(prefix)
            ]

        return JSONResponse(
            {
                "branches": under("refs/heads/"),
                "tags": under("refs/tags/"),
                "converts": [],
                "pullRequests": [],
            }
        )

    @route("POST", "/api/datasets/{repo}/branch/{name}")
    async def create_branch(self, request: Request, repo: str, name: str) -> Response:
        start = (await request.json()).get("startingPoint", "main")
        return self._create_ref(request, repo, f"refs/heads/{name}", start)

    @route("DELETE", "/api/datasets/{repo}/branch/{name}")
    async def delete_branch(self, request: Request, repo: str, name: str) -> Response:
        return self._delete_ref(request, repo, f"refs/heads/{name}")

    @route("POST", "/api/datasets/{repo}/tag/{revision}")
    async def create_tag(self, request: Request, repo: str, revision: str) -> Response:
        tag = (await request.json())["tag"]
        return self._create_ref(request, repo, f"refs/tags/{tag}", revision)

    @route("DELETE", "/api/datasets/{repo}/tag/{name}")
    async def delete_tag(self, request: Request, repo: str, name: str) -> Response:
        return self._delete_ref(request, repo, f"refs/tags/{name}")

    def _create_ref(self, request: Request, repo: str, ref: str, revision: str) -> Response:
        found, _ = self.writable(request, repo)
        with self.store.lock:
            commit = self.store.resolve(found, revision)
            if ref in found.refs:
                raise HubError(409, f"Reference {ref} already exists")
            found.refs[ref] = commit
            self.store.save(found)
        return Response("OK")

    def _delete_ref(self, request: Request, repo: str, ref: str) -> Response:
        found, _ = self.writable(request, repo)
        with self.store.lock:
            if found.refs.pop(ref, None) is None:
                raise no_revision(ref)
            self.store.save(found)
        return Response("OK")

    @route("POST", "/api/datasets/{repo}/super-squash/{revision}")
    async def super_squash(self, request: Request, repo: str, revision: str) -> Response:
        found, identity = self.writable(request, repo)
        self.store.squash(found, revision, (await request.json())["message"], identity.user)
        return Response("OK")

    # Commits

    @route("POST", "/api/datasets/{repo}/preupload/{revision}")
    async def preupload(self, request: Request, repo: str, revision: str) -> Response:
        found, _ = self.writable(request, repo)
        tree = self.store.tree(found, revision)
        files = []
        for file in (await request.json())["files"]:
            large = wants_lfs(file["path"], file["size"], base64.b64decode(file.get("sample", "")))
            present = tree.get(file["path"])
            files.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    # The client sends no file that it has in the same state.
                    "oid": present.blob if present else None,
                }
            )
        return JSONResponse({"files": files})

    @route("POST", "/api/datasets/{repo}/commit/{revision}")
    async def commit(self, request: Request, repo: str, revision: str) -> Response:
        found, identity = self.writable(request, repo)
        if "create_pr" in request.query_params:
            raise HubError(501, "The stand-in has no pull requests")
        header, *operations = map(json.loads, (await request.body()).splitlines())
        told = header["value"]

        def edit(tree: Tree) -> None:
            for operation in operations:
                self._apply(found, tree, operation["key"], operation["value"])

        oid = self.store.commit(
            found,
            revision,
            edit,
            told["summary"],
            told.get("description", ""),
            identity.user,
            told.get("parentCommit"),
        )
        url = f"{self.page(repo)}/commit/{oid}"
        return JSONResponse({"success": True, "commitOid": oid, "commitUrl": url})

    def _apply(self, repo: Repo, tree: Tree, kind: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if kind == "file":
            tree[path] = self.store.regular(base64.b64decode(value["content"]))
        elif kind == "lfsFile":
            xet = self.xet.hash_of(value["oid"]) if self.xet else None
            if not xet and value["oid"] not in repo.objects:
                raise HubError(400, f"LFS pointer pointed to a file that does not exist: {path}")
            tree[path] = self.store.large(value["oid"], xet)
        elif kind in ("deletedFile", "deletedFolder"):
            inside = f"{path.rstrip('/')}/" if kind == "deletedFolder" else None
            gone = [p for p in tree if p == path or (inside and p.startswith(inside))]
            if not gone:
                raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            for name in gone:
                del tree[name]
        else:
            raise HubError(501, f"The stand-in does not imitate {kind} in a commit")

    # Large files through git-LFS

    @route("POST", "/datasets/{repo}.git/info/lfs/objects/batch")
    async def lfs_batch(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        objects = []
        for wanted in (await request.json())["objects"]:
            told = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
            if wanted["oid"] not in found.objects:
                verify = {"href": f"{self.page(repo)}.git/info/lfs/verify", "header": {}}
                upload = self._upload(repo, wanted["oid"], wanted["size"])
                told["actions"] = {"upload": upload, "verify": verify}
            objects.append(told)
        transfer = "multipart" if self.part_size else "basic"
        return JSONResponse(
            {"transfer": transfer, "objects": objects}, media_type="application/vnd.git-lfs+json"
        )

    def _upload(self, repo: str, oid: str, size: int) -> dict[str, Any]:
        path = f"/_storage/{repo}/{oid}"
        if not self.part_size or size <= self.part_size:
            return {"href": self.signed(path, "PUT"), "header": {}}
        count = -(-size // self.part_size)
        parts = {f"{n:05}": self.signed(f"{path}/{n}", "PUT") for n in range(1, count + 1)}
        header = {"chunk_size": str(self.part_size), **parts}
        return {"href": self.signed(path, "POST"), "header": header}

    @route("POST", "/datasets/{repo}.git/info/lfs/verify")
    async def lfs_verify(self, request: Request, repo: str) -> Response:
        found, _ = self.writable(request, repo)
        if (await request.json())["oid"] not in found.objects:
            raise HubError(404, "The object is not here")
        return Response("OK")

    @route("PUT", "/_storage/{repo}/{name}")
    async def storage_put(self, request: Request, repo: str, name: str) -> Response:
        self.check_signature(request)
        part = self.store.new_part()
        try:
            with part.open("wb") as out:
                async for data in request.stream():
                    out.write(data)
            self.store.add_object(self.store.get(repo), part, name)
        finally:
            part.unlink(missing_ok=True)
        return Response(headers={"ETag": f'"{name}"'})

    @route("PUT", "/_storage/{repo}/{name}/{number}")
    async def storage_put_part(
        self, request: Request, repo: str, name: str, number: str
    ) -> Response:
        self.check_signature(request)
        data = await request.body()
        write_atomically(self.store.blob(f"{name}.{number}"), data)
        return Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    @route("POST", "/_storage/{repo}/{name}")
    async def storage_complete(self, request: Request, repo: str, name: str) -> Response:
        self.check_signature(request)
        numbers = [part["partNumber"] for part in (await request.json())["parts"]]
        part = self.store.new_part()
        with part.open("wb") as out:
            for number in numbers:
                piece = self.store.blob(f"{name}.{number}")
                out.write(piece.read_bytes())
                piece.unlink()
        self.store.add_object(self.store.get(repo), part, name)
        return Response("OK")

    @route("GET", "/_storage/{repo}/{name}")
    async def storage_get(self, request: Request, repo: str, name: str) -> Response:
        self.check_signature(request)
        return content(request, self.store.blob(name), ETag=f'"{name}"')

    @route("GET", "/datasets/{repo}/resolve/{revision}/{path}")
    async def resolve(self, request: Request, repo: str, revision: str, path: str) -> Response:
        found = self.readable(request, repo)
        sha = self.store.resolve(found, revision)
        commit = {"X-Repo-Commit": sha}
        file = self.store.tree(found, sha).get(path)
        if file is None:
            raise HubError(404, "Entry not found", "EntryNotFound", **commit)
        name = quote(path.rsplit("/", 1)[-1])
        headers = {
            **commit,
            "ETag": f'"{file.oid}"',
            "Content-Disposition": f"inline; filename*=UTF-8''{name}; filename=\"{name}\";",
        }
        if not file.sha256:
            return content(request, self.store.blob(file.oid), **headers)
        headers |= {
            "X-Linked-Etag": f'"{file.sha256}"',
            "X-Linked-Size": str(file.size),
            "Location": self.signed(f"/_storage/{repo}/{file.sha256}"),
        }
        if file.xet:
            token = f"{self.url}/api/datasets/{repo}/xet-read-token/{sha}"
            headers |= {"X-Xet-Hash": file.xet, "Link": f'<{token}>; rel="xet-auth"'}
        return Response(status_code=302, headers=headers)

    # Large files through Xet

    @route("GET", "/api/datasets/{repo}/xet-read-token/{revision}")
    async def xet_read_token(self, request: Request, repo: str, revision: str) -> Response:
        self.store.resolve(self.readable(request, repo), revision)
        return self._xet_token(request, "read")

    @route("GET", "/api/datasets/{repo}/xet-write-token/{revision}")
    async def xet_write_token(self, request: Request, repo: str, revision: str) -> Response:
        self.store.resolve(self.writable(request, repo)[0], revision)
        return self._xet_token(request, "write")

    def _xet_token(self, request: Request, scope: str) -> Response:
        if not self.xet:
            raise HubError(501, "This stand-in is without Xet: set HF_HUB_DISABLE_XET=1")
        token = self.xet_token(self.role(request), scope)
        url = f"http://{STORAGE_HOST}:{self.port}/_cas"
        expires = int(time.time()) + SIGNED_FOR
        headers = {
            "X-Xet-Cas-Url": url,
            "X-Xet-Access-Token": token,
            "X-Xet-Token-Expiration": str(expires),
        }
        told = {"casUrl": url, "accessToken": token, "exp": expires}
        return JSONResponse(told, headers=headers)

    def _cas(self, request: Request, write: bool = False) -> XetStore:
        """The store of Xet, for the holder of a token to it."""
        grant = self.xet_grant(request)
        if not (self.xet and grant):
            raise HubError(401, "No valid token")
        if write and grant[1] != "write":
            raise HubError(403, "The token is for reading")
        return self.xet

    @route("POST", "/_cas/v1/xorbs/default/{name}")
    async def xorb_put(self, request: Request, name: str) -> Response:
        new = self._cas(request, write=True).add_xorb(name, await request.body())
        return JSONResponse({"was_inserted": new})

    @route("POST", "/_cas/v1/shards")
    async def shard_put(self, request: Request) -> Response:
        self._cas(request, write=True).add_shard(await request.body())
        return JSONResponse({"result": 1})

    @route("GET", "/_cas/v1/reconstructions/{name}")
    async def reconstruction(self, request: Request, name: str) -> Response:
        store = self._cas(request)
        start, end = byte_range(request, store.file(name).size)
        return JSONResponse(store.reconstruction(name, start, end, self.signed))

    @route("GET", "/_cas/xorbs/{name}")
    async def xorb_get(self, request: Request, name: str) -> Response:
        self.check_signature(request)
        assert self.xet
        return content(request, self.xet.xorb(name))

    # A client asks for these first and does without them.
    @route("GET", "/_cas/v1/chunks/default/{name}")
    @route("POST", "/_cas/v1/xorb-grants/default/{name}")
    @route("GET", "/_cas/v2/reconstructions/{name}")
    async def newer_xet(self, request: Request, name: str) -> Response:
        raise HubError(404, "Not here")

    @route("POST", "/_cas/v2/shards")
    @route("POST", "/_cas/v1/telemetry")
    async def newer_xet_still(self, request: Request) -> Response:
        raise HubError(404, "Not here")


# What can go wrong, and what is remembered


@dataclass
class Fault:
    """What befalls the next `times` requests that `method` and `path` (searched for) fit.

    One of: `status`, answered once the request is read; `break_after`, the connection reset once
    that many bytes of the request's body are in; `cut_after`, the connection closed once that
    many bytes of the answer's body are out (the request has had its effect). `delay`, in seconds,
    comes first and may come alone.
    """

    path: str
    method: str | None = None
    status: int | None = None
    break_after: int | None = None
    cut_after: int | None = None
    delay: float = 0
    times: int = 1

    def fits(self, method: str, path: str) -> bool:
        right_method = self.method in (None, method)
        return self.times > 0 and right_method and re.search(self.path, path) is not None


NO_FAULT = Fault("")


@dataclass
class Exchange:
    """A request and what became of it. `status` stays None where no answer began."""

    method: str
    path: str
    query: str
    role: str
    status: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    fault: bool = False


class ConnectionBrokenError(Exception):
    """Unwinds a handler whose connection is to end."""

    def __init__(self, reset: bool) -> None:
        self.reset = reset


class Server(uvicorn.Server):
    """uvicorn's, but it leaves at once, and cuts off who is connected."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None
            )
        )
        self.ready = threading.Event()
        self._leaving = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self.ready.set()
        await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def leave(self) -> None:
        assert self._loop
        self._loop.call_soon_threadsafe(self._leaving.set)

    def hang_up(self, scope: Scope, reset: bool) -> None:
        """End the connection of a request: with a reset, or in order once all is sent."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "client", None) != scope["client"]:
                continue
            if reset:
                # Not lingering is what makes the system send a reset instead of an orderly end.
                own = connection.transport.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.transport.close()


class Wire:
    """Between the socket and `Api`: remembers every request and makes some fail."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.server: Server | None = None
        self.faults: list[Fault] = []
        self.log: list[Exchange] = []
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if request.url.path.startswith("/_standin/"):
            await (await self._control(request))(scope, receive, send)
            return
        # In the log before it is answered: who has the answer may look at once.
        exchange = Exchange(
            request.method, scope["raw_path"].decode(), request.url.query, self.api.role(request)
        )
        self.log.append(exchange)
        fault = self._strike(exchange)
        try:
            await asyncio.sleep(fault.delay)
            await self._serve(exchange, fault, scope, receive, send)
        except ConnectionBrokenError as broken:
            assert self.server
            self.server.hang_up(scope, broken.reset)
            # uvicorn has nothing to say of an unfinished answer once it knows.
            while (await receive())["type"] != "http.disconnect":
                pass
        except (ClientDisconnect, asyncio.CancelledError):
            pass  # the client has gone, or the stand-in is being stopped

    def _strike(self, exchange: Exchange) -> Fault:
        with self._lock:
            for fault in self.faults:
                if fault.fits(exchange.method, exchange.path):
                    fault.times -= 1
                    exchange.fault = True
                    return fault
        return NO_FAULT

    async def _serve(
        self, exchange: Exchange, fault: Fault, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def counted_receive() -> Message:
            message = await receive()
            exchange.bytes_in += len(message.get("body", b""))
            if fault.break_after is not None and exchange.bytes_in >= fault.break_after:
                raise ConnectionBrokenError(reset=True)
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
            elif exchange.method != "HEAD":
                body = message.get("body", b"")
                if (
                    fault.cut_after is not None
                    and exchange.bytes_out + len(body) >= fault.cut_after
                ):
                    body = body[: fault.cut_after - exchange.bytes_out]
                    exchange.bytes_out += len(body)
                    await send({**message, "body": body, "more_body": True})
                    raise ConnectionBrokenError(reset=False)
                exchange.bytes_out += len(body)
            await send(message)

        if fault.break_after == 0:
            raise ConnectionBrokenError(reset=True)
        app: ASGIApp = self.api
        if fault.status is not None:
            # A client that is still sending would see a broken connection instead.
            while (await counted_receive()).get("more_body"):
                pass
            app = HubError(fault.status, "A fault of the stand-in").response()
        await app(scope, counted_receive, counted_send)

    async def _control(self, request: Request) -> Response:
        """`/_standin/log` (GET, DELETE) and `/_standin/faults` (POST one, DELETE all)."""
        match request.method, request.url.path:
            case "GET", "/_standin/log":
                return JSONResponse([asdict(exchange) for exchange in self.log])
            case "DELETE", "/_standin/log":
                self.log.clear()
            case "POST", "/_standin/faults":
                self.faults.append(Fault(**await request.json()))
            case "DELETE", "/_standin/faults":
                self.faults.clear()
            case _:
                return HubError(404, "No such control").response()
        return Response("OK")


# The whole


class HubStandin:
    """The stand-in as tests use it: a server in a thread, and hands on what it holds."""

    def __init__(
        self, folder: Path, xet: bool = False, port: int = 0, part_size: int | None = None
    ) -> None:
        """`part_size`: larger files go up through LFS in parts of so many bytes."""
        self.store = Store(Path(folder))
        self.xet = xet
        self._api = Api(self.store, xet, part_size)
        self._api.port = port
        self._wire = Wire(self._api)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """On the port it had, if it was stopped."""
        # TCP by name: else asyncio does not know that it may send at once, and every answer on an
        # open connection waits 40 ms.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, self._api.port))
        listening.listen(128)
        self._api.port = listening.getsockname()[1]
        self._server = self._wire.server = Server(self._wire)
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="hub-standin", daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(10):
            raise RuntimeError("The stand-in did not start")

    def stop(self) -> None:
        """As a network that fails: who is connected is cut off, who comes is refused."""
        if self._server and self._thread:
            self._server.leave()
            self._thread.join()
            self._server = None

    # What clients are told

    @property
    def url(self) -> str:
        return self._api.url

    def token(self, role: str) -> str:
        return IDENTITIES[role].token

    def environment(self, role: str | None, home: Path) -> dict[str, str]:
        """For a subprocess that is to know this Hub only; `home` becomes its HF_HOME."""
        theirs = ("HF_", "HUGGING")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        ours |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            # Or load_dataset reports to s3.amazonaws.com, whatever the endpoint.
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": f"{HOST},{STORAGE_HOST}",
            "no_proxy": f"{HOST},{STORAGE_HOST}",
        }
        if role:
            ours["HF_TOKEN"] = self.token(role)
        if not self.xet:
            ours["HF_HUB_DISABLE_XET"] = "1"
        return ours

    # What happened, and what is to happen

    @property
    def faults(self) -> list[Fault]:
        """Append to it; the first that fits a request strikes."""
        return self._wire.faults

    @property
    def log(self) -> list[Exchange]:
        """Every request since the start, or since it was cleared."""
        return self._wire.log

    @contextmanager
    def recording(self) -> Iterator[list[Exchange]]:
        """A list that, at the end of the block, holds the requests made in it."""
        begin, made = len(self.log), list[Exchange]()
        yield made
        made += self.log[begin:]

    # What it holds

    def make_repo(
        self, repo: str, files: dict[str, bytes] | None = None, private: bool = False
    ) -> str:
        """Returns the id of its newest commit."""
        self.store.create(repo, private)
        return self.commit(repo, dict(files), "files") if files else self.head(repo)

    def commit(
        self, repo: str, files: dict[str, bytes | None], message: str, branch: str = "main"
    ) -> str:
        """Write `files` (delete where None) and return the id of the commit."""
        found = self.store.get(repo)

        def edit(tree: Tree) -> None:
            for path, data in files.items():
                if data is None:
                    del tree[path]
                else:
                    tree[path] = self._file(found, path, data)

        return self.store.commit(found, branch, edit, message, author=found.name.split("/")[0])

    def _file(self, repo: Repo, path: str, data: bytes) -> File:
        if not wants_lfs(path, len(data), data[:512]):
            return self.store.regular(data)
        sha256 = hashlib.sha256(data).hexdigest()
        part = self.store.new_part()
        part.write_bytes(data)
        self.store.add_object(repo, part, sha256)
        return self.store.large(sha256)

    def head(self, repo: str, revision: str = "main") -> str:
        """The commit a branch, tag or id stands for."""
        return self.store.resolve(self.store.get(repo), revision)

    def files(self, repo: str, revision: str = "main") -> list[str]:
        return sorted(self.store.tree(self.store.get(repo), revision))

    def file(self, repo: str, revision: str, path: str) -> bytes:
        return self.store.blob(
            self.store.tree(self.store.get(repo), revision)[path].blob
        ).read_bytes()

    def repos(self) -> list[str]:
        return self.store.names()

    def delete_repo(self, repo: str) -> None:
        self.store.delete(repo)

    def make_public(self, repo: str) -> None:
        self._change(repo, private=False)

    def make_private(self, repo: str) -> None:
        self._change(repo, private=True)

    def gate(self, repo: str, mode: str | bool = "auto") -> None:
        """Files only for the owner and who is granted; False takes the gate away."""
        self._change(repo, gated=mode)

    def grant(self, repo: str, role: str) -> None:
        granted = [*self.store.get(repo).granted, IDENTITIES[role].user]
        self._change(repo, granted=granted)

    def _change(self, repo: str, **fields: Any) -> None:
        found = self.store.get(repo)
        with self.store.lock:
            for name, value in fields.items():
                setattr(found, name, value)
            self.store.save(found)

    def delete_branch(self, repo: str, branch: str) -> None:
        refs = self.store.get(repo).refs
        self._change(repo, refs={r: c for r, c in refs.items() if r != f"refs/heads/{branch}"})

    def delete_revision(self, repo: str, revision: str) -> None:
        """Forget a commit, and the branches and tags at it, as after a rewritten history."""
        found, gone = self.store.get(repo), self.head(repo, revision)
        self._change(
            repo,
            refs={ref: commit for ref, commit in found.refs.items() if commit != gone},
            commits={oid: commit for oid, commit in found.commits.items() if oid != gone},
        )


UPLOADS = re.compile("PUT /_storage/|POST /_cas/v1/xorbs/")
DOWNLOADS = re.compile("GET (/_storage/|/_cas/xorbs/|/datasets/.*/resolve/)")


def uploaded_bytes(exchanges: list[Exchange]) -> int:
    """Content of large files sent to the Hub, through LFS or Xet."""
    return sum(x.bytes_in for x in exchanges if UPLOADS.match(f"{x.method} {x.path}"))


def downloaded_bytes(exchanges: list[Exchange]) -> int:
    """Content of files sent by the Hub, large or not."""
    sent = [x for x in exchanges if x.status in (200, 206)]
    return sum(x.bytes_out for x in sent if DOWNLOADS.match(f"{x.method} {x.path}"))


def main() -> None:
    """Serve until interrupted, for a person to try the product against."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--root", type=Path, required=True, help="where it keeps what it holds")
    parser.add_argument("--xet", action="store_true", help="large files through Xet, not LFS")
    wanted = parser.parse_args()
    with HubStandin(wanted.root, xet=wanted.xet, port=wanted.port) as hub:
        for name, value in hub.environment("owner", wanted.root.absolute() / "home").items():
            if os.environ.get(name) != value:
                print(f"export {name}={value}")
        print("# The tokens:", {role: who.token for role, who in IDENTITIES.items()}, flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
