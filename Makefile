# Everything a person types. `make` alone lists it; `make test` is exactly what CI runs.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup up down demo sql test test-fast faults soak check bench docs lock clean

# `make demo MODEL=llama3.2` lets an Ollama on its default port decide and write.
ifdef MODEL
export SIGNALBOX_MODEL__PROVIDER := ollama
export SIGNALBOX_MODEL__NAME := $(MODEL)
endif

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv with everything; the CLI is .venv/bin/signalbox

# Compiled here, because a process may not be allowed to write what it compiles (PYTHONDONTWRITEBYTECODE, containers): then
# each start compiles anew, and Flink's Python alone takes 3.2 s instead of 0.9 to import, at every recovery too.
$(READY): requirements.lock pyproject.toml
	@bash deploy/check-platform.sh "$(PYTHON)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m compileall -q signalbox connectors agents flink_jobs
	@touch $@

up: setup ## start broker, Flink, jobs and agents; Ctrl-C stops them
	@$(BIN)/signalbox up

down: setup ## stop what up or demo started, keeping its state in savepoints
	@$(BIN)/signalbox down

demo: setup ## watch leads travel through five agents, from nothing
	@$(BIN)/signalbox demo

sql: setup ## open Flink's SQL client on the running cluster
	@$(BIN)/signalbox sql client

# A test that fails is run once more, alone: on a busy machine a real broker may miss its time. What fails twice fails,
# and what failed once is printed and is a bug of its own.
define pytest
	@$(BIN)/pytest -q $(1) || { echo "== failed once; the same tests again =="; $(BIN)/pytest -q --last-failed $(1); }
endef

test: setup check ## everything: checks, unit, contract, real broker and cluster, the demo
	$(call pytest,-n 2 --dist loadfile -m "not integration and not e2e")
	$(call pytest,-m "(integration or e2e) and not faults and not soak")
	$(call pytest,-m faults_smoke tests/faults)

test-fast: setup ## unit and contract tests, without a broker
	@$(BIN)/pytest -q -n 2 --dist loadfile -m "not integration and not e2e"

# Two runs, so that there is one Flink cluster at a time. FAULT_SEEDS=7 runs one seed; the default is three of them.
faults: setup ## what dies, freezes, lies or floods, three seeds each, judged by a ledger (docs/faults.md); takes hours
	@$(BIN)/pytest -q -m faults tests/integration
	@$(BIN)/pytest -q -m faults tests/faults

soak: setup ## half an hour of load, a kill every three minutes; nothing lost, no memory growing (SOAK_MINUTES=10 for less)
	@$(BIN)/pytest -q -s -m soak tests/faults

check: setup ## lint, format, types, import directions, SQL, spelling, the shipped fleet
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy signalbox connectors agents flink_jobs benchmarks
	@$(BIN)/lint-imports --no-cache > /tmp/lint-imports.$$$$ || { cat /tmp/lint-imports.$$$$; rm -f /tmp/lint-imports.$$$$; exit 1; }; rm -f /tmp/lint-imports.$$$$
	@$(BIN)/sqlfluff lint --disable-progress-bar sql
	@$(BIN)/codespell
	@$(BIN)/interrogate -q tests
	@$(BIN)/signalbox agents lint agent_definitions/sdr agent_definitions/trading agent_definitions/research

bench: setup ## measure everything, beside the engine's own ways, and write docs/benchmarks.md (NAMES="latency recovery" for some)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r benchmarks/requirements.lock
	@PYTHONPATH=. $(BIN)/python -m benchmarks.run $(NAMES)

docs: setup ## write the JSON Schemas, the API documents, the Kubernetes manifests, the list of metrics and the dashboards
	@$(BIN)/python -m signalbox.schemas
	@$(BIN)/python -m signalbox.gateway.documents
	@$(BIN)/python -m signalbox.kubernetes
	@$(BIN)/python -m signalbox.metrics_page
	@$(BIN)/python -m signalbox.dashboards

lock: ## pin every dependency with hashes and without addresses
	@$(BIN)/uv pip compile pyproject.toml --universal --all-extras --group test --group lint \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --universal --all-extras --group test --group lint --group bench \
		--constraint requirements.lock --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
		-o benchmarks/requirements.lock

clean: ## remove the environment and every state of the local stack
	@test ! -e .signalbox/stack.json || { echo "the stack runs; make down first"; exit 1; }
	@rm -rf $(VENV) .signalbox
