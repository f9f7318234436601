"""Pushing a built collection into a dataset's repository on the Hub.

A version gets there in one commit, after all that is large was uploaded: whoever reads `main` has
the former version or the new one, never a mixture. Then it is tagged `version-…`. Broken off at
any moment, nothing has changed there, and the same call goes on: what was uploaded is known.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    constants,
    hf_hub_download,
)
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

from image_search import hub
from image_search.artifact import Artifact
from image_search.card import is_untouched, named
from image_search.card_results import model_index_of, with_model_index
from image_search.errors import ConfigError, HubError
from image_search.hub import ATTRIBUTES, State, client, look, telling
from image_search.manifest import (
    CARD,
    EVALUATION,
    MANIFEST,
    MANIFEST_HASH,
    FileInfo,
    broken,
    file_info,
)
from image_search.repo import REPO

BATCH_BYTES, BATCH_FILES = 256_000_000, 100
"""What is uploaded between two steps of the progress, and at most again after a break."""

WAITS = (2, 10, 30)
"""Seconds before each further try to make the commit, if the Hub failed."""

Progress = Callable[[int, int], object]
"""Told how many bytes of how many are done."""


def quiet(done: int, total: int) -> None:
    """No progress."""


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    repo: str
    url: str
    tag: str
    """Names this version for ever: open `repo@tag`."""
    commit: str
    private: bool
    files: int
    """How many were written; 0: this version was there already."""
    bytes: int
    """How many these have; less went over the wire if the Hub knew parts of them."""
    notes: list[str]
    """What the keeper should know."""


def push(
    folder: Path,
    repo: str,
    public: bool = False,
    progress: Progress = quiet,
) -> Pushed:
    """Put the built collection of a folder into the repository `user/name`, as a new version.

    The repository is made if there is none, private unless `public`. The account is that of
    HF_TOKEN or `hf auth login`. Raises ArtifactError if the folder holds no whole collection,
    ConfigError if the repository is public and `public` was not said, or if it holds what no
    push wrote; HubError if the Hub refuses or cannot be reached.
    """
    _check_name(repo)
    artifact = Artifact.open(Path(folder))
    _check_token(repo)
    state = _make_or_find(repo, public)
    plan = _plan(artifact, state)
    if public and state.private:
        plan.notes.append(f"{repo} exists and is private, and stays so; see its settings.")
    commit = state.commit
    if plan.operations:
        try:
            _upload(artifact, repo, plan, progress)
        except HubError as error:
            raise HubError(
                f"{error} Nothing in {repo} has changed; the same command goes on from here."
            ) from None
        commit = _commit(artifact, state, plan)
    tag = f"version-{artifact.short_version}"
    commit = _tag(repo, tag, commit, plan)
    return Pushed(
        repo=repo,
        url=f"{hub.url(repo)}/tree/{tag}",
        tag=tag,
        commit=commit,
        private=state.private,
        files=len(plan.operations),
        bytes=sum(addition.upload_info.size for addition in plan.additions),
        notes=plan.notes,
    )


def check_push(repo: str, public: bool = False) -> None:
    """Raise what `push` would raise for want of a token or because of what is there already.

    Changes nothing: for a build that will push after hours of work.
    """
    _check_name(repo)
    _check_token(repo)
    with telling(repo):
        exists = client().repo_exists(repo, repo_type="dataset")
    if exists:
        state = look(repo)
        _check_audience(state, public)
        _check_strangers(state)


@dataclass
class _Plan:
    """What has to become of a repository, and what it has to hold then."""

    folder: Path
    wanted: dict[str, FileInfo]
    additions: list[CommitOperationAdd] = field(default_factory=list)
    deletions: list[CommitOperationDelete] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def operations(self) -> list[CommitOperationAdd | CommitOperationDelete]:
        return [*self.additions, *self.deletions]

    def missing(self, state: State) -> list[str]:
        """What a commit does not hold as it should."""
        return [name for name in self.wanted if not self.is_held(state, name)]

    def is_held(self, state: State, name: str) -> bool:
        entry = state.entries.get(name)
        return entry is not None and entry.holds(self.folder / name, self.wanted[name])


def _check_name(repo: str) -> None:
    named_repo = REPO.fullmatch(repo)
    if named_repo is None or named_repo["revision"]:
        raise ConfigError(f"{repo!r} is no name of a repository. Write it as user/name.")


def _check_token(repo: str) -> None:
    """Raise HubError if nobody is logged in, or with a token that only reads."""
    with telling(repo):
        who = client().whoami()
    token = who.get("auth", {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise HubError(
            f"You may not write with {hub.TOKEN}: it only reads. Make one that writes at "
            f"{constants.ENDPOINT}/settings/tokens."
        )
    name, owner = who["name"], repo.partition("/")[0]
    names = {name, *(org["name"] for org in who.get("orgs", []))}
    # Of a fine-grained token the Hub need not tell all organisations.
    if token.get("role") == "write" and owner.lower() not in map(str.lower, names):
        raise HubError(
            f"{hub.TOKEN[0].upper()}{hub.TOKEN[1:]} is {name}'s, who may not write for {owner}. "
            f"Push to {name}/{repo.partition('/')[2]}, or {hub.ADVICE}."
        )


def _make_or_find(repo: str, public: bool) -> State:
    """The repository, made if need be. Raises ConfigError if more people could see it than said."""
    with telling(repo):
        client().create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
    state = look(repo)
    _check_audience(state, public)
    return state


def _check_audience(state: State, public: bool) -> None:
    if not state.private and not public:  # `private` says nothing of one that exists
        raise ConfigError(
            f"{state.repo} is public: everybody could see this collection. Nothing was uploaded. "
            f"Say --public if that is meant, else make it private at {hub.url(state.repo)}/settings"
        )


def _check_strangers(state: State) -> None:
    strange = sorted(_others(state) - _former_files(state))
    if strange:
        raise ConfigError(
            f"{state.repo} holds files that no push wrote, for example {strange[0]}; nothing was "
            "changed. Push into another repository, or delete them there first."
        )


def _plan(artifact: Artifact, state: State) -> _Plan:
    """Compare. Raises ConfigError if something would be lost."""
    folder = artifact.path
    wanted = {name: info for name, info in artifact.manifest.files.items() if name != CARD}
    wanted |= {name: file_info(folder / name) for name in (MANIFEST, MANIFEST_HASH)}
    plan = _Plan(folder, wanted)
    _check_strangers(state)
    plan.additions += [CommitOperationAdd(name, folder / name) for name in plan.missing(state)]
    gone = sorted(_others(state) - set(wanted))
    plan.deletions += [CommitOperationDelete(name) for name in gone]
    _plan_card(plan, state)
    return plan


def _others(state: State) -> set[str]:
    """What is there beside the card, the Hub's own file, and reports, which outlive a version."""
    names = set(state.entries) - {CARD, ATTRIBUTES}
    return {name for name in names if not name.startswith(EVALUATION)}


def _plan_card(plan: _Plan, state: State) -> None:
    text = named((plan.folder / CARD).read_text(encoding="utf-8"), state.repo)
    there = state.entries.get(CARD)
    if there and there.blob == hub.git_hash(text.encode()):
        return
    if there:
        held = _download(state, CARD).read_text(encoding="utf-8")
        if not is_untouched(held):
            plan.notes.append(
                f"The card of {state.repo} was changed by hand and is kept; the one of this "
                f"version is {plan.folder / CARD}."
            )
            return
        text = with_model_index(text, model_index_of(held))
        if text == held:
            return
    plan.additions.append(CommitOperationAdd(CARD, text.encode()))


def _former_files(state: State) -> set[str]:
    """The files of the version that is there; none if it is no collection of ours.

    The manifest need not be whole: a push mends what was changed by hand, and git keeps it.
    """
    if MANIFEST not in state.entries:
        return set()
    try:
        raw = json.loads(_download(state, MANIFEST).read_bytes())
        return {MANIFEST, MANIFEST_HASH, *raw["files"]}
    except (ValueError, LookupError, TypeError):
        return set()


def _download(state: State, name: str) -> Path:
    with telling(state.repo), disable_progress_bars():
        return Path(hf_hub_download(state.repo, name, repo_type="dataset", revision=state.commit))


def _upload(artifact: Artifact, repo: str, plan: _Plan, progress: Progress) -> None:
    """Upload all that is large, and see that it is what was built."""
    total = sum(addition.upload_info.size for addition in plan.additions)
    done = 0
    progress(done, total)
    for batch in _batches(plan.additions):
        with telling(repo), disable_progress_bars():
            client().preupload_lfs_files(
                repo, additions=batch, repo_type="dataset", free_memory=False
            )
        for addition in batch:
            name, info = addition.path_in_repo, addition.upload_info
            if name != CARD and info.sha256.hex() != plan.wanted[name].sha256:
                raise broken(artifact.path, f"{name} is not what was built (its sha256 differs)")
            done += info.size
        progress(done, total)


def _batches(additions: list[CommitOperationAdd]) -> Iterator[list[CommitOperationAdd]]:
    batch: list[CommitOperationAdd] = []
    for addition in additions:
        batch.append(addition)
        size = sum(addition.upload_info.size for addition in batch)
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _commit(artifact: Artifact, state: State, plan: _Plan) -> str:
    """Make the commit, and see that it holds this version; its id."""
    for wait in (0, *WAITS):
        time.sleep(wait)
        with telling(state.repo):
            commit = _try_commit(artifact, state, plan)
        if commit is not None:
            return _checked(look(state.repo, commit), plan)
    raise HubError(
        f"The Hub took all files, but failed {len(WAITS) + 1} times to make them a version of "
        f"{state.repo}, which has not changed. The same command later is quick."
    )


def _try_commit(artifact: Artifact, state: State, plan: _Plan) -> str | None:
    """The id of the commit; None if the Hub failed, and may not the next time.

    Raises HubError if somebody else's came first.
    """
    try:
        with disable_progress_bars():
            made = client().create_commit(
                state.repo,
                plan.operations,
                commit_message=f"Version {artifact.short_version}",
                repo_type="dataset",
                parent_commit=state.commit,
            )
        return made.oid
    except (HfHubHTTPError, httpx2.TransportError) as error:
        now = look(state.repo)
        # It may have been made though the answer was lost, or by the same push beside us.
        if not plan.missing(now):
            return now.commit
        if now.commit != state.commit:
            raise _beaten(state.repo) from None
        if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
            raise
        return None


def _checked(state: State, plan: _Plan) -> str:
    if missing := plan.missing(state):
        raise HubError(
            f"The Hub does not hold {missing[0]} as it was uploaded, so the version was not "
            f"tagged. Push it again: python -m image_search push {plan.folder} {state.repo}"
        )
    return state.commit


def _beaten(repo: str) -> HubError:
    return HubError(
        f"Another push into {repo} came first. See what it holds now: {hub.url(repo)}. "
        "The same command again puts this version on top of it."
    )


def _tag(repo: str, tag: str, commit: str, plan: _Plan) -> str:
    """Have a tag for this version; the commit that it names."""
    for wait in (0, *WAITS):
        time.sleep(wait)
        with telling(repo):
            try:
                client().create_tag(repo, tag=tag, revision=commit, repo_type="dataset")
                return commit
            except HfHubHTTPError as error:
                if error.response.status_code == 409:
                    break
                if error.response.status_code < 500:
                    raise
    else:
        raise HubError(
            f"{repo} has the new version, but the Hub failed to tag it as {tag}. The same command "
            "again does only that."
        )
    tagged = look(repo, tag)
    if plan.missing(tagged):
        raise HubError(
            f"The tag {tag} of {repo} names something else than this version. Delete it there, "
            "and push again."
        )
    return tagged.commit
