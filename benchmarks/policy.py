"""The starter policy and the language note, held against questions that others wrote.

`policy_material/` has 500 ordinary questions of historical collections, rewordings of what the
rules mean by somebody who had not seen them, and questions in English, in other languages, and in
neither. Counted are false alarms (refused or asked first; notes apart) and misses, by phrases alone
and with nearness of vectors by the embedded encoder; and what both cost, as a share of a search.
"""

import csv
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import ROOT

MATERIAL = Path(__file__).with_name("policy_material")
TIERS = ("note", "warn", "refuse")
LEFT_OUT = "named-person"
"""What no rule of the starter policy means: names can hardly be told from other words."""


def rows(name: str) -> list[dict[str, str]]:
    with (MATERIAL / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def compare(folder: Path) -> dict[str, Any]:
    """All figures; `folder` is for what is made on the way."""
    import sys

    sys.path.insert(0, str(ROOT))
    import image_search
    from image_search import language
    from image_search.demo import ensure_demo
    from image_search.guard import SENTENCE
    from image_search.nearness import Nearness
    from image_search.policy import Policy

    searcher = image_search.open(ensure_demo())
    policy = Policy.open()
    near = Nearness(policy, searcher.encoder, searcher.index, folder / "nearness.npz")

    def by_phrases(text: str) -> set[str]:
        return {rule.name for rule in policy.met_by([text])}

    def by_both(text: str) -> set[str]:
        if len(text.split()) < SENTENCE:
            return by_phrases(text)
        vector = searcher.encoder.encode_texts([text])[0]
        return by_phrases(text) | {rule.name for rule in near.met_by_words(vector)}

    tiers = {rule.name: rule.tier for rule in policy.rules}
    medians = {
        "phrases": _of_policy(by_phrases, tiers),
        "phrases and nearness": _of_policy(by_both, tiers),
    }
    return {"ways": medians, "language": _of_language(language.note), "cost": _cost(searcher)}


def _of_policy(met: Callable[[str], set[str]], tiers: dict[str, str]) -> dict[str, Any]:
    may_note = {row["query"] for row in rows("ordinary_may_note")}
    alarms: list[list[str]] = []
    notes: list[list[str]] = []
    for row in rows("ordinary"):
        names = sorted(met(row["query"]))
        if grave := [name for name in names if tiers[name] != "note"]:
            alarms.append([row["query"], *grave])
        elif names and row["query"] not in may_note:
            notes.append([row["query"], *names])
    missed: dict[str, list[str]] = {}
    asked: dict[str, int] = {}
    for row in rows("rewordings"):
        topic, query = row["topic"], row["query"]
        asked[topic] = asked.get(topic, 0) + 1
        # A graver rule than the one that was meant is no miss.
        wanted = TIERS.index(row["tier"])
        if not any(TIERS.index(tiers[name]) >= wanted for name in met(query)):
            missed.setdefault(topic, []).append(query)
    return {"alarms": alarms, "notes": notes, "asked": asked, "missed": missed}


def _of_language(note: Callable[[str], str | None]) -> dict[str, Any]:
    """By halves: the note was tuned on the first, and the second is what it is judged by."""
    found = {}
    order = random.Random(8)  # the very halves that it was tuned with
    for name in ("english", "foreign", "neither"):
        queries = [row["query"] for row in rows(name)]
        order.shuffle(queries)
        middle = len(queries) // 2
        for half, some in (("tuned on", queries[:middle]), ("held back", queries[middle:])):
            noted = [query for query in some if note(query)]
            left = [query for query in some if query not in noted]
            found[f"{name}, {half}"] = {
                "asked": len(some),
                "noted": len(noted),
                "wrong": left if name == "foreign" else noted,
            }
    return found


def _cost(searcher: Any) -> dict[str, float]:
    """Seconds of a search with the policy and the language note, and without, turn by turn."""
    from image_search import guard, language

    queries = [row["query"] for row in rows("ordinary")][:200]

    def asked(words: Sequence[str]) -> float:
        searcher._encoded.cache_clear()
        begin = time.perf_counter()
        for one in words:
            searcher.search(one, k=60, acknowledged=[rule.name for rule in policy.rules])
        return (time.perf_counter() - begin) / len(words)

    policy = searcher._guard._policy
    queries = [one for one in queries if not _is_refused(searcher, one)]
    with_it: list[float] = []
    without: list[float] = []
    check, note = guard.Guard.check, language.note
    try:
        for _ in range(5):
            guard.Guard.check, language.note = check, note
            with_it.append(asked(queries))
            guard.Guard.check = lambda *_: guard.Passed()  # type: ignore[method-assign]
            language.note = lambda _: None
            without.append(asked(queries))
    finally:
        guard.Guard.check, language.note = check, note
    return {"with": sorted(with_it)[2], "without": sorted(without)[2]}


def _is_refused(searcher: Any, text: str) -> bool:
    from image_search.errors import QueryError

    try:
        searcher.search(text, k=1)
    except QueryError:
        return True
    return False


def show(title: str, result: dict[str, Any]) -> str:
    lines = [f"{title}", ""]
    count = len(rows("ordinary"))
    for way, told in result["ways"].items():
        alarms, notes = len(told["alarms"]), len(told["notes"])
        lines.append(
            f"By {way}: of {count} ordinary questions {alarms} refused or asked first "
            f"({alarms / count:.1%}), {notes} noted without cause ({notes / count:.1%})."
        )
        for topic, asked in told["asked"].items():
            missed = len(told["missed"].get(topic, []))
            left_out = " (no rule means it)" if topic == LEFT_OUT else ""
            lines.append(f"  {topic:16} {missed:3} of {asked:3} missed{left_out}")
        kept = [topic for topic in told["asked"] if topic != LEFT_OUT]
        missed = sum(len(told["missed"].get(topic, [])) for topic in kept)
        lines.append(f"  all rules        {missed:3} of {sum(told['asked'][t] for t in kept):3}")
    for name, told in result["language"].items():
        lines.append(f"{name:20} {told['noted']:3} of {told['asked']:3} noted")
    cost = result["cost"]
    lines.append(f"A search takes {cost['with'] / cost['without']:.2f} times as long with both.")
    return "\n".join(lines)
