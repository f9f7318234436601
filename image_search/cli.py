"""The command line: a thin layer over Searcher, Artifact and the page's server.

Exit codes: 0, 1 for an error that the operator has to mend (one line on standard error), 2 for a
command that was typed wrongly.
"""

import atexit
import errno
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import image_search
from image_search import operator_commands, search_command
from image_search.deploy_command import deploy
from image_search.encoder import DEFAULT_MODEL
from image_search.engine.command import engine
from image_search.errors import ImageSearchError
from image_search.notice_command import notice_app
from image_search.options import AsJson, Collection, Model
from image_search.table_command import table

if TYPE_CHECKING:
    from image_search.push import Pushed

app = typer.Typer(
    help="Search a collection of pictures by words or by picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STOPPED = 130
"""The exit code that shells expect after Ctrl+C."""


def run(command: Callable[[], Any]) -> None:
    """Run a program's `main`: an error of ours is one line on standard error and exit code 1."""
    try:
        command()
    except ImageSearchError as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # a full disk, a folder that may not be written
        if error.errno == errno.ENOSPC:
            sys.exit(
                "error: The disk is full. Make room and give the same command again: a build or a "
                "push goes on where it was, and nothing that was finished is lost."
            )
        path = error.filename2 or error.filename or ""
        sys.exit(f"error: {error.strerror or error}: {path}".rstrip(": "))
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != STOPPED:  # typer makes it of Ctrl+C
            raise
        # At once: Python by itself would wait for every thread that listens to a silent server.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STOPPED)


def main() -> None:
    run(app)


app.command()(search_command.search)
app.command()(search_command.facets)
app.command()(search_command.record)
app.command()(search_command.cite)


@app.command()
def info(artifact: Collection = None, model: Model = None, as_json: AsJson = False) -> None:
    """Say what a built collection holds and how it was made."""
    opened = image_search.open(artifact, model=model).artifact
    manifest = opened.manifest
    if as_json:
        described = manifest.model_dump(mode="json", exclude={"files"})
        print(
            json.dumps(
                {
                    "version": opened.version,
                    "name": opened.files.name,
                    "path": str(opened.path),
                    **described,
                },
                ensure_ascii=False,
                indent=2,
            )
        )
        return
    left_out = sum(manifest.rejects.values())
    recall = manifest.index.recall
    rows = {
        "collection": manifest.collection.name,
        "pictures": f"{manifest.rows:,} ({left_out:,} files left out, see rejects.csv)",
        "model": f"{manifest.encoder.name}, revision {manifest.encoder.revision}",
        "built": manifest.created,
        "fields": ", ".join(f"{f.name} ({f.role or f.kind})" for f in manifest.fields) or "none",
        "tables": ", ".join(f"{t.name} ({t.rows:,} rows)" for t in manifest.tables) or "none",
        "recall at 10": f"{recall.text_at_10:.1%} for words, {recall.picture_at_10:.1%} for "
        "pictures, against exact search",
        "version": opened.version,
        "opened from": opened.files.name,
        "folder": str(opened.path),
    }
    for name, value in rows.items():
        print(f"{name:14}{value}")


@app.command()
def verify(
    artifact: Annotated[
        str,
        typer.Argument(
            help="The built collection: a folder, or user/name@revision of the Hub, which is "
            "fetched as a whole."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Read every byte of a built collection and say whether it is as it was built."""
    from tqdm import tqdm

    from image_search.verify import verify as check

    with tqdm(unit=" files", disable=not sys.stderr.isatty()) as progress:
        problems = check(artifact, lambda name: progress.update())
    if as_json:
        print(json.dumps({"path": artifact, "problems": problems}, ensure_ascii=False, indent=2))
    elif problems:
        print("\n".join(problems))
        print("Copy the collection again from where it came, or build it again.", file=sys.stderr)
    else:
        print(f"{artifact}: everything is as it was built.")
    if problems:
        raise typer.Exit(1)


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="The built collection.")],
    repo: Annotated[str, typer.Argument(help="The dataset of the Hub: user/name.")],
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may see it. Default: private.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a built collection on the Hugging Face Hub, as a new version of a private dataset.

    The account is that of HF_TOKEN, or of `hf auth login`. Broken off, the same command goes on.
    """
    pushed = push_with_bar(folder, repo, public)
    if as_json:
        print(json.dumps(vars(pushed), ensure_ascii=False, indent=2))
    else:
        print(pushed_text(pushed))


def push_with_bar(folder: Path, repo: str, public: bool = False) -> "Pushed":
    """Push, with a progress bar on a terminal."""
    from tqdm import tqdm

    from image_search.push import push as push_
    from image_search.push import quiet

    bars: list[tqdm[Any]] = []

    def progress(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(desc=f"Pushing to {repo}", total=total, unit="B", unit_scale=True))
        bars[0].update(done - bars[0].n)

    try:
        with _ending_at_once():
            return push_(folder, repo, public, progress if sys.stderr.isatty() else quiet)
    finally:
        for bar in bars:
            bar.close()


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Have Ctrl+C not wait for the Hub's client, which waits for its uploads."""

    def end(*_: object) -> None:
        text = "Stopped. What was uploaded stays; the same command goes on from here."
        os.write(2, f"\n{text}\n".encode())
        os._exit(STOPPED)

    former = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    heard = {n: handler for n, handler in former.items() if handler != signal.SIG_IGN}
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)


def pushed_text(pushed: "Pushed") -> str:
    """What a push did, and what to do next, in lines for a terminal."""
    kind = "private" if pushed.private else "public"
    did = f"{pushed.files:,} files written" if pushed.files else "Nothing to write: it is there"
    return "\n".join(
        [
            f"{did}. {pushed.repo} ({kind}), {pushed.tag}:",
            f"  {pushed.url}",
            *(f"note: {note}" for note in pushed.notes),
            "Next, here or on another machine, with a token that may read it:",
            f"  IMAGE_SEARCH_ARTIFACT={pushed.repo}@{pushed.tag} python app.py",
        ]
    )


@app.command()
def selfcheck(
    model: Annotated[
        str, typer.Option("--model", help="The model to check; `embedded` or one of the Hub.")
    ] = DEFAULT_MODEL,
    as_json: AsJson = False,
) -> None:
    """Try a model on the demo: load, export, compare, ask labelled questions, judge."""
    from image_search.selfcheck import check_model

    report = check_model(model)
    print(json.dumps(report.to_dict(), indent=2) if as_json else report)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Answer, but do not serve.")] = False,
) -> None:
    """Build the demo if need be, answer the articles' seven questions, and serve the page."""
    from image_search.access import chosen_mode
    from image_search.demo import PROMPTS, ensure_demo
    from image_search.notices import Notices
    from image_search.state import State
    from image_search.withdrawal import Withdrawals

    chosen_mode()
    state = State.open()
    searcher = image_search.open(
        ensure_demo(), withdrawn=Withdrawals(state), notices=Notices(state)
    )
    print(f"\n{len(searcher.artifact):,} pictures, model {searcher.encoder.name}.\n")
    for prompt in PROMPTS:
        results = searcher.search(prompt, k=3)
        print(f"{prompt}  ({results.seconds * 1000:.0f} ms)")
        for notice in results.notices:
            print(f"   {notice}")
        for hit in results:
            print(f"   {hit.score:.3f}  {hit.title}")
    if not once:
        from image_search.server import serve

        print(flush=True)
        serve(searcher, state, _demo_user() if chosen_mode() == "password" else "")


def _demo_user() -> str:
    """Somebody who can sign in to try it, where the keeper has named nobody yet."""
    from image_search.roles import Role
    from image_search.settings import settings
    from image_search.users import line

    if settings().users or settings().users_file:
        return ""
    password = secrets.token_urlsafe(9)
    print(f"Sign in as demo with the password {password} (until the program ends).", flush=True)
    return line("demo", password, Role.CURATOR)


app.command()(deploy)
app.add_typer(engine, name="engine", no_args_is_help=True)
app.add_typer(table, name="table", no_args_is_help=True)
app.add_typer(notice_app, name="notice", no_args_is_help=True)


operator_commands.register(app)
