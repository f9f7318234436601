"""Whether what is asked for of a Space can be: names, tokens, the collection, the state.

Changes nothing. Of the collection only the manifest is read.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    disable_progress_bars,
    validate_repo_id,
)

from image_search import hub
from image_search.errors import ArtifactError, ConfigError, HubError
from image_search.hub import PATIENCE, client, telling
from image_search.manifest import BY_HAND, MANIFEST, MANIFEST_HASH, Manifest, parse_manifest
from image_search.repo import REPO
from image_search.roles import Role, names_and_roles

SPACE_TOKEN = "SPACE_TOKEN"
"""The variable here that holds a token made for the Space; without it, it gets the caller's own."""

NAME = re.compile(r"\w[\w.-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")


class Account(NamedTuple):
    """A token, and what it is called: the token itself is never said."""

    token: str | None
    called: str


class Collection(NamedTuple):
    """What a Space will serve."""

    artifact: str
    """user/name@revision, at one that stays."""
    manifest: Manifest | None
    """None: it was made by hand."""
    notes: list[str]

    @property
    def by_hand(self) -> bool:
        return self.manifest is None


def check_names(space: str, state: str, artifact: str) -> None:
    for name, example in ((space, "--space"), (state, "--state")):
        try:
            validate_repo_id(name)
        except HFValidationError:
            raise _no_name(name, example) from None
        named = REPO.fullmatch(name)
        if named is None or named["revision"]:
            raise _no_name(name, example)
    named = REPO.fullmatch(artifact)
    if named is None:
        raise ConfigError(
            f"{artifact} is no dataset of the Hub, and a Space cannot read the folders of this "
            "machine. Push the collection (python -m image_search push FOLDER user/name), and name "
            "it as user/name@version-…."
        )
    if named["repo"].lower() == state.lower():
        raise ConfigError(
            f"{state} holds the collection; what people add has to be kept in a dataset of its "
            "own. Name another with --state."
        )


def _no_name(name: str, option: str) -> ConfigError:
    return ConfigError(f"{name!r} cannot be a name on the Hub. Write {option} as user/name.")


def allowed_names(entries: Sequence[str], option: str) -> dict[str, Role]:
    """Who has which role, in the order of the alphabet. Raises ConfigError."""
    allowed: dict[str, Role] = {}
    for entry in entries:
        for name, role in names_and_roles(entry).items():
            if not NAME.fullmatch(name):
                raise ConfigError(
                    f"{option}: “{name}” is no name of the Hub. Give names, or name:role, with "
                    "commas between."
                )
            if allowed.setdefault(name, role) is not role:
                raise ConfigError(
                    f"{option}: {name} has two roles, {allowed[name]} and {role}. Give one of them."
                )
    return dict(sorted(allowed.items()))


def check_model(model: str | None) -> None:
    if model == "embedded":
        raise ConfigError(
            "The encoder `embedded` does not go along to a Space; a built collection carries its "
            "own. Build one from the dataset: python build_index.py, and push it."
        )
    if model and (Path(model).expanduser().exists() or not re.fullmatch(r"[\w./@-]+", model)):
        raise ConfigError(
            f"The model {model} is not on the Hub, and a Space cannot read the folders of this "
            "machine. Name one of the Hub, such as clip-ViT-B-32."
        )


def check_hardware(hardware: str | None) -> None:
    if hardware is None:
        return
    with telling(hardware):
        names = [one.name for one in client().list_spaces_hardware()]
    if hardware not in names:
        raise ConfigError(
            f"There is no hardware {hardware!r} for Spaces. There are: {', '.join(names)}."
        )


@contextmanager
def saying(called: str, repo: str, revision: str | None = None) -> Iterator[None]:
    """What `telling` does, with the name of the token that is at fault."""
    with telling(repo, revision):
        try:
            yield
        except GatedRepoError:
            raise HubError(
                f"{repo} is gated: its owner decides who may read it. Ask for access at "
                f"{hub.url(repo)} in a browser, with the account of {called}."
            ) from None
        except RevisionNotFoundError:
            raise  # told well enough
        except RepositoryNotFoundError:
            raise HubError(
                f"There is no dataset {repo} at {constants.ENDPOINT} that {called} may see. Check "
                f"the name; the Space needs a token that may read it: HF_TOKEN, or {SPACE_TOKEN} "
                "for one of its own."
            ) from None
        except HfHubHTTPError as error:
            match error.response.status_code:
                case 401:
                    raise HubError(
                        f"The Hub does not accept {called}. Make another one at "
                        f"{constants.ENDPOINT}/settings/tokens."
                    ) from None
                case 403:
                    raise HubError(
                        f"The Hub does not let {called} write {repo}. Give it that right at "
                        f"{constants.ENDPOINT}/settings/tokens, or use another."
                    ) from None
            raise


def check_account(account: Account, repos: Sequence[str]) -> None:
    """Raise HubError if a token is not accepted, only reads, or is of somebody else."""
    with saying(account.called, repos[0]):
        who = client().whoami(token=account.token)
    token = who.get("auth", {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise HubError(
            f"{repos[0]} could not be written with {account.called}: it only reads. Make one that "
            f"writes at {constants.ENDPOINT}/settings/tokens."
        )
    names = {who["name"].lower(), *(org["name"].lower() for org in who.get("orgs", []))}
    for repo in repos:
        owner = repo.partition("/")[0]
        # Of a fine-grained token the Hub need not tell all organisations.
        if token.get("role") == "write" and owner.lower() not in names:
            raise HubError(
                f"{account.called[0].upper()}{account.called[1:]} is {who['name']}'s, who may not "
                f"write {repo}. Name one of {who['name']}'s own, or use another token."
            )


def find_collection(artifact: str, model: str | None, account: Account) -> Collection:
    """The collection at a version that stays, seen with the token that the Space will have.

    Of its files only the manifest is read.
    """
    named = REPO.fullmatch(artifact)
    assert named is not None
    repo, revision = named["repo"], named["revision"]
    api = client()
    api.token = account.token
    with saying(account.called, repo, revision):
        info = api.dataset_info(repo, revision=revision, timeout=PATIENCE)
        api.auth_check(repo, repo_type="dataset")  # of a gated one everybody may know the names
        refs = api.list_repo_refs(repo, repo_type="dataset")
    by_hand = MANIFEST not in {sibling.rfilename for sibling in info.siblings or []}
    manifest, version = None, ""
    if not by_hand:
        manifest, version = _manifest(api, account, artifact, repo, str(info.sha))
    if by_hand and not model:
        raise ArtifactError(
            f"{artifact} is not a collection that this program pushed ({MANIFEST} is "
            f"missing). Push one: python -m image_search push DIR {repo}. {BY_HAND}"
        )
    notes = []
    if model and not by_hand:
        notes.append(f"{repo} carries its own model; --model {model} was left out.")
    tags = {tag.name for tag in refs.tags}
    if revision in tags or (revision and COMMIT.fullmatch(revision)):
        return Collection(f"{repo}@{revision}", manifest, notes)
    pinned = f"{repo}@{version if version in tags else info.sha}"
    notes.append(
        f"{artifact} may change, so the Space serves what it is now: {pinned}. "
        "For a later version give the command again."
    )
    return Collection(pinned, manifest, notes)


def _manifest(
    api: HfApi, account: Account, name: str, repo: str, commit: str
) -> tuple[Manifest, str]:
    """What a commit holds, and the tag that a push gives it. Raises ArtifactError if damaged."""

    def broken(what: str) -> ArtifactError:
        return ArtifactError(
            f"The collection {name} on the Hub is damaged: {what}. Push it again: "
            f"python -m image_search push DIR {repo}"
        )

    with saying(account.called, repo), disable_progress_bars():
        data, told = (
            Path(api.hf_hub_download(repo, file, repo_type="dataset", revision=commit)).read_bytes()
            for file in (MANIFEST, MANIFEST_HASH)
        )
    manifest, version = parse_manifest(data, told, name, broken)
    return manifest, f"version-{version[:12]}"


def check_state(state: str, account: Account) -> bool:
    """Whether the dataset for what people add is there. Raises ConfigError if it cannot be used."""
    api = client()
    with telling(state):
        try:
            info = api.dataset_info(state, timeout=PATIENCE)
        except RepositoryNotFoundError:
            return False
    if not info.private:
        raise ConfigError(
            f"{state} is public: everybody could see who is let in, and what they search. Nothing "
            f"was changed. Make it private at {hub.url(state)}/settings, or name another with "
            "--state."
        )
    if MANIFEST in {sibling.rfilename for sibling in info.siblings or []}:
        raise ConfigError(
            f"{state} holds a collection; what people add has to be kept in a dataset of its own. "
            "Name another with --state."
        )
    check_writing(state, account)
    return True


def check_writing(state: str, account: Account) -> None:
    with saying(account.called, state):
        client().auth_check(state, repo_type="dataset", token=account.token, write=True)
