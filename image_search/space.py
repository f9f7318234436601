"""A Space of the Hub as it is now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import RepoFile, constants, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

from image_search.errors import ConfigError
from image_search.hub import ATTRIBUTES, PATIENCE, Entry, client, telling
from image_search.space_files import MARKER, README, listed


@dataclass(frozen=True)
class Space:
    """A Space as it is now; all empty if there is none."""

    exists: bool = False
    visibility: str = "private"
    tells_visibility: bool = False
    """Whether the Hub says more than whether it is private: a protected one is one or the other."""
    address: str = ""
    commit: str | None = None
    entries: Mapping[str, Entry] = field(default_factory=dict)
    former: set[str] = field(default_factory=set)
    """The files that an earlier call wrote."""
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """What is written beside each secret; nobody is told its value."""
    hardware: set[str] = field(default_factory=set)
    """What it runs on, and what was asked for."""


def look_at_space(name: str) -> Space:
    """A Space as it is; raises ConfigError if somebody else's work is in it."""
    api = client()
    with telling(name):
        try:
            info = api.space_info(name, timeout=PATIENCE)
        except RepositoryNotFoundError:
            return Space()
        runtime = api.get_space_runtime(name)
        variables = api.get_space_variables(name)
        kept = api.get_space_secrets(name)
        found = api.list_repo_tree(name, recursive=True, revision=info.sha, repo_type="space")
        entries = {
            file.path: Entry(file.size, file.blob_id, file.lfs.sha256 if file.lfs else None)
            for file in found
            if isinstance(file, RepoFile)
        }
    told = getattr(info, "visibility", None)
    return Space(
        exists=True,
        visibility=told or ("private" if info.private else "public"),
        tells_visibility=told is not None,
        address=told_address(info),
        commit=info.sha,
        entries=entries,
        former=_former(name, info, entries),
        variables={key: variable.value for key, variable in variables.items()},
        secrets={key: secret.description or "" for key, secret in kept.items()},
        hardware={str(h) for h in (runtime.hardware, runtime.requested_hardware) if h},
    )


def _former(name: str, info: Any, entries: Mapping[str, Entry]) -> set[str]:
    """The files that an earlier call wrote. Raises ConfigError if others made this Space."""
    if MARKER in entries:
        with telling(name), disable_progress_bars():
            path = hf_hub_download(name, MARKER, repo_type="space", revision=info.sha)
        if (files := listed(Path(path).read_bytes())) is not None:
            return files
    # One that was made, and no more: perhaps by a call that was broken off.
    elif not set(entries) - {ATTRIBUTES, README} and info.sdk in (None, "gradio"):
        return set()
    strange = sorted(set(entries) - {ATTRIBUTES}) or ["nothing"]
    raise ConfigError(
        f"The Space {name} was not made by this command (it holds {strange[0]}, and no {MARKER} of "
        "ours); nothing was changed. Choose another name with --space, or delete it there first."
    )


def page_of(name: str) -> str:
    """Where keepers look at a Space."""
    return f"{constants.ENDPOINT}/spaces/{name}"


def told_address(info: Any) -> str:
    """What visitors open, if the Hub says it."""
    return info.host or (f"https://{info.subdomain}.hf.space" if info.subdomain else "")
