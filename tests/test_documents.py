"""What the documents promise: the notebook runs, the settings stand there, the pattern matches."""

import re
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement

from image_search.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_the_notebook_runs_and_both_ways_find_the_same() -> None:
    notebook = nbformat.read(ROOT / "walkthrough.ipynb", as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(ROOT)}}).execute()
    said = [
        output.get("text") or output["data"].get("text/plain")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("stream", "execute_result")
    ]
    assert said[0] == "591 pictures, 0 files left out\n"
    assert "True\n" in said  # the grey copy found its original
    assert "True" in said  # by hand: the same nine
    assert any("Nothing here is close" in text for text in said)


def test_every_setting_stands_in_the_readme_with_its_help() -> None:
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = alias.choices[-1] if alias else f"IMAGE_SEARCH_{name.upper()}"
        row = next((line for line in README.splitlines() if f"| `{variable}` |" in line), None)
        assert row, f"the README's table lacks {variable}"
        assert field.description
        assert field.description in row
        if isinstance(field.default, int | str) and field.default and name != "state":
            assert f"`{field.default}`" in row


def test_the_readmes_file_name_pattern_reads_the_articles_file_name() -> None:
    name = re.search(r"`(000499442\S.*?\.jpg)`", README)
    pattern = re.search(r"--filename-pattern '(.+)'", README)
    assert name
    assert pattern
    found = re.fullmatch(pattern.group(1), name.group(1))
    assert found
    assert found.groupdict() == {
        "book": "000499442",
        "volume": "0",
        "page": "000579",
        "plate": "1",
        "title": "The Ring and the Book  etc",
        "year": "1920",
    }


def test_requirements_pin_what_the_project_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = (ROOT / "requirements.txt").read_text()
    for requirement in declared:
        wanted = Requirement(requirement)
        name = wanted.name.replace("_", "-")
        [version] = re.findall(rf"^{name}==(\S+)$", pinned, re.MULTILINE)
        assert wanted.specifier.contains(version), f"run `make lock`: {requirement}"


def test_every_picture_and_weight_in_the_repository_has_its_hash() -> None:
    import hashlib

    demo = ROOT / "assets" / "demo"
    sums = dict(
        reversed(line.split("  ", 1)) for line in (demo / "SHA256SUMS").read_text().splitlines()
    )
    pictures = {p.relative_to(demo).as_posix() for p in (demo / "pictures").rglob("*.*")}
    assert pictures <= set(sums)
    for name, digest in sums.items():
        assert hashlib.sha256((demo / name).read_bytes()).hexdigest() == digest, name
    total = sum(p.stat().st_size for p in demo.rglob("*") if p.is_file())
    assert total <= 14_000_000
    screenshot = (ROOT / "assets" / "screenshot.webp").read_bytes()
    assert hashlib.sha256(screenshot).hexdigest() in (ROOT / "NOTICE").read_text()
