"""The command `deploy`: what is typed, and what is said about it."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from image_search.deploy import Deployed


def deploy(
    space: Annotated[str, typer.Option(help="The Space to make or to update: user/name.")],
    artifact: Annotated[
        str,
        typer.Option(
            "--artifact",
            "-a",
            help="The collection it serves, a dataset of the Hub: user/name@version-…; without "
            "the version the newest, pinned.",
        ),
    ],
    allow_user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:ROLE],…",
            help="Accounts of the Hub that are let in. Roles: member (if none is given), judge, "
            "curator, operator. May be given several times.",
        ),
    ] = None,
    allow_org: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:ROLE],…", help="Organisations of the Hub whose members are let in."
        ),
    ] = None,
    visibility: Annotated[
        Literal["private", "protected", "public"] | None,
        typer.Option(
            help="Who can reach the sign-in page: only the owner, or the owner's organisation; "
            "everybody, but not its files; everybody. Default: private, or as it is.",
        ),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(help="What it runs on, such as cpu-upgrade. Default: cpu-basic, or as it is."),
    ] = None,
    state: Annotated[
        str,
        typer.Option(
            metavar="USER/NAME",
            help="The private dataset for what people add. Default: the Space's name and -state.",
        ),
    ] = "",
    contact: Annotated[
        str | None, typer.Option(help="Whom to ask to be let in. Default: as it is.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Only for a dataset made by hand: what made its embeddings, such as clip-ViT-B-32."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check, and say what would be changed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a Space of the Hugging Face Hub that serves a collection to named people.

    Given again, it changes only what differs. The account is that of HF_TOKEN, or of
    `hf auth login`; SPACE_TOKEN is a token for the Space itself.
    """
    from image_search.deploy import Wanted
    from image_search.deploy import deploy as deploy_
    from image_search.settings import settings

    wanted = Wanted(
        space=space,
        artifact=artifact,
        users=allow_user or (),
        orgs=allow_org or (),
        hardware=hardware,
        visibility=visibility,
        state=state,
        contact=contact,
        model=model,
    )
    token = settings().space_token
    try:
        deployed = deploy_(wanted, token.get_secret_value() if token else None, dry_run)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        raise
    if as_json:
        print(json.dumps(vars(deployed), ensure_ascii=False, indent=2))
    else:
        print(deployed_text(deployed))


def deployed_text(deployed: "Deployed") -> str:
    """What a call did, in lines for a terminal."""
    return "\n".join(
        [
            *_changes(deployed),
            "",
            f"The address to hand out:  {deployed.address}",
            f"The Space on the Hub:     {deployed.page} ({deployed.visibility})",
            f"The collection:           {deployed.artifact}",
            f"What people add:          {deployed.state} (private)",
            f"Accounts let in:          {_listed(deployed.users)}",
            f"Organisations let in:     {_listed(deployed.orgs)}",
            *(f"note: {note}" for note in deployed.notes),
        ]
    )


def _changes(deployed: "Deployed") -> list[str]:
    if not deployed.changes:
        return ["Nothing to do: all is as it is wanted."]
    head = (
        "Nothing was changed: this was --dry-run. Would be done:" if deployed.dry_run else "Done:"
    )
    return [head, *(f"  {change}" for change in deployed.changes)]


def _listed(names: dict[str, str]) -> str:
    return ", ".join(n if r == "member" else f"{n} ({r})" for n, r in names.items()) or "none"
