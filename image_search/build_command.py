"""The command line of build_index.py: says what it will do, builds, and says what it did."""

import os
import shlex
import signal
import sys
import warnings
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from loky import cpu_count
from tqdm import tqdm

from image_search.cli import push_with_bar, pushed_text, run
from image_search.encoder import DEFAULT_MODEL, Encoder, embedded_encoder
from image_search.errors import ConfigError
from image_search.settings import settings

if TYPE_CHECKING:
    from image_search.build import Builder, Summary
    from image_search.collection import Collection
    from image_search.ray_runner import RayRunner

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)
    run(app)


def _stop(*_: object) -> None:
    """As Ctrl+C does; pressed again it would break off the clearing up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@app.command()
def build_index(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Where the pictures are: a folder of any depth; zip or tar archives, here or at "
            "an https:// address; a table (csv, tsv, jsonl, parquet; several parts as "
            "'photos.tsv*') with a column of addresses or paths; or a dataset of the Hub, "
            r"USER/NAME\[@REVISION]\[:SPLIT].",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The folder to write. If it is a built collection already, it is replaced when "
            "the new one is whole, and what has not changed is kept."
        ),
    ],
    push: Annotated[
        str | None,
        typer.Option(metavar="USER/NAME", help="Then push it into this dataset of the Hub."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push: everybody may see it. Default: private.")
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            help="A CLIP model of the Hub (NAME or NAME@REVISION) or of a folder, or `embedded` "
            "for the small encoder that comes along."
        ),
    ] = DEFAULT_MODEL,
    device: Annotated[
        str | None,
        typer.Option(help="cuda (all visible GPUs), cuda:1, mps or cpu. Default: the best."),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pictures encoded at a time. Default: 512 for each GPU, else 32 or more."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that decode; with --runner ray, for each of its workers. Default: as "
            "many as processors.",
        ),
    ] = None,
    runner: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="ray: on many machines, by Ray (pip install -r requirements-ray.txt on each). All "
            "of them must have this program and see, at the same path, the folder of --out and "
            "the pictures, unless these are at addresses."
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --runner ray: the cluster, as `ray start --head` prints it. Default: Ray "
            "is started on this machine alone.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first pictures, to try it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what it would take.")
    ] = False,
    metadata: Annotated[
        Path | None,
        typer.Option(
            help="A table about the pictures of a folder or an archive. Default: metadata.csv, "
            ".tsv, .jsonl or .parquet in it."
        ),
    ] = None,
    filename_pattern: Annotated[
        str | None, typer.Option(help="A regular expression; its named groups become fields.")
    ] = None,
    fields: Annotated[
        Path | None,
        typer.Option(
            help="What the columns are, where guessing is wrong. Default: fields.toml beside the "
            "pictures."
        ),
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(help="The column with the pictures, of a table or a dataset.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The column with their ids, of a table or a dataset.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="Which configuration of a dataset, if it has several.")
    ] = None,
    url_suffix: Annotated[
        str,
        typer.Option(
            help="Added to every address of a table for the download, such as '?w=200&fm=jpg'."
        ),
    ] = "",
    allow_private: Annotated[
        bool,
        typer.Option(
            "--allow-private",
            help="A table may name addresses in your own network, and files outside its folder.",
        ),
    ] = False,
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="A table to keep beside the pictures, its rows about others left out, such as "
            "conversions='conversions.tsv*'. May be given several times.",
        ),
    ] = None,
    max_side: Annotated[
        int, typer.Option(min=224, max=8192, help="Longest side of a stored picture, in pixels.")
    ] = 1024,
    name: Annotated[str, typer.Option(help="The collection's name. Default: the source's.")] = "",
    description: Annotated[str, typer.Option(help="One line about it.")] = "",
    rights: Annotated[str, typer.Option(help="What may be done with the pictures.")] = "",
    contact: Annotated[str, typer.Option(help="Whom to ask.")] = "",
    notice: Annotated[str, typer.Option(help="What visitors should know before they look.")] = "",
) -> None:
    """Turn pictures into a collection that can be searched.

    Stopped at any moment, the same command goes on where it was.
    """
    from image_search.build import Builder
    from image_search.extra import open_extra
    from image_search.manifest import CollectionInfo
    from image_search.place import check_target
    from image_search.source import Options, open_source

    # What Pillow warns of in odd files is no line for the keeper: rejects.csv says what counts.
    warnings.filterwarnings("ignore", module="PIL")
    out = out.expanduser().resolve()  # --out=~/x is left to us by the shell
    sources = [os.path.expanduser(source) for source in sources]
    metadata, fields = (path and path.expanduser() for path in (metadata, fields))
    _check_apart(out, [Path(source) for source in sources], [metadata, fields])
    check_target(out)
    if address and runner != "ray":
        raise ConfigError("--address means nothing without --runner ray.")
    if push:
        from image_search.push import check_push

        check_push(push, public)  # hours before it is needed: now it can still be mended
    options = Options(
        metadata=metadata,
        filename_pattern=filename_pattern,
        fields=fields,
        image_column=image_column,
        id_column=id_column,
        url_suffix=url_suffix,
        allow_private=allow_private,
        config=config,
    )
    collection = open_source(sources, options, settings().cache / "sources")
    _say_found(collection, ", ".join(sources))
    extras = [open_extra(text, collection.id_column) for text in table or ()]
    collection = collection.first(limit) if limit else collection
    encoder = open_encoder(model, device)
    info = CollectionInfo(
        name=name or collection.name,
        description=description,
        rights=rights,
        contact=contact,
        notice=notice,
    )
    recorded: dict[str, str | int | bool | None] = {
        "model": model,
        "limit": limit,
        "metadata": metadata.name if metadata else None,
        "filename_pattern": filename_pattern,
        "url_suffix": url_suffix or None,
    }
    with ExitStack() as stack:
        ray = stack.enter_context(_ray(address)) if runner == "ray" else None
        builder = stack.enter_context(
            Builder(
                collection,
                encoder,
                out,
                info,
                max_side=max_side,
                options=recorded,
                extras=extras,
                workers=workers,
                batch_size=batch_size,
                runner=ray,
            )
        )
        if ray:
            print(ray.describe(encoder))
        _say_plan(builder, encoder, workers or cpu_count())
        if dry_run:
            print("Nothing was built: this was --dry-run.")
            return
        told = len(builder.notices)
        summary = _build(builder, len(collection))
        _report(summary, out, push, builder.notices[told:])
    if push:
        print(pushed_text(push_with_bar(out, push, public)))


def _check_apart(out: Path, sources: list[Path], tables: list[Path | None]) -> None:
    """Raise ConfigError if the build would read what it writes, or write over what it reads."""
    for source in sources:
        if source.is_dir() and out.is_relative_to(source.resolve()):
            raise ConfigError(
                f"{out} lies inside {source}, so the next build would take it for pictures. "
                "Name a place outside with --out."
            )
    if any(path and path.resolve().is_relative_to(out) for path in (*sources, *tables)):
        raise ConfigError(
            f"{out} holds what is to be read, and is written over as a whole. "
            "Name another place with --out."
        )


def _ray(address: str | None) -> "RayRunner":
    from image_search.ray_runner import RayRunner

    return RayRunner(address)


def _say_found(collection: "Collection", where: str) -> None:
    from image_search.collection import reason_group

    reasons = Counter(reason_group(reject.reason) for reject in collection.rejects).most_common()
    why = ", ".join(f"{reason}: {count:,}" for reason, count in reasons)
    left_out = f"{len(collection.rejects):,} left out{f' ({why})' if why else ''}"
    print(f"{len(collection):,} pictures found in {where}, {left_out}.")
    for line in collection.notices:
        print(f"note: {line}")


def _say_plan(builder: "Builder", encoder: Encoder, workers: int) -> None:
    """Say what the build will do and take, before it begins."""
    with tqdm(desc="Checking what is there", unit=" pictures", leave=False, delay=1) as bar:
        builder.look(bar.update)
    for line in builder.notices:
        print(f"note: {line}")
    forecast = builder.forecast()
    kept = f", {forecast.kept:,} kept from an earlier build" if forecast.kept else ""
    print(f"{forecast.new:,} pictures to encode{kept}.")
    print(
        f"Model {encoder.name}, revision {encoder.revision[:12]}, on {encoder.device}; "
        f"{workers} {'process decodes' if workers == 1 else 'processes decode'}."
    )
    if forecast.rejects:
        first = forecast.rejects[0]
        print(
            f"note: {len(forecast.rejects)} of {forecast.tried} pictures that were tried cannot be "
            f"used. The first: {first.id}: {first.reason}."
        )
        if len(forecast.rejects) == forecast.tried:
            print("What the others will take cannot be said.")
            return
    print(
        f"Expected: {spell_seconds(forecast.seconds)}, {spell_bytes(forecast.disk)} of disk "
        f"({spell_bytes(forecast.free)} are free), {spell_bytes(forecast.memory)} of memory."
    )
    if forecast.disk > forecast.free:
        print("note: that is more than there is. What fits is done, and nothing of it is lost.")


def _build(builder: "Builder", pictures: int) -> "Summary":
    try:
        with tqdm(total=pictures, desc="Building", unit=" pictures") as progress:
            return builder.run(progress)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        raise


def _report(summary: "Summary", out: Path, pushed: str | None, notices: list[str]) -> None:
    """Say what a build did, and what to do next."""
    kept = f", {summary.kept:,} of them from an earlier build" if summary.kept else ""
    print(f"\n{summary.rows:,} pictures are in {out}{kept}.")
    if summary.rejects:
        print(f"Left out: {summary.rejects.total():,}, each named in {out}/rejects.csv:")
        for reason, count in summary.rejects.most_common():
            print(f"  {count:6,}  {reason}")
    for table, rows in summary.tables.items():
        print(f"Table {table}: {rows:,} rows, those about these pictures.")
    for line in notices:
        print(f"note: {line}")
    print("Seconds: " + ", ".join(f"{s} {t:.1f}" for s, t in summary.seconds.items()))
    print("Sizes: " + ", ".join(f"{n} {spell_bytes(b)}" for n, b in summary.sizes.items()))
    print("\nNext (a program that serves this collection already has to be started again):")
    place = shlex.quote(str(out))
    print(f'  python -m image_search search "a guitar" --artifact {place}')
    print(f"  IMAGE_SEARCH_ARTIFACT={place} python app.py")
    if not pushed:
        print(f"  python -m image_search push {place} USER/NAME")


def spell_seconds(seconds: float) -> str:
    """A time as one says it, such as `about 3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if minutes < 90:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60:02} min"


def spell_bytes(size: int) -> str:
    """A size as one says it, such as `1.5 GB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} bytes"


def open_encoder(model: str, device: str | None = None) -> Encoder:
    """The encoder that a model's name means. Raises EncoderError if it cannot be had."""
    if model == "embedded":
        if device not in (None, "cpu"):
            raise ConfigError(f"The embedded encoder runs on the CPU, not on {device!r}.")
        return embedded_encoder()
    from image_search.sentence_transformer import SentenceTransformerEncoder

    return SentenceTransformerEncoder(model, device)


def model_revision(model: str) -> str:
    """The exact version that a model's name means now. Raises EncoderError."""
    if model == "embedded":
        return embedded_encoder().revision
    from image_search.sentence_transformer import resolve

    return resolve(model)[1]
