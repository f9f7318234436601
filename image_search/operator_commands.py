"""The operator's commands: withdrawing pictures, who is let in, tokens, the record of searches,
what the collection is tested for."""

import getpass
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import image_search
from image_search.allow_list import AllowList
from image_search.errors import QueryError, StateError
from image_search.options import AsJson, Collection
from image_search.repo import REPO
from image_search.roles import Role, role_named
from image_search.search_log import SearchLog
from image_search.settings import settings
from image_search.state import State
from image_search.taxonomy import Taxonomies, Taxonomy
from image_search.tidy import tidy
from image_search.tokens import Tokens
from image_search.users import Users, line
from image_search.withdrawal import Withdrawals

RoleName = Annotated[str, typer.Option("--role", help=f"One of {', '.join(Role)}.")]

member = typer.Typer(help="Who is let in: changes count at once, without a restart.")
token = typer.Typer(help="API tokens, for scripts and other programs.")
log = typer.Typer(help="The record of searches.")
taxonomy = typer.Typer(help="What the collection is tested for: classes, each with its prompts.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (suppress, restore, withdrawn, password):
        app.command()(command)
    groups = {"member": member, "token": token, "log": log, "taxonomy": taxonomy}
    for name, group in groups.items():
        app.add_typer(group, name=name, no_args_is_help=True)


@contextmanager
def _state(make: bool = False) -> Iterator[State]:
    """The state of the settings; only a folder is made here: a dataset by who serves or deploys."""
    on_hub = REPO.fullmatch(settings().state) and not Path(settings().state).exists()
    state = State.open(make=make and not on_hub)
    try:
        yield state
    finally:
        state.close()


def _kept(state: State, kept: bool) -> None:
    """Raise StateError unless something was written: this process ends, and with it its memory."""
    if not kept:
        raise StateError(
            f"{state.name} cannot be written now, so nothing has changed. Try again in a while."
        )


def _me() -> str:
    return f"{getpass.getuser()} (command line)"


def suppress(
    ids: Annotated[list[str], typer.Argument(help="Ids of pictures, as results show them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; for those who come after you.")],
    artifact: Collection = None,
) -> None:
    """Withdraw pictures: they are nowhere to be found any more, within seconds.

    Says which others look like copies of them.
    """
    from image_search.near_copies import near_copies

    with _state(make=True) as state:
        withdrawals = Withdrawals(state)
        searcher = image_search.open(artifact, withdrawn=frozenset())
        known = searcher.catalogue.rows(ids)
        unknown = [id for id in ids if id not in known]
        if unknown:
            raise QueryError(
                f"{searcher.artifact.files.name} has no picture “{unknown[0][:200]}”; nothing was "
                "withdrawn. Is it the right collection (--artifact, IMAGE_SEARCH_ARTIFACT)?"
            )
        copies = {hit.id: hit for id in ids for hit in near_copies(searcher, id)}
        _kept(state, withdrawals.suppress(ids, reason, _me()))
        print(f"Withdrawn: {len(set(ids))} (in {state.name}).")
        print("`python -m image_search restore ID` brings one back.")
        others = [hit for id, hit in copies.items() if id not in withdrawals]
        if others:
            print("These look like copies and are still there; look at them:")
            for hit in others:
                print(f"  {hit.id}  {tidy(hit.title)}")


def restore(
    ids: Annotated[list[str], typer.Argument(help="Ids of withdrawn pictures.")],
) -> None:
    """Show withdrawn pictures again."""
    with _state() as state:
        _kept(state, Withdrawals(state).restore(ids, _me()))
    print(f"Shown again: {len(set(ids))} (in {state.name}).")


def withdrawn(as_json: AsJson = False) -> None:
    """List the pictures that are withdrawn, the latest first."""
    with _state() as state:
        listed = [vars(one) for one in Withdrawals(state).all()]
    _print(listed, as_json, "{time}  {id}  {reason}  ({by})", "No picture is withdrawn.")


def password(
    name: Annotated[str, typer.Argument(help="The user's name.")],
    role: RoleName = Role.MEMBER,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make the password, instead of asking for one.")
    ] = False,
) -> None:
    """Make a line for the list of users (IMAGE_SEARCH_USERS, or its file) out of a password."""
    chosen = secrets.token_urlsafe(12) if generate else _asked()
    made = line(name, chosen, role_named(role))
    if generate:
        print(f"The password, to be had only now: {chosen}", file=sys.stderr)
    print(made)


def _asked() -> str:
    """A password, twice from a terminal, else the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("The same again: "):
        raise typer.BadParameter("the two passwords differ")
    return first


@member.command("add")
def add_member(
    name: Annotated[str, typer.Argument(help="An account of the Hub, or a user of the list.")],
    role: RoleName = Role.MEMBER,
    org: Annotated[bool, typer.Option("--org", help="It is an organisation of the Hub.")] = False,
) -> None:
    """Let somebody in, or give them another role."""
    if settings().access == "password" and _users().get(name) is None:
        raise typer.BadParameter(
            f"{name} has no password: make a line for the list of users with "
            f"`python -m image_search password {name}`"
        )
    with _state(make=True) as state:
        _kept(state, AllowList(state).change(name, role_named(role), org, _me()))
    print(f"{name} is let in as {role} (in {state.name}).")


@member.command("remove")
def remove_member(
    name: Annotated[str, typer.Argument(help="An account of the Hub, or a user of the list.")],
    org: Annotated[bool, typer.Option("--org", help="It is an organisation of the Hub.")] = False,
) -> None:
    """Let somebody in no more, also if a setting names them: within seconds, without a restart."""
    with _state() as state:
        allowed = AllowList(state)
        known = allowed.role(name, org) or (not org and _users().get(name))
        _kept(state, allowed.change(name, None, org, _me()))
        tokens = [
            one.id
            for one in Tokens(state).all().values()
            if one.counts and one.name.lower() == name.lower()
        ]
    if known:
        print(f"{name} is not let in any more (in {state.name}).")
    else:
        print(f"Noted in {state.name}: {name} is not to be let in.")
        print(
            f"As far as this machine knows, {name} was on no list: is the name right? (The lists "
            "of a Space are in its variables, and an organisation brings its members.)"
        )
    if tokens:
        print(f"They have tokens that still count: {', '.join(tokens)}. Revoke them too.")


@member.command("list")
def list_members(as_json: AsJson = False) -> None:
    """List who is let in by name, as the settings here and the changes in the state say."""
    with _state() as state:
        members = AllowList(state)
        listed = members.all()
        if settings().access == "password":
            users = _users().all().values()
            people = {user.name: members.changed_role(user.name) or user.role for user in users}
            listed = {
                (name, False): role for name, role in people.items() if not members.taken_off(name)
            }
    _print(
        [
            {
                "name": name,
                "organisation": org,
                "role": str(role),
            }
            for (name, org), role in listed.items()
        ],
        as_json,
        "{role:9} {name}{kind}",
        "Nobody is let in by name.",
    )


def _users() -> Users:
    return Users(settings().users, settings().users_file)


@token.command("make")
def make_token(
    name: Annotated[str, typer.Option("--name", help="Who, or what program, uses it.")],
    role: RoleName = Role.MEMBER,
    days: Annotated[int, typer.Option("--days", help="How long it holds.")] = 90,
) -> None:
    """Make an API token; it is printed once and kept only as a hash."""
    with _state(make=True) as state:
        text, made, kept = Tokens(state).make(name, role_named(role), days)
        _kept(state, kept)
    print(
        f"For {made.name}, as {made.role}, until {made.expires}; it counts within seconds. Send it "
        "as\n  X-Image-Search-Token: TOKEN, or Authorization: Bearer TOKEN",
        file=sys.stderr,
    )
    print(text)


@token.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List the tokens that were made; never what they are."""
    with _state() as state:
        made = Tokens(state).all().values()
    listed = [
        {
            "id": one.id,
            "name": one.name,
            "role": str(one.role),
            "expires": one.expires,
            "standing": "counts" if one.counts else "revoked" if one.revoked else "expired",
        }
        for one in made
    ]
    _print(listed, as_json, "{id}  {standing:8} {role:9} {expires}  {name}", "There is no token.")


@token.command("revoke")
def revoke_token(id: Annotated[str, typer.Argument(help="The id of a token.")]) -> None:
    """End a token, within seconds, without a restart."""
    with _state() as state:
        _kept(state, Tokens(state).revoke(id))
    print(f"The token {id} opens nothing any more.")


Name = Annotated[
    str | None, typer.Option("--member", help="Only the searches of this member, by name.")
]


@log.command("export")
def export_log(name: Name = None) -> None:
    """Print the recorded searches, one JSON object a line."""
    with _state() as state:
        by = SearchLog(state).pseudonym(name) if name else None
        for search in state.searches():
            if by is None or search.get("by") == by:
                print(json.dumps(search, ensure_ascii=False))


@log.command("erase")
def erase_log(name: Annotated[str, typer.Argument(help="The member's name.")]) -> None:
    """Erase the recorded searches of one member."""
    with _state() as state:
        erased = state.erase(SearchLog(state).pseudonym(name))
        tokens = {one.name for one in Tokens(state).all().values()} - {name}
    print(f"Erased: {erased:,} searches of {name} (in {state.name}).")
    if not erased:
        print("None was on record under that name: is it right?")
    if tokens:
        print(
            "What is searched with a token is recorded under the token's own name. There are: "
            f"{', '.join(sorted(tokens))}."
        )


@taxonomy.command("set")
def set_taxonomy(
    file: Annotated[
        Path, typer.Argument(help="The file (TOML), as README has it.", exists=True, dir_okay=False)
    ],
) -> None:
    """Have judges judge by a taxonomy from now on; what they said of the same classes stays."""
    try:
        text = file.read_text(encoding="utf-8")
        Taxonomy.parse(text)
    except UnicodeDecodeError:
        raise QueryError(f"{file} is not UTF-8. Save it as that.") from None
    except QueryError as error:
        raise QueryError(f"{file}: {error}") from None
    with _state(make=True) as state:
        chosen, kept = Taxonomies(state).set(text, _me())
        _kept(state, kept)
    prompts = sum(len(one.prompts) for one in chosen.classes)
    print(f"“{chosen.name}”, version {chosen.version}, counts now (in {state.name}):")
    print(f"{len(chosen.classes)} classes, {prompts} prompts, sha256 {chosen.sha256[:12]}.")
    print("Judges find it in the tab “Judge” of the page.")


@taxonomy.command("show")
def show_taxonomy(as_json: AsJson = False) -> None:
    """Print the taxonomy that counts, as it was written."""
    with _state() as state:
        latest = Taxonomies(state).latest()
    if latest is None:
        raise QueryError(
            f"There is no taxonomy in {state.name}. `python -m image_search taxonomy set FILE` "
            "has one count."
        )
    if as_json:
        told = {**asdict(latest.taxonomy), "sha256": latest.taxonomy.sha256}
        print(
            json.dumps({**told, "by": latest.by, "time": latest.time}, ensure_ascii=False, indent=2)
        )
    else:
        print(latest.taxonomy.text.rstrip("\n"))


def _print(listed: list[dict[str, Any]], as_json: bool, form: str, nothing: str) -> None:
    if as_json:
        print(json.dumps(listed, ensure_ascii=False, indent=2))
        return
    for one in listed:
        kind = " (organisation)" if one.get("organisation") else ""
        print(tidy(form.format(**one, kind=kind)))
    if not listed:
        print(nothing, file=sys.stderr)
