"""A provider of accounts that stands in for the Hub, and the real app.py, for sign-in tests."""

import logging
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from gated import soon

CLIENT_SECRET = "the-secret-of-the-oauth-app"


def orgs(*names: str) -> list[dict[str, Any]]:
    """Organisations as the Hub tells of them, with more than anybody needs."""
    return [
        {"preferred_username": name, "sub": f"5f{n:022x}", "isEnterprise": False,
         "picture": f"https://cdn.example/{name}.png", "roleInOrg": "contributor"}
        for n, name in enumerate(names)
    ]  # fmt: skip


@contextmanager
def provider(
    people: dict[str, list[str]], port: int = 0, life: timedelta = timedelta(hours=1)
) -> Iterator[str]:
    """Its address, while it runs; `people` are accounts with their organisations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what authlib is about to give up
        import oidc_provider_mock as mock
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    users = [
        mock.User(sub=f"id-of-{name}", claims={"preferred_username": name, "orgs": orgs(*its_orgs)})
        for name, its_orgs in people.items()
    ]
    with mock.run_server_in_thread(port, user_claims=users, access_token_max_age=life) as server:
        yield f"http://localhost:{server.server_port}"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(artifact: Path, said: Path, files: int | None = None) -> Iterator[str]:
    """The real app.py with the settings of this process; all that it says lies in a file.

    It may have so many `files` open; without a number, as many as this process.
    """

    def limit() -> None:
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    environment = {
        **os.environ,
        "IMAGE_SEARCH_ARTIFACT": str(artifact),
        "IMAGE_SEARCH_PORT": "0",
    }
    with (
        said.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "app.py"],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=limit,
        ) as process,
    ):
        try:

            def address() -> re.Match[str] | None:
                return re.search(r"Open (http://\S+) in", said.read_text())

            assert soon(lambda: address() or process.poll() is not None, 60)
            found = address()
            assert found, f"app.py did not start; it said {said.read_text()!r}"
            yield found[1]
        finally:
            process.send_signal(signal.SIGCONT)  # where a test stopped it
            process.terminate()
