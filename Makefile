# `make help` lists the targets. Everything runs on loopback; no keys, no internet after `make setup`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=
LOCK_FLAGS := -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev build run sim test retest unit conformance check bench bench-small lint types format tidy faults lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing; on Debian: apt install python3 python3-venv python3-dev gcc make"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older (make run PYTHON=python3.12)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run-ready: $(VENV)/.created requirements.lock
	@echo "installing pinned, hash-checked packages ..."
	$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.created requirements-dev.lock
	@echo "installing pinned, hash-checked packages (with test tools; a few minutes the first time) ..."
	$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements-dev.lock
	@touch $@ $(VENV)/.run-ready

NATIVE := setup.py $(shell find engine -name '*.pyx' -o -name '*.pxd' -o -name '*.h' 2>/dev/null) \
  $(wildcard engine/router/*.py engine/transport/*.py engine/session/order_gateway.py)
$(VENV)/.built: $(NATIVE) $(VENV)/.run-ready
	@echo "compiling the kernels (without a compiler the pure-Python path is used) ..."
	$(BIN)/python setup.py -q build_ext --inplace -j $$(nproc)
	@touch $@

setup: $(VENV)/.run-ready $(VENV)/.built ## build the environment and compile the kernels

setup-dev: $(VENV)/.dev-ready $(VENV)/.built ## the same, with everything the tests need

build: $(VENV)/.built ## compile the kernels again after a change

run: setup ## start the engine on the embedded simulated exchanges (no keys, no internet)
	$(BIN)/python -m engine run $(ARGS)

sim: setup ## start the simulated exchange alone
	$(BIN)/python -m engine sim $(ARGS)

test: setup-dev ## all tests but the slow ones (make test ARGS="-m ''" for every one)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

unit: setup-dev ## quick tests of single modules
	$(BIN)/python -m pytest tests/unit $(ARGS)

conformance: setup-dev ## the simulated exchange driven by clients that nobody here wrote
	$(BIN)/python -m pytest tests/conformance $(ARGS)

check: setup-dev lint types ## what CI runs
	$(MAKE) test || $(MAKE) retest
	$(MAKE) bench-small

retest: setup-dev ## the tests that failed last, once more: real sockets may miss a deadline on a loaded machine
	$(BIN)/python -m pytest -m "not slow" --last-failed --last-failed-no-failures none $(ARGS)

lint: setup-dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup-dev ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup-dev ## mypy --strict
	$(BIN)/mypy

faults: setup-dev ## the fault table: what is injected, and by which tests
	$(BIN)/python -m tests.fault_table

tidy: setup-dev ## house rules: imports, docstrings, names
	$(BIN)/python -m pytest tests/tidy $(ARGS)

bench: setup-dev ## every benchmark at full size
	$(BIN)/python -m bench all $(ARGS)

bench-small: setup-dev ## every benchmark at smoke size; checks the answers, not the speed
	$(BIN)/python -m bench all --small $(ARGS)

lock: $(VENV)/.created ## write the lock files anew from pyproject.toml
	$(PIP) install uv
	$(BIN)/uv pip compile $(LOCK_FLAGS) --extra build --extra dev --extra conformance pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK_FLAGS) --extra build -c requirements-dev.lock pyproject.toml -o requirements.lock

clean: ## remove the environment, builds and caches (recordings stay)
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find engine -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
