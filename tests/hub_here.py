"""The Hub's real clients in this process, talking to a stand-in of the Hub.

They read HF_ENDPOINT when they are imported; here their constants are set instead. Xet keeps files
of its own in a home that is fixed by then, so it is for the tests with subprocesses.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_standin import Exchange, HubStandin
from huggingface_hub import constants
from huggingface_hub.utils import close_session

CLIENTS_OWN = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
"""For uploading tests: the client hands httpx2 a file as `data`."""


@contextmanager
def hub_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Path | None = None
) -> Iterator[HubStandin]:
    """A stand-in of the Hub that this process takes for the Hub, logged in as its owner.

    `held` is the folder of one that was stopped.
    """
    with HubStandin(held or tmp_path / "hub") as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        # A client that tries again does so at once.
        at_once = SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic)
        monkeypatch.setattr("huggingface_hub.utils._http.time", at_once)
        monkeypatch.setattr("huggingface_hub.file_download.time", at_once)
        monkeypatch.setattr("image_search.push.WAITS", (0, 0))
        log_in(monkeypatch, hub, "owner")
        yield hub
        close_session()


def log_in(monkeypatch: pytest.MonkeyPatch, hub: HubStandin, role: str | None) -> None:
    """As whom the clients ask from now on; None: as nobody."""
    if role is None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    else:
        monkeypatch.setenv("HF_TOKEN", hub.token(role) if role != "wrong" else "hf_wrong")


def asked(exchanges: list[Exchange], method: str, part: str) -> list[Exchange]:
    """The requests of a method whose path holds `part`."""
    return [x for x in exchanges if x.method == method and part in x.path]
