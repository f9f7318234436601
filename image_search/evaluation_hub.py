"""Publishing a report: beside the collection on the Hub, and in figures on its card."""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

from image_search import hub
from image_search.card_results import with_report
from image_search.errors import HubError
from image_search.evaluation_report import Report
from image_search.hub import State, client, look, telling
from image_search.manifest import CARD, EVALUATION, MANIFEST

WAITS = (0, 2, 10)
"""Seconds before each try, if the Hub failed or somebody else's commit came first."""


@dataclass(frozen=True)
class Published:
    """Where a report is now."""

    repo: str
    url: str
    files: list[str]


def publish(repo: str, report: Report, html: str) -> Published:
    """Put a report beside the collection of a repository, in one commit; no version changes.

    A report of the same day on the same taxonomy is replaced. Raises HubError if the Hub refuses or
    cannot be reached, or if no collection is there.
    """
    for wait in WAITS:
        time.sleep(wait)
        state = look(repo)
        if MANIFEST not in state.entries:
            raise HubError(f"{repo} holds no built collection that a report could lie beside.")
        operations = _operations(state, report, html)
        with telling(repo):
            if _try_commit(state, operations):
                names = [one.path_in_repo for one in operations]
                return Published(repo, f"{hub.url(repo)}/tree/main/{EVALUATION}", names)
    raise HubError(
        f"The Hub failed to take the report on {repo}; nothing there has changed. The same command "
        "again tries again."
    )


def name_of(report: Report) -> str:
    """What the files of a report are called, without the end."""
    kept = re.sub(r"[^a-z0-9]+", "-", report.taxonomy.name.lower()).strip("-")
    return f"{EVALUATION}{report.created[:10]}-{kept or report.taxonomy.sha256[:12]}"


def _operations(state: State, report: Report, html: str) -> list[CommitOperationAdd]:
    name = name_of(report)
    told = json.dumps(report.dumped(), ensure_ascii=False, indent=1)
    held = ""
    if CARD in state.entries:
        with telling(state.repo), disable_progress_bars():
            path = hf_hub_download(state.repo, CARD, repo_type="dataset", revision=state.commit)
            held = Path(path).read_text(encoding="utf-8")
    return [
        CommitOperationAdd(f"{name}.json", told.encode()),
        CommitOperationAdd(f"{name}.html", html.encode()),
        CommitOperationAdd(CARD, with_report(held, state.repo, report).encode()),
    ]


def _try_commit(state: State, operations: list[CommitOperationAdd]) -> bool:
    """Whether the commit was made; if not, the next try may do."""
    try:
        with disable_progress_bars():
            client().create_commit(
                state.repo,
                operations,
                commit_message="A test in the domain",
                repo_type="dataset",
                parent_commit=state.commit,
            )
    except httpx2.TransportError:
        return False
    except HfHubHTTPError as error:
        if error.response.status_code < 500 and error.response.status_code not in (409, 412):
            raise
        return False
    return True
