# Two commands do everything on a fresh machine: `make demo` and `make test`. Each builds .venv/ first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN := .venv-train
SDK := .venv-sdk
NAUTILUS := .venv-nautilus
LITERT := .venv-litert
COMPILED := build/compiled

.PHONY: help env demo test test-components test-compiled soak lint proto lock bench bench-compiled compile docs train-env sdk-env nautilus-env litert-env cloud-env dask-env clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

env: $(VENV)/.ready ## the environment in .venv/, from the lock file with hashes

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: env ## one whole trading day against the built-in Upstox twin, within a minute
	$(BIN)/bot demo

test: env lint ## lint, types, and every test that needs no special component, on all cores
	$(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal -m "not component"

test-components: env ## the tests that need heavy real components; they skip loudly where one is missing
	@$(MAKE) sdk-env || echo "The official Upstox client is not to be had: its test will be skipped."
	@$(MAKE) train-env || echo "TensorFlow is not to be had: what trains and imports models will not be tested."
	@$(MAKE) litert-env || echo "LiteRT is not to be had: its test will be skipped."
	@$(MAKE) dask-env || echo "Dask is not to be had: its test will be skipped."
	@$(MAKE) cloud-env || echo "checkov, hadolint and podman-compose are not to be had: their tests will be skipped."
	@if command -v cc > /dev/null; then $(MAKE) test-compiled; else echo "No C compiler: the compiled copy is not tested."; fi
	$(BIN)/python -m pytest -q -m component

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

proto: env ## regenerate the decoder from proto/
	$(BIN)/python -m grpc_tools.protoc -Ibot/upstox/market_feed.proto=proto/MarketDataFeedV3.proto \
		--python_out=. --pyi_out=. bot/upstox/market_feed.proto

lock: env ## write the lock files anew
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-run.lock
	echo upstox-python-sdk==2.30.0 | $(BIN)/uv pip compile - --universal --python-version 3.11 --no-emit-package uuid \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-sdk.lock
	echo ai-edge-litert==2.3.0 backports-strenum==1.2.8 | tr ' ' '\n' | $(BIN)/uv pip compile - --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-litert.lock
	echo nautilus_trader==1.221.0 | $(BIN)/uv pip compile - --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-nautilus.lock
	echo mypy setuptools types-protobuf | tr ' ' '\n' | $(BIN)/uv pip compile - -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-compile.lock
	$(BIN)/uv pip compile requirements-cloud.in --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-cloud.lock
	$(BIN)/uv pip compile pyproject.toml requirements-dask.in -c requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements-dask.lock

soak: env ## hours: every property at 2,000 examples, 23,000 simulated days, planted bugs, a million wounded frames
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -q -n auto --dist worksteal -m "not component"
	@if command -v cc > /dev/null; then $(MAKE) compile; else echo "No C compiler: the days take a quarter longer."; fi
	PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR) $(BIN)/bot simulate --seeds 0:22500 --focus --json build/focus-days.json
	PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR) $(BIN)/bot simulate --seeds 0:500 --json build/full-days.json
	SOAK=1 $(BIN)/python -m pytest -q -s tests/test_killed_processes.py
	$(BIN)/python -m tests.planted_bugs --search 2000
	$(BIN)/python -m tests.fuzz 1000000 100000

bench: env nautilus-env ## every benchmark, and docs/performance.md of them; on a machine that does nothing else
	@if command -v cc > /dev/null; then $(MAKE) compile; fi
	$(BIN)/python -m benchmarks.performance

docs: env ## docs/metrics.md and the dashboards' JSON, made anew
	$(BIN)/python -m bot.telemetry.metrics_doc > docs/metrics.md
	$(BIN)/python -m grafana.build

compile: $(COMPILED)/.ready ## the path of ticks and orders as machine code (mypyc; wants a C compiler); then build/bot is the command

$(COMPILED)/.ready: $(VENV)/.ready infra/compile.py $(shell find bot -name '*.py')
	$(BIN)/python infra/compile.py bot $(COMPILED)
	@ln -sfn $(CURDIR)/models $(COMPILED)/models
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" "$$@"\n' '$(CURDIR)/$(COMPILED):$(CURDIR)' '$(CURDIR)/$(BIN)/bot' > build/bot && chmod +x build/bot
	@touch $@

# The scripts, not `-m`: that would put the plain sources of this folder first.
test-compiled: compile ## the tests of the plain sources, on the compiled ones
	COMPILED=1 PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR) $(BIN)/pytest --import-mode=append -q \
		-n auto --maxprocesses 8 --dist worksteal -m "not component"

bench-compiled: compile ## the decision path as the image runs it: at most three bare parses
	PYTHONPATH=$(CURDIR)/$(COMPILED):$(CURDIR) $(BIN)/python benchmarks/decision_path.py

train-env: $(TRAIN)/.ready ## TensorFlow in .venv-train/, for bot train

$(TRAIN)/.ready: requirements-train.lock
	$(PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-train.lock
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Without its dependency list: that also names `uuid`, a package of Python 2. What it imports is in the lock.
sdk-env: $(SDK)/.ready ## the official Upstox client in .venv-sdk/, which the twin is held against

$(SDK)/.ready: requirements-sdk.lock
	$(PYTHON) -m venv $(SDK)
	$(SDK)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-sdk.lock
	@touch $@

cloud-env: .venv-cloud/.ready ## checkov, hadolint and podman-compose in .venv-cloud/, for tests of infra/

.venv-cloud/.ready: requirements-cloud.lock
	$(PYTHON) -m venv .venv-cloud
	.venv-cloud/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-cloud.lock
	@touch $@

dask-env: .venv-dask/.ready ## Dask and pyarrow in .venv-dask/, for bot sweep --dask and --parquet

.venv-dask/.ready: requirements-dask.lock
	$(PYTHON) -m venv .venv-dask
	.venv-dask/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dask.lock
	.venv-dask/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

nautilus-env: $(NAUTILUS)/.ready ## NautilusTrader in .venv-nautilus/, which the backtest is measured beside

$(NAUTILUS)/.ready: requirements-nautilus.lock
	$(PYTHON) -m venv $(NAUTILUS)
	$(NAUTILUS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-nautilus.lock
	@touch $@

litert-env: $(LITERT)/.ready ## LiteRT, tflite-runtime's successor, in .venv-litert/: the model must say the same on both

$(LITERT)/.ready: requirements-litert.lock
	$(PYTHON) -m venv $(LITERT)
	$(LITERT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-litert.lock
	@touch $@

clean: ## remove environments and caches
	rm -rf $(VENV) $(TRAIN) $(SDK) $(NAUTILUS) $(LITERT) .venv-cloud .venv-dask $(COMPILED) .pytest_cache .mypy_cache .ruff_cache .hypothesis
