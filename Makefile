# `make demo` and `make test` do everything on a bare machine: see README.md.

PYTHON ?= python3
BIN := .venv/bin
PORT ?= 7860
export IMAGE_SEARCH_PORT ?= $(PORT)
ifdef ACCESS
export IMAGE_SEARCH_ACCESS = $(ACCESS)
endif

.PHONY: demo test check lint browser bench lock clean

demo: .venv/serve  ## build the demo, answer seven questions, serve the page (ONCE=1: only answer; ACCESS=password: behind a sign-in)
	$(BIN)/python -m image_search demo $(if $(ONCE),--once)

test: .venv/test browser  ## the quick tests, the browser's among them
	$(BIN)/python -m pytest -m "not slow"

check: .venv/test browser lint  ## everything: ruff, mypy, all tests
	$(BIN)/python -m pytest

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

browser:  ## Debian's chromium, for the browser tests
	@sh tests/browser/install.sh

bench: .venv/test  ## our way and the article's, measured (ARGS="--help" says what can be chosen)
	$(BIN)/python benchmarks/bench.py $(ARGS)

lock: .venv/test  ## requirements.txt out of pyproject.toml
	$(BIN)/python -m pip install --quiet uv==0.13.8
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --no-emit-index-url --no-header pyproject.toml -o requirements.txt

clean:
	rm -rf .venv .cache

.venv/serve: requirements.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/test: .venv/serve requirements-build.txt requirements-engine.txt requirements-ray.txt requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@# Only for CLIP's vocabulary; what it depends on (torchvision) is not needed.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps open_clip_torch==3.3.0
	touch $@
