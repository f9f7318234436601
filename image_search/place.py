"""Where a built collection is put: nothing that no build wrote is ever lost there.

It is made in a folder beside it, `<out>.partial`, and put into its place when it is whole.
"""

import os
import shutil
from pathlib import Path

from image_search import manifest as layout
from image_search.errors import ArtifactError

AGREEMENT = "agreement.json"
"""Which model was exported to `encoder`, its files' hashes, and how well it agrees."""

WORK = {"artifact", "encoder", AGREEMENT, "old", "parts", "vectors.npy"}
"""What a build keeps in the place where it works."""


def place_of_work(out: Path) -> Path:
    """The folder in which the collection for `out` is made."""
    return out.with_name(f"{out.name}.partial")


def check_target(out: Path) -> None:
    """Raise ArtifactError if anything would be lost by putting a collection in the place of `out`.

    What a build wrote may be written over, and nothing else; reports beside it are kept.
    """
    if os.path.ismount(out):
        raise ArtifactError(
            f"{out} is where a disk is mounted, and cannot be replaced. Name a folder on it."
        )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    own = layout.own_files(out)
    if own is None:
        raise ArtifactError(
            f"{out} exists and is not a built collection, or a damaged one; nothing was written "
            "over. Name a new folder with --out, or remove this one yourself."
        )
    found = {p.relative_to(out).as_posix() for p in out.rglob("*") if not p.is_dir()}
    beside = {name for name in found if name.startswith(layout.EVALUATION)}
    if strange := sorted(found - own - beside):
        raise ArtifactError(
            f"{out} holds files that no build wrote, for example {strange[0]}; nothing was written "
            "over. Move them elsewhere, or name a new folder with --out."
        )


def check_work(work: Path) -> None:
    """Raise ArtifactError if the folder that is worked in, and removed, holds anything else."""
    found = {path.name for path in work.iterdir()} if work.is_dir() else set()
    if strange := sorted(found - WORK):
        raise ArtifactError(
            f"{work} is where a build works, and it holds something else ({strange[0]}); nothing "
            "was touched. Name another folder with --out, or rename this one."
        )


def put_in_place(work: Path, out: Path) -> None:
    """Swap the finished artifact for what is at `out`, and clear up.

    Raises ArtifactError if somebody put something else there meanwhile.
    """
    check_target(out)
    old = work / "old"
    if (
        reports := out / layout.EVALUATION
    ).is_dir():  # they are of the encoder, and may still count
        kept = work / "artifact" / layout.EVALUATION
        shutil.copytree(reports, kept, dirs_exist_ok=True)
    if out.exists():
        out.replace(old)
    (work / "artifact").replace(out)
    # First: an export that is half cleared away, if this is killed, must not be taken for whole.
    (work / AGREEMENT).unlink(missing_ok=True)
    shutil.rmtree(work)


def restore(out: Path, work: Path) -> None:
    """Put the former collection back if a build was killed between the two renames above."""
    old = work / "old"
    if old.exists() and not out.exists():
        old.replace(out)
    shutil.rmtree(old, ignore_errors=True)
