"""Making a Space of the Hub that serves a built collection to named people, and keeping it so.

Everything is looked at first, and nothing is changed if anything is wrong. Then only what differs
is changed, in an order in which a Space never runs without its gate: who is let in before the
program, the program before more people can reach it. Broken off, the same call goes on.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    constants,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

from image_search import hub
from image_search.allow_list import AllowList
from image_search.deploy_checks import (
    SPACE_TOKEN,
    Account,
    Collection,
    allowed_names,
    check_account,
    check_hardware,
    check_model,
    check_names,
    check_state,
    check_writing,
    find_collection,
)
from image_search.errors import ConfigError, HubError
from image_search.evaluation_report import parsed
from image_search.hub import PATIENCE, client, telling
from image_search.remote import published_reports
from image_search.roles import Role, names_and_roles
from image_search.space import Space, look_at_space, page_of, told_address
from image_search.space_files import space_files
from image_search.standing import HOW_TO_OPEN, foreseen
from image_search.state import State

Visibility = Literal["private", "protected", "public"]

CONTACT = "IMAGE_SEARCH_CONTACT"

TOKEN, SECRET = "HF_TOKEN", "IMAGE_SEARCH_SECRET"
"""The secrets of a Space: what it reads and writes the Hub with, and what signs its sessions."""


@dataclass(frozen=True)
class Wanted:
    """What a Space is to be."""

    space: str
    artifact: str
    """user/name, or user/name@revision."""
    users: Sequence[str] = ()
    """Accounts, each as `name` or `name:role`; several may stand in one, with commas between."""
    orgs: Sequence[str] = ()
    hardware: str | None = None
    visibility: Visibility | None = None
    """None: private if it is made, else as it is."""
    state: str = ""
    """The dataset that keeps what people add; empty: that of the Space, with `-state` behind."""
    contact: str | None = None
    """None: as it is."""
    model: str | None = None


@dataclass(frozen=True)
class Deployed:
    """What a call did, or would do."""

    space: str
    address: str
    """What visitors open."""
    page: str
    """The Space on the Hub, for its keepers."""
    visibility: str
    artifact: str
    """The collection, pinned to a version."""
    state: str
    users: dict[str, str]
    """Who is let in, with their roles."""
    orgs: dict[str, str]
    changes: list[str]
    """Empty: all was as it is wanted already."""
    notes: list[str]
    """What the keeper should know."""
    dry_run: bool


class Step(NamedTuple):
    """Something to change."""

    text: str
    do: Callable[[], object]


@dataclass(frozen=True)
class _Plan:
    """What was found, and what is to be changed."""

    state: str
    state_exists: bool
    users: dict[str, Role]
    orgs: dict[str, Role]
    space: Space
    collection: Collection
    steps: list[Step]


def deploy(wanted: Wanted, space_token: str | None = None, dry_run: bool = False) -> Deployed:
    """Make or update the Space `wanted.space`; with `dry_run` only say what that would change.

    `space_token` is what the Space will ask the Hub with; without it, the caller's own token,
    HF_TOKEN or that of `hf auth login`. Raises ConfigError if something is asked for that cannot be
    or that would show more than was said, ArtifactError if the dataset is no built collection,
    HubError if the Hub refuses or cannot be reached.
    """
    plan = _plan(wanted, space_token)
    state = State.open(plan.state, make=False) if plan.state_exists else None
    if not dry_run:
        _run(wanted.space, plan.steps)
    exists = plan.space.exists or not dry_run
    visibility = wanted.visibility or plan.space.visibility
    return Deployed(
        space=wanted.space,
        address=plan.space.address or _address(wanted.space, exists),
        page=page_of(wanted.space),
        visibility=visibility,
        artifact=plan.collection.artifact,
        state=plan.state,
        users={name: str(role) for name, role in plan.users.items()},
        orgs={name: str(role) for name, role in plan.orgs.items()},
        changes=[step.text for step in plan.steps],
        notes=[
            *plan.collection.notes,
            *_about_changes(plan, state),
            *_about_visibility(wanted.space, visibility),
            *_about_token(plan, space_token),
            *_about_test(plan, state),
        ],
        dry_run=dry_run,
    )


def _plan(wanted: Wanted, space_token: str | None) -> _Plan:
    """Look at everything. Raises what `deploy` raises for what is wrong before it begins."""
    name, state = wanted.space, wanted.state or f"{wanted.space}-state"
    check_names(name, state, wanted.artifact)
    users = allowed_names(wanted.users, "--allow-user")
    orgs = allowed_names(wanted.orgs, "--allow-org")
    if not users and not orgs:
        raise ConfigError(
            "Nobody would be let in. Name at least one account (--allow-user NAME) or organisation "
            "(--allow-org NAME) of the Hub."
        )
    check_model(wanted.model)
    account = own = Account(None, hub.TOKEN)
    check_account(own, [name, state])
    if space_token:
        account = Account(space_token, SPACE_TOKEN)
        check_account(account, [state])
    space = look_at_space(name)
    _check_audience(wanted, space)
    check_hardware(wanted.hardware)
    collection = find_collection(wanted.artifact, wanted.model, account)
    state_exists = check_state(state, account)
    steps = [] if state_exists else [_make_state(state, account)]
    kept = space.variables.get(CONTACT, "")
    contact = kept if wanted.contact is None else " ".join(wanted.contact.split())
    variables = {
        "IMAGE_SEARCH_ACCESS": "huggingface",
        "IMAGE_SEARCH_ALLOW_USERS": _written(users),
        "IMAGE_SEARCH_ALLOW_ORGS": _written(orgs),
        "IMAGE_SEARCH_ARTIFACT": collection.artifact,
        "IMAGE_SEARCH_STATE": state,
        CONTACT: contact,
        "IMAGE_SEARCH_MODEL": wanted.model or "" if collection.by_hand else "",
    }
    steps += [
        *_make_space(wanted, space),
        *_set_variables(name, space, variables),
        *_set_secrets(name, space, space_token),
        *_write_files(name, space, space_files(name, contact, collection.by_hand)),
        *_open_up(wanted, space),
        *_set_hardware(wanted, space),
    ]
    return _Plan(state, state_exists, users, orgs, space, collection, steps)


def _written(allowed: Mapping[str, Role]) -> str:
    """The same as a setting has it."""
    plain = Role.MEMBER
    return ",".join(n if role is plain else f"{n}:{role}" for n, role in allowed.items())


def _check_audience(wanted: Wanted, space: Space) -> None:
    """Raise ConfigError if more people could see the Space than was said."""
    if space.visibility == "public" and wanted.visibility is None:
        raise ConfigError(
            f"The Space {wanted.space} is not private: everybody can see more of it than was said. "
            "Nothing was changed. Say --visibility public or --visibility protected if that is "
            "meant, or --visibility private to make it private."
        )


# What is to be changed


def _make_state(state: str, account: Account) -> Step:
    def make() -> None:
        client().create_repo(state, repo_type="dataset", visibility="private")
        check_writing(state, account)

    return Step(f"the private dataset {state} is made, for what people add", make)


def _make_space(wanted: Wanted, space: Space) -> Iterator[Step]:
    """Make it; or shut it, before anything else, if that was said."""
    name, visibility = wanted.space, wanted.visibility or "private"
    if not space.exists:
        hardware = f", on {wanted.hardware}" if wanted.hardware else ""
        make = partial(
            client().create_repo,
            name,
            repo_type="space",
            space_sdk="gradio",
            visibility=visibility,
            # At once: some accounts may have no Space on what is free.
            space_hardware=wanted.hardware,  # type: ignore[arg-type]
        )
        yield Step(f"the Space {name} is made ({visibility}{hardware})", make)
    elif wanted.visibility == "private":
        yield from _set_visibility(wanted, space)


def _open_up(wanted: Wanted, space: Space) -> Iterator[Step]:
    """Let more people reach it, now that its gate is there."""
    if space.exists and wanted.visibility in ("protected", "public"):
        yield from _set_visibility(wanted, space)


def _set_visibility(wanted: Wanted, space: Space) -> Iterator[Step]:
    if wanted.visibility == space.visibility and space.tells_visibility:
        return
    now = "" if space.tells_visibility else " (the Hub does not say whether it was)"
    yield Step(
        f"the Space is made {wanted.visibility}{now}",
        partial(
            client().update_repo_settings,
            wanted.space,
            repo_type="space",
            visibility=wanted.visibility,
        ),
    )


def _set_variables(name: str, space: Space, wanted: Mapping[str, str]) -> Iterator[Step]:
    """Only what differs: each one starts the Space anew. What else a keeper set there stays."""
    for key, value in wanted.items():
        if value and space.variables.get(key) != value:
            do = partial(client().add_space_variable, name, key, value)
            yield Step(f"the variable {key} becomes {value}{_dropped(key, space, value)}", do)
        elif not value and key in space.variables:
            do = partial(client().delete_space_variable, name, key)
            yield Step(f"the variable {key} is deleted", do)


def _dropped(key: str, space: Space, value: str) -> str:
    """Who is let in no more by another list."""
    if not key.startswith("IMAGE_SEARCH_ALLOW_"):
        return ""
    former = names_and_roles(space.variables.get(key, ""))
    gone = sorted(set(former) - set(names_and_roles(value)))
    return f" (no longer let in: {', '.join(gone)})" if gone else ""


def _set_secrets(name: str, space: Space, space_token: str | None) -> Iterator[Step]:
    token = space_token or get_token() or ""
    source = SPACE_TOKEN if space_token else TOKEN
    if not _keeps_token(space, space_token):
        # It cannot be read back; what stands beside it tells whether it is another one.
        mark = hashlib.sha256(f"{name} {token}".encode()).hexdigest()[:12]
        note = f"{_from(source)} ({mark})."
        if space.secrets.get(TOKEN) != note:
            do = partial(client().add_space_secret, name, TOKEN, token, description=note)
            whose = SPACE_TOKEN if space_token else "your own token"
            yield Step(f"the secret {TOKEN} becomes {whose}", do)
    if SECRET not in space.secrets:
        made = secrets.token_urlsafe(48)
        note = "Signs sessions. Another one signs everybody out."
        do = partial(client().add_space_secret, name, SECRET, made, description=note)
        yield Step(f"the secret {SECRET} is made by chance", do)


def _keeps_token(space: Space, space_token: str | None) -> bool:
    """Whether it has one that was made for it, and no other was given now."""
    there = space.secrets.get(TOKEN)
    return not space_token and there is not None and not there.startswith(_from(TOKEN))


def _from(source: str) -> str:
    return f"Set by deploy from {source}"


def _write_files(name: str, space: Space, files: Mapping[str, bytes]) -> Iterator[Step]:
    """One commit with all that differs, or none."""
    added = [path for path, data in files.items() if not _holds(space, path, data)]
    gone = sorted(space.former & set(space.entries) - set(files))
    if not added and not gone:
        return
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(path, files[path]) for path in added),
        *(CommitOperationDelete(path) for path in gone),
    ]

    def commit() -> None:
        with disable_progress_bars():
            client().create_commit(
                name,
                operations,
                commit_message="Deploy",
                repo_type="space",
                parent_commit=space.commit,
            )

    counts = [f"{len(added)} written"] * bool(added) + [f"{len(gone)} deleted"] * bool(gone)
    yield Step(f"files of the program: {', '.join(counts)}", commit)


def _holds(space: Space, path: str, data: bytes) -> bool:
    entry = space.entries.get(path)
    if entry is None:
        return False
    if entry.sha256 is not None:
        return entry.sha256 == hashlib.sha256(data).hexdigest()
    return entry.blob == hub.git_hash(data)


def _set_hardware(wanted: Wanted, space: Space) -> Iterator[Step]:
    if space.exists and wanted.hardware and wanted.hardware not in space.hardware:
        ask = partial(client().request_space_hardware, wanted.space, wanted.hardware)  # type: ignore[arg-type]
        yield Step(f"the hardware {wanted.hardware} is asked for", ask)


def _run(name: str, steps: Sequence[Step]) -> None:
    for number, step in enumerate(steps):
        try:
            with telling(name):
                _try(name, step)
        except HubError as error:
            raise HubError(
                f"{error} {number} of {len(steps)} steps were done; the same command goes on from "
                "here."
            ) from None


def _try(name: str, step: Step) -> None:
    try:
        step.do()
    except RepositoryNotFoundError:
        raise HubError(
            f"The Space {name} is gone, or {hub.TOKEN} may not change it: {hub.ADVICE}."
        ) from None
    except HfHubHTTPError as error:
        if error.response.status_code == 402:
            raise HubError(
                f"The Hub wants to be paid for {name}: on the free hardware a Space like this one "
                "needs PRO for a person, Team or Enterprise for an organisation; paid hardware "
                "(--hardware) needs only a way to pay. See "
                f"{constants.ENDPOINT}/pricing."
            ) from None
        raise


# What is told


def _address(name: str, exists: bool) -> str:
    """What visitors open: as the Hub says it, or as it makes it."""
    if exists:
        with telling(name):
            if told := told_address(client().space_info(name, timeout=PATIENCE)):
                return told
    return f"https://{re.sub('[^a-z0-9]', '-', name.lower())}.hf.space"


def _about_test(plan: _Plan, state: State | None) -> list[str]:
    """What the page will say of tests in the domain, and what that means for opening it to all."""
    if plan.collection.manifest is None:
        return []
    published = map(parsed, published_reports(plan.collection.artifact.partition("@")[0]))
    now = foreseen(plan.collection.manifest, [one for one in published if one], state)
    if now.verdict == "passed":
        return [now.said]
    return [f"{now.said} The page says so above the pictures. {HOW_TO_OPEN}"]


def _about_changes(plan: _Plan, state: State | None) -> list[str]:
    """What `member add` and `member remove` have changed since: it counts more than a list here."""
    if state is None:
        return []
    notes = []
    for (name, org), role in sorted(AllowList(state).changes().items()):
        listed = (plan.orgs if org else plan.users).get(name)
        if role is None and listed:
            notes.append(
                f"{name} was taken off by `member remove` and stays out; `member add {name}` lets "
                "them in again."
            )
        elif role is not None and role is not listed:
            notes.append(f"{name} is let in as {role}, by `member add`.")
    return notes


def _about_visibility(space: str, visibility: str) -> list[str]:
    owner = space.partition("/")[0]
    match visibility:
        case "private":
            return [
                f"A private Space can be opened only by {owner} (if that is an organisation: by "
                "its members). For others on the list say --visibility protected: the files stay "
                "private, everybody can reach the sign-in page, and only the list is let in. The "
                "Hub has that for PRO, Team and Enterprise; --visibility public shows the files "
                "too.",
            ]
        case "public":
            return [
                "Everybody can read the files and the variables of a public Space: the program, "
                "the name of the dataset, and who is let in. The pictures stay behind the sign-in.",
            ]
        case _:
            return []


def _about_token(plan: _Plan, space_token: str | None) -> list[str]:
    if space_token:
        return []
    repo = plan.collection.artifact.partition("@")[0]
    if _keeps_token(plan.space, space_token):
        return [
            f"The Space keeps the token that was made for it. Whether {repo} can be read was tried "
            f"with yours; {SPACE_TOKEN}=… in front of the command replaces it."
        ]
    return [
        "The Space gets your own token, with which it may do all that you may. Better: at "
        f"{constants.ENDPOINT}/settings/tokens make a fine-grained one that may read the contents "
        f"of {repo}, write those of {plan.state}, and nothing else; then give the same command "
        f"with {SPACE_TOKEN}=… in front.",
    ]
