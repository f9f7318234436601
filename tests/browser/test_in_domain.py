"""A test in the domain from nothing, as a keeper does it: a taxonomy, two judges, a report, the
banner; and a rebuild with another encoder, which is not the one that was tested."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from conftest import build_folder, serving
from gated import USERS, Gated, by_password, environment, soon
from playwright.sync_api import Page, expect

from image_search.answers import PREFIX
from image_search.encoder import OnnxEncoder
from image_search.search import Searcher
from image_search.settings import ROOT
from image_search.standing import UNTESTED

CLASSES = {
    "a bird": ("a bird", "animals/birds"),
    "a musical instrument": ("a musical instrument", "recreation/music"),
    "a house": ("a house", "buildings/homes"),
    "fruit": ("fruit", "food/fruit"),
    "an insect": ("an insect", "animals/bugs"),
}
"""Name → prompt, and what stands in the ids of pictures that show one: the judges' eyes."""

TAXONOMY = 'name = "What children draw"\nversion = "1"\n' + "".join(
    f'[[class]]\nname = "{name}"\nprompts = ["{prompt}"]\n' for name, (prompt, _) in CLASSES.items()
)

Opener = Callable[..., AbstractContextManager[Page]]


@contextmanager
def signed_in(house: Gated, open_page: Opener, name: str) -> Iterator[Page]:
    with open_page(
        house.address, storage_state=house.storage(name), reduced_motion="reduce"
    ) as page:
        yield page


def answer_of(class_name: str, id: str) -> str:
    return "yes" if CLASSES[class_name][1] in id else "no"


def judge_by_keyboard(page: Page, house: Gated, name: str) -> None:
    """The first class: every picture of its pool."""
    page.get_by_role("tab", name="Judge").click()
    expect(page.locator("#judge-question")).to_have_text("Does this show: a bird?")

    def left() -> dict[str, Any]:
        with house.client(house.cookie(name)) as client:
            told: dict[str, Any] = client.get(f"{PREFIX}/judging/next?class=a bird&k=200").json()
        return told

    listed = left()
    for number, picture in enumerate(listed["pictures"], start=1):
        page.wait_for_function(
            "() => { const image = document.querySelector('#judge-picture img');"
            "return image && image.complete && image.naturalWidth; }"
        )
        shown = page.locator("#judge-picture img").get_attribute("src") or ""
        assert httpx.URL(shown).path == httpx.URL(picture["picture"]).path
        page.keyboard.press("y" if answer_of("a bird", picture["id"]) == "yes" else "n")
        if number < listed["left"]:
            expect(page.locator("#judge-far span")).to_have_text(f"{number} of {listed['left']}")
    expect(page.locator("#judge-between")).to_contain_text("Done: a bird")
    assert soon(lambda: left()["left"] == 0)  # the last answer is sent behind the judge's back


def judge_the_rest(house: Gated, name: str, wrong: int = 0) -> None:
    """The other classes, by what the page's script asks; `wrong` pictures are taken for others."""
    with house.client(house.cookie(name)) as client:
        sha256 = client.get(f"{PREFIX}/judging").json()["sha256"]
        for class_name in [*CLASSES][1:]:
            asked = {"class": class_name, "k": "200"}
            listed = client.get(f"{PREFIX}/judging/next", params=asked).json()["pictures"]
            said = [(one["id"], answer_of(class_name, one["id"])) for one in listed]
            said = [(id, "yes" if n < wrong else what) for n, (id, what) in enumerate(said)]
            answers = [{"class_name": class_name, "id": id, "answer": what} for id, what in said]
            told = client.post(
                f"{PREFIX}/judgements", json={"taxonomy": sha256, "answers": answers}
            )
            assert told.json() == {"kept": True, "left_out": []}


def test_a_test_from_nothing(
    demo: Searcher, open_page: Opener, colours: OnnxEncoder, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with by_password(demo, state) as house:
        with signed_in(house, open_page, "carl") as page:
            banner = page.get_by_role("note")
            expect(banner).to_contain_text(UNTESTED)
            page.get_by_role("tab", name="Judge").click()
            page.get_by_label("The taxonomy", exact=True).fill(TAXONOMY)
            page.get_by_role("button", name="Use this taxonomy").click()
            expect(page.locator("#judge-question")).to_have_text("Does this show: a bird?")
        for name, wrong in (("judith", 0), ("carl", 2)):
            with signed_in(house, open_page, name) as page:
                judge_by_keyboard(page, house, name)
            judge_the_rest(house, name, wrong)
        with house.client(house.cookie("carl")) as client:
            assert 0.5 < client.get(f"{PREFIX}/judgements/agreement").json()["kappa"] < 1

        out = tmp_path / "report"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "image_search", "evaluate"),
                *("--artifact", str(demo.artifact.path), "--out", str(out)),
            ],
            env={**os.environ, "IMAGE_SEARCH_STATE": str(state)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "2 judges" in done.stdout
        assert {path.name for path in out.iterdir()} == {"report.html", "report.json"}

        def is_told() -> bool:
            with house.client(house.cookie("mary")) as client:
                told = client.get(f"{PREFIX}/collection").json()["standing"]
            return bool(told["verdict"] != "not tested")

        assert soon(is_told)
        with signed_in(house, open_page, "mary") as page:
            banner = page.get_by_role("note")
            expect(banner).to_contain_text("“What children draw”, version 1 (690 judgements)")
            expect(banner).to_contain_text("below the bar")
            expect(banner).not_to_contain_text(UNTESTED)

    # The same pictures, built again with another encoder.
    again = build_folder(ROOT / "assets/demo/pictures", colours, tmp_path / "again")
    with (
        environment(IMAGE_SEARCH_STATE=str(state), IMAGE_SEARCH_USERS=USERS),
        serving(again) as address,
        open_page(address) as page,
    ):
        banner = page.get_by_role("note")
        expect(banner).to_contain_text("was made with another model")
        expect(banner).not_to_contain_text("below the bar")
