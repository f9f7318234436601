"""The command line of build_index.py: says what it will do, builds, and says what it did."""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from image_search.cli import run
from image_search.encoder import DEFAULT_MODEL, Encoder, embedded_encoder
from image_search.errors import ConfigError
from image_search.settings import settings

if TYPE_CHECKING:
    from image_search.build import Summary

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    run(app)


@app.command()
def build_index(
    folder: Annotated[Path, typer.Argument(help="The folder of pictures, of any depth.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="The folder to write; built anew if it is a built collection already."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="A CLIP model of the Hub (NAME or "
            "NAME@REVISION) or of a folder, or `embedded` for the "
            "small encoder that comes along.",
        ),
    ] = DEFAULT_MODEL,
    metadata: Annotated[
        Path | None,
        typer.Option(
            "--metadata",
            help="A table about the pictures "
            "(csv, tsv, jsonl). Default: metadata.csv, .tsv "
            "or .jsonl in the folder.",
        ),
    ] = None,
    filename_pattern: Annotated[
        str | None,
        typer.Option(
            "--filename-pattern", help="A regular expression; its named groups become fields."
        ),
    ] = None,
    fields: Annotated[
        Path | None,
        typer.Option(
            "--fields",
            help="What the columns are, where "
            "guessing is wrong. Default: fields.toml in the "
            "folder.",
        ),
    ] = None,
    max_side: Annotated[
        int,
        typer.Option(
            "--max-side", min=224, max=8192, help="Longest side of a stored picture, in pixels."
        ),
    ] = 1024,
    device: Annotated[
        str | None, typer.Option("--device", help="cuda, mps or cpu. Default: the best there is.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="The collection's name. Default: the folder's.")
    ] = "",
    description: Annotated[str, typer.Option("--description", help="One line about it.")] = "",
    rights: Annotated[
        str, typer.Option("--rights", help="What may be done with the pictures.")
    ] = "",
    contact: Annotated[str, typer.Option("--contact", help="Whom to ask.")] = "",
    notice: Annotated[
        str, typer.Option("--notice", help="What visitors should know before they look.")
    ] = "",
) -> None:
    """Turn a folder of pictures into a collection that can be searched.

    Stopped at any moment, the same command goes on where it was.
    """
    from image_search.build import build, check_target
    from image_search.collection import FolderCollection
    from image_search.manifest import CollectionInfo

    # What Pillow warns of in odd files is no line for the keeper: rejects.csv says what counts.
    warnings.filterwarnings("ignore", module="PIL")
    out = out.resolve()
    if out.is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{out} lies inside {folder}, so the next build would take it for pictures. "
            "Name a place outside with --out."
        )
    if any(path and path.resolve().is_relative_to(out) for path in (folder, metadata, fields)):
        raise ConfigError(
            f"{out} holds what is to be read, and is written over as a whole. "
            "Name another place with --out."
        )
    check_target(out)
    collection = FolderCollection.open(folder, metadata, filename_pattern, fields)
    print(
        f"{len(collection):,} files to read in {folder}, "
        f"{len(collection.rejects):,} others left out."
    )
    for line in collection.notices:
        print(f"note: {line}")
    encoder = open_encoder(model, device)
    where = getattr(encoder, "device", "cpu")
    print(f"Model {encoder.name}, revision {encoder.revision[:12]}, on {where}.")
    info = CollectionInfo(
        name=name or collection.name,
        description=description,
        rights=rights,
        contact=contact,
        notice=notice,
    )
    options: dict[str, str | int | None] = {
        "model": model,
        "metadata": metadata.name if metadata else None,
        "filename_pattern": filename_pattern,
    }
    try:
        with tqdm(total=len(collection), desc="Building", unit=" pictures") as progress:
            summary = build(
                collection, encoder, out, info, max_side, settings().max_pixels, options, progress
            )
    except KeyboardInterrupt:
        print(
            "Stopped. The same command goes on from the last 500 pictures that were done.",
            file=sys.stderr,
        )
        raise
    _report(summary, out)


def _report(summary: "Summary", out: Path) -> None:
    """Say what a build did, and what to do next."""
    print(f"\n{summary.rows:,} pictures are in {out}.")
    if summary.rejects:
        print(f"Left out: {summary.rejects.total():,}, each named in {out}/rejects.csv:")
        for reason, count in summary.rejects.most_common():
            print(f"  {count:6,}  {reason}")
    print("Seconds: " + ", ".join(f"{s} {t:.1f}" for s, t in summary.seconds.items()))
    sizes = ", ".join(f"{part} {size / 1e6:.1f}" for part, size in summary.sizes.items())
    print(f"Megabytes: {sizes}")
    print("\nNext (a program that serves this collection already has to be started again):")
    print(f'  python -m image_search search "a guitar" --artifact {out}')
    print(f"  IMAGE_SEARCH_ARTIFACT={out} python app.py")


def open_encoder(model: str, device: str | None = None) -> Encoder:
    """The encoder that a model's name means. Raises EncoderError if it cannot be had."""
    if model == "embedded":
        if device not in (None, "cpu"):
            raise ConfigError(f"The embedded encoder runs on the CPU, not on {device!r}.")
        return embedded_encoder()
    from image_search.sentence_transformer import SentenceTransformerEncoder

    return SentenceTransformerEncoder(model, device)
