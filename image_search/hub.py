"""The Hugging Face Hub: what a dataset's repository holds, and what its refusals mean.

Which Hub, and as whom, is huggingface_hub's own business: HF_ENDPOINT, HF_TOKEN, `hf auth login`.
"""

import errno
import hashlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

import image_search
from image_search.errors import HubError
from image_search.manifest import FileInfo

ATTRIBUTES = ".gitattributes"
"""The Hub's own file in every repository."""

PATIENCE = 10
"""Seconds until a Hub that says nothing is taken to be out of reach."""

DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENAMETOOLONG),
}
"""What an OSError is about if it is about this machine's disk, and not about the network."""

FULL = os.strerror(errno.ENOSPC)

TOKEN = "your token (HF_TOKEN, or that of `hf auth login`)"
ADVICE = "set HF_TOKEN to one that may, or run `hf auth login`"


@dataclass(frozen=True)
class Entry:
    """A file in a repository, as the Hub lists it."""

    size: int
    blob: str
    """git's name of it: a hash of its content, or of what stands for it if it is a large file."""
    sha256: str | None
    """Of large files only."""

    def holds(self, path: Path, info: FileInfo) -> bool:
        """Whether it is the same as a file here, of which `info` is known."""
        if self.size != info.bytes:
            return False
        if self.sha256 is not None:
            return self.sha256 == info.sha256
        return self.blob == git_hash(path.read_bytes())


@dataclass(frozen=True)
class State:
    """A dataset's repository at one commit."""

    repo: str
    commit: str
    private: bool
    gated: bool
    """Whether its owner decides who may read it."""
    entries: dict[str, Entry]


def client() -> HfApi:
    """huggingface_hub's client; what goes wrong it raises, and does not log as well: the addresses
    it would log may hold signatures that let anyone read."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Not enough free disk space")  # an error follows
    return HfApi(library_name="image-search", library_version=image_search.__version__)


def look(repo: str, revision: str | None = None) -> State:
    """What a repository holds at a revision (default: main). Raises HubError."""
    with telling(repo, revision):
        info = client().dataset_info(repo, revision=revision, files_metadata=True, timeout=PATIENCE)
    entries = {
        sibling.rfilename: Entry(
            sibling.size or 0, sibling.blob_id or "", sibling.lfs.sha256 if sibling.lfs else None
        )
        for sibling in info.siblings or []
    }
    if not info.sha:
        raise HubError(f"{repo} has no commit yet. Push a collection into it first.")
    return State(repo, info.sha, bool(info.private), bool(info.gated), entries)


def versions(repo: str) -> list[str]:
    """The tags of a repository, as far as they can be had."""
    try:
        return [tag.name for tag in client().list_repo_refs(repo, repo_type="dataset").tags]
    except (httpx2.HTTPError, OSError, RuntimeError):
        return []


def url(repo: str) -> str:
    """Where people look at a dataset."""
    return f"{constants.ENDPOINT}/datasets/{repo}"


def git_hash(data: bytes) -> str:
    """git's name of a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def telling(repo: str, revision: str | None = None) -> Iterator[None]:
    """Turn whatever the Hub's client raises into a HubError that says what to do.

    Not what the disk raises: OSErrors of their own.
    """
    try:
        yield
    except HubError:
        raise
    except (httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        cause = _cause(error)
        if isinstance(cause, OSError) and cause.errno in DISK:
            raise cause from None
        if FULL in str(cause):  # as Xet's client says it
            raise OSError(errno.ENOSPC, FULL) from None
        raise HubError(_told(cause, repo, revision)) from None


def _cause(error: BaseException) -> BaseException:
    """What lies under the errors by which the client says that it did not succeed."""
    while error.__cause__ and not isinstance(error, httpx2.HTTPError):
        error = error.__cause__
    return error


def _told(error: BaseException, repo: str, revision: str | None) -> str:
    here = constants.ENDPOINT
    match error:
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set, so the Hub may not be asked. Unset it."
        case GatedRepoError():
            return (
                f"{repo} is gated: its owner decides who may read it. Ask for access at "
                f"{url(repo)} in a browser, with the account of your token."
            )
        case RevisionNotFoundError():
            there = ", ".join(versions(repo)) or "none"
            return (
                f"{repo} has no revision {revision}; its versions are: {there}. "
                "Name one of them after the @, or nothing for the newest."
            )
        case RepositoryNotFoundError():
            asked = f"that {TOKEN} may see" if get_token() else "that is public"
            return (
                f"There is no folder {repo} here, and at {here} no dataset of that name {asked}. "
                "Check the name; a private dataset needs a token that may read it: set HF_TOKEN, "
                "or run `hf auth login`."
            )
        case HFValidationError():
            return f"{repo} is no name of a dataset: it has to be user/name."
        case LocalTokenNotFoundError():
            return "The Hub has to know who you are: set HF_TOKEN, or run `hf auth login`."
        case HfHubHTTPError():
            return _told_status(error, repo)
        case httpx2.TimeoutException():
            return f"The Hub ({here}) does not answer. Try again when it can be reached."
        case _:
            return f"The Hub ({here}) cannot be reached: {_short(error)}. Try again when it can."


def _told_status(error: HfHubHTTPError, repo: str) -> str:
    match status := error.response.status_code:
        case 401:
            return (
                f"The Hub does not accept {TOKEN}. Make another one at "
                f"{constants.ENDPOINT}/settings/tokens."
            )
        case 403:
            return f"The Hub does not allow that with {repo} for {TOKEN}: {ADVICE}."
        case 429:
            return "The Hub was asked too often (429). Try again in some minutes."
        case _ if status < 500:
            reason = f"{error.server_message or 'it does not say why'}".rstrip(".")
            return f"The Hub refused something of {repo} (it answered {status}): {reason}."
        case _:
            return f"The Hub failed (it answered {status}). Try again in a while."


def _short(error: BaseException) -> str:
    """The first line of an error, without what addresses may give away."""
    lines = str(error).strip().splitlines()
    return lines[0].partition("http")[0][:200].rstrip(" .:") if lines else type(error).__name__
