# Lakegate's commands. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# Compiled byte code halves the cost of every Dagster run: never inherit a setting that forbids it.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements/dev.lock requirements/ministack.lock requirements/bootstrap.txt pyproject.toml
	@echo "Setting up .venv and .venv-ministack (once; a minute or two the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	@$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@test -x .venv-ministack/bin/python || $(PYTHON) -m venv --without-pip .venv-ministack
	@$(UV) pip install --quiet --python .venv-ministack/bin/python --compile-bytecode --require-hashes -r requirements/ministack.lock
	@touch $@

.PHONY: install
install: $(VENV)/.installed ## make .venv with the `lakegate` command in it

.PHONY: demo
demo: install ## run the main job on real files, end to end, and check the counts
	@$(BIN)/lakegate demo

.PHONY: up
up: install ## the laptop's AWS and Dagster in the foreground, until Ctrl-C
	@$(BIN)/lakegate up

.PHONY: test
test: install ## all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

.PHONY: proof
proof: install ## the properties again, with ten times as many examples, 10,000 schedules, and 200 deaths of real processes
	@$(BIN)/python -m pytest -n 2 --dist loadfile --hypothesis-profile=proof --timeout 3600 tests/accounting tests/contracts tests/intake tests/publication tests/reading tests/ingest/test_ingest_removal_crashes.py tests/ingest/test_ingest_order.py tests/crash/test_concurrency.py $(PYTEST_ARGS)
	@$(BIN)/lakegate simulate --schedules 10000 --seed 1
	@$(BIN)/python -m tests.crash.crash_loop --kills 180
	@$(BIN)/python -m tests.crash.crash_dagster --kills 20
	@LAKEGATE_ALL_FAULTS=1 $(BIN)/python -m pytest -n 2 --timeout 3600 tests/faults $(PYTEST_ARGS)
	@LAKEGATE_ALL_DEATHS=1 $(BIN)/python -m pytest --timeout 3600 tests/workers $(PYTEST_ARGS)
	@LAKEGATE_ALL_ALARMS=1 $(BIN)/python -m pytest --timeout 3600 tests/infra/test_alarm_trial_daemon.py $(PYTEST_ARGS)

.PHONY: image-steps
image-steps: install ## every step of the Dockerfile in an empty folder and a clean environment, without a Docker engine
	@$(BIN)/python -m tests.image.steps $(IMAGE_ARGS)

.venv-bench/.installed: requirements/bench.lock $(BIN)/uv
	@echo "Setting up .venv-bench with the peers (once; Spark alone is 430 MB, it takes a while)"
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv --without-pip .venv-bench
	@$(UV) pip install --quiet --python .venv-bench/bin/python --compile-bytecode --require-hashes -r requirements/bench.lock
	@touch $@

.PHONY: bench
bench: install .venv-bench/.installed ## every workload beside its peers, outputs verified, as one table of ratios; an hour on a machine that does nothing else
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: latency
latency: install ## from PUT to query, one small file at a time, and where the time goes; on a machine that does nothing else
	@$(BIN)/python -m benchmarks.latency $(LATENCY_ARGS)

.PHONY: conformance
conformance: install ## what others test their readers with, and every feed, as a table
	@$(BIN)/python -m tests.conformance $(CONFORMANCE_ARGS)

.PHONY: fuzz
fuzz: install ## nearly right files against the slow reference, a hundred thousand of each kind
	@LAKEGATE_FUZZ=$${LAKEGATE_FUZZ:-100000} $(BIN)/python -m pytest -n 2 --timeout 0 --hypothesis-profile=proof tests/reading/test_against_reference.py $(PYTEST_ARGS)

.PHONY: check
check: install ## lint, format, types, layering
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright --level error
	@$(BIN)/lint-imports

.PHONY: format
format: install ## put the code into its standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: lock
lock: $(BIN)/uv ## resolve the dependencies again and write the lock files
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/constraints.txt pyproject.toml -o requirements/runtime.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra workers --extra postgres --extra telemetry -c requirements/dev.lock pyproject.toml -o requirements/production.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/dev.lock -c requirements/bootstrap.txt requirements/image.in -o requirements/image.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements/ministack.in -o requirements/ministack.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/dev.lock requirements/bench.in -o requirements/bench.lock

.PHONY: audit
audit: install ## every locked package held against the published advisories; needs api.osv.dev (or LAKEGATE_OSV_URL)
	@$(BIN)/python -m requirements.audit

.PHONY: licences
licences: install ## write docs/licences.md: the licences of what production installs
	@$(BIN)/python -m requirements.licences

.PHONY: sbom
sbom: install ## write sbom.json: what production installs, as a CycloneDX document
	@$(BIN)/python -m requirements.licences --sbom sbom.json

$(BIN)/uv:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt

.PHONY: clean
clean: ## remove what was built; the state under .lakegate stays
	@rm -rf $(VENV) .venv-ministack .venv-bench .pytest_cache .ruff_cache .hypothesis sbom.json
