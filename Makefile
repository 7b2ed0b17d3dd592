VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export TOKENIZERS_PARALLELISM ?= true

.PHONY: help install demo test test-slow test-lowest test-cluster test-browser lint format clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

$(INSTALLED): setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

install: $(INSTALLED)  ## a virtual environment with the package and its tools

demo: $(INSTALLED)  ## train and use a tiny stack on the embedded sample
	$(BIN)/stacked-emotion demo --output_dir outputs/demo

test: $(INSTALLED)  ## the whole suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not lowest and not cluster and not browser"

test-slow: $(INSTALLED)  ## what takes minutes
	$(BIN)/python -m pytest -q -m slow

test-cluster: $(INSTALLED)  ## Ray and Spark in local mode
	$(BIN)/python -m pytest -q -m cluster

test-browser: $(INSTALLED)  ## the Gradio app in headless Chromium
	$(BIN)/python -m pytest -q -m browser

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.typing $(BIN)/mypy -p stacked_emotion

format: $(INSTALLED)  ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was made
	rm -rf $(VENV) outputs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
