"""What the repository of a Space holds: the program, what it needs, and a README for the Hub."""

import json
import re
from collections.abc import Iterator

from image_search.errors import ConfigError
from image_search.settings import ROOT

MARKER = ".image-search"
"""The file by which a Space is known to be ours; it lists the others."""

README = "README.md"

_SINGLE = (
    "app.py",
    "requirements.txt",
    "LICENSE",
    "NOTICE",
    "assets/model-card.md",
    "assets/policy.toml",
)
_FOLDERS = (("image_search", "*.py"), ("assets/ui", "*"))

_FIRST_LINE = (
    "# Written by python -m image_search deploy, which replaces and deletes these files, and "
    "leaves others alone."
)

_README = """\
---
title: {title}
emoji: 🔎
colorFrom: gray
colorTo: blue
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
pinned: false
hf_oauth: true
hf_oauth_expiration_minutes: 480
startup_duration_timeout: 1h
header: mini
short_description: Search pictures by words or by picture; by invitation
license: apache-2.0
---

# {name}

This Space searches a collection of pictures by words or by picture. The pictures are not in here:
it reads them from a dataset of the Hub.

**Who is let in.** Named accounts of the Hub, and members of named organisations, after they have
signed in. Being able to open this page of the Hub is not enough.

**To let in others**, or no longer to let in somebody, give the command again that made this Space,
with the other names (`python -m image_search deploy --space {space} …`). It replaces what it wrote
here: change nothing here by hand.

**Whom to ask:** {contact}
"""


def space_files(space: str, contact: str, by_hand: bool) -> dict[str, bytes]:
    """Every file that a Space holds, out of this program's own folder.

    `by_hand`: with what a dataset made by hand needs. Raises ConfigError if the folder lacks some.
    """
    files = {name: (ROOT / name).read_bytes() for name in _names()}
    requirements = files["requirements.txt"].decode()
    files[README] = _readme(space, contact, requirements)
    if by_hand:
        files["requirements.txt"] = _with_model(requirements).encode()
    files[MARKER] = "\n".join([_FIRST_LINE, *sorted(files), ""]).encode()
    return files


def listed(marker: bytes) -> set[str] | None:
    """The files that a marker lists; None if it is not one of ours."""
    first, *names = marker.decode(errors="replace").splitlines() or [""]
    return {name for name in names if name} if first == _FIRST_LINE else None


def _names() -> Iterator[str]:
    for name in _SINGLE:
        if not (ROOT / name).is_file():
            raise _incomplete(name)
        yield name
    for folder, pattern in _FOLDERS:
        paths = sorted((ROOT / folder).rglob(pattern))
        names = [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]
        # An editor's copies, or what a system puts into every folder.
        names = [name for name in names if not re.search(r"/\.|~$|/__pycache__/", name)]
        if not names:
            raise _incomplete(folder)
        yield from names


def _incomplete(name: str) -> ConfigError:
    return ConfigError(
        f"There is no {name} in {ROOT}, so the program is not here as a whole. Give the command in "
        "a clone of its repository."
    )


def _readme(space: str, contact: str, requirements: str) -> bytes:
    name = space.partition("/")[2]
    gradio = re.search(r"^gradio==(\S+)", requirements, re.MULTILINE)
    if gradio is None:
        raise _incomplete("gradio==… in requirements.txt")
    text = _README.format(
        title=json.dumps(name),  # a name such as 1e3 is no text to YAML
        name=name,
        space=space,
        gradio=gradio[1],
        contact=contact or f"the owner of this Space, {space.partition('/')[0]}.",
    )
    return text.encode()


def _with_model(requirements: str) -> str:
    """The same with what a model of the Hub needs: a Space installs one file only."""
    try:
        more = (ROOT / "requirements-build.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise _incomplete("requirements-build.txt") from None
    lines = [line for line in more if line and not line.startswith(("#", "-r "))]
    return "\n".join([requirements.rstrip(), "# For a dataset made by hand:", *lines, ""])
