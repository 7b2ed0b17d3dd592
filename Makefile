VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UPSTREAM := tests/support/transformers_suite

export TOKENIZERS_PARALLELISM ?= true

.PHONY: help install demo publish-demo bench bench-bulk bench-soak test golden test-transformers test-restart test-faults test-slow test-clusters test-space screenshots test-lowest docs lint format clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

$(INSTALLED): setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

install: $(INSTALLED)  ## a virtual environment with the package and its tools

demo: $(INSTALLED)  ## train and use a tiny stack on the bundled sample
	$(BIN)/stacked-emotion demo --output_dir outputs/demo

publish-demo: demo  ## publish the demo to a test Hub, use it without the package, picture its pages
	PYTHONPATH=tests/support $(BIN)/python -m publish_demo outputs/demo outputs/publish_demo $(PUBLISH_DEMO)

test: $(INSTALLED)  ## the whole suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

golden: $(INSTALLED)  ## write tests/golden/ anew, after a change of config, results or card that is meant
	UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/test_golden.py tests/test_misleading_run.py

test-transformers: $(INSTALLED)  ## transformers' own common tests on our classes (fetches its source distribution)
	$(BIN)/python -m pytest -q --rootdir $(UPSTREAM) -c $(UPSTREAM)/pytest.ini --confcutdir $(UPSTREAM) \
	  $(UPSTREAM)/*_suite.py

test-restart: $(INSTALLED)  ## kill a run 2 x 20 times at random moments and compare what it ends with
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/trainer/stages/test_restart.py

test-faults: $(INSTALLED)  ## damage, kill and crowd a run in every way, and count what it survives
	PYTHONPATH=tests/support OMP_NUM_THREADS=1 $(BIN)/python -m faults $(FAULTS)

test-slow: $(INSTALLED)  ## what takes minutes
	$(BIN)/python -m pytest -q -m slow

test-space: $(INSTALLED)  ## the demo app in a real browser (apt-get install chromium)
	$(BIN)/python -m pytest -q -m slow tests/hub_card/space

screenshots: $(INSTALLED)  ## pictures of the demo app for the docs: MODEL=outputs/demo NAME=demo
	PYTHONPATH=tests/support $(BIN)/python -m screenshots $(or $(MODEL),outputs/demo) docs/images --name $(or $(NAME),demo)

test-clusters: $(INSTALLED)  ## partitions under the real Ray Data and Spark (Java 17), and Ray Serve
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[ray,spark]"
	$(BIN)/python -m pytest -q -m slow tests/inference/test_partitions.py tests/inference/serving/test_ray_serve.py

docs: $(INSTALLED)  ## the documentation as a site in outputs/site; broken links and references stop it
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench-bulk: $(INSTALLED)  ## peak memory of bulk prediction from 10,000 to 1,000,000 rows
	$(BIN)/python benchmarks/bulk_memory.py

test-lowest:  ## model, losses and metrics with the lowest versions that setup.py admits
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet torch==2.13.0
	.venv-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable ".[test]"
	.venv-lowest/bin/python -m pytest -q tests/model tests/common tests/trainer/metrics tests/trainer/losses

bench: $(INSTALLED)  ## speed, memory and loading, into docs/performance.md (about 25 minutes on an idle machine)
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/serving.py

bench-soak: demo  ## 100,000 requests to the server with the tiny demo stack: lost, wrong, memory
	$(BIN)/python benchmarks/serving.py --model outputs/demo/model --backend torch --dtype float32 --soak 100000

lint: $(INSTALLED)  ## ruff, mypy and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.typing $(BIN)/mypy -p stacked_emotion
	PYTHONPATH=.typing $(BIN)/lint-imports

format: $(INSTALLED)  ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was made
	rm -rf $(VENV) .venv-lowest outputs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
