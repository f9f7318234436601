"""The check for the first machine that has a model's weights: good ones pass, bad ones fail."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from image_search.selfcheck import Report


def run(model: str | Path) -> tuple[int, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "image_search", "selfcheck", "--model", str(model), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=300,
    )
    return done.returncode, json.loads(done.stdout)


def test_the_embedded_encoder_passes() -> None:
    code, report = run("embedded")
    assert (code, report["ok"]) == (0, True)
    assert report["pictures"] == 591
    assert report["agreement"]["picture_min_cosine"] > 0.9999


@pytest.mark.slow
def test_a_model_that_understands_nothing_fails(random_clip_folder: Callable[[bool], Path]) -> None:
    code, report = run(random_clip_folder(True))
    assert (code, report["ok"]) == (1, False)
    assert report["mean_precision"] < 0.5
    assert report["agreement"]["picture_min_cosine"] > 0.9999  # exported rightly all the same


def test_the_report_says_in_words_what_is_wrong() -> None:
    bad = Report("m", "r", 512, 591, {}, {"a cat": 0.2, "a dog": 0.0})
    assert "This is NOT as it should be" in str(bad)
    good = Report("m", "r", 512, 591, {}, {"a cat": 1.0, "a dog": 0.6})
    assert "All is as it should be." in str(good)
