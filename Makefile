# facegraft: `make help` lists the commands. The environment makes itself, in .venv.

PYTHON ?= python3.11
UV_VERSION := 0.13.9
VENV := $(CURDIR)/.venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
WORKERS ?= 2

export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export PREFECT_HOME ?= $(CURDIR)/.prefect
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
# torch's waiting threads would spin; where cores are shared that costs more than half the time.
export OMP_WAIT_POLICY ?= passive
# Bytecode halves the start of every command (see docs); some machines switch it off.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test coverage lint format base bench kills clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(READY) ## make .venv from requirements.lock (every other command does it by itself)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo 'facegraft needs Python 3.11 and "$(PYTHON)" is not that: name it, e.g. make PYTHON=/usr/bin/python3.11' >&2; exit 1; }
	@echo '== environment: .venv (about two minutes the first time)'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'
	@VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --no-deps --compile-bytecode -r requirements.lock
	@# A CUDA build of torch needs its own libraries; the CPU build needs none and this adds nothing.
	@VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --compile-bytecode -c requirements.lock torch
	@VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --no-deps -e .
	@touch $@

demo: $(READY) ## the whole road: data, validation, training, evaluation, promotion, swaps
	@$(PY) -m flows.demo

serve: $(READY) ## Prefect server, MLflow server and a worker on loopback; Ctrl-C stops them
	@$(PY) -m flows.services

test: $(READY) ## every test; WORKERS=2 at once
	@tests/browser/install_chromium.sh
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

coverage: ## every test, and which lines of src none of them runs (takes half as long again)
	@$(MAKE) test ARGS="--cov=src/facegraft --cov-report=term-missing:skip-covered $(ARGS)"

lint: $(READY) ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

format: $(READY) ## let ruff rewrite what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

base: $(READY) ## make the shipped base weights anew; ARGS="--minutes 30" for a leg of it
	@$(PY) -m facegraft.cli base $(ARGS)

bench: $(READY) ## how fast rendering, swapping, training and the data gate are here
	@$(PY) -m benchmarks.render
	@$(PY) -m benchmarks.storage
	@$(PY) benchmarks/method.py
	@$(PY) -m benchmarks.training
	@$(PY) benchmarks/gate.py

kills: $(READY) ## 200 swaps under 20 kill -9: none lost, none twice, nothing left (most of an hour)
	@$(PY) -m benchmarks.kills $(ARGS)

clean: ## remove what the commands made (keeps .venv, data and mlruns)
	rm -rf build .prefect .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage htmlcov
