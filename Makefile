# Every target does all of its own set-up. PYTHON=/path/to/python3.11 chooses the interpreter; OUT and APP what `run` does.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-all check format docs golden lock sbom audit image lint-image clean clean-all

APP ?= satellite/landcover
ARGS ?=
UPGRADE ?=
BIN := .venv/bin
export PYTHON

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

setup:  ## .venv with everything, from nothing but Python 3.11
	@sh bootstrap/setup.sh

run: setup  ## one application end to end; on synthetic data where none is named: make run ARGS="--data PATH"
	@$(BIN)/earthloop run $(APP) $(ARGS)

test: setup  ## the fast tests
	@$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

test-all: setup  ## every test
	@$(BIN)/python -m pytest $(ARGS)

check: setup  ## lint, format, types, layers, generated files: what CI checks before it tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	sh bootstrap/lock.sh --check
	$(BIN)/python -m pipeline.reference --check
	$(BIN)/python -m serving.model_server.dashboards --check

format: setup  ## formats the code and mends what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## the pages that are made from the code
	@$(BIN)/python -m pipeline.reference
	@$(BIN)/python -m serving.model_server.dashboards

golden: setup  ## the compiled pipeline of every application for Kubeflow, tests/golden
	@$(BIN)/python -m pipeline.kubeflow_golden

lock:  ## requirements/*.lock from requirements/*.in; UPGRADE=1 takes the newest versions
	@sh bootstrap/lock.sh $(if $(UPGRADE),--upgrade)

sbom:  ## lists of what the images hold, CycloneDX, in build/supply-chain
	@sh bootstrap/supply-chain.sh sbom

audit:  ## what is known against these packages; fails on what requirements/known-vulnerabilities.toml does not name
	@sh bootstrap/supply-chain.sh audit

lint-image:  ## the Dockerfile and the definitions of CI
	@sh bootstrap/supply-chain.sh lint-image

image:  ## both images, with Docker, checked: earthloop and earthloop-serving
	@sh .ci/image build

clean:  ## removes caches and build outputs; leaves .venv and out/
	@rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean  ## removes .venv and what set-up keeps, too
	@rm -rf .venv .setup
